"""What each server line would do with an AOF: the verdict, and the traps in it.

Strategy: all lines read the same records, so one walk serves them; the walk
tells of a record only if some line that still goes on does not know its name
or would not take its number of arguments.  At the first damage the lines part
ways: each reads on by itself, as its own loop would (lenient.py), to the end of
the part.

Source: aof.c of the lines named in lines.py; tests/test_corpus.py compares
every verdict with what real servers did.
"""

import functools
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from aofdoctor import text
from aofdoctor.aof.peek import Peek
from aofdoctor.aof.reader import read_batches
from aofdoctor.aof.record import ANNOTATION, ARGC_MAX, UNKNOWN, Batch, Preamble
from aofdoctor.damage import Damage
from aofdoctor.server.commands import Command, arity_fits, table
from aofdoctor.server.lenient import Outcome, Reading, read_record
from aofdoctor.server.lines import LINES, Line, column
from aofdoctor.server.plain import State
from aofdoctor.server.steps import Steps
from aofdoctor.source import Source


class Does(StrEnum):
    """What a server does with an AOF; the value is the outcome in JSON."""

    LOADS = "loads"
    TRUNCATES = "truncates"
    REFUSES = "refuses"
    UNDEFINED = "undefined"
    STARTS_EMPTY = "starts-empty"
    NOT_APPLICABLE = "not-applicable"


