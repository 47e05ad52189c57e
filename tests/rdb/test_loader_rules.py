"""The rules of the loader: each is broken by hand, and a real server and `value_defect` agree on every value."""

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.recovery.changed_byte import find_changed_byte
from aofdoctor.rdb.recovery.loader_rules import library_defect, value_defect
from aofdoctor.rdb.recovery.lua_syntax import lua_defect
from aofdoctor.rdb.recovery.repeats import has_repeats
from aofdoctor.source import BytesSource
from tests.support import rdb_value_writer as w
from tests.support.rdb_files import make_rdb, select_db
from tests.support.rdb_loading import load_dump
from tests.support.servers import servers_by_line

MAGIC = b"REDIS0010"
LIBRARY = b"#!lua name=l\nredis.register_function('f', function(keys, args) return 1 end)"


def defect(kind: int, value: bytes, magic: bytes = MAGIC) -> str:
    """Return the defect of the one key of an RDB; "unreadable" if the walk does not pass it."""
    source = BytesSource(make_rdb(select_db(0), bytes((kind,)) + w.string(b"k") + value, magic=magic))
    keys = [item for batch in ItemReader(source) for item in batch if isinstance(item, KeyItem)]
    return value_defect(source, keys[0], magic) if keys else "unreadable"


def doubles(*pairs: tuple[bytes, float]) -> bytes:
    return w.length(len(pairs)) + b"".join(w.string(member) + struct.pack("<d", score) for member, score in pairs)


