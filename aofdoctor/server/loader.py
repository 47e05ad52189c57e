"""What each server line would do with an AOF: the verdict, and the traps in it.

Strategy: all lines read the same records, so one walk serves them; the walk
tells of a record only if some line that still goes on does not know its name
or would not take its number of arguments.  At the first damage the lines part
ways: each reads on by itself, as its own loop would (lenient.py), to the end of
the part.

Source: aof.c of the lines named in lines.py; tests/test_corpus.py compares
every verdict with what real servers did.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from aofdoctor.aof.constants import ANNOTATION, UNKNOWN
from aofdoctor.aof.diagnosis import ReadWindow
from aofdoctor.aof.reader import read_batches
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.server.command_table import CommandSpec, command_table
from aofdoctor.server.compatibility import command_rejection, flag_rejected, rdb_rejection
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.lenient_parser import ParsedRecord, ParseResult, parse_leniently
from aofdoctor.server.verdict import LoadStop, Outcome, TruncationHazard, Verdict, verdicts
from aofdoctor.server.versions import ServerVersion
from aofdoctor.source import Source


@dataclass(slots=True)
class _VersionState:
    version: ServerVersion
    stop: LoadStop | None = None
    in_last_part: bool = True


@dataclass(slots=True)
class Loader:
    """The lines that judge, fed by a walk over the parts in load order."""

    versions: Sequence[ServerVersion]
    tracker: ContextTracker
    states: list[_VersionState] = field(init=False)
    hidden_flushes: dict[tuple[str, int], str] = field(default_factory=dict)  # in damage that some line reads over
    _part: str = ""
    _source: Source | None = None
    _in_last_part: bool = True
    _preamble_end: int = 0
    _diverged: bool = False

    def __post_init__(self) -> None:
        self.states = [_VersionState(line) for line in self.versions]
        flag_rejected(self.tracker, self.versions)

    # -- what the walk meets --

    def begin_part(self, part: str, source: Source, last: bool) -> None:
        """A part begins; the steps have begun it too."""
        self._part, self._source, self._in_last_part = part, source, last
        self._preamble_end, self._diverged = 0, False

    def check_preamble(self, rdb: Preamble) -> None:
        """The RDB at the head of the part: a line that does not read it refuses."""
        self._preamble_end = rdb.span.end
        for run in self._still_loading():
            reason = rdb_rejection(run.version, rdb)
            if reason:
                self._stop(run, LoadStop(Outcome.REFUSES, self._part, 0, reason))

    def check_flagged(self, batch: RecordBatch, i: int) -> None:
        """A record that the steps have noted."""
        if self._diverged:
            return
        for run in self._still_loading():
            stop = self._check_record(run.version, batch, i)
            if stop:
                self._stop(run, stop)

    def read_past_damage(self, damage: Damage) -> None:
        """Damage: each line that still goes on reads the rest of the part by itself."""
        if self._diverged:
            return
        self._diverged = True
        for run in self._still_loading():
            if damage.kind is DamageKind.UNREADABLE:
                self._stop(
                    run, LoadStop(Outcome.REFUSES, self._part, damage.span.start, "the disk does not give all of it")
                )
                continue
            stop = self._read_on(run.version, damage.span.start)
            if stop:
                self._stop(run, stop)

    def end_part(self) -> None:
        """The part ends."""
        if self._diverged:
            return
        for run in self._still_loading():
            stop = self._at_end(run.version, self.tracker.state)
            if stop:
                self._stop(run, stop)

    def refuse_part(self, part: str, reason: str) -> None:
        """Every line that still goes on refuses, before or instead of reading a part."""
        for run in self._still_loading():
            self._stop(run, LoadStop(Outcome.REFUSES, part, 0, reason))

    def verdicts(self) -> list[Verdict]:
        """By line, first with aof-load-truncated yes (the default), then no."""
        return [verdict for run in self.states for verdict in verdicts(run.version, run.stop, run.in_last_part)]

    # -- how a line judges --

    def _still_loading(self) -> list[_VersionState]:
        return [run for run in self.states if run.stop is None]

    def _stop(self, run: _VersionState, stop: LoadStop) -> None:
        run.stop, run.in_last_part = stop, self._in_last_part
        flag_rejected(self.tracker, [run.version for run in self._still_loading()])

    def _check_record(self, version: ServerVersion, batch: RecordBatch, i: int) -> LoadStop | None:
        record = batch.record_span(i)
        if batch.ids[i] == ANNOTATION:
            if version.skips_annotations and record.size < version.header_max:
                return None
            if version.skips_annotations:
                return self._read_on(version, record.start)
            return LoadStop(Outcome.REFUSES, self._part, record.start, "an annotation: this line does not know them")
        command = command_table().get(batch.ids[i])
        name = b"" if command else next(batch.args(i))
        head = name if isinstance(name, bytes) else name.head(64)
        rejection = command_rejection(version, command, batch.argc[i], head)
        return LoadStop(rejection[0], self._part, record.start, rejection[1]) if rejection else None

    def _at_end(self, version: ServerVersion, state: "array[int]") -> LoadStop | None:
        if state[ContextField.TX] <= 0:
            return None
        reason = f"the MULTI at {state[ContextField.MULTI_START]} has no EXEC"
        return self._short_read(version, state, state[ContextField.MULTI_START], reason, in_record=False)

    def _short_read(
        self, version: ServerVersion, state: "array[int]", offset: int, reason: str, in_record: bool
    ) -> LoadStop:
        """A short read at `offset`: where the line would cut, and the traps in that."""
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

    def _read_on(self, version: ServerVersion, offset: int) -> LoadStop | None:
        """Read from `offset` to the end of the part as the line's own loop does."""
        assert self._source is not None
        tracker, peek = ContextTracker(), ReadWindow(self._source)
        tracker.state[:] = self.tracker.state
        flag_rejected(tracker, [version])
        while True:
            parsed = parse_leniently(peek, offset, version.header_max, version.skips_annotations)
            stop = self._after_reading(version, tracker, offset, parsed)
            if stop or parsed.result is ParseResult.END:
                return stop
            offset = parsed.end
            for batch in read_batches(self._source, command_table().names, offset):
                for i in tracker.track(batch):
                    if stop := self._check_record_strictly(version, batch, i):
                        return stop
                offset = batch.span.end

    def _check_record_strictly(self, version: ServerVersion, batch: RecordBatch, i: int) -> LoadStop | None:
        """As _judge, but a line too long for one piece ends it: what follows was no record to this line."""
        if batch.ids[i] == ANNOTATION and batch.record_span(i).size >= version.header_max:
            place = batch.record_span(i).start
            return LoadStop(Outcome.REFUSES, self._part, place, "an annotation longer than a server's line buffer")
        return self._check_record(version, batch, i)

    def _after_reading(
        self, version: ServerVersion, tracker: ContextTracker, offset: int, parsed: ParsedRecord
    ) -> LoadStop | None:
        if parsed.result is ParseResult.END:
            return self._at_end(version, tracker.state)
        if parsed.result is ParseResult.SHORT:
            return self._short_read(version, tracker.state, offset, parsed.reason, in_record=True)
        if parsed.result in _STOPS:
            does, words = _STOPS[parsed.result]
            return LoadStop(does, self._part, offset, f"{words}: {parsed.reason}")
        if parsed.result is ParseResult.RECORD:
            command = _find_command(parsed)
            rejection = command_rejection(version, command, parsed.argc, parsed.first_args[0])
            if rejection:
                return LoadStop(rejection[0], self._part, offset, rejection[1])
            if command and "flush" in command.effects:
                self.hidden_flushes.setdefault((self._part, offset), command.name)
            _apply_command(tracker.state, command, parsed, offset)
        return None


_STOPS = {
    ParseResult.FORMAT: (Outcome.REFUSES, "bad file format"),
    ParseResult.UNRECOVERABLE: (Outcome.REFUSES, "unrecoverable read error"),
    ParseResult.UNDEFINED: (Outcome.UNDEFINED, "it may run out of memory or crash"),
}


def _find_command(reading: ParsedRecord) -> CommandSpec | None:
    ids = command_table().names.ids
    number = ids.get(reading.name, UNKNOWN)
    if len(reading.first_args) > 1:
        number = ids.get(reading.name + b"|" + reading.first_args[1].lower(), number)
    return command_table().get(number)


def _apply_command(state: "array[int]", command: CommandSpec | None, reading: ParsedRecord, offset: int) -> None:
    """What a record does to the context, as in steps.h."""
    name = command.name if command else ""
    if name == "multi":
        state[ContextField.BEFORE_MULTI] = state[ContextField.COMMAND_END]
        if state[ContextField.TX] <= 0:
            state[ContextField.TRANSACTIONS] += 1
            state[ContextField.TX], state[ContextField.MULTI_START] = state[ContextField.TRANSACTIONS], offset
    elif name == "exec":
        state[ContextField.TX] = 0
    state[ContextField.COMMAND_END] = reading.end
