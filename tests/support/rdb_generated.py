"""Random RDBs with keys of every common type, reproducible from a seed, in all forms that a server reads."""

import struct
from collections.abc import Callable
from random import Random

from tests.support import rdb_value_writer as w
from tests.support.rdb_unreleased import UnreleasedRdb, with_checksum

TEXTS = [
    b"",
    b"x",
    b"-0",
    b"007",
    b"x" * 63,
    b"y" * 64,
    b"z" * 300,
    b"w" * 5000,
    b"v" * 17000,
    b"ab" * 40,
    b"\x00\xff\r\n",
]
NUMBERS = [
    b"%d" % number for number in (0, 12, 127, 128, -1, 4095, -4096, -4097, 1 << 15, -(1 << 31), 1 << 40, -(1 << 63))
]
SCORES = [b"0", b"-0", b"17", b"3.5", b"1e+20", b"0.1", b"inf", b"-inf", b"14.285714285714286", b"1.7976931348623157e+308",
          b"5e-324", b"100000000000000000000000", b"9007199254740993", b"123456789012345678"]  # fmt: skip


def random_elements(random: Random, count: int) -> list[bytes]:
    return [
        random.choice((random.choice(TEXTS[:6]), random.choice(NUMBERS), random.choice(TEXTS))) for _ in range(count)
    ]


def encode_string(random: Random, data: bytes) -> bytes:
    """Encode a string in one of the ways a server may store it: raw, LZF, or as an integer."""
    number = w.number(data)
    if number is not None and -(1 << 31) <= number < 1 << 31 and random.random() < 0.8:
        width = next(width for width in (1, 2, 4) if -(1 << 8 * width - 1) <= number < 1 << 8 * width - 1)
        return bytes((0xC0 | width.bit_length() - 1,)) + number.to_bytes(width, "little", signed=True)
    return w.lzf_string(w.lzf(data), len(data)) if data and random.random() < 0.4 else w.string(data)


def encode_strings(random: Random, items: list[bytes], width: int) -> bytes:
    return w.length(len(items) // width) + b"".join(encode_string(random, item) for item in items)


def encode_scores(random: Random, items: list[bytes]) -> bytes:
    doubles = [
        random.choice((random.uniform(-9, 9), float(random.randrange(-99, 1 << 60)), 0.1, float("inf"), -0.0))
        for _ in items
    ]
    body = b"".join(
        encode_string(random, item) + struct.pack("<d", score) for item, score in zip(items, doubles, strict=True)
    )
    return w.length(len(items)) + body


def with_scores(random: Random, items: list[bytes]) -> list[bytes]:
    return [piece for item in items for piece in (item, random.choice(SCORES))]


def encode_nodes(random: Random, items: list[bytes], version: int) -> bytes:
    parts, pack = [], w.listpack if version == 2 else w.ziplist
    for at in range(0, len(items), 40):
        parts.append((w.length(2) if version == 2 else b"") + encode_string(random, pack(items[at : at + 40])))
        if version == 2 and random.random() < 0.3:
            parts.append(w.length(1) + encode_string(random, b"alone" * 30))
    return w.length(sum(1 for _ in parts)) + b"".join(parts)


def encode_intset(random: Random, count: int) -> bytes:
    width = random.choice((2, 4, 8))
    return w.intset([random.randrange(-(1 << 8 * width - 1), 1 << 8 * width - 1) for _ in range(count)], width)


VALUES: dict[int, Callable[[Random, int], bytes]] = {
    0: lambda r, n: encode_string(r, b"".join(random_elements(r, 1 + n % 3))),
    1: lambda r, n: encode_strings(r, random_elements(r, n), 1),
    2: lambda r, n: encode_strings(r, random_elements(r, n), 1),
    4: lambda r, n: encode_strings(r, random_elements(r, 2 * n), 2),
    5: lambda r, n: encode_scores(r, random_elements(r, n)),
    10: lambda r, n: encode_string(r, w.ziplist(random_elements(r, n))),
    11: lambda r, n: encode_string(r, encode_intset(r, n)),
    12: lambda r, n: encode_string(r, w.ziplist(with_scores(r, random_elements(r, n)))),
    13: lambda r, n: encode_string(r, w.ziplist(random_elements(r, 2 * n))),
    14: lambda r, n: encode_nodes(r, random_elements(r, n), 1),
    16: lambda r, n: encode_string(r, w.listpack(random_elements(r, 2 * n))),
    17: lambda r, n: encode_string(r, w.listpack(with_scores(r, random_elements(r, n)))),
    18: lambda r, n: encode_nodes(r, random_elements(r, n), 2),
    20: lambda r, n: encode_string(r, w.listpack(random_elements(r, n))),
}


def random_opcodes(random: Random) -> bytes:
    """Return opcodes that may precede a key."""
    return b"".join(
        random.choice((b"", b"", opcode))
        for opcode in (
            b"\xfc" + random.choice((1, 1 << 41, (1 << 63) - 1, -5)).to_bytes(8, "little", signed=True),
            b"\xfd" + random.randrange(1 << 31).to_bytes(4, "little"),
            b"\xf8" + w.length(random.choice((3, 100, 100_000))),
            b"\xf9\x05",
        )
    )


def random_key(random: Random, number: int, kind: int, count: int) -> bytes:
    select = b"\xfe" + w.length(random.randrange(3)) if random.random() < 0.05 else b""
    name = random.choice((b"key:%d" % number, b"%d" % number, b"n" * 200 + b"%d" % number))
    return select + random_opcodes(random) + bytes((kind,)) + encode_string(random, name) + VALUES[kind](random, count)


def random_rdb(seed: int, keys: int) -> bytes:
    random = Random(seed)
    counts = (0, 1, 2, 5, 7, 8, 31, 63, 64, 65, 97, 128, 129, 300)
    body = b"".join(
        random_key(random, number, random.choice([*VALUES]), random.choice(counts)) for number in range(keys)
    )
    return with_checksum(UnreleasedRdb(b"REDIS0011", body, []))
