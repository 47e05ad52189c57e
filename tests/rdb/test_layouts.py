"""Value layouts that no installed server writes, and every packed layout: the decoders return the written elements."""

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.rdb.encoding import _pyruns, lzf, runs
from aofdoctor.rdb.encoding.cursor import LARGE_STRING_SIZE, CorruptValue, Cursor, LargeString
from aofdoctor.rdb.export.command_args import Unsupported
from aofdoctor.rdb.export.commands import value_commands
from aofdoctor.rdb.export.resp import encode_commands, encode_if_bytes
from aofdoctor.rdb.values.decoders import HashField, SortedSetMember, ValueRef, elements, score_text
from aofdoctor.rdb.values.modules import ModulePart, ModuleType
from aofdoctor.rdb.values.streams import (
    Consumer,
    ConsumerGroup,
    PendingEntry,
    ProducerEntry,
    ProducerSummary,
    StreamEntry,
    StreamId,
    StreamMeta,
)
from aofdoctor.resp import encode_command as record
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import BytesSource
from tests.support import rdb_value_writer as w

ints = st.integers(-(1 << 63), (1 << 63) - 1).map(lambda n: b"%d" % n)
items = st.lists(st.one_of(ints, st.integers(-70000, 70000).map(lambda n: b"%d" % n), st.binary(max_size=80),
                           st.sampled_from([b"x" * n for n in (63, 64, 126, 127, 4095, 4096, 16380, 16384)])), max_size=40)  # fmt: skip


def read(kind: int, data: bytes, dialect: str = "redis") -> list[Any]:
    return list(elements(Cursor(BytesSource(b"before" + data)), ValueRef(6, kind, dialect)))


def export_value(kind: int, data: bytes, line: str = "redis-7.4") -> list[Any]:
    return list(value_commands(Cursor(BytesSource(data)), ValueRef(0, kind), b"k", None, VERSIONS[line].capabilities))


@given(items)
def test_listpacks_and_ziplists(values: list[bytes]) -> None:
    for kind, pack in ((10, w.ziplist), (20, w.listpack)):
        assert read(kind, w.string(pack(values))) == values


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=20), st.integers(0, 3))
def test_zipmaps(pairs: list[tuple[bytes, bytes]], free: int) -> None:
    assert read(9, w.string(w.zipmap(pairs, free))) == [HashField(name, value, None) for name, value in pairs]


@given(st.lists(st.integers(-(1 << 15), (1 << 15) - 1)), st.sampled_from([2, 4, 8]))
def test_intsets(members: list[int], width: int) -> None:
    assert read(11, w.string(w.intset(members, width))) == [b"%d" % member for member in members]


@given(st.lists(st.tuples(st.binary(max_size=9), st.floats(allow_nan=False))))
def test_scores_as_text_are_exact_and_so_are_those_we_write(scores: list[tuple[bytes, float]]) -> None:
    got = read(3, w.length(len(scores)) + w.old_zset(scores)[len(w.length(len(scores))) :])
    assert got == [SortedSetMember(member, score) for member, score in scores]
    assert [float(score_text(score)) for _, score in scores] == [score for _, score in scores]


def test_a_score_that_is_not_a_number_is_read_but_unsupported() -> None:
    data = w.old_zset([(b"a", 1.0), (b"b", math.nan)])
    assert math.isnan(read(3, data)[1].score)
    assert export_value(3, data) == [Unsupported("a member whose score is not a number"), [b"ZADD", b"k", b"1", b"a"]]


@given(items)
def test_linked_lists_of_redis_1(values: list[bytes]) -> None:
    assert read(1, w.length(len(values)) + b"".join(map(w.string, values))) == values


def test_hashes_of_the_release_candidates_of_redis_7_4() -> None:
    rows = [(b"a", b"1", 5000), (b"b", b"2", 0)]
    plain = w.length(2) + b"".join(w.length(t) + w.string(f) + w.string(v) for f, v, t in rows)
    packed = w.string(w.listpack([item for f, v, t in rows for item in (f, v, b"%d" % t)]))
    assert read(22, plain) == read(23, packed) == [HashField(b"a", b"1", 5000), HashField(b"b", b"2", None)]


def test_field_expiries_unknown_to_a_target_are_reported_as_lost() -> None:
    data = w.length(1) + w.length(5000) + w.string(b"f") + w.string(b"v")
    assert export_value(22, data) == [
        [b"HMSET", b"k", b"f", b"v"],
        [b"HPEXPIREAT", b"k", b"5000", b"FIELDS", b"1", b"f"],
    ]
    assert export_value(22, data, "redis-7.2") == [
        [b"HMSET", b"k", b"f", b"v"],
        Unsupported("when fields of a hash expire"),
    ]


def test_streams_of_redis_8_6_and_8_8() -> None:
    """Types 26 and 27 hold the identifiers of idempotent producers, and pending entries without a consumer."""
    producers = b"".join(
        [*map(w.length, (100, 50, 1)), w.string(b"p"), w.length(1), w.string(b"iid"), *map(w.length, (5, 1, 7, 2))]
    )
    pending = w.length(1) + w.raw_id(5, 1) + (9).to_bytes(8, "little") + w.length(3)
    group = w.length(1) + w.string(b"g") + w.length(5) + w.length(1) + w.length(1) + pending
    owned = group + w.length(1) + w.string(b"c") + bytes(16) + w.length(1) + w.raw_id(5, 1)
    nobody = group + w.length(0) + w.length(1) + w.raw_id(5, 1)
    start = [
        StreamEntry(StreamId(5, 1), [b"a", b"b"]),
        StreamMeta(1, StreamId(5, 1), StreamId(5, 1), StreamId(0, 0), 1),
        ConsumerGroup(b"g", StreamId(5, 1), 1),
    ]
    end = [ProducerEntry(b"p", b"iid", StreamId(5, 1)), ProducerSummary(100, 50, 1, 7, 2)]
    assert read(26, w.stream(4, owned, producers)) == [
        *start,
        Consumer(b"c", 0, 0),
        PendingEntry(StreamId(5, 1), 9, 3),
        *end,
    ]
    assert read(27, w.stream(5, nobody, producers)) == [
        *start,
        PendingEntry(StreamId(5, 1), 9, 3, is_owned=False),
        *end,
    ]
    assert [
        len(item.description) > 0
        for item in export_value(27, w.stream(5, nobody, producers))
        if isinstance(item, Unsupported)
    ] == [True, True]


