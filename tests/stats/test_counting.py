"""Counters of stats: compiled code and fallback agree, and estimates are within their reported error."""

from array import array
from collections import Counter, defaultdict
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.rdb.items import ItemReader
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table, key_indexes
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import BytesSource
from aofdoctor.stats.counting import _pyheavy_hitters as plain_heavy
from aofdoctor.stats.counting import _pyrdb_counters as plain_inventory
from aofdoctor.stats.counting import _pyrecord_counters as plain_weigh
from aofdoctor.stats.counting._counters import KeyCounters, RdbKeyCounters, RecordCounters
from aofdoctor.stats.counting.constants import (
    ALWAYS_COUNTED_BITS,
    KEY_BYTES_COMPARED,
    KEY_BYTES_KEPT,
    NAME_BYTES_KEPT,
    NAMES_MAX,
    SETS,
    WAYS,
)
from aofdoctor.stats.counting.first_key import burst_kinds, first_key, first_key_rules
from tests.conftest import FIXTURES
from tests.support import rdb_value_writer as w
from tests.support.hostile_bytes import hostile_aofs, sound_records

ROOM = 1 << 14
COMPILED, PLAIN = (RecordCounters, KeyCounters), (plain_weigh.RecordCounters, plain_heavy.KeyCounters)
FACTORS = array("q", [5, 3, 0])
RDBS = sorted((FIXTURES / "rdb").glob("*.rdb"))


def count_all(twin: Any, data: bytes, sure: int, depth: int = 1, chosen: int | None = None) -> list[Any]:
    """Return all results of both counters for some bytes, counting every batch or every `chosen`-th record of it."""
    scale, tally = twin[0](burst_kinds(), 1, FACTORS), twin[1](first_key_rules(), ord(":"), depth, sure)
    steps, large, seen = ContextTracker(columns=True), array("I", bytes(4 * ROOM)), []
    steps.begin_part()
    for tile in read_tiles(BytesSource(data), command_table().names):
        if isinstance(tile, RecordBatch) and not tile.oversized:
            steps.track(tile)
            some = None if chosen is None else array("I", range(0, tile.count, chosen))
            noted = scale.count_batch(tile, tile.base, steps.db, steps.time, some, 40, large)
            seen.append(large[:noted].tolist())
            tally.count_batch(tile, steps.db, some)
    rows = [tally.prefixes, tally.unknown_names, tally.by_bytes, tally.by_writes]
    return [
        seen, scale.by_id, scale.by_db, scale.untimed, scale.times, scale.positions, *map(sorted, rows), tally.other_prefixes,
        tally.other_unknown_names, tally.max_other_bytes, tally.max_other_writes, tally.is_exact,
    ]  # fmt: skip


@settings(max_examples=2000)
@given(
    st.one_of(hostile_aofs, st.lists(sound_records, max_size=60).map(b"".join)), st.integers(0, 200), st.integers(1, 3)
)
def test_compiled_and_fallback_counters_agree_on_any_bytes(data: bytes, sure: int, depth: int) -> None:
    assert count_all(COMPILED, data, sure, depth) == count_all(PLAIN, data, sure, depth)


def workload(random: Random, count: int, keys: int) -> bytes:
    """Return writes of many keys in several databases, with jumping times, unknown command names and hostile keys."""
    odd = [b"", b":", b"::::", b"x" * 63 + b":", b"x" * 64 + b":", b"x" * 65 + b":", b"y" * 200 + b"1", b"y" * 200 + b"2",
           b"z" * KEY_BYTES_COMPARED + b"1", b"z" * KEY_BYTES_COMPARED + b"2", b"\0\xff:\x1b"]  # fmt: skip
    names = [b"SET", b"del", b"EXPIRE", b"BF.ADD", b"bf.add", b"EVAL", b"SELECT", b"PING", b"MULTI", b"EXEC", b"XGROUP"]
    out = []
    for _ in range(count):
        name, kind = random.choice(names), random.random()
        key = random.choice(odd) if kind < 0.05 else b"u:%d:%d" % (random.randrange(9), random.randrange(keys))
        if kind > 0.97:
            out.append(b"#TS:%d\r\n" % random.choice([0, 7, 10**9 + random.randrange(10**5), 10**17]))
        elif name == b"SELECT":
            out.append(encode_command([name, b"%d" % random.choice([0, 1, 9, 1023, 1024, 5000])]))
        elif name == b"EVAL":
            out.append(encode_command([name, b"return 1", random.choice([b"0", b"1", b"00", b"x", b"2"]), key]))
        else:
            out.append(encode_command([name, key, b"v" * random.choice([1, 9, 300])][: 1 + random.randrange(3)]))
    return b"".join(out)


