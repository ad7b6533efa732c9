"""A version's answers into verdicts, ratings, rewards and rankings.

No decision mixes versions. Nothing here stores or serves. Read `judge` first, then `deciding`; what counts
votes and probabilities (`voting`, `scoring`, `ranking`) is pure.
"""
