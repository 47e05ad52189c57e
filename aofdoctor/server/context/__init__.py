"""Track the context of each AOF record, as a loading server does: database, transaction and time.

May import the command table, aof and the vocabulary.  What a caller does with the context, such as filtering or
editing, does not belong here.
"""
