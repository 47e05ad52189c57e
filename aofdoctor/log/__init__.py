"""The log as a user reads it: commands in context, selections, positions, times, flushes and the keys of a base.

May import `server`, `aof`, `rdb` and the shared vocabulary.  Judgements about an AOF (`check`, `stats`, `diff`),
changes to it (`edit`) and anything that prints or asks (`cli`) do not belong here.
"""
