"""What is kept, and where: Postgres' rows and transactions, Valkey's queue, keys, the audit log.

Nothing of judging or teaching: a row knows its columns and no rules. Read `database` first, then `tables`;
rows are imported from `tables`, never from one of its files.
"""
