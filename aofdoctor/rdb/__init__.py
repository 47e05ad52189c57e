"""RDB bytes: every item of an RDB and where it ends, what its values are, and which commands make them.

May import the vocabulary only.  That an RDB can stand at the head of an AOF is
known above.
"""