def test_a_module_value_has_a_name_and_readable_parts() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    packed = 0
    for char in "ReJSON-RL":
        packed = packed << 6 | alphabet.index(char)
    parts = (
        b"\x01\x81"
        + b"\xff" * 8
        + b"\x02\x07"
        + b"\x03\x00\x00\x80\x3f"
        + b"\x04"
        + bytes(8)
        + b"\x05"
        + w.string(b"{}")
        + b"\x00"
    )
    data = w.length(packed << 10 | 3) + parts
    pieces: list[Any] = [("signed", -1), ("unsigned", 7), ("float", 1.0), ("double", 0.0), ("string", b"{}")]
    assert read(7, data) == [ModuleType("ReJSON-RL", 3), *[ModulePart(*piece) for piece in pieces]]
    assert export_value(7, data) == [
        Unsupported("a value of the module type ReJSON-RL, which only its module can make")
    ]


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=3), st.integers(1, 400)), max_size=30).map(
        lambda ps: b"".join(p * n for p, n in ps)
    )
)
def test_lzf(data: bytes) -> None:
    packed = w.lzf(data)
    assert lzf.decompress(packed, len(data)) == data
    assert (
        lzf._py_decompress_prefix(packed, b"", len(data))
        == lzf.decompress_prefix(packed, b"", len(data))
        == (data, len(packed))
    )
    pieces = [packed[at : at + 7] for at in range(0, len(packed), 7)]
    assert b"".join(piece or b"?" for piece in lzf.decompress_stream(pieces, len(data), 300)) == data


def test_a_large_string_is_read_only_on_request() -> None:
    for data in (b"ab" * LARGE_STRING_SIZE, b"z" * (40 * LARGE_STRING_SIZE)):
        for stored in (w.string(data), w.lzf_string(w.lzf(data), len(data))):
            [value] = read(0, stored)
            assert isinstance(value, LargeString) and len(value) == len(data)
            assert (
                max(map(len, value.pieces())) <= LARGE_STRING_SIZE
                and value.read() == data
                and value.read(10) == data[:10]
            )


@pytest.mark.parametrize("seed", range(20))
def test_compiled_decoders_and_fallbacks_agree_on_any_bytes(seed: int) -> None:
    random = Random(seed)
    values = [
        random.choice([b"%d" % random.getrandbits(random.randint(1, 62)), random.randbytes(random.randint(0, 200))])
        for _ in range(60)
    ]
    for pack in (
        w.listpack(values),
        w.ziplist(values),
        b"".join(map(w.string, values)),
        w.lzf_string(w.lzf(b"a" * 99), 99) * 9,
    ):
        data = bytearray(pack)
        for _ in range(random.randint(0, 4)):
            data[random.randrange(len(data))] = random.choice([0, 0xFF, 0xC3, 0x81, 0xF4, random.randrange(256)])
        hostile, at = bytes(data), random.choice([0, 6, 10])
        assert runs.listpack_run(hostile, at) == _pyruns.listpack_run(hostile, at)
        assert runs.ziplist_run(hostile, at, 0) == _pyruns.ziplist_run(hostile, at, 0)
        for each, tail in ((1, False), (2, False), (1, True), (2, True)):
            given_ = (hostile, at, each, tail, 150, random.choice([7, 384]))
            assert runs.strings_run(*given_) == _pyruns.strings_run(*given_)
        assert lzf.decompress_prefix(hostile, b"past", 500) == lzf._py_decompress_prefix(hostile, b"past", 500)


def test_commands_become_bytes_in_bounded_pieces() -> None:
    source = BytesSource(b"q" * LARGE_STRING_SIZE * 3)
    large = LargeString(source, 0, LARGE_STRING_SIZE * 3)
    lost, corrupt = Unsupported("x"), CorruptValue(0, "y")
    small: list[list[bytes | LargeString]] = [[b"SET", b"%d" % n, b"v" * (n % 700)] for n in range(2000)]
    got = list(encode_commands([*small, lost, [b"SET", b"", large], [b"PING"], corrupt]))
    assert all(len(piece) < 3 * LARGE_STRING_SIZE for piece in got if isinstance(piece, bytes))
    assert [piece for piece in got if not isinstance(piece, bytes)] == [lost, corrupt]
    wanted = [[word for word in command if isinstance(word, bytes)] for command in small]
    expected = b"".join(map(record, wanted)) + record([b"SET", b"", large.read()]) + record([b"PING"])
    assert b"".join(piece for piece in got if isinstance(piece, bytes)) == expected
    assert [encode_if_bytes(list(command)) for command in small] == list(map(record, wanted))
    assert encode_if_bytes([]) == record([]) and encode_if_bytes([b"GET", large]) is None


def test_an_unknown_type_is_reported() -> None:
    assert read(33, b"") == [CorruptValue(6, "type 33 is not one that this version reads")]