class Trap(StrEnum):
    """What a server's own cut would do besides."""

    SWALLOWS = "open-multi-swallows"  # the cut leaves a MULTI open: every later write is queued behind it
    LOSES_PREAMBLE = "cut-loses-preamble"  # the cut is at 0, before the RDB
    NOT_LAST = "cut-not-last"  # a part is cut that is not the last: the second start loads with a gap


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one line would do; `offset` is where it cuts, or what it refuses."""

    server: str
    load_truncated: bool
    outcome: Does
    part: str = ""
    offset: int | None = None
    reason: str = ""
    traps: tuple[Trap, ...] = ()


@dataclass(frozen=True, slots=True)
class _Stop:
    """Why a line does not load a part whole; `cut` for a short read: where it would cut."""

    outcome: Does
    part: str
    offset: int
    reason: str
    cut: int | None = None
    traps: tuple[Trap, ...] = ()


@dataclass(slots=True)
class _Run:
    line: Line
    stop: _Stop | None = None
    last: bool = True


@dataclass(slots=True)
class Loader:
    """The lines that judge, fed by a walk over the parts in load order."""

    lines: Sequence[Line]
    steps: Steps
    runs: list[_Run] = field(init=False)
    _part: str = ""
    _source: Source | None = None
    _last: bool = True
    _preamble_end: int = 0
    _parted: bool = False

    def __post_init__(self) -> None:
        self.runs = [_Run(line) for line in self.lines]
        _watch(self.steps, self.lines)

    # -- what the walk meets --

    def begin(self, part: str, source: Source, last: bool) -> None:
        """A part begins; the steps have begun it too."""
        self._part, self._source, self._last = part, source, last
        self._preamble_end, self._parted = 0, False

    def preamble(self, rdb: Preamble) -> None:
        self._preamble_end = rdb.span.end
        for run in self._going():
            reason = _refuses_rdb(run.line, rdb)
            if reason:
                self._settle(run, _Stop(Does.REFUSES, self._part, 0, reason))

    def note(self, batch: Batch, i: int) -> None:
        """A record that the steps have noted."""
        if self._parted:
            return
        for run in self._going():
            stop = self._judge(run.line, batch, i)
            if stop:
                self._settle(run, stop)

    def damage(self, damage: Damage) -> None:
        """Damage: each line that still goes on reads the rest of the part by itself."""
        if self._parted:
            return
        self._parted = True
        for run in self._going():
            stop = self._read_on(run.line, damage.span.start)
            if stop:
                self._settle(run, stop)

    def end(self) -> None:
        """The part ends."""
        if self._parted:
            return
        for run in self._going():
            stop = self._at_end(run.line, self.steps.state)
            if stop:
                self._settle(run, stop)

    def refuse(self, part: str, reason: str) -> None:
        """Every line that still goes on refuses, before or instead of reading a part."""
        for run in self._going():
            self._settle(run, _Stop(Does.REFUSES, part, 0, reason))

    def verdicts(self) -> list[Verdict]:
        """By line, first with aof-load-truncated yes (the default), then no."""
        return [verdict for run in self.runs for verdict in _verdicts(run)]

    # -- how a line judges --

    def _going(self) -> list[_Run]:
        return [run for run in self.runs if run.stop is None]

    def _settle(self, run: _Run, stop: _Stop) -> None:
        run.stop, run.last = stop, self._last
        _watch(self.steps, [run.line for run in self._going()])

    def _judge(self, line: Line, batch: Batch, i: int) -> _Stop | None:
        record = batch.record(i)
        if batch.ids[i] == ANNOTATION:
            if line.annotations and record.size < line.header_max:
                return None
            if line.annotations:
                return self._read_on(line, record.start)
            return _Stop(Does.REFUSES, self._part, record.start, "an annotation: this line does not know them")
        command = table().get(batch.ids[i])
        name = b"" if command else next(batch.args(i))
        head = name if isinstance(name, bytes) else name.head(64)
        problem = _problem(line, command, batch.argc[i], head)
        return _Stop(problem[0], self._part, record.start, problem[1]) if problem else None

    def _at_end(self, line: Line, state: "array[int]") -> _Stop | None:
        if state[State.TX] <= 0:
            return None
        reason = f"the MULTI at {state[State.MULTI_START]} has no EXEC"
        return self._short(line, state, state[State.MULTI_START], reason, in_record=False)

    def _short(self, line: Line, state: "array[int]", offset: int, reason: str, in_record: bool) -> _Stop:
        """A short read at `offset`: where the line would cut, and the traps in that."""
        open_multi = state[State.TX] > 0
        whole = open_multi and (line.reverts == "always" or (line.reverts == "eof" and not in_record))
        cut = state[State.BEFORE_MULTI if whole else State.COMMAND_END]
        if line.keeps_preamble:
            cut = max(cut, self._preamble_end)
        traps = []
        if open_multi and cut > state[State.MULTI_START]:
            traps.append(Trap.SWALLOWS)
        if cut < self._preamble_end:
            traps.append(Trap.LOSES_PREAMBLE)
        if not self._last:
            traps.append(Trap.NOT_LAST)
        return _Stop(Does.TRUNCATES, self._part, offset, reason, cut, tuple(traps))

    def _read_on(self, line: Line, offset: int) -> _Stop | None:
        """Read from `offset` to the end of the part as the line's own loop does."""
        assert self._source is not None
        steps, peek = Steps(), Peek(self._source)
        steps.state[:] = self.steps.state
        _watch(steps, [line])
        while True:
            reading = read_record(peek, offset, line.header_max, line.annotations)
            stop = self._after_reading(line, steps, offset, reading)
            if stop or reading.outcome is Outcome.END:
                return stop
            offset = reading.end
            for batch in read_batches(self._source, table().words, offset):
                for i in steps.run(batch):
                    if stop := self._judge_strict(line, batch, i):
                        return stop
                offset = batch.span.end

    def _judge_strict(self, line: Line, batch: Batch, i: int) -> _Stop | None:
        """As _judge, but a line too long for one piece ends it: what follows was no record to this line."""
        if batch.ids[i] == ANNOTATION and batch.record(i).size >= line.header_max:
            place = batch.record(i).start
            return _Stop(Does.REFUSES, self._part, place, "an annotation longer than a server's line buffer")
        return self._judge(line, batch, i)

    def _after_reading(self, line: Line, steps: Steps, offset: int, reading: Reading) -> _Stop | None:
        if reading.outcome is Outcome.END:
            return self._at_end(line, steps.state)
        if reading.outcome is Outcome.SHORT:
            return self._short(line, steps.state, offset, reading.reason, in_record=True)
        if reading.outcome in _STOPS:
            does, words = _STOPS[reading.outcome]
            return _Stop(does, self._part, offset, f"{words}: {reading.reason}")
        if reading.outcome is Outcome.RECORD:
            command = _find(reading)
            problem = _problem(line, command, reading.argc, reading.first[0])
            if problem:
                return _Stop(problem[0], self._part, offset, problem[1])
            _apply(steps.state, command, reading, offset)
        return None


_STOPS = {
    Outcome.FORMAT: (Does.REFUSES, "bad file format"),
    Outcome.UNRECOVERABLE: (Does.REFUSES, "unrecoverable read error"),
    Outcome.UNDEFINED: (Does.UNDEFINED, "it may run out of memory or crash"),
}


def _watch(steps: Steps, lines: Sequence[Line]) -> None:
    """Have the steps note what some of these lines would not take."""
    watched, least, most = _envelope(tuple(line.name for line in lines))
    steps.least[:], steps.most[:] = least, most
    steps.watch("loader", watched)


