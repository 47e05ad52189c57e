"""Salvage a damaged RDB: keep every key before the damage, and the keys that can be found after it.

A key is kept if its whole value can be decoded.  Items found after damage are guesses: their database is unknown up
to the next SELECTDB, and a key name that was there before is dropped, since no server loads a key twice.  A strict
salvage keeps nothing after damage.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from aofdoctor import text
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.edit.salvage.rdb_splice import OLD_END_REASON, SplicedRdb, replace_magic, splice_rdb
from aofdoctor.errors import RefusedEdit
from aofdoctor.log.base_keys import is_plausible_key, key_name
from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.header import FRAME_OFFSET, MAGIC_SIZE, version_of
from aofdoctor.rdb.items import ItemBatch, KeyItem, OpcodeItem
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.rdb.recovery.bloom_filter import BloomFilter
from aofdoctor.rdb.recovery.salvage import salvage_items
from aofdoctor.rdb.walk.walker import KIND_MAGIC, KIND_UNPARSED
from aofdoctor.server.versions import writer_magic
from aofdoctor.source import FileSource, Source, pread
from aofdoctor.span import Span

HINT_REASON = "how many keys to expect"
GUESSED_KEY_REASON = "found after damage"
DUPLICATE_KEY_REASON = "a key that is there already"
NOT_SELECTED_REASON = "not selected"
NUMERIC_NAME_REASON = "a name that is a number, found after damage: elements of a value look the same"
HINT_OPCODES = frozenset({Opcode.RESIZEDB, Opcode.SLOT_INFO})  # sizes of hash tables, needed by no server
KeyFilter = Callable[[KeyItem], bool]
_DEFAULT_DATABASES = 16  # the number of databases of a server with a default configuration


@dataclass(slots=True)
class SalvageCounts:
    """The number of kept keys and functions.

    `keys_after_damage` of the keys were found after damage, `keys_in_guessed_db` of those in a database that is a
    guess.  `numeric_names_dropped` keys found after damage were dropped because their names are numbers.
    """

    keys: int = 0
    keys_after_damage: int = 0
    keys_in_guessed_db: int = 0
    functions: int = 0
    numeric_names_dropped: int = 0


def salvage_rdb(
    index: int,
    source: FileSource | PatchedSource,
    rdb: Preamble,
    strict: bool = False,
    key_filter: KeyFilter | None = None,
) -> tuple[SplicedRdb, SalvageCounts] | None:
    """The part with the readable items of its damaged RDB, and their counts; only keys that pass `key_filter`.

    None if no key or function can be read, or if unreadable sectors follow the RDB.
    """
    if rdb.codec:
        tool = {"LZ4": "lz4", "Zstd": "zstd"}[rdb.codec]
        raise RefusedEdit(
            f"the RDB of {text.display_path(source.path)} is compressed by {rdb.codec}, and damaged: {rdb.note}",
            f"`tail -c +{FRAME_OFFSET + 1} FILE | {tool} -dc > OUT` writes what comes out of it: salvage that",
        )
    holes = isinstance(source, FileSource) and source.unreadable
    if isinstance(source, FileSource) and source.first_unreadable(Span(rdb.span.end, source.size)):
        return None  # The bytes after the RDB must be read from the file itself, which knows its unreadable sectors.
    expected_magic = b"" if holes or rdb.span.end < MAGIC_SIZE else writer_magic(rdb.aux)
    if expected_magic and expected_magic != rdb.magic:
        source, rdb = (
            replace_magic(source, expected_magic),
            replace(rdb, magic=expected_magic, version=version_of(expected_magic)),
        )
    counts = SalvageCounts()

    def item_verdicts() -> Iterator[tuple[Span, str]]:
        nonlocal counts
        salvager = _RdbSalvager(source, rdb, strict, key_filter)
        counts = salvager.counts  # Not the salvager itself: it holds a large filter of key names.
        return salvager.item_verdicts()

    spliced = splice_rdb(index, source, rdb.span.end, item_verdicts)
    return (spliced, counts) if counts.keys or counts.functions else None


def read_salvageable(source: Source, rdb: Preamble) -> Iterator[ItemBatch | Damage]:
    """The readable items of an RDB, with every value decoded, and the damage between them."""
    return salvage_items(source, rdb.span.end, lambda source, key: is_plausible_key(source, key, rdb))


class _RdbSalvager:
    """Decides for every item of one RDB whether it is kept.

    `after_damage`: the database and the next keys are a guess.  `after_search`: items were found by a search, so they
    may be elements of a value.  `db_is_doubtful`: the last SELECTDB was dropped.
    """

    def __init__(
        self, source: FileSource | PatchedSource, rdb: Preamble, strict: bool, key_filter: KeyFilter | None
    ) -> None:
        self.source, self.rdb, self.strict, self.key_filter = source, rdb, strict, key_filter
        self.counts, self.known_names, self.cursor = SalvageCounts(), BloomFilter(), Cursor(source)
        self.db, self.highest_db = 0, _DEFAULT_DATABASES - 1
        self.after_damage = self.after_search = self.db_is_doubtful = False

    def item_verdicts(self) -> Iterator[tuple[Span, str]]:
        """Adjacent byte ranges of the whole RDB, and why each is dropped ("" if it is kept)."""
        for tile in read_salvageable(self.source, self.rdb):
            if isinstance(tile, Damage):
                self.after_damage = self.after_damage or tile.end_is_guess
                self.after_search = self.after_search or (
                    tile.end_is_guess and tile.kind is not DamageKind.CORRUPT_VALUE
                )
                yield tile.span, tile.kind.value
            else:
                for item in tile:
                    yield item.span, self._drop_reason(item)

    def _drop_reason(self, item: KeyItem | OpcodeItem) -> str:
        """Why an item is dropped; "" if it is kept."""
        if isinstance(self.source, FileSource) and self.source.first_unreadable(item.span):
            return DamageKind.UNREADABLE.value
        if self.after_damage and self.strict:
            return GUESSED_KEY_REASON
        return self._key_drop_reason(item) if isinstance(item, KeyItem) else self._non_key_drop_reason(item)

    def _key_drop_reason(self, key: KeyItem) -> str:
        db = self.db if self.after_damage else max(0, key.db)
        twice = self.known_names.add(db, key_name(self.cursor, key))
        if self.after_search and _is_integer_encoded(pread(self.cursor.source, 1, key.name_offset)):
            self.counts.numeric_names_dropped += 1
            return NUMERIC_NAME_REASON
        # A server writes no key twice: before any damage a hit is a false positive of the filter.
        if twice and self.after_damage:
            return DUPLICATE_KEY_REASON
        if self.key_filter and not self.key_filter(key):
            return NOT_SELECTED_REASON
        self.counts.keys += 1
        self.counts.keys_after_damage += self.after_damage
        self.counts.keys_in_guessed_db += self.after_damage and (key.db < 0 or self.db_is_doubtful)
        return ""

    def _non_key_drop_reason(self, item: OpcodeItem) -> str:
        if item.kind in (Opcode.EOF, KIND_UNPARSED):
            return OLD_END_REASON if item.kind == Opcode.EOF else DamageKind.CORRUPT_PREAMBLE.value
        if item.kind in HINT_OPCODES:
            return HINT_REASON
        if item.kind == Opcode.SELECTDB:
            return self._select_db_drop_reason(item)
        self.counts.functions += item.kind == Opcode.FUNCTION2
        if (
            not self.after_damage
            or item.kind == KIND_MAGIC
            or (item.kind == Opcode.FUNCTION2 and self._body_starts_with(item, b"#!"))
        ):
            return ""
        # Module data and AUX fields: no server needs them, and a wrong one stops the load.
        return GUESSED_KEY_REASON

    def _select_db_drop_reason(self, item: OpcodeItem) -> str:
        self.cursor.seek(item.body_offset)
        db = self.cursor.length()
        self.db_is_doubtful = self.after_damage and db > self.highest_db and not self._precedes_resize_db(item)
        if self.db_is_doubtful:
            return GUESSED_KEY_REASON  # A server does not load a database number that it does not have.
        self.db, self.highest_db = db, max(db, self.highest_db)
        return ""

    def _precedes_resize_db(self, item: OpcodeItem) -> bool:
        """Whether RESIZEDB follows a SELECTDB, as every server since 3.2 writes it."""
        return pread(self.source, 1, item.span.end) == bytes((Opcode.RESIZEDB,))

    def _body_starts_with(self, item: OpcodeItem, start: bytes) -> bool:
        self.cursor.seek(item.body_offset)
        try:
            code = self.cursor.string()
        except DecodeError:
            return False
        return (code if isinstance(code, bytes) else code.read(len(start))).startswith(start)


def describe_salvaged_rdb(name: str, rdb: Preamble, counts: SalvageCounts) -> str:
    """The note of a plan about a salvaged RDB."""
    defect = rdb.note or "a value of it cannot be decoded"
    words = f"the RDB of {text.display_path(name)} is damaged ({defect}): "
    words += f"{text.format_count(counts.keys, 'key')} of it can be read"
    words += " and stay" if counts.keys != 1 else " and stays"
    if counts.keys_after_damage:
        words += f", {counts.keys_after_damage:,} of them found after the damage: a guess (--strict leaves those out)"
    if counts.keys_in_guessed_db:
        words += f", {counts.keys_in_guessed_db:,} in a guessed database"
    if counts.numeric_names_dropped:
        words += f"; {text.format_count(counts.numeric_names_dropped, 'key')} found after it"
        words += " whose names are numbers go, which may be elements"
    return words + "; a value that was changed and can still be decoded cannot be told"


def _is_integer_encoded(first: bytes) -> bool:
    """Whether the first byte of a string says that it is stored as an integer (rdb.h: RDB_ENCVAL and 0 to 2)."""
    return first in (b"\xc0", b"\xc1", b"\xc2")
