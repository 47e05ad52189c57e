"""The edit that drops byte ranges of one AOF and keeps all other bytes as they are (strip, slice, rewind, repair).

A plan implements `Edit` (edit.py), so it can be shown, saved and written. Instead of a list of all drops it holds a
function that finds the drops again, and the first drops for display.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aofdoctor.aof.model import AOF
from aofdoctor.damage import WITHOUT_HIDDEN_COMMANDS, DamageKind
from aofdoctor.edit.drops import Drop, DropFactory, Reconstruction, span_in_file, validated
from aofdoctor.edit.edit import EncodeKey
from aofdoctor.edit.output.copy import KeptBytes
from aofdoctor.edit.output.dropped import write_dropped
from aofdoctor.edit.output.fingerprint import neighbourhood_sha256
from aofdoctor.edit.output.job import DroppedWriter, NewManifest, OnBytesDone, OutputJob
from aofdoctor.edit.output.receipt import Receipt
from aofdoctor.edit.set_totals import KeyTotals, UnusedFile
from aofdoctor.errors import NothingToDo, RefusedEdit

JsonField = Callable[[EncodeKey], object]  # makes the value of a field from the JSON form of key names
_DAMAGE_KINDS = frozenset(kind.value for kind in DamageKind)
LISTED_DROPS_MAX = 1000  # drops that a plan keeps for display


@dataclass(slots=True)
class Plan:
    """An edit of one AOF that leaves out byte ranges ("drops") and keeps all other bytes.

    - `drops` finds the drops again, in load order and disjoint; `listed_drops` are the first of them.
    - `commands` (None: not counted) and `size` are those of all parts after any reconstruction, before the drops.
    - `drops_damage`: damaged bytes are among the drops.  `hides_commands`: they may have been any number of commands,
      so the number before the edit is only the least.
    - `omitted_parts` are the parts, by index in load order, that the output does not have; their bytes are among the
      drops.  `changed_parts` are the parts that a drop or a reconstruction changes.
    - `keep_dropped`: the dropped bytes are written to OUT.lost.
    - `remaining_damage` maps a file to the offset of the first damage that stays in it.
    - `notes` are sentences for the user; `result_notes` are repeated with the result.
    - `json_fields` are further fields of the JSON outcome, which the planner adds.
    - `recipe` is the user's request, from which the same plan can be made again.
    - `manifest_rebuilt`: the manifest was rebuilt from the files.
    - `keys` are the numbers of keys in RDBs; `unused_files` are files of the AOF that the output does not use.
    - `reconstructions` were made before the drops were found, so the drops' offsets are those in the reconstructed
      files; `commands_regained` is the number of commands that the reconstructions added.
    """

    aof: AOF
    verb: str
    drops: DropFactory
    commands: int | None
    size: int
    dropped_commands: int = 0
    dropped_bytes: int = 0
    drop_count: int = 0
    drops_damage: bool = False
    hides_commands: bool = False
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
    keys: KeyTotals = field(default_factory=KeyTotals)
    unused_files: list[UnusedFile] = field(default_factory=list)
    json_fields: dict[str, JsonField] = field(default_factory=dict)
    result_notes: list[str] = field(default_factory=list)

    # -- totals --

    @property
    def has_changes(self) -> bool:
        """Whether this plan drops or reconstructs any bytes."""
        return self.drop_count > 0 or bool(self.reconstructions)

    @property
    def changes_output(self) -> bool:
        """Whether a copy written by this plan would differ from the source."""
        return self.has_changes or self.manifest_rebuilt or bool(self.omitted_parts)

    @property
    def commands_before(self) -> int:
        """The number of commands in the source files, before any change; the plan must have counted them."""
        assert self.commands is not None, "a plan from the tail has not counted them"
        return self.commands - self.commands_regained

    @property
    def commands_after(self) -> int:
        """The number of commands that the output will have; the plan must have counted them."""
        return self.commands_before + self.commands_regained - self.dropped_commands

    @property
    def size_before(self) -> int:
        """The size of all source files in bytes, before any change."""
        return self.size + sum(change.span.size - change.size for change in self.reconstructions)

    @property
    def leaves_damage(self) -> bool:
        """Whether the output of this plan still has damage of the source AOF."""
        return bool(self.remaining_damage)

    @property
    def is_counted_by_writing(self) -> bool:
        """Return false: `compute_totals` has counted everything when the plan was made."""
        return False

    def add_reconstructions(self, reconstructions: list[Reconstruction], commands_regained: int) -> None:
        """Record in the plan which damaged bytes were reconstructed before it was made."""
        self.reconstructions, self.commands_regained = reconstructions, commands_regained
        self.changed_parts |= {change.part for change in reconstructions}

    def compute_totals(self) -> "Plan":
        """Iterate over all dropped byte ranges once to validate, count and list them; returns this plan.

        Raises RefusedEdit if the drops are not in order, overlap, or exceed their part.
        """
        for drop in validated(self.drops(), self.aof):
            self.drop_count += 1
            self.dropped_commands += drop.commands
            self.dropped_bytes += drop.span.size
            self.changed_parts.add(drop.part)
            if drop.reason in _DAMAGE_KINDS:
                self.drops_damage = True
                self.hides_commands |= drop.reason not in WITHOUT_HIDDEN_COMMANDS
            if drop.span.start == 0:
                self.keys.drop_part(drop.part)
            if len(self.listed_drops) < LISTED_DROPS_MAX:
                self.listed_drops.append(drop)
        if self.drop_count == len(self.listed_drops):  # All of them are listed: no need to find them again.
            self.drops = lambda: iter(self.listed_drops)
        return self

    def dry_run(self, on_progress: OnBytesDone | None) -> None:
        """Do nothing: the totals are known since the plan was made."""

    # -- as JSON --

    def totals_json(self) -> dict[str, Any]:
        """The numbers of RDB keys, commands and bytes as JSON: before, after, dropped and added."""
        replaced = sum(change.span.size for change in self.reconstructions)
        known = self.commands is not None
        return {"keys": self.keys.as_json()} | {
            name: {"before": before, "after": after, "dropped": dropped, "added": added}
            for name, before, after, dropped, added in (
                ("commands", self.commands_before if known else None, self.commands_after if known else None,
                 self.dropped_commands + max(0, -self.commands_regained), max(0, self.commands_regained)),
                ("bytes", self.size_before, self.size - self.dropped_bytes, self.dropped_bytes + replaced,
                 sum(change.size for change in self.reconstructions)),
            )
        }  # fmt: skip

    def saved_json(self) -> dict[str, Any]:
        """The fields about the result in a saved plan file: the totals, the first dropped byte ranges and the notes."""
        return {**self.totals_json(), "dropped": self.listed_drops_json(), "notes": self.notes}

    def outcome_json(self, encode_key: EncodeKey) -> dict[str, Any]:
        """The plan as the verbs print it with --json."""
        return {
            "changed": self.changes_output, **self.totals_json(), "dropped": self.listed_drops_json(),
            **self.reconstructions_json(), **self.unused_files_json(), "before_is_minimum": self.hides_commands,
            **{name: as_json(encode_key) for name, as_json in self.json_fields.items()}, "notes": self.notes,
        }  # fmt: skip

    def unused_files_json(self) -> dict[str, list[dict[str, Any]]]:
        """The files of the AOF that the output does not use, as a JSON field, or an empty object if there are none."""
        files = [
            {"name": file.name, "keys": file.keys, "commands": file.commands, "bytes": file.size,
             "history": file.is_history}
            for file in self.unused_files
        ]  # fmt: skip
        return {"unused_files": files} if files else {}

    def listed_drops_json(self) -> list[dict[str, Any]]:
        """The first dropped byte ranges of the plan as JSON, with offsets in the files on disk."""
        return [
            {"part": self.aof.parts[d.part].name, "start": span.start, "end": span.end, "commands": d.commands,
             "reason": d.reason}
            for d in self.listed_drops for span in [span_in_file(self.aof, d)]
        ]  # fmt: skip

    def reconstructions_json(self) -> dict[str, list[dict[str, Any]]]:
        """The reconstructed byte ranges as a JSON field, or an empty object if there are none."""
        found = [{"part": self.aof.parts[change.part].name, "start": change.span.start, "end": change.span.end,
                  "bytes": change.size, "reason": change.reason}
                 for change in self.reconstructions[:LISTED_DROPS_MAX]]  # fmt: skip
        return {"mended": found} if found else {}

    # -- the output --

    @property
    def writes_directory(self) -> bool:
        """Whether the output is a directory, as it is for a multi-part AOF."""
        return self.aof.layout == "multi-part"

    @property
    def dropped_writer(self) -> DroppedWriter | None:
        """The function that writes the dropped bytes to a new directory (OUT.lost), or None if they are not kept."""
        if not (self.keep_dropped and self.dropped_bytes):
            return None
        return partial(write_dropped, self.aof, self.drops, self.omitted_parts)

    def require_exchangeable(self) -> None:
        """Raise NothingToDo if this plan changes nothing, so that an edit in place would be useless."""
        if not self.changes_output:
            raise NothingToDo("nothing would change: nothing was written")

    def space_needed(self, may_link: bool) -> int:
        """The bytes that the output and OUT.lost take on disk; with `may_link`, unchanged files take none."""
        copied = self.size - self.dropped_bytes - (self._kept_bytes().linkable_size() if may_link else 0)
        return copied + (self.dropped_bytes if self.dropped_writer else 0)

    def write_parts(self, job: OutputJob) -> None:
        """Copy the bytes of each file that are not dropped to the output."""
        self._kept_bytes().write(job)

    def manifest(self) -> NewManifest:
        """The manifest of a multi-part output: the source's own lines of the files that remain."""
        return self._kept_bytes().manifest()

    def check(self, path: Path) -> None:
        """Raise RefusedEdit unless the output at `path` has exactly the planned bytes and number of commands."""
        commands = self._kept_bytes().count_verified_commands(path)
        if not self.leaves_damage and commands != self.commands_after:
            raise RefusedEdit(
                f"the copy reads back with {commands:,} commands, not {self.commands_after:,}: it is not kept"
            )

    def receipt_json(self, header: dict[str, Any], exchanged: dict[str, Any], receipt: Receipt) -> dict[str, Any]:
        """The content of the receipt: header, totals, and the first dropped ranges with a hash of the bytes around."""
        return {
            **header,
            # A copy takes nothing away: the dropped bytes are still in the source.
            "removed_kept_in": [str(path) for path in (receipt.dropped_path, self.aof.path) if path],
            **self.totals_json(),
            "dropped": self._drops_with_neighbourhood_json(),
            "dropped_listed": len(self.listed_drops), "dropped_ranges": self.drop_count,
            **self.reconstructions_json(),
        } | exchanged  # fmt: skip

    def _kept_bytes(self) -> KeptBytes:
        return KeptBytes(self.aof, self.drops, self.omitted_parts, frozenset(self.changed_parts))

    def _drops_with_neighbourhood_json(self) -> list[dict[str, Any]]:
        sources = [AOF.require_file(self.aof.parts[drop.part]) for drop in self.listed_drops]
        return [
            shown
            | {
                "around": neighbourhood_sha256(
                    source.fd, span_in_file(self.aof, drop), (), source.size, is_evidence=source.unreadable is not None
                )
            }
            for drop, shown, source in zip(self.listed_drops, self.listed_drops_json(), sources, strict=True)
        ]
