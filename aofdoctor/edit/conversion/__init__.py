"""Conversions: an AOF in another layout, for another server version, or with shifted expiries.

May import edit/edit.py, preconditions.py and output, and everything below edit.
The encoding of RDB values and commands does not belong here: rdb/export and rdb/rewrite do that.
"""
