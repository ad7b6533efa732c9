"""RQ jobs: gathering, and one file for each stage of an iteration.

State and plan of an iteration are in `judge.teaching`, torch only in `workers.train`. Read `stage` first.
"""
