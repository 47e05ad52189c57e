"""Classify damage in an AOF, and find the next record (command or annotation) after it.

An AOF has no blocks and no checksums, and an argument can contain RESP.  The
offset where records begin again is therefore a guess, and is reported as one.  A
candidate is accepted if it is a complete record with a known command name, or
with any name if another complete command follows at once.  If the file seems to
end inside an argument, the candidate could be part of that argument, so it must
then begin a run of _RUN_RECORDS records.

The work is bounded.  In a hostile file every byte can begin a record that fails
far away, so the search has a budget of arguments and bytes that grows with the
distance from its start.
"""

import re
from collections.abc import Container

from aofdoctor.aof.constants import RENAMED_NAME_MAX
from aofdoctor.aof.diagnosis import Defect, RecordDiagnosis, diagnose_record
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.recovery.argument_damage import block_edge_note, encoding_note, missing_bytes_note
from aofdoctor.aof.recovery.embedded_rdb import (
    RdbSearchBudget,
    describe_rdb,
    find_leading_rdb,
    find_rdb_behind,
    walk_embedded_rdb,
)
from aofdoctor.aof.scan import SLACK, ScanColumns, ScanNames, scan
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_CANDIDATE = re.compile(rb"\*[0-9]{1,18}\r\n\$([0-9]{1,18})\r\n")
_CANDIDATE_MAX = 21 + 21 + RENAMED_NAME_MAX
_TIMESTAMP = re.compile(rb"#TS:[0-9]{1,20}\r?\n\Z")
# A header in which only the mark or the line end is wrong.
_LOOSE_HEADER = re.compile(rb"[^0-9]([0-9]{1,9})..", re.DOTALL)
_LOOSE_ARGS_MAX = 1 << 10  # the most arguments of a command in which one wrong byte is searched
_VALUE_HEADER = re.compile(rb"\$([0-9]{1,18})\r\n\Z")
_BULK_HEADER = re.compile(rb"\$([0-9]{1,9})\r\n")
_AFTER_VALUE = (b"\r\n$", b"\r\n*", b"\r\n#", b"\r\n")
_ENDS_TRIED = 64
_HEADERS_SEARCHED = 1 << 16  # bytes before a record in which the header of a value that contains it is searched
_RUN_RECORDS = 8  # complete records that make a run
_CROWDED_NOTE = f"much damage is near it: it ends at the next run of {_RUN_RECORDS} commands"
_VALUE_MAX = 1 << 20  # bytes of records up to which they can be the content of a value
_VALUE_READ_SIZE = 1 << 16
_NO_NAMES = ScanNames([])
_run_columns = ScanColumns(1 << 12)  # Shared, because to allocate it costs more than to find the end of a short run.
_eight_columns = ScanColumns(_RUN_RECORDS)
_WORK_FREE = 1 << 20  # the initial budget, in arguments or blocks of 64 bytes
_WORK_PER_BYTE = 16
_NULS_MIN = 64  # NUL bytes from which a run is taken for lost data, not for part of a value
_NULS_SEARCH_MAX = 1 << 20


def damage_at(
    source: Source,
    offset: int,
    known_names: Container[bytes],
    budget: RdbSearchBudget | None = None,
    crowded_end: int | None = None,
) -> Damage:
    """Classify the damage at `offset` of an AOF file, where no complete record begins, and find its end.

    A whole RDB is a damage of its own, and so are bytes before one at the start; failed walks share `budget`.  Up to
    `crowded_end` only a run of records ends the damage, because too many damages are near it.
    """
    budget = budget or RdbSearchBudget()
    if rdb := walk_embedded_rdb(source, offset, budget):
        return Damage(Span(offset, rdb.end), DamageKind.SECOND_AOF, describe_rdb(rdb))
    if offset == 0 and (start := find_leading_rdb(source, budget)):
        return Damage(Span(0, start), DamageKind.LEADING_GARBAGE, f"{start} bytes before an RDB")
    window = ReadWindow(source)
    diagnosis = diagnose_record(window, offset)
    torn = diagnosis.defect in (Defect.EOF, Defect.PAST_EOF)
    if crowded_end is not None:
        resume = find_run(source, Span(offset + 1, crowded_end))
        resume = find_record(source, crowded_end, known_names, run=torn) if resume is None else resume
        end = _source_end(window, diagnosis.end) if resume is None else resume
        kind, note = _classify(window, offset, diagnosis, end, to_eof=resume is None)
        note = f"{note}; {_CROWDED_NOTE}" if note else _CROWDED_NOTE
        return Damage(Span(offset, end), kind, note, end_is_guess=resume is not None)
    resume = _end_despite_one_bad_byte(window, offset) if diagnosis.end > offset else None
    if resume is None:
        resume = find_record(source, offset + 1, known_names, run=torn)
    searched = offset
    while resume is not None and (value_end := _value_end(source, diagnosis, searched, resume)) is not None:
        searched = value_end
        resume = find_record(source, value_end, known_names, run=torn)
    end = _source_end(window, diagnosis.end) if resume is None else resume
    if offset and (start := find_rdb_behind(source, offset, end, budget)):
        return Damage(Span(offset, start), DamageKind.GARBAGE, f"{start - offset} bytes before an RDB")
    kind, note = _classify(window, offset, diagnosis, end, to_eof=resume is None)
    return Damage(Span(offset, end), kind, note, end_is_guess=resume is not None)


