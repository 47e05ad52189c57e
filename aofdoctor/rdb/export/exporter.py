"""A whole RDB as commands, in the order of the file, each key in its database.

What no command of the target says goes to the tally by name; damage ends it
with a Corrupt.  What only tunes a server (sizes, slots, how lately a key was
used) is counted as a hint: a server's own rewrite does not write it either.
"""

from collections.abc import Callable, Iterator

from aofdoctor.rdb.encoding.cursor import CorruptValue, Cursor, DecodeError
from aofdoctor.rdb.encoding.short_strings import has_meta
from aofdoctor.rdb.export.capabilities import Capabilities, Command, Unsupported
from aofdoctor.rdb.export.commands import commands, function, library, select
from aofdoctor.rdb.export.report import ConversionReport
from aofdoctor.rdb.items import AUX, EOF, Item, ItemReader, Key
from aofdoctor.rdb.values.decoders import Value, type_name
from aofdoctor.rdb.walk.walker import MAGIC, UNREAD
from aofdoctor.source import Source, pread

OnProgress = Callable[[int], None]
_NAME_MAX = 1 << 26
_FUNCTION, _TEMPLATE = 245, 242  # a template's names are among each hash's own, once they are told
_SILENT = frozenset({MAGIC, AUX, EOF, 251, 254})
IDLE_HINT = "idle times or frequencies of keys"
_HINTS = {244: "sizes of slots"}
_UNSAID = {
    242: "commands between the keys", 243: "a slot import", 246: "a function of a release candidate",
    247: "data of a module",
}  # fmt: skip


def export_commands(
    source: Source, capabilities: Capabilities, report: ConversionReport, on_progress: OnProgress | None = None
) -> Iterator[Command | CorruptValue]:
    """The commands that make all keys of the RDB at the head of `source`; `tell` hears how far it is."""
    items, teller = ItemReader(source), CommandExporter(source, capabilities, report)
    for batch in items:
        for item in batch:
            for said in teller.item(item):
                yield said
                if isinstance(said, CorruptValue):
                    return
        if on_progress:
            on_progress(items.rdb.end)
    if problem := trouble(items):
        yield problem


def trouble(items: ItemReader) -> CorruptValue | None:
    """What is wrong with an RDB that has been gone through."""
    rdb = items.rdb
    if rdb.complete and rdb.checksum != "bad":
        return None
    return CorruptValue(rdb.end, rdb.note or "it is damaged")


class CommandExporter:
    """One item at a time; `db` is the database that the commands so far have selected."""

    def __init__(self, source: Source, capabilities: Capabilities, report: ConversionReport) -> None:
        self.source, self.capabilities, self.report = source, capabilities, report
        self.cursor, self.db, self.dialect = Cursor(source), 0, dialect_of(source)

    def item(self, item: Key | Item) -> Iterator[Command | CorruptValue]:
        """The commands that make a key or what stands between keys; a Corrupt is the last."""
        return self._key(item) if isinstance(item, Key) else self._other(item)

    def _key(self, key: Key) -> Iterator[Command | CorruptValue]:
        value = Value(key.value, key.type, self.dialect)
        kind = type_name(value)
        try:
            name = whole_name(self.cursor, key)
        except DecodeError as problem:
            yield CorruptValue(problem.offset, problem.note)
            return
        self._beside(key, name, kind)
        if not kind:
            self.report.record_loss(key.db, name, f"type {key.type}", "no command of this version makes it")
            return
        made, lost, expire = False, False, None if key.expire_ms == -1 else key.expire_ms
        for said in commands(self.cursor, value, name, expire, self.capabilities):
            if isinstance(said, Unsupported):
                self.report.record_loss(key.db, name, kind, said.what)
                lost = True
                continue
            if not made and max(key.db, 0) != self.db and not isinstance(said, CorruptValue):
                self.db = max(key.db, 0)
                yield select(self.db)
            made = True
            yield said
        if made:
            self.report.keys[self.db, kind] += 1
        elif not lost:
            self.report.dropped_hints["keys without an element, which no server keeps"] += 1

    def _other(self, item: Item) -> Iterator[Command | CorruptValue]:
        if item.kind == UNREAD:
            yield CorruptValue(item.span.start, "a type that this version does not read stands here, and all after it")
        elif item.kind == _FUNCTION:
            yield from self._function(item)
        elif item.kind in _HINTS:
            self.report.dropped_hints[_HINTS[item.kind]] += 1
        elif item.kind not in _SILENT and not (item.kind == _TEMPLATE and self.dialect == "redis"):
            self.report.record_loss(0, b"", f"opcode {item.kind}", _UNSAID.get(item.kind, "no command says it"))

    def _function(self, item: Item) -> Iterator[Command | CorruptValue]:
        self.cursor.seek(item.body)
        try:
            code = self.cursor.string()
            said = function(code, self.capabilities)
        except DecodeError as problem:
            yield CorruptValue(problem.offset, problem.note)
            return
        if isinstance(said, Unsupported):
            self.report.record_loss(0, library(code), "function", said.what)
        else:
            yield said

    def _beside(self, key: Key, name: bytes, kind: str) -> None:
        if key.idle >= 0 or key.freq >= 0:
            self.report.dropped_hints[IDLE_HINT] += 1
        if self.dialect == "redis" and has_meta(self.source, key.start, key.name_at):
            self.report.record_loss(key.db, name, kind, "the metadata of a key")


def dialect_of(source: Source) -> str:
    """Who gives the bytes of an RDB their meaning."""
    return "valkey" if pread(source, 5, 0) == b"VALKE" else "redis"


def whole_name(cursor: Cursor, key: Key) -> bytes:
    """A key's name; Broken where it is larger than what is read at once."""
    cursor.seek(key.name_at)
    return cursor.whole(_NAME_MAX)
