"""From an admitted request to its recorded answer, live or as a line of a batch.

Routes and dialects are only its words. Read `answering` first, then `judging`.
"""