def find_record(source: Source, start: int, known_names: Container[bytes], run: bool = False) -> int | None:
    """Return the offset of the first credible command (or its timestamp) at or after `start` of an AOF file, or None.

    Credible means complete, and either in `known_names` or followed by another
    complete command.  With `run`, it must also begin a run of _RUN_RECORDS complete
    records, or fewer if the file ends right after them.
    """
    outer, inner = ReadWindow(source), ReadWindow(source)
    at, budget, size = start, _WORK_FREE, ReadWindow.FIRST_SIZE
    while window := outer.read(at, size):
        last = len(window) < size
        size = min(ReadWindow.SIZE, 4 * size)
        for match in _CANDIDATE.finditer(window):
            name_end = match.end() + int(match[1])
            if int(match[1]) > RENAMED_NAME_MAX or (name_end > len(window) and not last):
                continue
            known = window[match.end() : name_end].lower() in known_names
            place, before = at + match.start(), inner.bytes_read
            allowed = budget + _WORK_PER_BYTE * (place - start)
            diagnosis = (
                diagnose_record(inner, place, max(0, allowed)) if allowed > 0 else RecordDiagnosis(Defect.BUDGET, place)
            )
            budget -= min(diagnosis.argc, allowed) + (inner.bytes_read - before) // 64
            if not diagnosis.is_complete or not (known or _begins_record(inner, diagnosis.end)):
                continue
            if not run or _begins_run(inner, diagnosis.end):
                return _with_timestamp(inner, start, place)
        if last:
            return None
        at += len(window) - _CANDIDATE_MAX
    return None


def find_run(source: Source, span: Span) -> int | None:
    """Return the offset in a range, at most 64 KiB long, of the first run of _RUN_RECORDS complete records, or None.

    Unlike find_record(), it costs little for each candidate, and it does not look for records inside values.
    """
    size = span.size + ReadWindow.SIZE
    data = bytearray(pread(source, size, span.start))
    end = len(data)
    data += bytes(SLACK)
    for match in _CANDIDATE.finditer(data, 0, span.size):
        if scan(data, match.start(), end, _NO_NAMES, _eight_columns) >= _RUN_RECORDS:
            return span.start + match.start()
    return None


def _end_despite_one_bad_byte(window: ReadWindow, offset: int) -> int | None:
    """Return the end of the command at `offset` if only a `*`, `$` or CRLF in it is wrong and more records follow.

    None otherwise.
    """
    at, left = offset, 1
    while left:
        match = _LOOSE_HEADER.match(window.read(at, 24))
        if not match:
            return None
        if at == offset:
            at, left = at + match.end(), int(match[1])
            if not 0 < left <= _LOOSE_ARGS_MAX:
                return None
            continue
        at, left = at + match.end() + int(match[1]) + 2, left - 1
        if not window.has_byte_at(at - 1):
            return None
    return at if window.has_byte_at(at) and window.read(at, 1) in (b"*", b"#") and _begins_run(window, at) else None


def _value_end(source: Source, diagnosis: RecordDiagnosis, damage_start: int, start: int) -> int | None:
    """Return the end of the value that contains the records at `start`, or None if they are real records.

    The records are the content of a value in four cases.  A bulk header is
    right before them, with CRLF where its length ends, or the file ends before.
    Or one is earlier in the damage, and its length ends with one of the records.
    Or they end with an additional CRLF before the next record or argument: the
    value's own header is lost.  Or they break off before the end of an argument
    that lacks its CRLF.  More than _VALUE_MAX bytes count as real records.
    """
    before = _VALUE_HEADER.search(pread(source, min(32, start), max(0, start - 32)))
    declared_end = start + int(before[1]) if before else start
    if declared_end > start:
        after = pread(source, 2, declared_end)
        if after == b"\r\n" or (len(after) < 2 and not pread(source, 1, start + _VALUE_MAX)):
            return declared_end + 2
    if (value_end := _end_by_earlier_header(source, damage_start, start)) is not None:
        return value_end
    end = _run_end(source, start)
    if end is None:
        return None
    after = pread(source, 3, end)
    if after[:2] == b"\r\n" and after[2:] in (b"", b"$", b"*", b"#") and end > start:
        return end + 2
    inside = diagnosis.defect is Defect.MISSING_CRLF and end < diagnosis.end <= start + _VALUE_MAX
    return diagnosis.end if inside else None


