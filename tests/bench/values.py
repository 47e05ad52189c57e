"""RDB files with one kind of value each, written by a server on PATH, for the benchmarks of RDB values."""

from pathlib import Path

from aofdoctor.server.sandbox import Sandbox, ServerBinary, find_servers

Commands = list[tuple[str | int, ...]]
_LOOP = "for i = 1, {count} do {body} end"


def _eval(count: int, body: str) -> tuple[str | int, ...]:
    return ("EVAL", _LOOP.format(count=count, body=body), 0)


def _many_keys(count: int, members: int, member: str, command: str) -> tuple[str | int, ...]:
    """Return the commands for `count` keys with `members` elements each."""
    inner = f"local flat = {{}} for j = 1, {members} do {member} end redis.call({command}, unpack(flat))"
    return _eval(count, inner)


_FIELD = "flat[2 * j - 1], flat[2 * j] = 'field:' .. j, 'value ' .. i .. ':' .. j"
_ITEM = "flat[j] = 'item ' .. i .. ':' .. j"
_SCORED = "flat[2 * j - 1], flat[2 * j] = i * j / 7, 'member:' .. i .. ':' .. j"


def dataset_commands(scale: float) -> dict[str, Commands]:
    """Return the commands that fill a server, by file name; a scale of 1.0 makes files of about 60 to 120 MB."""
    n = int(1000 * scale)
    return {
        "strings of 50 bytes": [
            _eval(1000 * n, "redis.call('SET', 'key:' .. i, 'value:' .. i .. string.rep('x', 50 - 6 - #('' .. i)))")
        ],
        "strings with an expiry": [_eval(1000 * n, "redis.call('SET', 'key:' .. i, i, 'PXAT', 4102444800000 + i)")],
        "strings of 10 KB": [("CONFIG", "SET", "rdbcompression", "no"), ("DEBUG", "POPULATE", 10 * n, "big", 10000)],
        "strings of 1 KB, LZF": [_eval(100 * n, "redis.call('SET', 'key:' .. i, string.rep('some text ' .. i, 60))")],
        "hashes of 5 fields": [_many_keys(300 * n, 5, _FIELD, "'HSET', 'hash:' .. i")],
        "hashes of 1,000 fields": [_many_keys(2 * n, 1000, _FIELD, "'HSET', 'hash:' .. i")],
        "lists of 20 items": [_many_keys(100 * n, 20, _ITEM, "'RPUSH', 'list:' .. i")],
        "sets of 10 numbers": [_many_keys(300 * n, 10, "flat[j] = i * j * 31", "'SADD', 'set:' .. i")],
        "zsets of 10 members": [_many_keys(150 * n, 10, _SCORED, "'ZADD', 'zset:' .. i")],
        "zsets of 1,000 members": [_many_keys(2 * n, 1000, _SCORED, "'ZADD', 'zset:' .. i")],
    }


def find_server() -> ServerBinary:
    """Return the server that writes the files."""
    return next(found for found in find_servers() if Path(found.path).name == "redis-server")


def make(commands: Commands, path: Path) -> None:
    """Let a server execute the commands and keep its RDB file."""
    with Sandbox(find_server(), ["--enable-debug-command", "yes", "--lua-time-limit", "0"], hide=()) as server:
        for command in commands:
            server.call(*command)
        server.call("SAVE")
        (server.folder / "dump.rdb").rename(path)
