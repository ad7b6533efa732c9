"""The paths of the gateway, one file a resource: what is admitted, and the words of the answer.

What a judgment goes through belongs in `service.requests`. Read `judging` first.
"""
