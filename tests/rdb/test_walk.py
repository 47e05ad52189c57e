"""The items of an RDB tile it for any window size, and the compiled walker and its fallback agree on any bytes."""

import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.items import ItemReader, KeyItem, OpcodeItem, RdbInfo
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.rdb.preamble import walk_rdb as walk_rdb
from aofdoctor.rdb.walk import _pyprobe as probe
from aofdoctor.rdb.walk import _pywalker as walk
from aofdoctor.rdb.walk import walker as kernel
from aofdoctor.rdb.walk import window as sweep
from aofdoctor.rdb.walk.layouts import LAYOUTS
from aofdoctor.rdb.walk.walker import KIND_MAGIC, KIND_UNPARSED, SLACK, StopReason
from aofdoctor.source import BytesSource, FileSource, pread
from aofdoctor.span import Span
from tests.conftest import FIXTURES
from tests.support.corpus import ROOT
from tests.support.hostile_bytes import HOSTILE_RDB_BODIES, mutate
from tests.support.rdb_generated import random_rdb
from tests.support.rdb_unreleased import UNRELEASED, string, with_checksum

BASES = sorted((FIXTURES / "aof").rglob("*.base.rdb"))
WINDOWS = ((1, 2), (2, 3), (7, 3), (31, 2), (100, 9), (1 << 18, 1 << 12))


def paths_with_rdb() -> list[Path]:
    """Return every RDB of the fixtures and the corpus, and every file that begins with one."""
    found = [
        p for root in (FIXTURES, *([ROOT] if ROOT else [])) for p in root.rglob("*") if p.suffix in (".rdb", ".aof")
    ]
    return sorted(p for p in found if p.open("rb").read(5) in (b"REDIS", b"VALKE"))


