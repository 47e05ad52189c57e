"""RDB bytes: where an RDB ends, and whether its checksum is right.

May import the vocabulary only.  That an RDB can stand at the head of an AOF is
known above.
"""
