"""Decide which keys and function libraries of an RDB a server can load, and what stops it at the others.

A key can be loaded if its whole value obeys the rules of rdb.c and its name is new in its database; a library if its
code can be read and its name is new.  Keys found after damage are guesses: their database is unknown up to the next
SELECTDB opcode.  `check` reports what is found here, and `repair --salvage` keeps and drops exactly this.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.log.base_keys import key_name
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.items import ItemReader, KeyItem, OpcodeItem
from aofdoctor.rdb.key_counts import DBS_MAX, OTHER_DBS
from aofdoctor.rdb.module_census import NAMES_MAX, OTHER_TYPES, ModuleData, module_name
from aofdoctor.rdb.opcodes import Opcode, RdbType
from aofdoctor.rdb.recovery.empty_values import empty_collection
from aofdoctor.rdb.recovery.key_head import read_key_head
from aofdoctor.rdb.recovery.loader_rules import library_defect, module_aux_defect, template_defect, value_defect
from aofdoctor.rdb.recovery.repeats import Name, RepeatedNames, suspected_repeats
from aofdoctor.rdb.recovery.salvage import salvage_items
from aofdoctor.rdb.values.modules import is_known_module, resembles_known_module
from aofdoctor.rdb.walk.walker import KIND_MAGIC, KIND_UNPARSED
from aofdoctor.source import FileSource, Source, pread
from aofdoctor.span import Span

HINT_REASON = "how many keys to expect"
GUESSED_KEY_REASON = "found after damage"
DUPLICATE_KEY_REASON = "a key that is there already"
DUPLICATE_LIBRARY_REASON = "a function library that is there already"
EMPTY_KEY_REASON = "a {} without elements: servers skip it at load"
DAMAGED_LIBRARY_REASON = "a damaged function library"
NOT_SELECTED_REASON = "not selected"
NUMERIC_NAME_REASON = "a name that is a number, found after damage: elements of a value look the same"
OLD_END_REASON = "the RDB's old end"
HINT_OPCODES = frozenset({Opcode.RESIZEDB, Opcode.SLOT_INFO})  # sizes of hash tables, needed by no server
DAMAGED_NAMED_MAX = 1000  # damaged keys that are kept by name
_DEFECTS_MAX = 1 << 17  # values that cannot be loaded and are remembered between passes
_DEFAULT_DATABASES = 16  # the number of databases of a server with a default configuration
# Functions that return why no server loads the content of an opcode, by opcode.
_DEFECTS: dict[int, Callable[[Cursor, int], str]] = {
    Opcode.HASH_TEMPLATE: template_defect,
    Opcode.MODULE_AUX: module_aux_defect,
}
_LIBRARIES = -1  # the database number that a function library has in a (database, name) pair
_TITLES = {"zset": "sorted set"}
KeyFilter = Callable[[KeyItem], bool]


class DamagedKey(NamedTuple):
    """A key or function library of an RDB that no server loads: its byte range, its name and the reason.

    `db` is -1 where it is unknown, and for a library.  `type` is the type byte of a key, or the opcode of a library.
    """

    span: Span
    db: int
    name: bytes
    type: int
    reason: str

    @property
    def is_library(self) -> bool:
        """Whether this is a function library, not a key."""
        return self.type == Opcode.FUNCTION2


@dataclass(slots=True)
class SalvageCounts:
    """The number of keys and function libraries of an RDB that can be loaded, and those that cannot.

    `keys_after_damage` of the keys were found after damage, `keys_in_guessed_db` of those in a database that is a
    guess.  `numeric_names_dropped` keys found after damage are not counted because their names are numbers.  `dbs`
    counts the keys by database.  `partial` maps the start of a
    damaged key to the number of its elements that are kept.  `skipped` are the first of `skipped_count` keys that
    servers skip at load because their value is empty; they are neither counted nor damage.  `modules` is the module
    data that is kept, by type.
    """

    keys: int = 0
    keys_after_damage: int = 0
    keys_in_guessed_db: int = 0
    functions: int = 0
    numeric_names_dropped: int = 0
    dbs: Counter[int] = field(default_factory=Counter)
    damaged: list[DamagedKey] = field(default_factory=list)
    damaged_count: int = 0
    skipped: list[DamagedKey] = field(default_factory=list)
    skipped_count: int = 0
    modules: dict[str, ModuleData] = field(default_factory=dict)
    partial: dict[int, int] = field(default_factory=dict)

    def add_damaged(self, key: DamagedKey) -> None:
        """Count a key or library that cannot be loaded; only the first 1,000 are kept by name."""
        self.damaged_count += 1
        if len(self.damaged) < DAMAGED_NAMED_MAX:
            self.damaged.append(key)

    def add_module_data(self, name: str, start: int, is_key: bool) -> None:
        """Count a kept key or auxiliary field of a module type."""
        if name not in self.modules and len(self.modules) >= NAMES_MAX:
            name = OTHER_TYPES
        self.modules.setdefault(name, ModuleData(name, start)).add(is_key)

    def add_skipped(self, key: DamagedKey) -> None:
        """Count a key that servers skip; the first ones are kept by name."""
        self.skipped_count += 1
        if len(self.skipped) < DAMAGED_NAMED_MAX:
            self.skipped.append(key)


class KeyJudge:
    """Judges whether servers can load the values of an RDB's keys, decoding each value only in the first pass.

    Each later pass over the same RDB asks about the same keys in the same order, so only the defects are remembered.
    """

    def __init__(self, magic: bytes) -> None:
        self.magic, self.is_first_pass = magic, True
        self._defects: dict[tuple[int, int], str] | None = {}

    def __call__(self, source: Source, key: KeyItem) -> str:
        """Return why no server loads the value of a key of the RDB; empty if a server may load it."""
        if not self.is_first_pass and self._defects is not None:
            return self._defects.get((key.start, key.end), "")
        defect = value_defect(source, key, self.magic)
        if defect and self._defects is not None:
            self._defects[key.start, key.end] = defect
            if len(self._defects) > _DEFECTS_MAX:
                self._defects = None
        return defect


class FirstPass(NamedTuple):
    """The results of a first pass over an RDB, which a second pass needs to decide which keys can be loaded.

    `repeats` are digests of key and library names that may occur twice; `judge` remembers which values are damaged.
    """

    repeats: set[bytes]
    judge: KeyJudge


def examine_rdb(source: Source, rdb: Preamble) -> SalvageCounts:
    """Decode every value of an RDB, search repeated names of keys and libraries, and count what can be loaded."""
    examiner = RdbExaminer(source, rdb, first_pass(source, rdb))
    for _ in examiner.item_verdicts():
        pass
    return examiner.counts


class RdbExaminer:
    """Decides for every key and opcode of one RDB whether a server can load it and `repair --salvage` keeps it.

    `strict`: drop everything after damage.  `key_filter` selects the keys to keep.  `after_damage`: the database and
    the next keys are a guess.  `after_search`: keys were found by a search, so they may be elements of a value.
    `db_is_doubtful`: the last SELECTDB was dropped.  `name` is (database, name) of the last key, for the pass that
    collects names which may be repeated.
    """

    def __init__(
        self,
        source: Source,
        rdb: Preamble,
        first_pass: FirstPass,
        strict: bool = False,
        key_filter: KeyFilter | None = None,
    ) -> None:
        self.source, self.rdb, self.strict, self.key_filter = source, rdb, strict, key_filter
        self.counts, self.cursor = SalvageCounts(), Cursor(source)
        self.name: Name | None = None
        self.repeated, self.judge = RepeatedNames(first_pass.repeats), first_pass.judge
        self.modules = set[int]()
        self.db, self.highest_db = 0, _DEFAULT_DATABASES - 1
        self.after_damage = self.after_search = self.db_is_doubtful = False

    def item_verdicts(self) -> Iterator[tuple[Span, str]]:
        """Yield (byte range, reason to drop it) for all bytes of the RDB, in file order.

        The reason is empty for a range that is kept.
        """
        for tile in salvage_items(self.source, self.rdb.span.end, self.judge):
            if isinstance(tile, Damage):
                self._pass_damage(tile)
                yield tile.span, tile.kind.value
            else:
                for item in tile:
                    self.name = None
                    yield item.span, self._drop_reason(item)

    def _pass_damage(self, damage: Damage) -> None:
        """Note which key of the RDB is damaged, and whether the database and keys after the damage are guesses."""
        is_value = damage.kind is DamageKind.CORRUPT_VALUE
        # If the RDB can be parsed to its end, the end of a value that cannot be decoded is known all the same.
        if damage.end_is_guess and not (is_value and self.rdb.complete and not self.strict):
            self.after_damage = True
            self.after_search = self.after_search or not is_value
        head = read_key_head(self.source, damage.span.start)
        if head is not None and head.name:
            db = -1 if self.after_damage and self.db_is_doubtful else self.db
            reason = damage.note.partition(": ")[2] if is_value else damage.note
            self.counts.add_damaged(DamagedKey(damage.span, db, head.name, head.type, reason))

    def _drop_reason(self, item: KeyItem | OpcodeItem) -> str:
        """Return why a key or opcode of the RDB is dropped; empty if it is kept."""
        if isinstance(self.source, FileSource) and self.source.first_unreadable(item.span):
            return DamageKind.UNREADABLE.value
        if self.after_damage and self.strict:
            return GUESSED_KEY_REASON
        return self._key_drop_reason(item) if isinstance(item, KeyItem) else self._non_key_drop_reason(item)

    def _key_drop_reason(self, key: KeyItem) -> str:
        db = self.db if self.after_damage else max(0, key.db)
        if self.after_search and _is_integer_encoded(pread(self.source, 1, key.name_offset)):
            self.counts.numeric_names_dropped += 1
            return NUMERIC_NAME_REASON
        if key.type == RdbType.MODULE_2 and not self._is_known_module(key):
            return GUESSED_KEY_REASON
        name = key_name(self.cursor, key)
        if kind := empty_collection(self.source, key, self.rdb.magic):
            if self.key_filter and not self.key_filter(key):
                return NOT_SELECTED_REASON
            reason = EMPTY_KEY_REASON.format(_TITLES.get(kind, kind))
            self.counts.add_skipped(DamagedKey(key.span, db, name, key.type, reason))
            return reason
        self.name = db, name
        if self.repeated.is_repeated(db, name):
            self.counts.add_damaged(DamagedKey(key.span, db, name, key.type, DUPLICATE_KEY_REASON))
            return DUPLICATE_KEY_REASON
        if self.key_filter and not self.key_filter(key):
            return NOT_SELECTED_REASON
        if key.type == RdbType.MODULE_2:
            self.counts.add_module_data(module_name(self.cursor, key.value_offset), key.start, is_key=True)
        self.counts.keys += 1
        self.counts.keys_after_damage += self.after_damage
        self.counts.keys_in_guessed_db += self.after_damage and (key.db < 0 or self.db_is_doubtful)
        dbs = self.counts.dbs
        dbs[db if db in dbs or len(dbs) < DBS_MAX else OTHER_DBS] += 1
        return ""

    def _is_known_module(self, key: KeyItem) -> bool:
        """Whether the module that a key's value belongs to is known, or was used by a key before any damage.

        Otherwise the key, which was found by a search after damage, may be a piece of another value.
        In a damaged RDB a name that is nearly a known one is that name, damaged.
        """
        self.cursor.seek(key.value_offset)
        module = self.cursor.length()
        if not self.rdb.is_intact and resembles_known_module(module):
            return False
        if not self.after_search:
            self.modules.add(module)
        return not self.after_search or module in self.modules or is_known_module(module)

    def _non_key_drop_reason(self, item: OpcodeItem) -> str:
        if item.kind in (Opcode.EOF, KIND_UNPARSED):
            return OLD_END_REASON if item.kind == Opcode.EOF else DamageKind.CORRUPT_PREAMBLE.value
        if item.kind in HINT_OPCODES:
            return HINT_REASON
        if item.kind == Opcode.SELECTDB:
            return self._select_db_drop_reason(item)
        if item.kind == Opcode.FUNCTION2:
            return self._library_drop_reason(item)
        if item.kind in _DEFECTS and _DEFECTS[item.kind](self.cursor, item.body_offset):
            return DamageKind.CORRUPT_PREAMBLE.value
        # Hash templates found after damage are kept: hashes that follow refer to their field names.
        if not self.after_damage or item.kind in (KIND_MAGIC, Opcode.HASH_TEMPLATE):
            if item.kind == Opcode.MODULE_AUX:
                self.counts.add_module_data(module_name(self.cursor, item.body_offset), item.span.start, is_key=False)
            return ""
        # Module data and AUX fields: no server needs them, and a wrong one stops the load.
        return GUESSED_KEY_REASON

    def _library_drop_reason(self, item: OpcodeItem) -> str:
        name, defect = library_defect(self.cursor, item.body_offset, item.span.end)
        if defect:
            self.counts.add_damaged(DamagedKey(item.span, -1, name, item.kind, defect))
            return DAMAGED_LIBRARY_REASON
        self.name = _LIBRARIES, name
        if self.repeated.is_repeated(_LIBRARIES, name):
            self.counts.add_damaged(DamagedKey(item.span, -1, name, item.kind, DUPLICATE_LIBRARY_REASON))
            return DUPLICATE_LIBRARY_REASON
        self.counts.functions += 1
        return ""

    def _select_db_drop_reason(self, item: OpcodeItem) -> str:
        self.cursor.seek(item.body_offset)
        db = self.cursor.length()
        self.db_is_doubtful = self.after_damage and db > self.highest_db and not self._precedes_resize_db(item)
        if self.db_is_doubtful:
            return GUESSED_KEY_REASON  # A server does not load a database number that it does not have.
        self.db, self.highest_db = db, max(db, self.highest_db)
        return ""

    def _precedes_resize_db(self, item: OpcodeItem) -> bool:
        """Whether a RESIZEDB opcode follows a SELECTDB opcode, as every server since 3.2 writes it."""
        return pread(self.source, 1, item.span.end) == bytes((Opcode.RESIZEDB,))


def first_pass(source: Source, rdb: Preamble, strict: bool = False) -> FirstPass:
    """Judge all values of an RDB, and collect the names of keys and libraries that seem to occur twice.

    The collected names (as digests) include few that occur once.
    """
    judge = KeyJudge(rdb.magic)
    examiner = RdbExaminer(source, rdb, FirstPass(set(), judge), strict)

    def names() -> Iterator[Name]:
        for _ in examiner.item_verdicts():
            if examiner.name is not None:
                yield examiner.name
                examiner.name = None

    repeats = suspected_repeats(names())
    judge.is_first_pass = False
    return FirstPass(repeats, judge)


def kept_names(examiner: RdbExaminer, names: set[Name]) -> set[Name]:
    """Return which of the names, as (database, name), belong to keys or libraries of the RDB that can be loaded."""
    kept = set[Name]()
    for _, reason in examiner.item_verdicts():
        if not reason and examiner.name in names and examiner.name is not None:
            kept.add(examiner.name)
    return kept


def is_in_key(source: Source, offset: int) -> bool:
    """Whether a file offset in an RDB lies in a key, or where the key that begins before it cannot be parsed."""
    items = ItemReader(source, verify=False)
    for batch in items:
        for i in range(batch.first, batch.stop):
            if offset < batch.columns.edges[i + 1]:
                return batch.columns.kind[i] == KIND_UNPARSED or batch.columns.name[i] >= 0
    return items.rdb.end > offset or read_key_head(source, items.window.columns.edges[0]) is not None


def _is_integer_encoded(first: bytes) -> bool:
    """Whether the first byte of an RDB string says that it is stored as an integer (rdb.h: RDB_ENCVAL and 0 to 2)."""
    return first in (b"\xc0", b"\xc1", b"\xc2")
