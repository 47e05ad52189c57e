"""The files of an AOF: discovery, manifest, records, the scanner and the reader that cuts a file into tiles.

May import rdb, which finds the end of an RDB preamble, and the vocabulary.
The meaning of commands and the behaviour of servers do not belong here.
"""
