"""The shapes of requests and answers, mostly named for the routes that have them.

They check and convert, and decide nothing. Read `base` first: it has what the others share.
"""
