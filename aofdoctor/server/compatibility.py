"""Whether a server line takes a command or an RDB: its table, its arity, its dialect."""

import functools
from array import array
from collections.abc import Sequence

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION, ARGC_MAX, UNKNOWN
from aofdoctor.aof.records import Preamble
from aofdoctor.server.command_table import CommandSpec, arity_fits, command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.verdict import Outcome
from aofdoctor.server.versions import VERSIONS, ServerVersion, table_column


def flag_rejected(tracker: ContextTracker, versions: Sequence[ServerVersion]) -> None:
    """Have the steps note what some of these lines would not take."""
    flagged_ids, least, most = _accepted_by_all(tuple(line.name for line in versions))
    tracker.argc_min[:], tracker.argc_max[:] = least, most
    tracker.flag("loader", flagged_ids)


def flag_unacceptable(tracker: ContextTracker) -> None:
    """Have the steps note what no server line at all would take."""
    least, most = array("I", bytes(4 * command_table().size)), array("I", [ARGC_MAX]) * command_table().size
    for command in command_table().commands:
        arity = [n for n in command.arity if n]
        least[command.id] = min((abs(n) for n in arity), default=0)
        most[command.id] = ARGC_MAX if any(n < 0 for n in arity) else max(arity, default=ARGC_MAX)
    tracker.argc_min[:], tracker.argc_max[:] = least, most
    tracker.flag("any", {UNKNOWN})


def any_version_accepts(command_id: int, argc: int) -> bool:
    """True if some server line takes a command with so many arguments."""
    command = command_table().get(command_id)
    return command is None or any(arity_fits(n, argc) for n in command.arity if n)


@functools.cache
def _accepted_by_all(names: tuple[str, ...]) -> tuple[frozenset[int], "array[int]", "array[int]"]:
    """(ids to be told of, the least and the most arguments by id) that every one of these lines takes."""
    versions = [VERSIONS[name] for name in names]
    flagged_ids = {UNKNOWN} if versions else set()
    if any(not line.skips_annotations for line in versions):
        flagged_ids.add(ANNOTATION)
    columns = [table_column(line) for line in versions]
    least, most = array("I", bytes(4 * command_table().size)), array("I", [ARGC_MAX]) * command_table().size
    for command in command_table().commands:
        arity = [command.arity[at] for at in columns]
        if any(n == 0 for n in arity) or any(_is_container(command, line) for line in versions):
            flagged_ids.add(command.id)
        least[command.id] = max((abs(n) for n in arity), default=0)
        most[command.id] = min((n for n in arity if n > 0), default=ARGC_MAX)
    return frozenset(flagged_ids), least, most


def _is_container(command: CommandSpec, version: ServerVersion) -> bool:
    """True if the line looks this command's second argument up as well (7.0 and later)."""
    return version.reads_manifest and command.name in _containers(table_column(version))


@functools.cache
def _containers(column: int) -> frozenset[str]:
    return frozenset(c.container for c in command_table().commands if c.container and c.arity[column])


def command_rejection(
    version: ServerVersion, command: CommandSpec | None, argc: int, name: bytes
) -> tuple[Outcome, str] | None:
    """What keeps a line from running a command: (what it does, why)."""
    shown = command.name.replace("|", " ").upper() if command else text.quote(name[:64])
    if command and command.container and not version.reads_manifest:
        command = command_table().find_by_name(command.container)
    arity = command.arity[table_column(version)] if command else 0
    if not arity:
        return Outcome.REFUSES, f"unknown command {shown}"
    if command and argc > 1 and _is_container(command, version):
        return Outcome.REFUSES, f"unknown subcommand of {shown}"
    if command and _is_container(command, version):
        return Outcome.UNDEFINED, f"{shown} without its subcommand"
    if not arity_fits(arity, argc):
        wrong = f"{shown} with {text.format_count(argc, 'argument')}, its name included"
        return (Outcome.REFUSES if version.checks_arity else Outcome.UNDEFINED), f"wrong number of arguments: {wrong}"
    return None


def rdb_rejection(version: ServerVersion, rdb: Preamble) -> str:
    """Why a line does not read an RDB; empty if it does."""
    newest = version.newest_rdb(rdb.dialect)
    if rdb.codec:
        return "bad file format: a compressed stream where it expects an RDB or commands"
    if not newest:
        return f"bad file format: an RDB {rdb.magic.decode('ascii', 'replace')!r} where it expects commands"
    if rdb.version > newest:
        return f"the RDB is of version {rdb.version}, this line reads up to {newest}"
    if not rdb.complete:
        return f"the RDB is damaged: {rdb.note}"
    return "wrong RDB checksum" if rdb.checksum == "bad" else ""
