"""What runs on one machine: started in order, announced, supervised, and never outliving its supervisor.

No command line here. Read `embedded` first, then `supervisor` and `child`.
"""
