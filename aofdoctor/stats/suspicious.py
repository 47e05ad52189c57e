"""Find events in an AOF that an operator should look at first: flushes (also in scripts), mass deletes, bursts.

Commands that no known server has, and administrative commands, count as events too.  Each kind becomes a finding with
the `aofdoctor log` command that shows its place.  Flushes, scripts and transactions that a restart tore are
found with the same code as in `check`; other damage is left to `check`.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from aofdoctor import text
from aofdoctor.aof.constants import UNKNOWN
from aofdoctor.aof.model import AOF
from aofdoctor.aof.records import RecordBatch
from aofdoctor.finding import Finding, Severity
from aofdoctor.log.flushes import FlushCollector, describe_group, describe_scope
from aofdoctor.log.restarts.torn_transactions import TornTransaction
from aofdoctor.log.script_flushes import ScriptFlushCollector, script_command_ids
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.span import Span
from aofdoctor.stats.counting.counters import RecordCounters
from aofdoctor.stats.histogram import Burst, find_bursts

_MANY_KEYS = 100  # keys in one DEL or UNLINK that make it a mass delete
_HINT = "show it and what follows"
_SHOWN_PER_KIND = 3
# (number from first_key.burst_kinds, label, value of the option --effect)
_BURST_KINDS = ((1, "DEL and UNLINK", "delete"), (2, "expiries", "expire"))


@dataclass(slots=True)
class _EventSummary:
    """The number of suspicious events of one kind, and the file, place and command name (or evidence) of the first."""

    part: str
    span: Span
    name: str
    count: int = 0


@dataclass(slots=True)
class SuspiciousEvents:
    """Collects suspicious events while an AOF is read, from the commands that the ContextTracker selects."""

    aof: AOF
    tracker: ContextTracker
    flushes: FlushCollector = field(default_factory=FlushCollector)
    script_flushes: ScriptFlushCollector = field(default_factory=ScriptFlushCollector)
    events: dict[str, _EventSummary] = field(default_factory=dict)
    _part_index: int = 0
    _part: str = ""
    _part_starts: list[tuple[int, str]] = field(default_factory=list)
    _script_ids: frozenset[int] = frozenset()
    _admin_ids: frozenset[int] = frozenset()
    _delete_ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self._script_ids, self._admin_ids = script_command_ids(), command_table().with_effect("admin")
        self._delete_ids = command_table().ids_of(frozenset({"del", "unlink"}))
        for number in self._delete_ids:
            self.tracker.argc_max[number] = _MANY_KEYS
        flushes = command_table().with_effect("flush")
        self.tracker.flag("suspects", flushes | self._script_ids | self._admin_ids | {UNKNOWN})

    def begin_part(self, part_index: int, part: str, start: int) -> None:
        """Begin to collect events in the next file of the AOF; `start` is its offset counted over all files."""
        self._part_index, self._part = part_index, part
        self._part_starts.append((start, part))

    def add_damage(self) -> None:
        """Record that the current file has damage, which ends a group of consecutive flushes."""
        self.flushes.add_damage(self._part_index)

    def add_torn_transaction(self, torn: TornTransaction) -> None:
        """Count a transaction that a restart tore, and keep the place of the first."""
        event = self.events.setdefault("torn-transaction", _EventSummary(self._part, torn.span, torn.evidence))
        event.count += 1

    def add_batch(self, batch: RecordBatch, flagged: Iterable[int], commands_before: int) -> None:
        """Add the suspicious events among the commands of a batch with the indexes `flagged`.

        These are the commands that the ContextTracker has selected for examination.  `commands_before` is the number of
        commands in the AOF before the batch.
        """
        self.flushes.add_batch(self._part_index, self._part, batch, flagged, self.tracker, commands_before)
        for i in flagged:
            number = batch.ids[i]
            if number in self._script_ids:
                self.script_flushes.add_record(self._part, batch, i)
            elif number == UNKNOWN:
                self._count_event("unknown-command", batch, i)
            elif number in self._admin_ids:
                self._count_event("admin", batch, i)
            elif number in self._delete_ids and batch.argc[i] > _MANY_KEYS:
                self._count_event("many-deleted", batch, i, batch.argc[i] - 1)

    def _count_event(self, kind: str, batch: RecordBatch, i: int, count: int = 1) -> None:
        """Count a suspicious event, and keep the place and command name of the first of its kind."""
        event = self.events.get(kind)
        if event is None:
            name = next(batch.args(i))
            head = name if isinstance(name, bytes) else name.head(64)
            event = self.events[kind] = _EventSummary(self._part, batch.record_span(i), text.escape(head[:64]))
        event.count += count

    # -- findings --

    def findings(self, record_counters: RecordCounters) -> list[Finding]:
        """Return the suspicious events as findings, the most severe first; bursts come from `record_counters`."""
        return [
            *self._flush_findings(),
            *self._script_findings(),
            *self._torn_transaction_findings(),
            *self._mass_delete_findings(),
            *self._burst_findings(record_counters),
            *self._unusual_command_findings(),
        ]

    def _log_command(self, part: str, offset: int, options: str = "") -> str:
        """Return the command `aofdoctor log ...` that shows the AOF from an offset of the file `part` on."""
        name = part if len(self.aof.parts) > 1 else ""
        place = f"{name}@{offset}" if name else str(offset)
        return f"aofdoctor log {text.shell_quote(self.aof.path)}{options} --from {text.shell_position(place)}"

    def _flush_findings(self) -> Iterable[Finding]:
        for group in self.flushes.groups[:_SHOWN_PER_KIND]:
            first = group.first
            when = f" ({text.format_time(first.time)})" if first.time is not None else ""
            place = f"{text.display_path(first.part)}@{first.span.start}"
            message = f"{describe_group(group)} at {place}{when} emptied {describe_scope(group)}"
            yield Finding("flush", Severity.DANGER, message, first.part, first.span.start, group.last.span.end,
                          hint=_HINT,
                          commands=(self._log_command(first.part, first.span.start),))  # fmt: skip
        if (more := self.flushes.group_count - _SHOWN_PER_KIND) > 0:
            third = self.flushes.groups[_SHOWN_PER_KIND].first
            message = f"{text.format_count(more, 'more group')} of flushes"
            yield Finding("flush-more", Severity.DANGER, message, third.part, third.span.start,
                          hint=_HINT,
                          commands=(self._log_command(third.part, third.span.start, " --effect flush"),))  # fmt: skip

    def _script_findings(self) -> Iterable[Finding]:
        if self.script_flushes.count:
            first = self.script_flushes.flushes[0]
            scripts = text.format_count(self.script_flushes.count, "script")
            message = f"{scripts} with a flush in its text, first {first.command}"
            yield self._finding_at(
                "flush-in-script", Severity.DANGER, message, first.part, first.span, " --effect script"
            )

    def _torn_transaction_findings(self) -> Iterable[Finding]:
        if event := self.events.get("torn-transaction"):
            count = text.format_count(event.count, "transaction")
            message = f"{count} without EXEC that a restart tore, {event.name}, first"
            yield self._finding_at("torn-transaction", Severity.DAMAGE, message, event.part, event.span, "")

    def _mass_delete_findings(self) -> Iterable[Finding]:
        if event := self.events.get("many-deleted"):
            message = (
                f"{event.count:,} keys deleted by commands that name {_MANY_KEYS} or more each, first {event.name}"
            )
            yield self._finding_at(
                "many-deleted", Severity.WARNING, message, event.part, event.span, " --cmd del --cmd unlink"
            )

    def _burst_findings(self, record_counters: RecordCounters) -> Iterable[Finding]:
        timed = bool(record_counters.times[1])
        for kind, label, effect in _BURST_KINDS:
            for burst in find_bursts(record_counters.times if timed else record_counters.positions, kind)[
                :_SHOWN_PER_KIND
            ]:
                yield self._burst_finding(burst, label, effect, timed)

    def _burst_finding(self, burst: Burst, label: str, effect: str, timed: bool) -> Finding:
        start, part = self._part_starts[
            bisect_right(self._part_starts, burst.log_offset, key=lambda part_start: part_start[0]) - 1
        ]
        offset = burst.log_offset - start
        extent_text = f"in {burst.width:,} s" if timed else f"within {text.format_size(burst.width)}"
        message = f"{burst.count:,} {label} {extent_text}, where {burst.baseline:,.1f} are usual"
        when = f", from {text.format_time(burst.start)}" if timed else ""
        return self._finding_at(f"burst-{effect}", Severity.WARNING, message + when, part, Span(offset, offset + 1),
                        f" --effect {effect}")  # fmt: skip

    def _unusual_command_findings(self) -> Iterable[Finding]:
        descriptions = {
            "admin": "that change the server or load code into it, at every load",
            "unknown-command": "in no command table",
        }
        for kind, description in descriptions.items():
            if event := self.events.get(kind):
                message = f"{text.format_count(event.count, 'command')} {description}, first {event.name}"
                yield self._finding_at(kind, Severity.WARNING, message, event.part, event.span, "")

    def _finding_at(self, code: str, severity: Severity, message: str, part: str, span: Span, options: str) -> Finding:
        place = f"{text.display_path(part)}@{span.start}"
        return Finding(
            code,
            severity,
            f"{message} at {place}",
            part,
            *span,
            hint=_HINT,
            commands=(self._log_command(part, span.start, options),),
        )
