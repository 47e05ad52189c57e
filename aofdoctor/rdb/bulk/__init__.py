"""Encode the common keys of an RDB as RESP commands or as previews, many keys per call, in compiled code.

May import `rdb/encoding`, `rdb/walk` and `rdb/values`; keys that it does not handle are left to `rdb/export`.
Choosing what a target server can load, and reporting what it cannot, do not belong here.
"""
