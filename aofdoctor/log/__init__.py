"""Questions about an AOF: records and their context go in, values come out.

May import server, aof, rdb and the vocabulary.  Nothing here prints, asks or
writes: faces render the values, edit turns them into plans.
"""
