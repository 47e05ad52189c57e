"""Plan a conversion: decide which files the output has, and which bytes are copied or generated for each.

Each file of an AOF has a head, the RDB that it begins with, and a rest of commands. A head is copied, or becomes
commands or an RDB of another version; a rest is copied, or its expiries are shifted. In the end several files become
one, or one file becomes a base file and an incremental file.
"""

from collections.abc import Callable, Iterator
from functools import partial

from aofdoctor import text
from aofdoctor.aof.manifest import ManifestEntry, changed_entry_line, encode_name
from aofdoctor.aof.model import AOF
from aofdoctor.edit.conversion.conversion import Conversion
from aofdoctor.edit.conversion.duplicate_keys import describe_resolved, resolve_duplicates
from aofdoctor.edit.conversion.output_file import CopiedSpan, OutputFile, OutputPiece
from aofdoctor.edit.conversion.part_summary import PartSummary, summarize_part
from aofdoctor.edit.conversion.rdb_base import ConversionRequest, head_pieces
from aofdoctor.edit.conversion.shift_expiries import shift_expiries
from aofdoctor.edit.output.attributes import attributes_of_part
from aofdoctor.edit.preconditions import require_complete_set
from aofdoctor.errors import RefusedEdit
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.keydb_aux import has_member_expiries, member_expiries
from aofdoctor.server.versions import VERSIONS, newest_version, rdb_writer
from aofdoctor.source import Source

_NAMED_MAX = 20  # member expiries that are listed by name
SELECT_0 = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"


def plan_conversion(aof: AOF, request: ConversionRequest, lossy: bool = False) -> Conversion:
    """Read every file of an AOF once, and plan its conversion.

    Raises RefusedEdit at damage, or if the request cannot be done.
    """
    require_complete_set(aof)
    summaries = [summarize_part(aof, part) for part in aof.parts]
    conversion = Conversion(aof, request, summaries, lossy)
    _require_applicable(conversion)
    has_rdb = any(summary.rdb for summary in summaries)
    if request.base == "resp" and (has_rdb or request.server_version):
        conversion.server_version = _server_version(request, summaries)
    if request.base == "resp":
        title = VERSIONS[conversion.server_version].title if has_rdb else ""
        conversion.notes.append(f"the base becomes commands for {title}" if has_rdb else "the base is commands already")
    if request.layout and not conversion.changes_layout:
        kind = "one file" if request.layout == "single" else "a multi part AOF"
        conversion.notes.append(f"{text.display_path(aof.path)} is {kind} already")
    _read_rdbs(conversion)
    _LAYOUTS[request.layout if conversion.changes_layout else ""](conversion)
    return conversion


def _read_rdbs(conversion: Conversion) -> None:
    """Resolve duplicate keys in every RDB of the source, and add notes about expiries of members that are lost."""
    request = conversion.request
    for i, (part, summary) in enumerate(zip(conversion.aof.parts, conversion.summaries, strict=True)):
        if not summary.rdb:
            continue
        source = AOF.require_file(part)
        resolved = resolve_duplicates(source, summary.rdb, request.duplicates, text.display_path(part.name))
        if resolved.duplicates:
            conversion.resolved_rdbs[i] = resolved
            conversion.notes += describe_resolved(resolved.duplicates, request.duplicates)
        if (request.base or request.shift_ms or resolved.duplicates) and has_member_expiries(summary.rdb.aux):
            conversion.notes += _member_expiry_notes(source)


def _member_expiry_notes(source: Source) -> list[str]:
    """Notes about expiries of set or hash members, which only KeyDB has; the first few are named."""
    notes, more = list[str](), 0
    for expiry in member_expiries(decompressed(source)):
        if len(notes) < _NAMED_MAX:
            notes.append(
                f"left out: the expiry of member {text.quote(expiry.member[:80])} of key "
                f"{text.quote(expiry.key[:80])}, db {expiry.db} ({text.escape(expiry.when[:20])} ms): only KeyDB has it"
            )
        else:
            more += 1
    return [*notes, f"left out: the expiries of {more:,} more members"] if more else notes


def _require_applicable(conversion: Conversion) -> None:
    aof, request = conversion.aof, conversion.request
    name = text.display_path(aof.path)
    if request.base == "rdb" and not any(summary.rdb for summary in conversion.summaries):
        raise RefusedEdit(
            f"{name} has no RDB: its base is commands",
            "only a server makes an RDB of commands: load the AOF, and send BGREWRITEAOF",
        )


def _server_version(request: ConversionRequest, summaries: list[PartSummary]) -> str:
    """The server version for which commands are generated.

    It is the requested version, else that of the RDB's writer, else the oldest version that reads the RDB.
    """
    if request.server_version:
        return request.server_version
    rdb = next(summary.rdb for summary in summaries if summary.rdb)
    found = rdb_writer(rdb.aux)[1]
    reads = (name for name, line in VERSIONS.items() if line.newest_rdb(rdb.dialect) >= rdb.version)
    return found or next(reads, newest_version(rdb.dialect))


# -- layouts --


