"""Comparisons that people judge, and what their answers say about the judge.

What people say is measured with, never trained on. Read `items` first, then `queue`.
"""
