"""Edit an AOF in place by overwriting: each flush command is replaced by a PING of the same size.

This is the only edit that changes the source files. It needs no disk space for a copy, and can be undone: a receipt
with the old bytes is on disk before the first byte changes. A PING loads on every server, inside MULTI too (tested on
16 servers, Redis 2.6 to 8.0 and Valkey 7.2 to 9.1).
"""

import base64
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aofdoctor
from aofdoctor import text
from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import WINDOW, read_batches
from aofdoctor.edit.drops import Drop
from aofdoctor.edit.output.durable import json_bytes, timestamped_path, write_all_at, write_durably
from aofdoctor.edit.output.fingerprint import (
    fingerprint_fd,
    has_same_content,
    is_same_file,
    neighbourhood_sha256,
    neighbouring_edits,
)
from aofdoctor.edit.output.in_use import exclusive_fds, require_no_rewrite
from aofdoctor.errors import RefusedEdit, SourceChanged
from aofdoctor.server.command_table import command_table
from aofdoctor.source import BytesSource, FileSource
from aofdoctor.span import Span

OVERWRITES_MAX = 100_000  # edits that one receipt holds


@dataclass(frozen=True, slots=True)
class Overwrite:
    """Old bytes at a file offset and the new bytes of the same size that replace them."""

    start: int
    old: bytes
    new: bytes

    @property
    def span(self) -> Span:
        """The byte range of the file that this overwrite changes."""
        return Span(self.start, self.start + len(self.old))


@dataclass(frozen=True, slots=True)
class FileOverwrites:
    """All overwrites of one file, and the file's status at the time when it was read."""

    path: Path
    edits: tuple[Overwrite, ...]
    status: os.stat_result


def ping_of_size(size: int) -> bytes:
    """Encode a PING command in exactly `size` bytes.

    It is padded with leading zeros in a length, or with an argument of spaces.
    """
    digits = size - len(b"*1\r\n$\r\nPING\r\n")
    if 1 <= digits <= 18:
        return b"*1\r\n$%b\r\nPING\r\n" % b"4".rjust(digits, b"0")
    room = size - len(b"*2\r\n$4\r\nPING\r\n$\r\n\r\n")
    for digits in range(1, 19):
        length = b"%d" % (room - digits)
        if room > digits and len(length) <= digits:
            return b"*2\r\n$4\r\nPING\r\n$%b\r\n%b\r\n" % (length.rjust(digits, b"0"), b" " * (room - digits))
    raise RefusedEdit(f"a record of {size} bytes cannot be overwritten by one that does nothing")


def plan_overwrites(aof: AOF, drops: Iterator[Drop], first_damage: Mapping[int, int]) -> list[FileOverwrites]:
    """Plan to overwrite, instead of drop, the flush commands in the byte ranges `drops`; returns changes by file.

    MULTI and EXEC around the flushes are kept.  `first_damage` maps a file, by index in load order, to the offset of
    its first damage; a flush after that raises RefusedEdit.
    """
    edits: dict[Path, dict[int, Overwrite]] = {}  # A part that is listed twice is one file.
    statuses: dict[Path, os.stat_result] = {}
    count = 0
    for drop in drops:
        if drop.reason != "flush":
            continue
        if drop.span.start >= first_damage.get(drop.part, drop.span.end):
            raise RefusedEdit(
                f"the flush at {drop.span.start} stands after damage: that it is a command, and no piece of a value, "
                "is a guess",
                "strip it into a copy with -o, and verify that",
            )
        source = _file(aof, drop.part)
        path = Path(os.path.realpath(source.path))
        statuses[path] = source.stat
        found = overwrites_in_span(source, drop.span)
        if not all(is_flush_record(edit.old) for edit in found):
            raise RefusedEdit(
                f"the flush at {drop.span.start} is not one that undo recognises", "strip it into a copy with -o"
            )
        count += len(found)
        if count > OVERWRITES_MAX:
            raise RefusedEdit(f"more than {OVERWRITES_MAX:,} flushes", "strip them into a copy with -o")
        edits.setdefault(path, {}).update((edit.start, edit) for edit in found)
    return [
        FileOverwrites(path, tuple(found[at] for at in sorted(found)), statuses[path]) for path, found in edits.items()
    ]


