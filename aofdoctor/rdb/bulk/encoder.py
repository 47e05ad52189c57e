"""Choose the encoder of RDB keys as RESP commands: the compiled one, or one that handles no key if it was not built.

The compiled encoder handles the common types, all keys of a window of the RDB in one
call.  It leaves every key that it cannot handle to export/commands.py, which produces
the same bytes.
"""

from enum import IntEnum
from typing import TYPE_CHECKING

from aofdoctor.rdb.walk.walker import ItemColumns

WORD_SIZE_MAX, WORDS_MAX = 64, 8  # limits of a preview: bytes of one word, and words of one value
TYPE_NAMES = ("string", "list", "set", "zset", "hash")


class BulkStop(IntEnum):
    """Why BulkEncoder.encode stopped; the numbers are those of encoder.h."""

    DONE = 0  # all items were encoded
    FULL = 1  # call `take` and `take_counts` before encoding more
    NOT_HANDLED = 2  # the next item is one that the encoder does not handle


class NullBulkEncoder:
    """The interface of the compiled BulkEncoder, and its fallback, which handles no item.

    An encoder turns RDB keys into RESP commands.  `powers_of_ten` is the table for writing scores, `shift_ms` is added
    to all expiries, `output_size` is the output buffer in bytes.  `db` is the database that the commands so far have
    selected; `size` is the number of encoded bytes that `take` will return.
    """

    size = 0

    def __init__(self, powers_of_ten: bytes, shift_ms: int, output_size: int) -> None:
        self.db = 0

    def encode(
        self, columns: ItemColumns, first: int, stop: int, window: bytearray, base: int, fill: int
    ) -> tuple[int, int]:
        """Encode the RDB items `first` up to, not including, `stop` as RESP commands, into the output buffer.

        `first` and `stop` are column indexes.  `window` has `fill` bytes of the file, and window[0] is at offset `base`
        of the file.  Returns (a BulkStop, the index of the next item).
        """
        return (BulkStop.NOT_HANDLED if first < stop else BulkStop.DONE), first

    def previews(
        self, columns: ItemColumns, first: int, stop: int, window: bytearray, base: int, fill: int, words_max: int
    ) -> list[list[bytes] | None]:
        """Return for each RDB item a list [name, word, ...], or None if the encoder does not handle it.

        The words are the first `words_max` strings of the value.  A word is cut after WORD_SIZE_MAX bytes; if the value
        has more words, the last element is b"...".
        """
        return [None] * (stop - first)

    def take_counts(self) -> tuple[list[int], int]:
        """Return and reset the counts of encoded keys: (keys by type, keys with an idle time or frequency).

        The types are in the order of TYPE_NAMES.
        """
        return [0] * len(TYPE_NAMES), 0

    def take(self) -> bytes:
        """Return the encoded RESP bytes and empty the output buffer."""
        return b""


if TYPE_CHECKING:
    BulkEncoder = NullBulkEncoder
else:
    try:
        from aofdoctor.rdb.bulk._encoder import BulkEncoder
    except ImportError:
        BulkEncoder = NullBulkEncoder

__all__ = ["TYPE_NAMES", "WORDS_MAX", "WORD_SIZE_MAX", "BulkEncoder", "BulkStop", "NullBulkEncoder"]
