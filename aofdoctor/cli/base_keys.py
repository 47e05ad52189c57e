"""A key of a base as a line of the history: for people and as JSON, its value in short."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from aofdoctor import text
from aofdoctor.analysis.base import BaseKey
from aofdoctor.cli.render import as_json
from aofdoctor.rdb.codec import Corrupt, Large, String

NAME = "(base)"
_WORDS, _WORD = 8, 64  # so many words of a value are shown, and so many bytes of each


def short(key: BaseKey) -> Iterator[bytes]:
    """The first words of a value, and ... where there are more."""
    for number, word in enumerate(key.words()):
        if isinstance(word, Corrupt) or number == _WORDS:
            yield b"..."
            return
        yield cut(word, _WORD)


def cut(word: String, most: int) -> bytes:
    """A word, or its first bytes and ... where it has more than so many."""
    if len(word) <= most:
        return word.read() if isinstance(word, Large) else word
    head = word.read(most) if isinstance(word, Large) else word[:most]
    return head + b"..."


def words(key: BaseKey) -> str:
    """What it was, its name and its value, for people."""
    return " ".join([NAME, key.type, *map(text.word, (cut(key.name, 1 << 12), *short(key)))])


def note(key: BaseKey) -> str:
    """That it was there, and when it expires."""
    expire = key.key.expire_ms
    return "  <- there at the rewrite" + (f", expires {text.when(expire // 1000)}" if expire != -1 else "")


def as_json_line(key: BaseKey, out: BinaryIO) -> None:
    """One JSON object; `args` are the first words of the value."""
    out.write(json.dumps(fields(key) | {"args": [as_json(word) for word in short(key)]}).encode() + b"\n")


def fields(key: BaseKey) -> dict[str, Any]:
    """What a line says of a key, without its value."""
    place = key.key
    return {
        "part": key.part, "offset": place.start, "size": place.end - place.start, "n": None,
        "db": None if place.db < 0 else place.db, "time": key.time,
        "time_kind": None if key.time is None else "rdb-ctime", "tx": None, "cmd": NAME, "args": [],
        "keys": [as_json(key.name)], "type": key.type,
        "expire_ms": None if place.expire_ms == -1 else place.expire_ms, "ttl_ms": _ttl(key),
    }  # fmt: skip


def _ttl(key: BaseKey) -> int | None:
    """How long it had to live when the base was written."""
    expire = key.key.expire_ms
    return None if expire == -1 or key.time is None else expire - 1000 * key.time