@functools.cache
def _envelope(names: tuple[str, ...]) -> tuple[frozenset[int], "array[int]", "array[int]"]:
    """(ids to be told of, the least and the most arguments by id) that every one of these lines takes."""
    lines = [LINES[name] for name in names]
    watched = {UNKNOWN} if lines else set()
    if any(not line.annotations for line in lines):
        watched.add(ANNOTATION)
    columns = [column(line) for line in lines]
    least, most = array("I", bytes(4 * table().size)), array("I", [ARGC_MAX]) * table().size
    for command in table().commands:
        arity = [command.arity[at] for at in columns]
        if any(n == 0 for n in arity) or any(_is_container(command, line) for line in lines):
            watched.add(command.id)
        least[command.id] = max((abs(n) for n in arity), default=0)
        most[command.id] = min((n for n in arity if n > 0), default=ARGC_MAX)
    return frozenset(watched), least, most


def _is_container(command: Command, line: Line) -> bool:
    """True if the line looks this command's second argument up as well (7.0 and later)."""
    return line.multi_part and command.name in _containers(line.commands)


@functools.cache
def _containers(commands: str) -> frozenset[str]:
    at = table().lines.index(commands)
    return frozenset(c.container for c in table().commands if c.container and c.arity[at])


def _problem(line: Line, command: Command | None, argc: int, name: bytes) -> tuple[Does, str] | None:
    """What keeps a line from running a command: (what it does, why)."""
    shown = command.name.replace("|", " ").upper() if command else text.word(name[:64])
    if command and command.container and not line.multi_part:
        command = table().find(command.container)
    arity = command.arity[column(line)] if command else 0
    if not arity:
        return Does.REFUSES, f"unknown command {shown}"
    if command and argc > 1 and _is_container(command, line):
        return Does.REFUSES, f"unknown subcommand of {shown}"
    if command and _is_container(command, line):
        return Does.UNDEFINED, f"{shown} without its subcommand"
    if not arity_fits(arity, argc):
        wrong = f"{shown} with {text.count(argc, 'argument')}, its name included"
        return (Does.REFUSES if line.checks_arity else Does.UNDEFINED), f"wrong number of arguments: {wrong}"
    return None


def _refuses_rdb(line: Line, rdb: Preamble) -> str:
    """Why a line does not read an RDB; empty if it does."""
    newest = line.newest_rdb(rdb.dialect)
    if not newest:
        return f"bad file format: an RDB {rdb.magic.decode('ascii', 'replace')!r} where it expects commands"
    if rdb.version > newest:
        return f"the RDB is of version {rdb.version}, this line reads up to {newest}"
    if not rdb.complete:
        return f"the RDB is damaged: {rdb.note}"
    return "wrong RDB checksum" if rdb.checksum == "bad" else ""


def _find(reading: Reading) -> Command | None:
    ids = table().words.ids
    number = ids.get(reading.name, UNKNOWN)
    if len(reading.first) > 1:
        number = ids.get(reading.name + b"|" + reading.first[1].lower(), number)
    return table().get(number)


def _apply(state: "array[int]", command: Command | None, reading: Reading, offset: int) -> None:
    """What a record does to the context, as in steps.h."""
    name = command.name if command else ""
    if name == "multi":
        state[State.BEFORE_MULTI] = state[State.COMMAND_END]
        if state[State.TX] <= 0:
            state[State.TRANSACTIONS] += 1
            state[State.TX], state[State.MULTI_START] = state[State.TRANSACTIONS], offset
    elif name == "exec":
        state[State.TX] = 0
    state[State.COMMAND_END] = reading.end


def _verdicts(run: _Run) -> list[Verdict]:
    line, stop = run.line, run.stop
    options = (True, False) if line.load_truncated else (False,)
    if stop is None:
        return [Verdict(line.name, option, Does.LOADS) for option in options]
    return [_verdict(line.name, option, stop, run.last) for option in options]


def _verdict(server: str, load_truncated: bool, stop: _Stop, last: bool) -> Verdict:
    if stop.cut is None:
        return Verdict(server, load_truncated, stop.outcome, stop.part, stop.offset, stop.reason)
    if not load_truncated:
        reason = f"short read: {stop.reason}"
        return Verdict(server, False, Does.REFUSES, stop.part, stop.offset, reason)
    if last:
        return Verdict(server, True, Does.TRUNCATES, stop.part, stop.cut, stop.reason, stop.traps)
    reason = f"cut at {stop.cut}, then refused, because another part follows: {stop.reason}"
    return Verdict(server, True, Does.REFUSES, stop.part, stop.cut, reason, stop.traps)
