"""Which version answers: the champion, a trial beside it, a version that a trainer has pinned.

Read `champion` first. Changing who serves is `judge.versions.swap`.
"""
