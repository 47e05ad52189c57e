"""Random commands for a server: every value type that it has, expiries, transactions, scripts and whole databases."""

import time
from collections.abc import Callable
from random import Random

Word = str | bytes | int
Words = list[Word]
DATABASES = (0, 0, 0, 1, 5, 15)
_NAMES = ("1", "2", "3", "x:1", "x:2", "with space", b"\xff\x00\r\n")
FLUSHES = ("FLUSHALL", "FLUSHDB")

# Values that look like commands; a repair must not run them.  Each begins or ends like the value of a record: of commands
# in the middle of a value nothing shows that they belong to it, if the damage has its header.
_RESP_VALUES = (
    b"*1\r\n$8\r\nFLUSHALL\r\n", b"*1\r\n$8\r\nFLUSHALL\r\n*1\r\n$8\r\nFLUSHALL\r\n", b"*1\r\n$7\r\nFLUSHDB\r\n",
    b"$3\r\nabc\r\n*3\r\n$3\r\nSET\r\n$5\r\nstr:1\r\n$1\r\nx\r\n", b"*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n", b"#TS:1\r\n",
)  # fmt: skip

_FUNCTIONS = """#!lua name=%s
redis.register_function('%s_put', function(keys, args)
  redis.call('SET', keys[1], args[1])
  redis.call('RPUSH', keys[2], args[1], #args)
  return 1
end)
"""
_SCRIPT = "redis.call('SET', KEYS[1], ARGV[1]); redis.call('SADD', KEYS[2], ARGV[1], 'script'); return 1"


