"""What in a history an operator would want to look at first: short pointers, each with the place to go on from.

Flushes and scripts are found as `check` finds them.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from aofdoctor import text
from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.discovery import AOF
from aofdoctor.aof.records import RecordBatch
from aofdoctor.check.flush_findings import describe_group, describe_scope
from aofdoctor.finding import Finding, Severity
from aofdoctor.log.flushes import FlushCollector
from aofdoctor.log.script_flushes import ScriptFlushCollector, script_command_ids
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span
from aofdoctor.stats.counting.counters import RecordCounters
from aofdoctor.stats.histogram import Burst, bursts

_MANY_KEYS = 100
_SHOWN = 3  # of each kind
_BURSTS = ((1, "DEL and UNLINK", "delete"), (2, "expiries", "expire"))


@dataclass(slots=True)
class _Seen:
    """How many, where the first stands, and its name."""

    part: str
    span: Span
    name: str
    count: int = 0


@dataclass(slots=True)
class SuspiciousEvents:
    """Collects them on a walk, from the records that the steps note."""

    aof: AOF
    tracker: ContextTracker
    flushes: FlushCollector = field(default_factory=FlushCollector)
    scripts: ScriptFlushCollector = field(default_factory=ScriptFlushCollector)
    seen: dict[str, _Seen] = field(default_factory=dict)
    _index: int = 0
    _part: str = ""
    _starts: list[tuple[int, str]] = field(default_factory=list)
    _scripts: frozenset[int] = frozenset()
    _admin: frozenset[int] = frozenset()
    _wide: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self._scripts, self._admin = script_command_ids(), command_table().with_effect("admin")
        self._wide = command_table().ids_of(frozenset({"del", "unlink"}))
        for number in self._wide:
            self.tracker.argc_max[number] = _MANY_KEYS
        flushes = command_table().with_effect("flush")
        self.tracker.flag("suspects", flushes | self._scripts | self._admin | {UNKNOWN})

    def begin(self, index: int, part: str, start: int) -> None:
        """A part begins, at `start` in the whole log."""
        self._index, self._part = index, part
        self._starts.append((start, part))

    def interrupted(self) -> None:
        """Damage: what follows it is a guess."""
        self.flushes.add_damage(self._index)

    def batch(self, batch: RecordBatch, flagged: Iterable[int], before: int) -> None:
        """A batch, of which `notes` are the records of interest; `before` commands came before it."""
        self.flushes.add_batch(self._index, self._part, batch, flagged, self.tracker, before)
        for i in flagged:
            number = batch.ids[i]
            if number in self._scripts:
                self.scripts.add_record(self._part, batch, i)
            elif number == UNKNOWN:
                self._count("unknown-command", batch, i)
            elif number in self._admin:
                self._count("admin", batch, i)
            elif number in self._wide and batch.argc[i] > _MANY_KEYS:
                self._count("many-deleted", batch, i, batch.argc[i] - 1)

    def _count(self, kind: str, batch: RecordBatch, i: int, count: int = 1) -> None:
        seen = self.seen.get(kind)
        if seen is None:
            name = next(batch.args(i))
            head = name if isinstance(name, bytes) else name.head(64)
            seen = self.seen[kind] = _Seen(self._part, batch.record_span(i), text.escape(head[:64]))
        seen.count += count

    # -- in words --

    def found(self, record_counters: RecordCounters) -> list[Finding]:
        """All of them, the gravest first."""
        return [*self._flushes(), *self._in_scripts(), *self._many(), *self._bursts(record_counters), *self._odd()]

    def _pointer(self, part: str, offset: int, more: str = "") -> str:
        name = part if len(self.aof.parts) > 1 else ""
        place = f"{name}@{offset}" if name else str(offset)
        return f"aofdoctor log {text.shell_quote(self.aof.path)}{more} --from {text.shell_quote(place)}"

    def _flushes(self) -> Iterable[Finding]:
        for group in self.flushes.groups[:_SHOWN]:
            first = group.first
            when = f" ({text.format_time(first.time)})" if first.time is not None else ""
            message = f"{describe_group(group)} at {text.display_path(first.part)}@{first.span.start}{when} emptied {describe_scope(group)}"
            yield Finding("flush", Severity.DANGER, message, first.part, first.span.start, group.last.span.end,
                          hint=self._pointer(first.part, first.span.start))  # fmt: skip
        if (more := self.flushes.group_count - _SHOWN) > 0:
            third = self.flushes.groups[_SHOWN].first
            message = f"{text.format_count(more, 'more group')} of flushes"
            yield Finding("flush-more", Severity.DANGER, message, third.part, third.span.start,
                          hint=self._pointer(third.part, third.span.start, " --effect flush"))  # fmt: skip

    def _in_scripts(self) -> Iterable[Finding]:
        if self.scripts.count:
            first = self.scripts.flushes[0]
            message = (
                f"{text.format_count(self.scripts.count, 'script')} with a flush in its text, first {first.command}"
            )
            yield self._at("flush-in-script", Severity.DANGER, message, first.part, first.span, " --effect script")

    def _many(self) -> Iterable[Finding]:
        if seen := self.seen.get("many-deleted"):
            message = f"{seen.count:,} keys deleted by commands that name {_MANY_KEYS} or more each, first {seen.name}"
            yield self._at("many-deleted", Severity.WARNING, message, seen.part, seen.span, " --cmd del --cmd unlink")

    def _bursts(self, record_counters: RecordCounters) -> Iterable[Finding]:
        timed = bool(record_counters.times[1])
        for kind, what, effect in _BURSTS:
            for burst in bursts(record_counters.times if timed else record_counters.places, kind)[:_SHOWN]:
                yield self._burst(burst, what, effect, timed)

    def _burst(self, burst: Burst, what: str, effect: str, timed: bool) -> Finding:
        start, part = self._starts[bisect_right(self._starts, burst.place, key=lambda one: one[0]) - 1]
        offset = burst.place - start
        reach = f"in {burst.width:,} s" if timed else f"within {text.format_size(burst.width)}"
        message = f"{burst.count:,} {what} {reach}, where {burst.usual:,.1f} are usual"
        when = f", from {text.format_time(burst.start)}" if timed else ""
        return self._at(f"burst-{effect}", Severity.WARNING, message + when, part, Span(offset, offset + 1),
                        f" --effect {effect}")  # fmt: skip

    def _odd(self) -> Iterable[Finding]:
        descriptions = {
            "admin": "that change the server or load code into it, at every load",
            "unknown-command": "that no server of those known here knows",
        }
        for kind, what in descriptions.items():
            if seen := self.seen.get(kind):
                message = f"{text.format_count(seen.count, 'command')} {what}, first {seen.name}"
                yield self._at(kind, Severity.WARNING, message, seen.part, seen.span, "")

    def _at(self, code: str, severity: Severity, message: str, part: str, span: Span, more: str) -> Finding:
        place = f"{text.display_path(part)}@{span.start}"
        return Finding(code, severity, f"{message} at {place}", part, *span, hint=self._pointer(part, span.start, more))
