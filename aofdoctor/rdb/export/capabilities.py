"""What a server line can be told by commands: one row a line.

Sources: the commands' own histories (COMMAND DOCS of Redis 8.2 and Valkey 9.1)
and what real servers took.
"""

from typing import NamedTuple

from aofdoctor.rdb.encoding.cursor import String

CommandArgs = list[String]


class Unsupported(NamedTuple):
    """Something of a value that no command of the target says; what stands beside it is said all the same."""

    description: str


class Capabilities(NamedTuple):
    """What it has: streams (5.0), XGROUP CREATECONSUMER (6.2), counters of streams, functions (7.0), field expiries."""

    has_streams: bool = False
    has_createconsumer: bool = False
    has_stream_counters: bool = False
    has_functions: bool = False
    has_field_expiry: bool = False


_5_0, _6_2, _7_0 = Capabilities(True), Capabilities(True, True), Capabilities(True, True, True, True)
_7_4 = Capabilities(True, True, True, True, True)

CAPABILITIES: dict[str, Capabilities] = {
    **dict.fromkeys(("redis-2.6", "redis-2.8", "redis-3.2", "redis-4.0"), Capabilities()),
    **dict.fromkeys(("redis-5.0", "redis-6.0"), _5_0),
    "redis-6.2": _6_2,
    **dict.fromkeys(("redis-7.0", "redis-7.2", "valkey-7.2", "valkey-8.0"), _7_0),
    **dict.fromkeys(("redis-7.4", "redis-8.0", "redis-8.2", "valkey-9.1"), _7_4),
}
