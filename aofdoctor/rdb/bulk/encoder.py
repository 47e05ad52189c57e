"""Keys as the commands that make them, as RESP, a window of them at a time: the compiled writer, where there is one.

It knows the common types, and leaves every key that it does not like to
commands.py, whose bytes are the same; without a compiler that is each of them.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

from aofdoctor.rdb.walk.walker import ItemColumns

WORD_SIZE_MAX, WORDS_MAX = 64, 8  # bytes of a word that are shown, and words of a value
TYPE_NAMES = ("string", "list", "set", "zset", "hash")


class BulkStop(IntEnum):
    """Why a writer stopped."""

    DONE = 0  # no more items
    FULL = 1  # the output, or the counts, are to be taken
    NOT_HANDLED = 2  # at a key or an item that it leaves to others


class NullBulkEncoder:
    """Leaves every item to others.  `db`: which database is selected; `size`: the bytes that wait to be taken."""

    size = 0

    def __init__(self, powers_of_ten: bytes, shift_ms: int, output_size: int) -> None:
        self.db = 0

    def encode(
        self, columns: ItemColumns, first: int, stop: int, window: bytearray, base: int, fill: int
    ) -> tuple[int, int]:
        """(why it stopped, at which item); window[0] is at `base` in the file."""
        return (BulkStop.NOT_HANDLED if first < stop else BulkStop.DONE), first

    def previews(
        self, columns: ItemColumns, first: int, stop: int, window: bytearray, base: int, fill: int, words_max: int
    ) -> list[list[bytes] | None]:
        """Of each item its name and at most `most` words of its value, as they are shown; None where it is left.

        Words are cut after WORD bytes, and the last piece is ... where there are more of them.
        """
        return [None] * (stop - first)

    def take_counts(self) -> tuple[list[int], int]:
        """(keys by shape, hints) since it was asked last."""
        return [0] * len(TYPE_NAMES), 0

    def take(self) -> bytes:
        """The bytes that wait."""
        return b""


if TYPE_CHECKING:
    BulkEncoder = NullBulkEncoder
else:
    try:
        from aofdoctor.rdb.bulk._encoder import BulkEncoder
    except ImportError:
        BulkEncoder = NullBulkEncoder

__all__ = ["TYPE_NAMES", "WORDS_MAX", "WORD_SIZE_MAX", "BulkEncoder", "BulkStop", "NullBulkEncoder"]
