"""Format the keys of an RDB base as text or JSON, for the output of `log`, `diff` and `show`.

`log` and `diff` print a key on one line with the first strings ("words") of its value; `show` prints one key in full.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from aofdoctor import text
from aofdoctor.cli.console import bytes_to_json
from aofdoctor.log.base_keys import BaseKey
from aofdoctor.rdb.bulk.encoder import WORD_SIZE_MAX, WORDS_MAX
from aofdoctor.rdb.encoding.cursor import CorruptValue, LargeString, String
from aofdoctor.rdb.items import OpcodeItem
from aofdoctor.rdb.opcodes import Opcode

BASE_COMMAND = "(base)"
COMPRESSED_NOTE = "the RDB is compressed: places in it are those of the bytes that come out of it"
_CODE_MAX = 64  # bytes of a function library's code in a line
_quoted = json.encoder.encode_basestring_ascii
_NAME_MAX = 1 << 12  # bytes of a key's name in a line of text


def preview_words(key: BaseKey) -> Iterator[bytes]:
    """Yield the first strings in the value of an RDB key, each truncated, and "..." if it has more or is corrupt."""
    if key.preview:
        yield from key.preview[1:]
        return
    for number, word in enumerate(key.words()):
        if isinstance(word, CorruptValue) or number == WORDS_MAX:
            yield b"..."
            return
        yield truncate(word, WORD_SIZE_MAX)


def truncate(word: String, limit: int) -> bytes:
    """Return a string of an RDB unchanged if it has at most `limit` bytes, else its first `limit` bytes and "..."."""
    if len(word) <= limit:
        return word.read() if isinstance(word, LargeString) else word
    prefix = word.read(limit) if isinstance(word, LargeString) else word[:limit]
    return prefix + b"..."


def key_summary(key: BaseKey) -> str:
    """Format an RDB key for a line of text: its type, its name and the first strings of its value."""
    preview = key.preview
    if preview is None or len(preview[0]) > _NAME_MAX:
        preview = [truncate(key.name, _NAME_MAX), *preview_words(key)]
    return f"{BASE_COMMAND} {key.type} {' '.join(map(text.quote, preview))}"


def key_note(key: BaseKey) -> str:
    """Return the remark that follows an RDB key in a line of text: its origin (base, or after damage) and expiry."""
    expire, origin = key.key.expire_ms, "found after damage: a guess" if key.guess else "there at the rewrite"
    return f"  <- {origin}" + (f", expires {text.format_time(expire // 1000)}" if expire != -1 else "")


def write_key_json(key: BaseKey, out: BinaryIO) -> None:
    """Write an RDB key as one JSON object, on a line of `log --json`, with the fields of `key_summary_json`.

    The text is assembled without json.dumps, because a base can have millions of keys.
    """
    item, time = key.key, key.time
    expire = None if item.expire_ms == -1 else item.expire_ms
    kind = "null" if time is None else '"rdb-ctime"'
    out.write(
        f'{{"part": {_quoted(key.part)}, "offset": {item.start}, "size": {item.end - item.start}, '
        f'"n": null, "db": {_or_null(None if item.db < 0 else item.db)}, "time": {_or_null(time)}, '
        f'"time_kind": {kind}, "tx": null, "cmd": "{BASE_COMMAND}", '
        f'"args": [{", ".join(map(_json_word, preview_words(key)))}], '
        f'"keys": [{_json_word(key.name)}], "type": "{key.type}", "expire_ms": {_or_null(expire)}, '
        f'"ttl_ms": {_or_null(key.ttl_ms)}, "guess": {"true" if key.guess else "false"}}}\n'.encode()
    )


def _json_word(data: bytes) -> str:
    """Return json.dumps(bytes_to_json(data)), computed faster for UTF-8."""
    try:
        return _quoted(data.decode())
    except UnicodeDecodeError:
        return json.dumps(bytes_to_json(data))


def _or_null(number: int | None) -> str:
    return "null" if number is None else str(number)


def key_summary_json(key: BaseKey) -> dict[str, Any]:
    """Return the JSON object of an RDB key for a line of `diff --json`; `args` holds the first strings of its value."""
    return key_fields(key) | {"args": [bytes_to_json(word) for word in preview_words(key)]}


def library_summary(code: String | None) -> str:
    """Format a function library of an RDB (FUNCTION LOAD) for a line of text, with the beginning of its code."""
    return f"{BASE_COMMAND} function {text.quote(truncate(code or b'', _CODE_MAX))}"


def library_json(part: str, item: OpcodeItem, code: String | None) -> dict[str, Any]:
    """Return the JSON object of a function library of an RDB for a line of `diff --json`; `part` is the file name."""
    return {
        "part": part, "offset": item.span.start, "size": item.span.size, "n": None, "db": None, "time": None,
        "time_kind": None, "tx": None, "cmd": BASE_COMMAND, "args": [bytes_to_json(truncate(code or b"", _CODE_MAX))],
        "keys": [], "type": "function",
    }  # fmt: skip


def key_fields(key: BaseKey) -> dict[str, Any]:
    """Return the JSON fields of an RDB key without its value: `args`, for the value, is empty."""
    item = key.key
    return {
        "part": key.part, "offset": item.start, "size": item.end - item.start, "n": None,
        "db": None if item.db < 0 else item.db, "time": key.time,
        "time_kind": None if key.time is None else "rdb-ctime", "tx": None, "cmd": BASE_COMMAND, "args": [],
        "keys": [bytes_to_json(key.name)], "type": key.type,
        "expire_ms": None if item.expire_ms == -1 else item.expire_ms, "ttl_ms": key.ttl_ms, "guess": key.guess,
    }  # fmt: skip


# -- one key in full --

_DETAIL_WORDS_MAX = 64  # strings of a value that `show` prints, unless all are wanted
_DETAIL_WORD_SIZE_MAX = 200  # bytes of each of these strings that are printed
_OPCODES: dict[int, str] = {
    Opcode.EOF: "the end, and the checksum",
    Opcode.SELECTDB: "SELECTDB: the database of the keys that follow",
    Opcode.RESIZEDB: "RESIZEDB: how many keys to expect",
    Opcode.AUX: "AUX: the writer's own words",
    Opcode.MODULE_AUX: "MODULE_AUX: a module's own bytes",
    Opcode.FUNCTION_PRE_GA: "a function",
    Opcode.FUNCTION2: "a library of functions",
    Opcode.SLOT_INFO: "SLOT_INFO: how many keys a slot has",
}


def describe_opcode(item: OpcodeItem) -> str:
    """Describe an RDB item that is not a key, such as SELECTDB or AUX, in a few words for the user."""
    return _OPCODES.get(item.kind, f"opcode {item.kind}" if item.kind < 256 else "bytes of a type that is not read")


def key_detail_json(key: BaseKey) -> dict[str, Any]:
    """Return the JSON object of `show --json` for an RDB key; its field `more`: `args` is not the whole value."""
    shown, more = _first_words(key)
    return key_fields(key) | {"args": [bytes_to_json(word) for word in shown], "more": more, "type_byte": key.key.type}


def key_detail_lines(name: str, key: BaseKey, show_all: bool) -> Iterator[str]:
    """Yield the lines of `show` for an RDB key, without the hex dump of its bytes; `name` is the name of its file.

    With `show_all` they have all strings of the value.
    """
    item = key.key
    start, end = text.format_offset(item.start), text.format_offset(item.end)
    yield f"{name}@{start}  {text.format_size(item.end - item.start)}, ends at {end}"
    db = "unknown database" if item.db < 0 else f"database {item.db}"
    when = "" if key.time is None else f", there at the rewrite of {text.format_time(key.time)}"
    when += ", found after damage: a guess" if key.guess else ""
    yield f"  key       {text.quote(truncate(key.name, _NAME_MAX))}, {db}{when}"
    yield f"  type      {key.type} (RDB type {item.type})"
    if item.expire_ms != -1:
        yield f"  expires   {text.format_time(item.expire_ms // 1000)} ({item.expire_ms} ms)"
    if item.idle != -1 or item.freq != -1:
        yield f"  used      {f'idle for {item.idle} s' if item.idle != -1 else f'frequency {item.freq}'}"
    for number, word in enumerate(key.words()):
        if isinstance(word, CorruptValue):
            yield "  value     cannot be decoded further"
            return
        if number == _DETAIL_WORDS_MAX and not show_all:
            yield "  value     and more (--all shows it)"
            return
        yield f"  value     {text.quote(truncate(word, len(word) if show_all else _DETAIL_WORD_SIZE_MAX))}"


def _first_words(key: BaseKey) -> tuple[list[bytes], bool]:
    """Return (the first strings in the value of an RDB key, each truncated; whether it has more or is corrupt)."""
    shown_words: list[bytes] = []
    for word in key.words():
        if isinstance(word, CorruptValue) or len(shown_words) == _DETAIL_WORDS_MAX:
            return shown_words, True
        shown_words.append(truncate(word, _DETAIL_WORD_SIZE_MAX))
    return shown_words, False
