"""Hostile RDB values (truncated, changed, with wrong lengths) end in CorruptValue, in bounded memory and time."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from aofdoctor.rdb.encoding import _pyruns, lzf
from aofdoctor.rdb.encoding import cursor as cursor_module
from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, LargeString
from aofdoctor.rdb.export import resp
from aofdoctor.rdb.export.commands import value_commands
from aofdoctor.rdb.export.resp import encode_commands
from aofdoctor.rdb.values import packed
from aofdoctor.rdb.values.decoders import DECODERS, ValueRef, elements
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import BytesSource, PipeSource
from tests.support import rdb_value_writer as w
from tests.support.rdb_files import RDB_FIXTURES, Key, each_rdb_fixture, iter_keys

KINDS = [(dialect, kind) for dialect in DECODERS for kind in DECODERS[dialect]]


def read(data: bytes, value: ValueRef) -> list[Any]:
    """Return the elements, with large strings read."""
    return [read_large(part) for part in elements(Cursor(BytesSource(data)), value)]


def export_value(data: bytes, value: ValueRef) -> list[Any]:
    """Return the commands, with large strings read."""
    exported = value_commands(Cursor(BytesSource(data)), value, b"key", 1, VERSIONS["redis-8.2"].capabilities)
    return [list(map(read_large, item)) if isinstance(item, list) else item for item in exported]


def read_large(part: Any) -> Any:
    return part.read() if isinstance(part, LargeString) else part


def values(path: Path) -> Iterator[Key]:
    return (key for key in iter_keys(BytesSource(path.read_bytes())) if isinstance(key, Key))


@contextmanager
def limits(memory: int, seconds: float = 10) -> Iterator[None]:
    """Fail if the block allocates more bytes than `memory` or uses more CPU time than `seconds`."""
    tracemalloc.start()
    started = time.process_time()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < memory
        assert time.process_time() - started < seconds
    finally:
        tracemalloc.stop()


@each_rdb_fixture
def test_a_value_truncated_anywhere_is_reported_and_its_complete_elements_exported(path: Path) -> None:
    data = path.read_bytes()
    for key in values(path):
        whole = read(data, key.value)
        for end in range(key.value.offset, key.end, 1 + (key.end - key.value.offset) // 150):
            got = read(data[:end], key.value)
            assert isinstance(got[-1], CorruptValue)
            assert got[:-1] == whole[: len(got) - 1]


@each_rdb_fixture
def test_mutated_values_raise_nothing_and_cost_little(path: Path) -> None:
    data, random = path.read_bytes(), Random(path.stem)
    with limits(64 << 20, 60):
        for key in values(path):
            for _ in range(40):
                bent = bytearray(data)
                for _ in range(random.randint(1, 4)):
                    at = random.randrange(key.value.offset, key.end)
                    bent[at] = random.choice([0, 1, 0x7F, 0x80, 0x81, 0xC3, 0xF0, 0xFE, 0xFF, random.randrange(256)])
                read(bytes(bent), key.value)
                export_value(bytes(bent), key.value)


@pytest.mark.parametrize(("dialect", "kind"), KINDS)
@pytest.mark.parametrize("claim", [1 << 24, 1 << 40, 1 << 63, (1 << 64) - 1])
def test_counts_and_lengths_that_are_too_large(dialect: str, kind: int, claim: int) -> None:
    head = b"\x81" + claim.to_bytes(8, "big")
    bodies = [
        head,
        head * 40,
        bytes(8) + head * 3,
        w.length(3) + head,
        head + w.string(b"a") * 50,
        head + w.length(1) * 60,
        b"\xc3\x05" + head + b"a" * 9,
    ]
    for data in bodies:
        with limits(4 << 20):
            read(data, ValueRef(0, kind, dialect))
            export_value(data, ValueRef(0, kind, dialect))


def test_lzf_of_a_terabyte_is_refused_before_anything_is_allocated() -> None:
    for size in (1 << 20, 1 << 32, 1 << 40, 1 << 63):
        with limits(1 << 20):
            [lie] = read(w.lzf_string(b"\x00a" * 50, size), ValueRef(0, 0))
            assert isinstance(lie, CorruptValue) and lie.note == f"100 bytes of LZF cannot be {size} bytes"


def test_an_lzf_bomb_is_read_in_pieces() -> None:
    size = 400 << 20
    bomb = w.lzf_string(b"\x00a" + b"\xe0\xff\x00" * (size // 264) + b"\x00b", 2 + size // 264 * 264)
    with limits(32 << 20, 60):
        [value] = list(elements(Cursor(BytesSource(bomb)), ValueRef(0, 0)))
        assert isinstance(value, LargeString)
        assert sum(map(len, value.pieces())) == value.size
        exported = value_commands(
            Cursor(BytesSource(bomb)), ValueRef(0, 0), b"k", None, VERSIONS["redis-2.8"].capabilities
        )
        assert sum(len(piece) for piece in encode_commands(exported) if isinstance(piece, bytes)) > value.size


def test_lzf_that_reaches_before_its_start() -> None:
    assert lzf.decompress(b"\x20\x00", 3) is None
    assert lzf.decompress(b"\x00a\x20\x01", 4) is None
    assert list(lzf.decompress_stream([b"\x00a\x20\x01"], 4))[-1] is None


LISTPACK = w.listpack([b"a", b"12", b"b" * 70])
ZIPLIST = w.ziplist([b"a", b"12", b"b" * 70])


@pytest.mark.parametrize(
    ("kind", "data", "given", "why"),
    [
        (20, LISTPACK[:4] + b"\x02\x00" + LISTPACK[6:], 3, "a listpack of 2 items has 3"),
        (20, LISTPACK[:-1] + b"\x00", 0, "without an end"),
        (20, b"\x40" + LISTPACK[1:], 0, "a listpack of 64 bytes"),
        (20, LISTPACK[:8] + b"\x03" + LISTPACK[9:], 0, "entry 0 of a listpack is broken"),
        (20, LISTPACK[:9] + b"\xf7" + LISTPACK[10:], 1, "entry 1 of a listpack is broken"),
        (10, ZIPLIST[:8] + b"\x02\x00" + ZIPLIST[10:], 3, "a ziplist of 2 items has 3"),
        (10, ZIPLIST[:4] + b"\x0a\x00" + ZIPLIST[6:], 3, "the last entry of a ziplist is not where its head says"),
        (10, ZIPLIST[:13] + b"\x09" + ZIPLIST[14:], 1, "entry 1 of a ziplist is broken"),
        (11, w.intset([1, 2], 2) + b"\x00", 0, "an intset of 2 members of 2 bytes in 13 bytes"),
        (11, w.intset([1, 2], 3), 0, "an intset of 2 members of 3 bytes"),
        (9, w.zipmap([(b"a", b"b")])[:-1], 0, "a zipmap that ends inside a string"),
        (9, b"\x02" + w.zipmap([(b"a", b"b")])[1:], 1, "a zipmap of 2 fields has 1"),
        (16, LISTPACK, 1, "do not come in 2s"),
        (17, w.listpack([b"m", b"1_0"]), 0, "a score that is not a number"),
        (25, w.listpack([b"f", b"v", b"soon"]), 0, "an expiry of a field that is not a number"),
    ],
)  # fmt: skip
def test_invalid_packed_values_give_the_elements_before_the_error(kind: int, data: bytes, given: int, why: str) -> None:
    *got, last = read((bytes(8) if kind == 25 else b"") + w.string(data), ValueRef(0, kind))
    assert len(got) == given
    assert isinstance(last, CorruptValue) and why in last.note


@each_rdb_fixture
def test_a_pipe_is_read_as_a_file_is(path: Path) -> None:
    whole = [export_value(path.read_bytes(), key.value) for key in values(path)]
    with path.open("rb") as stream:
        cursor = Cursor(PipeSource(stream))
        exported = [
            value_commands(cursor, key.value, b"key", 1, VERSIONS["redis-8.2"].capabilities) for key in values(path)
        ]
        got = [
            [list(map(read_large, item)) if isinstance(item, list) else item for item in items] for items in exported
        ]
    assert got == whole


def test_an_expiry_is_exported_even_for_a_truncated_value() -> None:
    assert export_value(w.length(3) + w.string(b"a"), ValueRef(0, 1)) == [
        [b"RPUSH", b"key", b"a"], [b"PEXPIREAT", b"key", b"1"], CorruptValue(3, "the file ends inside a value")]  # fmt: skip


@pytest.mark.parametrize("plain", [False, True])
def test_a_hash_of_many_fields_is_read_in_constant_memory(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 20_000 if plain else 300_000
    if plain:
        monkeypatch.setattr(cursor_module, "strings_run", _pyruns.strings_run)
    data = w.length(count) + b"".join(w.string(b"field %d" % n) + w.string(b"v") for n in range(count))
    with limits(4 << 20, 60):
        assert sum(1 for _ in elements(Cursor(BytesSource(data)), ValueRef(0, 4))) == count
        assert (
            sum(
                len(exported) // 2 - 1
                for exported in value_commands(
                    Cursor(BytesSource(data)), ValueRef(0, 4), b"k", None, VERSIONS["redis-7.0"].capabilities
                )
                if isinstance(exported, list)
            )
            == count
        )


def test_the_fallbacks_are_used_without_compiled_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of(path: Path) -> list[Any]:
        return [export_value(path.read_bytes(), key.value) for key in values(path)]

    compiled = [all_of(path) for path in RDB_FIXTURES]
    twins: list[tuple[Any, str, Callable[..., Any]]] = [
        (cursor_module, "strings_run", _pyruns.strings_run), (packed, "listpack_run", _pyruns.listpack_run),
        (packed, "ziplist_run", _pyruns.ziplist_run), (lzf, "decompress_prefix", lzf._py_decompress_prefix), (resp, "encode_if_bytes", resp._py_encode),
    ]  # fmt: skip
    for module, name, twin in twins:
        monkeypatch.setattr(module, name, twin)
    assert [all_of(path) for path in RDB_FIXTURES] == compiled
