"""The way into the pool of instructions, and out of it.

Each text once, redacted, none that is protected; and forgotten with everything derived from it. Read
`intake` first, then `instructions`.
"""
