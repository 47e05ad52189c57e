"""Taking flushes back where they stand: each is overwritten by a PING of the same size.

The one edit that writes on the evidence.  It needs no room and no copy, and can
be undone: a receipt with the old bytes is on disk before the first byte
changes.  A PING loads everywhere, inside MULTI too (tried on 16 servers, Redis
2.6 to 8.0 and Valkey 7.2 to 9.1).
"""

import base64
import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aofdoctor
from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import WINDOW, read_batches
from aofdoctor.edit.output.durable import json_bytes, write_all_at, write_durably
from aofdoctor.edit.output.fingerprint import fingerprint_fd, neighbourhood_sha256, neighbouring_edits
from aofdoctor.edit.output.in_use import exclusive_fd, require_no_rewrite
from aofdoctor.edit.plan import Plan
from aofdoctor.errors import RefusedEdit, SourceChanged
from aofdoctor.server.command_table import command_table
from aofdoctor.source import FileSource
from aofdoctor.span import Span

OVERWRITES_MAX = 100_000  # edits that one receipt holds


@dataclass(frozen=True, slots=True)
class Overwrite:
    """Bytes at one place that change into as many others."""

    start: int
    old: bytes
    new: bytes

    @property
    def span(self) -> Span:
        """The bytes that change."""
        return Span(self.start, self.start + len(self.old))


@dataclass(frozen=True, slots=True)
class FileOverwrites:
    """One file, as it was when it was read, and what changes in it."""

    path: Path
    edits: tuple[Overwrite, ...]
    status: os.stat_result


def ping_of_size(size: int) -> bytes:
    """A record of exactly `size` bytes that does nothing on any server: PING, padded with zeros or an argument."""
    digits = size - len(b"*1\r\n$\r\nPING\r\n")
    if 1 <= digits <= 18:
        return b"*1\r\n$%b\r\nPING\r\n" % b"4".rjust(digits, b"0")
    room = size - len(b"*2\r\n$4\r\nPING\r\n$\r\n\r\n")
    for digits in range(1, 19):
        length = b"%d" % (room - digits)
        if room > digits and len(length) <= digits:
            return b"*2\r\n$4\r\nPING\r\n$%b\r\n%b\r\n" % (length.rjust(digits, b"0"), b" " * (room - digits))
    raise RefusedEdit(f"a record of {size} bytes cannot be overwritten by one that does nothing")


def plan_overwrites(plan: Plan) -> list[FileOverwrites]:
    """The flushes of a plan, file by file; MULTI and EXEC around them stay."""
    edits: dict[Path, dict[int, Overwrite]] = {}  # a part that is listed twice is one file
    statuses: dict[Path, os.stat_result] = {}
    count = 0
    for drop in plan.drops():
        if drop.reason != "flush":
            continue
        if drop.span.start >= plan.remaining_damage.get(drop.part, drop.span.end):
            raise RefusedEdit(
                f"the flush at {drop.span.start} stands after damage: that it is a command, and no piece of a value, "
                "is a guess",
                "strip it into a copy with -o, and verify that",
            )
        source = _file(plan.aof, drop.part)
        path = Path(os.path.realpath(source.path))
        statuses[path] = source.stat
        found = overwrites_in_span(source, drop.span)
        count += len(found)
        if count > OVERWRITES_MAX:
            raise RefusedEdit(f"more than {OVERWRITES_MAX:,} flushes", "strip them into a copy with -o")
        edits.setdefault(path, {}).update((edit.start, edit) for edit in found)
    return [
        FileOverwrites(path, tuple(found[at] for at in sorted(found)), statuses[path]) for path, found in edits.items()
    ]


def overwrites_in_span(source: FileSource, span: Span) -> list[Overwrite]:
    """One for each record of a span of whole records."""
    found: list[Overwrite] = []
    for batch in read_batches(source, command_table().names, span.start, window=min(WINDOW, span.size + 64)):
        for i in range(batch.count):
            record = batch.record_span(i)
            if record.start >= span.end:
                return found
            found.append(Overwrite(record.start, bytes(batch.raw(i)), ping_of_size(record.size)))
    return found


