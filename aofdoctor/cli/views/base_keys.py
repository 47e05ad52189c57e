"""A key of a base as a line of the history: for people and as JSON, its value in short."""

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
_WORD_MAX = 64  # bytes of a word that are shown
_quoted = json.encoder.encode_basestring_ascii
_NAME_MAX = 1 << 12  # bytes of a name in a line for people


def preview_words(key: BaseKey) -> Iterator[bytes]:
    """The first words of a value, and ... where there are more."""
    if key.preview:
        yield from key.preview[1:]
        return
    for number, word in enumerate(key.words()):
        if isinstance(word, CorruptValue) or number == WORDS_MAX:
            yield b"..."
            return
        yield truncate(word, WORD_SIZE_MAX)


def truncate(word: String, limit: int) -> bytes:
    """A word, or its first bytes and ... where it has more than so many."""
    if len(word) <= limit:
        return word.read() if isinstance(word, LargeString) else word
    prefix = word.read(limit) if isinstance(word, LargeString) else word[:limit]
    return prefix + b"..."


def key_summary(key: BaseKey) -> str:
    """What it was, its name and its value, for people."""
    preview = key.preview
    if preview is None or len(preview[0]) > _NAME_MAX:
        preview = [truncate(key.name, _NAME_MAX), *preview_words(key)]
    return f"{BASE_COMMAND} {key.type} {' '.join(map(text.quote, preview))}"


def key_note(key: BaseKey) -> str:
    """That it was there, or seems so, and when it expires."""
    expire, origin = key.key.expire_ms, "found after damage: a guess" if key.guess else "there at the rewrite"
    return f"  <- {origin}" + (f", expires {text.format_time(expire // 1000)}" if expire != -1 else "")


def write_key_json(key: BaseKey, out: BinaryIO) -> None:
    """One JSON object: `fields`, and the first words of the value as `args`.  By hand: there are many of them."""
    span_key, time = key.key, key.time
    expire = None if span_key.expire_ms == -1 else span_key.expire_ms
    kind = "null" if time is None else '"rdb-ctime"'
    out.write(
        f'{{"part": {_quoted(key.part)}, "offset": {span_key.start}, "size": {span_key.end - span_key.start}, "n": null, '
        f'"db": {_or_null(None if span_key.db < 0 else span_key.db)}, "time": {_or_null(time)}, "time_kind": {kind}, '
        f'"tx": null, "cmd": "{BASE_COMMAND}", "args": [{", ".join(map(_json_word, preview_words(key)))}], '
        f'"keys": [{_json_word(key.name)}], "type": "{key.type}", "expire_ms": {_or_null(expire)}, '
        f'"ttl_ms": {_or_null(_ttl(key))}, "guess": {"true" if key.guess else "false"}}}\n'.encode()
    )


def _json_word(data: bytes) -> str:
    """What json.dumps makes of as_json."""
    try:
        return _quoted(data.decode())
    except UnicodeDecodeError:
        return json.dumps(bytes_to_json(data))


def _or_null(number: int | None) -> str:
    return "null" if number is None else str(number)


def key_summary_json(key: BaseKey) -> dict[str, Any]:
    """What a line says of a key; `args` are the first words of the value."""
    return key_fields(key) | {"args": [bytes_to_json(word) for word in preview_words(key)]}


def library_summary(code: String | None) -> str:
    """A library of functions in short."""
    return f"{BASE_COMMAND} function {text.quote(truncate(code or b'', _WORD_MAX))}"


def library_json(part: str, item: OpcodeItem, code: String | None) -> dict[str, Any]:
    """What a line says of a library of functions."""
    return {
        "part": part, "offset": item.span.start, "size": item.span.size, "n": None, "db": None, "time": None,
        "time_kind": None, "tx": None, "cmd": BASE_COMMAND, "args": [bytes_to_json(truncate(code or b"", _WORD_MAX))],
        "keys": [], "type": "function",
    }  # fmt: skip


def key_fields(key: BaseKey) -> dict[str, Any]:
    """What a line says of a key, without its value."""
    place = key.key
    return {
        "part": key.part, "offset": place.start, "size": place.end - place.start, "n": None,
        "db": None if place.db < 0 else place.db, "time": key.time,
        "time_kind": None if key.time is None else "rdb-ctime", "tx": None, "cmd": BASE_COMMAND, "args": [],
        "keys": [bytes_to_json(key.name)], "type": key.type,
        "expire_ms": None if place.expire_ms == -1 else place.expire_ms, "ttl_ms": _ttl(key), "guess": key.guess,
    }  # fmt: skip


def _ttl(key: BaseKey) -> int | None:
    """How long it had to live when the base was written."""
    expire = key.key.expire_ms
    return None if expire == -1 or key.time is None else expire - 1000 * key.time


# -- one key in full --

_ELEMENTS_MAX = 64  # so many words of a value are shown on a terminal and in a pipe
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
    """What stands between keys, in words."""
    return _OPCODES.get(item.kind, f"opcode {item.kind}" if item.kind < 256 else "bytes of a type that is not read")


def key_detail_json(key: BaseKey) -> dict[str, Any]:
    """What show --json says of a key of a base."""
    shown, more = _first_words(key)
    return key_fields(key) | {"args": [bytes_to_json(word) for word in shown], "more": more, "type_byte": key.key.type}


def key_detail_lines(name: str, key: BaseKey) -> Iterator[str]:
    """A key of a base in full, but for its bytes."""
    place = key.key
    yield f"{name}@{text.format_offset(place.start)}  {text.format_size(place.end - place.start)}, ends at {text.format_offset(place.end)}"
    db = "unknown database" if place.db < 0 else f"database {place.db}"
    when = "" if key.time is None else f", there at the rewrite of {text.format_time(key.time)}"
    when += ", found after damage: a guess" if key.guess else ""
    yield f"  key       {text.quote(truncate(key.name, _NAME_MAX))}, {db}{when}"
    yield f"  type      {key.type} (RDB type {place.type})"
    if place.expire_ms != -1:
        yield f"  expires   {text.format_time(place.expire_ms // 1000)} ({place.expire_ms} ms)"
    if place.idle != -1 or place.freq != -1:
        yield f"  used      {f'idle for {place.idle} s' if place.idle != -1 else f'frequency {place.freq}'}"
    shown, more = _first_words(key)
    yield from (f"  value     {text.quote(word)}" for word in shown)
    if more:
        yield "  value     and more"


def _first_words(key: BaseKey) -> tuple[list[bytes], bool]:
    """The first words of a value, each cut, and whether there are more or it is broken there."""
    shown_words: list[bytes] = []
    for word in key.words():
        if isinstance(word, CorruptValue) or len(shown_words) == _ELEMENTS_MAX:
            return shown_words, True
        shown_words.append(truncate(word, 200))
    return shown_words, False
