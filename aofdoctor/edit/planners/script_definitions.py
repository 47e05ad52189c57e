"""Which EVALs define the scripts that selected EVALSHAs run: before 5.0 a server wrote both as they came.

An EVALSHA fails at the load if nothing before it has run or loaded its script.
"""

import hashlib
from dataclasses import dataclass, field

from aofdoctor.aof.discovery import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import table
from aofdoctor.server.context._pytracker import ContextField
from aofdoctor.server.context.tracker import ContextTracker

_KEPT = 100_000  # scripts


def evalsha_ids() -> frozenset[int]:
    """The ids of what runs a script by its hash."""
    return frozenset(c.id for c in table().commands if c.name in ("evalsha", "evalsha_ro"))


def eval_ids() -> frozenset[int]:
    """The ids of what runs a script by its text."""
    return frozenset(c.id for c in table().commands if c.name in ("eval", "eval_ro"))


@dataclass(slots=True)
class ScriptDefinitions:
    """The scripts that selected commands call; `of` finds what defines one, once each in load order."""

    wanted: set[bytes] = field(default_factory=set)
    _seen: set[bytes] = field(default_factory=set)

    @classmethod
    def needed(cls, aof: AOF, selection: Selection) -> "ScriptDefinitions":
        """Those of the EVALSHAs that `where` selects."""
        found, before, ids = cls(), 0, evalsha_ids()
        for index, part in enumerate(aof.parts):
            steps = ContextTracker(columns=True)
            for tile in read_tiles(part.source, table().names) if part.source else ():
                if isinstance(tile, RecordBatch):
                    done = before + steps.state[ContextField.COMMANDS]
                    steps.run(tile)
                    found._note(tile, [i for i in selection.matches(index, tile, steps, done) if tile.ids[i] in ids])
            before += steps.state[ContextField.COMMANDS]
        return found

    @property
    def undefined(self) -> int:
        """How many of them nothing has defined, once all has been gone through."""
        return len(self.wanted - self._seen)

    def _note(self, batch: RecordBatch, chosen: list[int]) -> None:
        for i in chosen:
            if len(self.wanted) < _KEPT and batch.argc[i] > 1 and not batch.oversized:
                self.wanted.add(batch.argv(i, 2)[1].lower())

    def begin(self) -> None:
        """What `of` is asked about begins at the first part again."""
        self._seen.clear()

    def in_batch(self, batch: RecordBatch) -> set[int]:
        """The records of a batch that are the first to run the text of a wanted script."""
        return {i for i in self._with_text(batch) if self._defines(batch, i)}

    def _with_text(self, batch: RecordBatch) -> list[int]:
        ids = eval_ids()
        return [i for i in range(batch.count) if batch.ids[i] in ids] if not batch.oversized else []

    def _defines(self, batch: RecordBatch, i: int) -> bool:
        script = batch.argv(i, 2)[1] if batch.argc[i] > 1 else b""
        sha = hashlib.sha1(script).hexdigest().encode()
        if sha not in self.wanted or sha in self._seen:
            return False
        self._seen.add(sha)
        return True
