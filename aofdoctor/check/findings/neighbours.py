"""Findings about files that no server loads: unlisted and history files of the AOF, temporary files and dump.rdb.

Every file was opened before it is described: how much it holds, how old it is, and what it is good for.
"""

from collections.abc import Iterator
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.generations import PART_NAME, Generation, find_generations, role
from aofdoctor.aof.model import AofPart
from aofdoctor.check.neighbours.content import FileContent, describe_content, describe_damage
from aofdoctor.check.neighbours.judge import FILES_MAX, Neighbour, reading_budget
from aofdoctor.check.neighbours.weighing import (
    ReadContent,
    WeighedGeneration,
    better_generation,
    content_reader,
    weigh,
)
from aofdoctor.check.report import PartReport, Report, salvage_command
from aofdoctor.damage import DamageKind
from aofdoctor.finding import Finding, Severity
from aofdoctor.free_names import free_name
from aofdoctor.rdb.preamble import creation_time

_HISTORY_GENERATIONS_MAX = 8
_FILES_NAMED_MAX = 10


# -- files of the set --


def _other_files(report: Report) -> Iterator[Finding]:
    """Yield findings about files of a multi-part AOF that servers do not load: unlisted ones and history files."""
    aof = report.aof
    if aof.layout != "multi-part":
        return
    read = content_reader(reading_budget(aof), {part.part.name: _content_of(part) for part in report.parts})
    for part in aof.unlisted:
        message = f"{_described(part.name, read(part))} is not in the manifest: no server loads it"
        yield Finding("part-unlisted", Severity.WARNING, message, part.name)
    for part in aof.history:
        if part.exists:
            message = f"{_described(part.name, read(part))} is a history file: a rewrite has replaced it"
            yield Finding("history", Severity.NOTE, message, part.name)
    is_damaged = any(_has_damage(part) for part in report.parts)
    better = better_generation(aof, aof, is_damaged, read)
    if better:
        yield _better_generation(report, *better)
    yield from _history_generations(report, read, is_loss_found=better is not None)


def _better_generation(report: Report, best: WeighedGeneration, listed: WeighedGeneration) -> Finding:
    names = _join_names([part.name for part in best.generation.files])
    verb = "is" if len(best.generation.files) == 1 else "are"
    state = f"{verb} whole" + (" and continue each other" if len(best.generation.files) > 1 else "")
    if not best.is_whole:
        state = f"{verb} not whole, and {'give' if verb == 'are' else 'gives'} more than the listed files"
    message = f"{names} {state}: {_key_count(best)}; the listed files that exist give {_key_count(listed)}"
    return Finding("generation-found", Severity.WARNING, message, best.generation.files[0].name,
                   hint="a salvage makes a set of these files", commands=(salvage_command(report),))  # fmt: skip


def _history_generations(report: Report, read: ReadContent, is_loss_found: bool) -> Iterator[Finding]:
    """Yield a finding for each older base with its incremental files that is still kept as history files.

    The finding states what the AOF held when a rewrite replaced these files.  With `is_loss_found`, the loss of keys
    since then is not reported, because another finding reports it.
    """
    aof = report.aof
    history = {part.name for part in aof.history if part.exists}
    if not history:
        return
    now = weigh(Generation(next((p for p in aof.parts if p.exists and role(p) == "base"), None),
                           tuple(p for p in aof.parts if p.exists and role(p) == "incr")), read)  # fmt: skip
    replaced: set[str] = set()
    for generation in find_generations(aof)[:_HISTORY_GENERATIONS_MAX]:
        base = generation.base
        own = tuple(part for part in generation.incr if part.name in history and part.name not in replaced)
        replaced |= {part.name for part in own}
        if base is None or base.name not in history:
            continue
        past = weigh(Generation(base, own), read)
        if past.keys or past.commands:
            is_loss = past.keys > 2 * now.keys and past.are_keys_exact and now.are_keys_exact
            yield _history_generation(past, now if is_loss and not is_loss_found else None)


def _history_generation(past: WeighedGeneration, less_now: WeighedGeneration | None) -> Finding:
    files = past.generation.files
    holds = "is whole and holds" if past.is_whole else "is damaged and holds at least"
    if len(files) > 1:
        holds = "are whole and hold" if past.is_whole else "are damaged and hold at least"
    message = f"{_join_names([part.name for part in files])} (history) {holds} {_key_count(past)}"
    detail = f"The listed files hold {_key_count(less_now)} now." if less_now else ""
    severity = Severity.WARNING if less_now else Severity.NOTE
    commands = _history_commands(files)
    hint = "make a set of them" if commands else ""
    return Finding("history-generation", severity, message, files[0].name, detail=detail, hint=hint, commands=commands)


