"""Measuring: versions on labeled sets, under attack, and while they serve.

What follows from a figure is for `judge.gate` to say. Read `statistics` first, then `runs`;
`benchmarks/` has the sets.
"""
