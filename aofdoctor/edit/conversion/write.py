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
from aofdoctor.aof.discovery import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.edit.conversion.count_keys import Keys, keys_in
from aofdoctor.edit.conversion.output_file import Copied
from aofdoctor.edit.conversion.plan import Conversion
from aofdoctor.edit.output.durable import (
    create,
    json_bytes,
    require_free_name,
    require_space,
    scratch,
    write_all,
    write_durably,
)
from aofdoctor.edit.output.fingerprint import fingerprint_of
from aofdoctor.edit.output.receipt import (
    Ownership,
    Progress,
    Proof,
    Receipt,
    exchange_json,
    growth,
    head_json,
    outputs_json,
    rename_into_place,
)
from aofdoctor.errors import RefusedEdit
from aofdoctor.server.command_table import table
from aofdoctor.source import FileSource

_NAMED = 3
_DATABASES = 16  # that a server has if nobody says otherwise


def try_conversion(conversion: Conversion, progress: Progress | None = None) -> None:
    """Make it without writing it: the tally says afterwards what it comes to."""
    conversion.begin()
    done = 0
    for new in conversion.files:
        for piece in new.pieces():
            done += piece.span.size if isinstance(piece, Copied) else len(piece)
            if progress:
                progress(done)
    conversion.made = done


def write_conversion(
    conversion: Conversion, output: Path, progress: Progress | None = None, verifier: Proof | None = None,
    whole_hash: bool = False, instead_of: Path | None = None,
) -> Receipt:  # fmt: skip
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
    conversion.begin()
    owners = Ownership(output)
    receipt = Receipt(output, receipt_path, warnings=owners.warnings)
    files = [AOF.require_file(part) for part in conversion.aof.existing_parts]
    with scratch(output) as folder:
        sources = [fingerprint_of(file.fd, Path(file.path), whole_hash).as_json() for file in files]
        made = _make(conversion, folder, owners, progress)
        if conversion.report.lost_count and not conversion.lossy:
            raise RefusedEdit(_loss(conversion), "--lossy leaves it out; without -o the plan lists all of it")
        _check(conversion, made)
        receipt.warnings += filter(None, map(growth, files))
        if verifier:
            verifier(made)
        body = head_json("convert") | {"source": sources, "output": outputs_json(made, output, whole_hash)}
        if instead_of:
            body |= exchange_json(conversion.aof, receipt, instead_of, whole_hash)
        write_durably(folder / "receipt", json_bytes(body | outcome_json(conversion, text.escape)))
        rename_into_place([(made, output), (folder / "receipt", receipt_path)])
    return receipt


def totals(conversion: Conversion) -> dict[str, Any]:
    """What was asked for and what it comes to, as JSON has it: the same again for the same files."""
    tally, wanted = conversion.report, conversion.request
    keys = [{"db": db, "type": kind, "count": count} for (db, kind), count in sorted(tally.keys.items())]
    return {
        "converted": {
            "base": wanted.base or None, "rdb_version": wanted.rdb_version or None, "layout": wanted.layout or None,
            "for": conversion.server_version or None, "shift_ms": wanted.shift_ms, "keys": keys, "recoded_keys": tally.reencoded_keys,
            "moved_commands": tally.moved, "bytes": {"before": conversion.size, "after": conversion.made},
        },
        "inexpressible_count": tally.lost_count,
    }  # fmt: skip


def outcome_json(conversion: Conversion, show: Callable[[bytes], object]) -> dict[str, Any]:
    """What a conversion came to, as JSON has it; `show` makes text of a key."""
    return {
        **totals(conversion),
        "inexpressible": [lost._asdict() | {"key": show(lost.key)} for lost in conversion.report.lost],
        "notes": [*conversion.notes, *hints(conversion)],
    }


def hints(conversion: Conversion) -> list[str]:
    """What a server does without, and what it needs, in sentences."""
    said = [f"left out: {what} ({count:,})" for what, count in conversion.report.dropped_hints.items()]
    last = max((db for db, _ in conversion.report.keys), default=0)
    if (
        conversion.server_version and last >= _DATABASES
    ):  # a SELECT out of range is only logged, and writes go on elsewhere
        said.append(f"the server needs `databases {last + 1}`: with fewer, keys would land in another database")
    return said


def _loss(conversion: Conversion) -> str:
    tally = conversion.report
    first = "; ".join(
        f"{lost.why} ({text.escape(lost.key[:80]) or lost.type}, db {lost.db})" for lost in tally.lost[:_NAMED]
    )
    more = f"; and {tally.lost_count - _NAMED:,} more" if tally.lost_count > _NAMED else ""
    return f"{text.format_count(tally.lost_count, 'thing')} cannot be said there: {first}{more}"


# -- making --


def _make(conversion: Conversion, folder: Path, owners: Ownership, progress: Progress | None) -> Path:
    """The new file, or the new directory, inside a scratch directory."""
    if conversion.manifest is None:
        made = folder / "aof"
        conversion.files[0].write(made, owners, progress)
        conversion.made = made.stat().st_size
        return made
    made = folder / "set"
    made.mkdir(mode=0o700)
    for new in conversion.files:
        new.write(made / new.name, owners, progress)
    conversion.made = sum(path.stat().st_size for path in made.iterdir())
    _write_manifest(conversion, made, owners)
    owners.copy_to_directory(made, _like(conversion))
    return made


def _like(conversion: Conversion) -> os.stat_result:
    """Whose the directory is to be: the one there was, or of a single file's who may read that."""
    if conversion.aof.layout == "multi-part" and conversion.aof.directory:
        return os.stat(conversion.aof.directory)
    status = conversion.files[0].status
    return os.stat_result((status.st_mode | (status.st_mode & 0o444) >> 2, *status[1:]))


def _write_manifest(conversion: Conversion, made: Path, owners: Ownership) -> None:
    assert conversion.manifest is not None
    name, lines = conversion.manifest
    fd = create(made / name)
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
    keys, commands = Keys(), 0
    for new in conversion.files:
        path = made / new.name if made.is_dir() else made
        new.check(path)
        written = FileSource(path)
        try:
            commands += _commands(written, new.head_size)
            if new.head_size and (conversion.request.base or conversion.request.shift_ms):
                keys += keys_in(written, new.head_size)
        finally:
            written.close()
    if keys != conversion.report.keys:
        raise RefusedEdit(
            f"the copy reads back with {text.format_count(keys.total(), 'key')} of its base, "
            f"not {conversion.report.keys.total():,}: it is not kept"
        )
    expected = conversion.commands + conversion.inserted
    if commands != expected:
        raise RefusedEdit(f"the copy reads back with {commands:,} commands, not {expected:,}: it is not kept")


def _commands(written: FileSource, head: int) -> int:
    """The whole commands behind the head; Refused at anything that is no command."""
    count = 0
    for tile in read_tiles(written, table().names):
        if isinstance(tile, RecordBatch):
            first = tile.count if tile.span.end <= head else bisect_left(tile.edges, head - tile.base, 0, tile.count)
            count += sum(map(bool, tile.argc[first : tile.count]))
        elif not isinstance(tile, Preamble) or not tile.is_intact:
            raise RefusedEdit("the copy is damaged where it is read back: it is not kept")
    return count