def _history_commands(files: list[AofPart]) -> tuple[str, ...]:
    """Return the commands that make a set of history files; none if their names do not say which is which."""
    match = PART_NAME.match(files[0].name)
    if not match or not all(PART_NAME.match(part.name) for part in files):
        return ()
    paths = " ".join(text.shell_quote(str(part.path)) for part in files)
    name = f"history-{match['seq']}"
    folder, output = free_name(name, "files"), free_name(name, "set")
    return (f"mkdir {folder} && cp -p {paths} {folder}/", f"aofdoctor repair {folder} --salvage -o {output}")


# -- files beside the set --


def _neighbours(report: Report) -> Iterator[Finding]:
    """Yield a finding for each file that was opened in the same directory as the AOF: temporary files and dump.rdb."""
    for neighbour in report.neighbours:
        yield _temporary_file(report, neighbour) if neighbour.is_temporary else _dump(report, neighbour)
    more = len(report.aof.leftovers) - FILES_MAX
    if more > 0:
        message = f"{text.format_count(more, 'more temporary file')} were not opened"
        yield Finding("leftover-more", Severity.NOTE, message)
    for path in report.aof.other_sets:
        message = f"{text.display_path(str(path))} was not examined: it is another AOF, or a manifest without its files"
        yield Finding("other-set", Severity.NOTE, message, str(path), hint=_LOOK, commands=(_check_command(path),))


def _temporary_file(report: Report, neighbour: Neighbour) -> Finding:
    content, name = neighbour.content, _described(neighbour.path.name, neighbour.content)
    kind = "rewrite of this AOF" if neighbour.is_of_rewrite else "save"
    if neighbour.path.name.endswith(".manifest"):
        message = f"{_sized(neighbour.path.name, content)} is a manifest that did not get its name"
    elif content.kind in ("empty", "nuls"):
        message = f"{name} is the beginning of a {kind}"
    elif content.kind in ("unknown", "unread"):
        message = f"{name} has the name of a {kind}"
    elif content.damage is not None:
        name = _sized(neighbour.path.name, content)
        message = f"{name} is an unfinished {kind}: {describe_damage(content)}, {_amount(content)} can be read"
    elif content.preamble:
        message = f"{name} is a whole RDB: a finished {kind} that did not get its name"
    else:
        message = f"{name} is a {kind} that did not get its name: its commands are whole, and may not be all"
    detail, hint = _use_of_temporary_file(report, neighbour)
    commands = (_check_command(neighbour.path),) if hint else ()
    return Finding("leftover", Severity.NOTE, message, str(neighbour.path), detail=detail, hint=hint, commands=commands)


_LOOK = "look into it"


def _check_command(path: Path | str) -> str:
    return f"aofdoctor check {text.shell_quote(str(path))}"


def _use_of_temporary_file(report: Report, neighbour: Neighbour) -> tuple[str, str]:
    """Return (whether a temporary file may be deleted, why to look into it, or nothing)."""
    is_damaged = any(_has_damage(part) or not part.part.exists for part in report.parts)
    if neighbour.content.kind == "unread":
        return "It was not read.", _LOOK
    if neighbour.content.holds_nothing or neighbour.path.name.endswith(".manifest"):
        return "It can be deleted while no rewrite or save runs.", ""
    if is_damaged:
        return f"Keep it until {_main_file(report)} is repaired.", "count what it holds"
    if neighbour.keys_only_here == 0:
        return "All of its keys are in the AOF, which is sound: it can be deleted while no rewrite or save runs.", ""
    if neighbour.keys_only_here:
        keys = text.format_count(neighbour.keys_only_here, "key")
        verb = "is" if neighbour.keys_only_here == 1 else "are"
        return f"{keys} in it {verb} not in the AOF: look at the file before you delete it.", _LOOK
    return "Its keys were not compared with those of the AOF.", _LOOK


def _dump(report: Report, neighbour: Neighbour) -> Finding:
    """Return the finding about a dump.rdb: what it holds, and how old it is compared with the base of the AOF."""
    content, path = neighbour.content, neighbour.path
    place, code = str(path), "leftover"
    if content.kind == "nuls":
        message = f"{_sized(path.name, content)} holds no data: all of its bytes are NUL"
        return Finding(code, Severity.WARNING, message, place)
    if content.kind in ("empty", "unknown"):
        message = f"{_sized(path.name, content)} holds no data that can be read: it is {describe_content(content)}"
        return Finding(code, Severity.WARNING, message, place, hint=_LOOK, commands=(_check_command(place),))
    if content.kind == "unread":
        when = f", written at {text.format_time(neighbour.written)}" if neighbour.written is not None else ""
        message = f"{_sized(path.name, content)} was not read because of its size{when}"
        return Finding(code, Severity.NOTE, message, place, hint=_LOOK, commands=(_check_command(place),))
    when = f", written at {text.format_time(neighbour.written)}" if neighbour.written is not None else ""
    message = f"{_sized(path.name, content)} holds {_amount(content)}{when}"
    if content.damage is not None:
        message += f"; it is damaged ({describe_damage(content)})"
    return _dump_and_base(report, neighbour, message)