def _end_by_earlier_header(source: Source, damage_start: int, start: int) -> int | None:
    """Return the end of the value of an earlier bulk header that contains the run of records at `start`, or None.

    The value ends after the run and before the next argument or record, or with one of the records.  If these begin
    right after a CRLF, a damaged length in the header explains the latter as well: then they are real ones.
    """
    is_line_start = pread(source, 2, start - 2) == b"\r\n"
    first = max(damage_start, start - _HEADERS_SEARCHED)
    headers = _BULK_HEADER.finditer(pread(source, start - first, first))
    value_ends = {first + match.end() + int(match[1]) + len(b"\r\n") for match in headers}
    last = max((end for end in value_ends if start < end < start + _VALUE_MAX), default=start)
    columns, at, size = ScanColumns(1 << 12), start, 1 << 12
    while at < last:
        data = pread(source, size, at)
        count = scan(bytearray(data + bytes(SLACK)), 0, len(data), _NO_NAMES, columns)
        for edge in columns.edges[1 : count + 1]:
            if at + edge in value_ends and not is_line_start:
                return at + edge
        if not count:
            break
        at += columns.edges[count]
        size = _VALUE_READ_SIZE
    behind = (end for end in value_ends if at < end < start + _VALUE_MAX)
    return next((end for end in sorted(behind)[:_ENDS_TRIED] if pread(source, 3, end - 2) in _AFTER_VALUE), None)


def _run_end(source: Source, start: int) -> int | None:
    """Return the end of the complete records from `start`; None if the run is longer than _VALUE_MAX bytes."""
    columns, at, size = _run_columns, start, 1 << 10
    while at - start < _VALUE_MAX:
        data = pread(source, size, at)
        count = scan(bytearray(data + bytes(SLACK)), 0, len(data), _NO_NAMES, columns)
        if not count:
            return at
        at += columns.edges[count]
        size = _VALUE_READ_SIZE
    return None


def begins_run(source: Source, offset: int) -> bool:
    """Whether a run of complete records begins at an offset: a number of them, or all up to the end of the file."""
    return _begins_run(ReadWindow(source), offset)


def _begins_run(window: ReadWindow, offset: int) -> bool:
    for _ in range(_RUN_RECORDS - 1):
        if not window.has_byte_at(offset):
            return True
        diagnosis = diagnose_record(window, offset, 1 << 16)
        if not diagnosis.is_complete:
            return False
        offset = diagnosis.end
    return True


def _begins_record(window: ReadWindow, offset: int) -> bool:
    """Whether a complete command begins at `offset` of an AOF file, possibly after a few annotations."""
    for _ in range(_RUN_RECORDS):
        if not window.has_byte_at(offset):
            return False
        diagnosis = diagnose_record(window, offset, 1 << 16)
        if not diagnosis.is_complete or not diagnosis.is_annotation:
            return diagnosis.is_complete
        offset = diagnosis.end
    return False


def _with_timestamp(window: ReadWindow, start: int, place: int) -> int:
    """Return the offset of the #TS annotation right before the command at `place`, or `place` if there is none.

    The annotation must begin at or after `start`.
    """
    from_ = max(start, place - 32)
    match = _TIMESTAMP.search(window.read(from_, place - from_))
    return from_ + match.start() if match else place


def _source_end(window: ReadWindow, offset: int) -> int:
    """Return the size of the file; a pipe is read to its end, from `offset` on."""
    if window.source.size is not None:
        return window.source.size
    while window.has_byte_at(offset):
        offset += len(window.read(offset, ReadWindow.SIZE))
    return offset


_KIND_BY_DEFECT = {
    Defect.ZERO_ARGC: DamageKind.ZERO_ARGC,
    Defect.NEGATIVE_LENGTH: DamageKind.NEGATIVE_LENGTH,
    Defect.TOO_LARGE: DamageKind.BAD_LENGTH,
    Defect.BAD_HEADER: DamageKind.BAD_HEADER,
    Defect.BAD_FIRST_BYTE: DamageKind.GARBAGE,
    Defect.BUDGET: DamageKind.BAD_HEADER,
}


