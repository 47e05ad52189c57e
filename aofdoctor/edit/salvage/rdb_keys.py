"""What a salvage keeps of a damaged RDB: every key before the damage, and those that can be found after it.

A key stays if its whole value can be decoded.  What is found after a hole is a
guess, as where RESP begins again is: its database is unknown up to the next
SELECTDB, and a name that is there already goes, since no server loads a key
twice.  A strict salvage keeps nothing of that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from aofdoctor import text
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.edit.salvage.rdb_splice import END, SplicedRdb, splice_rdb, with_magic
from aofdoctor.errors import RefusedEdit
from aofdoctor.log.base_keys import is_plausible_key, key_name
from aofdoctor.rdb.encoding.cursor import Cursor, DecodeError
from aofdoctor.rdb.header import FRAME_AT, SIZE, version_of
from aofdoctor.rdb.items import EOF, Item, ItemBatch, Key
from aofdoctor.rdb.recovery.bloom_filter import BloomFilter
from aofdoctor.rdb.recovery.salvage import salvage_items
from aofdoctor.rdb.walk.walker import MAGIC, UNREAD
from aofdoctor.server.versions import magic
from aofdoctor.source import FileSource, Source, pread
from aofdoctor.span import Span

HINT = "how many keys to expect"
GUESSED = "found after damage"
TWICE = "a key that is there already"
UNWANTED = "not selected"
NUMBER = "a name that is a number, found after damage: elements of a value look the same"
RESIZE_DB, SELECT_DB = 251, 254
HINTS = frozenset({RESIZE_DB, 244})  # and SLOT_INFO: only what to make room for
_FUNCTION = 245
Wanted = Callable[[Key], bool]
_DBS = 16  # as many as a server has whose configuration says nothing else


@dataclass(slots=True)
class SalvageCounts:
    """What stays: keys, `guessed` of them found after damage, and of those some in a database that is a guess.

    `numbers` were found there too, and go: their names are numbers.
    """

    keys: int = 0
    guessed: int = 0
    db_guessed: int = 0
    functions: int = 0
    numbers: int = 0


def salvage_rdb(
    index: int, source: FileSource | PatchedSource, rdb: Preamble, strict: bool = False, wanted: Wanted | None = None
) -> tuple[SplicedRdb, SalvageCounts] | None:
    """The part with what can be read of its RDB, of its keys those that are `wanted`.

    None where nothing can, or its bytes are not to be had.
    """
    if rdb.codec:
        tool = {"LZ4": "lz4", "Zstd": "zstd"}[rdb.codec]
        raise RefusedEdit(
            f"the RDB of {text.display_path(source.path)} is compressed by {rdb.codec}, and damaged: {rdb.note}",
            f"`tail -c +{FRAME_AT + 1} FILE | {tool} -dc > OUT` writes what comes out of it: salvage that",
        )
    holes = isinstance(source, FileSource) and source.unreadable
    if isinstance(source, FileSource) and source.first_unreadable(Span(rdb.span.end, source.size)):
        return None  # what follows has to be read from the file itself, which knows its holes
    right = b"" if holes or rdb.span.end < SIZE else magic(rdb.aux)
    if right and right != rdb.magic:
        source, rdb = with_magic(source, right), replace(rdb, magic=right, version=version_of(right))
    found = SalvageCounts()

    def item_verdicts() -> Iterator[tuple[Span, str]]:
        nonlocal found
        walk = _Walk(source, rdb, strict, wanted)
        found = walk.kept  # and not the walk, which holds the names that it has seen
        return walk.item_verdicts()

    head = splice_rdb(index, source, rdb.span.end, item_verdicts)
    return (head, found) if found.keys or found.functions else None


def read_of(source: Source, rdb: Preamble) -> Iterator[ItemBatch | Damage]:
    """What can be read of an RDB, every value decoded, and the damage between."""
    return salvage_items(source, rdb.span.end, lambda source, key: is_plausible_key(source, key, rdb))


class _Walk:
    """One RDB from its start."""

    def __init__(self, source: FileSource | PatchedSource, rdb: Preamble, strict: bool, wanted: Wanted | None) -> None:
        self.source, self.rdb, self.strict, self.wanted = source, rdb, strict, wanted
        self.kept, self.seen, self.cursor = SalvageCounts(), BloomFilter(), Cursor(source)
        self.db, self.most_db = 0, _DBS - 1
        self.guess = self.searched = self.db_doubted = False

    def item_verdicts(self) -> Iterator[tuple[Span, str]]:
        """Adjacent spans, and why each goes."""
        for tile in read_of(self.source, self.rdb):
            if isinstance(tile, Damage):
                self.guess = self.guess or tile.end_is_guess
                self.searched = self.searched or (tile.end_is_guess and tile.kind is not DamageKind.CORRUPT_VALUE)
                yield tile.span, tile.kind.value
            else:
                for item in tile:
                    yield item.span, self._why(item)

    def _why(self, item: Key | Item) -> str:
        """Why an item goes; empty if it stays."""
        if isinstance(self.source, FileSource) and self.source.first_unreadable(item.span):
            return DamageKind.UNREADABLE.value
        if self.guess and self.strict:
            return GUESSED
        return self._why_key(item) if isinstance(item, Key) else self._why_other(item)

    def _why_key(self, key: Key) -> str:
        db = self.db if self.guess else max(0, key.db)
        twice = self.seen.add(db, key_name(self.cursor, key))
        if self.searched and _is_number(pread(self.cursor.source, 1, key.name_at)):
            self.kept.numbers += 1
            return NUMBER
        if twice and self.guess:  # a server writes no key twice; before any damage it is the filter that errs
            return TWICE
        if self.wanted and not self.wanted(key):
            return UNWANTED
        self.kept.keys += 1
        self.kept.guessed += self.guess
        self.kept.db_guessed += self.guess and (key.db < 0 or self.db_doubted)
        return ""

    def _why_other(self, item: Item) -> str:
        if item.kind in (EOF, UNREAD):
            return END if item.kind == EOF else DamageKind.CORRUPT_PREAMBLE.value
        if item.kind in HINTS:
            return HINT
        if item.kind == SELECT_DB:
            return self._why_select(item)
        self.kept.functions += item.kind == _FUNCTION
        if not self.guess or item.kind == MAGIC or (item.kind == _FUNCTION and self._begins(item, b"#!")):
            return ""
        return GUESSED  # a module's own bytes, or the writer's words: no server needs them, and a wrong one stops it

    def _why_select(self, item: Item) -> str:
        self.cursor.seek(item.body)
        db = self.cursor.length()
        self.db_doubted = self.guess and db > self.most_db and not self._sized(item)
        if self.db_doubted:
            return GUESSED  # no server loads a database that it does not have
        self.db, self.most_db = db, max(db, self.most_db)
        return ""

    def _sized(self, item: Item) -> bool:
        """True if what to make room for follows the choice of a database, as every server since 3.2 writes it."""
        return pread(self.source, 1, item.span.end) == bytes((RESIZE_DB,))

    def _begins(self, item: Item, start: bytes) -> bool:
        self.cursor.seek(item.body)
        try:
            code = self.cursor.string()
        except DecodeError:
            return False
        return (code if isinstance(code, bytes) else code.read(len(start))).startswith(start)


def note(name: str, rdb: Preamble, kept: SalvageCounts) -> str:
    """What a plan says of a salvaged RDB."""
    why = rdb.note or "a value of it cannot be decoded"
    words = f"the RDB of {text.display_path(name)} is damaged ({why}): {text.format_count(kept.keys, 'key')} of it can be read"
    words += " and stay" if kept.keys != 1 else " and stays"
    if kept.guessed:
        words += f", {kept.guessed:,} of them found after the damage: a guess (--strict leaves those out)"
    if kept.db_guessed:
        words += f", {kept.db_guessed:,} in a guessed database"
    if kept.numbers:
        words += f"; {text.format_count(kept.numbers, 'key')} found after it whose names are numbers go, which may be elements"
    return words + "; a value that was changed and can still be decoded cannot be told"


def _is_number(first: bytes) -> bool:
    """True of the first byte of a string that is stored as an integer (rdb.h: 11 and 0 to 2)."""
    return first in (b"\xc0", b"\xc1", b"\xc2")
