"""Rewrite an RDB as an RDB of another version or dialect.

May import the other packages of rdb except export, and the shared modules outside of rdb.
The names of server versions (server/versions.py) and the writing of files (edit) do not belong here.
"""