def _dump_and_base(report: Report, neighbour: Neighbour, message: str) -> Finding:
    place, content = str(neighbour.path), neighbour.content
    quoted = text.shell_quote(place)
    convert = f"aofdoctor convert {quoted} --layout multi-part -o {text.shell_quote(free_name(place, 'set'))}"
    make_set, commands = "make a set of it", (convert,)
    if content.damage is not None:
        repair = f"aofdoctor repair {quoted} --salvage -o {text.shell_quote(free_name(place, 'repaired'))}"
        make_set, commands = "keep the keys that can be read", (repair,)
    if content.holds_nothing:
        detail = "It is the RDB that a full resync brought, or one saved after it." if _is_replicated(content) else ""
        message = f"{message}: it is no evidence of earlier data"
        return Finding("leftover", Severity.NOTE, message, place, detail=detail)
    base = _content_of(report.parts[0]) if report.parts else FileContent("empty", 0)
    if base.preamble is None or base.written is None or neighbour.written is None:
        if (
            content.is_intact
            and content.keys
            and neighbour.keys_only_here == content.keys
            and not _is_incomplete(report)
        ):
            message = f"{message}; none of its keys is in the AOF"
            detail = "If the server did not load it, its next save overwrites the dump."
            return Finding(
                "dump-not-loaded", Severity.WARNING, message, place, detail=detail, hint=make_set, commands=commands
            )
        return Finding("leftover", Severity.NOTE, message, place, hint=make_set, commands=commands)
    keys = text.format_count(base.keys, "key")
    age = f"the base, which was written at {text.format_time(base.written)} with {keys}"
    is_empty_base = base.preamble.is_intact and not base.keys and bool(content.keys)
    same_second = neighbour.written == base.written
    if neighbour.written > base.written or (same_second and not (is_empty_base and neighbour.keys_only_here)):
        order = "as old as" if same_second else "younger than"
        message = f"{message}; it is {order} {age}"
        if not _is_incomplete(report):
            return Finding("leftover", Severity.NOTE, message, place)
        return Finding("leftover", Severity.NOTE, message, place, hint=make_set, commands=commands)
    message = f"{message}; it is older than {age}"
    if not is_empty_base or content.damage is not None:
        return Finding("leftover", Severity.NOTE, message, place)
    detail = "The server started with an empty AOF and did not load this dump. Its next save overwrites the dump."
    hint = "stop the saves of the server (CONFIG SET save ''), then make a set of the dump"
    return Finding("dump-not-loaded", Severity.DANGER, message, place, detail=detail, hint=hint, commands=(convert,))


def _is_replicated(content: FileContent) -> bool:
    """Whether an RDB has the AUX field repl-id, as one that a primary sends to a replica has."""
    return content.preamble is not None and b"repl-id" in content.preamble.aux


def _is_incomplete(report: Report) -> bool:
    return any(_has_damage(part) or not part.part.exists for part in report.parts)


# -- words --


def _main_file(report: Report) -> str:
    """Return the words for what was examined, for use in a sentence: "the AOF", or the name of a dump.rdb."""
    name = report.aof.parts[0].name if len(report.aof.parts) == 1 else ""
    return text.display_path(name) if name.endswith(".rdb") else "the AOF"


def _has_damage(part: PartReport) -> bool:
    return any(damage.kind is not DamageKind.IN_FLIGHT for damage in part.damage)


def _content_of(part: PartReport) -> FileContent:
    """Return what a file of the AOF holds (kind, keys, commands, first damage), as the examination has found it."""
    rdb = part.preamble
    kind = "rdb" if rdb and not part.commands else "aof" if rdb or part.commands else "unknown"
    counts = rdb.key_counts if rdb else None
    keys = sum(row.keys for row in counts.dbs.values()) if counts else (rdb.keys or 0) if rdb else 0
    written = creation_time(rdb.aux) if rdb else None
    damage = part.damage[0] if part.damage else None
    return FileContent(kind if part.size else "empty", part.size, keys, part.commands, written, rdb, damage)


def _amount(content: FileContent) -> str:
    counted = [text.format_count(content.keys, "key")] if content.preamble else []
    counted += [text.format_count(content.commands, "command")] if content.commands or not content.preamble else []
    return " and ".join(counted)


def _key_count(weighed: WeighedGeneration) -> str:
    if weighed.are_keys_exact:
        return text.format_count(weighed.keys, "key")
    commands = text.format_count(weighed.commands, "command")
    return f"{text.format_count(weighed.base_keys, 'key')} in the base and {commands}"


def _sized(name: str, content: FileContent) -> str:
    return f"{text.display_path(name)} ({text.format_size(content.size)})"


def _described(name: str, content: FileContent) -> str:
    size = "" if content.kind == "empty" else f"{text.format_size(content.size)}, "
    return f"{text.display_path(name)} ({size}{describe_content(content)})"


def _join_names(names: list[str]) -> str:
    shown = [text.display_path(name) for name in names[:_FILES_NAMED_MAX]]
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown):,} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


CHECKS = (_other_files, _neighbours)
