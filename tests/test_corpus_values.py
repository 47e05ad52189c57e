"""Every RDB of the corpus: our commands make the state that loading it makes, by a real server's digest."""

from pathlib import Path

import pytest

from aofdoctor.errors import SandboxError
from aofdoctor.rdb.preamble import walk
from aofdoctor.source import FileSource
from tests.corpus import ROOT
from tests.described import by_server, functions, whole_digest
from tests.rdbload import feed, made, server
from tests.servers import by_line
from tests.test_rdb_values import loading, only_known, without

pytestmark = pytest.mark.skipif(ROOT is None, reason="AOFDOCTOR_CORPUS names no corpus")
SMALL = 400_000  # larger ones hold hundreds of thousands of strings: the same thing again

WITH_NEGATIVE_ZERO = ("zset_zl_v6.rdb",)  # which a digest tells from 0, and ZADD does not


def rdbs() -> list[Path]:
    """The RDBs of the corpus that are not damaged, one of each content."""
    assert ROOT is not None
    paths = [*ROOT.rglob("*.base.rdb"), *ROOT.rglob("rdb-assets/**/*.rdb")]
    whole = [path for path in paths if "damage" not in str(path) and path.stat().st_size < SMALL]
    return sorted({path.read_bytes(): path for path in whole if walk(FileSource(path)).complete}.values())


def told(running: object) -> list[object]:
    keys = by_server(running, digests=False)  # type: ignore[arg-type]
    only_known([key for key in keys if key["type"] == "stream"])
    return list(without(keys, *([] if running.binary.version >= (7, 0, 0) else ["expire_ms"])))  # type: ignore[attr-defined]


@pytest.mark.parametrize("line", sorted(by_line()))
def test_commands_make_what_loading_makes(line: str) -> None:
    binary, compared, unsaid = by_line()[line], 0, []
    with server(binary) as fed:
        for path in rdbs():
            data = path.read_bytes()
            if line not in loading(data):
                continue
            try:
                with server(binary, data) as loaded:
                    expected = (told(loaded), functions(loaded), whole_digest(loaded))
            except SandboxError:
                continue  # it has a module's values, or is broken in a way of its own
            commands, lost, broken = made(data, line)
            unsaid += [(path, lost, broken)] if lost or broken else []
            fed.client.pipeline([("FLUSHALL",)] + ([("FUNCTION", "FLUSH")] if binary.version >= (7, 0, 0) else []))
            feed(fed, commands)
            got = (told(fed), functions(fed), whole_digest(fed))
            assert got[: 2 if path.name in WITH_NEGATIVE_ZERO else 3] == expected[:2 if path.name in WITH_NEGATIVE_ZERO else 3], path
            compared += 1
    assert compared > 10
    assert unsaid == []
