"""Whether a candidate may serve: the gate itself, what can only refuse, and trials on live traffic.

Read `gate` first. It sees outcomes, never models; the swap that follows is `judge.versions.swap`.
"""
