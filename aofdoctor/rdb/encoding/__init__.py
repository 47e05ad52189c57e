"""RDB bytes to Python values and back: lengths, strings, LZF, CRC-64, and runs of packed entries.

May import sources and spans, and nothing else of rdb.
Types, opcodes and versions do not belong here.
"""
