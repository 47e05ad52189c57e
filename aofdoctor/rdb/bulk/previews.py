"""Names of keys, and the first words of their values, of many at once: where they stand in a walk's window.

What is not in the window, large or rare is not seen, and None: who wants it
reads it with a cursor.
"""

from aofdoctor.rdb.bulk.encoder import WORDS, BulkEncoder
from aofdoctor.rdb.bulk.powers_of_ten import powers
from aofdoctor.rdb.items import ItemBatch
from aofdoctor.rdb.walk.window import WalkWindow

_ROOM = 1 << 18
_FEW = 8  # of so many keys less than one: each is looked at alone

Preview = list[bytes] | None


class KeyPreviews:
    """Of each key its name, and words of its value as bulk.py has them; `places` are those in a batch's columns."""

    def __init__(self) -> None:
        self._encoder = BulkEncoder(powers(), 0, _ROOM)

    def names(self, batch: ItemBatch, places: list[int], sweep: WalkWindow | None) -> list[Preview]:
        """Names alone."""
        return self._of(batch, places, sweep, 0)

    def words(self, batch: ItemBatch, places: list[int], sweep: WalkWindow | None) -> list[Preview]:
        """Names, and the first words."""
        return self._of(batch, places, sweep, WORDS)

    def _of(self, batch: ItemBatch, places: list[int], sweep: WalkWindow | None, most: int) -> list[Preview]:
        if sweep is None:
            return [None] * len(places)
        if _FEW * len(places) < len(batch):
            return [self._look(batch, i, i + 1, sweep, most)[0] for i in places]
        found = self._look(batch, batch.first, batch.stop, sweep, most)
        return found if len(places) == len(batch) else [found[i - batch.first] for i in places]

    def _look(self, batch: ItemBatch, first: int, stop: int, sweep: WalkWindow, most: int) -> list[Preview]:
        return self._encoder.previews(batch.columns, first, stop, sweep.buffer, sweep.base, sweep.fill, most)
