"""What is left of a damaged RDB: keys, Damage, and keys again, to the end.

An RDB has no marks to hold on to, only a structure that fits or does not.
Where the walk stops, the place is searched from which keys walk well again,
with names that somebody would give; a little before the stop too, since a
length that was hit swallows what follows it and the walk fails only then.  All
of that is a guess and labelled as one.  Whether a value can be decoded is
asked of who knows.

The work is bounded: so many steps for each byte that a search gets past.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

from aofdoctor.damage import Damage, Kind
from aofdoctor.rdb import magic as head
from aofdoctor.rdb.kernel import MAGIC, SLACK, Stop, find
from aofdoctor.rdb.keys import EOF, NOTES, Batch, Key
from aofdoctor.rdb.probe import POINTS, name_points, plausible
from aofdoctor.rdb.sweep import Sweep
from aofdoctor.rdb.types import Layout, layout_of
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

Believable = Callable[[Source, Key], bool]

_FIRST, _LARGEST = 1 << 14, 1 << 20  # bytes of a search's windows
_WORK_FREE = 1 << 20  # steps
_WORK_PER_BYTE = 8
_LOOK_WORK = 1 << 10  # what a closer look costs at least
_BACK_ITEMS, _BACK_BYTES = 4, 1 << 20
_TORN_POINTS = 8  # so many will do where the file ends
_NAME_HEAD = 80
_AFTER = re.compile(rb"\Z|\*[0-9]{1,18}\r\n\$|#[A-Z]+:")


def salvage_items(
    source: Source, end_hint: int | None = None, believable: Believable | None = None
) -> Iterator[Batch | Damage]:
    """The items of an RDB and the damage between them, which tile it up to its end.

    `end_hint` is where it ends at the latest, as where RESP begins; else the
    source's end.  A key that is not `believable` is damage.  After damage `db` is
    -1 up to the next SELECTDB.  A batch is valid until the next one is asked for.
    """
    yield from _Salvage(source, end_hint, believable).run()


def find_keys(
    source: Source,
    start: int,
    layout: Layout,
    past: int = 0,
    end: int | None = None,
    believable: Believable | None = None,
) -> int | None:
    """Where keys seem to begin at or after `start`, and walk well up to behind `past`; None if nowhere.  A guess."""
    return _Search(source, layout, end, believable).find(start, past)


class _Salvage:
    def __init__(self, source: Source, end: int | None, believable: Believable | None) -> None:
        magic = pread(source, head.SIZE, 0)
        self.source, self.magic, self.believable = source, magic, believable
        self.end = source.size if end is None else end
        self.sweep = Sweep(source, layout_of(magic), head.SIZE, verify=False, limit=self.end)
        self.search = _Search(source, layout_of(magic), self.end, believable)

    def run(self) -> Iterator[Batch | Damage]:
        sweep, columns = self.sweep, self.sweep.columns
        if len(self.magic) < head.SIZE:
            if self.magic:
                yield Damage(Span(0, len(self.magic)), Kind.TRUNCATED_PREAMBLE, "the file ends inside the magic")
            return
        columns.put(MAGIC, head.SIZE, head.SIZE)
        while True:
            why, _ = sweep.run()
            if why == Stop.FULL:
                yield from self._batch()
            elif why == Stop.DONE and (end := _fits(self.source, sweep.offset, self.end, self.magic)):
                columns.put(EOF, sweep.offset, end)
                yield from self._batch()
                yield from self._rest(end)
                return
            else:
                place = self._again()
                yield from self._damage(why, place)
                if place is None:
                    return
                sweep.restart(place, -1)

    def _again(self) -> int | None:
        """Where keys begin again; what the columns hold from there on was no item."""
        columns, search = self.sweep.columns, self.search
        stopped = columns.edges[columns.count]
        ahead = search.find(max(stopped, head.SIZE) + 1, stopped)
        for i in range(columns.count - 1, max(-1, columns.count - 1 - _BACK_ITEMS), -1):
            start, end = max(columns.edges[i] + 1, stopped - _BACK_BYTES), columns.edges[i + 1]
            place = search.find(start, stopped, end) if start < end and columns.name[i] >= 0 else None
            if place is not None and search.keys(place, ahead) > columns.count - i:
                columns.cut(i)
                return place
        return ahead

    def _damage(self, why: Stop, place: int | None) -> Iterator[Batch | Damage]:
        columns = self.sweep.columns
        start = columns.edges[columns.count]
        end = _size(self.source, start) if place is None and self.end is None else self.end if place is None else place
        yield from self._batch()
        if end is None or end <= start:
            return
        torn = why == Stop.SHORT and place is None
        kind = Kind.TRUNCATED_PREAMBLE if torn else Kind.CORRUPT_PREAMBLE
        yield Damage(Span(start, end), kind, NOTES[why].format(start), guess=place is not None)

    def _rest(self, start: int) -> Iterator[Damage]:
        end = self.end if self.end is not None else start
        if start < end and not _AFTER.match(pread(self.source, 24, start)):
            yield Damage(Span(start, end), Kind.CORRUPT_PREAMBLE, f"bytes after the RDB's end at {start}")

    def _batch(self) -> Iterator[Batch | Damage]:
        columns = self.sweep.columns
        end = columns.edges[columns.count]
        if self.believable is None:
            if columns.count:
                yield Batch(columns)
        else:
            yield from self._believed(self.believable)
        columns.cut(0)
        columns.edges[0] = end

    def _believed(self, believable: Believable) -> Iterator[Batch | Damage]:
        columns, first = self.sweep.columns, 0
        for i, item in enumerate(Batch(columns)):
            if not isinstance(item, Key) or believable(self.source, item):
                continue
            if first < i:
                yield Batch(columns, first, i)
            yield Damage(item.span, Kind.CORRUPT_PREAMBLE, f"the value at {item.value} cannot be decoded")
            first = i + 1
        if first < columns.count:
            yield Batch(columns, first)


class _Search:
    """Looks for the place where keys begin again; what it has left of its work goes with it."""

    def __init__(self, source: Source, layout: Layout, end: int | None, believable: Believable | None) -> None:
        self.source, self.layout, self.end, self.believable = source, layout, end, believable
        self.looks = _WORK_FREE + _WORK_PER_BYTE * (end or 0)

    def find(self, start: int, past: int, stop: int | None = None) -> int | None:
        """The first place from `start` up to `stop` from which keys walk well up to behind `past`."""
        at, size, fuel = start, _FIRST, _WORK_FREE
        while data := pread(self.source, size if self.end is None else max(0, min(size, self.end - at)), at):
            if stop is not None and at >= stop:
                return None
            last = len(data) < size
            place, why, fuel = self._in(data, at, past, last, fuel)
            if why == Stop.FULL:
                return place if stop is None or place < stop else None
            if last and place >= at + len(data):
                return None
            fuel = max(fuel, 0) + _WORK_PER_BYTE * (place - at)
            at, size = place, min(4 * size, _LARGEST)
        return None

    def _in(self, data: bytes, base: int, past: int, last: bool, fuel: int) -> tuple[int, Stop, int]:
        """(the place, FULL if it is one): the first in a window, or from where the next one has to go on."""
        buffer, end = bytearray(data + bytes(SLACK)), len(data)
        stop, at = end if last else end - end // 4, 0
        beyond = 0 if last else (1 << 62 if self.end is None else self.end - base - end)
        while True:
            at, why, fuel = find(buffer, at, stop, end, self.layout, past - base, beyond, fuel)
            if why == Stop.FUEL or why > Stop.FUEL:
                return base + stop, Stop.SHORT, fuel
            if why == Stop.SHORT and not last and at and len(data) < _LARGEST:
                return base + at, Stop.SHORT, fuel
            if (why == Stop.FULL and self._first_is_believed(base + at)) or (
                why != Stop.FULL and self._look(base + at, past)
            ):
                return base + at, Stop.FULL, fuel
            at += 1

    def keys(self, place: int, until: int | None) -> int:
        """How many keys walk well from a place, up to another one."""
        sweep = Sweep(self.source, self.layout, place, -1, _FIRST, 1 << 6, verify=False, limit=until)
        keys, why = 0, Stop.FULL
        while self.looks > 0 and why == Stop.FULL:
            why, left = sweep.run(self.looks)
            self.looks = min(left, self.looks - _LOOK_WORK)
            keys += sweep.columns.keys
            sweep.columns.cut(0)
        return keys

    def _look(self, place: int, past: int) -> bool:
        """Whether items walk well from a place, however large they are."""
        sweep = Sweep(self.source, self.layout, place, -1, _FIRST, 1 << 6, verify=False, limit=self.end)
        points, columns = 0, sweep.columns
        while self.looks > 0:
            why, left = sweep.run(self.looks)
            self.looks = min(left, self.looks - _LOOK_WORK)
            made = [self._points(sweep, i) for i in range(columns.count)]
            if -1 in made:
                return False
            points += sum(made)
            if points >= POINTS and sweep.machine.start > past:
                return self._first_is_believed(place)
            if why == Stop.DONE:
                fits = _fits(self.source, sweep.offset, self.end, b"REDIS0099") is not None
                return points > 0 and fits and self._first_is_believed(place)
            if why != Stop.FULL:
                return why == Stop.SHORT and points >= _TORN_POINTS and self._first_is_believed(place)
            columns.cut(0)
        return False

    def _points(self, sweep: Sweep, i: int) -> int:
        columns = sweep.columns
        if not plausible(columns, i):
            return -1
        if columns.name[i] < 0:
            return 0
        size = columns.value[i] - columns.name[i]
        data = pread(self.source, min(size, _NAME_HEAD), columns.name[i])
        return name_points(data, 0, size)

    def _first_is_believed(self, place: int) -> bool:
        if self.believable is None:
            return True
        sweep = Sweep(self.source, self.layout, place, -1, _FIRST, 1, verify=False, limit=self.end)
        while not sweep.columns.keys:
            sweep.columns.cut(0)
            why, self.looks = sweep.run(self.looks)
            if why != Stop.FULL and not sweep.columns.keys:
                return why == Stop.DONE
        item = Batch(sweep.columns)[0]
        return isinstance(item, Key) and self.believable(self.source, item)


def _fits(source: Source, at: int, end: int | None, magic: bytes) -> int | None:
    """Where the RDB ends whose opcode EOF is just before `at`: the source's end, or where RESP begins; else None."""
    after = at + 8 if head.has_checksum(magic) else at
    if end is not None and after > end:
        return None
    return after if after == end or _AFTER.match(pread(source, 24, after)) else None


def _size(source: Source, offset: int) -> int:
    probe = memoryview(bytearray(1 << 16))
    while source.size is None:
        offset += source.readinto(probe, offset)
    return source.size
