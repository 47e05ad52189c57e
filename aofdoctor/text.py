"""Bytes to words that a terminal can be trusted with, as redis-cli writes them.

A key can hold escape sequences, bidirectional overrides and line ends: every
byte from a file passes through here before it is shown.
"""

import re
import shlex
from datetime import datetime
from functools import lru_cache

_NAMED = {0x5C: "\\\\", 0x22: '\\"', 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x07: "\\a", 0x08: "\\b"}
_ESCAPED = [_NAMED.get(byte, chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in range(256)]
_TABLE = dict(enumerate(_ESCAPED))
_is_bare_word = re.compile(rb"[!#-&(-\[\]-~]+").fullmatch


def escape(data: bytes) -> str:
    """Printable ASCII; everything else as redis-cli's escapes, without quotes around it."""
    return data.decode("latin-1").translate(_TABLE)


def quote(data: bytes) -> str:
    """One word of a command line: bare where that is safe, else quoted."""
    return data.decode("ascii") if _is_bare_word(data) else f'"{escape(data)}"'


def display_path(path: str | bytes) -> str:
    """A file's name for a message: escaped, bare where it has nothing to escape."""
    data = path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
    text = data.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape_text(c) for c in text)


def shell_quote(path: str) -> str:
    """A path as a shell reads it back, safe to print: quoted, in $'...' where it has bytes that cannot be shown."""
    if path.isprintable():
        return shlex.quote(path)
    shown = "".join(f"\\{c}" if c in "\\'" else c if c.isprintable() else _escape_text(c) for c in path)
    return f"$'{shown}'"


def _escape_text(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


def format_size(count: int) -> str:
    """A number of bytes for people: 90.2 GB, 18 bytes."""
    value, unit = float(count), "bytes"
    for bigger in ("KB", "MB", "GB", "TB"):
        if value < 1000 or (unit == "bytes" and count < 10_000):
            break
        value, unit = value / 1000, bigger
    return f"{count:,} byte{'' if count == 1 else 's'}" if unit == "bytes" else f"{value:.1f} {unit}"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: 1 command, 1,204 commands; `many` where an s does not do."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_offset(offset: int) -> str:
    """An offset in decimal and hex."""
    return f"{offset} (0x{offset:x})"


@lru_cache(1 << 12)
def _format_minute(minutes: int) -> str:
    """A minute as `when` writes it, up to its seconds; empty where it has none, or a zone has odd seconds."""
    try:
        time = datetime.fromtimestamp(60 * minutes)
    except (OverflowError, OSError, ValueError):
        return ""
    return "" if time.second else time.strftime("%Y-%m-%d %H:%M:")


def format_time(seconds: int) -> str:
    """A time of the log, in the local zone."""
    head = _format_minute(seconds // 60)
    if head:
        return f"{head}{seconds % 60:02d}"
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s"
