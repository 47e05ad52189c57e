"""Read one file that may hold an RDB, AOF commands or nothing, and state what is in it.

The cost is limited: a file that is larger than the limit of the caller is not read, and reading stops after DAMAGES_MAX
damages, because a search for records in unknown bytes is slow.
"""

from dataclasses import dataclass
from itertools import count

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AofPart
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import DAMAGE_MEANINGS, Damage, DamageKind
from aofdoctor.errors import SourceChanged
from aofdoctor.rdb.preamble import creation_time
from aofdoctor.server.command_table import command_table
from aofdoctor.source import Source, pread

DAMAGES_MAX = 20
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a file near an AOF holds: its kind, the number of keys and commands, and the first damage.

    `kind` is empty, nuls, rdb, aof (commands, with or without an RDB before them), unknown or unread.  `size` is in
    bytes.  `keys` are the keys of its RDB before any damage, `commands` the complete commands.  `written` is the
    `ctime` of the RDB, in unix seconds.  `is_partial`: reading stopped before the end.
    """

    kind: str
    size: int
    keys: int = 0
    commands: int = 0
    written: int | None = None
    preamble: Preamble | None = None
    damage: Damage | None = None
    is_partial: bool = False

    @property
    def is_intact(self) -> bool:
        """Whether the file holds an RDB or commands, without any damage up to its last byte."""
        return self.kind in ("rdb", "aof") and self.damage is None

    @property
    def holds_nothing(self) -> bool:
        """Whether it is certain that the file has neither a key nor a command."""
        return self.kind in ("empty", "nuls") or (self.is_intact and not self.keys and not self.commands)


def read_content(source: Source, limit: int) -> FileContent:
    """Read a file that may be an RDB or an AOF, and return what is in it.

    A file of more than `limit` bytes is not read.
    """
    size = source.size or 0
    if not size:
        return FileContent("empty", 0)
    if size > limit:
        return FileContent("unread", size)
    try:
        if _is_all_nuls(source):
            return FileContent("nuls", size)
        return _read_tiles(source, size)
    except (OSError, SourceChanged):
        return FileContent("unread", size)


def _read_tiles(source: Source, size: int) -> FileContent:
    commands, damages, preamble, damage = 0, 0, None, None
    for tile in read_tiles(source, command_table().names):
        if isinstance(tile, RecordBatch):
            commands += tile.count - tile.ids[: tile.count].count(ANNOTATION)
            continue
        if isinstance(tile, Preamble):
            preamble = tile
            tile_damage = tile.damage(size)
        else:
            tile_damage = tile
        if tile_damage:
            damage, damages = damage or tile_damage, damages + 1
        if damages > DAMAGES_MAX:
            break
    kind = "rdb" if preamble and not commands else "aof" if preamble or commands else "unknown"
    keys = _readable_keys(preamble) if preamble else 0
    written = creation_time(preamble.aux) if preamble else None
    return FileContent(kind, size, keys, commands, written, preamble, damage, damages > DAMAGES_MAX)


def _readable_keys(rdb: Preamble) -> int:
    if rdb.key_counts is None:
        return rdb.keys or 0
    return sum(row.keys for row in rdb.key_counts.dbs.values())


def _is_all_nuls(source: Source) -> bool:
    for number in count():
        piece = pread(source, _PIECE, number * _PIECE)
        if not piece:
            return True
        if piece.strip(b"\0"):
            return False
    return False


def describe_content(content: FileContent) -> str:
    """Describe in a phrase what a file holds: the number of keys and commands, and any damage."""
    if content.kind == "empty":
        return "empty"
    if content.kind == "nuls":
        return "only NUL bytes, no data"
    if content.kind == "unread":
        return "not read because of its size"
    if content.kind == "unknown":
        return "neither an RDB nor commands"
    counted = [text.format_count(content.keys, "key")] if content.preamble else []
    counted += [text.format_count(content.commands, "command")] if content.commands or not content.preamble else []
    what = ("RDB with " if content.preamble else "") + " and ".join(counted)
    if content.damage is None:
        return what
    return f"{what} before and around damage ({describe_damage(content)})"


def describe_damage(content: FileContent) -> str:
    """Describe in a phrase the first damage of a file; the file must be damaged."""
    damage = content.damage
    assert damage is not None
    if damage.kind is DamageKind.TRUNCATED_PREAMBLE:
        return "an RDB that ends inside a record"
    if damage.kind is DamageKind.CORRUPT_PREAMBLE:
        return f"the RDB is damaged: {damage.note}"
    return f"{DAMAGE_MEANINGS[damage.kind]} at {text.format_offset(damage.span.start)}"


def part_content(part: AofPart, limit: int) -> FileContent:
    """Read a file of an AOF, if it has at most `limit` bytes, and return what is in it; a missing file is empty."""
    return read_content(part.source, limit) if part.source is not None else FileContent("empty", 0)
