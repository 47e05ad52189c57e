"""Which arguments of single commands a server version accepts: options, DUMP payloads, keys of one hash slot.

May import rdb, the server versions and the vocabulary.  Whether a server has a command, and with how many arguments,
belongs to the command table, not here.
"""