@pytest.fixture(params=["compiled", "plain"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module: ModuleType = walk if request.param == "plain" else kernel
    use(module, monkeypatch)
    return module


def use(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "Walker", module.Walker)
    monkeypatch.setattr(sweep, "ItemColumns", module.ItemColumns)


def read_items(
    data: bytes, window: int = sweep.WINDOW_SIZE, room: int = sweep.BATCH_ITEMS, verify: bool = True
) -> tuple[list[KeyItem | OpcodeItem], RdbInfo]:
    """Return all items and the RDB's facts, and check that the items tile it."""
    reader, found, at = ItemReader(BytesSource(data), window, room, verify), [], 0
    for batch in reader:
        assert batch.span.start == at < batch.span.end
        assert batch.key_count == sum(isinstance(item, KeyItem) for item in batch)
        for item in batch:
            span = item.span
            assert span.start == at < span.end
            at = span.end
            found.append(item)
    assert at == reader.rdb.end or not found
    return found, reader.rdb


def test_the_compiled_walker_is_in_use() -> None:
    assert kernel.Walker is not walk.Walker


@pytest.mark.parametrize("base", BASES, ids=lambda p: p.parent.parent.name)
def test_the_items_tile_a_base_of_a_real_server(base: Path, machine: ModuleType) -> None:
    data = base.read_bytes()
    found, rdb = read_items(data)
    assert (rdb.end, rdb.checksum, rdb.complete) == (len(data), "ok", True)
    assert [found[0].kind, found[-1].kind] == [KIND_MAGIC, Opcode.EOF]  # type: ignore[union-attr]
    keys = [item for item in found if isinstance(item, KeyItem)]
    assert len(keys) == rdb.key_count
    source = BytesSource(data)
    names = {key.name(source) for key in keys}
    assert not keys or names == {b"cart", *(b"user:%d" % n for n in range(20))}
    assert {key.db for key in keys} <= {0}
    assert all(pread(source, 1, key.name_offset - 1)[0] == key.type for key in keys)
    assert sum(isinstance(item, OpcodeItem) and item.kind == Opcode.AUX for item in found) == len(rdb.aux)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_window_size_changes_nothing(window: tuple[int, int], machine: ModuleType) -> None:
    for data in [base.read_bytes() for base in BASES] + [with_checksum(one) for one in UNRELEASED.values()]:
        assert read_items(data, *window) == read_items(data)


def test_compiled_and_fallback_agree_on_every_rdb(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in paths_with_rdb():
        data = pread(FileSource(path), 1 << 16, 0)
        answers = []
        for module in (kernel, walk):
            use(module, monkeypatch)
            answers.append(read_items(data, 4096))
        assert answers[0] == answers[1], path


def test_compiled_and_fallback_agree_on_mutations(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [base.read_bytes() for base in BASES] + [with_checksum(one) for one in UNRELEASED.values()]
    for seed, data in enumerate(whole):
        for bent in mutate(data, 60, seed):
            answers = []
            for module in (kernel, walk):
                use(module, monkeypatch)
                answers.append(read_items(bent, 64, 5))
            assert answers[0] == answers[1], bent


def observe_walk(module: ModuleType, data: bytes, fuel: int, piece: int) -> list[Any]:
    """Return every observable state of a walk over `data` that grows by `piece` bytes, with `fuel` steps a run."""
    machine, seen, at, end = module.Walker(LAYOUTS["redis"], 0), [], 0, 0
    while True:
        columns = module.ItemColumns(5)
        buffer = bytearray(data[:end] + bytes(SLACK))
        why, at, left = machine.run(buffer, at, end, 0, columns, fuel)
        names = ("edges", "kind", "name", "value", "expire", "idle", "freq", "db")
        filled = [list(getattr(columns, name)[: columns.count + (name == "edges")]) for name in names if columns.count]
        seen.append((why, at, left, machine.start, machine.kind, machine.skip, columns.key_count, filled))
        if why == StopReason.END_OF_DATA and end < len(data):
            end = min(len(data), end + piece)
        elif why not in (StopReason.FULL, StopReason.STEP_LIMIT):
            return seen


@pytest.mark.parametrize("fuel", [1, 2, 3, 4, 6, 7, 8, 9, 30, 1 << 40])
@pytest.mark.parametrize("piece", [3, 64, 1 << 30])
def test_compiled_and_fallback_have_the_same_state_at_every_stop(fuel: int, piece: int) -> None:
    for seed in range(3):
        data = random_rdb(seed, 12)[9 : 9 + 200 * min(piece, 100)]
        for bent in [data, *mutate(data, 3, seed)]:
            assert observe_walk(kernel, bent, fuel, piece) == observe_walk(walk, bent, fuel, piece)


def test_compiled_and_fallback_find_the_same_offsets() -> None:
    for seed, base in enumerate(BASES):
        for bent in mutate(base.read_bytes(), 40, seed):
            buffer = bytearray(bent + bytes(kernel.SLACK))
            for layout in LAYOUTS.values():
                for fuel in (100, 1 << 20):
                    asked = (buffer, 0, len(bent), len(bent), layout, len(bent) // 2, 0, fuel)
                    assert kernel.find_key_start(*asked) == probe.find_key_start(*asked)


def test_every_prefix_gives_its_complete_keys_and_never_raises(machine: ModuleType) -> None:
    for data in [BASES[-1].read_bytes(), *map(with_checksum, UNRELEASED.values())]:
        whole = read_items(data)[0]
        for size in range(len(data)):
            found, rdb = read_items(data[:size])
            assert found == [item for item in whole if item.span.end <= size and size >= 9]
            assert not rdb.complete
            assert rdb.note.startswith("the file ends")


@pytest.mark.parametrize("name", UNRELEASED)
def test_unreleased_types_are_walked_as_published(name: str, machine: ModuleType) -> None:
    """The data is written by tests/support/rdb_unreleased.py from the published layouts, not by a server."""
    one = UNRELEASED[name]
    found, rdb = read_items(with_checksum(one))
    assert (rdb.complete, rdb.checksum, rdb.note) == (True, "ok", "")
    keys = [item for item in found if isinstance(item, KeyItem)]
    source = BytesSource(with_checksum(one))
    assert [key.name(source) for key in keys] == one.names


def test_the_opcodes_of_a_key_are_in_its_span(machine: ModuleType) -> None:
    head = b"\xfe\x03" + b"\xfb\x02\x01"
    first = b"\xfc" + (1234).to_bytes(8, "little") + b"\xf8\x41\x00" + b"\x00" + string(b"key") + string(b"value")
    second = b"\xfd" + (7).to_bytes(4, "little") + b"\xf9\x05" + b"\x00\xc0\x7b" + string(b"v")
    third = b"\x00" + string(b"plain") + string(b"v")
    data = b"REDIS0011" + head + first + second + third + b"\xff" + bytes(8)
    keys = [item for item in read_items(data)[0] if isinstance(item, KeyItem)]
    at = 9 + len(head)
    assert [key.span for key in keys] == [Span(at, at + len(first)), Span(at + len(first), at + len(first + second)),
                                          Span(at + len(first + second), at + len(first + second + third))]  # fmt: skip
    assert [(k.db, k.expire_ms, k.idle, k.freq) for k in keys] == [
        (3, 1234, 256, -1),
        (3, 7000, -1, 5),
        (3, -1, -1, -1),
    ]
    assert [key.name(BytesSource(data)) for key in keys] == [b"key", b"123", b"plain"]
    assert read_items(data)[1].checksum == "off"


def test_a_compressed_key_name_is_decompressed(machine: ModuleType) -> None:
    packed = b"\x01ab\xe0\x25\x01"  # "ab", then 46 bytes copied from two bytes back.
    data = closed_raw(b"\x00\xc3" + bytes((len(packed), 48)) + packed + string(b"v"))
    [key] = [item for item in read_items(data)[0] if isinstance(item, KeyItem)]
    assert key.name(BytesSource(data)) == b"ab" * 24
    assert key.name(BytesSource(data), 5) == b"ababa"


def closed_raw(body: bytes) -> bytes:
    data = b"REDIS0011" + body + b"\xff"
    return data + crc64(data).to_bytes(8, "little")


def test_an_unknown_type_is_reported_with_its_key_and_skipped(machine: ModuleType) -> None:
    known = b"\x00" + string(b"known") + string(b"v")
    found, rdb = read_items(data := closed_raw(known + b"\x6b" + string(b"strange") + b"whatever" + known))
    assert (rdb.end, rdb.complete, rdb.checksum, rdb.key_count) == (len(data), True, "ok", None)
    assert "type 107" in rdb.note and "key strange" in rdb.note
    assert [item.kind for item in found if isinstance(item, OpcodeItem)] == [KIND_MAGIC, KIND_UNPARSED, Opcode.EOF]


def test_without_the_checksum_large_payloads_are_not_read(machine: ModuleType) -> None:
    data = closed_raw(b"\x00" + string(b"big") + string(bytes(1 << 20)) + b"\x00" + string(b"next") + string(b"v"))
    read = []

    class Counting(BytesSource):
        def readinto(self, view: memoryview, offset: int) -> int:
            read.append(got := super().readinto(view, offset))
            return got

    reader = ItemReader(Counting(data), window_size=4096, verify=False)
    keys = [item for batch in reader for item in batch if isinstance(item, KeyItem)]
    assert len(keys) == 2 and reader.rdb.complete and reader.rdb.checksum == "unknown"
    assert sum(read) < 40_000
    assert read_items(data)[0][:3] == read_items(data, verify=False)[0][:3]


@pytest.mark.parametrize("name", HOSTILE_RDB_BODIES)
def test_hostile_bytes_end_at_once(name: str, machine: ModuleType) -> None:
    for magic in (b"REDIS0011", b"VALKEY080"):
        _, rdb = read_items(magic + HOSTILE_RDB_BODIES[name], 64, 4)
        assert not rdb.complete and rdb.end <= 9 + len(HOSTILE_RDB_BODIES[name])


def test_a_collection_of_millions_is_walked_in_small_memory() -> None:
    import tracemalloc

    count = 1_000_000
    data = closed_raw(b"\x02" + string(b"many") + b"\x80" + count.to_bytes(4, "big") + b"\x01x" * count)
    source = BytesSource(data)
    tracemalloc.start()
    started = time.process_time()
    found = [item for batch in ItemReader(source) for item in batch]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [item.end for item in found if isinstance(item, KeyItem)] == [len(data) - 9]
    assert peak < 4 << 20
    assert time.process_time() - started < 5


@pytest.mark.parametrize(("codec", "frame"), [("LZ4", b"\x04\x22\x4d\x18"), ("Zstd", b"\x28\xb5\x2f\xfd")])
def test_a_compressed_stream_is_reported(codec: str, frame: bytes) -> None:
    """The envelope is written as published; no installed server writes one."""
    source = BytesSource(b"VCS\x01\x01\x00\x01" + frame + bytes(40))
    assert is_rdb(source)
    assert codec in walk_rdb(source).note and not walk_rdb(source).complete
