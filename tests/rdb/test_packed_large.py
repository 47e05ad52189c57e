"""Packed values that are too large to hold in memory decode to the same items as small ones."""

import tracemalloc
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, LargeString
from aofdoctor.rdb.export.commands import value_commands
from aofdoctor.rdb.rewrite.recode import reencode
from aofdoctor.rdb.values import packed, packed_large, stream_id_set, unpack
from aofdoctor.rdb.values.decoders import ValueRef, elements
from aofdoctor.rdb.values.pending_entries import PendingEntries
from aofdoctor.rdb.values.stream_id_set import StreamIdSet
from aofdoctor.rdb.values.streams import StreamEntry
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import BytesSource
from tests.support import rdb_value_writer as w
from tests.support.rdb_files import iter_keys
from tests.support.rdb_loading import digest_server
from tests.support.servers import servers_by_line

KINDS: dict[str, tuple[Any, Any, Callable[[list[bytes]], bytes]]] = {
    "listpack": (packed.listpack, packed_large.listpack, w.listpack),
    "ziplist": (packed.ziplist, packed_large.ziplist, w.ziplist),
}
kinds = pytest.mark.parametrize("kind", KINDS)
MIXED = [
    b"short",
    b"12",
    b"-70000",
    b"x" * 5000,
    b"y" * 200_000,
    b"",
    b"z" * 1_000_000,
    b"m" * 131_073,
    *[b"%d" % n for n in range(3000)],
]


def decode_in_memory(data: bytes) -> LargeString:
    return LargeString(BytesSource(b"before" + data + b"after"), 6, len(data))


def lzf(data: bytes) -> LargeString:
    folded = w.lzf(data)
    return LargeString(BytesSource(b"before" + folded + b"after"), 6, len(data), len(folded))


def read(runs: Iterator[list[Any]]) -> list[bytes]:
    return [item.read() if isinstance(item, LargeString) else item for run in runs for item in run]


@kinds
@pytest.mark.parametrize("store", [decode_in_memory, lzf])
def test_the_items_equal_those_decoded_in_memory(kind: str, store: Callable[[bytes], LargeString]) -> None:
    small, large, write = KINDS[kind]
    data = write(MIXED)
    assert read(large(store(data))) == read(small(data)) == MIXED
    for size in (5, 5000, 70_000, 131_071, 131_072, 131_073, 400_000):
        items = [b"first", b"\x01" * size]
        assert read(large(store(write(items)))) == items
    assert read(large(store(write([])))) == []


def test_an_uncompressed_large_item_is_not_held() -> None:
    runs = list(packed_large.listpack(decode_in_memory(w.listpack(MIXED))))
    assert [item.size for run in runs for item in run if isinstance(item, LargeString)] == [200_000, 1_000_000, 131_073]


def test_a_large_item_inside_lzf_is_read_at_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_large, "_LZF_ITEM", 1000)
    monkeypatch.setattr(packed_large, "_LZF_ITEMS", 1 << 20)
    runs = list(packed_large.listpack(lzf(w.listpack(MIXED))))
    found = [item for run in runs for item in run]
    assert sum(isinstance(item, LargeString) for item in found) == 3
    assert [item.read() if isinstance(item, LargeString) else item for item in found] == MIXED
    assert [item.read(10) for item in found if isinstance(item, LargeString)] == [
        item[:10] for item in MIXED if len(item) > 5000
    ]


@pytest.mark.parametrize("width", [2, 4, 8])
def test_the_members_of_an_intset_equal_those_decoded_in_memory(width: int) -> None:
    numbers = Random(width)
    members = sorted(numbers.randrange(-(1 << 8 * width - 1), 1 << 8 * width - 1) for _ in range(3000))
    data = width.to_bytes(4, "little") + len(members).to_bytes(4, "little")
    data += b"".join(member.to_bytes(width, "little", signed=True) for member in members)
    assert (
        read(packed_large.intset(decode_in_memory(data))) == read(packed.intset(data)) == [b"%d" % m for m in members]
    )


@kinds
def test_invalid_data_fails_in_both_decoders(kind: str) -> None:
    """For changed bytes and for every truncation, both decoders fail after the same items."""
    small, large, write = KINDS[kind]
    data, numbers = write([b"short", b"77", b"x" * 300, b"-5000", b"y" * 20_000, b"end"]), Random(5)
    bent = [data[:size] for size in range(7, 400, 13)] + [b"", data[:-1], data + b"\xff"]
    for _ in range(300):
        changed = bytearray(data)
        at = numbers.choice(
            [numbers.randrange(len(data)), numbers.randrange(400), len(data) - 1 - numbers.randrange(60)]
        )
        changed[at] ^= 1 << numbers.randrange(8)
        bent.append(bytes(changed))
    for lie in bent:
        answers = [outcome(small(lie)), outcome(large(decode_in_memory(lie)))]
        assert answers[0] == answers[1], lie[:80]


def outcome(runs: Iterator[list[Any]]) -> tuple[list[bytes], bool]:
    items: list[bytes] = []
    try:
        for run in runs:
            items += [item.read() if isinstance(item, LargeString) else item for item in run]
    except DecodeError:
        return items, True
    return items, False


# -- values --


