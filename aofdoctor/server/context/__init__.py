"""The context of each record, as a loading server tracks it: database, transaction and time.

May import the command table, aof and the vocabulary.
What a caller does with the context, such as filtering or editing, does not belong here.
"""
