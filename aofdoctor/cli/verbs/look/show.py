"""aofdoctor show: one record in full."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.discovery import AOF
from aofdoctor.aof.records import LargeArgument, Preamble
from aofdoctor.cli import options
from aofdoctor.cli.console import painter, print_json, print_line, width
from aofdoctor.cli.options import open_path
from aofdoctor.cli.views.base_keys import UNPACKED, key_json, key_lines, opcode
from aofdoctor.cli.views.record_lines import as_json_line, flush_note, short_names
from aofdoctor.damage import DAMAGE_MEANINGS, Damage
from aofdoctor.log.entries import Entry
from aofdoctor.log.locate import Located, locate
from aofdoctor.log.position import parse_position
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.server.command_table import key_places, table
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

EPILOG = """\b
Examples:
  aofdoctor show appendonly.aof 2405                 the record at byte 2405
  aofdoctor show /var/lib/redis 7.incr@0x965         in one part of a set
  aofdoctor show /var/lib/redis 7.base@4711          the key of an RDB that byte 4711 belongs to
  aofdoctor show /var/lib/redis '#17'                the 17th command in load order

\b
Exit status: 0 shown; 1 it is damage; 2 no such position; 3 could not read; 130 interrupted."""

_DUMP = 4096  # bytes dumped on a terminal; all of them in a pipe
_ARGS = 64


def show(
    path: options.Path,
    at: Annotated[str, typer.Argument(metavar="POSITION", help="PART@1234, PART@0x4d2, or #17.")],
    around: Annotated[int, typer.Option("--around", "-C", metavar="N", min=0, help="Neighbours to show.")] = 3,
    json: options.Json = False,
) -> None:
    """One record in full: arguments, bytes, database, transaction, time, neighbours.

    The part is read from its start to the position, so that the record is proven to be one.
    """
    with open_path(path) as aof:
        found = locate(aof, parse_position(at, aof), around)
        if json:
            _json(aof, found)
        else:
            for line in _lines(aof, found):
                print_line(line)
        damaged = found.damage is not None
    raise typer.Exit(1 if damaged else 0)


def _json(aof: AOF, found: Located) -> None:
    if found.entry and found.entry.batch.ids[found.entry.i] != ANNOTATION:
        sys.stdout.flush()
        as_json_line(found.entry, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    print_json({"part": found.part.name} | _other_json(found))


def _other_json(found: Located) -> dict[str, Any]:
    if found.entry:
        span = found.entry.batch.record_span(found.entry.i)
        return {"offset": span.start, "size": span.size, "annotation": found.entry.batch.annotation(found.entry.i)}
    if found.damage:
        d = found.damage
        return {
            "offset": d.span.start,
            "size": d.span.size,
            "damage": d.kind.value,
            "guess": d.end_is_guess,
            "note": d.note,
        }
    if found.base_key:
        return key_json(found.base_key)
    assert found.preamble
    if found.item:
        return {"offset": found.item.span.start, "size": found.item.span.size, "rdb_item": opcode(found.item)}
    aux = found.preamble.aux
    return {"offset": 0, "size": found.preamble.span.size, "preamble": text.escape(found.preamble.magic),
            "keys": found.preamble.keys, "aux": {text.escape(k): v for k, v in aux.items()}}  # fmt: skip


def _lines(aof: AOF, found: Located) -> Iterator[str]:
    name = short_names(aof).get(found.part.name, found.part.name) or text.display_path(found.part.name)
    assert found.part.source is not None
    inner = decompressed(found.part.source) if found.preamble else found.part.source
    if inner is not found.part.source and (found.damage or found.base_key or found.item):
        yield f"{name}  {UNPACKED}"
    if found.damage:
        yield from _damage_lines(name, found.damage, inner)
    elif found.base_key:
        yield from key_lines(name, found.base_key)
        yield from _dump(inner, found.base_key.key.span)
    elif found.item:
        span = found.item.span
        yield f"{name}@{text.format_offset(span.start)}  {text.format_size(span.size)}, ends at {text.format_offset(span.end)}"
        yield f"  {opcode(found.item)}"
        yield from _dump(inner, span)
    elif found.preamble:
        yield from _preamble_lines(name, found.preamble, found.part.source)
    elif found.entry:
        yield from _entry_lines(name, found)


def _damage_lines(name: str, damage: Damage, source: Source) -> Iterator[str]:
    paint = painter()
    yield f"{name}@{text.format_offset(damage.span.start)}  {text.format_size(damage.span.size)}, ends at {damage.span.end}"
    yield f"  {paint('DAMAGE', 'damage')}  {DAMAGE_MEANINGS[damage.kind]}{f' ({damage.note})' if damage.note else ''}"
    if damage.end_is_guess:
        yield f"  Records begin again at {damage.span.end}: a guess."
    yield from _dump(source, damage.span)


def _preamble_lines(name: str, rdb: Preamble, source: Source) -> Iterator[str]:
    yield f"{name}@0  RDB {rdb.version}, {text.format_size(rdb.span.size)}, ends at {rdb.span.end}, checksum {rdb.checksum}"
    for key, value in rdb.aux.items():
        yield f"  {text.quote(key)}  {text.quote(value)}"
    yield from _dump(source, Span(0, min(256, rdb.span.end)))


def _entry_lines(name: str, found: Located) -> Iterator[str]:
    assert found.entry
    assert found.part.source
    entry = found.entry
    span = entry.batch.record_span(entry.i)
    yield f"{name}@{text.format_offset(span.start)}  {text.format_size(span.size)}, ends at {text.format_offset(span.end)}"
    yield from _facts(found, entry)
    if entry.batch.ids[entry.i] != ANNOTATION:
        yield from _arguments(entry)
    yield from _dump(found.part.source, span)
    for title, entries in (("before", found.before), ("after", found.after)):
        for number, neighbour in enumerate(entries):
            yield f"  {title if number == 0 else '':<10}{_neighbour(neighbour)}"


def _facts(found: Located, entry: Entry) -> Iterator[str]:
    if entry.batch.ids[entry.i] == ANNOTATION:
        yield f"  annotation  {text.escape(entry.batch.annotation(entry.i))}"
        return
    command = table().get(entry.batch.ids[entry.i])
    db = "unknown database" if entry.db is None else f"database {entry.db}"
    inside = f"in transaction {entry.tx}" if entry.tx else "in no transaction"
    inside += f" (MULTI at {found.multi_start})" if found.multi_start is not None else ""
    when = "time unknown" if entry.time is None else f"written at {text.format_time(entry.time)}"
    yield f"  command   {f'#{entry.number}, ' if entry.number else ''}{db}, {inside}, {when}"
    if command is None:
        yield "  effect    unknown: no server line knows this command"
    elif command.effects:
        words = f": {flush_note(command)}" if "flush" in command.effects else ""
        yield f"  effect    {', '.join(sorted(command.effects))}{words}"


def _arguments(entry: Entry) -> Iterator[str]:
    command = table().get(entry.batch.ids[entry.i])
    heads: list[bytes] = []
    shown = []
    limit = _ARGS if width() else None
    for number, arg in enumerate(entry.batch.args(entry.i)):
        if limit is not None and number >= limit:
            break
        size = arg.size if isinstance(arg, LargeArgument) else len(arg)
        head = arg.head(1 << 16) if isinstance(arg, LargeArgument) else arg
        heads.append(head)
        shown.append((size, head))
    keys = set(key_places(command, heads)) if command else set()
    for number, (size, head) in enumerate(shown):
        most = 200 if limit else len(head)
        cut = " ..." if len(head[:most]) < size else ""
        kind = "key" if number in keys else "name" if number == 0 else "arg"
        yield f"  {kind:<5}{number:<5}{text.format_size(size):>10}  {text.quote(head[:most])}{cut}"
    argc = entry.batch.argc[entry.i]
    if argc > len(shown):
        yield f"  and {text.format_count(argc - len(shown), 'more argument')}"


def _neighbour(entry: Entry) -> str:
    place = entry.batch.record_span(entry.i).start
    if entry.batch.ids[entry.i] == ANNOTATION:
        return f"{place}  {text.escape(entry.batch.annotation(entry.i)[:80])}"
    words = []
    for number, arg in enumerate(entry.batch.args(entry.i)):
        head = arg.head(41) if isinstance(arg, LargeArgument) else arg[:41]
        words.append(text.quote(head[:40]) + ("..." if len(head) > 40 else ""))
        if number >= 5:
            words.append("...")
            break
    return f"{place}  {' '.join(words)}"


def _dump(source: Source, span: Span) -> Iterator[str]:
    """Bytes as hexdump -C shows them."""
    limit = _DUMP if width() else span.size
    end = min(span.end, span.start + limit)
    for at in range(span.start, end, 16):
        row = pread(source, min(16, end - at), at)
        left, right = (" ".join(f"{byte:02x}" for byte in half) for half in (row[:8], row[8:]))
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"  {at:08x}  {left:<23}  {right:<23}  |{shown}|"
    if end < span.end:
        yield f"  ... {text.format_size(span.end - end)} more: aofdoctor show in a pipe writes them all"
