"""The files of an AOF: finding and opening them, the manifest, and reading their commands and annotations.

reader.py divides each file completely into batches of records, an RDB preamble, and damage.
May import rdb, which finds the end of an RDB preamble, and the shared modules of aofdoctor/*.py.
The meaning of commands and the behaviour of servers do not belong here.
"""
