"""The keys of an RDB base or preamble as part of the history: they were there when it was written.

A key has a place, a database and the time of the rewrite, but no number and no
command: --cmd and --effect never mean one.  Where the RDB is damaged, what can
be read past the damage comes too, with the damage in its place.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage
from aofdoctor.log.position import Position
from aofdoctor.log.selection import Selection, any_pattern_in
from aofdoctor.rdb.bulk.previews import KeyPreviews
from aofdoctor.rdb.compressed.source import DecompressedSource, decompressed
from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, String
from aofdoctor.rdb.header import SIZE, has_type
from aofdoctor.rdb.items import ItemBatch, ItemReader, Key
from aofdoctor.rdb.recovery.salvage import salvage_items
from aofdoctor.rdb.values.decoders import Value, elements, type_name
from aofdoctor.rdb.values.flatten import value_words
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.walker import StopReason
from aofdoctor.rdb.walk.window import WINDOW, WalkWindow
from aofdoctor.source import Source, pread

NAME_LIMIT = 1 << 16
_HELD = 1 << 16  # keys that are held while they are turned round
_TEMPLATE = 242  # opcode of Redis 8.10: the fields of hashes that come later
_UNIQUE = frozenset({"set", "zset", "hash"})
_MEMBERS_MAX = 1 << 16  # so many of a value are compared
_LZF = b"\xc3"  # how a string that is packed begins
_NUL_KEY = 3  # bytes of a string whose name and value are empty: all of them NUL


class BaseKey(NamedTuple):
    """A key of a base; `time` is the ctime of its RDB, unix seconds; `guess`: it was found after damage.

    The keys of one RDB share a cursor: words of one are read before those of another are.
    `glance`: its name and the first words of its value, as glances.py has them; None where they were not seen.
    """

    part: str
    cursor: Cursor
    key: Key
    dialect: str
    time: int | None
    guess: bool = False
    preview: list[bytes] | None = None

    @property
    def value(self) -> Value:
        """Where its value begins and how to read it."""
        return Value(self.key.value, self.key.type, self.dialect)

    @property
    def type(self) -> str:
        """What it is to a user: string, list ...; `type 33` where its bytes are not read."""
        return type_label(self.key.type, self.dialect)

    @property
    def name(self) -> bytes:
        """Its name, or the first 64 KiB of it."""
        return self.preview[0] if self.preview else key_name(self.cursor, self.key)

    def words(self) -> Iterator[String | CorruptValue]:
        """The words of its value."""
        return value_words(self.cursor, self.value)


@cache
def type_label(number: int, dialect: str) -> str:
    """What a type byte is to a user."""
    return type_name(Value(0, number, dialect)) or f"type {number}"


def key_name(cursor: Cursor, key: Key) -> bytes:
    """A key's name, or the first 64 KiB of it."""
    cursor.seek(key.name_at)
    try:
        name = cursor.string()
    except DecodeError:
        return key.name(cursor.source, NAME_LIMIT)
    return name[:NAME_LIMIT] if isinstance(name, bytes) else name.read(NAME_LIMIT)


def creation_time(rdb: Preamble) -> int | None:
    """When an RDB was written, by its own words."""
    told = rdb.aux.get(b"ctime", b"")
    return int(told) if told.isdigit() and len(told) <= 12 else None


def is_plausible_key(source: Source, key: Key, rdb: Preamble) -> bool:
    """True if a key's whole value can be decoded, of a type that the RDB's version has; not one of a run of NULs."""
    value = Value(key.value, key.type, rdb.dialect)
    if not has_type(rdb.magic, key.type) or (key.type == 0 and key.span.size == _NUL_KEY and _in_nuls(source, key)):
        return False
    if not type_name(value):
        return True  # nobody can say of a type that is not read
    if key.type == 0 and pread(source, 1, key.value) < _LZF:
        return True  # whose end the walk has found has nothing else to be decoded
    cursor, members = Cursor(source), set[bytes]()
    unique = type_name(value) in _UNIQUE
    for element in elements(cursor, value):
        if isinstance(element, CorruptValue):
            return False
        member = (element[0] if isinstance(element, tuple) else element) if unique else None
        if isinstance(member, bytes) and len(members) < _MEMBERS_MAX:
            if member in members:
                return False  # what no server writes, nor loads
            members.add(member)
    return cursor.offset == key.end


