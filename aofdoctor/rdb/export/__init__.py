"""Export an RDB as the commands that recreate its keys, for a server with given capabilities.

May import the other packages of rdb except rewrite, and the vocabulary.
The names of server versions (server/versions.py) and the writing of files (edit) do not belong here.
"""
