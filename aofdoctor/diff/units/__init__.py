"""Reads an AOF as a stream of comparable units: commands, transactions, and the commands that recreate RDB keys.

It may import diff/hashing, log, server, aof, rdb and the shared vocabulary, but no other package of diff.
Comparing two streams belongs to the modules of diff itself, and the state of keys belongs to diff/key_table.
"""
