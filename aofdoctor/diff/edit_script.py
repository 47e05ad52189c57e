"""Find the longest common subsequence of two lists of digests, as matching blocks (ranges that both lists share).

Strategy: strip the common prefix and suffix.  Divide the rest at the elements
that are unique in both sequences, in their longest common order (patience diff
with a longest increasing subsequence), and repeat in the gaps.  Where no element
is unique, run Myers' O(ND) algorithm over the elements that occur in both.  The
work is bounded: beyond EDITS_MAX differences Myers' path is used as far as it
got, which gives a correct script, but not the shortest.

Elements are integers; the module does not know what they are digests of.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

EDITS_MAX = 80  # differences after which one search of Myers' algorithm stops
DEPTH_MAX = 12  # nested divisions by unique elements

Block = tuple[int, int, int]  # a[i : i + n] is b[j : j + n]
_Region = tuple[int, int, int, int, int]  # a[i:k], b[j:m], and the number of divisions that led to it


def matching_blocks(a: Sequence[int], b: Sequence[int]) -> tuple[list[Block], bool]:
    """Match two lists of digests: return the blocks of equal elements in order, and whether the search was complete."""
    matches: list[Block] = []
    todo: list[_Region | Block] = [(0, 0, len(a), len(b), 0)]
    is_shortest = True
    while todo:
        item = todo.pop()
        if len(item) == 3:
            matches.append(item)
            continue
        front, gap, back = _strip(a, b, item)
        matches += front
        todo += back
        if gap:
            parts, part_is_shortest = _divide(a, b, gap)
            todo += reversed(parts)
            is_shortest = is_shortest and part_is_shortest
    return _merge_blocks(matches), is_shortest


def _strip(a: Sequence[int], b: Sequence[int], gap: _Region) -> tuple[list[Block], _Region | None, list[Block]]:
    """Split a gap (a range of each list) into the block of the common prefix, the gap that is left, and the suffix."""
    i, j, k, m, depth = gap
    first, last = i, k
    while i < k and j < m and a[i] == b[j]:
        i, j = i + 1, j + 1
    while i < k and j < m and a[k - 1] == b[m - 1]:
        k, m = k - 1, m - 1
    front: list[Block] = [(first, j - (i - first), i - first)] if i > first else []
    back: list[Block] = [(k, m, last - k)] if last > k else []
    return front, (i, j, k, m, depth) if i < k and j < m else None, back


def _divide(a: Sequence[int], b: Sequence[int], gap: _Region) -> tuple[list[_Region | Block], bool]:
    """Split a gap at the elements that both lists have once: return the smaller gaps, the blocks between, and whether
    the search was complete."""
    i, j, k, m, depth = gap
    anchors = _unique_pairs(a, b, gap) if depth < DEPTH_MAX else []
    if not anchors:
        common, complete = _myers(a, b, gap)
        return list(common), complete
    parts: list[_Region | Block] = []
    for x, y in anchors:
        parts += [(i, j, x, y, depth + 1), (x, y, 1)]
        i, j = x + 1, y + 1
    return [*parts, (i, j, k, m, depth + 1)], True


def _unique_pairs(a: Sequence[int], b: Sequence[int], gap: _Region) -> list[tuple[int, int]]:
    """Return (index in a, index in b) of elements that occur once in each list, in their longest common order."""
    i, j, k, m, _ = gap
    unique_values = {x for x, times in Counter(b[j:m]).items() if times == 1}
    unique_values &= {x for x, times in Counter(a[i:k]).items() if times == 1}
    index_in_b = {b[y]: y for y in range(j, m) if b[y] in unique_values}
    return longest_increasing([(x, index_in_b[a[x]]) for x in range(i, k) if a[x] in unique_values])


def longest_increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest subsequence of pairs in which the second numbers increase (patience sorting).

    The first numbers must be in ascending order already.
    """
    ends: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for n, (_, y) in enumerate(pairs):
        pile = bisect_left(ends, y)
        before.append(at[pile - 1] if pile else -1)
        ends[pile : pile + 1] = [y]
        at[pile : pile + 1] = [n]
    increasing, n = [], at[-1] if at else -1
    while n >= 0:
        increasing.append(pairs[n])
        n = before[n]
    return increasing[::-1]


def _myers(a: Sequence[int], b: Sequence[int], gap: _Region) -> tuple[Iterator[Block], bool]:
    """Return a common subsequence of a gap of two lists, as blocks of one element, and whether it is a longest one."""
    i, j, k, m, _ = gap
    common_values = set(a[i:k]) & set(b[j:m])
    a_places = [x for x in range(i, k) if a[x] in common_values]
    b_places = [y for y in range(j, m) if b[y] in common_values]
    common: list[Block] = []
    complete = True
    while a_places and b_places:
        path, x, y = _search([a[p] for p in a_places], [b[p] for p in b_places])
        common += ((a_places[p], b_places[q], 1) for p, q in path)
        complete = complete and x == len(a_places) and y == len(b_places)
        a_places, b_places = a_places[x:], b_places[y:]
    return iter(common), complete


def _search(a: list[int], b: list[int]) -> tuple[list[tuple[int, int]], int, int]:
    """Return the matched index pairs of the shortest script, and how far it got in a and in b.

    It stops at both ends or after EDITS_MAX differences.  Source: E. Myers, An O(ND) Difference Algorithm and Its
    Variations, 1986.
    """
    n, m = len(a), len(b)
    furthest = {1: 0}
    trace: list[dict[int, int]] = []
    best = (0, 0, 0)
    for edits in range(EDITS_MAX + 1):
        trace.append(dict(furthest))
        for diagonal in range(-edits, edits + 1, 2):
            x = _step(furthest, diagonal, edits)
            y = x - diagonal
            while x < n and y < m and a[x] == b[y]:
                x, y = x + 1, y + 1
            furthest[diagonal] = x
            if x <= n and y <= m:
                best = max(best, (x + y, x, edits))
            if x == n and y == m:
                return _path(trace, x, y), x, y
    total, x, edits = best
    return _path(trace[: edits + 1], x, total - x), x, total - x


def _step(furthest: dict[int, int], diagonal: int, edits: int) -> int:
    """Return how far Myers' algorithm gets along one diagonal of the edit graph with one more edit."""
    down, right = furthest.get(diagonal + 1, -1), furthest.get(diagonal - 1, -1)
    return down if diagonal == -edits or (diagonal != edits and right < down) else right + 1


def _path(trace: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int]]:
    """Return (index in a, index in b) of the equal elements on the path to (x, y) in the graph of Myers' algorithm."""
    pairs: list[tuple[int, int]] = []
    for edits in range(len(trace) - 1, -1, -1):
        diagonal = x - y
        begin = _step(trace[edits], diagonal, edits)
        while x > begin and y > begin - diagonal and x > 0 and y > 0:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        if edits:
            down = begin == trace[edits].get(diagonal + 1, -1) and (
                diagonal == -edits or (diagonal != edits and trace[edits].get(diagonal - 1, -1) < begin)
            )
            x, y = (x, y - 1) if down else (x - 1, y)
    return pairs[::-1]


def _merge_blocks(blocks_found: list[Block]) -> list[Block]:
    """Sort matching blocks by their place in the lists, and merge adjacent ones."""
    merged: list[Block] = []
    for i, j, n in sorted(blocks_found):
        if merged and merged[-1][0] + merged[-1][2] == i and merged[-1][1] + merged[-1][2] == j:
            merged[-1] = (merged[-1][0], merged[-1][1], merged[-1][2] + n)
        else:
            merged.append((i, j, n))
    return merged
