"""Predict what each server version does with an AOF when it loads it.

Algorithm: all versions read the same records, so one walk serves them all, and only the records that at least one of
them could reject are examined.  At the first damage the versions diverge: each reads on by itself to the end of the
file, with the rules of its own load loop (lenient_parser.py).

Source: aof.c of the versions in versions.py; tests/corpus compares every verdict with the behaviour of real servers.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aofdoctor.aof.constants import ANNOTATION, UNKNOWN
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.aof.reader import read_batches
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.server.command_table import CommandSpec, command_table
from aofdoctor.server.compatibility import (
    Rejection,
    command_rejection,
    dump_rejection,
    flag_rejected,
    has_subcommands,
    rdb_rejection,
)
from aofdoctor.server.configuration import DEFAULT_CONFIGURATION, ServerConfiguration
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.lenient_parser import ParsedRecord, ParseResult, parse_leniently
from aofdoctor.server.module_types import lacking_reason, missing_module_types
from aofdoctor.server.verdict import LoadStop, Outcome, TruncationHazard, Verdict, verdicts
from aofdoctor.server.versions import ServerVersion
from aofdoctor.source import Source


@dataclass(slots=True)
class _VersionState:
    """How far one server version has come in the simulated load; `stop` is None while it is still loading.

    `lacking` is the refusal of the first command that the version does not have.  The load goes on after it, because
    the server that wrote the command has it.
    """

    version: ServerVersion
    stop: LoadStop | None = None
    lacking: LoadStop | None = None
    in_last_part: bool = True


@dataclass(slots=True)
class Loader:
    """Simulates how several server versions load an AOF, during one pass over its files in load order.

    The caller passes each file and each piece of it (commands, RDB, damage) to both the `tracker` and this object, and
    asks for verdicts() at the end.  `hidden_flushes` maps (file name, offset) to the name of a FLUSHALL or FLUSHDB
    inside damage that at least one version executes.  `writer_is_newer`: the server that wrote the AOF is newer than
    all versions, so that an RDB version which none of them reads is expected.  All versions have the same
    `configuration`.  `is_dump`: the file is judged as a dump.rdb, not as an AOF.
    """

    versions: Sequence[ServerVersion]
    tracker: ContextTracker
    writer_is_newer: bool = False
    configuration: ServerConfiguration = DEFAULT_CONFIGURATION
    states: list[_VersionState] = field(init=False)
    hidden_flushes: dict[tuple[str, int], str] = field(default_factory=dict)
    _part: str = ""
    _source: Source | None = None
    _in_last_part: bool = True
    is_dump: bool = False
    _preamble_end: int = 0
    _diverged: bool = False
    _lacked_ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.states = [_VersionState(version) for version in self.versions]
        flag_rejected(self.tracker, self.versions)

    # -- events of the walk --

    def begin_part(self, part: str, source: Source, last: bool) -> None:
        """Begin the next file of the AOF, after the ContextTracker has begun it; `last`: it is the last file."""
        self._part, self._source, self._in_last_part = part, source, last
        self._preamble_end, self._diverged = 0, False

    def check_preamble(self, rdb: Preamble, module_types: Sequence[str] = ()) -> None:
        """Process the RDB preamble of the part: a version that cannot read it refuses.

        `module_types` are those of its values and auxiliary fields; a version without them refuses, unless it has a
        module that provides them.
        """
        self._preamble_end = rdb.span.end
        for state in self._still_loading():
            reason = dump_rejection(state.version, rdb) if self.is_dump else rdb_rejection(state.version, rdb)
            if reason and self.writer_is_newer and rdb.version > state.version.newest_rdb(rdb.dialect) > 0:
                state.lacking = LoadStop(Outcome.REFUSES, self._part, 0, reason)
            elif reason and not rdb.codec and state.version.newest_rdb(rdb.dialect):
                self._stop(state, LoadStop(Outcome.REFUSES, self._part, 0, reason))
            elif reason:
                self._stop(state, self._format_error(state.version, self.tracker.state, 0, reason))
            elif reason := self._database_rejection(rdb):
                self._stop(state, LoadStop(Outcome.REFUSES, self._part, 0, reason))
            elif missing := missing_module_types(state.version, list(module_types)):
                state.lacking = state.lacking or LoadStop(Outcome.REFUSES, self._part, 0, lacking_reason(missing))

    def check_flagged(self, batch: RecordBatch, i: int) -> None:
        """Stop the server versions that reject record `i` of a batch, or note that they lack the command.

        The record is one of those that the ContextTracker has selected for examination.
        """
        if self._diverged:
            return
        for state in self._still_loading():
            stop = self._check_record(state, batch, i)
            if stop:
                self._stop(state, stop)
        if batch.ids[i] not in self._lacked_ids and self._is_lacked(batch.ids[i]):
            self._lacked_ids |= {batch.ids[i]}
            self._flag()

    def read_past_damage(self, damage: Damage) -> None:
        """Let each server version that is still loading read on after damage, by its own rules, to the file's end."""
        if self._diverged:
            return
        self._diverged = True
        for state in self._still_loading():
            if damage.kind is DamageKind.UNREADABLE:
                self._stop(
                    state, LoadStop(Outcome.REFUSES, self._part, damage.span.start, "the disk does not give all of it")
                )
                continue
            stop = self._read_on(state, damage.span.start)
            if stop:
                self._stop(state, stop)

    def end_part(self) -> None:
        """End the current file: versions that are still loading truncate it if a MULTI has no EXEC."""
        if self._diverged:
            return
        for state in self._still_loading():
            stop = self._at_end(state.version, self.tracker.state)
            if stop:
                self._stop(state, stop)

    def refuse_part(self, part: str, reason: str, offset: int = 0) -> None:
        """Make every server version that is still loading refuse the AOF because of one file, which is not read."""
        for state in self._still_loading():
            self._stop(state, LoadStop(Outcome.REFUSES, part, offset, reason))

    def verdicts(self) -> list[Verdict]:
        """Return the predictions for each server version, first with aof-load-truncated yes (the default), then no."""
        return [
            verdict
            for state in self.states
            for verdict in verdicts(
                state.version, state.stop, state.in_last_part, state.lacking, self.configuration.corrupt_tail
            )
        ]

    # -- the decision of one version --

    def _still_loading(self) -> list[_VersionState]:
        return [state for state in self.states if state.stop is None]

    def _stop(self, state: _VersionState, stop: LoadStop) -> None:
        state.stop, state.in_last_part = stop, self._in_last_part
        self._flag()

    def _flag(self) -> None:
        """Make the ContextTracker return the records that a version which is still loading could reject.

        Commands that are already known to be lacking in a version are left out.
        """
        flag_rejected(self.tracker, [state.version for state in self._still_loading()], self._lacked_ids)

    def _is_lacked(self, command_id: int) -> bool:
        """Whether a command with a usual number of arguments can only be rejected by versions that do not have it."""
        command = command_table().get(command_id)
        return command_id == UNKNOWN or (command is not None and not has_subcommands(command))

    def _check_record(self, state: _VersionState, batch: RecordBatch, i: int) -> LoadStop | None:
        version, record = state.version, batch.record_span(i)
        if batch.ids[i] == ANNOTATION:
            if version.skips_annotations and record.size < version.header_max:
                return None
            if version.skips_annotations:
                return self._read_on(state, record.start)
            return LoadStop(Outcome.REFUSES, self._part, record.start, "an annotation: this line does not know them")
        command = command_table().get(batch.ids[i])
        if command is None and state.lacking:
            return None
        name = b"" if command else next(batch.args(i))
        head = name if isinstance(name, bytes) else name.head(64)
        return self._reject(state, record.start, command_rejection(version, command, batch.argc[i], head))

    def _reject(self, state: _VersionState, offset: int, rejection: Rejection | None) -> LoadStop | None:
        """Return how a version stops at a command that it rejects, or None if it accepts or only lacks the command.

        A lacking command is noted, and the simulated load goes on.
        """
        if rejection is None:
            return None
        stop = LoadStop(rejection.outcome, self._part, offset, rejection.reason)
        if not rejection.is_lacking:
            return stop
        state.lacking = state.lacking or stop
        return None

    def _at_end(self, version: ServerVersion, state: "array[int]") -> LoadStop | None:
        if state[ContextField.TX] <= 0:
            return None
        reason = f"the MULTI at {state[ContextField.MULTI_START]} has no EXEC"
        return self._short_read(version, state, state[ContextField.MULTI_START], reason, in_record=False)

    def _short_read(
        self, version: ServerVersion, state: "array[int]", offset: int, reason: str, in_record: bool
    ) -> LoadStop:
        """Return how a version stops when a file ends too early, with the size after truncation and the harm this does.

        `offset` is the place of the unfinished record or MULTI; `in_record`: the file ends inside a record.
        """
        open_multi = state[ContextField.TX] > 0
        reverts_multi = open_multi and (
            version.reverts_multi == "always" or (version.reverts_multi == "eof" and not in_record)
        )
        cut = state[ContextField.BEFORE_MULTI if reverts_multi else ContextField.COMMAND_END]
        if version.keeps_preamble:
            cut = max(cut, self._preamble_end)
        hazards = []
        if open_multi and cut > state[ContextField.MULTI_START]:
            hazards.append(TruncationHazard.OPEN_MULTI_SWALLOWS)
        if cut < self._preamble_end:
            hazards.append(TruncationHazard.CUT_LOSES_PREAMBLE)
        if not self._in_last_part:
            hazards.append(TruncationHazard.CUT_NOT_LAST)
        return LoadStop(Outcome.TRUNCATES, self._part, offset, reason, cut, tuple(hazards))

    def _format_error(self, version: ServerVersion, state: "array[int]", offset: int, reason: str) -> LoadStop:
        """Return how a version stops at bytes that are no record, with the cut by aof-load-corrupt-tail-max-size."""
        stop = LoadStop(Outcome.REFUSES, self._part, offset, reason)
        size = self._source.size if self._source else None
        if not version.has_corrupt_tail_option or size is None:
            return stop
        cut = min(state[ContextField.COMMAND_END], offset)
        hazards = []
        if state[ContextField.TX] > 0 and cut > state[ContextField.MULTI_START]:
            hazards.append(TruncationHazard.OPEN_MULTI_SWALLOWS)
        if cut < self._preamble_end:
            hazards.append(TruncationHazard.CUT_LOSES_PREAMBLE)
        if not self._in_last_part:
            hazards.append(TruncationHazard.CUT_NOT_LAST)
        return replace(stop, hazards=tuple(hazards), corrupt_tail_cut=cut, corrupt_tail_size=size - cut)

    def _database_rejection(self, rdb: Preamble) -> str:
        """Return why the configuration does not allow an RDB with keys in a database that does not exist; else ""."""
        limit = self.configuration.selectable_databases
        highest = max(rdb.key_counts.dbs, default=0) if rdb.key_counts else 0
        if highest < limit:
            return ""
        setting = "a cluster" if self.configuration.cluster else f"databases {limit}"
        return f"the RDB has keys in database {highest}, which {setting} does not have"

    def crash(self, versions: frozenset[str], offset: int, reason: str) -> None:
        """Stop the named server versions, because the record at an offset of the current file crashes them."""
        for state in self._still_loading() if not self._diverged else ():
            if state.version.name in versions:
                self._stop(state, LoadStop(Outcome.UNDEFINED, self._part, offset, reason))

    def _read_on(self, state: _VersionState, offset: int) -> LoadStop | None:
        """Read the file from an offset to its end as a server version does, and return where it stops, or None."""
        assert self._source is not None
        version, tracker, window = state.version, ContextTracker(), ReadWindow(self._source)
        tracker.state[:] = self.tracker.state
        tracker.state[ContextField.COMMAND_END] = min(tracker.state[ContextField.COMMAND_END], offset)
        flag_rejected(tracker, [version], self._lacked_ids)
        while True:
            parsed = parse_leniently(window, offset, version.header_max, version.skips_annotations)
            stop = self._after_reading(state, tracker, offset, parsed)
            if stop or parsed.result is ParseResult.END:
                return stop
            offset = parsed.end
            for batch in read_batches(self._source, command_table().names, offset):
                for i in tracker.track(batch):
                    if stop := self._check_record_strictly(state, tracker.state, batch, i):
                        return stop
                offset = batch.span.end

    def _check_record_strictly(
        self, state: _VersionState, state_fields: "array[int]", batch: RecordBatch, i: int
    ) -> LoadStop | None:
        """Check a record after damage, where an annotation longer than the server's line buffer stops the load.

        The server would read the rest of the annotation as a new line, which is not a record.
        """
        if batch.ids[i] == ANNOTATION and batch.record_span(i).size >= state.version.header_max:
            place = batch.record_span(i).start
            reason = "an annotation longer than a server's line buffer"
            return self._format_error(state.version, state_fields, place, reason)
        return self._check_record(state, batch, i)

    def _after_reading(
        self, state: _VersionState, tracker: ContextTracker, offset: int, parsed: ParsedRecord
    ) -> LoadStop | None:
        version = state.version
        if parsed.result is ParseResult.END:
            return self._at_end(version, tracker.state)
        if parsed.result is ParseResult.SHORT:
            return self._short_read(version, tracker.state, offset, parsed.reason, in_record=True)
        if parsed.result is ParseResult.FORMAT:
            return self._format_error(version, tracker.state, offset, f"bad file format: {parsed.reason}")
        if parsed.result in _STOPS:
            outcome, message = _STOPS[parsed.result]
            return LoadStop(outcome, self._part, offset, f"{message}: {parsed.reason}")
        if parsed.result is ParseResult.RECORD:
            command = _find_command(parsed)
            rejection = command_rejection(version, command, parsed.argc, parsed.first_args[0])
            if stop := self._reject(state, offset, rejection):
                return stop
            if command and rejection is None and "flush" in command.effects:
                self.hidden_flushes.setdefault((self._part, offset), command.name)
            _apply_command(tracker.state, command, parsed, offset)
        return None


