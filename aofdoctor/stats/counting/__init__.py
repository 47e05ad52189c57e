"""Count records, key names and RDB keys in one pass and in fixed memory: the compiled counters and their fallbacks.

May import `server`, `aof`, `rdb` and the shared vocabulary.
Which counters a user asked for, and how the results are ranked and shown, do not belong here.
"""
