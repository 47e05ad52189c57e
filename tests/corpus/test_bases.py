"""Salvage of the damaged RDBs in the corpus: exactly the undamaged keys are kept, and a real server loads them.

Runs only if AOFDOCTOR_CORPUS names an unpacked corpus.
"""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from aofdoctor.check.examine import examine
from aofdoctor.cli.options import open_path
from aofdoctor.edit.edit import write_edit
from aofdoctor.edit.salvage.salvage import plan_salvage
from aofdoctor.errors import NothingReadable
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.preamble import is_rdb, walk_rdb
from aofdoctor.source import BytesSource, FileSource
from tests.support.corpus import Case, cases, line_of, needs_corpus
from tests.support.corpus_salvage import cases_by_version, undamaged_file
from tests.support.rdb_loading import digest_server
from tests.support.servers import servers_by_line

pytestmark = needs_corpus

Keys = dict[tuple[int, bytes], bytes]


def keys_of(data: bytes) -> Keys:
    """Return the type, value bytes and expiry of each key, by database and name."""
    source = BytesSource(data)
    items = [item for batch in ItemReader(source) for item in batch if isinstance(item, KeyItem)]
    return {(key.db, key.name(source)): bytes([key.type]) + data[key.value_offset : key.end] + b"%d" % key.expire_ms
            for key in items}  # fmt: skip


def undamaged_rdb(case: Case, name: str) -> bytes | None:
    """Return the RDB before it was damaged, or None if the corpus does not have it."""
    path = undamaged_file(case) if "file" in case.truth["source"] else None
    source = case.truth["source"]
    for before in (source["case"], f"clean-{source['case']}"):  # In a multi-part AOF it is the file of the same name.
        found = cases_by_version().get((source["version"], before))
        path = path or (next(found.data.rglob(name), None) if found else None)
    if path is None:
        return None
    data = path.read_bytes()
    return data[: walk_rdb(BytesSource(data)).end]


def damaged_rdbs() -> dict[str, tuple[Case, str]]:
    found = {}
    for case in cases("damage"):
        folder = Path(case.path)
        for path in [folder, *folder.parent.glob("*.rdb"), *folder.glob("*.rdb"), *folder.glob("**/*.rdb")]:
            if path.is_file() and is_rdb(FileSource(path)):
                rdb = walk_rdb(FileSource(path))
                if not rdb.complete or rdb.checksum == "bad":
                    found[case.id] = (case, path.name)
    return found


def test_the_undamaged_keys_are_kept_and_load() -> None:
    judged, loaded, lost, without = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for case, name in damaged_rdbs().values():
        before = undamaged_rdb(case, name)
        if before is None:
            without[case.damage] += 1
            continue
        expected = keys_of(before)
        with TemporaryDirectory() as folder, open_path(case.path) as aof:
            try:
                plan, report = plan_salvage(aof, examine)
            except NothingReadable:
                assert case.damage == "trunc-in-preamble-header", case.id
                continue
            assert any(part.preamble and not part.preamble.is_intact for part in report.parts)
            out = Path(folder) / "out"
            write_edit(plan, out)
            written = out / name if out.is_dir() else out
            data = written.read_bytes()
        rdb = walk_rdb(BytesSource(data))
        if not data or not rdb.end:
            assert case.damage == "trunc-in-preamble-header", case.id
            continue
        assert rdb.complete and rdb.checksum == "ok", case.id
        got = keys_of(data)
        changed = [key for key, value in got.items() if expected.get(key) != value]
        # A flipped byte in a string cannot be detected without a checksum, because the result is a valid string.
        assert len(changed) <= (case.damage in ("flip-preamble", "base-rdb-flip")), (case.id, changed)
        judged[case.damage] += 1
        lost[case.damage] += len(expected) - len(got)
        binary = servers_by_line().get(line_of(case.version))
        if binary:
            with digest_server(binary, data[: rdb.end]) as running:
                keys = sum(
                    int(str(row).split(",")[0].partition("=")[2] or 0) for row in running.info("keyspace").values()
                )
            assert 0 <= len(got) - keys <= sum(1 for value in got.values() if not value.endswith(b"-1")), case.id
            loaded[case.damage] += 1
    assert all(not lost[damage] for damage in judged if damage.endswith(("crc", "magic", "version")))
    assert all(lost[damage] <= judged[damage] for damage in judged if not damage.endswith(("middle", "truncated")))
    # The corpus has no undamaged file for the other cases.
    assert (sum(judged.values()), sum(without.values())) == (19, 8)
    assert sum(loaded.values()) > 0
