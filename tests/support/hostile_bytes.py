"""Hostile bytes: Hypothesis strategies for records that are whole, torn, malformed or look-alike; and hostile RDBs."""

from collections.abc import Iterator
from random import Random

from hypothesis import strategies as st

from aofdoctor.rdb.preamble import walk_rdb as walk_rdb
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table

COMMAND_IDS = command_table().names
NAMES = [
    b"SET",
    b"set",
    b"SELECT",
    b"MULTI",
    b"EXEC",
    b"FLUSHALL",
    b"FLUSHDB",
    b"PING",
    b"XGROUP",
    b"NOSUCH",
    b"",
    b"x" * 30,
]

arguments = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"0", b"1", b"15", b"CREATE", b"\x00" * 9, b"\r\n", encode_command([b"SET", b"a", b"b"]), b"ASYNC", b"y" * 200]
    ),
)
argvs = st.builds(lambda name, rest: [name, *rest], st.sampled_from(NAMES), st.lists(arguments, max_size=4))
records = st.builds(encode_command, argvs)
sound_records = st.one_of(
    records,
    st.sampled_from([b"#TS:1700000000\r\n", b"#TS:5\n", b"# other\n", b"*1\r\n$00004\r\nPING\r\n", encode_command([b"SELECT", b"3"]),
                     encode_command([b"MULTI"]), encode_command([b"EXEC"]), encode_command([b"FLUSHALL"]), encode_command([b"SET", b"k", b"v"]),
                     encode_command([b"SELECT", b"5\rx"]), encode_command([b"SELECT", b"5\n6"]), b"#TS:12\r34\r\n", b"#TS:12\r\r\n", b"#TS:12x\n"]),
)  # fmt: skip
MALFORMED = [
    b"*", b"$", b"#", b"#TS:17", b"*0\r\n", b"*-1\r\n", b"*2\r\n", b"*1\n$4\nPING\n", b"*1\r\n$-1\r\n", b"*1\r\n$99999999999999999999\r\n",
    b"*1\r\n$18446744073709551615\r\n", b"*99999999999999999999\r\n", b"*1\r\n$4\r\nPINGxx", b"\x00" * 70, b"\x00", b"\xef\xbb\xbf",
    b"*3junk\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", b"REDIS0009", b"VALKEY080", b"\r\n", b"*1\r\n$5\r\nab", b"*1000000000\r\n$0\r\n\r\n",
]  # fmt: skip
malformed_records = st.sampled_from(MALFORMED)
hostile_aofs = st.lists(
    st.one_of(
        sound_records,
        malformed_records,
        records.flatmap(lambda r: st.integers(0, len(r)).map(lambda n: r[:n])),
        st.binary(max_size=20),
    ),
    max_size=12,
).map(b"".join)
sound_aofs = st.lists(sound_records, max_size=12).map(b"".join)


def mutate(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    random = Random(seed)
    for _ in range(count):
        bent = bytearray(data)
        for _ in range(random.choice((1, 1, 2, 20))):
            bent[random.randrange(len(bent))] = random.choice((0, 0x80, 0x81, 0xC3, 0xFF, random.randrange(256)))
        yield bytes(bent[: random.randrange(len(bent) + 1)] if random.random() < 0.3 else bent)


HOSTILE_RDB_BODIES = {
    "a string of 2^63": b"\x00\x01k\x81" + b"\xff" * 8,
    "a list of 2^64 - 1": b"\x01\x01k\x81" + b"\xff" * 8 + b"\x00" * 1000,
    "a stream of 2^62 listpacks": b"\x0f\x01k\x81\x40" + bytes(7) + bytes(1000),
    "counts in counts": b"\x15\x01k\x00" + b"\x00" * 8 + (b"\x81" + b"\xff" * 8) * 40,
    "LZF of 2^64 - 1": b"\x00\x01k\xc3\x81" + b"\xff" * 16,
    "a module that never ends": b"\x07\x01k\x01" + b"\x01\x00" * 500,
    "opcodes for ever": b"\xf9\x05" * 500,
    "AUX for ever": b"\xfa\x01a\x01b" * 500,
    "a name of 2^63": b"\x00\x81" + b"\x7f" * 8 + b"x",
    "the end at once, without its checksum": b"\xff",
}
