"""Before a request is anybody's work: keys, limits, callers that hang up, and errors as problem documents.

Nothing of judging. Read `auth` first; `problems` has every kind of error.
"""
