"""RDB bytes: every item of an RDB, where it ends, whether its checksum is right, and what is left of a damaged one.

May import the vocabulary only.  That an RDB can stand at the head of an AOF is
known above.
"""
