"""The laws on hostile bytes, with ten thousand examples each."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aofdoctor.aof import _pyscan as plain_scan
from aofdoctor.aof._scan import ScanColumns as CompiledColumns
from aofdoctor.aof._scan import ScanNames as CompiledNames
from aofdoctor.aof._scan import arguments as compiled_arguments
from aofdoctor.aof._scan import scan as compiled_scan
from aofdoctor.aof._scan import skip_args as compiled_skip_args
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.reader import Tile, read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.check.examine import examine
from aofdoctor.damage import Damage
from aofdoctor.edit.drops import remaining_spans
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.planners.slice import plan_slice
from aofdoctor.edit.planners.strip import plan_selection, survey_flushes
from aofdoctor.edit.salvage.salvage import plan_salvage_drops
from aofdoctor.edit.transactions import structure_ids
from aofdoctor.errors import InvalidSelection, NothingReadable
from aofdoctor.log.selection import Selection
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context import _pytracker as plain
from aofdoctor.server.context._tracker import track_batch
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.versions import DEFAULT_VERSIONS
from aofdoctor.source import BytesSource, FileSource
from aofdoctor.span import Span
from tests.support.hostile_bytes import COMMAND_IDS, argvs, hostile_aofs, sound_aofs, sound_records

LAWS = settings(max_examples=10_000)
NAMES = [c.name.encode() for c in command_table().commands]
IMPLEMENTATIONS = (
    (
        plain_scan.ScanNames(NAMES),
        plain_scan.ScanColumns(64),
        plain_scan.scan,
        plain_scan.skip_args,
        plain_scan.arguments,
    ),
    (CompiledNames(NAMES), CompiledColumns(64), compiled_scan, compiled_skip_args, compiled_arguments),
)


def flatten_tiles(tiles: Iterator[Tile]) -> list[tuple[object, ...]]:
    """Return the tiles one by one, independent of their batches."""
    out: list[tuple[object, ...]] = []
    for tile in tiles:
        if isinstance(tile, RecordBatch):
            out += [(tile.record_span(i), tile.argc[i], tile.ids[i]) for i in range(tile.count)]
        elif isinstance(tile, Damage):
            out.append((tile.span, tile.kind, tile.end_is_guess))
        else:
            out.append((tile.span, tile.checksum))
    return out


def aof_of(data: bytes) -> AOF:
    return AOF("law", "single", None, [AofPart("law", "single", 0, None, BytesSource(data))])


@LAWS
@given(hostile_aofs)
def test_tiles_are_adjacent_and_cover_every_byte(data: bytes) -> None:
    spans = [tile[0] for tile in flatten_tiles(read_tiles(BytesSource(data), COMMAND_IDS))]
    at = 0
    for span in spans:
        assert isinstance(span, Span)
        assert span.start == at and span.end > at
        at = span.end
    assert at == len(data)


@LAWS
@given(
    hostile_aofs,
    st.sampled_from([1, 2, 7, 64, 1000]),
    st.sampled_from([32, 33, 100, 1 << 20]),
    st.sampled_from([1, 2, 64]),
)
def test_tiles_do_not_depend_on_read_sizes(data: bytes, read_size: int, window: int, room: int) -> None:
    expected = flatten_tiles(read_tiles(BytesSource(data), COMMAND_IDS))
    got = flatten_tiles(read_tiles(BytesSource(data, read_size), COMMAND_IDS, window=window, room=room))
    assert got == expected


@LAWS
@given(argvs)
def test_an_encoded_command_reads_back_as_one_record(argv: list[bytes]) -> None:
    data = encode_command(argv)
    for window in (24, 1 << 20):
        tiles = read_tiles(BytesSource(data), COMMAND_IDS, window=window)
        tile = next(tiles)
        assert isinstance(tile, RecordBatch) and tile.span == Span(0, len(data))
        assert list(tile.args(0)) == argv
        assert next(tiles, None) is None


@LAWS
@given(hostile_aofs)
def test_the_compiled_scanner_and_its_fallback_agree(data: bytes) -> None:
    buffer, results = bytearray(data + bytes(64)), []
    for names, columns, scan, skip_args, arguments in IMPLEMENTATIONS:
        count = scan(buffer, 0, len(data), names, columns)
        after = skip_args(buffer, min(4, len(data)), len(data), 3)
        records = [i for i in range(count) if columns.argc[i]]
        argv = [arguments(buffer, columns.edges[i], columns.edges[i + 1], 3) for i in records]
        results.append(
            (list(columns.edges[: count + 1]), list(columns.argc[:count]), list(columns.ids[:count]), after, argv)
        )
    assert results[0] == results[1]


@LAWS
@given(sound_aofs)
def test_the_compiled_tracker_and_its_fallback_agree(data: bytes) -> None:
    results = []
    for runner in (track_batch, plain.track_batch):
        steps = ContextTracker(columns=True)
        steps.flag("test", command_table().with_effect("flush"))
        noted = []
        for tile in read_tiles(BytesSource(data), COMMAND_IDS):
            assert isinstance(tile, RecordBatch)
            columns = (steps.db, steps.tx, steps.time)
            count = runner(
                steps.state, tile, steps.actions, steps.argc_min, steps.argc_max, steps.counts, steps.flagged, columns
            )
            noted += [(i, *(column[i] for column in columns)) for i in steps.flagged[:count]]
        results.append((noted, list(steps.state), list(steps.counts)))
    assert results[0] == results[1]


@LAWS
@given(hostile_aofs)
def test_every_hostile_file_is_judged(data: bytes) -> None:
    report = examine(aof_of(data), ["redis-2.8", "redis-6.2"])
    part = report.parts[0]
    assert 0 <= part.ok_up_to <= len(data) and part.ok_commands <= part.commands
    assert {v.server for v in report.verdicts} == {"redis-2.8", "redis-6.2", *DEFAULT_VERSIONS}


def apply(data: bytes, plan: Plan) -> bytes:
    return b"".join(data[span.start : span.end] for span in remaining_spans(plan.drops(), 0, len(data)))


def renumber_transactions(found: list[tuple[list[bytes], int, int]]) -> list[tuple[list[bytes], int, int]]:
    """Renumber transactions in order of appearance, so that only the grouping of commands is compared."""
    numbers = {0: 0, -1: -1}
    return [(argv, db, numbers.setdefault(tx, len(numbers))) for argv, db, tx in found]


def command_contexts(data: bytes) -> list[tuple[list[bytes], int, int]]:
    """Return every command except SELECT, MULTI and EXEC, with its database and transaction."""
    structure, out = structure_ids(), []
    steps = ContextTracker(columns=True)
    for tile in read_tiles(BytesSource(data), COMMAND_IDS):
        if isinstance(tile, RecordBatch):
            steps.track(tile)
            out += [(tile.argv(i), steps.db[i], steps.tx[i]) for i in range(tile.count)
                    if tile.ids[i] not in structure and tile.ids[i] != ANNOTATION]  # fmt: skip
    return out


@LAWS
@given(hostile_aofs)
def test_an_empty_plan_copies_byte_for_byte(data: bytes) -> None:
    aof = aof_of(data)
    plan = plan_selection(aof, survey_flushes(aof), Selection(ids=frozenset()))
    assert not plan.has_changes and apply(data, plan) == data


@LAWS
@given(hostile_aofs, st.sets(st.sampled_from(["set", "flushall", "flushdb", "ping", "select", "multi", "exec"])))
def test_every_dropped_byte_is_in_the_plan(data: bytes, names: set[str]) -> None:
    aof = aof_of(data)
    plan = plan_selection(aof, survey_flushes(aof), Selection(ids=command_table().ids_of(frozenset(names))))
    out = apply(data, plan)
    assert len(out) == len(data) - plan.dropped_bytes
    assert sum(drop.span.size for drop in plan.drops()) == plan.dropped_bytes
    assert all(drop.reason for drop in plan.drops())


@LAWS
@given(sound_aofs, st.sets(st.sampled_from(["set", "flushall", "flushdb", "ping"])), st.sampled_from([1, 2, 3, 1000]))
def test_kept_commands_keep_their_database_and_transaction(data: bytes, names: set[str], room: int) -> None:
    aof, dropped = aof_of(data), command_table().ids_of(frozenset(names))
    with patch("aofdoctor.edit.transactions.read_tiles", partial(read_tiles, room=room)):
        plan = plan_selection(aof, survey_flushes(aof), Selection(ids=dropped))
        out = apply(data, plan)
    gone = {c.name.encode() for c in command_table().commands if c.id in dropped}
    expected = [context for context in command_contexts(data) if context[0][0].lower() not in gone]
    assert renumber_transactions(command_contexts(out)) == renumber_transactions(expected)
    if b"MULTI" not in data:
        assert plan.dropped_commands == len(command_contexts(data)) - len(expected)


@LAWS
@given(st.lists(sound_records, min_size=1, max_size=8))
def test_an_emptied_transaction_is_removed(pieces: list[bytes]) -> None:
    tx = (
        encode_command([b"MULTI"])
        + encode_command([b"SELECT", b"3"])
        + encode_command([b"FLUSHALL"])
        + encode_command([b"EXEC"])
    )
    data = encode_command([b"EXEC"]) + tx + b"".join(p for p in pieces if b"EXEC" not in p and b"MULTI" not in p)
    aof = aof_of(data)
    plan = plan_selection(aof, survey_flushes(aof), Selection(ids=command_table().ids_of(frozenset({"flushall"}))))
    assert b"MULTI" not in apply(data, plan) and encode_command([b"SELECT", b"3"]) in apply(data, plan)


@settings(max_examples=300)
@given(hostile_aofs)
def test_a_file_reads_like_its_bytes(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.aof"
        path.write_bytes(data)
        assert flatten_tiles(read_tiles(FileSource(path), COMMAND_IDS)) == flatten_tiles(
            read_tiles(BytesSource(data), COMMAND_IDS)
        )


@LAWS
@given(
    sound_aofs,
    st.sets(st.sampled_from(["set", "flushall", "flushdb", "ping"]), min_size=1),
    st.sampled_from([1, 3, 1000]),
)
def test_sliced_commands_keep_their_database_and_whole_transaction(data: bytes, names: set[str], room: int) -> None:
    aof, wanted = aof_of(data), command_table().ids_of(frozenset(names))
    chosen = {c.name.encode() for c in command_table().commands if c.id in wanted}
    found = command_contexts(data)
    with patch("aofdoctor.edit.transactions.read_tiles", partial(read_tiles, room=room)):
        if not any(argv[0].lower() in chosen for argv, _, _ in found):
            with pytest.raises(InvalidSelection):
                plan_slice(aof, survey_flushes(aof), Selection(ids=wanted))
            return
        plan = plan_slice(aof, survey_flushes(aof), Selection(ids=wanted))
        out = apply(data, plan)
    whole_ones = {tx for argv, _, tx in found if tx and argv[0].lower() in chosen}
    expected = [c for c in found if c[0][0].lower() in chosen or c[2] in whole_ones]
    assert renumber_transactions(command_contexts(out)) == renumber_transactions(expected)
    assert len(out) == len(data) - plan.dropped_bytes


@LAWS
@given(hostile_aofs, st.booleans())
def test_a_salvage_is_sound_and_reports_every_loss(data: bytes, strict: bool) -> None:
    assume(data)
    try:
        plan = plan_salvage_drops(examine(aof_of(data)), strict)
    except NothingReadable:
        return  # No command is left; tests/edit/test_nothing_readable.py has the rule.
    out = apply(data, plan)
    tiles, steps = read_tiles(BytesSource(out), COMMAND_IDS), ContextTracker()
    for tile in tiles:
        assert isinstance(tile, RecordBatch)
        steps.track(tile)
    assert (
        steps.state[ContextField.TX] == 0
        and steps.state[ContextField.COMMANDS] == plan.commands_before - plan.dropped_commands
    )
    assert len(out) == len(data) - plan.dropped_bytes
