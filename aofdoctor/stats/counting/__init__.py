"""Count commands, keys and RDB keys in one pass and in fixed memory, in compiled code or its pure Python fallbacks.

May import `server`, `aof`, `rdb` and the shared modules.  Which counters a user asked for, and how the results are
ranked and shown, do not belong here.
"""
