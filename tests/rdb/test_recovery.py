"""Salvage of a damaged RDB: every key before the damage, nearly every key after it, and tiles that cover all bytes."""

import time
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from aofdoctor.damage import Damage, DamageKind
from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.items import ItemBatch, ItemReader, KeyItem
from aofdoctor.rdb.recovery import resync
from aofdoctor.rdb.recovery.bloom_filter import BloomFilter
from aofdoctor.rdb.recovery.resync import find_keys
from aofdoctor.rdb.recovery.salvage import salvage_items
from aofdoctor.rdb.walk import _pyprobe as probe
from aofdoctor.rdb.walk import _pywalker as walk
from aofdoctor.rdb.walk import walker as kernel
from aofdoctor.rdb.walk import window as sweep
from aofdoctor.rdb.walk.layouts import LAYOUTS
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource, Source
from tests.conftest import FIXTURES
from tests.support.rdb_damage import KINDS, keys_by_span, score_salvage
from tests.support.rdb_unreleased import length, string

BASES = [path for path in sorted((FIXTURES / "aof").rglob("*.base.rdb")) if len(path.read_bytes()) > 200]


def rdb(*bodies: bytes) -> bytes:
    data = b"REDIS0011\xfe\x00" + b"".join(bodies) + b"\xff"
    return data + crc64(data).to_bytes(8, "little")


def pairs(count: int, size: int = 40) -> list[bytes]:
    return [b"\x00" + string(b"key:%d" % n) + string(b"%d" % n * size) for n in range(count)]


def salvage(data: bytes, end: int | None = None) -> tuple[list[bytes], list[Damage]]:
    """Return the names of the keys and the damage, and check that the items tile the file."""
    source, at, names, damage = BytesSource(data), 0, [], []
    for tile in salvage_items(source, end):
        assert tile.span.start == at < tile.span.end
        at = tile.span.end
        if isinstance(tile, Damage):
            damage.append(tile)
        else:
            names += [item.name(source) for item in tile if isinstance(item, KeyItem)]
    assert at == len(data) if end is None else at <= end
    return names, damage


@pytest.mark.parametrize("base", BASES, ids=lambda p: p.parent.parent.name)
def test_a_sound_rdb_is_its_items(base: Path) -> None:
    source = BytesSource(base.read_bytes())
    found = [item for tile in salvage_items(source) if isinstance(tile, ItemBatch) for item in tile]
    assert found == [item for batch in ItemReader(source) for item in batch]


def test_every_key_before_a_truncation_is_returned() -> None:
    data = rdb(*pairs(100))
    truth = keys_by_span(BytesSource(data))
    for size in range(9, len(data), 7):
        names, damage = salvage(data[:size])
        assert names == [name for span, name in truth.items() if span.end <= size]
        assert all(one.kind == DamageKind.TRUNCATED_PREAMBLE and one.span.end == size for one in damage)


def test_keys_after_a_destroyed_one_are_returned_and_labelled_as_a_guess() -> None:
    bodies = pairs(60)
    data = rdb(*bodies[:30], bytes(len(bodies[30])), *bodies[31:])
    names, _ = salvage(data)
    assert [name for name in names if name] == [b"key:%d" % n for n in range(60) if n != 30]
    data = rdb(*bodies[:30], b"\x6b" * len(bodies[30]), *bodies[31:])
    names, [damaged] = salvage(data)
    assert names == [b"key:%d" % n for n in range(60) if n != 30]
    assert damaged.end_is_guess and damaged.kind == DamageKind.CORRUPT_PREAMBLE
    assert damaged.span.size == len(bodies[30])


def test_keys_inside_a_grown_length_are_returned() -> None:
    bodies = pairs(80)
    swallower = b"\x00" + string(b"swallower") + length(len(b"".join(bodies[20:25])) + 10)
    names, [damaged] = salvage(rdb(*bodies[:20], swallower, *bodies[20:]))
    assert names == [b"key:%d" % n for n in range(80)]
    assert damaged.span.size == len(swallower)


def test_several_damages_in_one_file() -> None:
    bodies = pairs(200)
    for n in (20, 80, 81, 150):
        bodies[n] = b"\x7f" * 30
    names, damage = salvage(rdb(*bodies))
    assert names == [b"key:%d" % n for n in range(200) if n not in (20, 80, 81, 150)]
    assert len(damage) == 3


