"""Convert an AOF to another layout (single file, multi-part), to another server version, or with shifted expiries.

May import edit/edit.py, preconditions.py and output, and everything below edit. The encoding of RDB values and commands
does not belong here: rdb/export and rdb/rewrite do that.
"""