def _in_nuls(source: Source, key: Key) -> bool:
    """True of a string without name and value that has another one beside it: NULs where something else stood."""
    around = pread(source, 3 * _NUL_KEY, key.start - _NUL_KEY)
    return b"\0" * 2 * _NUL_KEY in around


class BaseKeySelection:
    """The keys of one part's RDB that a selection means; `before` commands came before it."""

    def __init__(self, selection: Selection, part: int, before: int, source: Source, rdb: Preamble) -> None:
        self.selection, self.part, self.before = selection, part, before
        self.dialect, self.time = rdb.dialect, creation_time(rdb)
        self.nothing = not selection.invert and (selection.ids is not None or bool(selection.names))
        self.cursor = Cursor(source)
        self.selects_all = selection.selects_all
        self.guess = False  # what comes is found after damage
        self._previews = KeyPreviews()

    def keys(self, name: str, batch: ItemBatch, walk_window: WalkWindow | None) -> Iterator[BaseKey]:
        """The selected keys of a batch, of a part of that name; it stands in the window of `sweep`, if there is one."""
        chosen = self.filter(batch, walk_window)
        previews = self._previews.words(batch, chosen, walk_window)
        for i, preview in zip(chosen, previews, strict=True):
            yield BaseKey(name, self.cursor, batch.key(i), self.dialect, self.time, self.guess, preview)

    def matches(self, key: Key) -> bool:
        """True if a key is selected."""
        selection = self.selection
        if self.selects_all:
            return True
        fits = (
            self._possible
            and (not selection.dbs or key.db in selection.dbs)
            and key.end - key.start >= selection.min_size
            and self._within(key)
            and (not (selection.keys or selection.grep) or self._named(key, key_name(self.cursor, key)))
        )
        return fits != selection.invert

    def filter(self, batch: ItemBatch, walk_window: WalkWindow | None = None) -> list[int]:
        """The selected keys' places in the columns of a batch."""
        keys = batch.key_places()
        if self.selects_all:
            return keys
        left = self._by_columns(batch, keys)
        if self.selection.keys or self.selection.grep:
            left = self._by_content(batch, left, walk_window)
        if not self.selection.invert:
            return left
        chosen = set(left)
        return [i for i in keys if i not in chosen]

    @property
    def _possible(self) -> bool:
        """False where no key of this RDB can be meant: by name of a command, or by time."""
        selection, time = self.selection, self.time
        return not (
            selection.ids is not None
            or selection.names
            or (selection.since is not None and (time is None or time < selection.since))
            or (selection.until is not None and (time is None or time > selection.until))
        )

    def _by_columns(self, batch: ItemBatch, left: list[int]) -> list[int]:
        selection, columns = self.selection, batch.columns
        if not self._possible:
            return []
        if selection.dbs:
            left = [i for i in left if columns.db[i] in selection.dbs]
        if selection.min_size:
            left = [i for i in left if columns.edges[i + 1] - columns.edges[i] >= selection.min_size]
        if selection.start is not None or selection.end is not None:
            left = [i for i in left if self._within(batch.key(i))]
        return left

    def _within(self, key: Key) -> bool:
        start, end = self.selection.start, self.selection.end
        return not (start is not None and self._is_before(key, start)) and not (
            end is not None and self._is_after(key, end)
        )

    def _is_before(self, key: Key, place: Position) -> bool:
        if place.number:
            return place.number > self.before
        return (self.part, key.end) <= (place.index, place.offset)

    def _is_after(self, key: Key, place: Position) -> bool:
        if place.number:
            return place.number <= self.before
        return (self.part, key.start) > (place.index, place.offset)

    def _by_content(self, batch: ItemBatch, left: list[int], walk_window: WalkWindow | None) -> list[int]:
        previews = self._previews.names(batch, left, walk_window)
        names = [
            preview[0] if preview else key_name(self.cursor, batch.key(i))
            for i, preview in zip(left, previews, strict=True)
        ]
        return [i for i, name in zip(left, names, strict=True) if self._named(batch.key(i), name)]

    def _named(self, key: Key, name: bytes) -> bool:
        selection = self.selection
        if selection.keys and not any(pattern.match(name) for pattern in selection.keys):
            return False
        return not selection.grep or any_pattern_in(selection.grep, name) or self._greps(key)

    def _greps(self, key: Key) -> bool:
        value = Value(key.value, key.type, self.dialect)
        return any(
            not isinstance(word, CorruptValue) and any_pattern_in(self.selection.grep, word)
            for word in value_words(self.cursor, value)
        )