def test_binary_names_are_accepted_if_enough_keys_follow() -> None:
    random = Random(1)
    bodies = [b"\x00" + string(random.randbytes(20)) + string(b"v") for _ in range(60)]
    names, _ = salvage(rdb(*bodies[:20], b"\x6b" * 40, *bodies[20:]))
    assert len(names) == 60


def test_a_large_value_after_damage_is_walked_over() -> None:
    big = b"\x02" + string(b"big") + b"\x80" + (300_000).to_bytes(4, "big") + b"\x07element" * 300_000
    names, _ = salvage(rdb(*pairs(5), b"\x6b" * 40, big, *pairs(5)))
    assert names == [b"key:%d" % n for n in range(5)] + [b"big"] + [b"key:%d" % n for n in range(5)]


def test_a_salvage_ends_at_the_first_resp_command() -> None:
    bodies = pairs(60)
    preamble = rdb(*bodies[:30], b"\x6b" * 40, *bodies[30:])
    names, _ = salvage(preamble + encode_command([b"SET", b"a", b"1"]) * 50, len(preamble))
    assert names == [b"key:%d" % n for n in range(60)]


def test_an_implausible_key_is_damage() -> None:
    source = BytesSource(rdb(*pairs(10)))

    def defect(_: Source, key: KeyItem) -> str:
        return "damaged" if key.name(source) == b"key:4" else ""

    tiles = list(salvage_items(source, key_defect=defect))
    [damaged] = [tile for tile in tiles if isinstance(tile, Damage)]
    assert damaged.span in keys_by_span(source) and damaged.end_is_guess and damaged.kind == DamageKind.CORRUPT_VALUE


@pytest.mark.parametrize("kind", KINDS)
def test_most_keys_outside_random_damage_are_returned(kind: str) -> None:
    scores = []
    for base in BASES:
        data = base.read_bytes()
        truth = keys_by_span(BytesSource(data))
        for seed in range(40):
            bent, span = KINDS[kind](data, Random(seed))
            scores.append(score_salvage(data, bent, span, truth))
    outside, regained, _ = map(sum, zip(*scores, strict=True))
    assert regained >= (1.0 if kind == "cut" else 0.95) * outside


@pytest.mark.parametrize(
    "body",
    [b"\0" * 200_000, b"\x00\x03abc\x00" * 30_000, b"\x02\x03abc\x7f\xff" * 30_000, b"\x01\x03abc\x80\xff\xff\xff\xff" * 20_000,
     b"\xfc" * 200_000, b"\xff" * 200_000, b"\x00\x03abc\x80\x00\x00\xff\xff" * 20_000, b"\x15\x03abc" + b"\x3f" * 200_000],
    ids=range(8),
)  # fmt: skip
def test_hostile_bytes_take_linear_time(body: bytes) -> None:
    started = time.process_time()
    salvage(b"REDIS0011\x6b" + body)
    assert time.process_time() - started < 5


def test_the_fallbacks_salvage_the_same_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    data = BASES[-1].read_bytes()
    for kind, bend in KINDS.items():
        for seed in range(6):
            bent, _ = bend(data, Random(f"{kind} {seed}"))
            answers = []
            for machines, finder in ((kernel, kernel), (walk, probe)):
                use(machines, finder, monkeypatch)
                answers.append(salvage(bent))
            assert answers[0] == answers[1]


def use(machines: ModuleType, finder: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "Walker", machines.Walker)
    monkeypatch.setattr(sweep, "ItemColumns", machines.ItemColumns)
    monkeypatch.setattr(resync, "find_key_start", finder.find_key_start)


def test_the_first_offset_with_keys_is_found() -> None:
    bodies = b"".join(pairs(20))
    assert find_keys(BytesSource(b"\x6b" * 100 + bodies), 0, LAYOUTS["redis"]) == 100
    assert find_keys(BytesSource(b"\x6b" * 1000), 0, LAYOUTS["redis"]) is None


def test_a_bloom_filter_contains_every_added_name() -> None:
    seen = BloomFilter()
    assert [seen.add(0, b"%d" % number) for number in range(1000)] == [False] * 1000
    assert all(seen.probably_contains(0, b"%d" % number) for number in range(1000))
    assert not seen.probably_contains(1, b"1") and not seen.probably_contains(0, b"1000")