def _file(aof: AOF, part: int) -> FileSource:
    source = aof.parts[part].source
    if not isinstance(source, FileSource):
        raise RefusedEdit("only files can be edited, not a pipe", "save it to a file first")
    return source


def overwrite(
    files: Sequence[FileOverwrites], force: bool, trusted_tail: bool, receipt_path: Path | None = None
) -> Path:
    """Change the files; the path of the receipt, which `undo` takes back.

    The receipt stands beside the first file, or at `place`.  Our own descriptors
    must be closed: a file that anybody has open, or that is not what was read,
    is refused, unless `force`.
    """
    if not force:
        for folder in {folder for target in files for folder in (target.path.parent, target.path.parent.parent)}:
            require_no_rewrite(folder)
    receipt = receipt_path or _receipt_path(files[0].path)
    with ExitStack() as stack:
        held = [(target, stack.enter_context(exclusive_fd(target.path, force))) for target in files]
        for target, fd in held:
            _require_unchanged(target, os.fstat(fd), force)
        entries = [_entry(target, fd) for target, fd in held]
        _write_receipt(receipt, json_bytes(_receipt(entries, trusted_tail)))
        try:
            for target, fd in held:
                write_and_verify(fd, target.path, [(edit.start, edit.new) for edit in target.edits])
        except BaseException as problem:
            problem.add_note(f"it may be half done: aofdoctor undo {text.shell_quote(str(receipt))} takes it back")
            raise
    return receipt


def _require_unchanged(target: FileOverwrites, now: os.stat_result, force: bool) -> None:
    """The file is the one that was read; under `force` it may have grown since."""
    then = target.status
    if now.st_nlink > 1 and not force:
        raise RefusedEdit(
            f"{text.display_path(str(target.path))} has {now.st_nlink} names (hard links, as of a backup), and an overwrite "
            "would change what stands under each",
            "strip it into a copy with -o, or remove the other name (what undo has left, it may be)",
        )
    same = (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino)
    still = (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)
    if not same or not (still or force):
        raise SourceChanged(
            f"{text.display_path(str(target.path))} is not what it was when it was read", "run the command again"
        )


def _write_receipt(receipt: Path, data: bytes) -> None:
    try:
        write_durably(receipt, data)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            problem.add_note("nothing was changed; --receipt FILE keeps the old bytes on another file system")
        raise


def write_and_verify(fd: int, path: Path, pieces: Sequence[tuple[int, bytes]]) -> None:
    """Write pieces over a file, make them durable, and read them back."""
    for start, data in pieces:
        write_all_at(fd, data, start)
    os.fsync(fd)
    for start, data in pieces:
        if os.pread(fd, len(data), start) != data:
            raise SourceChanged(f"{path} did not keep what was written at {start}", "the receipt holds the old bytes")


def _entry(target: FileOverwrites, fd: int) -> dict[str, Any]:
    for edit in target.edits:
        if os.pread(fd, len(edit.old), edit.start) != edit.old:
            raise SourceChanged(f"{target.path} has changed at {edit.start} since it was read")
    spans, size = [edit.span for edit in target.edits], os.fstat(fd).st_size
    edits = [
        {
            "start": edit.start, "reason": "flush",
            "old": base64.b64encode(edit.old).decode(), "new": base64.b64encode(edit.new).decode(),
            "around": neighbourhood_sha256(fd, edit.span, neighbouring_edits(spans, n), size),
        }
        for n, edit in enumerate(target.edits)
    ]  # fmt: skip
    return {"file": fingerprint_fd(fd, target.path).as_json(), "edits": edits}


def _receipt(entries: list[dict[str, Any]], trusted_tail: bool) -> dict[str, Any]:
    return {
        "aofdoctor": aofdoctor.__version__, "verb": "strip", "kind": "in-place",
        "written": datetime.now(UTC).isoformat(timespec="seconds"), "trusted_tail": trusted_tail, "files": entries,
    }  # fmt: skip


def _receipt_path(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(100):
        candidate = path.with_name(f"{path.name}.{stamp}{f'-{number}' if number else ''}.receipt.json")
        if not os.path.lexists(candidate):
            return candidate
    raise RefusedEdit(f"too many receipts beside {path}")
