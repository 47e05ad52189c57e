"""A conversion to new files: made beside their place, on disk, read again and counted, and only then named.

Interrupted or killed at any point, nothing stands under the final name and the
source is as it was.
"""

import os
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.edit.conversion.count_keys import KeyTypeCounts, count_head_keys
from aofdoctor.edit.conversion.output_file import CopiedSpan
from aofdoctor.edit.conversion.plan import Conversion
from aofdoctor.edit.output.durable import (
    create_file,
    json_bytes,
    require_free_name,
    require_space,
    scratch_directory,
    write_all,
    write_durably,
)
from aofdoctor.edit.output.fingerprint import fingerprint_fd
from aofdoctor.edit.output.receipt import (
    OnBytesWritten,
    OutputVerifier,
    Ownership,
    Receipt,
    exchange_json,
    growth_warning,
    outputs_json,
    receipt_header_json,
    rename_into_place,
)
from aofdoctor.errors import RefusedEdit
from aofdoctor.server.command_table import command_table
from aofdoctor.source import FileSource

_LOSSES_SHOWN = 3
_DEFAULT_DATABASES = 16  # that a server has if nobody says otherwise


def dry_run_conversion(conversion: Conversion, progress: OnBytesWritten | None = None) -> None:
    """Make it without writing it: the tally says afterwards what it comes to."""
    conversion.reset_counts()
    done = 0
    for new in conversion.files:
        for piece in new.pieces():
            done += piece.span.size if isinstance(piece, CopiedSpan) else len(piece)
            if progress:
                progress(done)
    conversion.output_size = done


def write_conversion(
    conversion: Conversion,
    output: Path,
    progress: OnBytesWritten | None = None,
    verifier: OutputVerifier | None = None,
    full_hash: bool = False,
    exchange_with: Path | None = None,
) -> Receipt:
    """Carry out a conversion into a new file, or the new directory of a set.

    Raises Refused where something would be lost, unless it is lossy, and where
    the copy does not read back as it was meant.  `instead_of`: what the copy will
    exchange its name with, as the receipt says.
    """
    if output.exists() and output.samefile(Path()):
        raise RefusedEdit("the output cannot be the directory that you are in", "name a new file or directory")
    receipt_path = output.with_name(output.name + ".receipt.json")
    require_free_name(output, directory=conversion.manifest is not None)
    require_free_name(receipt_path)
    require_space(output.absolute().parent, conversion.size)
    conversion.reset_counts()
    owners = Ownership(output)
    receipt = Receipt(output, receipt_path, warnings=owners.warnings)
    files = [AOF.require_file(part) for part in conversion.aof.existing_parts]
    with scratch_directory(output) as folder:
        sources = [fingerprint_fd(file.fd, Path(file.path), full_hash).as_json() for file in files]
        made = _write_output(conversion, folder, owners, progress)
        if conversion.report.loss_count and not conversion.lossy:
            raise RefusedEdit(_loss_message(conversion), "--lossy leaves it out; without -o the plan lists all of it")
        _check(conversion, made)
        receipt.warnings += filter(None, map(growth_warning, files))
        if verifier:
            verifier(made)
        body = receipt_header_json("convert") | {"source": sources, "output": outputs_json(made, output, full_hash)}
        if exchange_with:
            body |= exchange_json(conversion.aof, receipt, exchange_with, full_hash)
        write_durably(folder / "receipt", json_bytes(body | outcome_json(conversion, text.escape)))
        rename_into_place([(made, output), (folder / "receipt", receipt_path)])
    return receipt


def totals_json(conversion: Conversion) -> dict[str, Any]:
    """What was asked for and what it comes to, as JSON has it: the same again for the same files."""
    tally, wanted = conversion.report, conversion.request
    keys = [{"db": db, "type": kind, "count": count} for (db, kind), count in sorted(tally.keys.items())]
    return {
        "converted": {
            "base": wanted.base or None,
            "rdb_version": wanted.rdb_version or None,
            "layout": wanted.layout or None,
            "for": conversion.server_version or None,
            "shift_ms": wanted.shift_ms,
            "keys": keys,
            "recoded_keys": tally.reencoded_keys,
            "moved_commands": tally.shifted_commands,
            "bytes": {"before": conversion.size, "after": conversion.output_size},
        },
        "inexpressible_count": tally.loss_count,
    }


