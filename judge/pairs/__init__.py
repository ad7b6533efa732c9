"""From instructions to preference pairs whose better side is known: kinds, responses, faults put in.

All but `generator` and `classifier`, which ask a model and remember, are pure. Which pairs an iteration takes
is for `judge.teaching` to say. Read `strategies` first.
"""
