"""Regenerate fixtures/rdb: one small file for every type byte and RDB version that an installed server writes.

    python -m tests.tools.make_rdb_fixtures fixtures/rdb

Next to each file is a description of its keys as the server reported them before
it saved: type, value, expiry, OBJECT ENCODING, DEBUG DIGEST-VALUE, and the
options that the server was started with.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.support.key_descriptions import dataset_digest, describe_by_server, library_codes
from tests.support.servers import servers_by_line

SOON = 4_102_444_800_000  # 2100-01-01.
LINES = {"redis-6.2": "v9", "redis-7.0": "v10", "redis-8.2": "v12", "valkey-9.1": "valkey80"}
NEWER = ("redis-7.0", "redis-8.2", "valkey-9.1")
PACKED = ("redis-8.2", "valkey-9.1")
_BINARY = bytes(range(256))
_SMALL = ["-129", "-128", "127", "128", "32767", "32768", "-32769", "2147483647", "2147483648", "-9223372036854775808"]
_LONG = "the same words and " * 40


class Story(NamedTuple):
    """The commands, the release lines that write the type with them, and the required options."""

    lines: tuple[str, ...]
    commands: list[tuple[Any, ...]]
    options: tuple[str, ...] = ()


_ALL = tuple(LINES)
_ITEMS = [
    *_SMALL,
    "",
    "a",
    "b" * 63,
    "c" * 64,
    "d" * 4095,
    "e" * 4096,
    "f" * 16390,
    _BINARY,
    "0",
    "12",
    "13",
    "007",
    "-0",
    "1.5",
]
_SCORES = ["0", "-1", "0.1", "3.1400000000000001", "1e300", "-inf", "inf", "17179869184", "2.5e-10", "9007199254740993"]
_STREAM: list[tuple[Any, ...]] = [
    *[("XADD", "s", f"{ms}-{seq}", "field", f"value {ms}", "n", seq) for ms in (100, 200, 300) for seq in range(1, 41)],
    ("XADD", "s", "18446744073709551614-0", "other", _BINARY, "fields", "-5", "than", ""),
    *[("XDEL", "s", f"200-{seq}") for seq in (1, 2, 30)],
    ("XGROUP", "CREATE", "s", "readers", "100-40"),
    ("XGROUP", "CREATE", "s", "idle", "0"),
    ("XGROUP", "CREATECONSUMER", "s", "readers", "nothing pending"),
    *[("XCLAIM", "s", "readers", f"reader {seq % 2}", 0, f"{ms}-{seq}", "TIME", 1_700_000_000_000 + seq, "RETRYCOUNT", seq,
       "JUSTID", "FORCE") for ms in (100, 300) for seq in (1, 2, 3, 20)],
    ("XDEL", "s", "300-2"),
    ("XADD", "trimmed", "5-1", "a", "b"), ("XADD", "trimmed", "6-1", "a", "b"), ("XADD", "trimmed", "7-1", "a", "b"),
    ("XGROUP", "CREATE", "trimmed", "g", "0"),
    ("XCLAIM", "trimmed", "g", "c", 0, "5-1", "TIME", 1_700_000_000_000, "RETRYCOUNT", 7, "JUSTID", "FORCE"),
    ("XCLAIM", "trimmed", "g", "c", 0, "7-1", "TIME", 1_700_000_000_000, "RETRYCOUNT", 8, "JUSTID", "FORCE"),
    ("XTRIM", "trimmed", "MAXLEN", 1),
    ("XADD", "emptied", "9-9", "a", "b"), ("XDEL", "emptied", "9-9"),
    ("XGROUP", "CREATE", "never used", "g", "$", "MKSTREAM"),
]  # fmt: skip
_TIMED = [("HSET", "h", "forever", "1", "timed", "2", "sooner", "3", _BINARY, _BINARY), ("HPEXPIREAT", "h", SOON + 9, "FIELDS", 1, "timed"),
          ("HPEXPIREAT", "h", SOON + 1, "FIELDS", 2, "sooner", _BINARY)]  # fmt: skip
_SMALL_HASHES, _SMALL_ZSETS = ("--hash-max-ziplist-entries", "2"), ("--zset-max-ziplist-entries", "2")
_LARGE_PACKS = ("--hash-max-ziplist-value", "70000", "--zset-max-ziplist-value", "70000")
_SHORT = [item for item in _ITEMS if len(item) < 100]
_PAIRS = [piece for number, item in enumerate(_ITEMS) for piece in (f"f{number}", item)]
_SCORED = [piece for number, score in enumerate(_SCORES) for piece in (score, f"m{number}")]

STORIES: dict[str, Story] = {
    "string": Story(_ALL, [*[("SET", f"k{number}", item) for number, item in enumerate(_ITEMS)], ("SET", "lzf", _LONG), ("SET", "large", "g" * 200_000), ("SET", "", "no name"),
                           ("SET", _BINARY, "binary name"), ("SET", "12345", "a number for a name")]),
    "keys": Story(_ALL, [("SET", "expires", "1", "PX", 1), ("SET", "expires", "1"), ("PEXPIREAT", "expires", SOON),
                         ("SELECT", 9), ("RPUSH", "other db", "1"), ("PEXPIREAT", "other db", SOON + 1000), ("SET", "stays", 1)]),
    "idle": Story(_ALL, [("SET", "a", "1"), ("RPUSH", "l", "1")], ("--maxmemory-policy", "allkeys-lru", "--maxmemory", "1gb")),
    "freq": Story(_ALL, [("SET", "a", "1"), ("RPUSH", "l", "1")], ("--maxmemory-policy", "allkeys-lfu", "--maxmemory", "1gb")),
    "set": Story(_ALL, [("SADD", "s", *_ITEMS)]),
    "hash": Story(_ALL, [("HSET", "h", *_PAIRS)], _SMALL_HASHES),
    "zset2": Story(_ALL, [("ZADD", "z", *_SCORED, "5", _BINARY)], _SMALL_ZSETS),
    "set-intset": Story(_ALL, [("SADD", "i16", 1, -2, 300), ("SADD", "i32", 1, 70000), ("SADD", "i64", -1, 1 << 40)]),
    "zset-ziplist": Story(("redis-6.2",), [("ZADD", "z", *_SCORED)], _LARGE_PACKS),
    "hash-ziplist": Story(("redis-6.2",), [("HSET", "h", *_PAIRS)], _LARGE_PACKS),
    "list-quicklist": Story(("redis-6.2",), [("RPUSH", "l", *_ITEMS), ("RPUSH", "n", *range(300))], ("--list-max-ziplist-size", "100")),
    "hash-listpack": Story(NEWER, [("HSET", "h", *_PAIRS)], _LARGE_PACKS),
    "zset-listpack": Story(NEWER, [("ZADD", "z", *_SCORED)], _LARGE_PACKS),
    "list-quicklist2": Story(NEWER, [("RPUSH", "l", *_ITEMS), ("RPUSH", "n", *range(300)), ("RPUSH", "plain", "p" * 9000, "q" * 200_000, "after")], ("--list-max-ziplist-size", "-1")),
    "set-listpack": Story(PACKED, [("SADD", "s", *_SHORT)]),
    "stream": Story(("redis-6.2",), _STREAM, ("--stream-node-max-entries", "30")),
    "stream2": Story(("redis-7.0",), _STREAM, ("--stream-node-max-entries", "30")),
    "stream3": Story(PACKED, _STREAM, ("--stream-node-max-entries", "30")),
    "hash-metadata": Story(("redis-8.2",), _TIMED, _SMALL_HASHES),
    "hash-listpack-ex": Story(("redis-8.2",), _TIMED, ("--hash-max-listpack-value", "300")),
    "hash-expiry": Story(("valkey-9.1",), _TIMED),
    "function": Story(NEWER, [("FUNCTION", "LOAD", "#!lua name=mine\nredis.register_function('one', function() return 1 end)"), ("SET", "a", "1")]),
}  # fmt: skip


def make(name: str, story: Story, binary: ServerBinary, target: Path) -> None:
    """Write one file and its description."""
    debug = ("--enable-debug-command", "yes") if binary.version >= (7, 0, 0) else ()
    with Sandbox(binary, [*story.options, *debug], hide=()) as server:
        server.client.pipeline(story.commands)
        server.call("SELECT", 0)
        server.call("SAVE")
        description = {
            "server": binary.title, "options": story.options,
            "digest": dataset_digest(server), "functions": library_codes(server), "keys": describe_by_server(server),
        }  # fmt: skip
        shutil.copyfile(server.folder / "dump.rdb", target / f"{name}.rdb")
    rows = re.sub(r"\n {3,}|\n {2}(?=[\]}])", " ", json.dumps(description, indent=1))
    (target / f"{name}.json").write_text(rows + "\n")


def main() -> None:
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, story in STORIES.items():
        for line in story.lines:
            make(f"{name}-{LINES[line]}", story, servers_by_line()[line], target)


if __name__ == "__main__":
    main()