@pytest.mark.parametrize(
    ("count", "keys", "sure"), [(20_000, 30_000, 1 << 30), (20_000, 30_000, 10_000), (20_000, 100, 0)]
)
def test_compiled_and_fallback_counters_agree_on_many_keys(count: int, keys: int, sure: int) -> None:
    data = workload(Random(count + keys + sure), count, keys)
    got = count_all(COMPILED, data, sure, 2)
    assert got == count_all(PLAIN, data, sure, 2)
    full = keys > SETS * WAYS and sure > 1 << 20
    assert (got[12] > 0, got[-1]) == (full, sure == 1 << 30)
    assert count_all(COMPILED, data, sure, 2, 3) == count_all(PLAIN, data, sure, 2, 3) != got


def test_names_beyond_the_capacity_are_counted_together() -> None:
    more = 500
    data = b"".join(encode_command([b"SET", b"%d:" % n, b"v"]) for n in range(NAMES_MAX + more))
    got = count_all(COMPILED, data, 0)
    assert len(got[6]) == NAMES_MAX and got[10][0] == more
    assert sum(row[2] for row in got[6]) + got[10][1] == len(data)
    assert got == count_all(PLAIN, data, 0)


# -- estimates --


def skewed_log(random: Random) -> tuple[bytes, Counter[bytes], Counter[bytes]]:
    """Return (a log, writes by key, bytes by key): ten keys have half of the writes, thirty thousand the rest."""
    writes: Counter[bytes] = Counter()
    sizes: Counter[bytes] = Counter()
    out = []
    for _ in range(200_000):
        key = b"hot:%d" % random.randrange(10) if random.random() < 0.5 else b"k:%d" % random.randrange(30_000)
        record = encode_command([b"SET", key, b"v" * random.choice([1, 20, 60, 500])])
        writes[key] += 1
        sizes[key] += len(record)
        out.append(record)
    return b"".join(out), writes, sizes


LOG, WRITES, SIZES = skewed_log(Random(5))


def test_without_sampling_counts_are_within_their_error() -> None:
    got = count_all(COMPILED, LOG, 1 << 40)
    for rows, truth, elsewhere in ((got[8], SIZES, got[12]), (got[9], WRITES, got[13])):
        assert len(rows) == SETS * WAYS < len(truth)
        for key, size, db, count, error, spread in rows:
            assert (size, db, spread) == (len(key), 0, 0)
            assert count - error <= truth[key] <= count, key
        named = {row[0] for row in rows}
        assert max(count for key, count in truth.items() if key not in named) <= elsewhere
        best = sorted(rows, key=lambda row: row[4] - row[3])[:10]
        assert {row[0] for row in best} == {b"hot:%d" % n for n in range(10)}


def test_few_keys_are_exact() -> None:
    data = b"".join(encode_command([b"SET", b"k:%d" % (n * n % 700), b"v" * (n % 90)]) for n in range(20_000))
    got, truth = count_all(COMPILED, data, 1 << 40), Counter(b"k:%d" % (n * n % 700) for n in range(20_000))
    assert {(row[0], *row[3:]) for row in got[9]} == {(key, count, 0, 0) for key, count in truth.items()}
    assert got[12:14] == [0, 0]


def test_a_sample_finds_the_largest_keys_within_its_deviation() -> None:
    got = count_all(COMPILED, LOG, 0)
    for rows, truth in ((got[8], SIZES), (got[9], WRITES)):
        best = sorted(rows, key=lambda row: row[4] - row[3])[:10]
        assert {row[0] for row in best} == {b"hot:%d" % n for n in range(10)}
        for key, _, _, count, error, spread in best:
            assert spread > 0
            assert count - error - 4 * spread**0.5 <= truth[key] <= count + 4 * spread**0.5, key


def test_a_large_record_is_never_left_to_a_sample() -> None:
    value = b"v" * (1 << (ALWAYS_COUNTED_BITS - 1))
    data = b"".join(
        encode_command([b"SET", b"big:%d" % (n % 5), value]) + encode_command([b"INCR", b"n"]) for n in range(400)
    )
    rows = {row[0]: row[3:] for row in count_all(COMPILED, data, 0)[8]}
    size = len(encode_command([b"SET", b"big:0", value]))
    assert {rows[b"big:%d" % n] for n in range(5)} == {(80 * size, 0, 0)}


# -- first keys --


