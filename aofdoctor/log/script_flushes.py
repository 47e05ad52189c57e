"""Collect the scripts in an AOF (EVAL, EVALSHA, SCRIPT LOAD) that contain FLUSHALL or FLUSHDB.

Before Redis 5.0 an EVAL was written to the AOF as it was called, so its script runs again at every load.  The script
text is searched for the words; it is not parsed.
"""

import hashlib
import re
from dataclasses import dataclass, field

from aofdoctor.aof.records import RecordBatch
from aofdoctor.server.command_table import command_table
from aofdoctor.span import Span

_FLUSH = re.compile(rb"flush(?:all|db)", re.IGNORECASE)
SCRIPT_COMMANDS = frozenset({"eval", "evalsha", "eval_ro", "evalsha_ro", "script|load"})
_SHAS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class ScriptFlush:
    """A command that runs a script with FLUSHALL or FLUSHDB in its text; the script may only mention the word.

    `part` is the name of the AOF file, `span` the byte range of the command in it, `command` is EVAL or EVALSHA.
    """

    part: str
    span: Span
    command: str


@dataclass(slots=True)
class ScriptFlushCollector:
    """Collects the commands that run a script with FLUSHALL or FLUSHDB, during a pass over an AOF.

    `count` is their number, of which the first `KEEP` are kept.  The SHA-1 of each such script is remembered to
    recognise later EVALSHA commands.
    """

    KEEP = 100

    flushes: list[ScriptFlush] = field(default_factory=list)
    count: int = 0
    _shas: set[bytes] = field(default_factory=set)

    def add_record(self, part: str, batch: RecordBatch, i: int) -> None:
        """Add record `i` of a batch, a script command, if its script contains FLUSHALL or FLUSHDB.

        Records that are too large to hold in memory are not read.
        """
        command = command_table().get(batch.ids[i])
        if command is None or batch.oversized:
            return
        if command.name.startswith("evalsha"):
            if self._shas and batch.argv(i, 2)[1].lower() in self._shas:
                self._add(ScriptFlush(part, batch.record_span(i), "EVALSHA"))
        elif _FLUSH.search(batch.raw(i)):
            script_index = 2 if command.container else 1
            script = batch.argv(i, script_index + 1)[script_index] if batch.argc[i] > script_index else b""
            if _FLUSH.search(script):
                if len(self._shas) < _SHAS_MAX:
                    self._shas.add(hashlib.sha1(script).hexdigest().encode())
                if not command.container:
                    self._add(ScriptFlush(part, batch.record_span(i), "EVAL"))

    def _add(self, flush: ScriptFlush) -> None:
        self.count += 1
        if len(self.flushes) < self.KEEP:
            self.flushes.append(flush)


def script_command_ids() -> frozenset[int]:
    """Return the ids of the commands that run or load a script."""
    return frozenset(c.id for c in command_table().commands if c.name in SCRIPT_COMMANDS)
