"""Digests and units of diff: the compiled code and its fallback agree on any bytes."""

from array import array
from itertools import combinations

from hypothesis import given

from aofdoctor.aof.reader import BATCH_RECORDS, read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.diff.hashing import _pydigest as plain_digest
from aofdoctor.diff.hashing import digest as digest_kernel
from aofdoctor.diff.units import _pyunits as plain_units
from aofdoctor.diff.units.columns import OpenUnitField, UnitColumn
from aofdoctor.diff.units.comparison_rules import ComparisonRules
from aofdoctor.diff.units.large_records import large_record_digest
from aofdoctor.diff.units.side import TruncatedSource
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import BytesSource
from tests.support.hostile_bytes import hostile_aofs, sound_aofs

KEY = bytes(range(16))
RULES, EXACT = ComparisonRules.create(KEY, False), ComparisonRules.create(KEY, True)


def digests_and_units(data: bytes) -> "list[array[int]]":
    """Return the digests and keys of both implementations for some records, and the unit columns of both."""
    compiled_side = __import__("aofdoctor.diff.units._units", fromlist=["make_units"])
    found: list[array[int]] = [array("q") for _ in range(4)]
    columns = [[array("q") for _ in UnitColumn] for _ in range(2)]
    states = [array("q", bytes(8 * len(OpenUnitField))) for _ in range(2)]
    steps = ContextTracker(columns=True)
    for tile in read_tiles(BytesSource(data), command_table().names):
        if not isinstance(tile, RecordBatch):
            continue
        steps.track(tile)
        for twin, (digests, run) in enumerate(
            ((digest_kernel, compiled_side.make_units), (plain_digest, plain_units.make_units))
        ):
            made, keys = array("Q", bytes(8 * BATCH_RECORDS)), array("Q", bytes(8 * BATCH_RECORDS))
            digests.record_digests(KEY, tile, RULES.name_counts, False, made)
            digests.key_digests(KEY, tile, keys)
            found[2 * twin].extend(v >> 1 for v in made[: tile.count])
            found[2 * twin + 1].extend(v >> 1 for v in keys[: tile.count])
            out = [array("q", bytes(8 * (BATCH_RECORDS + 1))) for _ in UnitColumn]
            count = run(KEY, states[twin], tile, made, steps.db, steps.tx, steps.time, RULES.actions, out)
            for column, new in zip(columns[twin], out, strict=True):
                column.extend(new[:count])
    pairs = [(columns[0][c], columns[1][c]) for c in UnitColumn if c is not UnitColumn.DIGEST]
    assert [a for a, _ in pairs] == [b for _, b in pairs]
    return [*found, columns[0][UnitColumn.DIGEST], columns[1][UnitColumn.DIGEST]]


def first_occurrences(values: "array[int]") -> list[int]:
    """Map each value to the index of its first occurrence, so that only equality is compared."""
    return [values.index(value) for value in values]


@given(sound_aofs | hostile_aofs)
def test_compiled_and_fallback_find_the_same_units(data: bytes) -> None:
    digests, keys, plain, plain_keys, units, plain_units_ = digests_and_units(data)
    assert first_occurrences(digests) == first_occurrences(plain)
    assert first_occurrences(keys) == first_occurrences(plain_keys)
    assert first_occurrences(units) == first_occurrences(plain_units_)


def test_digests_distinguish_arguments() -> None:
    argvs = [[b"SET", b"a", b"b"], [b"SET", b"ab", b""], [b"SET", b"", b"ab"], [b"SETa", b"b"], [b"SET", b"a", b"B"],
             [b"SET", b"a", b"b\0"], [b"SET", b"a"], [b"SET", b"a", b"b", b""]]  # fmt: skip
    digests, *_ = digests_and_units(b"".join(map(encode_command, argvs)))
    assert all(a != b for a, b in combinations(digests, 2))
    same, *_ = digests_and_units(
        encode_command([b"xgroup", b"create", b"s"]) + encode_command([b"XGROUP", b"Create", b"s"])
    )
    assert same[0] == same[1]


def test_an_oversized_record_has_the_digest_of_an_inline_one() -> None:
    big = b"y" * ((1 << 20) + 77)
    data = encode_command([b"SET", b"k", big])
    near = array("Q", bytes(8))
    for rules in (RULES, EXACT):
        batch = next(read_tiles(BytesSource(data), command_table().names, window=1 << 22))
        assert isinstance(batch, RecordBatch) and not batch.oversized
        digest_kernel.record_digests(KEY, batch, rules.name_counts, rules.exact, near)
        far = next(read_tiles(BytesSource(data), command_table().names))
        assert isinstance(far, RecordBatch) and far.oversized
        assert large_record_digest(rules, far) == near[0]


@given(sound_aofs, sound_aofs)
def test_the_common_prefix_ends_at_the_first_different_byte(a: bytes, b: bytes) -> None:
    size = min(len(a), len(b))
    expected = next((n for n in range(size) if a[n] != b[n]), size)
    assert (
        digest_kernel.common_prefix_length(a, 0, b, 0, size)
        == plain_digest.common_prefix_length(a, 0, b, 0, size)
        == expected
    )


def test_a_truncated_source_ends_at_its_limit() -> None:
    source = TruncatedSource(BytesSource(b"0123456789"), 4)
    view = memoryview(bytearray(10))
    assert (source.size, source.readinto(view, 1), source.readinto(view, 4)) == (4, 3, 0)
