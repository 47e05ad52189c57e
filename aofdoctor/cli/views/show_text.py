"""Format the output of `show`, what is at one position of an AOF: facts, arguments, hex dump, and records around it."""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF
from aofdoctor.aof.records import Arg, LargeArgument, Preamble
from aofdoctor.cli.console import make_painter
from aofdoctor.cli.views.base_keys import COMPRESSED_NOTE, describe_opcode, key_detail_lines
from aofdoctor.cli.views.record_lines import flush_note, short_part_names
from aofdoctor.damage import DAMAGE_MEANINGS, Damage
from aofdoctor.log.entries import LogEntry
from aofdoctor.log.locate import PositionContent
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.server.command_table import command_table, key_indexes
from aofdoctor.source import Source, pread
from aofdoctor.span import Span

_DUMP_MAX = 4096  # bytes dumped, unless all are wanted
_ARGS_MAX = 64  # arguments listed, unless all are wanted
_ARG_SIZE_MAX = 200  # bytes shown of each argument, unless all are wanted
_KEY_SEARCH_MAX = 1 << 16  # arguments among which keys are found
_UNLIMITED = 1 << 62


def content_lines(aof: AOF, located: PositionContent, show_all: bool) -> Iterator[str]:
    """The lines that show the content of a position: the beginning of it, or everything with `show_all`."""
    dump_max = _UNLIMITED if show_all else _DUMP_MAX
    name = short_part_names(aof).get(located.part.name, located.part.name) or text.display_path(located.part.name)
    assert located.part.source is not None
    rdb_source = decompressed(located.part.source) if located.preamble else located.part.source
    if rdb_source is not located.part.source and (located.damage or located.base_key or located.item):
        yield f"{name}  {COMPRESSED_NOTE}"
    if located.damage:
        yield from _damage_lines(name, located.damage, rdb_source, dump_max)
    elif located.base_key:
        yield from key_detail_lines(name, located.base_key, show_all)
        yield from _hexdump_lines(rdb_source, located.base_key.key.span, dump_max)
    elif located.item:
        span = located.item.span
        yield _span_line(name, span)
        yield f"  {describe_opcode(located.item)}"
        yield from _hexdump_lines(rdb_source, span, dump_max)
    elif located.preamble:
        yield from _preamble_lines(name, located.preamble, located.part.source)
    elif located.entry:
        yield from _entry_lines(name, located, show_all)


def _span_line(name: str, span: Span) -> str:
    start, end = text.format_offset(span.start), text.format_offset(span.end)
    return f"{name}@{start}  {text.format_size(span.size)}, ends at {end}"


def _damage_lines(name: str, damage: Damage, source: Source, dump_max: int) -> Iterator[str]:
    paint = make_painter()
    start = text.format_offset(damage.span.start)
    yield f"{name}@{start}  {text.format_size(damage.span.size)}, ends at {damage.span.end}"
    yield f"  {paint('DAMAGE', 'damage')}  {DAMAGE_MEANINGS[damage.kind]}{f' ({damage.note})' if damage.note else ''}"
    if damage.end_is_guess:
        yield f"  Records begin again at {damage.span.end}: a guess."
    yield from _hexdump_lines(source, damage.span, dump_max)


def _preamble_lines(name: str, rdb: Preamble, source: Source) -> Iterator[str]:
    size = text.format_size(rdb.span.size)
    yield f"{name}@0  RDB {rdb.version}, {size}, ends at {rdb.span.end}, checksum {rdb.checksum}"
    for key, value in rdb.aux.items():
        yield f"  {text.quote(key)}  {text.quote(value)}"
    yield from _hexdump_lines(source, Span(0, min(256, rdb.span.end)), _DUMP_MAX)


def _entry_lines(name: str, located: PositionContent, show_all: bool) -> Iterator[str]:
    assert located.entry
    assert located.part.source
    entry = located.entry
    span = entry.batch.record_span(entry.i)
    yield _span_line(name, span)
    yield from _fact_lines(located, entry)
    if entry.batch.ids[entry.i] != ANNOTATION:
        yield from _argument_lines(entry, show_all)
    yield from _hexdump_lines(located.part.source, span, _UNLIMITED if show_all else _DUMP_MAX)
    for title, entries in (("before", located.previous_entries), ("after", located.next_entries)):
        for number, neighbour in enumerate(entries):
            yield f"  {title if number == 0 else '':<10}{_neighbour_text(neighbour)}"


def _fact_lines(located: PositionContent, entry: LogEntry) -> Iterator[str]:
    if entry.batch.ids[entry.i] == ANNOTATION:
        yield f"  annotation  {text.escape(entry.batch.annotation(entry.i))}"
        return
    command = command_table().get(entry.batch.ids[entry.i])
    db = "unknown database" if entry.db is None else f"database {entry.db}"
    inside = f"in transaction {entry.tx}" if entry.tx else "in no transaction"
    inside += f" (MULTI at {located.multi_start})" if located.multi_start is not None else ""
    when = "time unknown" if entry.time is None else f"written at {text.format_time(entry.time)}"
    yield f"  command   {f'#{entry.number}, ' if entry.number else ''}{db}, {inside}, {when}"
    if command is None:
        yield "  effect    unknown: in no command table (of a module or a newer server, or renamed)"
    elif command.effects:
        words = f": {flush_note(command)}" if "flush" in command.effects else ""
        yield f"  effect    {', '.join(sorted(command.effects))}{words}"


def _argument_lines(entry: LogEntry, show_all: bool) -> Iterator[str]:
    """One line for each argument; with `show_all` a large one is shown in pieces, and nothing is left out."""
    command = command_table().get(entry.batch.ids[entry.i])
    heads = [
        arg.head(1 << 12) if isinstance(arg, LargeArgument) else arg
        for arg, _ in zip(entry.batch.args(entry.i), range(_KEY_SEARCH_MAX), strict=False)
    ]
    keys = set(key_indexes(command, heads)) if command else set()
    limit = _UNLIMITED if show_all else _ARG_SIZE_MAX
    for number, arg in enumerate(entry.batch.args(entry.i)):
        if number >= _ARGS_MAX and not show_all:
            yield f"  and {text.format_count(entry.batch.argc[entry.i] - number, 'more argument')} (--all shows them)"
            break
        size = arg.size if isinstance(arg, LargeArgument) else len(arg)
        kind = "key" if number in keys else "name" if number == 0 else "arg"
        yield f"  {kind:<5}{number:<5}{text.format_size(size):>10}  {_argument_text(arg, limit)}"


def _argument_text(arg: Arg, limit: int) -> str:
    """An argument as text, quoted where necessary; of more than `limit` bytes the beginning and an ellipsis."""
    if not isinstance(arg, LargeArgument):
        return text.quote(arg[:limit]) + (" ..." if len(arg) > limit else "")
    if limit < arg.size:
        return f"{text.quote(arg.head(limit))} ..."
    return f'"{"".join(map(text.escape, arg.pieces()))}"'


def _neighbour_text(entry: LogEntry) -> str:
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


def _hexdump_lines(source: Source, span: Span, limit: int) -> Iterator[str]:
    """The first `limit` bytes of a span in the format of `hexdump -C`, and the number of bytes that follow."""
    end = min(span.end, span.start + limit)
    for at in range(span.start, end, 16):
        row = pread(source, min(16, end - at), at)
        left, right = (" ".join(f"{byte:02x}" for byte in half) for half in (row[:8], row[8:]))
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"  {at:08x}  {left:<23}  {right:<23}  |{shown}|"
    if end < span.end:
        yield f"  ... {text.format_size(span.end - end)} more (--all shows them)"
