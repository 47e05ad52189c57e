"""Flatten an RDB value to its words, the strings and numbers in file order, for searches and previews."""

from collections.abc import Iterator
from typing import Any

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, LargeString, String
from aofdoctor.rdb.values.decoders import ValueRef, elements, score_text
from aofdoctor.rdb.values.streams import StreamId


def value_words(cursor: Cursor, value: ValueRef) -> Iterator[String | CorruptValue]:
    """Yield the strings and numbers of an RDB value as text; if the value is invalid, a CorruptValue comes last."""
    for element in elements(cursor, value):
        if isinstance(element, CorruptValue):
            yield element
        else:
            yield from flatten(element)


def flatten(item: Any) -> Iterator[String]:
    """Yield the strings and numbers of one decoded element as text; absent parts (None) are skipped."""
    if isinstance(item, bytes | LargeString):
        yield item
    elif isinstance(item, StreamId):
        yield bytes(item)
    elif isinstance(item, tuple | list):
        for piece in item:
            yield from flatten(piece)
    elif isinstance(item, float):
        yield score_text(item)
    elif isinstance(item, str):
        yield item.encode()
    elif item is not None:
        yield b"%d" % item
