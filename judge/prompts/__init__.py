"""What a model is given, as token ids, and the words it is made of.

Nothing here asks a model or knows of a database. Read `templates` first, then `assembler`: what is judged
never becomes a control token.
"""
