"""Finds where every item of an RDB ends without decoding it: layouts as data, the walker, and its sliding window.

May import rdb.encoding, rdb.compressed, rdb.opcodes and rdb.header.
Decoding values does not belong here, and neither does the decision what to do about damage.
"""
