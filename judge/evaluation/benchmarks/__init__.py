"""Benchmarks of judges: how their released files are read, and the arithmetic of their published scores.

A reader makes items of rows, a score makes weighted means of what a judge said about the items. Both are
pure; `catalog` names them. One small file a benchmark.
"""