def outcome_json(conversion: Conversion, show: Callable[[bytes], object]) -> dict[str, Any]:
    """What a conversion came to, as JSON has it; `show` makes text of a key."""
    return {
        **totals_json(conversion),
        "inexpressible": [lost._asdict() | {"key": show(lost.key)} for lost in conversion.report.losses],
        "notes": [*conversion.notes, *conversion_notes(conversion)],
    }


def conversion_notes(conversion: Conversion) -> list[str]:
    """What a server does without, and what it needs, in sentences."""
    notes = [f"left out: {what} ({count:,})" for what, count in conversion.report.dropped_hints.items()]
    last = max((db for db, _ in conversion.report.keys), default=0)
    if (
        conversion.server_version and last >= _DEFAULT_DATABASES
    ):  # a SELECT out of range is only logged, and writes go on elsewhere
        notes.append(f"the server needs `databases {last + 1}`: with fewer, keys would land in another database")
    return notes


def _loss_message(conversion: Conversion) -> str:
    tally = conversion.report
    first = "; ".join(
        f"{lost.why} ({text.escape(lost.key[:80]) or lost.type}, db {lost.db})" for lost in tally.losses[:_LOSSES_SHOWN]
    )
    more = f"; and {tally.loss_count - _LOSSES_SHOWN:,} more" if tally.loss_count > _LOSSES_SHOWN else ""
    return f"{text.format_count(tally.loss_count, 'thing')} cannot be said there: {first}{more}"


# -- making --


def _write_output(conversion: Conversion, folder: Path, owners: Ownership, progress: OnBytesWritten | None) -> Path:
    """The new file, or the new directory, inside a scratch directory."""
    if conversion.manifest is None:
        made = folder / "aof"
        conversion.files[0].write(made, owners, progress)
        conversion.output_size = made.stat().st_size
        return made
    made = folder / "set"
    made.mkdir(mode=0o700)
    for new in conversion.files:
        new.write(made / new.name, owners, progress)
    conversion.output_size = sum(path.stat().st_size for path in made.iterdir())
    _write_manifest(conversion, made, owners)
    owners.copy_to_directory(made, _directory_status(conversion))
    return made


def _directory_status(conversion: Conversion) -> os.stat_result:
    """Whose the directory is to be: the one there was, or of a single file's who may read that."""
    if conversion.aof.layout == "multi-part" and conversion.aof.directory:
        return os.stat(conversion.aof.directory)
    status = conversion.files[0].status
    return os.stat_result((status.st_mode | (status.st_mode & 0o444) >> 2, *status[1:]))


def _write_manifest(conversion: Conversion, made: Path, owners: Ownership) -> None:
    assert conversion.manifest is not None
    name, lines = conversion.manifest
    fd = create_file(made / name)
    try:
        write_all(fd, lines)
        before = conversion.aof.manifest_path
        owners.copy_to(fd, os.stat(before) if before else conversion.files[0].status, made / name)
        os.fsync(fd)
    finally:
        os.close(fd)


# -- reading again --


def _check(conversion: Conversion, made: Path) -> None:
    """Every byte is what was written, every key is there, and what follows is whole, to the last command."""
    keys, commands = KeyTypeCounts(), 0
    for new in conversion.files:
        path = made / new.name if made.is_dir() else made
        new.check(path)
        written = FileSource(path)
        try:
            commands += _count_commands(written, new.head_size)
            if new.head_size and (conversion.request.base or conversion.request.shift_ms):
                keys += count_head_keys(written, new.head_size)
        finally:
            written.close()
    if keys != conversion.report.keys:
        raise RefusedEdit(
            f"the copy reads back with {text.format_count(keys.total(), 'key')} of its base, "
            f"not {conversion.report.keys.total():,}: it is not kept"
        )
    expected = conversion.commands + conversion.inserted_commands
    if commands != expected:
        raise RefusedEdit(f"the copy reads back with {commands:,} commands, not {expected:,}: it is not kept")


def _count_commands(written: FileSource, head: int) -> int:
    """The whole commands behind the head; Refused at anything that is no command."""
    count = 0
    for tile in read_tiles(written, command_table().names):
        if isinstance(tile, RecordBatch):
            first = tile.count if tile.span.end <= head else bisect_left(tile.edges, head - tile.base, 0, tile.count)
            count += sum(map(bool, tile.argc[first : tile.count]))
        elif not isinstance(tile, Preamble) or not tile.is_intact:
            raise RefusedEdit("the copy is damaged where it is read back: it is not kept")
    return count
