"""Why the scanner stopped, and where records begin again.

An AOF has no blocks and no checksums, and a value may contain RESP: where
records begin again is a guess, and is labelled as one.  A place is believed if
a whole record stands there whose name the servers know.  Where the file seems
to end inside a payload, that could be a value that holds RESP, cut off: there
a place has to begin a run of records as well.

The work is bounded: a hostile file can make every byte the start of a record
that fails far away, so a search may look at so many arguments and bytes for
each byte that it gets past.
"""

import re
from collections.abc import Container

from aofdoctor.aof.constants import NAME_MAX
from aofdoctor.aof.diagnosis import Defect, RecordDiagnosis, diagnose_record
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.recovery.argument_damage import block_edge_note, encoding_note, missing_bytes_note
from aofdoctor.aof.scan import SLACK, ScanColumns, ScanNames, scan
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_CANDIDATE = re.compile(rb"\*[0-9]{1,18}\r\n\$([0-9]{1,18})\r\n")
_CANDIDATE_MAX = 21 + 21 + NAME_MAX
_TIMESTAMP = re.compile(rb"#TS:[0-9]{1,20}\r?\n\Z")
_LOOSE_HEADER = re.compile(
    rb"[^0-9]([0-9]{1,9})..", re.DOTALL
)  # a header of which only the mark or the line end is off
_LOOSE_ARGS_MAX = 1 << 10
_VALUE_HEADER = re.compile(rb"\$([0-9]{1,18})\r\n\Z")
_RUN_RECORDS = 8  # so many whole records make a run
_VALUE_MAX = 1 << 20  # so many bytes of records may be a value's
_VALUE_READ_SIZE = 1 << 16
_NO_NAMES = ScanNames([])
_WORK_FREE = 1 << 20  # arguments, or blocks of 64 bytes read
_WORK_PER_BYTE = 16
_NULS_MIN = 64  # so many NUL bytes are no value's own
_NULS_SEARCH_MAX = 1 << 20


def damage_at(source: Source, offset: int, known_names: Container[bytes]) -> Damage:
    """What is wrong at `offset`, where no whole record stands, and how far it goes."""
    window = ReadWindow(source)
    diagnosis = diagnose_record(window, offset)
    torn = diagnosis.defect in (Defect.EOF, Defect.PAST_EOF)
    resume = _end_despite_one_bad_byte(window, offset) if diagnosis.end > offset else None
    if resume is None:
        resume = find_record(source, offset + 1, known_names, run=torn)
    while resume is not None and (value_end := _value_end(source, diagnosis, resume)) is not None:
        resume = find_record(source, value_end, known_names, run=torn)
    end = _source_end(window, diagnosis.end) if resume is None else resume
    kind, note = _classify(window, offset, diagnosis, end, to_eof=resume is None)
    return Damage(Span(offset, end), kind, note, end_is_guess=resume is not None)


def find_record(source: Source, start: int, known_names: Container[bytes], run: bool = False) -> int | None:
    """Where records begin again at or after `start`; None if nowhere.

    With `run`, a record is only believed if the file ends after it and what
    follows, or if more follow.
    """
    outer, inner = ReadWindow(source), ReadWindow(source)
    at, budget = start, _WORK_FREE
    while window := outer.read(at, ReadWindow.SIZE):
        last = len(window) < ReadWindow.SIZE
        for match in _CANDIDATE.finditer(window):
            name_end = match.end() + int(match[1])
            if int(match[1]) > NAME_MAX or (name_end > len(window) and not last):
                continue
            if window[match.end() : name_end].lower() not in known_names:
                continue
            place, before = at + match.start(), inner.bytes_read
            allowed = budget + _WORK_PER_BYTE * (place - start)
            diagnosis = (
                diagnose_record(inner, place, max(0, allowed)) if allowed > 0 else RecordDiagnosis(Defect.BUDGET, place)
            )
            budget -= min(diagnosis.argc, allowed) + (inner.bytes_read - before) // 64
            if diagnosis.is_complete and (not run or _begins_run(inner, diagnosis.end)):
                return _with_timestamp(inner, start, place)
        if last:
            return None
        at += len(window) - _CANDIDATE_MAX
    return None


def _end_despite_one_bad_byte(window: ReadWindow, offset: int) -> int | None:
    """Where the record ends if only a mark or a line end in it is wrong, and more records follow there."""
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


def _value_end(source: Source, diagnosis: RecordDiagnosis, start: int) -> int | None:
    """Where the value ends that the records from `start` are in; None if they stand for themselves.

    A value whose header is whole may have lost what follows it: records that
    begin before its end, and break off there too, are its own; so is what a length
    stands right before that a line end agrees with.  Records that end
    in a CRLF of nobody, with more behind it, are what a value holds whose own
    header is lost.  A longer run than such a value is believed.
    """
    before = _VALUE_HEADER.search(pread(source, min(32, start), max(0, start - 32)))
    declared_end = start + int(before[1]) if before else start
    if declared_end > start and pread(source, 2, declared_end) == b"\r\n":
        return declared_end + 2
    end = _run_end(source, start)
    if end is None:
        return None
    after = pread(source, 3, end)
    if after[:2] == b"\r\n" and after[2:] in (b"", b"$", b"*", b"#") and end > start:
        return end + 2
    inside = diagnosis.defect is Defect.MISSING_CRLF and end < diagnosis.end <= start + _VALUE_MAX
    return diagnosis.end if inside else None


def _run_end(source: Source, start: int) -> int | None:
    """Where the whole records from `start` break off; None if not soon."""
    columns, at, size = ScanColumns(1 << 12), start, 1 << 12
    while at - start < _VALUE_MAX:
        data = pread(source, size, at)
        count = scan(bytearray(data + bytes(SLACK)), 0, len(data), _NO_NAMES, columns)
        if not count:
            return at
        at += columns.edges[count]
        size = _VALUE_READ_SIZE
    return None


def _begins_run(window: ReadWindow, offset: int) -> bool:
    for _ in range(_RUN_RECORDS - 1):
        if not window.has_byte_at(offset):
            return True
        diagnosis = diagnose_record(window, offset, 1 << 16)
        if not diagnosis.is_complete:
            return False
        offset = diagnosis.end
    return True


def _with_timestamp(window: ReadWindow, start: int, place: int) -> int:
    """The place of the annotation that stands right before a record, if one does."""
    from_ = max(start, place - 32)
    match = _TIMESTAMP.search(window.read(from_, place - from_))
    return from_ + match.start() if match else place


def _source_end(window: ReadWindow, offset: int) -> int:
    """The size of the source, which has been read to its end."""
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
    """What is wrong with an argument that its CRLF does not follow."""
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
    """The run of NUL bytes that the first wrong byte is part of, or the first long one before `end`."""
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
    """Where `what` first stands in [start, end), or -1."""
    at = start
    while at < end and (piece := window.read(at, min(ReadWindow.SIZE, end - at))):
        found = piece.find(needle)
        if found >= 0:
            return at + found
        if len(piece) < ReadWindow.SIZE:
            return -1
        at += len(piece) - len(needle) + 1
    return -1
