"""`diff --by keys`: builds a key table of each AOF, compares them, and reads the names of the keys that differ.

It may import the other packages of diff, diff/common_bytes.py, log, server, aof, rdb and the shared vocabulary.
The layout of the table belongs to diff/key_table, and the comparison of commands in order to diff/differ.py.
"""
