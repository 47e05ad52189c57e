"""Find a block of an AOF file that was written twice in a row, and where the second copy ends.

The damage is where the copies meet, in the middle of a command. Dropping the bytes from there to the same place in the
second copy restores the file. That is done only if every byte in between proves the repetition.
"""

from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_KEY = 128  # bytes before the damage that must occur again after it
_REACH = 1 << 15  # the largest block: pages, sectors and buffers are smaller


def duplicated_block_end(source: Source, damage: Span) -> int | None:
    """The file offset up to which a duplicated block must be dropped, from the start of the damaged bytes on.

    None unless the duplication is proven.
    """
    start, resync = damage
    if start < _KEY or resync - start > _REACH:
        return None
    key = pread(source, _KEY, start - _KEY)
    after = pread(source, _REACH + _KEY, start)
    at = after.find(key)
    if at < 0:
        return None
    before = pread(source, min(start, _REACH), max(0, start - _REACH))
    if key in before[:-1] or key in after[at + 1 :]:  # Bytes that repeat anyway prove nothing.
        return None
    return start + at + _KEY if _is_copy(before, after, resync - start, at + _KEY) else None


def _is_copy(before: bytes, after: bytes, torn: int, shift: int) -> bool:
    """Whether the first `shift` bytes of `after` are a second copy of the last bytes of `before`.

    The first `torn` of them, the damage, are the start of the record that is repeated, followed by the end of the
    record in which the block began.  A block that begins with the file has no bytes before its first copy: there,
    `before` is shorter than `shift`, by the bytes of the record that is repeated at most.
    """
    missing = max(shift - len(before), 0)
    if torn > shift or missing > torn:
        return False
    first = before[len(before) + missing - shift :]
    head = _common_prefix_length(after[:torn], after[shift : shift + torn])
    tail = _common_prefix_length(after[missing:torn][::-1], first[: torn - missing][::-1])
    return head + tail >= torn and after[torn:shift] == first[torn - missing :]


def _common_prefix_length(left: bytes, right: bytes) -> int:
    """The number of equal bytes at the start of two byte strings."""
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
