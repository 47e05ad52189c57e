"""Find commands of an AOF that a server would read and not execute, or that crash it.

Only records that the ContextTracker selects are examined: commands of a few names, SETs with options (a sample of them,
until one is invalid), and SELECTs of databases that the configuration does not have.  What is counted is limited,
because a file can hold any number of such records and scripts.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from aofdoctor import text
from aofdoctor.aof.records import Arg, Preamble, RecordBatch
from aofdoctor.check.vector_adds import VectorAdds
from aofdoctor.server.arguments.dump_payload import payload_rejection, read_payload
from aofdoctor.server.arguments.hash_slots import spans_slots
from aofdoctor.server.arguments.option_words import FIRST_OPTION, OPTIONS_BY_COMMAND, unknown_option
from aofdoctor.server.command_table import CommandSpec, command_table, key_indexes
from aofdoctor.server.configuration import DEFAULT_CONFIGURATION, ServerConfiguration
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.verdict import Outcome, Verdict
from aofdoctor.server.versions import ServerVersion
from aofdoctor.span import Span

# The number of commands with options that are examined; if all are valid, only commands with more arguments
# than _USUAL_ARGC are examined from then on, and none after SAMPLED_UNUSUAL of them.
SAMPLED = 1000
SAMPLED_UNUSUAL = 10_000
COUNTED_MAX = 100_000  # commands with invalid options that are counted
_USUAL_ARGC = 5  # SET key value PXAT time
_KINDS_MAX = 100
_SCRIPTS_MAX = 100_000
_ARGUMENTS_MAX = 1 << 20  # arguments of a record that is still examined

SELECT_OUT_OF_RANGE, SCRIPT_UNDEFINED = "database-out-of-range", "script-undefined"
OPTIONS_UNKNOWN, PAYLOAD_UNREADABLE = "options-unknown", "restore-unreadable"
CROSS_SLOT = "cross-slot"  # not an error at replay: a cluster refuses it only from a client


@dataclass(slots=True)
class ReplayError:
    """Commands of an AOF that fail for the same reason in the same server versions.

    `part` (the file) and `span` (the byte range) are those of the first such command, `count` is the number of all.
    """

    code: str
    reason: str
    versions: tuple[str, ...]
    part: str
    span: Span
    count: int = 0


@dataclass(slots=True)
class ReplayErrors:
    """The commands of an AOF that fail when a server loads it, by code, reason and server versions.

    `highest_database` is the highest database that the AOF selects or an RDB has keys in.  `options_uncounted`: more
    commands have invalid options than were counted.
    """

    versions: Sequence[ServerVersion]
    tracker: ContextTracker
    configuration: ServerConfiguration = DEFAULT_CONFIGURATION
    errors: dict[tuple[str, str, tuple[str, ...]], ReplayError] = field(default_factory=dict)
    vector_adds: VectorAdds = field(default_factory=VectorAdds)
    highest_database: int = 0
    options_uncounted: bool = False
    _names: tuple[str, ...] = field(init=False)
    _scripts: set[bytes] = field(default_factory=set)
    _knows_scripts: bool = True
    _valid_options: int = 0
    _invalid_options: int = 0
    _examiners: dict[int, Callable[[str, RecordBatch, int], None]] = field(init=False)
    _multi_key_ids: frozenset[int] = field(init=False)
    _option_ids: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self._names = tuple(version.name for version in self.versions)
        self.tracker.state[ContextField.DB_LIMIT] = self.configuration.selectable_databases
        table = command_table()
        self._examiners = {
            **dict.fromkeys(table.ids_of(frozenset({"eval", "eval_ro", "script"})), self._add_script),
            **dict.fromkeys(table.ids_of(frozenset({"evalsha", "evalsha_ro"})), self._check_script),
            **dict.fromkeys(table.ids_of(frozenset({"restore", "restore-asking"})), self._check_payload),
            **dict.fromkeys(table.ids_of(frozenset({"select"})), self._check_database),
            **dict.fromkeys(table.ids_of(frozenset(OPTIONS_BY_COMMAND)), self._check_options),
        }
        ids = set(self._examiners) - table.ids_of(frozenset({"select"}) | frozenset(OPTIONS_BY_COMMAND))
        self._multi_key_ids = frozenset(c.id for c in table.commands if _has_many_keys(c))
        ids |= self.vector_adds.command_ids | (self._multi_key_ids if self.configuration.cluster else frozenset())
        self.tracker.flag("replay", ids)
        self._option_ids = table.ids_of(frozenset(OPTIONS_BY_COMMAND))
        self.tracker.limit_arguments(dict.fromkeys(self._option_ids, FIRST_OPTION))

    def add_preamble(self, rdb: Preamble) -> None:
        """Note the highest database of an RDB, and whether it defines scripts or may have vector sets."""
        if b"lua" in rdb.aux:  # Servers before 7.0 load these scripts.
            self._knows_scripts = False
        if rdb.key_counts:
            self.highest_database = max(self.highest_database, *rdb.key_counts.dbs, 0)
        self.vector_adds.add_preamble(rdb)

    def add(self, part: str, batch: RecordBatch, i: int) -> None:
        """Examine record `i` of a batch, and count it if it would fail at load.

        The record is one of those that the ContextTracker has selected for examination.
        """
        examine = self._examiners.get(batch.ids[i])
        if examine:
            examine(part, batch, i)
        if self.configuration.cluster and batch.ids[i] in self._multi_key_ids and not batch.oversized:
            self._check_slots(part, batch, i)

    def crash_reason(self, batch: RecordBatch, i: int) -> str:
        """Return why record `i`, a VADD or VREM, crashes servers that load it; empty if it does not."""
        if batch.ids[i] not in self.vector_adds.command_ids:
            return ""
        return self.vector_adds.add(batch, i, self.tracker.tx[i] != 0, self.tracker.db[i])

    def apply(self, verdicts: list[Verdict]) -> list[Verdict]:
        """Return the verdicts (how server versions load the AOF), with REPLAY_ERRORS where commands would fail."""
        by_server = defaultdict(list)
        for error in self.errors.values():
            for name in error.versions if error.code != CROSS_SLOT else ():
                by_server[name].append(error)
        return [_with_errors(verdict, by_server.get(verdict.server, ())) for verdict in verdicts]

    # -- one record --

    def _count(self, code: str, reason: str, versions: tuple[str, ...], part: str, span: Span) -> None:
        key = code, reason, versions
        if versions and (key in self.errors or len(self.errors) < _KINDS_MAX):
            error = self.errors.setdefault(key, ReplayError(*key, part, span))
            error.count += 1

    def _count_by_reason(self, code: str, reasons: dict[str, str], part: str, span: Span) -> None:
        """Count a failing command once for each reason.

        `reasons` maps a server version to its reason, empty if none.
        """
        for reason in dict.fromkeys(reasons.values()):
            names = tuple(name for name, shown in reasons.items() if shown == reason and reason)
            self._count(code, reason, names, part, span)

    def _check_database(self, part: str, batch: RecordBatch, i: int) -> None:
        db = self.tracker.db[i]
        self.highest_database = max(self.highest_database, db)
        if db >= self.configuration.selectable_databases:
            reason = "SELECT of a database that does not exist"
            self._count(SELECT_OUT_OF_RANGE, reason, self._names, part, batch.record_span(i))

    def _add_script(self, part: str, batch: RecordBatch, i: int) -> None:
        command = command_table().get(batch.ids[i])
        name = command.name if command else ""
        if name == "script|flush":
            self._scripts.clear()
            return
        if name not in ("eval", "eval_ro", "script|load"):
            return
        script = _argument(batch, i, 2 if name == "script|load" else 1)
        if script is None:
            return
        if len(self._scripts) >= _SCRIPTS_MAX:
            self._knows_scripts = False
            return
        digest = hashlib.sha1(usedforsecurity=False)
        for piece in _pieces(script):
            digest.update(piece)
        self._scripts.add(digest.hexdigest().encode())

    def _check_script(self, part: str, batch: RecordBatch, i: int) -> None:
        sha = _argument(batch, i, 1)
        if self._knows_scripts and isinstance(sha, bytes) and sha.lower() not in self._scripts:
            reason = "EVALSHA of a script that this log does not define"
            self._count(SCRIPT_UNDEFINED, reason, self._names, part, batch.record_span(i))

    def _check_payload(self, part: str, batch: RecordBatch, i: int) -> None:
        argument = _argument(batch, i, 3)
        if argument is None:
            return
        payload = read_payload(_pieces(argument), len(argument) if isinstance(argument, bytes) else argument.size)
        reasons = {version.name: payload_rejection(version, payload) for version in self.versions}
        self._count_by_reason(PAYLOAD_UNREADABLE, reasons, part, batch.record_span(i))

    def _check_options(self, part: str, batch: RecordBatch, i: int) -> None:
        command = command_table().get(batch.ids[i])
        if command is None or batch.oversized or not FIRST_OPTION < batch.argc[i] <= _ARGUMENTS_MAX:
            return
        argv = batch.argv(i)
        reasons = {version.name: unknown_option(version, command.name, argv) for version in self.versions}
        if any(reasons.values()):
            self._count_by_reason(OPTIONS_UNKNOWN, reasons, part, batch.record_span(i))
            self._invalid_options += 1
        else:
            self._valid_options += 1
        self._limit_options()

    def _limit_options(self) -> None:
        """Stop examining commands with usual options after a sample without errors, and with any options after many."""
        if self._invalid_options == COUNTED_MAX or (
            self._invalid_options == 0 and self._valid_options == SAMPLED_UNUSUAL
        ):
            self.options_uncounted = self._invalid_options > 0
            self.tracker.limit_arguments({})
        elif self._invalid_options == 0 and self._valid_options == SAMPLED:
            self.tracker.limit_arguments(dict.fromkeys(self._option_ids, _USUAL_ARGC))

    def _check_slots(self, part: str, batch: RecordBatch, i: int) -> None:
        command = command_table().get(batch.ids[i])
        argv = batch.argv(i)
        if command and spans_slots(argv[at] for at in key_indexes(command, argv)):
            reason = "a command with keys in more than one slot"
            self._count(CROSS_SLOT, reason, self._names, part, batch.record_span(i))


def _with_errors(verdict: Verdict, errors: Sequence[ReplayError]) -> Verdict:
    if verdict.with_support is not None:
        verdict = replace(verdict, with_support=_with_errors(verdict.with_support, errors))
    if verdict.outcome is not Outcome.LOADS or not errors:
        return verdict
    count, first = sum(error.count for error in errors), errors[0]
    commands = text.format_count(count, "command")
    reason = f"{commands} {'fails' if count == 1 else 'fail'} at replay, first {first.reason}"
    return replace(verdict, outcome=Outcome.REPLAY_ERRORS, part=first.part, offset=first.span.start, reason=reason)


def _has_many_keys(command: CommandSpec) -> bool:
    """Whether a command is a write that can name more than one key."""
    specs = command.key_specs
    return "write" in command.flags and (len(specs) > 1 or any(spec[1] != 0 for spec in specs))


def _argument(batch: RecordBatch, i: int, index: int) -> Arg | None:
    """Return argument `index` of a record (0 is the command name), or None if the record has fewer."""
    if batch.argc[i] <= index:
        return None
    if not batch.oversized:
        return batch.argv(i, index + 1)[index]
    return next(arg for at, arg in enumerate(batch.args(i)) if at == index)


def _pieces(argument: Arg) -> Iterator[bytes]:
    return iter((argument,)) if isinstance(argument, bytes) else argument.pieces()
