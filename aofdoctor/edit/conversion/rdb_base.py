"""Replace the RDB at the start of an AOF file with equivalent commands, or with an RDB of another version."""

from collections.abc import Generator
from dataclasses import dataclass

from aofdoctor import text
from aofdoctor.aof.records import Preamble
from aofdoctor.errors import RefusedEdit
from aofdoctor.rdb.capabilities import Capabilities
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.conversion import ConversionReport
from aofdoctor.rdb.encoding.cursor import CorruptValue, DecodeError
from aofdoctor.rdb.export.command_args import Unsupported
from aofdoctor.rdb.export.resp_exporter import RespExporter
from aofdoctor.rdb.rewrite.rewriter import TargetFormat, rewrite_rdb
from aofdoctor.server.expiry_arguments import shift_expiry
from aofdoctor.source import Source


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """What the user asked for; "" and 0 mean no change.

    `base` is resp or rdb, `layout` is single or multi-part.  `server_version` is the version that loads the commands
    of a resp base.  Every absolute expiry is shifted by `shift_ms` milliseconds.  `duplicates` is first or last: which
    value of a key is kept that occurs more than once.  `keep_modules`: an RDB of another version keeps module data.
    """

    base: str = ""
    rdb_version: int = 0
    layout: str = ""
    server_version: str = ""
    shift_ms: int = 0
    duplicates: str = ""
    keep_modules: bool = False


def head_pieces(
    source: Source,
    rdb: Preamble,
    request: ConversionRequest,
    capabilities: Capabilities | None,
    report: ConversionReport,
    name: str,
) -> Generator[bytes, None, int]:
    """Generate the bytes that replace an RDB, and return the database that is selected after them.

    With `capabilities` the bytes are commands for that server version, otherwise another RDB. Raises RefusedEdit at
    damage, with the name of the file in the message.
    """
    try:
        inner = decompressed(source)
        if capabilities is not None:
            return (yield from _commands(inner, request, capabilities, report, name))
        target_format = (
            TargetFormat.from_version(request.rdb_version, request.shift_ms, request.keep_modules)
            if request.rdb_version
            else TargetFormat(rdb.dialect, rdb.version, request.shift_ms)
        )
        for piece in rewrite_rdb(inner, target_format, report):
            yield _require_bytes(piece, name)
    except DecodeError as problem:  # A large string is decoded only when it is written.
        _require_bytes(CorruptValue(problem.offset, problem.note), name)
    return 0


def _commands(
    source: Source, request: ConversionRequest, capabilities: Capabilities, report: ConversionReport, name: str
) -> Generator[bytes, None, int]:
    shift_ms = request.shift_ms
    exporter = RespExporter(source, capabilities, report, shift_ms, lambda command: shift_expiry(command, shift_ms))
    for piece in exporter:
        yield _require_bytes(piece, name)
    return exporter.db


def _require_bytes(piece: bytes | CorruptValue | Unsupported, name: str) -> bytes:
    if isinstance(piece, bytes):
        return piece
    assert isinstance(piece, CorruptValue)
    raise RefusedEdit(
        f"the RDB of {name} cannot be read at {text.format_offset(piece.offset)}: {piece.note}",
        "aofdoctor repair --salvage keeps the keys that are whole; do that first",
    )
