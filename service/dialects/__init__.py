"""Wire protocols that other people's trainers speak, a module each, all on `service.requests.rewarding`.

No reward is made here, only worded as that trainer expects it. Read `calls` first.
"""
