"""What an edit would do: drops in order, each with its reason, and what they add up to.

The drops of a selection can be billions, so a plan does not hold them: it holds
how to find them again, and the first of them for show.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aofdoctor.aof.aof import AOF
from aofdoctor.span import Span

SHOWN = 1000  # drops that a plan keeps


class Drop(NamedTuple):
    """Bytes of one part that go: `part` is its place in load order, `commands` how many stood in them."""

    part: int
    span: Span
    commands: int
    reason: str


Drops = Callable[[], Iterator[Drop]]


@dataclass(slots=True)
class Plan:
    """An edit of one AOF as it was at open.

    `drops` finds them again, in order and disjoint.  `commands` (None: not
    known) and `size` are of all parts before the edit.  `lost_parts` are the places, in load order, of
    parts that are left out whole; their drops are among the others.  `keep_lost`:
    what goes is kept beside the output.  `damage`: where the first damage
    of a part is, by load order, that stays.  `notes` are sentences for people.
    `recipe` is what was asked for, by which the plan can be made again; `remade`:
    the manifest is made anew.
    """

    aof: AOF
    verb: str
    drops: Drops
    commands: int | None
    size: int
    dropped_commands: int = 0
    dropped_bytes: int = 0
    count: int = 0
    shown: list[Drop] = field(default_factory=list)
    lost_parts: frozenset[int] = frozenset()
    keep_lost: bool = False
    damage: dict[int, int] = field(default_factory=dict)
    changed_parts: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    recipe: dict[str, Any] = field(default_factory=dict)
    remade: bool = False

    @property
    def changed(self) -> bool:
        """True if anything is dropped."""
        return self.count > 0

    @property
    def does_something(self) -> bool:
        """True if a copy would differ from its source."""
        return self.changed or self.remade or bool(self.lost_parts)

    @property
    def commands_before(self) -> int:
        """The commands of all parts, where they have been counted."""
        assert self.commands is not None, "a plan from the tail has not counted them"
        return self.commands

    @property
    def damaged(self) -> bool:
        """True if damage of the source stays."""
        return bool(self.damage)

    def totals(self) -> dict[str, dict[str, int | None]]:
        """Commands and bytes before and after, as JSON has them."""
        return {
            name: {
                "before": before,
                "after": None if before is None else before - dropped,
                "dropped": dropped,
                "added": 0,
            }
            for name, before, dropped in (
                ("commands", self.commands, self.dropped_commands),
                ("bytes", self.size, self.dropped_bytes),
            )
        }

    def shown_json(self) -> list[dict[str, object]]:
        """The drops that it keeps for show, as JSON has them."""
        return [
            {"part": self.aof.parts[d.part].name, "start": d.span.start, "end": d.span.end, "commands": d.commands,
             "reason": d.reason}
            for d in self.shown
        ]  # fmt: skip

    def add_up(self) -> "Plan":
        """Go through the drops once."""
        for drop in self.drops():
            self.count += 1
            self.dropped_commands += drop.commands
            self.dropped_bytes += drop.span.size
            self.changed_parts.add(drop.part)
            if len(self.shown) < SHOWN:
                self.shown.append(drop)
        if self.count == len(self.shown):  # few: no need to find them again
            self.drops = lambda: iter(self.shown)
        return self


def coalesced(drops: Iterator[Drop]) -> Iterator[Drop]:
    """Adjacent drops of one reason as one."""
    held: Drop | None = None
    for drop in drops:
        if held and (held.part, held.reason, held.span.end) == (drop.part, drop.reason, drop.span.start):
            held = Drop(held.part, Span(held.span.start, drop.span.end), held.commands + drop.commands, held.reason)
            continue
        if held:
            yield held
        held = drop
    if held:
        yield held


def kept_spans(drops: Iterator[Drop], part: int, size: int) -> Iterator[Span]:
    """What stays of one part, from the drops of that part alone."""
    at = 0
    for drop in drops:
        assert drop.part == part, "drops are of this part"
        assert drop.span.start >= at, "drops are in order and disjoint"
        if drop.span.start > at:
            yield Span(at, drop.span.start)
        at = drop.span.end
    if at < size:
        yield Span(at, size)