LISTPACK = w.listpack([b"a", b"1", b"b", b"2"])
VALUES: dict[str, tuple[int, bytes, bool]] = {
    "a set": (2, w.length(2) + w.string(b"a") + w.string(b"b"), True),
    "a set with a member twice": (2, w.length(2) + w.string(b"a") * 2, False),
    "a hash": (4, w.length(2) + w.string(b"a") + w.string(b"1") + w.string(b"b") + w.string(b"2"), True),
    "a hash with a field twice": (4, w.length(2) + (w.string(b"a") + w.string(b"1")) * 2, False),
    "a sorted set": (5, doubles((b"a", 1.0), (b"b", 2.0)), True),
    "a sorted set with a member twice": (5, doubles((b"a", 1.0), (b"a", 2.0)), False),
    "a sorted set with nan": (5, doubles((b"a", float("nan"))), False),
    "an intset": (11, w.string(w.intset([1, 2, 3], 2)), True),
    "an intset out of order": (11, w.string(w.intset([3, 2, 1], 2)), False),
    "an intset with a member twice": (11, w.string(w.intset([1, 1], 2)), False),
    "a hash as listpack": (16, w.string(LISTPACK), True),
    "a hash as listpack with a field twice": (16, w.string(w.listpack([b"a", b"1", b"a", b"2"])), False),
    "a hash as listpack without a value": (16, w.string(w.listpack([b"a", b"1", b"b"])), False),
    "a listpack with a wrong count": (16, w.string(LISTPACK[:4] + b"\x03\x00" + LISTPACK[6:]), False),
    "a listpack with a wrong back length": (16, w.string(LISTPACK.replace(b"\x81a\x02", b"\x81a\x01")), False),
    "a hash as ziplist": (13, w.string(w.ziplist([b"a", b"1", b"b", b"2"])), True),
    "a hash as ziplist with a field twice": (13, w.string(w.ziplist([b"a", b"1", b"a", b"2"])), False),
    "a list node of no kind": (18, w.length(1) + w.length(3) + w.string(b"x"), False),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_a_value_has_a_defect_exactly_if_the_server_refuses_it(name: str) -> None:
    kind, value, loads = VALUES[name]
    assert (defect(kind, value) == "") == loads
    data = make_rdb(select_db(0), bytes((kind,)) + w.string(b"k") + value, magic=MAGIC)
    binary = servers_by_line().get("redis-7.0") or servers_by_line()["valkey-9.1"]
    if loads:
        assert load_dump(binary, data) == {"db0": 1}


@pytest.mark.parametrize("expiry", [-1, -2, -(1 << 40), 4102444800123])
def test_a_field_of_valkey_expires_never_or_after_1970(expiry: int) -> None:
    value = w.length(1) + w.string(b"f") + w.string(b"v") + struct.pack("<q", expiry)
    data = make_rdb(select_db(0), bytes((22,)) + w.string(b"k") + value, magic=b"VALKEY080")
    assert (defect(22, value, b"VALKEY080") == "") == (load_dump(servers_by_line()["valkey-9.1"], data) == {"db0": 1})


def test_the_counters_of_streams_matter_from_rdb_15_on() -> None:
    value = w.stream(2, w.length(0)).replace(w.length(1) + w.length(5) + w.length(1), b"\x09\x05\x01", 1)
    assert defect(19, value) == ""
    assert "counts 9 entries" in defect(19, value, b"REDIS0015")


def test_members_of_a_large_value_are_compared_in_bounded_memory() -> None:
    names = [b"m%d" % n for n in range(70_000)]
    assert not has_repeats(lambda: names)
    assert has_repeats(lambda: [*names, names[3]])
    assert has_repeats(lambda: [*names[:2], names[1]])


@given(st.lists(st.binary(max_size=3), max_size=30))
def test_repeats_are_those_that_a_set_finds(names: list[bytes]) -> None:
    assert has_repeats(lambda: names) == (len(set(names)) < len(names))


# -- function libraries --


def library(code: bytes) -> tuple[bytes, str]:
    data = w.string(code)
    return library_defect(Cursor(BytesSource(data)), 0, len(data))


def test_a_sound_library_has_no_defect() -> None:
    assert library(LIBRARY) == (b"l", "")
    odd = b"#!lua name=l2\r\nlocal s = [==[ ]] end ]==] --[[ do \n ]] \nif s ~= nil then repeat s = 0x1F until s end\n"
    assert library(odd + b"redis.register_function{function_name='g', callback=function() return 1e-3 .. 'x' end}") == (
        b"l2",
        "",
    )


@pytest.mark.parametrize(
    "code",
    [
        b"return 1",
        b"#!js name=l\n",
        b"#!lua\nreturn 1",
        b"#!lua name=l-1\n",
        LIBRARY[:-1],
        LIBRARY.replace(b"'f'", b"'f"),
        LIBRARY.replace(b"return 1 end", b"return 1 enD"),
        LIBRARY.replace(b"1", b"1x"),
        LIBRARY.replace(b"keys", b"ke\xf9s"),
        LIBRARY.replace(b",", b"\0", 1),
    ],
)
def test_a_library_that_no_server_loads_has_a_defect(code: bytes) -> None:
    assert library(code)[1]


@given(st.binary(max_size=200))
def test_any_bytes_of_lua_are_judged(code: bytes) -> None:
    assert isinstance(lua_defect(code), str)


# -- the one changed byte --


@given(st.binary(min_size=1, max_size=300), st.integers(0, 1 << 20), st.integers(1, 255))
def test_one_changed_byte_is_found_by_the_checksum(body: bytes, place: int, change: int) -> None:
    data = MAGIC + body + b"\xff"
    sealed = bytearray(data + crc64(data).to_bytes(8, "little"))
    at = len(MAGIC) + place % (len(body) + 1)
    sealed[at] ^= change
    assert find_changed_byte(BytesSource(bytes(sealed)), len(sealed)) == (at, sealed[at] ^ change)


def test_two_changed_bytes_are_not_taken_for_one() -> None:
    random = Random(5)
    data = MAGIC + random.randbytes(500) + b"\xff"
    sealed = bytearray(data + crc64(data).to_bytes(8, "little"))
    sealed[40] ^= 1
    sealed[300] ^= 1
    assert find_changed_byte(BytesSource(bytes(sealed)), len(sealed)) is None
