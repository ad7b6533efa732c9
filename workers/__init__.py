"""RQ jobs: gathering, and one file for each stage of an iteration."""