def base_keys(
    selection: Selection, part: int, name: str, before: int, source: Source, rdb: Preamble
) -> Iterator[BaseKey | Damage]:
    """The selected keys of a part's RDB in the order of the file, and the damage among them."""
    source = decompressed(source)
    chosen = BaseKeySelection(selection, part, before, source, rdb)
    if rdb.complete and chosen.nothing:
        return
    found = batches(source, rdb)
    walk_window = found.window if isinstance(found, ItemReader) else None
    for batch in found:
        if isinstance(batch, Damage):
            chosen.guess = chosen.guess or batch.end_is_guess
            yield batch
        else:
            yield from chosen.keys(name, batch, walk_window)


def base_keys_backwards(
    selection: Selection, part: int, name: str, before: int, source: Source, rdb: Preamble
) -> Iterator[BaseKey | Damage]:
    """The same, from the last to the first: one pass marks where batches begin, and each is walked again from there."""
    source = decompressed(source)
    chosen = BaseKeySelection(selection, part, before, source, rdb)
    if rdb.complete and chosen.nothing:
        return
    marks, damage, alone = _marks(source, rdb)
    if not alone:
        yield from _turned(lambda: base_keys(selection, part, name, before, source, rdb))
        return
    walk_window = WalkWindow(source, layout_of(rdb.magic), SIZE, window=2 * WINDOW, verify=False)
    walk_window.by_window = True
    guessed = next((at for at, one in damage.items() if one.end_is_guess), len(marks))
    for at in range(len(marks) - 3, -1, -3):
        chosen.guess = at > guessed
        if at in damage:
            yield damage[at]
            continue
        start, end, db = marks[at : at + 3]
        walk_window.restart(max(start, SIZE), db, end)
        yield from reversed([key for batch in _walked(walk_window) for key in chosen.keys(name, batch, walk_window)])


def _walked(walk_window: WalkWindow) -> Iterator[ItemBatch]:
    """The items up to the limit of a sweep, in batches."""
    columns, stop_reason = walk_window.columns, StopReason.FULL
    while stop_reason == StopReason.FULL:
        stop_reason, _ = walk_window.run()
        if columns.count:
            yield ItemBatch(columns)
            end = columns.edges[columns.count]
            columns.cut(0)
            columns.edges[0] = end


def _marks(source: Source, rdb: Preamble) -> tuple["array[int]", dict[int, Damage], bool]:
    """(start, end and first database of each batch, three numbers each; the damage, by its place among them;
    True if every batch can be walked alone: a template of hashes is told once, to who comes from the start)."""
    marks, damage, alone = array("q"), dict[int, Damage](), True
    for batch in batches(source, rdb):
        if isinstance(batch, Damage):
            damage[len(marks)] = batch
            marks.extend((*batch.span, -1))
            continue
        columns = batch.columns
        alone = alone and not (rdb.dialect == "redis" and _TEMPLATE in columns.kind[batch.first : batch.stop])
        first = next((i for i in range(batch.first, batch.stop) if columns.name[i] >= 0), batch.first)
        marks.extend((*batch.span, columns.db[first]))
    return marks, damage, alone


def _turned(everything: Callable[[], Iterator[BaseKey | Damage]]) -> Iterator[BaseKey | Damage]:
    """What is given, from the last to the first: as much at a time as is held, each time from the start."""
    end = sum(1 for _ in everything())
    while end > 0:
        start = max(0, end - _HELD)
        yield from reversed(list(islice(everything(), start, end)))
        end = start


def batches(source: Source, rdb: Preamble) -> Iterable[ItemBatch | Damage]:
    """The items of an RDB, and what is damaged of it; of a compressed one, `source` is what comes out of it."""
    if rdb.complete:
        return ItemReader(source, verify=False, by_window=True)
    end = source.drain().bytes_out if isinstance(source, DecompressedSource) else rdb.span.end
    return salvage_items(source, end, lambda source, key: is_plausible_key(source, key, rdb))
