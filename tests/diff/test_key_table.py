"""The key table of diff --by keys: compiled code and fallback, in memory and in a file, against a dictionary."""

import errno
import mmap
import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.key_table import _pyslots as plain_census
from aofdoctor.diff.key_table import slots as census_kernel
from aofdoctor.diff.key_table.constants import ROW_WORDS, KeyTableField, even, mix_digest
from aofdoctor.diff.key_table.effects import KeyOp
from aofdoctor.diff.key_table.table import KeyTable, pack_position, unpack_position
from aofdoctor.diff.keys.external_sort import ExternalSorter
from aofdoctor.diff.keys.writes import KeyWrites
from aofdoctor.errors import RefusedEdit
from aofdoctor.log.selection import Selection
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import BytesSource
from tests.support.hostile_bytes import arguments, hostile_aofs, sound_aofs

KEY = bytes(range(16))
KERNEL = (
    "copy_live_slots",
    "compare",
    "has_room",
    "flush_database",
    "fold_elements",
    "get_key",
    "order_pending",
    "put_event",
    "apply_batch",
    "apply_pending",
    "swap_databases",
)
NAMES = [b"SET", b"set", b"SETNX", b"MSET", b"DEL", b"UNLINK", b"RPUSH", b"SADD", b"HSET", b"HMSET", b"PEXPIREAT", b"EXPIREAT",
         b"PERSIST", b"INCR", b"ZADD", b"HPEXPIREAT", b"HSETEX", b"RENAME", b"MOVE", b"COPY", b"SWAPDB", b"FLUSHDB", b"FLUSHALL",
         b"SUNIONSTORE", b"LMOVE", b"SETEX", b"GETSET", b"XGROUP", b"SORT", b"SELECT", b"nosuch", b"EVAL"]  # fmt: skip
words = st.one_of(
    arguments,
    st.sampled_from([b"a", b"b", b"c", b"1", b"2", b"px", b"PXAT", b"KEEPTTL", b"nx", b"GET", b"1700000000000", b"FIELDS"]),
)  # fmt: skip
keyed = st.lists(
    st.builds(lambda name, rest: encode_command([name, *rest]), st.sampled_from(NAMES), st.lists(words, max_size=6)), max_size=25
).map(b"".join)  # fmt: skip


@contextmanager
def kernel_of(module: Any) -> Iterator[None]:
    saved = {name: getattr(census_kernel, name) for name in KERNEL}
    for name in KERNEL:
        setattr(census_kernel, name, getattr(module, name))
    try:
        yield
    finally:
        for name, function in saved.items():
            setattr(census_kernel, name, function)


def fill_table(data: bytes, base: bool, **limits: int) -> KeyTable:
    """Return the table of some commands."""
    found, steps = KeyTable(KEY, False, **limits), ContextTracker(columns=True)
    writes = KeyWrites(found, Selection())
    for tile in read_tiles(BytesSource(data), command_table().names):
        if isinstance(tile, RecordBatch):
            steps.track(tile)
            writes.apply_batch(0, tile, steps.db, None, base)
    found.finish()
    return found


def compare_tables(one: KeyTable, two: KeyTable) -> tuple[list[tuple[int, ...]], int]:
    """Return (the rows that differ between two tables, in order; the number of equal keys)."""
    rows, same, found, at = array("Q", bytes(8 * ROW_WORDS * 7)), array("Q", [0]), [], 0
    while at < one.state[KeyTableField.SLOTS]:
        count, at = census_kernel.compare(
            KEY, one.slots, one.state, two.slots, two.state, at, one.state[KeyTableField.SLOTS], False, rows, same
        )
        found += [tuple(rows[n : n + ROW_WORDS]) for n in range(0, ROW_WORDS * count, ROW_WORDS)]
    return sorted(found), same[0]


def spread_number(n: int) -> int:
    """Return a number with the distribution of a digest."""
    return (n + 1) * 0x9E3779B97F4A7C15 % (1 << 64)


TINY = {"memory": 0, "events": 64}


@given(keyed | hostile_aofs | sound_aofs, st.booleans())
def test_compiled_and_fallback_fill_the_same_table_in_memory_and_in_a_file(data: bytes, base: bool) -> None:
    empty = KeyTable(KEY, False)
    compiled, filed = fill_table(data, base), fill_table(data, base, **TINY)
    with kernel_of(plain_census):
        plain, plain_filed = fill_table(data, base), fill_table(data, base, **TINY)
        expected = compare_tables(plain, empty)
    for one in (compiled, filed, plain_filed):
        assert compare_tables(one, empty) == expected
        assert compare_tables(one, plain) == ([], len(expected[0]))
    assert bytes(compiled.slots) == bytes(plain.slots)


