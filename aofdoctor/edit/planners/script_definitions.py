"""Which EVALs define the scripts that selected EVALSHAs run: before 5.0 a server wrote both as they came.

An EVALSHA fails at the load if nothing before it has run or loaded its script.
"""

import hashlib
from dataclasses import dataclass, field

from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker

_HASHES_MAX = 100_000  # scripts


def evalsha_ids() -> frozenset[int]:
    """The ids of what runs a script by its hash."""
    return frozenset(c.id for c in command_table().commands if c.name in ("evalsha", "evalsha_ro"))


def eval_ids() -> frozenset[int]:
    """The ids of what runs a script by its text."""
    return frozenset(c.id for c in command_table().commands if c.name in ("eval", "eval_ro"))


@dataclass(slots=True)
class ScriptDefinitions:
    """The scripts that selected commands call; `of` finds what defines one, once each in load order."""

    required_hashes: set[bytes] = field(default_factory=set)
    _defined_hashes: set[bytes] = field(default_factory=set)

    @classmethod
    def for_selection(cls, aof: AOF, selection: Selection) -> "ScriptDefinitions":
        """Those of the EVALSHAs that `where` selects."""
        definitions, before, ids = cls(), 0, evalsha_ids()
        for index, part in enumerate(aof.parts):
            steps = ContextTracker(columns=True)
            for tile in read_tiles(part.source, command_table().names) if part.source else ():
                if isinstance(tile, RecordBatch):
                    done = before + steps.state[ContextField.COMMANDS]
                    steps.track(tile)
                    definitions._collect_hashes(
                        tile, [i for i in selection.matches(index, tile, steps, done) if tile.ids[i] in ids]
                    )
            before += steps.state[ContextField.COMMANDS]
        return definitions

    @property
    def undefined_count(self) -> int:
        """How many of them nothing has defined, once all has been gone through."""
        return len(self.required_hashes - self._defined_hashes)

    def _collect_hashes(self, batch: RecordBatch, chosen: list[int]) -> None:
        for i in chosen:
            if len(self.required_hashes) < _HASHES_MAX and batch.argc[i] > 1 and not batch.oversized:
                self.required_hashes.add(batch.argv(i, 2)[1].lower())

    def restart(self) -> None:
        """What `of` is asked about begins at the first part again."""
        self._defined_hashes.clear()

    def in_batch(self, batch: RecordBatch) -> set[int]:
        """The records of a batch that are the first to run the text of a wanted script."""
        return {i for i in self._eval_records(batch) if self._defines(batch, i)}

    def _eval_records(self, batch: RecordBatch) -> list[int]:
        ids = eval_ids()
        return [i for i in range(batch.count) if batch.ids[i] in ids] if not batch.oversized else []

    def _defines(self, batch: RecordBatch, i: int) -> bool:
        script = batch.argv(i, 2)[1] if batch.argc[i] > 1 else b""
        sha = hashlib.sha1(script).hexdigest().encode()
        if sha not in self.required_hashes or sha in self._defined_hashes:
            return False
        self._defined_hashes.add(sha)
        return True
