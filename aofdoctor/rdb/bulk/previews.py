"""Preview many RDB keys at once: their names and the first strings ("words") of their values.

The compiled encoder takes them from the bytes that the walk has in memory.  A key
that is not completely in the window, is large or has a rare type has no preview
(None); the caller reads it with a Cursor.
"""

from aofdoctor.rdb.bulk.encoder import WORDS_MAX, BulkEncoder
from aofdoctor.rdb.bulk.powers_of_ten import powers_of_ten
from aofdoctor.rdb.items import ItemBatch
from aofdoctor.rdb.walk.window import WalkWindow

_OUTPUT_SIZE = 1 << 18
_SPARSE_RATIO = 8  # if fewer than one in 8 items is requested, each is previewed by a call of its own

Preview = list[bytes] | None


class KeyPreviews:
    """Makes previews of RDB keys in a batch: for each, a list of its name and the first strings of its value.

    `indexes` are the column indexes of the keys in the batch; `window` is the buffer with their bytes, or None if the
    bytes are not in memory, and then there are no previews.
    """

    def __init__(self) -> None:
        self._encoder = BulkEncoder(powers_of_ten(), 0, _OUTPUT_SIZE)

    def names(self, batch: ItemBatch, indexes: list[int], window: WalkWindow | None) -> list[Preview]:
        """Return for each requested key a list with its name only; None for a key that cannot be previewed."""
        return self._previews(batch, indexes, window, 0)

    def names_and_words(self, batch: ItemBatch, indexes: list[int], window: WalkWindow | None) -> list[Preview]:
        """Return for each requested key [name, string, ...] with the first WORDS_MAX strings of its value, or None."""
        return self._previews(batch, indexes, window, WORDS_MAX)

    def _previews(
        self, batch: ItemBatch, indexes: list[int], window: WalkWindow | None, words_max: int
    ) -> list[Preview]:
        if window is None:
            return [None] * len(indexes)
        if _SPARSE_RATIO * len(indexes) < len(batch):
            return [self._encode_previews(batch, i, i + 1, window, words_max)[0] for i in indexes]
        previews = self._encode_previews(batch, batch.first, batch.stop, window, words_max)
        return previews if len(indexes) == len(batch) else [previews[i - batch.first] for i in indexes]

    def _encode_previews(
        self, batch: ItemBatch, first: int, stop: int, window: WalkWindow, words_max: int
    ) -> list[Preview]:
        return self._encoder.previews(
            batch.columns, first, stop, window.buffer, window.base, window.data_end, words_max
        )
