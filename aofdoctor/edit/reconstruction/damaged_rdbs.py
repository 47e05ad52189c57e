"""Salvage a damaged RDB that is misplaced: behind other bytes at the head of a file, or among the commands.

The rules are those for a damaged base: a key is kept if a server loads it (check/rdb_examination.py).  An RDB is taken
for one only if an AUX field or a readable key follows its magic.
"""

import re

from aofdoctor.aof.records import Preamble
from aofdoctor.aof.recovery.embedded_rdb import LEADING_MAX, SourceSlice
from aofdoctor.check.rdb_examination import RdbExaminer, first_pass
from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.header import MAGIC_PATTERN, MAGIC_SIZE, has_checksum
from aofdoctor.rdb.opcodes import Opcode
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.rdb.walk.layouts import layout_of
from aofdoctor.rdb.walk.window import WalkWindow
from aofdoctor.source import BytesSource, Source, pread
from aofdoctor.span import Span

_BEGINS_COMMAND = re.compile(rb"\*\d{1,7}\r\n\$\d")
_TRIES_MAX = 8  # magics in front of which bytes may be left out
_ITEMS = 2


def find_leading_damaged_rdb(source: Source) -> int | None:
    """Return the offset of a damaged RDB behind the first bytes of a file that are no command, or None."""
    head = pread(source, LEADING_MAX, 0)
    if head[:1] in (b"*", b"#"):
        return None
    at = -1
    for _ in range(_TRIES_MAX):
        found = [place for magic in (b"REDIS", b"VALKEY") if (place := head.find(magic, at + 1)) >= 0]
        if not found:
            return None
        at = min(found)
        if _BEGINS_COMMAND.search(head, 0, at):  # The magic is in a value of a command.
            return None
        if at and begins_rdb(source, at):
            return at
    return None


def begins_rdb(source: Source, offset: int) -> bool:
    """Whether an RDB magic is at an offset, and an item that can be read follows it."""
    magic = pread(source, MAGIC_SIZE, offset)
    if not MAGIC_PATTERN.fullmatch(magic):
        return False
    window = WalkWindow(SourceSlice(source, offset), layout_of(magic), MAGIC_SIZE, 0, 1 << 14, _ITEMS, verify=False)
    window.run()
    kinds = [window.columns.kind[i] for i in range(window.columns.count)]
    return window.columns.key_count > 0 or Opcode.AUX in kinds


def readable_rdb(source: Source, span: Span) -> tuple[bytes, int] | None:
    """Return (an RDB of the items of the damaged one in `span` that a server loads, the number of its keys).

    None if no key and no function library can be read.
    """
    data = pread(source, span.size, span.start)
    damaged = BytesSource(data)
    found = walk_rdb(damaged)
    rdb = Preamble(
        Span(0, len(data)), found.magic, found.version, None, found.checksum, found.complete, found.aux, found.note
    )
    examiner = RdbExaminer(damaged, rdb, first_pass(damaged, rdb))
    kept = b"".join(data[item.start : item.end] for item, reason in examiner.item_verdicts() if not reason)
    if not examiner.counts.keys and not examiner.counts.functions:
        return None
    whole = kept + bytes((Opcode.EOF,))
    return whole + (crc64(whole).to_bytes(8, "little") if has_checksum(found.magic) else b""), examiner.counts.keys
