"""What each command with one key does to the key, where only the digest of the whole command is compared.

The classes decide what `diff --by keys` may conclude about a key's expiry: a command that is in none of them can change
the expiry in any way, or fail.
"""

from aofdoctor.diff.key_table.effects import CommandEffect

# What a command with one key does to it, if its digest alone is compared: it creates it for certain, it changes it and
# keeps it and its expiry, or it can remove it.  Any other command can change the expiry, or fail.
_CREATING = frozenset({
    "append", "hsetnx", "lpush", "pfadd", "xadd", "xgroup", "xgroup|create", "xgroup|createconsumer", "xsetid",
    "xclaim",
})  # fmt: skip
_UPDATING = frozenset({
    "bitfield", "decr", "decrby", "geoadd", "hincrby", "hincrbyfloat", "incr", "incrby", "incrbyfloat", "linsert",
    "lpushx", "lset", "pfcount", "rpushx", "setbit", "setrange", "vadd", "vsetattr", "xack", "xautoclaim", "xdel",
    "xtrim", "zadd", "zincrby",
})  # fmt: skip
_REMOVING = frozenset({
    "hdel", "hgetdel", "hgetex", "hexpire", "hexpireat", "hpersist", "hpexpire", "hpexpireat", "hsetex", "lpop", "lrem",
    "ltrim", "rpop", "spop", "srem", "vrem", "zpopmax", "zpopmin", "zrem", "zremrangebylex", "zremrangebyrank",
    "zremrangebyscore",
})  # fmt: skip
# Commands that give a key an expiry, among those with several keys.
SETTING_EXPIRY = frozenset({"msetex"})
ALSO_CHANGING = frozenset({"pfcount"})  # It has no write flag, and stores the count that it computes.
SINGLE_KEY_EFFECTS = (
    (_CREATING, CommandEffect.MIX), (_UPDATING, CommandEffect.UPDATE), (_REMOVING, CommandEffect.REMOVE),
)  # fmt: skip
