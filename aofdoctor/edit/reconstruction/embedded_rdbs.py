"""Make a misplaced RDB readable: as the base of its file, or as commands in the middle of the file.

An RDB behind the header of a replication transfer becomes the base, once the header is left out. An RDB among the
commands becomes commands with the same keys. If the beginning of the RDB was lost, a magic is put before the first key
that can be read.
"""

from aofdoctor import text
from aofdoctor.aof.patched_source import PatchPiece, Replacement
from aofdoctor.aof.recovery.embedded_rdb import RdbSearchBudget, SourceSlice, find_leading_rdb, walk_embedded_rdb
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.edit.reconstruction.damaged_rdbs import begins_rdb, find_leading_damaged_rdb, readable_rdb
from aofdoctor.rdb.conversion import ConversionReport
from aofdoctor.rdb.encoding.cursor import CorruptValue, DecodeError
from aofdoctor.rdb.export.command_args import Unsupported
from aofdoctor.rdb.export.exporter import export_commands
from aofdoctor.rdb.export.resp import encode_commands
from aofdoctor.rdb.header import dialect_of
from aofdoctor.rdb.items import RdbInfo
from aofdoctor.rdb.preamble import walk_rdb
from aofdoctor.rdb.recovery.lost_head import begins_with_aux, lost_head
from aofdoctor.resp import encode_command
from aofdoctor.server.versions import VERSIONS, newest_version, rdb_writer
from aofdoctor.source import BytesSource, FileSource, Source, pread
from aofdoctor.span import Span

LEADING_REASON = "bytes before an RDB"
AS_COMMANDS_REASON = "an RDB among the commands: it becomes commands"
HEAD_REASON = "the lost beginning of an RDB"
RDB_MAX = 256 << 20  # bytes of an RDB among the commands that becomes commands, which are held in memory
_SELECT_0 = encode_command([b"SELECT", b"0"])
_COLLECTIONS = frozenset({b"RPUSH", b"SADD", b"ZADD", b"HMSET", b"HSET", b"XADD", b"XGROUP", b"XSETID"})


def move_embedded_rdb(source: FileSource, damage: Damage) -> list[PatchPiece] | None:
    """Restore a misplaced RDB, one with bytes before it, or one without its beginning, as pieces of a patched file.

    None if the damage is none of these.
    """
    if damage.kind is DamageKind.SECOND_AOF:
        return _as_commands(source, damage) or _damaged_as_commands(source, damage.span)
    if damage.span.start:
        return _damaged_as_commands(source, damage.span) if begins_rdb(source, damage.span.start) else None
    start = find_leading_rdb(source, RdbSearchBudget())
    if start is not None:
        rdb = walk_embedded_rdb(source, start, RdbSearchBudget())
        assert rdb is not None
        left_out = PatchPiece(Span(0, start), 0, Replacement(b""), LEADING_REASON)
        return [left_out, PatchPiece(Span(start, rdb.end), rdb.end - start)]
    if (start := find_leading_damaged_rdb(source)) is not None:
        return [PatchPiece(Span(0, start), 0, Replacement(b""), LEADING_REASON)]
    head = lost_head(source) if _may_have_lost_head(source, damage) else None
    if head is None:
        return None
    return [
        PatchPiece(Span(0, head.keys_start), len(head.magic), Replacement(head.magic), HEAD_REASON),
        PatchPiece(Span(head.keys_start, source.size), source.size - head.keys_start),
    ]


def _may_have_lost_head(source: FileSource, damage: Damage) -> bool:
    """Whether a file can be an RDB that lost its beginning, because it cannot be a damaged AOF.

    Such a file has no commands, or begins with NUL bytes or an AUX field.
    """
    if pread(source, 1, 0) in (b"*", b"$", b"#"):
        return False
    return damage.span.end == source.size or pread(source, 1, 0) == b"\0" or begins_with_aux(source) is not None


def _as_commands(source: FileSource, damage: Damage) -> list[PatchPiece] | None:
    rdb = walk_embedded_rdb(source, damage.span.start, RdbSearchBudget())
    if rdb is None or rdb.checksum == "bad" or rdb.end - damage.span.start > RDB_MAX:
        return None
    data = _commands(SourceSlice(source, damage.span.start), rdb)
    if data is None:
        return None
    return [PatchPiece(Span(damage.span.start, rdb.end), len(data), Replacement(data), AS_COMMANDS_REASON)]


def _damaged_as_commands(source: FileSource, span: Span) -> list[PatchPiece] | None:
    """The keys of a damaged RDB among the commands that can be read, as commands; None if none can."""
    if span.size > RDB_MAX or source.first_unreadable(span):
        return None
    salvaged = readable_rdb(source, span)
    if salvaged is None:
        return None
    rdb, keys = salvaged
    data = _commands(BytesSource(rdb), walk_rdb(BytesSource(rdb)))
    verb = "becomes" if keys == 1 else "become"
    reason = f"a damaged RDB among the commands: {text.format_count(keys, 'readable key')} {verb} commands"
    return [PatchPiece(span, len(data), Replacement(data), reason)] if data else None


def _commands(source: Source, rdb: RdbInfo) -> bytes | None:
    """The commands that make the keys of an RDB, for the database 0 afterwards; None if a value cannot be decoded."""
    version = rdb_writer(rdb.aux)[1] or newest_version(dialect_of(rdb.magic))
    report, out, last, selected = ConversionReport(), [_SELECT_0], b"", False
    try:
        commands = export_commands(source, VERSIONS[version].capabilities, report)
        for command in commands:
            if isinstance(command, CorruptValue):
                return None
            if isinstance(command, Unsupported):
                continue
            selected = selected or command[0] == b"SELECT"
            key = command[1] if len(command) > 1 and isinstance(command[1], bytes) else b""
            if command[0] in _COLLECTIONS and key != last:
                out.append(encode_command([b"DEL", key]))  # The key may be there already: it must not be merged.
            last = key if command[0] in _COLLECTIONS else b""
            out += [piece for piece in encode_commands([command]) if isinstance(piece, bytes)]
    except DecodeError:
        return None
    return b"".join([*out, _SELECT_0] if selected else out)  # The commands that follow expect database 0.
