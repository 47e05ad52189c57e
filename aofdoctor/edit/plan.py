"""What an edit would do: drops in order, each with its reason, and what they add up to.

The drops of a selection can be billions, so a plan does not hold them: it holds
how to find them again, and the first of them for show.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aofdoctor.aof.model import AOF
from aofdoctor.aof.patched_source import PatchedSource
from aofdoctor.span import Span

LISTED_DROPS_MAX = 1000  # drops that a plan keeps


class Drop(NamedTuple):
    """Bytes of one part that go: `part` is its place in load order, `commands` how many stood in them."""

    part: int
    span: Span
    commands: int
    reason: str


class Reconstruction(NamedTuple):
    """Bytes of one part that are turned back: what `size` bytes stand in their place, and why."""

    part: int
    span: Span
    size: int
    reason: str


DropFactory = Callable[[], Iterator[Drop]]


@dataclass(slots=True)
class Plan:
    """An edit of one AOF as it was at open.

    `drops` finds them again, in order and disjoint.  `commands` (None: not
    known) and `size` are of all parts before the edit.  `lost_parts` are the places, in load order, of
    parts that are left out whole; their drops are among the others.  `keep_lost`:
    what goes is kept beside the output.  `damage`: where the first damage
    of a part is, by load order, that stays.  `notes` are sentences for people.
    `recipe` is what was asked for, by which the plan can be made again; `remade`:
    the manifest is made anew.  `mends` are what was turned back before the drops
    were found, whose offsets are in what it gave, and `gained` the commands that brought.
    """

    aof: AOF
    verb: str
    drops: DropFactory
    commands: int | None
    size: int
    dropped_commands: int = 0
    dropped_bytes: int = 0
    drop_count: int = 0
    listed_drops: list[Drop] = field(default_factory=list)
    omitted_parts: frozenset[int] = frozenset()
    keep_dropped: bool = False
    remaining_damage: dict[int, int] = field(default_factory=dict)
    changed_parts: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    recipe: dict[str, Any] = field(default_factory=dict)
    manifest_rebuilt: bool = False
    reconstructions: list[Reconstruction] = field(default_factory=list)
    commands_regained: int = 0

    @property
    def has_changes(self) -> bool:
        """True if anything is dropped or turned back."""
        return self.drop_count > 0 or bool(self.reconstructions)

    @property
    def changes_output(self) -> bool:
        """True if a copy would differ from its source."""
        return self.has_changes or self.manifest_rebuilt or bool(self.omitted_parts)

    @property
    def commands_before(self) -> int:
        """The commands of all parts, where they have been counted."""
        assert self.commands is not None, "a plan from the tail has not counted them"
        return self.commands - self.commands_regained

    @property
    def size_before(self) -> int:
        """The bytes of all parts, as their files are."""
        return self.size + sum(mend.span.size - mend.size for mend in self.reconstructions)

    @property
    def leaves_damage(self) -> bool:
        """True if damage of the source stays."""
        return bool(self.remaining_damage)

    def totals_json(self) -> dict[str, dict[str, int | None]]:
        """Commands and bytes before and after, as JSON has them."""
        replaced = sum(mend.span.size for mend in self.reconstructions)
        known = self.commands is not None
        return {
            name: {"before": before, "after": after, "dropped": dropped, "added": added}
            for name, before, after, dropped, added in (
                ("commands", self.commands_before if known else None,
                 self.commands_before + self.commands_regained - self.dropped_commands if known else None,
                 self.dropped_commands + max(0, -self.commands_regained), max(0, self.commands_regained)),
                ("bytes", self.size_before, self.size - self.dropped_bytes, self.dropped_bytes + replaced,
                 sum(mend.size for mend in self.reconstructions)),
            )
        }  # fmt: skip

    def listed_drops_json(self) -> list[dict[str, object]]:
        """The drops that it keeps for show, as JSON has them."""
        return [
            {"part": self.aof.parts[d.part].name, "start": span.start, "end": span.end, "commands": d.commands,
             "reason": d.reason}
            for d in self.listed_drops for span in [self.span_in_file(d)]
        ]  # fmt: skip

    def reconstructions_json(self) -> dict[str, list[dict[str, object]]]:
        """What was turned back, under its name in JSON; nothing where nothing was."""
        found = [{"part": self.aof.parts[m.part].name, "start": m.span.start, "end": m.span.end, "bytes": m.size,
                  "reason": m.reason} for m in self.reconstructions[:LISTED_DROPS_MAX]]  # fmt: skip
        return {"mended": found} if found else {}

    def span_in_file(self, drop: Drop) -> Span:
        """Where the bytes of a drop stand in the file of its part."""
        source = self.aof.parts[drop.part].source
        return source.file_span(drop.span) if isinstance(source, PatchedSource) else drop.span

    def add_reconstructions(self, reconstructions: list[Reconstruction], commands_regained: int) -> None:
        """Note what was turned back before the drops were found, and how many commands that brought."""
        self.reconstructions, self.commands_regained = reconstructions, commands_regained
        self.changed_parts |= {mend.part for mend in reconstructions}

    def compute_totals(self) -> "Plan":
        """Go through the drops once."""
        for drop in self.drops():
            self.drop_count += 1
            self.dropped_commands += drop.commands
            self.dropped_bytes += drop.span.size
            self.changed_parts.add(drop.part)
            if len(self.listed_drops) < LISTED_DROPS_MAX:
                self.listed_drops.append(drop)
        if self.drop_count == len(self.listed_drops):  # few: no need to find them again
            self.drops = lambda: iter(self.listed_drops)
        return self


def merge_adjacent(drops: Iterator[Drop]) -> Iterator[Drop]:
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


def remaining_spans(drops: Iterator[Drop], part: int, size: int) -> Iterator[Span]:
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
