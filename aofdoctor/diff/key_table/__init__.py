"""A hash table of digests behind `diff --by keys`: one digest for the value of each key of each database.

It may import diff/hashing, server, aof, rdb and the shared vocabulary.
Filling a table from an AOF and comparing two of them belongs to diff/keys.
"""
