"""Convert between RDB bytes and Python values: lengths, strings, LZF, CRC-64, and items of listpacks and ziplists.

May import sources and spans, and nothing else of rdb.
Types, opcodes and versions do not belong here.
"""
