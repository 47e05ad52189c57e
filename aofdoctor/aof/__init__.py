"""Bytes to tiles to parts: the scanner, the reader, resync, manifests, opening.

May import rdb (only it can say where an RDB preamble ends) and the vocabulary.
What a command means, and what a server would do, does not belong here.
"""
