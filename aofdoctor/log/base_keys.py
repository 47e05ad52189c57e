"""Read the keys of an RDB base or preamble as entries of the log, which precede the commands of the same file.

A key has a place in the RDB, a database and the time of the rewrite, but no command number and no command name, so
--cmd and --effect never select one.  In a damaged RDB, the keys found past the damage are read too, and the damage is
yielded between them.

Values are decoded only where --grep needs their elements; rendering them is left to the callers.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage
from aofdoctor.log.patterns.match_limit import RecordLimit, limited_matching
from aofdoctor.log.position import Position
from aofdoctor.log.selection import Selection, any_pattern_in
from aofdoctor.rdb.bulk.previews import KeyPreviews
from aofdoctor.rdb.compressed.source import DecompressedSource, decompressed
from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError, String
from aofdoctor.rdb.header import MAGIC_SIZE
from aofdoctor.rdb.items import ItemBatch, ItemReader, KeyItem
from aofdoctor.rdb.opcodes import Opcode, RdbType
from aofdoctor.rdb.preamble import creation_time
from aofdoctor.rdb.recovery.loader_rules import value_defect
from aofdoctor.rdb.recovery.salvage import salvage_items
from aofdoctor.rdb.values.decoders import ValueRef, type_name
from aofdoctor.rdb.values.flatten import value_words
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.walker import StopReason
from aofdoctor.rdb.walk.window import WINDOW_SIZE, WalkWindow
from aofdoctor.source import Source

NAME_LIMIT = 1 << 16
_REVERSE_CHUNK = 1 << 16  # Keys that are held in memory at a time to reverse their order.
_STRING, _TEMPLATE = int(RdbType.STRING), int(Opcode.HASH_TEMPLATE)


class BaseKey(NamedTuple):
    """A key of an RDB at the start of an AOF file, as the log shows it.

    `key` holds the offsets, type and expiry of the key, `part` is the name of its file, `dialect` is `redis` or
    `valkey`.  `time` is the `ctime` of the RDB in unix seconds.  `guess` is True for a key found after damage.
    `preview` is the name of the key and the first elements of its value (see `rdb.bulk.previews`), or None if they were
    not read yet.  All keys of one RDB share `cursor`, so read the elements of one key before those of another.
    """

    part: str
    cursor: Cursor
    key: KeyItem
    dialect: str
    time: int | None
    guess: bool = False
    preview: list[bytes] | None = None

    @property
    def value(self) -> ValueRef:
        """The offset and type of the key's value in the RDB, which the decoders take."""
        return ValueRef(self.key.value_offset, self.key.type, self.dialect)

    @property
    def type(self) -> str:
        """The type of the key as the TYPE command names it (string, list ...).

        `type 33` for a type without a decoder.
        """
        return type_label(self.key.type, self.dialect)

    @property
    def name(self) -> bytes:
        """The name of the RDB key, or its first 64 KiB."""
        return self.preview[0] if self.preview else key_name(self.cursor, self.key)

    @property
    def ttl_ms(self) -> int | None:
        """The TTL of the key in milliseconds when the RDB was written.

        None if the key has no expiry, or if the time of the RDB is not known.
        """
        expire = self.key.expire_ms
        return None if expire == -1 or self.time is None else expire - 1000 * self.time

    def words(self) -> Iterator[String | CorruptValue]:
        """Yield the elements of the key's value in order: fields and values of a hash, members of a set and so on.

        A damaged rest of the value is yielded as one CorruptValue.
        """
        return value_words(self.cursor, self.value)


@cache
def type_label(type_byte: int, dialect: str) -> str:
    """Return the name of an RDB type byte as the TYPE command has it, or `type 33` for one without a decoder."""
    return type_name(ValueRef(0, type_byte, dialect)) or f"type {type_byte}"


def key_name(cursor: Cursor, key: KeyItem) -> bytes:
    """Read the name of an RDB key, or its first 64 KiB; moves the cursor."""
    cursor.seek(key.name_offset)
    try:
        name = cursor.string()
    except DecodeError:
        return key.name(cursor.source, NAME_LIMIT)
    return name[:NAME_LIMIT] if isinstance(name, bytes) else name.read(NAME_LIMIT)