def test_the_first_key_is_the_one_that_key_specifications_give() -> None:
    random, judged = Random(2), 0
    for command in command_table().commands:
        if any(isinstance(spec[0], list) for spec in command.key_specs[:1]):
            continue  # The position of the keyword must be searched for.
        for _ in range(30):
            words = [random.choice([b"0", b"1", b"2", b"00", b"k", b"10", b""]) for _ in range(random.randrange(7))]
            argv = [*command.name.encode().split(b"|"), *words]
            batch = next(read_tiles(BytesSource(encode_command(argv)), command_table().names))
            assert isinstance(batch, RecordBatch)
            if batch.ids[0] == command.id:
                place = next(key_indexes(command, argv), 0)
                expected = (argv[place][:KEY_BYTES_COMPARED], len(argv[place])) if 0 < place < len(argv) else None
                assert first_key(batch, 0) == expected, argv
                judged += 1
    assert judged > 10_000


# -- the keys of an RDB --


def count_rdb_keys(twin: Any, data: bytes, depth: int, window: int) -> list[Any]:
    """Count an RDB with names that are read in windows; names outside a window are skipped."""
    found, large, seen = twin(ord(":"), depth), array("I", bytes(4 * ROOM)), []
    for batch in ItemReader(BytesSource(data)):
        at = batch.first
        while at < batch.stop:
            base = max(0, batch.columns.name[at])
            at, noted = found.count_items(batch.columns, at, batch.stop, data[base : base + window], base, 20, large)
            seen.append((at, large[:noted].tolist()))
            if at < batch.stop and batch.columns.name[at] == base:
                at += 1
    return [seen, found.by_type, found.by_db, sorted(found.prefixes), found.other_prefixes]


@pytest.mark.parametrize("window", [1, 3, 20, 90, 1 << 20])
@pytest.mark.parametrize("path", RDBS, ids=lambda path: path.stem)
def test_compiled_and_fallback_count_the_same_keys(path: Any, window: int) -> None:
    data = path.read_bytes()
    got = count_rdb_keys(RdbKeyCounters, data, 1, window)
    assert got == count_rdb_keys(plain_inventory.RdbKeyCounters, data, 1, window)
    assert count_rdb_keys(RdbKeyCounters, data, 0, window) == count_rdb_keys(
        plain_inventory.RdbKeyCounters, data, 0, window
    )


def test_names_are_read_in_every_encoding() -> None:
    long = b"abc" * 30 + b":" + b"d" * 400
    names = [w.string(b"user:1"), b"\xc0\x85", b"\xc1\xff\x7f", b"\xc2\x00\x00\x00\x80", w.string(b"p:" + b"x" * 100),
             w.lzf_string(w.lzf(b"s:" + b"a" * 900), 902), w.string(b""), w.string(long), b"\x80\x00\x00\x00\x03a:b",
             w.lzf_string(b"\xe0\xff\xff", 300), w.lzf_string(b"\x00a", 99)]  # fmt: skip
    body = b"".join(b"\0" + name + w.string(b"v") for name in names)
    data = b"REDIS0009" + body + b"\xff" + bytes(8)
    for twin in (RdbKeyCounters, plain_inventory.RdbKeyCounters):
        got = count_rdb_keys(twin, data, 1, 1 << 20)
        counts: defaultdict[bytes, int] = defaultdict(int, {row[0]: row[1] for row in got[3]})
        assert counts == {b"user:": 1, b"p:": 1, b"s:": 1, b"a:": 1, b"": 5}
        one = twin(ord("-"), 1)
        list(ItemReader(BytesSource(data)))
        for batch in ItemReader(BytesSource(data)):
            one.count_items(batch.columns, 0, batch.stop, data, 0, 1 << 40, array("I", bytes(4 * ROOM)))
            # -123, 32767 and -2147483648 are stored as integers.
            assert {row[0] for row in one.prefixes} == {b"", b"-"}
    assert KEY_BYTES_KEPT > NAME_BYTES_KEPT


def test_short_columns_are_refused() -> None:
    batch = next(read_tiles(BytesSource(encode_command([b"SET", b"a", b"1"])), command_table().names))
    short, room = array("q"), array("I", bytes(4 * ROOM))
    full = array("q", bytes(8 * ROOM))
    scale, tally = RecordCounters(burst_kinds(), 1, FACTORS), KeyCounters(first_key_rules(), 58, 1, 0)
    with pytest.raises(ValueError):
        scale.count_batch(batch, 0, short, full, None, 0, room)
    with pytest.raises(ValueError):
        scale.count_batch(batch, 0, full, full, array("I", [1]), 0, room)
    with pytest.raises(ValueError):
        tally.count_batch(batch, short, None)
    for wrong in (
        (b"\3", 1, FACTORS),
        (burst_kinds(), 0, FACTORS),
        (burst_kinds(), 1, array("q", [1, 0])),
        (burst_kinds(), 1, array("q", [2])),
    ):
        for twin in (RecordCounters, plain_weigh.RecordCounters):
            with pytest.raises(ValueError):
                twin(*wrong)