_STOPS = {
    ParseResult.UNRECOVERABLE: (Outcome.REFUSES, "unrecoverable read error"),
    ParseResult.UNDEFINED: (Outcome.UNDEFINED, "it may run out of memory or crash"),
}


def _find_command(parsed: ParsedRecord) -> CommandSpec | None:
    ids = command_table().names.ids
    number = ids.get(parsed.name, UNKNOWN)
    if len(parsed.first_args) > 1:
        number = ids.get(parsed.name + b"|" + parsed.first_args[1].lower(), number)
    return command_table().get(number)


def _apply_command(state: "array[int]", command: CommandSpec | None, parsed: ParsedRecord, offset: int) -> None:
    """Update the context (database, transaction, offsets) with a command that the tracker cannot read, after damage.

    `state` is that of a ContextTracker; the rules are those of context/tracker.h.
    """
    name = command.name if command else ""
    if name == "multi":
        state[ContextField.BEFORE_MULTI] = state[ContextField.COMMAND_END]
        if state[ContextField.TX] <= 0:
            state[ContextField.TRANSACTIONS] += 1
            state[ContextField.TX], state[ContextField.MULTI_START] = state[ContextField.TRANSACTIONS], offset
    elif name == "exec":
        state[ContextField.TX] = 0
    state[ContextField.COMMAND_END] = parsed.end
