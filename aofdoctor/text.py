"""Format bytes, paths, numbers and times for a terminal, safely.

A key can contain terminal escape sequences, bidirectional overrides and line
ends, so everything that comes from a file is escaped here before it is shown.
The escapes are those of redis-cli.
"""

import re
import shlex
import textwrap
from datetime import datetime
from functools import lru_cache

_NAMED = {0x5C: "\\\\", 0x22: '\\"', 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x07: "\\a", 0x08: "\\b"}
_ESCAPED = [_NAMED.get(byte, chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in range(256)]
_TABLE = dict(enumerate(_ESCAPED))
_is_bare_word = re.compile(rb"[!#-&(-\[\]-~]+").fullmatch


def escape(data: bytes) -> str:
    """Escape bytes for display as redis-cli does (`\\n`, `\\x00`), without quotes; printable ASCII stays unchanged."""
    return data.decode("latin-1").translate(_TABLE)


def quote(data: bytes) -> str:
    """Format an argument of a Redis command for display, in double quotes and escaped only if that is necessary."""
    return data.decode("ascii") if _is_bare_word(data) else f'"{escape(data)}"'


def display_path(path: str | bytes) -> str:
    """Format a file name for a message, with unprintable characters escaped."""
    try:
        data = path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
        text = data.decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # A surrogate that stands for no byte, from JSON: no file can have this name.
        text = str(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape_text(c) for c in text)


def shell_quote(path: str) -> str:
    """Quote a path for a shell, safe to print; a path that begins with `-` gets `./` before it.

    Without that, commands read such a path as an option.
    """
    return shell_word(f"./{path}" if path.startswith("-") and path != "-" else path)


def shell_position(position: str) -> str:
    """Quote a position for a shell; leading dashes are left out, since any piece of a part's name identifies it."""
    return shell_word(position.lstrip("-") or position)


def shell_word(word: str) -> str:
    """Quote any word for a shell, safe to print; unprintable characters are escaped in $'...'."""
    if word.isprintable():
        return shlex.quote(word)
    shown = "".join(f"\\{c}" if c in "\\'" else c if c.isprintable() else _escape_text(c) for c in word)
    return f"$'{shown}'"


def _escape_text(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


def wrap(sentence: str, first: str, rest: str, width: int = 80) -> list[str]:
    """Break a sentence into lines of at most `width` columns; a longer word has a line of its own.

    `first` begins the first line, `rest` the others.
    """
    return textwrap.wrap(
        sentence, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def format_size(count: int) -> str:
    """Format a number of bytes, in decimal units: 90.2 GB, 18 bytes."""
    value, unit = float(count), "bytes"
    for bigger in ("KB", "MB", "GB", "TB"):
        if value < 1000 or (unit == "bytes" and count < 10_000):
            break
        value, unit = value / 1000, bigger
    return f"{count:,} byte{'' if count == 1 else 's'}" if unit == "bytes" else f"{value:.1f} {unit}"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun, such as "1 command" or "1,204 commands"; `plural` is for nouns without an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_offset(offset: int) -> str:
    """Format a byte offset in decimal and hexadecimal."""
    return f"{offset} (0x{offset:x})"


@lru_cache(1 << 12)
def _format_minute(minutes: int) -> str:
    """Format a time in minutes since the epoch as "2026-11-28 01:02:", to which format_time adds the seconds.

    Returns "" if the time is out of range or the UTC offset of the local zone has seconds.  The results are
    cached, because strftime is slow and most commands share their minute with others.
    """
    try:
        time = datetime.fromtimestamp(60 * minutes)
    except (OverflowError, OSError, ValueError):
        return ""
    return "" if time.second else time.strftime("%Y-%m-%d %H:%M:")


def format_time(seconds: int) -> str:
    """Format a time in unix seconds, in the local zone."""
    head = _format_minute(seconds // 60)
    if head:
        return f"{head}{seconds % 60:02d}"
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return f"{seconds} s"
