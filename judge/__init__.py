"""The domain of Judgesmith: judging, pairs, versions, and the stores that keep them.

Knows neither HTTP serving (`service`) nor training (`workers`). At the top are words that everybody uses;
read `comparison` and `verdict` first, then the rooms as docs/architecture.md has them.
"""
