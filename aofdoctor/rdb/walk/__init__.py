"""Find where every item of an RDB ends, without decoding values.

layouts.py describes each item type as data, the walker steps through a buffer by these descriptions, and window.py
slides the buffer over the file.  May import rdb.encoding, rdb.compressed, rdb.opcodes and rdb.header.
Decoding values does not belong here, and neither does the decision what to do about damage.
"""
