"""Model versions: folders that never change, who serves, and how that changes.

Whether a version should serve is for `judge.gate` to say. Read `version` first, then `pointer` and `swap`.
"""