def random_events(random: Random, count: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Return random events: writes of keys, flushes and swaps."""
    for n in range(count):
        what = random.random()
        if what < 0.01:
            yield "flush_database", (random.randrange(4),)
        elif what < 0.02:
            yield "swap_databases", (random.randrange(4), random.randrange(4, 8))
        elif what < 0.021:
            yield "flush_all", ()
        else:
            name = random.randrange(1 << 7) << 57 | 12345
            yield (
                "put",
                (
                    name,
                    random.randrange(1, 1 << 64),
                    random.randrange(3),
                    pack_position(0, n),
                    random.randrange(8),
                    random.randrange(len(KeyOp)),
                ),
            )


Model = dict[int, dict[int, tuple[int, int, int]]]


def state_after(op: KeyOp, digest: int, expire: int, made: int, before: int) -> tuple[int, int]:
    """Return the (content, expiry) of a key after an event; `made` is odd if it is not certain that the key exists."""
    mixed, doubt = mix_digest(digest, made), made % 2
    if op == KeyOp.SET:
        return even(digest), expire
    if op == KeyOp.SET_KEEP_EXPIRY:
        return even(digest), mix_digest(mix_digest(made, 2), before) if doubt and before else before
    if op == KeyOp.SUM:
        return even((made - doubt + even(digest)) % (1 << 64)), before
    if op == KeyOp.SET_IF_ABSENT:
        return mixed if made else even(digest), before
    if op == KeyOp.EXPIRE:
        return (
            (made, mix_digest(mix_digest(made, 1), expire) if doubt and expire else expire)
            if made
            else (mixed + 1, before)
        )
    if op == KeyOp.REMOVE:
        return mixed + 1, mix_digest(mixed, before) if before else 0
    if op == KeyOp.ANY:
        return mixed + 1, mix_digest(mixed, before)
    return (mixed + (doubt if made else 1) if op == KeyOp.UPDATE else mixed), before


def apply_to_dictionary(events: list[tuple[str, tuple[int, ...]]]) -> Model:
    """Return the content that a dictionary for each database has after the same events."""
    dbs: Model = {db: {} for db in range(8)}
    for name, args in events:
        if name == "flush_database":
            dbs[args[0]] = {}
        elif name == "swap_databases":
            dbs[args[0]], dbs[args[1]] = dbs[args[1]], dbs[args[0]]
        elif name == "flush_all":
            dbs = {db: {} for db in range(8)}
        else:
            key, digest, expire, place, db, op = args
            made, before, _ = dbs[db].get(key, (0, 0, 0))
            if op == KeyOp.DELETE:
                dbs[db].pop(key, None)
                continue
            dbs[db][key] = (*state_after(KeyOp(op), digest, expire, made, before), place)
    return dbs


@pytest.mark.parametrize("limits", [{}, {"memory": 1 << 14}, {"memory": 0, "events": 50}])
def test_a_table_equals_a_dictionary(limits: dict[str, int]) -> None:
    events = list(random_events(Random(5), 20_000))
    found, copied = KeyTable(KEY, False, **limits), None
    for number, (name, args) in enumerate(events):
        getattr(found, name)(*args)
        if number == 12_000:
            copied = found.copy()
    found.finish()
    for name, args in events[12_001:]:
        assert copied is not None
        getattr(copied, name)(*args)
    assert copied is not None
    copied.finish()
    model = apply_to_dictionary(events)
    keys = [(db, key, place) for db, keys in model.items() for key, (_, _, place) in keys.items()]
    rows, _ = compare_tables(found, KeyTable(KEY, False))
    assert len(keys) > 200
    assert sorted((row[1], row[2], row[3]) for row in rows) == sorted(keys)
    assert all(found.get_key(key, db) == model[db][key][:2] for db, key, _ in keys)
    assert compare_tables(copied, found) == ([], len(keys))


def test_flushes_and_swaps_do_not_visit_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing or swapping databases does not visit the slots of a large database."""
    found, gone_over, grow = KeyTable(KEY, False), [], KeyTable._grow

    def counted(self: KeyTable, more: int) -> None:
        gone_over.append(more)
        grow(self, more)

    monkeypatch.setattr(KeyTable, "_grow", counted)
    for n in range(50_000):
        found.put(spread_number(n), 1, 0, 0, 1, KeyOp.SET)
    gone_over.clear()
    for _ in range(20_000):
        found.swap_databases(1, 2)
        found.flush_database(3)
    assert len(gone_over) <= 4
    assert len(compare_tables(found, KeyTable(KEY, False))[0]) == 50_000


def test_flushed_keys_free_their_slots() -> None:
    found = KeyTable(KEY, False)
    for n in range(300_000):
        found.put(spread_number(n), 1, 0, 0, 1, KeyOp.SET)
        if n % 100 == 99:
            found.flush_database(1) if n % 200 == 199 else found.flush_all()
        if n % 3 == 0:
            found.put(spread_number(n), 0, 0, 0, 1, KeyOp.DELETE)
    assert found.state[KeyTableField.SLOTS] <= 2048


def test_a_full_directory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RefusedEdit, match=r"do not fit into .*No space left") as refusal:
        KeyTable(KEY, False, memory=0)
    assert "TMPDIR" in refusal.value.hint


def test_a_table_in_a_file_leaves_no_file_and_uses_little_memory(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = KeyTable(KEY, False, memory=1 << 16, events=1 << 12)
    for n in range(20_000):
        found.put(spread_number(n), 1, 0, 0, 1, KeyOp.SET)
    assert found.in_file and isinstance(found.slots, mmap.mmap)
    assert list(tmp_path.iterdir()) == []


def test_positions_widen_as_offsets_grow() -> None:
    places = [
        (part, offset, is_record)
        for part in (0, 1, 32767)
        for is_record, offset in ((False, 5), (False, 9), (True, 7), (True, 1 << 46))
    ]
    packed = [pack_position(part, offset, is_record) for part, offset, is_record in places]
    assert packed == sorted(packed)
    assert [unpack_position(word) for word in packed] == places


def test_rows_come_in_order_from_memory_and_from_a_file() -> None:
    random = Random(3)
    expected = [random.randbytes(48) for _ in range(3000)]
    for held in (10_000, 700):
        rows = ExternalSorter(held)
        for row in expected:
            rows.add(row)
        assert list(rows) == list(rows) == sorted(expected)
