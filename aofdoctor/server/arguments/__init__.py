"""What server versions accept in the arguments of single commands: options, DUMP payloads, keys of one slot.

May import rdb, the server versions and the vocabulary.
Whether a server has a command, and with how many arguments, belongs to the command table, not here.
"""
