"""A conversion: which files it makes, and of which bytes.

Each part is a head, the RDB that it begins with, and a rest of commands.  A
head becomes commands, or an RDB of another version; a rest is copied, or its
expiries are moved; and the parts become one file, or one file becomes a set.
It makes new bytes, so it is no Plan of drops; but what is lost is named.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aofdoctor import text
from aofdoctor.aof.manifest import ManifestEntry, changed_entry_line, encode_name
from aofdoctor.aof.model import AOF
from aofdoctor.edit.conversion.output_file import CopiedSpan, OutputFile, OutputPiece
from aofdoctor.edit.conversion.part_summary import PartSummary, summarize_part
from aofdoctor.edit.conversion.rdb_base import ConversionRequest, head_pieces
from aofdoctor.edit.conversion.shift_expiries import shift_expiries
from aofdoctor.edit.planners.repair import require_complete_set
from aofdoctor.errors import RefusedEdit
from aofdoctor.rdb.conversion import ConversionReport
from aofdoctor.server.versions import VERSIONS, newest_version, rdb_writer

SELECT_0 = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
_ANNOTATIONS_RDB_VERSION = 10  # the RDB version of 7.0


@dataclass(slots=True)
class Conversion:
    """What is to be made: `files`, and of a set the manifest's name and lines.

    `line` is the server line whose commands a base becomes.  `tally`, and the
    bytes that were `made`, grow while it is made; `inserted` are the commands put
    between parts.  With `lossy` what cannot be said is left out, else it is
    refused.  `recipe` is what was asked for, by which it can be made again.
    """

    aof: AOF
    request: ConversionRequest
    summaries: list[PartSummary]
    lossy: bool = False
    recipe: dict[str, Any] = field(default_factory=dict)
    files: list[OutputFile] = field(default_factory=list)
    manifest: tuple[str, bytes] | None = None
    report: ConversionReport = field(default_factory=ConversionReport)
    server_version: str = ""
    notes: list[str] = field(default_factory=list)
    inserted_commands: int = 0
    output_size: int = 0

    @property
    def size(self) -> int:
        """The bytes of all parts before it."""
        return sum(part.size or 0 for part in self.aof.existing_parts)

    @property
    def commands(self) -> int:
        """The commands of all parts before it."""
        return sum(extent.commands for extent in self.summaries)

    @property
    def without_annotations(self) -> bool:
        """True if it is for servers that read no annotations: those before 7.0."""
        if self.server_version:
            return not VERSIONS[self.server_version].skips_annotations
        return 0 < self.request.rdb_version < _ANNOTATIONS_RDB_VERSION

    def reset_counts(self) -> None:
        """Count from nothing: it is about to be made."""
        self.report, self.output_size = ConversionReport(), 0


def plan_conversion(aof: AOF, request: ConversionRequest, lossy: bool = False) -> Conversion:
    """Look through every part, and say what will become of it; Refused where that cannot be done."""
    require_complete_set(aof)
    summaries = [summarize_part(aof, part) for part in aof.parts]
    conversion = Conversion(aof, request, summaries, lossy)
    _require_applicable(conversion)
    if request.base == "resp":
        conversion.server_version = _server_version(request, summaries)
        conversion.notes.append(f"the base becomes commands for {VERSIONS[conversion.server_version].title}")
    _LAYOUTS[request.layout](conversion)
    return conversion


def _require_applicable(conversion: Conversion) -> None:
    aof, request = conversion.aof, conversion.request
    name = text.display_path(aof.path)
    if request.base and not any(extent.rdb for extent in conversion.summaries):
        raise RefusedEdit(
            f"no RDB stands at the head of a part of {name}: the base is commands already",
            "only a server makes an RDB of commands: load it, and BGREWRITEAOF",
        )
    if request.layout == "single" and aof.layout != "multi-part":
        raise RefusedEdit(f"{name} is one file already")
    if request.layout == "multi-part" and aof.layout == "multi-part":
        raise RefusedEdit(f"{name} is a multi part AOF already")


def _server_version(request: ConversionRequest, summaries: list[PartSummary]) -> str:
    """The line that is asked for; else the one that wrote the RDB, or the oldest that reads it."""
    if request.server_version:
        return request.server_version
    rdb = next(extent.rdb for extent in summaries if extent.rdb)
    found = rdb_writer(rdb.aux)[1]
    reads = (name for name, line in VERSIONS.items() if line.newest_rdb(rdb.dialect) >= rdb.version)
    return found or next(reads, newest_version(rdb.dialect))


# -- layouts --


def _keep_layout(conversion: Conversion) -> None:
    aof = conversion.aof
    conversion.files = [
        OutputFile(_name(conversion, i), AOF.require_file(part).stat, partial(_head, conversion, i), rest)
        for i, part in enumerate(aof.parts) for rest in [partial(_rest, conversion, i)]
    ]  # fmt: skip
    if aof.layout == "multi-part":
        assert aof.manifest is not None
        assert aof.manifest_path is not None
        lines = [_manifest_line(conversion, i, entry) for i, entry in enumerate(aof.manifest.load_order)]
        conversion.manifest = aof.manifest_path.name, b"".join(lines)


def _to_single_file(conversion: Conversion) -> None:
    aof = conversion.aof
    if any(extent.rdb for extent in conversion.summaries[1:]):
        raise RefusedEdit("an incremental file begins with an RDB, which cannot stand in the middle of a file")
    conversion.inserted_commands = len(aof.parts) - 1

    def rest() -> Iterator[OutputPiece]:
        yield from _rest(conversion, 0)
        for i in range(1, len(aof.parts)):
            yield SELECT_0
            yield from _rest(conversion, i)

    conversion.files = [OutputFile("", AOF.require_file(aof.parts[0]).stat, partial(_head, conversion, 0), rest)]


def _to_multi_part(conversion: Conversion) -> None:
    """The whole file as the base, as a server does when it is upgraded (aof.c, 7.0), and an empty incremental file."""
    part, extent = conversion.aof.parts[0], conversion.summaries[0]
    prefix = part.name if part.name.endswith(".aof") and part.type == "single" else "appendonly.aof"
    pure = extent.rdb and not extent.tail.size and conversion.request.base != "resp"
    base, incr = f"{prefix}.1.base.{'rdb' if pure else 'aof'}", f"{prefix}.1.incr.aof"
    status = AOF.require_file(part).stat
    conversion.files = [
        OutputFile(base, status, partial(_head, conversion, 0), partial(_rest, conversion, 0)),
        OutputFile(incr, status, lambda: iter(()), lambda: iter(())),
    ]
    names = (base, b"b"), (incr, b"i")
    lines = [b"file %b seq 1 type %b\n" % (encode_name(name.encode("utf-8", "surrogateescape")), kind)
             for name, kind in names]  # fmt: skip
    conversion.manifest = f"{prefix}.manifest", b"".join(lines)


_LAYOUTS: dict[str, Callable[[Conversion], None]] = {
    "": _keep_layout,
    "single": _to_single_file,
    "multi-part": _to_multi_part,
}


# -- one part --


def _name(conversion: Conversion, i: int) -> str:
    """A part's name in the copy: a base that turns into commands is no .rdb any more."""
    name = conversion.aof.parts[i].name
    if conversion.request.base == "resp" and conversion.summaries[i].rdb and name.endswith(".base.rdb"):
        return name.removesuffix(".rdb") + ".aof"
    return name


