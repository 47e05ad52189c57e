"""A block that was written twice in a row: where the second copy ends.

The damage is where the copies meet, in the middle of a record.  Leaving out
the bytes from there to the same place in the second copy gives the file as it
was; that is only done where every byte between proves it.
"""

from aofdoctor.damage import Damage
from aofdoctor.source import Source, pread

_KEY = 128  # bytes before the damage that have to come again
_REACH = 1 << 15  # blocks are pages, sectors, buffers


def duplicated_block_end(source: Source, damage: Damage) -> int | None:
    """The end of what is there twice, from where the damage starts; None where that is not proven."""
    start, resync = damage.span
    if start < _KEY or resync - start > _REACH:
        return None
    key = pread(source, _KEY, start - _KEY)
    after = pread(source, _REACH + _KEY, start)
    at = after.find(key)
    if at < 0:
        return None
    before = pread(source, min(start, _REACH), max(0, start - _REACH))
    if key in before[:-1] or key in after[at + 1 :]:  # what repeats itself anyway proves nothing
        return None
    return start + at + _KEY if _is_copy(before, after, resync - start, at + _KEY) else None


def _is_copy(before: bytes, after: bytes, torn: int, shift: int) -> bool:
    """True if the bytes up to `shift` are a second copy of those before.

    `torn` of them, the damage, are the head of the record that comes again and
    the tail of the one that the block began in.
    """
    if torn > shift or shift > len(before):
        return False
    first = before[len(before) - shift :]
    head = _common_prefix_length(after[:torn], after[shift : shift + torn])
    tail = _common_prefix_length(after[:torn][::-1], first[:torn][::-1])
    return head + tail >= torn and after[torn:shift] == first[torn:]


def _common_prefix_length(left: bytes, right: bytes) -> int:
    """How many bytes two begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