class BaseKeySelection:
    """Applies the filters of a Selection (name, database, size, time ...) to the keys of one file's RDB.

    `commands_before` is the number of commands in the earlier files.  Compared with a command number, all keys of the
    RDB are placed before the next command.
    """

    def __init__(
        self, selection: Selection, part_index: int, commands_before: int, source: Source, rdb: Preamble
    ) -> None:
        self.selection, self.part_index, self.commands_before = selection, part_index, commands_before
        self.dialect, self.time = rdb.dialect, creation_time(rdb.aux)
        self.selects_none = not selection.invert and (selection.ids is not None or bool(selection.unknown_names))
        self.cursor = Cursor(source)
        self.selects_all = selection.selects_all
        self.guess = False  # Whether the keys that follow were found after damage.
        self._previews = KeyPreviews()

    def selected_keys(self, part_name: str, batch: ItemBatch, walk_window: WalkWindow | None) -> Iterator[BaseKey]:
        """Yield the selected keys of a batch of RDB items (keys and opcodes), with previews of keys still in memory.

        `walk_window` is the buffer of RDB bytes that the batch was read from, or None.
        """
        indexes = self.filter(batch, walk_window)
        previews = self._previews.names_and_words(batch, indexes, walk_window)
        for i, preview in zip(indexes, previews, strict=True):
            yield BaseKey(part_name, self.cursor, batch.key_at(i), self.dialect, self.time, self.guess, preview)

    def matches(self, key: KeyItem) -> bool:
        """Whether the filters select a key of the RDB."""
        selection = self.selection
        if self.selects_all:
            return True
        is_match = (
            self._can_match_keys
            and (not selection.dbs or key.db in selection.dbs)
            and key.end - key.start >= selection.min_size
            and self._is_in_range(key)
            and (not (selection.keys or selection.grep) or self._matches_content(key))
        )
        return is_match != selection.invert

    def _matches_content(self, key: KeyItem) -> bool:
        with limited_matching(bool(self.selection.grep)) as limit:
            return self._matches_name(key, key_name(self.cursor, key), limit)

    def filter(self, batch: ItemBatch, walk_window: WalkWindow | None = None) -> list[int]:
        """Return the indexes of the keys that the filters select in a batch of RDB items (keys and opcodes).

        `walk_window` is the buffer of RDB bytes that the batch was read from, or None.
        """
        keys = batch.key_indexes()
        if self.selects_all:
            return keys
        indexes = self._filter_by_columns(batch, keys)
        if self.selection.keys or self.selection.grep:
            indexes = self._filter_by_content(batch, indexes, walk_window)
        if not self.selection.invert:
            return indexes
        selected = set(indexes)
        return [i for i in keys if i not in selected]

    @property
    def _can_match_keys(self) -> bool:
        """Whether the filters can select keys of this RDB: they name no command, and its time is in their range."""
        selection, time = self.selection, self.time
        return not (
            selection.ids is not None
            or selection.unknown_names
            or (selection.since is not None and (time is None or time < selection.since))
            or (selection.until is not None and (time is None or time > selection.until))
        )

    def _filter_by_columns(self, batch: ItemBatch, indexes: list[int]) -> list[int]:
        selection, columns = self.selection, batch.columns
        if not self._can_match_keys:
            return []
        if selection.dbs:
            indexes = [i for i in indexes if columns.db[i] in selection.dbs]
        if selection.min_size:
            indexes = [i for i in indexes if columns.edges[i + 1] - columns.edges[i] >= selection.min_size]
        if selection.start is not None or selection.end is not None:
            indexes = [i for i in indexes if self._is_in_range(batch.key_at(i))]
        return indexes

    def _is_in_range(self, key: KeyItem) -> bool:
        start, end = self.selection.start, self.selection.end
        return not (start is not None and self._is_before(key, start)) and not (
            end is not None and self._is_after(key, end)
        )

    def _is_before(self, key: KeyItem, position: Position) -> bool:
        """Whether an RDB key ends before the position (a file offset or a command number) where a selection starts."""
        if position.number:
            return position.number > self.commands_before
        return (self.part_index, key.end) <= (position.part_index, position.offset)

    def _is_after(self, key: KeyItem, position: Position) -> bool:
        """Whether an RDB key starts after the position (a file offset or a command number) where a selection ends."""
        if position.number:
            return position.number <= self.commands_before
        return (self.part_index, key.start) > (position.part_index, position.offset)

    def _filter_by_content(self, batch: ItemBatch, indexes: list[int], walk_window: WalkWindow | None) -> list[int]:
        previews = self._previews.names(batch, indexes, walk_window)
        names = [
            preview[0] if preview else key_name(self.cursor, batch.key_at(i))
            for i, preview in zip(indexes, previews, strict=True)
        ]
        with limited_matching(bool(self.selection.grep)) as limit:
            return [
                i for i, name in zip(indexes, names, strict=True) if self._matches_name(batch.key_at(i), name, limit)
            ]

    def _matches_name(self, key: KeyItem, name: bytes, limit: RecordLimit) -> bool:
        """Whether an RDB key matches the patterns of --key by its name, and those of --grep by its name or value."""
        selection = self.selection
        limit.records += 1
        if selection.keys and not any(pattern.match(name) for pattern in selection.keys):
            return False
        return not selection.grep or any_pattern_in(selection.grep, name) or self._matches_grep(key)

    def _matches_grep(self, key: KeyItem) -> bool:
        value = ValueRef(key.value_offset, key.type, self.dialect)
        return any(
            not isinstance(word, CorruptValue) and any_pattern_in(self.selection.grep, word)
            for word in value_words(self.cursor, value)
        )