def _manifest_line(conversion: Conversion, i: int, entry: ManifestEntry) -> bytes:
    """The source's own line, or that of a part that changes."""
    name, extent = _name(conversion, i).encode("utf-8", "surrogateescape"), conversion.summaries[i]
    moves = conversion.request.shift_ms or (conversion.without_annotations and extent.annotations)
    if not moves and not (conversion.request.base and extent.rdb):
        return entry.raw
    return changed_entry_line(entry, name)


def _head(conversion: Conversion, i: int) -> Iterator[OutputPiece]:
    """What takes the place of the RDB that a part begins with."""
    part, extent, wanted = conversion.aof.parts[i], conversion.summaries[i], conversion.request
    if not extent.rdb:
        return
    source = AOF.require_file(part)
    if not wanted.base and not wanted.shift_ms:
        yield CopiedSpan(source, extent.rdb.span)
        return
    target = VERSIONS[conversion.server_version].capabilities if conversion.server_version else None
    db = yield from head_pieces(source, extent.rdb, wanted, target, conversion.report, text.display_path(part.name))
    if db and extent.tail.size:
        yield SELECT_0


def _rest(conversion: Conversion, i: int) -> Iterator[OutputPiece]:
    """The commands of a part."""
    part, extent = conversion.aof.parts[i], conversion.summaries[i]
    source = AOF.require_file(part)
    if not extent.tail.size:
        return
    bare = bool(extent.annotations) and conversion.without_annotations
    if conversion.request.shift_ms or bare:
        yield from shift_expiries(source, extent.tail.start, conversion.request.shift_ms, conversion.report, bare)
    else:
        yield CopiedSpan(source, extent.tail)
