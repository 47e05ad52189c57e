"""Explain why an argument's CRLF is not where its length says, if the bytes allow it.

A value can have lost some bytes or a whole disk block, or its text encoding was
changed, which makes every byte above 0x7f longer.  Only the bytes up to the
next header are examined.  The results are notes for the report; no decision
depends on them.
"""

import re

from aofdoctor.aof.diagnosis import HEADER_MAX, RecordDiagnosis
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.source import PAGE_SIZE

_NEXT_HEADER = re.compile(rb"\r\n(?=\$[0-9]{1,18}\r\n|\*[0-9]{1,18}\r\n\$|#|\Z)")
_SEARCH_SIZE = 1 << 14
_SECTOR = 512
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


def encoding_note(window: ReadWindow, diagnosis: RecordDiagnosis) -> str:
    """Describe how the text encoding of the argument was changed; empty if it was not, or is not known to be."""
    value = _actual_value(window, diagnosis)
    if value is None or len(value) <= diagnosis.declared_length:
        return ""
    if _REPLACEMENT in value and _decodes(value, "utf-8"):
        return "bytes that were no UTF-8 are U+FFFD now, and cannot be brought back"
    if utf8_as_latin1(value) is not None and len(utf8_as_latin1(value) or b"") == diagnosis.declared_length:
        return "read as Latin-1, written as UTF-8"
    return ""


def utf8_as_latin1(data: bytes) -> bytes | None:
    """Undo a conversion from Latin-1 to UTF-8; None if the bytes cannot be the result of one."""
    try:
        return data.decode().encode("latin-1")
    except UnicodeError:
        return None


def missing_bytes_note(window: ReadWindow, diagnosis: RecordDiagnosis) -> str:
    """Describe how many bytes the argument has lost, from the place of the next header; empty if unknown."""
    value = _actual_value(window, diagnosis)
    if value is None or len(value) == diagnosis.declared_length:
        return ""
    missing = diagnosis.declared_length - len(value)
    if missing < 0:
        return ""
    block = f", {missing // _SECTOR} sectors: a block is lost" if missing % _SECTOR == 0 else ""
    return f"{missing} bytes are missing{block}"


def block_edge_note(diagnosis: RecordDiagnosis) -> str:
    """Name the disk block boundary at which a short argument goes wrong; empty if there is none.

    Also empty for arguments over half a page: most of them cross a boundary by chance.
    """
    at = diagnosis.end // PAGE_SIZE * PAGE_SIZE
    if (
        not at
        or not diagnosis.end - diagnosis.declared_length - HEADER_MAX <= at <= diagnosis.end
        or diagnosis.declared_length > PAGE_SIZE // 2
    ):
        return ""
    return f"at the edge of a block, {at}: one may be missing there, or another's"


def _actual_value(window: ReadWindow, diagnosis: RecordDiagnosis) -> bytes | None:
    """Return the bytes of the argument up to the next header; None if none follows within _SEARCH_SIZE bytes."""
    start = diagnosis.end - diagnosis.declared_length
    data = window.read(start, _SEARCH_SIZE)
    match = _NEXT_HEADER.search(data)
    return data[: match.start()] if match else None


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeError:
        return False
    return True
