"""The log of an AOF as a user reads it: commands with their context, selected, located and ordered.

Covers selections, positions, times, flushes, restarts, and the keys of an RDB base.

May import `server`, `aof`, `rdb` and the shared vocabulary.  Judgements about an AOF (`check`, `stats`, `diff`),
changes to it (`edit`) and anything that prints or asks (`cli`) do not belong here.
"""
