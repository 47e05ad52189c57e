"""When an AOF was written, as its #TS annotations say."""

from aofdoctor.analysis.numbering import known
from aofdoctor.aof.aof import AOF
from aofdoctor.aof.reader import read
from aofdoctor.aof.record import Batch
from aofdoctor.server.commands import table
from aofdoctor.server.plain import State
from aofdoctor.server.steps import Steps
from aofdoctor.source import PipeSource, pread

_LOOK = 1 << 16


def last_time(aof: AOF) -> int | None:
    """The time of the end of the log, unix seconds; None if it has no #TS annotation."""
    for part in reversed(aof.parts):
        if part.source is None or isinstance(part.source, PipeSource):
            continue
        steps = Steps()
        for tile in read(part.source, table().words):
            if isinstance(tile, Batch):
                steps.run(tile)
        time = known(steps.state[State.TIME])
        if time is not None:
            return time
    return None


def looks_timed(aof: AOF) -> bool:
    """True if the beginning or the end of a part holds a #TS annotation: a guess that costs nothing."""
    for part in aof.parts:
        if part.source is None or part.source.size is None:
            continue
        ends = pread(part.source, _LOOK, 0) + pread(part.source, _LOOK, max(0, part.source.size - _LOOK))
        if b"#TS:" in ends:
            return True
    return False