def _keep_layout(conversion: Conversion) -> None:
    aof = conversion.aof
    conversion.files = [
        OutputFile(_name(conversion, i), attributes_of_part(part), partial(_head, conversion, i), rest)
        for i, part in enumerate(aof.parts) for rest in [partial(_rest, conversion, i)]
    ]  # fmt: skip
    if aof.layout == "multi-part":
        assert aof.manifest is not None
        assert aof.manifest_path is not None
        lines = [_manifest_line(conversion, i, entry) for i, entry in enumerate(aof.manifest.load_order)]
        conversion.manifest_lines = aof.manifest_path.name, b"".join(lines)


def _to_single_file(conversion: Conversion) -> None:
    aof = conversion.aof
    if any(summary.rdb for summary in conversion.summaries[1:]):
        raise RefusedEdit("an incremental file begins with an RDB, which cannot stand in the middle of a file")
    conversion.inserted_commands = len(aof.parts) - 1

    def rest() -> Iterator[OutputPiece]:
        yield from _rest(conversion, 0)
        for i in range(1, len(aof.parts)):
            yield SELECT_0
            yield from _rest(conversion, i)

    conversion.files = [OutputFile("", attributes_of_part(aof.parts[0]), partial(_head, conversion, 0), rest)]


def _to_multi_part(conversion: Conversion) -> None:
    """Plan to make a single file the base of a multi-part AOF, and add an empty incremental file.

    A server does the same when it is upgraded (aof.c, 7.0).
    """
    part, summary = conversion.aof.parts[0], conversion.summaries[0]
    prefix = part.name if part.name.endswith(".aof") and part.type == "single" else "appendonly.aof"
    is_rdb_only = summary.rdb and not summary.tail.size and conversion.request.base != "resp"
    base, incr = f"{prefix}.1.base.{'rdb' if is_rdb_only else 'aof'}", f"{prefix}.1.incr.aof"
    attributes = attributes_of_part(part)
    conversion.files = [
        OutputFile(base, attributes, partial(_head, conversion, 0), partial(_rest, conversion, 0)),
        OutputFile(incr, attributes, lambda: iter(()), lambda: iter(())),
    ]
    names = (base, b"b"), (incr, b"i")
    lines = [b"file %b seq 1 type %b\n" % (encode_name(name.encode("utf-8", "surrogateescape")), kind)
             for name, kind in names]  # fmt: skip
    conversion.manifest_lines = f"{prefix}.manifest", b"".join(lines)


_LAYOUTS: dict[str, Callable[[Conversion], None]] = {
    "": _keep_layout,
    "single": _to_single_file,
    "multi-part": _to_multi_part,
}


# -- one file --


def _name(conversion: Conversion, i: int) -> str:
    """The output name of file `i` (in load order): a base that becomes commands gets the suffix .aof, not .rdb."""
    name = conversion.aof.parts[i].name
    if conversion.request.base == "resp" and conversion.summaries[i].rdb and name.endswith(".base.rdb"):
        return name.removesuffix(".rdb") + ".aof"
    return name


def _manifest_line(conversion: Conversion, i: int, entry: ManifestEntry) -> bytes:
    """The manifest line of file `i` (in load order): the source's own line, or a changed one if its bytes change."""
    name, summary = _name(conversion, i).encode("utf-8", "surrogateescape"), conversion.summaries[i]
    is_changed = (
        conversion.request.shift_ms
        or i in conversion.resolved_rdbs
        or (conversion.without_annotations and summary.annotations)
    )
    if not is_changed and not (conversion.request.base and summary.rdb):
        return entry.raw
    return changed_entry_line(entry, name)


def _head(conversion: Conversion, i: int) -> Iterator[OutputPiece]:
    """The bytes that replace the RDB at the start of file `i` (in load order); none if it begins with commands."""
    part, summary, request = conversion.aof.parts[i], conversion.summaries[i], conversion.request
    if not summary.rdb:
        return
    source = AOF.require_file(part)
    resolved = conversion.resolved_rdbs.get(i)
    if not request.base and not request.shift_ms and not resolved:
        yield CopiedSpan(source, summary.rdb.span)
        return
    rdb_source = resolved.source if resolved else source
    target = VERSIONS[conversion.server_version].capabilities if conversion.server_version else None
    name = text.display_path(part.name)
    db = yield from head_pieces(rdb_source, summary.rdb, request, target, conversion.report, name)
    if db and summary.tail.size:
        yield SELECT_0


def _rest(conversion: Conversion, i: int) -> Iterator[OutputPiece]:
    """The bytes of the commands of file `i` (in load order), after its RDB, copied or with shifted expiries."""
    part, summary = conversion.aof.parts[i], conversion.summaries[i]
    source = AOF.require_file(part)
    if not summary.tail.size:
        return
    without_annotations = bool(summary.annotations) and conversion.without_annotations
    if conversion.request.shift_ms or without_annotations:
        yield from shift_expiries(
            source, summary.tail.start, conversion.request.shift_ms, conversion.report, without_annotations
        )
    else:
        yield CopiedSpan(source, summary.tail)
