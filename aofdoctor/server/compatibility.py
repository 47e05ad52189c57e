"""Decide whether a server version accepts a command (its name and arity) or an RDB (its version and dialect).

The checks of commands run in two steps. flag_rejected() loads the limits that all judged versions share into a
ContextTracker, so that its compiled loop flags every record which at least one of them could reject.
command_rejection() then decides for one record and one version.
"""

import functools
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION, ARGC_MAX, UNKNOWN
from aofdoctor.aof.records import Preamble
from aofdoctor.server.command_table import CommandSpec, arity_fits, command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.module_commands import module_of
from aofdoctor.server.verdict import Outcome
from aofdoctor.server.versions import VERSIONS, ServerVersion, table_column, versions_reading_rdb


class Rejection(NamedTuple):
    """Why a server version does not execute a command; `is_lacking`: the version does not have the command at all."""

    outcome: Outcome
    reason: str
    is_lacking: bool = False


def flag_rejected(
    tracker: ContextTracker, versions: Sequence[ServerVersion], except_ids: frozenset[int] = frozenset()
) -> None:
    """Make a ContextTracker return every record that at least one of these server versions could reject.

    Of the commands with `except_ids`, only those with an unusual number of arguments are returned.
    """
    flagged_ids, argc_min, argc_max = _accepted_by_all(tuple(version.name for version in versions))
    tracker.set_argument_counts(argc_min, argc_max)
    tracker.flag("loader", flagged_ids - except_ids)


def flag_unacceptable(tracker: ContextTracker, with_unknown: bool = False) -> None:
    """Make a ContextTracker return every record that no known server version accepts.

    A command that is not in the table can be newer than the table, so it is returned only if `with_unknown`.
    """
    argc_min, argc_max = array("I", bytes(4 * command_table().size)), array("I", [ARGC_MAX]) * command_table().size
    for command in command_table().commands:
        arity = [n for n in command.arity if n]
        argc_min[command.id] = min((abs(n) for n in arity), default=0)
        argc_max[command.id] = ARGC_MAX if any(n < 0 for n in arity) else max(arity, default=ARGC_MAX)
    tracker.set_argument_counts(argc_min, argc_max)
    tracker.flag("any", {UNKNOWN} if with_unknown else ())


def any_version_accepts(command_id: int, argc: int) -> bool:
    """Whether some server version accepts a command with `argc` arguments; True for commands that are in no table."""
    command = command_table().get(command_id)
    return command is None or any(arity_fits(n, argc) for n in command.arity if n)


@functools.cache
def _accepted_by_all(names: tuple[str, ...]) -> tuple[frozenset[int], "array[int]", "array[int]"]:
    """Return the limits within which all these server versions accept a command.

    They are (ids of commands that must be examined, minimum argc by command id, maximum argc by command id), where argc
    is the number of arguments with the name.
    """
    versions = [VERSIONS[name] for name in names]
    flagged_ids = {UNKNOWN} if versions else set()
    if any(not version.skips_annotations for version in versions):
        flagged_ids.add(ANNOTATION)
    columns = [table_column(version) for version in versions]
    argc_min, argc_max = array("I", bytes(4 * command_table().size)), array("I", [ARGC_MAX]) * command_table().size
    for command in command_table().commands:
        arity = [command.arity[column] for column in columns]
        if any(n == 0 for n in arity) or any(_is_container(command, version) for version in versions):
            flagged_ids.add(command.id)
        argc_min[command.id] = max((abs(n) for n in arity), default=0)
        argc_max[command.id] = min((n for n in arity if n > 0), default=ARGC_MAX)
    return frozenset(flagged_ids), argc_min, argc_max


def _is_container(command: CommandSpec, version: ServerVersion) -> bool:
    """Whether a server version looks up the second argument of this command as a subcommand (7.0 and later)."""
    return version.reads_manifest and command.name in _containers(version.name)


def has_subcommands(command: CommandSpec) -> bool:
    """Whether a command has subcommands in some server version."""
    return any(command.name in _containers(name) for name in VERSIONS)


@functools.cache
def _containers(version_name: str) -> frozenset[str]:
    column = table_column(VERSIONS[version_name])
    return frozenset(c.container for c in command_table().commands if c.container and c.arity[column])


def command_rejection(version: ServerVersion, command: CommandSpec | None, argc: int, name: bytes) -> Rejection | None:
    """Return why a server version does not execute a command with `argc` arguments, or None if it does.

    `command` is None for a command that is in no table; `name` is then its name.
    """
    return (
        _known_rejection(version.name, command.id, argc) if command else _command_rejection(version, None, argc, name)
    )


@functools.lru_cache(1024)  # asked for every SELECT of a log
def _known_rejection(version_name: str, command_id: int, argc: int) -> Rejection | None:
    return _command_rejection(VERSIONS[version_name], command_table().get(command_id), argc, b"")


def _command_rejection(version: ServerVersion, command: CommandSpec | None, argc: int, name: bytes) -> Rejection | None:
    shown = command.name.replace("|", " ").upper() if command else text.quote(name[:64])
    if command and command.container and not version.reads_manifest:
        command = command_table().find_by_name(command.container)
    arity = command.arity[table_column(version)] if command else 0
    if not arity:
        module = "" if command else module_of(name)
        needs = f", which needs the module {module}" if module else ""
        return Rejection(Outcome.REFUSES, f"unknown command {shown}{needs}", is_lacking=True)
    if command and argc > 1 and _is_container(command, version):
        return Rejection(Outcome.REFUSES, f"unknown subcommand of {shown}", is_lacking=True)
    if command and _is_container(command, version):
        return Rejection(Outcome.UNDEFINED, f"{shown} without its subcommand")
    if not arity_fits(arity, argc):
        wrong = f"{shown} with {text.format_count(argc, 'argument')}, its name included"
        outcome = Outcome.REFUSES if version.checks_arity else Outcome.UNDEFINED
        return Rejection(outcome, f"wrong number of arguments: {wrong}")
    return None


def versions_reading(rdb: Preamble) -> list[ServerVersion]:
    """Return the server versions that load an RDB as the base or preamble of an AOF; none loads a compressed one."""
    return [] if rdb.codec else versions_reading_rdb(rdb.dialect, rdb.version)


def dump_rejection(version: ServerVersion, rdb: Preamble) -> str:
    """Return why a server version does not load an RDB as its dump.rdb; empty if it does."""
    if version.newest_rdb(rdb.dialect) or rdb.codec:
        return rdb_rejection(version, rdb)
    dialect, newest = version.rdb_written
    if rdb.dialect != dialect or rdb.version > newest:
        return f"it cannot handle RDB format version {rdb.version}: it reads up to {newest}"
    if not rdb.complete:
        return f"the RDB is damaged: {rdb.note}"
    return "wrong RDB checksum" if rdb.checksum == "bad" else ""


def rdb_rejection(version: ServerVersion, rdb: Preamble) -> str:
    """Return why a server version does not load an RDB as the base or preamble of an AOF; empty if it does."""
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
