"""Export an RDB as the commands that recreate its keys, limited to commands that the target server supports.

May import the other packages of rdb except rewrite, and the shared modules outside of rdb.
The names of server versions (server/versions.py) and the writing of files (edit) do not belong here.
"""
