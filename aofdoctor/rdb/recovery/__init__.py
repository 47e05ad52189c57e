"""Reads on past damage in an RDB: resynchronization, salvage, and a Bloom filter for duplicate keys.

May import every module of rdb except bulk, export and rewrite.
Writing a repaired file does not belong here; that is aofdoctor.edit.
"""