class CommandMaker:
    """Makes random commands; `names` are the commands of the server in lower case.

    With `has_short_expiries` some keys expire before the workload ends; with `huge_values` some values are large.
    """

    def __init__(self, chance: Random, names: frozenset[str]) -> None:
        self.chance, self.names = chance, names
        self.has_short_expiries = chance.random() < 0.5
        self.huge_values = chance.random() < 0.04
        self.serial = 0
        self.makers: list[Callable[[], Words]] = []
        for weight, group in self._groups().items():
            self.makers += [maker for name, maker in group for _ in range(weight) if name in names]

    def command(self) -> Words:
        """Make one command."""
        return self.chance.choice(self.makers)()

    def block(self) -> list[Words]:
        """Make one command, a transaction, or a change of database."""
        roll = self.chance.random()
        if roll < 0.1:
            return [["SELECT", self.chance.choice(DATABASES)]]
        if roll < 0.22:
            inner = [self.command() for _ in range(self.chance.randint(1, 6))]
            if self.chance.random() < 0.2:
                inner.insert(1, ["SELECT", self.chance.choice(DATABASES)])
            return [["MULTI"], *inner, ["EXEC"]]
        return [self.command()]

    # -- pieces --

    def key(self, kind: str) -> bytes:
        name = self.chance.choice(_NAMES)
        return kind.encode() + b":" + (name if isinstance(name, bytes) else name.encode())

    def value(self) -> bytes:
        self.serial += 1
        return self.chance.choice((
            b"%d" % self.chance.randrange(-1000, 100_000), b"v%d" % self.serial, b"v%d" % self.serial, b"",
            bytes(self.chance.randrange(256) for _ in range(self.chance.randrange(1, 40))),
            b"long %d " % self.serial * self.chance.randrange(2, 200),
            self.chance.choice(_RESP_VALUES) if self.chance.random() < 0.3 else b"\r\n",
            self._huge() if self.huge_values else "größe".encode(),
        ))  # fmt: skip

    def _huge(self) -> bytes:
        """Make a value that is larger than the buffers of readers, in some cases."""
        return self.chance.randbytes(self.chance.choice((100, 5000, 70_000, 600_000)))

    def field(self) -> str:
        return f"f{self.chance.randrange(8)}"

    def number(self) -> int:
        return self.chance.randrange(-50, 50)

    def far_ms(self) -> int:
        return self.chance.randrange(100_000_000, 900_000_000)

    def far_time_ms(self) -> int:
        return int(time.time() * 1000) + self.far_ms()

    def _pairs(self, most: int = 4) -> Words:
        return [word for _ in range(self.chance.randint(1, most)) for word in (self.field(), self.value())]

    def _scores(self) -> Words:
        return [word for _ in range(self.chance.randint(1, 4))
                for word in (f"{self.chance.uniform(-9, 9):.4g}", self.field())]  # fmt: skip

    def _values(self, most: int = 4) -> Words:
        return [self.value() for _ in range(self.chance.randint(1, most))]

    def _expiry(self) -> Words:
        kind = self.chance.choice(("EX", "PX", "PXAT", "short"))
        if kind == "short" and not self.has_short_expiries:
            kind = "EX"
        if kind == "short":
            return ["PX", self.chance.randint(1, 15)]
        if kind == "PXAT":
            return ["PXAT", self.far_time_ms()]
        return [kind, self.far_ms() // (1000 if kind == "EX" else 1)]

    def any_key(self) -> bytes:
        return self.key(self.chance.choice(("str", "num", "list", "set", "zset", "hash", "stream", "vec", "arr")))

    def _library(self) -> str:
        return f"lib{self.chance.randrange(3)}"

    # -- commands, by how often they are made --

    def _groups(self) -> dict[int, list[tuple[str, Callable[[], Words]]]]:
        return {
            6: [("set", self._set), ("hset", lambda: ["HSET", self.key("hash"), *self._pairs()]),
                ("rpush", lambda: ["RPUSH", self.key("list"), *self._values()]),
                ("sadd", lambda: ["SADD", self.key("set"), *self._values()]),
                ("zadd", lambda: ["ZADD", self.key("zset"), *self._scores()]),
                ("xadd", lambda: ["XADD", self.key("stream"), "*", *self._pairs(2)])],
            3: [*self._string_commands(), *self._key_commands()],
            2: [*self._collection_commands(), *self._stream_commands(), *self._newest_commands()],
            1: self._rare_commands(),
        }  # fmt: skip

    def _set(self) -> Words:
        tails: list[Words] = [[], [], self._expiry(), ["KEEPTTL"], ["NX"]]
        tail = self.chance.choice(tails)
        if "PXAT" in tail and "pexpiretime" not in self.names and "lmpop" not in self.names:
            tail = ["PX", self.far_ms()]
        return ["SET", self.key("str"), self.value(), *tail]

    def _string_commands(self) -> list[tuple[str, Callable[[], Words]]]:
        return [
            ("incrby", lambda: ["INCRBY", self.key("num"), self.number()]),
            ("incrbyfloat", lambda: ["INCRBYFLOAT", self.key("num"), "0.25"]),
            ("append", lambda: ["APPEND", self.key("str"), self.value()]),
            ("mset", lambda: ["MSET", self.key("str"), self.value(), self.key("str"), self.value()]),
            ("setrange", lambda: ["SETRANGE", self.key("str"), self.chance.randrange(50), self.value()]),
            ("getex", lambda: ["GETEX", self.key("str"), *self._expiry()]),
            ("getdel", lambda: ["GETDEL", self.key("str")]),
            ("setbit", lambda: ["SETBIT", self.key("bits"), self.chance.randrange(200), 1]),
            ("psetex", lambda: ["PSETEX", self.key("str"), self.far_ms(), self.value()]),
        ]

    def _key_commands(self) -> list[tuple[str, Callable[[], Words]]]:
        return [
            ("del", lambda: ["DEL", self.any_key(), self.any_key()]),
            ("unlink", lambda: ["UNLINK", self.any_key()]),
            ("expire", lambda: ["EXPIRE", self.any_key(), self.far_ms() // 1000]),
            ("pexpireat", lambda: ["PEXPIREAT", self.any_key(), self.far_time_ms()]),
            ("persist", lambda: ["PERSIST", self.any_key()]),
            ("rename", lambda: ["RENAME", self.key("str"), self.key("str")]),
            ("copy", lambda: ["COPY", self.key("hash"), self.key("hash"), "REPLACE"]),
        ]

    def _collection_commands(self) -> list[tuple[str, Callable[[], Words]]]:
        key, chance = self.key, self.chance
        return [
            ("lpush", lambda: ["LPUSH", key("list"), *self._values()]),
            ("lpop", lambda: ["LPOP", key("list"), chance.randint(1, 3)]),
            ("lset", lambda: ["LSET", key("list"), 0, self.value()]),
            ("ltrim", lambda: ["LTRIM", key("list"), 0, chance.randrange(30)]),
            ("linsert", lambda: ["LINSERT", key("list"), "BEFORE", "1", self.value()]),
            ("lmove", lambda: ["LMOVE", key("list"), key("list"), "LEFT", "RIGHT"]),
            ("blpop", lambda: ["BLPOP", key("list"), key("list"), "0.01"]),
            ("spop", lambda: ["SPOP", key("set"), chance.randint(1, 3)]),
            ("sinterstore", lambda: ["SINTERSTORE", key("set"), key("set"), key("set")]),
            ("sunionstore", lambda: ["SUNIONSTORE", key("set"), key("set"), key("set")]),
            ("smove", lambda: ["SMOVE", key("set"), key("set"), "script"]),
            ("sadd", lambda: ["SADD", key("set"), *(chance.randrange(9999) for _ in range(chance.randint(1, 40)))]),
            ("zincrby", lambda: ["ZINCRBY", key("zset"), "1.5", self.field()]),
            ("zunionstore", lambda: ["ZUNIONSTORE", key("zset"), 2, key("zset"), key("zset"), "WEIGHTS", 1, 2]),
            ("zpopmin", lambda: ["ZPOPMIN", key("zset")]),
            ("zrangestore", lambda: ["ZRANGESTORE", key("zset"), key("zset"), 0, 2]),
            ("geoadd", lambda: ["GEOADD", key("zset"), "13.3", "52.5", self.field()]),
            ("hincrby", lambda: ["HINCRBY", key("count"), self.field(), self.number()]),
            ("hincrbyfloat", lambda: ["HINCRBYFLOAT", key("count"), self.field(), "0.5"]),
            ("hdel", lambda: ["HDEL", key("hash"), self.field()]),
            ("hpexpire", lambda: ["HPEXPIRE", key("hash"), self.far_ms(), "FIELDS", 2, self.field(), self.field()]),
            ("hpexpireat", lambda: ["HPEXPIREAT", key("hash"), self.far_time_ms(), "FIELDS", 1, self.field()]),
            ("hpersist", lambda: ["HPERSIST", key("hash"), "FIELDS", 1, self.field()]),
            ("pfadd", lambda: ["PFADD", key("hll"), *self._values()]),
            ("pfmerge", lambda: ["PFMERGE", key("hll"), key("hll")]),
            ("bitop", lambda: ["BITOP", "OR", key("bits"), key("bits"), key("bits")]),
        ]

    def _stream_commands(self) -> list[tuple[str, Callable[[], Words]]]:
        key, chance = self.key, self.chance
        return [
            ("xadd", lambda: ["XADD", key("stream"), "MAXLEN", "~", 5, "*", *self._pairs(1)]),
            ("xgroup", lambda: ["XGROUP", "CREATE", key("stream"), f"g{chance.randrange(2)}", chance.choice("0$"), "MKSTREAM"]),
            ("xreadgroup", lambda: ["XREADGROUP", "GROUP", f"g{chance.randrange(2)}", f"c{chance.randrange(2)}",
                                    "COUNT", 2, "STREAMS", key("stream"), ">"]),
            ("xautoclaim", lambda: ["XAUTOCLAIM", key("stream"), "g0", "c1", 0, "0", "COUNT", 1]),
            ("xtrim", lambda: ["XTRIM", key("stream"), "MAXLEN", chance.randrange(6)]),
            ("xgroup", lambda: ["XGROUP", "DESTROY", key("stream"), "g1"]),
        ]  # fmt: skip

    def _newest_commands(self) -> list[tuple[str, Callable[[], Words]]]:
        key, chance = self.key, self.chance
        return [
            ("vadd", lambda: ["VADD", key("vec"), "VALUES", 3, *(f"{chance.uniform(-1, 1):.3f}" for _ in range(3)), self.field()]),
            ("vadd", lambda: ["VADD", key("vec"), "VALUES", 3, "0.1", "0.2", "0.3", self.field(), "SETATTR", '{"a":1}']),
            ("vrem", lambda: ["VREM", key("vec"), self.field()]),
            ("arset", lambda: ["ARSET", key("arr"), chance.randrange(9000), *self._values()]),
            ("arinsert", lambda: ["ARINSERT", key("arr"), *self._values()]),
            ("ardel", lambda: ["ARDEL", key("arr"), chance.randrange(10)]),
            ("hsetex", lambda: ["HSETEX", key("hash"), *self._expiry(), "FIELDS", 1, self.field(), self.value()]),
            ("hgetex", lambda: ["HGETEX", key("hash"), "EX", self.far_ms() // 1000, "FIELDS", 1, self.field()]),
            ("hgetdel", lambda: ["HGETDEL", key("hash"), "FIELDS", 1, self.field()]),
            ("msetex", lambda: ["MSETEX", 2, key("str"), self.value(), key("str"), self.value(), "PX", self.far_ms()]),
            ("increx", lambda: ["INCREX", key("num"), "BYINT", 3, "PX", self.far_ms()]),
            ("delex", lambda: ["DELEX", key("str")]),
            ("delifeq", lambda: ["DELIFEQ", key("str"), self.value()]),
            ("lmovem", lambda: ["LMOVEM", key("list"), key("list"), "LEFT", "LEFT", "COUNT", 2]),
            ("xdelex", lambda: ["XDELEX", key("stream"), "KEEPREF", "IDS", 1, "1-1"]),
        ]  # fmt: skip

    def _rare_commands(self) -> list[tuple[str, Callable[[], Words]]]:
        key, chance = self.key, self.chance
        return [
            ("flushdb", lambda: ["FLUSHDB", *chance.choice(([], ["ASYNC"]))]),
            ("flushall", lambda: ["FLUSHALL"]),
            ("swapdb", lambda: ["SWAPDB", chance.choice(DATABASES), chance.choice(DATABASES)]),
            ("move", lambda: ["MOVE", self.any_key(), chance.choice(DATABASES)]),
            ("copy", lambda: ["COPY", key("str"), key("str"), "DB", chance.choice(DATABASES)]),
            ("eval", lambda: ["EVAL", _SCRIPT, 2, key("str"), key("set"), self.value()]),
            ("function", self._function_load),
            ("function", lambda: ["FUNCTION", "DELETE", self._library()]),
            ("fcall", lambda: ["FCALL", f"{self._library()}_put", 2, key("str"), key("list"), self.value()]),
            ("fcall", lambda: ["FCALL", f"{self._library()}_put", 2, key("str"), key("list"), self.value()]),
            ("sort", lambda: ["SORT", key("list"), "ALPHA", "STORE", key("list")]),
            ("geosearchstore", lambda: ["GEOSEARCHSTORE", key("zset"), key("zset"), "FROMLONLAT", 13, 52, "BYRADIUS", 500, "km", "ASC"]),
        ]  # fmt: skip

    def _function_load(self) -> Words:
        library = self._library()
        return ["FUNCTION", "LOAD", "REPLACE", _FUNCTIONS % (library, library)]
