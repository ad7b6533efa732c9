"""What commands share: settings and addresses, the client of the gateway, texts and tables for a person.

Nothing here starts a process. Read `caller` first, then `show`.
"""
