"""Rewinding the disasters of the corpus: to just before, and to every checkpoint, gives the state that was measured there.

Runs where AOFDOCTOR_CORPUS names an unpacked corpus.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from aofdoctor.aof.discovery import AOF
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble
from aofdoctor.cli.options import open_path
from aofdoctor.edit.edit import write_edit
from aofdoctor.edit.planners.rewind import cut_before_position, plan_rewind
from aofdoctor.log.position import Position
from aofdoctor.server.command_table import command_table
from tests.corpus.test_salvage_of_corpus import digest_of
from tests.support.corpus import ROOT, cases, line_of
from tests.support.servers import servers_by_line

pytestmark = pytest.mark.skipif(ROOT is None, reason="AOFDOCTOR_CORPUS names no corpus")

DIGEST = re.compile(r"[0-9a-f]{40}")


class Moment(NamedTuple):
    """A place in a history, and DEBUG DIGEST of the server that wrote it, when it was there."""

    id: str
    path: str
    line: str
    file: str
    offset: int
    digest: str


def moments() -> Iterator[Moment]:
    """Those of lines that are at hand: a digest can be compared within one line only."""
    for case in cases("disaster"):
        line, truth = line_of(case.version), case.truth
        if line not in servers_by_line() or "shortttl" in case.id:  # keys of that one have expired since
            continue
        points = [(c["file"], c["offset"], c["digest"]) for c in truth.get("checkpoints") or ()]
        # Where a later moment stands further ahead in the same file, that was rewritten in between.
        places = [p for n, p in enumerate(points) if not any(q[0] == p[0] and q[1] < p[1] for q in points[n:])]
        if "before_pos" in truth:
            places.append((*truth["before_pos"], truth["before"].get("debug_digest")))
        for file, offset, digest in places:
            if digest and DIGEST.fullmatch(digest):  # inside of MULTI, DEBUG DIGEST answered QUEUED
                yield Moment(case.id, case.path, line, Path(file).name, offset, digest)


def judge(moment: Moment) -> tuple[str, Moment]:
    with open_path(moment.path) as aof, TemporaryDirectory() as folder:
        position = position_of(aof, moment)
        if position is None:
            return "the file is gone or rewritten, or the moment is its end", moment
        plan = plan_rewind(aof, cut_before_position(position))
        write_edit(plan, Path(folder) / "out")
        got = digest_of(Path(folder) / "out", servers_by_line()[moment.line])
    return "same" if got == moment.digest else "other", moment


def position_of(aof: AOF, moment: Moment) -> Position | None:
    index = next((i for i, part in enumerate(aof.parts) if part.name == moment.file), None)
    if index is None or moment.offset >= (aof.parts[index].size or 0):
        return None
    source = aof.parts[index].source
    assert source is not None
    first = next(read_tiles(source, command_table().names))
    if isinstance(first, Preamble) and moment.offset < first.span.end:
        return None  # the file has been rewritten since
    return Position(moment.file, index, moment.offset)


def test_every_moment_comes_back() -> None:
    with Pool(os.cpu_count()) as pool:
        found = pool.map(judge, [*moments()], chunksize=8)
    assert [moment for verdict, moment in found if verdict == "other"] == []
    judged = Counter(moment.line for verdict, moment in found if verdict == "same")
    assert judged["valkey-9.1"] == 386, judged  # the others depend on the servers at hand
