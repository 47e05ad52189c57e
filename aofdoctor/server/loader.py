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
from aofdoctor.server.command_table import Command, table
from aofdoctor.server.compatibility import command_rejection, flag_rejected, rdb_rejection
from aofdoctor.server.context._pytracker import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.lenient_parser import ParsedRecord, ParseResult, parse_leniently
from aofdoctor.server.verdict import Outcome, Stop, TruncationHazard, Verdict, verdicts
from aofdoctor.server.versions import ServerVersion
from aofdoctor.source import Source


@dataclass(slots=True)
class _Run:
    version: ServerVersion
    stop: Stop | None = None
    last: bool = True


@dataclass(slots=True)
class Loader:
    """The lines that judge, fed by a walk over the parts in load order."""

    versions: Sequence[ServerVersion]
    tracker: ContextTracker
    runs: list[_Run] = field(init=False)
    hidden_flushes: dict[tuple[str, int], str] = field(default_factory=dict)  # in damage that some line reads over
    _part: str = ""
    _source: Source | None = None
    _last: bool = True
    _preamble_end: int = 0
    _parted: bool = False

    def __post_init__(self) -> None:
        self.runs = [_Run(line) for line in self.versions]
        flag_rejected(self.tracker, self.versions)

    # -- what the walk meets --

    def begin(self, part: str, source: Source, last: bool) -> None:
        """A part begins; the steps have begun it too."""
        self._part, self._source, self._last = part, source, last
        self._preamble_end, self._parted = 0, False

    def preamble(self, rdb: Preamble) -> None:
        """The RDB at the head of the part: a line that does not read it refuses."""
        self._preamble_end = rdb.span.end
        for run in self._going():
            reason = rdb_rejection(run.version, rdb)
            if reason:
                self._settle(run, Stop(Outcome.REFUSES, self._part, 0, reason))

    def check_flagged(self, batch: RecordBatch, i: int) -> None:
        """A record that the steps have noted."""
        if self._parted:
            return
        for run in self._going():
            stop = self._judge(run.version, batch, i)
            if stop:
                self._settle(run, stop)

    def damage(self, damage: Damage) -> None:
        """Damage: each line that still goes on reads the rest of the part by itself."""
        if self._parted:
            return
        self._parted = True
        for run in self._going():
            if damage.kind is DamageKind.UNREADABLE:
                self._settle(
                    run, Stop(Outcome.REFUSES, self._part, damage.span.start, "the disk does not give all of it")
                )
                continue
            stop = self._read_on(run.version, damage.span.start)
            if stop:
                self._settle(run, stop)

    def end(self) -> None:
        """The part ends."""
        if self._parted:
            return
        for run in self._going():
            stop = self._at_end(run.version, self.tracker.state)
            if stop:
                self._settle(run, stop)

    def refuse(self, part: str, reason: str) -> None:
        """Every line that still goes on refuses, before or instead of reading a part."""
        for run in self._going():
            self._settle(run, Stop(Outcome.REFUSES, part, 0, reason))

    def verdicts(self) -> list[Verdict]:
        """By line, first with aof-load-truncated yes (the default), then no."""
        return [verdict for run in self.runs for verdict in verdicts(run.version, run.stop, run.last)]

    # -- how a line judges --

    def _going(self) -> list[_Run]:
        return [run for run in self.runs if run.stop is None]

    def _settle(self, run: _Run, stop: Stop) -> None:
        run.stop, run.last = stop, self._last
        flag_rejected(self.tracker, [run.version for run in self._going()])

    def _judge(self, version: ServerVersion, batch: RecordBatch, i: int) -> Stop | None:
        record = batch.record_span(i)
        if batch.ids[i] == ANNOTATION:
            if version.annotations and record.size < version.header_max:
                return None
            if version.annotations:
                return self._read_on(version, record.start)
            return Stop(Outcome.REFUSES, self._part, record.start, "an annotation: this line does not know them")
        command = table().get(batch.ids[i])
        name = b"" if command else next(batch.args(i))
        head = name if isinstance(name, bytes) else name.head(64)
        found = command_rejection(version, command, batch.argc[i], head)
        return Stop(found[0], self._part, record.start, found[1]) if found else None

    def _at_end(self, version: ServerVersion, state: "array[int]") -> Stop | None:
        if state[ContextField.TX] <= 0:
            return None
        reason = f"the MULTI at {state[ContextField.MULTI_START]} has no EXEC"
        return self._short(version, state, state[ContextField.MULTI_START], reason, in_record=False)

    def _short(self, version: ServerVersion, state: "array[int]", offset: int, reason: str, in_record: bool) -> Stop:
        """A short read at `offset`: where the line would cut, and the traps in that."""
        open_multi = state[ContextField.TX] > 0
        whole = open_multi and (version.reverts == "always" or (version.reverts == "eof" and not in_record))
        cut = state[ContextField.BEFORE_MULTI if whole else ContextField.COMMAND_END]
        if version.keeps_preamble:
            cut = max(cut, self._preamble_end)
        hazards = []
        if open_multi and cut > state[ContextField.MULTI_START]:
            hazards.append(TruncationHazard.SWALLOWS)
        if cut < self._preamble_end:
            hazards.append(TruncationHazard.LOSES_PREAMBLE)
        if not self._last:
            hazards.append(TruncationHazard.NOT_LAST)
        return Stop(Outcome.TRUNCATES, self._part, offset, reason, cut, tuple(hazards))

    def _read_on(self, version: ServerVersion, offset: int) -> Stop | None:
        """Read from `offset` to the end of the part as the line's own loop does."""
        assert self._source is not None
        tracker, peek = ContextTracker(), ReadWindow(self._source)
        tracker.state[:] = self.tracker.state
        flag_rejected(tracker, [version])
        while True:
            parsed = parse_leniently(peek, offset, version.header_max, version.annotations)
            stop = self._after_reading(version, tracker, offset, parsed)
            if stop or parsed.result is ParseResult.END:
                return stop
            offset = parsed.end
            for batch in read_batches(self._source, table().names, offset):
                for i in tracker.run(batch):
                    if stop := self._judge_strict(version, batch, i):
                        return stop
                offset = batch.span.end

    def _judge_strict(self, version: ServerVersion, batch: RecordBatch, i: int) -> Stop | None:
        """As _judge, but a line too long for one piece ends it: what follows was no record to this line."""
        if batch.ids[i] == ANNOTATION and batch.record_span(i).size >= version.header_max:
            place = batch.record_span(i).start
            return Stop(Outcome.REFUSES, self._part, place, "an annotation longer than a server's line buffer")
        return self._judge(version, batch, i)

    def _after_reading(
        self, version: ServerVersion, tracker: ContextTracker, offset: int, parsed: ParsedRecord
    ) -> Stop | None:
        if parsed.result is ParseResult.END:
            return self._at_end(version, tracker.state)
        if parsed.result is ParseResult.SHORT:
            return self._short(version, tracker.state, offset, parsed.reason, in_record=True)
        if parsed.result in _STOPS:
            does, words = _STOPS[parsed.result]
            return Stop(does, self._part, offset, f"{words}: {parsed.reason}")
        if parsed.result is ParseResult.RECORD:
            command = _find(parsed)
            found = command_rejection(version, command, parsed.argc, parsed.first[0])
            if found:
                return Stop(found[0], self._part, offset, found[1])
            if command and "flush" in command.effects:
                self.hidden_flushes.setdefault((self._part, offset), command.name)
            _apply(tracker.state, command, parsed, offset)
        return None


_STOPS = {
    ParseResult.FORMAT: (Outcome.REFUSES, "bad file format"),
    ParseResult.UNRECOVERABLE: (Outcome.REFUSES, "unrecoverable read error"),
    ParseResult.UNDEFINED: (Outcome.UNDEFINED, "it may run out of memory or crash"),
}


def _find(reading: ParsedRecord) -> Command | None:
    ids = table().names.ids
    number = ids.get(reading.name, UNKNOWN)
    if len(reading.first) > 1:
        number = ids.get(reading.name + b"|" + reading.first[1].lower(), number)
    return table().get(number)


def _apply(state: "array[int]", command: Command | None, reading: ParsedRecord, offset: int) -> None:
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