def _classify(
    window: ReadWindow, offset: int, diagnosis: RecordDiagnosis, end: int, to_eof: bool
) -> tuple[DamageKind, str]:
    if diagnosis.defect is Defect.LINE_END or (
        diagnosis.defect is Defect.BAD_HEADER and window.read(diagnosis.end, 3) == b"\r\r\n"
    ):
        return DamageKind.LINE_ENDS, f"byte {diagnosis.end}"
    early = diagnosis.defect in (Defect.EOF, Defect.PAST_EOF)
    nuls = _find_nuls(window, offset, end, end if early else diagnosis.end)
    if nuls is not None:
        kind = DamageKind.NUL_TAIL if to_eof and nuls.end == end else DamageKind.NUL_HOLE
        return kind, f"{nuls.size} NUL bytes at {nuls.start}"
    if early:
        return _classify_short_read(diagnosis, end, to_eof)
    where = f"byte {diagnosis.end}" if diagnosis.end > offset else ""
    if offset == 0 and diagnosis.defect is Defect.BAD_FIRST_BYTE:
        bom = window.read(0, 3) == b"\xef\xbb\xbf"
        return DamageKind.LEADING_GARBAGE, "a UTF-8 byte order mark" if bom else ""
    if diagnosis.defect is Defect.MISSING_CRLF:
        return _classify_argument(window, diagnosis, where)
    if diagnosis.defect is Defect.BAD_FIRST_BYTE and window.read(offset, 9)[:5] in (b"REDIS", b"VALKE"):
        return DamageKind.SECOND_AOF, ""
    at_edge = block_edge_note(diagnosis) if diagnosis.defect is Defect.BAD_HEADER else ""
    return _KIND_BY_DEFECT[diagnosis.defect], f"{where}: {at_edge}" if at_edge else where


def _classify_argument(window: ReadWindow, diagnosis: RecordDiagnosis, where: str) -> tuple[DamageKind, str]:
    """Return (kind of damage, note) for a command with an argument that is not followed by CRLF."""
    before, here = window.read(diagnosis.end - 1, 2)
    if here == 0x0A and before != 0x0D:
        return DamageKind.LINE_ENDS, where
    if how := encoding_note(window, diagnosis):
        return DamageKind.ENCODING, f"{where}: {how}"
    lost = missing_bytes_note(window, diagnosis) or block_edge_note(diagnosis)
    return DamageKind.MISSING_CRLF, f"{where}: {lost}" if lost else where


def _classify_short_read(diagnosis: RecordDiagnosis, end: int, to_eof: bool) -> tuple[DamageKind, str]:
    if diagnosis.name == b"#":
        return DamageKind.UNTERMINATED_ANNOTATION, ""
    missing = diagnosis.end + diagnosis.declared_length + 2 - end
    if not to_eof:
        return DamageKind.BAD_LENGTH, f"byte {diagnosis.end} begins a payload of {diagnosis.declared_length} bytes"
    return DamageKind.TORN, f"at least {missing} bytes are missing" if diagnosis.defect is Defect.PAST_EOF else ""


def _find_nuls(window: ReadWindow, offset: int, end: int, bad_offset: int) -> Span | None:
    """Return the range of the NUL bytes around `bad_offset`, the first wrong byte of a damage from `offset` to `end`.

    If that byte is not NUL, the first run of at least _NULS_MIN NULs in the damage; None if there is none.
    """
    if window.read(bad_offset, 1) == b"\0":
        start = bad_offset
    else:
        start = _find(window, offset, min(end, offset + _NULS_SEARCH_MAX), bytes(_NULS_MIN))
        if start < 0:
            return None
    reach = max(offset, start - ReadWindow.SIZE // 2)
    start = reach + len(window.read(reach, start - reach).rstrip(b"\0"))
    at = start
    while at < end and (piece := window.read(at, min(ReadWindow.SIZE, end - at))):
        rest = piece.lstrip(b"\0")
        at += len(piece) - len(rest)
        if rest:
            break
    long_enough = at - start >= _NULS_MIN or start <= bad_offset < at
    return Span(start, at) if long_enough else None


def _find(window: ReadWindow, start: int, end: int, needle: bytes) -> int:
    """Return the offset in the file of the first `needle` from `start` up to `end`, or -1."""
    at = start
    while at < end and (piece := window.read(at, min(ReadWindow.SIZE, end - at))):
        index = piece.find(needle)
        if index >= 0:
            return at + index
        if len(piece) < ReadWindow.SIZE:
            return -1
        at += len(piece) - len(needle) + 1
    return -1