@pytest.mark.parametrize("line", ["redis-6.2", "valkey-9.1"])
def test_a_list_and_a_stream_of_large_elements_equal_those_of_a_server(line: str) -> None:
    """The elements have 70 MiB each; every server packs them like small ones."""
    if line not in servers_by_line():
        pytest.skip(f"{line} is not installed")
    large = Random(1).randbytes(35 << 20)
    options = ["--proto-max-bulk-len", "1gb", "--client-query-buffer-limit", "1gb", "--rdbcompression", "no"]
    with digest_server(servers_by_line()[line], options=options) as running:
        running.call("RPUSH", "list", "first", large + large, "last")
        running.call("XADD", "stream", "1-1", "name", large, "again", large, "n", "5")
        running.call("SAVE")
        data = (running.folder / "dump.rdb").read_bytes()
    source = BytesSource(data)
    found = {key.name: key for key in iter_keys(source)}  # type: ignore[union-attr]
    tracemalloc.start()
    values = {name: list(elements(Cursor(source), key.value)) for name, key in found.items()}  # type: ignore[union-attr]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert is_same(values[b"list"], [b"first", large + large, b"last"])
    entry = values[b"stream"][0]
    assert isinstance(entry, StreamEntry)
    assert is_same(entry.items, [b"name", large, b"again", large, b"n", b"5"])


def is_same(found: Any, expected: list[bytes]) -> bool:
    """Compare without pytest's report of 70 MiB."""
    return [item.read() if isinstance(item, LargeString) else item for item in found] == expected


def test_an_oversized_zipmap_is_reported() -> None:
    data = LargeString(BytesSource(b""), 0, unpack._PACKED_MAX + 1)
    with pytest.raises(DecodeError, match="more than are read at once"):
        unpack.unpack_items(data, packed.zipmap)
    assert elements(Cursor(BytesSource(b"")), ValueRef(0, 0))


# -- pending entries --


def pending_stream(count: int, consumers: int, version: int, nacked: int = 0) -> bytes:
    """Return a stream without entries and with `count` pending ones; the last `nacked` have no consumer."""
    ids = [w.raw_id(1000 + i, i % 3) for i in range(count)]
    owned = ids[: count - nacked]
    group = w.string(b"g") + w.length(2000 + count) + w.length(0) + (w.length(0) if version >= 2 else b"")
    group += w.length(count) + b"".join(raw + (7).to_bytes(8, "little") + w.length(3) for raw in ids)
    group += w.length(consumers)
    for number in range(consumers):
        own = owned[number::consumers]
        group += w.string(b"c%d" % number) + bytes(8 if version < 3 else 16) + w.length(len(own)) + b"".join(own)
    group += w.length(nacked) + b"".join(ids[count - nacked :]) if version >= 5 else b""
    counters = [w.length(0), w.length(2000 + count), w.length(0)] + [w.length(0)] * (5 if version >= 2 else 0)
    sent = b"".join(map(w.length, (0, 0, 0, 0, 0))) if version >= 4 else b""
    return w.length(0) + b"".join(counters) + w.length(1) + group + sent


@pytest.mark.parametrize("consumers", [1, 7])
def test_many_pending_entries_are_exported_in_small_memory(consumers: int) -> None:
    count = 20_000
    data = pending_stream(count, consumers, 3)
    source, claims = BytesSource(data), 0
    tracemalloc.start()
    for command in value_commands(Cursor(source), ValueRef(0, 21), b"k", None, VERSIONS["redis-7.2"].capabilities):
        assert isinstance(command, list)
        claims += command[0] == b"XCLAIM"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert claims == count
    assert peak < 64 * count + (2 << 20)


@pytest.mark.parametrize("version", [3, 5])
def test_many_pending_entries_are_rewritten_in_small_memory(version: int) -> None:
    count, nacked = 20_000, 4_000 if version == 5 else 0
    source = BytesSource(pending_stream(count, 3, version, nacked))
    kind = {3: 21, 5: 27}[version]
    tracemalloc.start()
    found = reencode(Cursor(source), ValueRef(0, kind), "redis", 10, 0)
    size = sum(map(len, found.pieces))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == len(pending_stream(count - nacked, 3, 2))
    assert peak < 64 * count + (2 << 20)


def test_pending_entries_out_of_order_are_corrupt() -> None:
    data = pending_stream(2, 1, 3)
    first, second = w.raw_id(1000, 0), w.raw_id(1001, 1)
    data = data.replace(first, b"F" * 16).replace(second, first).replace(b"F" * 16, second)
    assert isinstance(list(elements(Cursor(BytesSource(data)), ValueRef(0, 21)))[-1], CorruptValue)


def test_each_pending_entry_belongs_to_at_most_one_consumer() -> None:
    numbers = Random(6)
    known, ids = PendingEntries(), sorted(numbers.randbytes(16) for _ in range(500))
    assert all(known.add(raw, at, at + 1) for at, raw in enumerate(ids))
    order = list(range(500))
    numbers.shuffle(order)
    for at in order:
        assert known.take(ids[at]) == (at, at + 1)
        assert known.take(ids[at]) is None and known.take(numbers.randbytes(16)) is None
    assert known.remaining == 0


def test_ids_are_in_order_and_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_id_set, "_RUN", 50)
    numbers = Random(7)
    some = [numbers.randbytes(16) for _ in range(333)]
    ids = StreamIdSet()
    for raw in some + some[:100]:
        ids.add(raw)
    assert list(ids) == sorted(some) and ids.count == 433
