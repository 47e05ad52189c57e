"""Names of keys, and the first words of their values, of many at once: where they stand in a walk's window.

What is not in the window, large or rare is not seen, and None: who wants it
reads it with a cursor.
"""

from aofdoctor.rdb.bulk.encoder import WORDS_MAX, BulkEncoder
from aofdoctor.rdb.bulk.powers_of_ten import powers_of_ten
from aofdoctor.rdb.items import ItemBatch
from aofdoctor.rdb.walk.window import WalkWindow

_OUTPUT_SIZE = 1 << 18
_SPARSE_RATIO = 8  # of so many keys less than one: each is looked at alone

Preview = list[bytes] | None


class KeyPreviews:
    """Of each key its name, and words of its value as bulk.py has them; `places` are those in a batch's columns."""

    def __init__(self) -> None:
        self._encoder = BulkEncoder(powers_of_ten(), 0, _OUTPUT_SIZE)

    def names(self, batch: ItemBatch, indexes: list[int], sweep: WalkWindow | None) -> list[Preview]:
        """Names alone."""
        return self._previews(batch, indexes, sweep, 0)

    def names_and_words(self, batch: ItemBatch, indexes: list[int], sweep: WalkWindow | None) -> list[Preview]:
        """Names, and the first words."""
        return self._previews(batch, indexes, sweep, WORDS_MAX)

    def _previews(
        self, batch: ItemBatch, indexes: list[int], sweep: WalkWindow | None, words_max: int
    ) -> list[Preview]:
        if sweep is None:
            return [None] * len(indexes)
        if _SPARSE_RATIO * len(indexes) < len(batch):
            return [self._encode_previews(batch, i, i + 1, sweep, words_max)[0] for i in indexes]
        previews = self._encode_previews(batch, batch.first, batch.stop, sweep, words_max)
        return previews if len(indexes) == len(batch) else [previews[i - batch.first] for i in indexes]

    def _encode_previews(
        self, batch: ItemBatch, first: int, stop: int, sweep: WalkWindow, words_max: int
    ) -> list[Preview]:
        return self._encoder.previews(batch.columns, first, stop, sweep.buffer, sweep.base, sweep.data_end, words_max)