def overwrites_in_span(source: FileSource, span: Span) -> list[Overwrite]:
    """The overwrites that replace each command of a byte range by a PING; the range holds whole commands."""
    found: list[Overwrite] = []
    for batch in read_batches(source, command_table().names, span.start, window=min(WINDOW, span.size + 64)):
        for i in range(batch.count):
            record = batch.record_span(i)
            if record.start >= span.end:
                return found
            found.append(Overwrite(record.start, bytes(batch.raw(i)), ping_of_size(record.size)))
    return found


def is_flush_record(data: bytes) -> bool:
    """Whether bytes are exactly one flush command.

    A command that no server knows, with at most one argument, can be a flush that rename-command has renamed.
    """
    for batch in read_batches(BytesSource(data), command_table().names, 0):
        if batch.count != 1 or batch.span != Span(0, len(data)):
            return False
        number = batch.ids[0]
        return number in command_table().with_effect("flush") or (number == UNKNOWN and 1 <= batch.argc[0] <= 2)
    return False


def _file(aof: AOF, part: int) -> FileSource:
    source = aof.parts[part].source
    if not isinstance(source, FileSource):
        raise RefusedEdit("only files can be edited, not a pipe", "save it to a file first")
    return source


def overwrite(
    files: Sequence[FileOverwrites], force: bool, trusted_tail: bool, receipt_path: Path | None = None
) -> Path:
    """Overwrite flush commands in the files, and return the path of the receipt, which `undo` reads.

    The receipt is written next to the first file, or to `receipt_path`.  The files must not be open in this process.
    Raises RefusedEdit if another process has a file open, and SourceChanged if a file is not the one that was read;
    with `force` a file may be open, and may have grown.
    """
    if not force:
        for folder in {folder for target in files for folder in (target.path.parent, target.path.parent.parent)}:
            require_no_rewrite(folder)
    receipt = receipt_path or _receipt_path(files[0].path)
    with exclusive_fds([target.path for target in files], force) as fds:
        held = [(target, fds[target.path]) for target in files]
        for target, fd in held:
            _require_unchanged(target, os.fstat(fd), force)
        entries = [_entry(target, fd) for target, fd in held]
        _write_receipt(receipt, json_bytes(_receipt(entries, trusted_tail)))
        try:
            for target, fd in held:
                write_and_verify(fd, target.path, [(edit.start, edit.new) for edit in target.edits])
        except BaseException as problem:
            problem.add_note(f"it may be half done: {undo_command(receipt, files)} takes it back")
            raise
    return receipt


def undo_command(receipt: Path, files: Sequence[FileOverwrites], shorten: Callable[[Path], str] = str) -> str:
    """The command that undoes overwrites; it names the files that are not in the receipt's directory or below it."""
    folder = os.path.realpath(receipt.parent)
    outside = [target.path for target in files if not target.path.is_relative_to(folder)]
    return " ".join(["aofdoctor undo", *(text.shell_quote(shorten(path)) for path in (receipt, *outside))])


def _require_unchanged(target: FileOverwrites, now: os.stat_result, force: bool) -> None:
    """Raise SourceChanged unless a file is as it was when it was read.

    With `force` it may have been written to since.
    """
    then = target.status
    if now.st_nlink > 1 and not force:
        raise RefusedEdit(
            f"{text.display_path(str(target.path))} has {now.st_nlink} names (hard links, as of a backup), "
            "and an overwrite would change what stands under each",
            "strip it into a copy with -o, or remove the other name (what undo has left, it may be)",
        )
    if not is_same_file(then, now) or not (has_same_content(then, now) or force):
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
    """Write (offset, new bytes) pairs over a file durably, and read them back; raise SourceChanged at a difference."""
    for start, data in pieces:
        write_all_at(fd, data, start)
    os.fsync(fd)
    for start, data in pieces:
        if os.pread(fd, len(data), start) != data:
            raise SourceChanged(f"{path} did not keep what was written at {start}", "the receipt holds the old bytes")


def _entry(target: FileOverwrites, fd: int) -> dict[str, Any]:
    """The receipt's entry of one file, as JSON.

    Raises SourceChanged unless the bytes to overwrite are those that were read.
    """
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
    receipt_path = timestamped_path(path, ".receipt.json")
    if receipt_path is None:
        raise RefusedEdit(f"too many receipts beside {path}")
    return receipt_path