def base_keys(
    selection: Selection, part_index: int, part_name: str, commands_before: int, source: Source, rdb: Preamble
) -> Iterator[BaseKey | Damage]:
    """Yield the selected keys of the RDB at the start of an AOF file, in file order, and the damage between them."""
    source = decompressed(source)
    key_selection = BaseKeySelection(selection, part_index, commands_before, source, rdb)
    if rdb.complete and key_selection.selects_none:
        return
    batch_stream = rdb_batches(source, rdb)
    walk_window = batch_stream.window if isinstance(batch_stream, ItemReader) else None
    for batch in batch_stream:
        if isinstance(batch, Damage):
            key_selection.guess = key_selection.guess or batch.end_is_guess
            yield batch
        else:
            yield from key_selection.selected_keys(part_name, batch, walk_window)


def base_keys_backwards(
    selection: Selection, part_index: int, part_name: str, commands_before: int, source: Source, rdb: Preamble
) -> Iterator[BaseKey | Damage]:
    """Yield the selected keys and the damage of the RDB at the start of an AOF file, the last one first.

    One pass records where batches of keys begin, then each batch is read again from there, the last one first.
    """
    source = decompressed(source)
    key_selection = BaseKeySelection(selection, part_index, commands_before, source, rdb)
    if rdb.complete and key_selection.selects_none:
        return
    bounds, damage, is_independent = _batch_bounds(source, rdb)
    if not is_independent:
        yield from _reverse_in_chunks(lambda: base_keys(selection, part_index, part_name, commands_before, source, rdb))
        return
    walk_window = WalkWindow(source, layout_of(rdb.magic), MAGIC_SIZE, window_size=2 * WINDOW_SIZE, verify=False)
    walk_window.stop_at_window_end = True
    first_guess = next((at for at, found_damage in damage.items() if found_damage.end_is_guess), len(bounds))
    for at in range(len(bounds) - 3, -1, -3):
        key_selection.guess = at > first_guess
        if at in damage:
            yield damage[at]
            continue
        start, end, db = bounds[at : at + 3]
        walk_window.restart(max(start, MAGIC_SIZE), db, end)
        yield from reversed(
            [
                key
                for batch in _walk_batches(walk_window)
                for key in key_selection.selected_keys(part_name, batch, walk_window)
            ]
        )


def _walk_batches(walk_window: WalkWindow) -> Iterator[ItemBatch]:
    """Yield the keys and opcodes in a range of an RDB, in batches; `walk_window` parses that range."""
    columns, stop_reason = walk_window.columns, StopReason.FULL
    while stop_reason == StopReason.FULL:
        stop_reason, _ = walk_window.run()
        if columns.count:
            yield ItemBatch(columns)
            end = columns.edges[columns.count]
            columns.truncate(0)
            columns.edges[0] = end


def _batch_bounds(source: Source, rdb: Preamble) -> tuple["array[int]", dict[int, Damage], bool]:
    """Read an RDB once and return (bounds, damage, is_independent), which allow reading its batches of keys backwards.

    `bounds` holds three numbers for each batch or damage: start offset, end offset and the database of its first key.
    `damage` maps an index in `bounds` to the damage at that place.  `is_independent` is True if every batch can be read
    on its own.  Hash templates (Redis 8.10: field names stored once and shared by many hashes) prevent that, because
    one is defined once and used by later keys.
    """
    bounds, damage, is_independent = array("q"), dict[int, Damage](), True
    for batch in rdb_batches(source, rdb):
        if isinstance(batch, Damage):
            damage[len(bounds)] = batch
            bounds.extend((*batch.span, -1))
            continue
        columns = batch.columns
        is_independent = is_independent and not (
            rdb.dialect == "redis" and _TEMPLATE in columns.kind[batch.first : batch.stop]
        )
        first = next((i for i in range(batch.first, batch.stop) if columns.name[i] >= 0), batch.first)
        bounds.extend((*batch.span, columns.db[first]))
    return bounds, damage, is_independent


def _reverse_in_chunks(read_all: Callable[[], Iterator[BaseKey | Damage]]) -> Iterator[BaseKey | Damage]:
    """Yield the RDB keys and damage of an iterator in reverse order, in bounded memory.

    `read_all` starts a new pass over the RDB; one pass is made for each chunk of 65,536 keys.
    """
    end = sum(1 for _ in read_all())
    while end > 0:
        start = max(0, end - _REVERSE_CHUNK)
        yield from reversed(list(islice(read_all(), start, end)))
        end = start


def rdb_batches(source: Source, rdb: Preamble) -> Iterable[ItemBatch | Damage]:
    """Yield the keys and opcodes of an RDB in batches, and its damage; `source` yields decompressed bytes."""
    if rdb.complete:
        return ItemReader(source, verify=False, stop_at_window_end=True)
    end = source.drain().bytes_out if isinstance(source, DecompressedSource) else rdb.span.end
    return salvage_items(source, end, lambda source, key: value_defect(source, key, rdb.magic))
