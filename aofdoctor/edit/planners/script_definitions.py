"""Find the EVAL commands that define the scripts which selected EVALSHA commands run.

Before Redis 5.0 a server wrote EVAL and EVALSHA to the AOF as they came.  When the AOF is loaded, an EVALSHA fails
unless a command before it has run or loaded its script.
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
    """The command ids of EVALSHA and its variants, which run a script by its SHA-1."""
    return frozenset(c.id for c in command_table().commands if c.name in ("evalsha", "evalsha_ro"))


def eval_ids() -> frozenset[int]:
    """The command ids of EVAL and its variants, which run a script by its text."""
    return frozenset(c.id for c in command_table().commands if c.name in ("eval", "eval_ro"))


@dataclass(slots=True)
class ScriptDefinitions:
    """The scripts that selected EVALSHA commands run; `in_batch` finds the first EVAL of each script."""

    required_hashes: set[bytes] = field(default_factory=set)
    _defined_hashes: set[bytes] = field(default_factory=set)

    @classmethod
    def for_selection(cls, aof: AOF, selection: Selection) -> "ScriptDefinitions":
        """Read an AOF and collect the SHA-1s of the scripts that its selected EVALSHA commands run."""
        definitions, before, ids = cls(), 0, evalsha_ids()
        for index, part in enumerate(aof.parts):
            tracker = ContextTracker(columns=True)
            for tile in read_tiles(part.source, command_table().names) if part.source else ():
                if isinstance(tile, RecordBatch):
                    done = before + tracker.state[ContextField.COMMANDS]
                    tracker.track(tile)
                    definitions._collect_hashes(
                        tile, [i for i in selection.matches(index, tile, tracker, done) if tile.ids[i] in ids]
                    )
            before += tracker.state[ContextField.COMMANDS]
        return definitions

    @property
    def undefined_count(self) -> int:
        """The number of needed scripts that no EVAL defines; known after `in_batch` has been called for all batches."""
        return len(self.required_hashes - self._defined_hashes)

    def _collect_hashes(self, batch: RecordBatch, chosen: list[int]) -> None:
        for i in chosen:
            if len(self.required_hashes) < _HASHES_MAX and batch.argc[i] > 1 and not batch.oversized:
                self.required_hashes.add(batch.argv(i, 2)[1].lower())

    def restart(self) -> None:
        """Forget which scripts have been defined, so that `in_batch` can be called for all batches again."""
        self._defined_hashes.clear()

    def in_batch(self, batch: RecordBatch) -> set[int]:
        """The indexes of the commands of a batch that are the first EVAL of a needed script."""
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
