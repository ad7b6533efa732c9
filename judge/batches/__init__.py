"""Work that is answered later or again: batches with their lines, and answers that are given twice.

What a line asks for is none of its business. Read `ledger` first: leases, and each result once.
"""
