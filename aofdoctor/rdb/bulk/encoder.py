"""Encode the keys of an RDB as RESP commands, one window at a time; uses the compiled encoder if it was built.

The compiled encoder handles the common types.  It leaves every key that it
cannot handle to export/commands.py, which produces the same bytes.  Without a
C compiler the null encoder leaves all keys to it.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

from aofdoctor.rdb.walk.walker import ItemColumns

WORD_SIZE_MAX, WORDS_MAX = 64, 8  # of a preview: bytes of one word, and words of one value
TYPE_NAMES = ("string", "list", "set", "zset", "hash")


class BulkStop(IntEnum):
    """Why an encoder stopped."""

    DONE = 0  # all items were encoded
    FULL = 1  # the output or the counts have to be taken first
    NOT_HANDLED = 2  # at a key or an item that it does not handle


class NullBulkEncoder:
    """An encoder that handles no item: the fallback of the compiled BulkEncoder.

    `db` is the database that is selected in the output; `size` is the number of encoded bytes that `take` will return.
    """

    size = 0

    def __init__(self, powers_of_ten: bytes, shift_ms: int, output_size: int) -> None:
        self.db = 0

    def encode(
        self, columns: ItemColumns, first: int, stop: int, window: bytearray, base: int, fill: int
    ) -> tuple[int, int]:
        """Encode the items from `first` on, before `stop`; return (why it stopped, the index of the next item).

        `window` has `fill` bytes of the file, and window[0] is at offset `base` of the file.
        """
        return (BulkStop.NOT_HANDLED if first < stop else BulkStop.DONE), first

    def previews(
        self, columns: ItemColumns, first: int, stop: int, window: bytearray, base: int, fill: int, words_max: int
    ) -> list[list[bytes] | None]:
        """Return for each item [name, word, ...] with at most `words_max` words of its value, or None if not handled.

        Words are cut after WORD_SIZE_MAX bytes; if the value has more words, the last element is b"...".
        """
        return [None] * (stop - first)

    def take_counts(self) -> tuple[list[int], int]:
        """Return (keys by type as in TYPE_NAMES; keys with an idle time or frequency) since the last call."""
        return [0] * len(TYPE_NAMES), 0

    def take(self) -> bytes:
        """Return the encoded bytes and empty the output."""
        return b""


if TYPE_CHECKING:
    BulkEncoder = NullBulkEncoder
else:
    try:
        from aofdoctor.rdb.bulk._encoder import BulkEncoder
    except ImportError:
        BulkEncoder = NullBulkEncoder

__all__ = ["TYPE_NAMES", "WORDS_MAX", "WORD_SIZE_MAX", "BulkEncoder", "BulkStop", "NullBulkEncoder"]
