"""The commands, one file a subject: options in, one line to act on when something is wrong.

What two commands share is in `stack.terminal`. Read `up` first.
"""
