"""Decode the values of RDB keys to their elements, with one decoder for each RDB type.

May import rdb.walk and everything below it, because hashes can refer to field names elsewhere in the RDB.
Commands, other RDB versions and presentation do not belong here.
"""
