"""A value as flat words, in the order of the file: what is looked through, and shown in short."""

from collections.abc import Iterator
from typing import Any

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, LargeString, String
from aofdoctor.rdb.values.decoders import ValueRef, elements, score_text
from aofdoctor.rdb.values.streams import StreamId


def value_words(cursor: Cursor, value: ValueRef) -> Iterator[String | CorruptValue]:
    """The strings and numbers of a value; a Corrupt, if the bytes are not what they promise, is the last."""
    for element in elements(cursor, value):
        if isinstance(element, CorruptValue):
            yield element
        else:
            yield from flatten(element)


def flatten(item: Any) -> Iterator[String]:
    """One element's strings and numbers; what it does not have is left out."""
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
