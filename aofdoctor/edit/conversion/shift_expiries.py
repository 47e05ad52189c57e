"""Shift the absolute expiry times in the commands of an AOF file; all other bytes are copied."""

from collections.abc import Iterator
from itertools import chain, islice

from aofdoctor.aof.constants import ANNOTATION, UNKNOWN
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Arg, LargeArgument, RecordBatch
from aofdoctor.edit.conversion.output_file import CopiedSpan, OutputPiece
from aofdoctor.rdb.conversion import ConversionReport
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.expiry_arguments import ARGS_SEARCHED, EXPIRY_FINDERS, find_expiries, shift_expiry
from aofdoctor.source import FileSource
from aofdoctor.span import Span

_HASH_TYPES_WITH_FIELD_TTL = range(22, 26)  # RDB types of hashes with field expiries, as in a RESTORE payload


def shift_expiries(
    source: FileSource, start: int, shift_ms: int, report: ConversionReport, without_annotations: bool
) -> Iterator[OutputPiece]:
    """Generate a file's commands with absolute expiries shifted by `shift_ms`, optionally without annotations.

    `start` is the offset in the file where the first command begins.
    """
    names = {name.decode().lower() for name in EXPIRY_FINDERS}
    tracker = ContextTracker()
    tracker.flag(
        "shift",
        {c.id for c in command_table().commands if c.name in names}
        | {UNKNOWN}
        | ({ANNOTATION} if without_annotations else set()),
    )
    for tile in read_tiles(source, command_table().names, start):
        if isinstance(tile, RecordBatch):
            yield from (
                _shift_large_record(tile, source, shift_ms, report)
                if tile.oversized
                else _shift_small_records(tile, tracker, shift_ms, report, without_annotations)
            )


def _shift_small_records(
    batch: RecordBatch, tracker: ContextTracker, shift_ms: int, report: ConversionReport, without_annotations: bool
) -> Iterator[bytes]:
    """Yield the bytes of a batch of AOF commands with their expiries shifted by `shift_ms` milliseconds."""
    out, done = bytearray(), 0
    for i in tracker.track(batch):
        if batch.ids[i] == ANNOTATION and without_annotations:
            report.dropped_hints["annotations, which servers before 7.0 do not read"] += 1
            out += _raw(batch, done, i)
            done = i + 1
            continue
        argv = batch.argv(i) if batch.argc[i] else []
        new = shift_expiry(argv, shift_ms)
        _count_unshifted(argv, report)
        if new is not argv:
            report.shifted_commands += 1
            out += _raw(batch, done, i) + encode_command(new)
            done = i + 1
    out += _raw(batch, done, batch.count)
    yield bytes(out)


def _raw(batch: RecordBatch, start: int, stop: int) -> bytes:
    return bytes(memoryview(batch.buffer)[batch.origin + batch.edges[start] : batch.origin + batch.edges[stop]])


def _shift_large_record(
    batch: RecordBatch, source: FileSource, shift_ms: int, report: ConversionReport
) -> Iterator[OutputPiece]:
    """Yield the bytes of a command larger than the read buffer with its expiry shifted.

    Only the first arguments are searched for an expiry.
    """
    args = batch.args(0) if batch.argc[0] else iter(())
    head = list(islice(args, ARGS_SEARCHED))
    if not any(True for _ in find_expiries(head)):
        yield CopiedSpan(source, batch.record_span(0))
        return
    _count_unshifted(head, report)
    report.shifted_commands += 1
    yield b"*%d\r\n" % batch.argc[0]
    for arg in chain(shift_expiry(head, shift_ms), args):
        yield from _argument(arg, source)


def _argument(arg: Arg, source: FileSource) -> Iterator[OutputPiece]:
    yield b"$%d\r\n" % (arg.size if isinstance(arg, LargeArgument) else len(arg))
    yield CopiedSpan(source, Span(arg.span.start, arg.span.end)) if isinstance(arg, LargeArgument) else arg
    yield b"\r\n"


def _count_unshifted(argv: list[bytes] | list[Arg], report: ConversionReport) -> None:
    """Count in `report` the RESTORE payloads that may contain expiries of hash fields, which are not shifted."""
    if len(argv) > 3 and isinstance(argv[0], bytes) and argv[0][:7].upper() == b"RESTORE":
        payload = argv[3]
        first = payload.head(1) if isinstance(payload, LargeArgument) else payload[:1]
        if first and first[0] in _HASH_TYPES_WITH_FIELD_TTL:
            report.dropped_hints["RESTORE payloads whose fields may expire, which are not moved"] += 1
