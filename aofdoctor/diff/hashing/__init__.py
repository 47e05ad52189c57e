"""Keyed digests of records and arguments: SipHash-1-3 in C, BLAKE2b in the pure Python fallback.

It may import aof, rdb and the shared vocabulary, but no other package of diff.
Deciding which records are equal belongs to diff/units, and the effect of a command on a key to diff/key_table.
"""
