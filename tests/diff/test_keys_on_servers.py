"""`diff --by keys` calls no key equal that a real server has with another value or expiry.

Random histories of commands, and changed copies of them, are executed by a server and compared by diff.  For all
servers at hand and any number of keys: python -m tests.diff.test_keys_on_servers KEYS [SEED]
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from aofdoctor.resp import encode_command
from aofdoctor.server.resp_client import ReplyError
from aofdoctor.server.sandbox import Sandbox
from tests.support.diffs import keys_of
from tests.support.rdb_loading import digest_server
from tests.support.servers import servers_by_line

Command = tuple[bytes, ...]
KeyState = tuple[bytes, int]  # digest of the value, and the expiry in minutes since 1970, -1 without one

KEYS = (b"a", b"b", b"c", b"d", b"e", b"f")
FAR, FARTHER = b"1905828042000", b"2105828042000"  # unix milliseconds of expiries
VALUES = (b"1", b"2", b"x")
TEMPLATES = (
    """
SET K V|SET K V|SET K V|SET K V KEEPTTL|SET K V KEEPTTL|SET K V NX|SET K V XX|SET K V GET|SET K V PXAT T|SET K V EX 90000
SET K V NX PXAT T|SET K V XX KEEPTTL|SET K V EX x|SET K V PX 0|SETNX K V|SETEX K 90000 V|PSETEX K 0 V|GETSET K V|GETDEL K
GETEX K PXAT T|GETEX K PERSIST|APPEND K V|SETRANGE K 1 V|SETRANGE K 0|INCR K|INCRBYFLOAT K 1.5|SETBIT K 3 1|MSET K V K V
MSET K V K|MSETNX K V K V|PEXPIREAT K T|PEXPIREAT K T|PEXPIREAT K T NX|PEXPIREAT K T XX|PEXPIREAT K T GT|PEXPIREAT K T LT
EXPIRE K 90000|PERSIST K|DEL K|DEL K K|UNLINK K|RENAME K K|RENAMENX K K|COPY K K|COPY K K REPLACE|COPY K K DB 1|MOVE K 1
RPUSH K V|RPUSH K V V|LPUSH K V|RPUSHX K V|LPOP K|RPOP K|LREM K 0 V|LTRIM K 0 0|LSET K 0 V|LINSERT K BEFORE V V
LMOVE K K LEFT RIGHT|RPOPLPUSH K K|SADD K V|SADD K V V|SREM K V|SPOP K 9|SMOVE K K V|SUNIONSTORE K K K|SINTERSTORE K K K
SDIFFSTORE K K K|HSET K V V|HSET K V V V V|HSETNX K V V|HINCRBY K V 1|HDEL K V|ZADD K 1 V|ZADD K 2 V|ZADD K NX 3 V
ZADD K XX 4 V|ZINCRBY K 1 V|ZREM K V|ZPOPMIN K 9|ZUNIONSTORE K 2 K K|ZRANGESTORE K K 0 -1|ZREMRANGEBYRANK K 0 -1
PFADD K V|PFCOUNT K|PFMERGE K K K|XADD K 5-1 V V|XADD K 6-1 V V|XDEL K 5-1|XTRIM K MAXLEN 0|XSETID K 9-1|BITOP NOT K K
BITOP OR K K K|SORT K STORE K|SORT K ALPHA STORE K|GEOADD K 1 1 V|BITFIELD K SET u8 0 7|SELECT 1|SELECT 0|SWAPDB 0 1
FLUSHDB|RESTORE K T x ABSTTL|RESTORE K 0 x REPLACE
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


def random_command(random: Random) -> Command:
    kinds = {"K": KEYS, "V": VALUES, "T": (FAR, FARTHER)}
    words = random.choice(TEMPLATES).split()
    return tuple(random.choice(kinds[word]) if word in kinds else word.encode() for word in words)


def changed_copy(random: Random, history: list[Command]) -> list[Command]:
    """Return a history with one to three commands removed, exchanged, or replaced."""
    copy = list(history)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(copy))
        change = random.randrange(4)
        if change == 0 and len(copy) > 1:
            del copy[at]
        elif change == 1:
            copy[at] = random_command(random)
        elif change == 2:
            copy.insert(at, random_command(random))
        else:
            other = random.randrange(len(copy))
            copy[at], copy[other] = copy[other], copy[at]
    return copy


def states_after(server: Sandbox, history: Sequence[Command]) -> dict[tuple[int, str], KeyState]:
    """Return the value and expiry of every key by (database, name), after a server has executed a history."""
    server.call("FLUSHALL")
    for command in [(b"SELECT", b"0"), *history]:
        with suppress(ReplyError):  # An error at replay does not stop a load either.
            server.call(*command)
    states = {}
    for db in (0, 1):
        server.call("SELECT", db)
        names = server.call("KEYS", "*")
        assert isinstance(names, list)
        for name in names:
            assert isinstance(name, bytes)
            (digest,) = server.call("DEBUG", "DIGEST-VALUE", name)  # type: ignore[misc]
            ttl = server.call("PTTL", name)
            assert isinstance(digest, bytes) and isinstance(ttl, int)
            # Relative expiries of two runs differ by the time between the runs.
            states[db, name.decode()] = digest, -1 if ttl < 0 else round(ttl / 1e7)
    return states


def missed_keys(server: Sandbox, random: Random, folder: Path) -> Iterator[tuple[int, str]]:
    """Yield a key of two random histories that diff calls equal and that the server has otherwise."""
    one = [random_command(random) for _ in range(random.randrange(1, 16))]
    two = changed_copy(random, one)
    paths = folder / "one.aof", folder / "two.aof"
    for path, history in zip(paths, (one, two), strict=True):
        path.write_bytes(encode_command([b"SELECT", b"0"]) + b"".join(map(encode_command, map(list, history))))
    found = keys_of(*paths)
    named = {key for kind in ("only_a", "only_b", "differs") for key in found.get(kind, ())}
    first, second = states_after(server, one), states_after(server, two)
    for key in first.keys() | second.keys():
        if first.get(key) != second.get(key) and key not in named:
            print(key, one, two, first.get(key), second.get(key), sep="\n  ")
            yield key


@pytest.mark.parametrize("line", sorted(servers_by_line()))
def test_no_key_is_called_equal_that_a_server_has_otherwise(line: str, tmp_path: Path) -> None:
    random = Random(line)
    with digest_server(servers_by_line()[line]) as server:
        missed = [key for _ in range(150) for key in missed_keys(server, random, tmp_path)]
    assert missed == []


def main(keys: int, seed: str) -> int:
    missed = compared = 0
    for line, binary in servers_by_line().items():
        random = Random(f"{seed} {line}")
        with digest_server(binary) as server, tempfile.TemporaryDirectory() as folder:
            for _ in range(keys // len(KEYS) // len(servers_by_line()) + 1):
                missed += len(list(missed_keys(server, random, Path(folder))))
                compared += len(KEYS)
        print(f"{line}: {compared:,} keys so far, {missed} missed", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "0"))
