"""The domain of Judgesmith: judging, pairs, versions, and the stores that keep them.

Knows neither HTTP serving (`service`) nor training (`workers`).
"""
