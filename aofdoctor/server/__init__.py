"""What redis-server and valkey-server know: commands, loading rules, a real one in a sandbox.

May import aof, rdb and the vocabulary.  What an operator should do about it
does not belong here.
"""
