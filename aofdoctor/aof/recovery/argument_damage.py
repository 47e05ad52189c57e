"""Explain why the length of a command argument in a damaged AOF is wrong: lost bytes or a changed text encoding.

An argument can have lost some bytes or a whole disk block, or its text encoding
was changed, which makes every byte above 0x7f longer.  Only the bytes up to the
next RESP header are examined.  The results are notes for the report; no decision
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
    """Describe how the text encoding of a damaged argument was changed, for the report; empty if it seems unchanged.

    `diagnosis` is that of the command, with the defect MISSING_CRLF.
    """
    value = _actual_value(window, diagnosis)
    if value is None or len(value) <= diagnosis.declared_length:
        return ""
    if _REPLACEMENT in value and _decodes(value, "utf-8"):
        return "bytes that were no UTF-8 are U+FFFD now, and cannot be brought back"
    if utf8_as_latin1(value) is not None and len(utf8_as_latin1(value) or b"") == diagnosis.declared_length:
        return "read as Latin-1, written as UTF-8"
    return ""


def utf8_as_latin1(data: bytes) -> bytes | None:
    """Undo a conversion of bytes from Latin-1 to UTF-8; None if `data` cannot be the result of such a conversion."""
    try:
        return data.decode().encode("latin-1")
    except UnicodeError:
        return None


def missing_bytes_note(window: ReadWindow, diagnosis: RecordDiagnosis) -> str:
    """Describe how many bytes a damaged argument has lost, judged by where the next header is; empty if unknown.

    `diagnosis` is that of the command, with the defect MISSING_CRLF.
    """
    value = _actual_value(window, diagnosis)
    if value is None or len(value) == diagnosis.declared_length:
        return ""
    missing = diagnosis.declared_length - len(value)
    if missing < 0:
        return ""
    block = f", {missing // _SECTOR} sectors: a block is lost" if missing % _SECTOR == 0 else ""
    return f"{missing} bytes are missing{block}"


def block_edge_note(diagnosis: RecordDiagnosis) -> str:
    """Describe the disk page boundary inside a damaged argument, where a block may be missing; empty if there is none.

    Also empty for arguments of more than half a page (2 KiB): most of them cross a boundary by chance.
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
    """Return the bytes from the start of a damaged argument to the next RESP header, whatever its declared length.

    None if no header follows within _SEARCH_SIZE bytes.
    """
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
