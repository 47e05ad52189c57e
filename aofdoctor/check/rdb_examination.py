"""Examine an RDB as its loader would: which keys and libraries can be loaded, and what stops a server at the others.

A key can be loaded if its whole value obeys the loader's rules and its name is new in its database; a library if its
code can be read and its name is new.  Items found after damage are guesses: their database is unknown up to the next
SELECTDB.  check reports what is found here, and a salvage keeps and drops exactly this.
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
from aofdoctor.rdb.opcodes import Opcode, RdbType
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
DAMAGED_LIBRARY_REASON = "a damaged function library"
NOT_SELECTED_REASON = "not selected"
NUMERIC_NAME_REASON = "a name that is a number, found after damage: elements of a value look the same"
OLD_END_REASON = "the RDB's old end"
HINT_OPCODES = frozenset({Opcode.RESIZEDB, Opcode.SLOT_INFO})  # sizes of hash tables, needed by no server
DAMAGED_NAMED_MAX = 1000  # damaged keys that are kept by name
_DEFECTS_MAX = 1 << 17  # defective values that are remembered between passes
_DEFAULT_DATABASES = 16  # the number of databases of a server with a default configuration
# Why no server loads an item between the keys, by opcode.
_DEFECTS: dict[int, Callable[[Cursor, int], str]] = {
    Opcode.HASH_TEMPLATE: template_defect,
    Opcode.MODULE_AUX: module_aux_defect,
}
_LIBRARIES = -1  # the database under which names of libraries are compared
KeyFilter = Callable[[KeyItem], bool]


class DamagedKey(NamedTuple):
    """A key or function library that no server loads, where it is, and why.

    `db` is -1 where it is unknown, and for a library.  `type` is the type byte of a key, or the opcode of a library.
    """

    span: Span
    db: int
    name: bytes
    type: int
    reason: str

    @property
    def is_library(self) -> bool:
        """True for a function library."""
        return self.type == Opcode.FUNCTION2


@dataclass(slots=True)
class SalvageCounts:
    """The number of keys and functions that can be loaded, and the first of `damaged_count` that cannot.

    `keys_after_damage` of the keys were found after damage, `keys_in_guessed_db` of those in a database that is a
    guess.  `numeric_names_dropped` keys found after damage are not counted because their names are numbers.  `dbs`
    counts the keys by database.  `partial` maps the start of a
    damaged key to the number of its elements that are kept.
    """

    keys: int = 0
    keys_after_damage: int = 0
    keys_in_guessed_db: int = 0
    functions: int = 0
    numeric_names_dropped: int = 0
    dbs: Counter[int] = field(default_factory=Counter)
    damaged: list[DamagedKey] = field(default_factory=list)
    damaged_count: int = 0
    partial: dict[int, int] = field(default_factory=dict)

    def add_damaged(self, key: DamagedKey) -> None:
        """Count a damaged key; the first ones are kept by name."""
        self.damaged_count += 1
        if len(self.damaged) < DAMAGED_NAMED_MAX:
            self.damaged.append(key)


class KeyJudge:
    """Judges the values of keys; in later passes over the same RDB it repeats its judgements without decoding again.

    Each pass asks about the same keys in the same order, so the defects alone have to be remembered.
    """

    def __init__(self, magic: bytes) -> None:
        self.magic, self.is_first_pass = magic, True
        self._defects: dict[tuple[int, int], str] | None = {}

    def __call__(self, source: Source, key: KeyItem) -> str:
        """Return why no server loads the value of a key; empty if one may."""
        if not self.is_first_pass and self._defects is not None:
            return self._defects.get((key.start, key.end), "")
        defect = value_defect(source, key, self.magic)
        if defect and self._defects is not None:
            self._defects[key.start, key.end] = defect
            if len(self._defects) > _DEFECTS_MAX:
                self._defects = None
        return defect


class FirstPass(NamedTuple):
    """What the first pass over an RDB finds: digests of names that may be repeated, and a judge of its values."""

    repeats: set[bytes]
    judge: KeyJudge


def examine_rdb(source: Source, rdb: Preamble) -> SalvageCounts:
    """Decode every value of an RDB, and compare the names of all keys and function libraries."""
    examiner = RdbExaminer(source, rdb, first_pass(source, rdb))
    for _ in examiner.item_verdicts():
        pass
    return examiner.counts


class RdbExaminer:
    """Decides for every item of one RDB whether it can be loaded, or is to be kept.

    `after_damage`: the database and the next keys are a guess.  `after_search`: items were found by a search, so they
    may be elements of a value.  `db_is_doubtful`: the last SELECTDB was dropped.  `name` is that of the last item, for
    the pass that collects names which may be repeated.
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
        """Adjacent byte ranges of the whole RDB, and why each is dropped ("" if it is kept)."""
        for tile in salvage_items(self.source, self.rdb.span.end, self.judge):
            if isinstance(tile, Damage):
                self._pass_damage(tile)
                yield tile.span, tile.kind.value
            else:
                for item in tile:
                    self.name = None
                    yield item.span, self._drop_reason(item)

    def _pass_damage(self, damage: Damage) -> None:
        """Note what damage means for the items after it, and which key is damaged."""
        is_value = damage.kind is DamageKind.CORRUPT_VALUE
        # Where the walk reaches the end, a value that cannot be decoded does not hide where the next key begins.
        if damage.end_is_guess and not (is_value and self.rdb.complete and not self.strict):
            self.after_damage = True
            self.after_search = self.after_search or not is_value
        head = read_key_head(self.source, damage.span.start)
        if head is not None and head.name:
            db = -1 if self.after_damage and self.db_is_doubtful else self.db
            reason = damage.note.partition(": ")[2] if is_value else damage.note
            self.counts.add_damaged(DamagedKey(damage.span, db, head.name, head.type, reason))

    def _drop_reason(self, item: KeyItem | OpcodeItem) -> str:
        """Why an item is dropped; "" if it is kept."""
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
        self.name = db, name
        if self.repeated.is_repeated(db, name):
            self.counts.add_damaged(DamagedKey(key.span, db, name, key.type, DUPLICATE_KEY_REASON))
            return DUPLICATE_KEY_REASON
        if self.key_filter and not self.key_filter(key):
            return NOT_SELECTED_REASON
        self.counts.keys += 1
        self.counts.keys_after_damage += self.after_damage
        self.counts.keys_in_guessed_db += self.after_damage and (key.db < 0 or self.db_is_doubtful)
        dbs = self.counts.dbs
        dbs[db if db in dbs or len(dbs) < DBS_MAX else OTHER_DBS] += 1
        return ""

    def _is_known_module(self, key: KeyItem) -> bool:
        """Whether the module of a key is known, or was used before any damage: else it may be a piece of a value.

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
        # The hashes that follow need the templates that are found after damage.
        if not self.after_damage or item.kind in (KIND_MAGIC, Opcode.HASH_TEMPLATE):
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
        """Whether RESIZEDB follows a SELECTDB, as every server since 3.2 writes it."""
        return pread(self.source, 1, item.span.end) == bytes((Opcode.RESIZEDB,))


def first_pass(source: Source, rdb: Preamble, strict: bool = False) -> FirstPass:
    """Judge the values of an RDB, and find the names of keys and libraries that occur twice, among few others."""
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
    """Return which of some names are those of keys that can be loaded."""
    kept = set[Name]()
    for _, reason in examiner.item_verdicts():
        if not reason and examiner.name in names and examiner.name is not None:
            kept.add(examiner.name)
    return kept


def is_in_key(source: Source, offset: int) -> bool:
    """Whether an offset of an RDB is in a key, or where the walk has lost its way in one."""
    items = ItemReader(source, verify=False)
    for batch in items:
        for i in range(batch.first, batch.stop):
            if offset < batch.columns.edges[i + 1]:
                return batch.columns.kind[i] == KIND_UNPARSED or batch.columns.name[i] >= 0
    return items.rdb.end > offset or read_key_head(source, items.window.columns.edges[0]) is not None


def _is_integer_encoded(first: bytes) -> bool:
    """Whether the first byte of a string says that it is stored as an integer (rdb.h: RDB_ENCVAL and 0 to 2)."""
    return first in (b"\xc0", b"\xc1", b"\xc2")
