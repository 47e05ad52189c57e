"""rewind on the disasters of the corpus: every checkpoint and the moment before the disaster have the measured state.

Runs only if AOFDOCTOR_CORPUS names an unpacked corpus.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble
from aofdoctor.cli.options import open_path
from aofdoctor.edit.edit import write_edit
from aofdoctor.edit.planners.rewind import cut_before_position, plan_rewind
from aofdoctor.log.position import Position
from aofdoctor.server.command_table import command_table
from tests.support.corpus import cases, line_of, needs_corpus
from tests.support.corpus_salvage import debug_digest
from tests.support.servers import servers_by_line

pytestmark = needs_corpus

DIGEST = re.compile(r"[0-9a-f]{40}")


class Moment(NamedTuple):
    """A position in a history, and the DEBUG DIGEST of the writing server at that position."""

    id: str
    path: str
    line: str
    file: str
    offset: int
    digest: str


def moments() -> Iterator[Moment]:
    """Yield the moments of installed release lines, because a digest is comparable only within one line."""
    for case in cases("disaster"):
        line, truth = line_of(case.version), case.truth
        # The keys of this case have expired since it was recorded.
        if line not in servers_by_line() or "shortttl" in case.id:
            continue
        points = [(c["file"], c["offset"], c["digest"]) for c in truth.get("checkpoints") or ()]
        # If a later checkpoint has a smaller offset in the same file, the file was rewritten in between.
        places = [p for n, p in enumerate(points) if not any(q[0] == p[0] and q[1] < p[1] for q in points[n:])]
        if "before_pos" in truth:
            places.append((*truth["before_pos"], truth["before"].get("debug_digest")))
        for file, offset, digest in places:
            if digest and DIGEST.fullmatch(digest):  # Inside MULTI, DEBUG DIGEST returned QUEUED.
                yield Moment(case.id, case.path, line, Path(file).name, offset, digest)


def judge(moment: Moment) -> tuple[str, Moment]:
    with open_path(moment.path) as aof, TemporaryDirectory() as folder:
        position = position_of(aof, moment)
        if position is None:
            return "the file is gone or rewritten, or the moment is its end", moment
        plan = plan_rewind(aof, cut_before_position(position))
        write_edit(plan, Path(folder) / "out")
        got = debug_digest(Path(folder) / "out", servers_by_line()[moment.line])
    return "same" if got == moment.digest else "other", moment


def position_of(aof: AOF, moment: Moment) -> Position | None:
    index = next((i for i, part in enumerate(aof.parts) if part.name == moment.file), None)
    if index is None or moment.offset >= (aof.parts[index].size or 0):
        return None
    source = aof.parts[index].source
    assert source is not None
    first = next(read_tiles(source, command_table().names))
    if isinstance(first, Preamble) and moment.offset < first.span.end:
        return None  # The file has been rewritten since.
    return Position(moment.file, index, moment.offset)


def test_every_moment_is_restored() -> None:
    with Pool(os.cpu_count()) as pool:
        found = pool.map(judge, [*moments()], chunksize=8)
    assert [moment for verdict, moment in found if verdict == "other"] == []
    judged = Counter(moment.line for verdict, moment in found if verdict == "same")
    assert judged["valkey-9.1"] == 386, judged  # The other counts depend on the installed servers.
