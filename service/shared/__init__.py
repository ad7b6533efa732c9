"""What all requests of a gateway share: the cache, work under way, the queue of places, the recorder.

None of it knows a route. Read `flights` first, then `fair` and `recorder`.
"""
