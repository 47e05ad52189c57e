"""diff on the pairs of the corpus: fork, commands on each side and differing keys agree with the measurements.

Runs only if AOFDOCTOR_CORPUS names an unpacked corpus.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.cli.options import open_path
from aofdoctor.rdb.preamble import is_rdb, walk_rdb
from aofdoctor.server.command_table import command_table
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.source import BytesSource
from tests.conftest import Result, aofdoctor
from tests.support.corpus import ROOT, cases, needs_corpus
from tests.support.server_state import state_of

pytestmark = needs_corpus

Key = tuple[int, bytes]
# The same commands led to other values: servers of two release lines store scores differently.
OTHER_VALUES = {
    "redis-2.8.24-across-redis-7.0.15": {(0, b"z:1")},
    "redis-6.2.16-across-redis-7.4.1": {(0, b"z:1"), (0, b"z:d"), (0, b"z:u")},
}
# The measurement ignores expiries, because each server of a pair counts a relative expiry from its own clock.
OTHER_EXPIRY = {(0, b"s:ex"), (0, b"s:ex2"), (0, b"s:nx"), (0, b"s:pex"), (0, b"s:px")}
# GETSET fails at a key that is no string, so its effect on an existing key is not certain; the other server logs a SET.
UNCERTAIN = {(0, b"s:3")}
# The effect of these commands is compared by value, so a rewrite of the key counts as equal.
COMPARED_BY_VALUE = {"SET", "SETNX", "MSET", "SADD", "RPUSH", "DEL", "UNLINK", "RENAME", "PERSIST"}
# A hash with a field that expires at another time: the measurement ignores field expiries.
FIELD_EXPIRY: set[Key] = {(0, b"h:ttl2")}


def pairs() -> Iterator[tuple[str, dict[str, Any], Path, Path]]:
    assert ROOT is not None
    for entry in json.loads((ROOT / "INDEX.json").read_text())["cases"]:
        if entry["tags"]["kind"] == "diff-pair":
            truth = json.loads((ROOT / entry["truth"]).read_text())
            yield entry["case"], truth, ROOT / entry["input"], ROOT / entry["input_b"]


def parts(path: Path) -> list[tuple[str, bytes]]:
    with open_path(str(path)) as aof:
        return [(part.name, part.path.read_bytes()) for part in aof.existing_parts if part.path]


def common_prefix(a: bytes, b: bytes) -> int:
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def concatenated_offset(files: list[tuple[str, bytes]], place: dict[str, Any], past: int) -> int:
    """Return a position in the concatenated parts."""
    names = [name for name, _ in files]
    return sum(len(data) for _, data in files[: names.index(place["part"])]) + int(place["offset"]) + past


def is_prefix_of_last_files(truth: dict[str, Any]) -> bool:
    """Whether the measured common prefix of the last files is also the common prefix of the whole histories."""
    return all(not any(f["size"] for f in truth[side][:-1]) for side in ("files_a", "files_b"))


def test_every_pair_has_the_measured_fork() -> None:
    judged: Counter[str] = Counter()
    for case, truth, a, b in pairs():
        result = aofdoctor("diff", a, b, "--json")
        summary = result.lines[-1]
        for side, files in (("a", "files_a"), ("b", "files_b")):
            assert summary[side]["commands"] == sum(f["commands"] for f in truth[files]), case
        fork = summary["fork"]
        if case.endswith("same-file"):
            assert (fork, result.status) == (None, 0), case
        else:
            ours, theirs = parts(a), parts(b)
            bytes_a, bytes_b = (b"".join(data for _, data in files) for files in (ours, theirs))
            expected = common_prefix(bytes_a, bytes_b)
            assert result.status == 1, case
            assert concatenated_offset(ours, fork["a"], fork["bytes"]) == expected, case
            assert concatenated_offset(theirs, fork["b"], fork["bytes"]) == expected, case
            assert concatenated_offset(ours, summary["same_bytes"]["a"], 0) == expected, case
            assert concatenated_offset(theirs, summary["same_bytes"]["b"], 0) == expected, case
            if is_prefix_of_last_files(truth):
                assert expected == truth["last_file_common_prefix_bytes"], case
                assert fork["a"]["n"] - 1 == fork["b"]["n"] - 1 == truth["last_file_common_prefix_commands"], case
                judged["measured"] += 1
        judged["all"] += 1
    assert judged == {"all": 45, "measured": 33}


def test_commands_of_one_side_are_all_commands_after_the_fork() -> None:
    """In append-only forks, the common commands plus those of one side add up to all commands of that side."""
    judged = 0
    for case, truth, a, b in pairs():
        if case.rpartition("-")[2] in ("forked", "prefix", "flushed"):
            shared = truth["last_file_common_prefix_commands"]
            lines = [line for line in aofdoctor("diff", a, b, "--json").lines if line["type"] == "only"]
            for side in "ab":
                own = [line for line in lines if line["side"] == side]
                assert len(own) <= truth[f"last_file_commands_{side}"] - shared, case
                assert all(line["n"] > shared for line in own), case
            judged += 1
    assert judged == 15


def test_bases_of_the_corpus_equal_the_commands_that_they_are_converted_to(tmp_path: Path) -> None:
    judged = 0
    for case in cases("clean"):
        with open_path(case.path) as aof:
            has_rdb = any(part.source and is_rdb(part.source) for part in aof.existing_parts)
        copy = tmp_path / str(judged)
        if has_rdb and aofdoctor("convert", case.path, "--base", "resp", "-o", copy).status == 0:
            for pair in ((case.path, copy), (copy, case.path)):
                result = aofdoctor("diff", *pair)
                assert (result.status, result.out[:13]) == (0, "no difference"), (case.id, result.out[-1000:])
            judged += 1
    assert judged == 67


def annotate(data: bytes) -> bytes:
    """Return the same commands, each preceded by an annotation."""
    start = walk_rdb(BytesSource(data)).end if is_rdb(BytesSource(data)) else 0
    out, seconds = data[:start], 1_700_000_000
    for tile in read_tiles(BytesSource(data), command_table().names, start):
        assert isinstance(tile, RecordBatch)
        for i in range(tile.count):
            out += b"#TS:%d\r\n" % (seconds := seconds + 1) + bytes(tile.raw(i))
    return out


def test_annotations_are_no_difference(tmp_path: Path) -> None:
    judged = 0
    for case, _, *sides in pairs():
        for number, side in enumerate(sides):
            if not (side.is_file() and len(files := parts(side)) == 1):
                continue
            copy = tmp_path / f"{case}.{number}"
            copy.write_bytes(annotate(files[0][1]))
            for pair in ((side, copy), (copy, side)):
                result = aofdoctor("diff", *pair, "--json")
                assert result.status == 0, case
                assert result.lines[-1]["same"] + result.lines[-1]["same_keys"] > 0, case
            judged += 1
    assert judged == 38


def test_a_patch_of_the_appended_commands_gives_the_other_state(tmp_path: Path, embedded: ServerBinary) -> None:
    judged = 0
    for case, truth, a, b in pairs():
        if not case.endswith(("-prefix", "-flushed", "-one-of-each")):
            continue
        patch = tmp_path / case
        assert aofdoctor("diff", a, b, "--patch", patch).status == 1, case
        ours, theirs = (b"".join(data for _, data in parts(side)) for side in (a, b))
        assert state_after(embedded, ours + patch.read_bytes()) == state_after(embedded, theirs), case
        assert truth["same_state"] == (state_after(embedded, ours) == state_after(embedded, theirs)), case
        judged += 1
    assert judged == 15


def state_after(binary: ServerBinary, data: bytes) -> Any:
    """Return the state of a server that has loaded an AOF."""

    def prepare(folder: Path) -> None:
        target = folder / "appendonlydir"
        target.mkdir()
        (target / "appendonly.aof.1.incr.aof").write_bytes(data)
        (target / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")

    with Sandbox(binary, ["--appendonly", "yes"], prepare, hide=(), timeout=60) as server:
        return state_of(server)


def found_keys(result: Result) -> dict[Key, str]:
    found = {}
    for line in result.lines[1:]:
        key = line["key"]
        name = base64.b64decode(key["base64"]) if isinstance(key, dict) else key.encode()
        found[line["db"], name] = line["type"]
    return found


def commands_of_keys(path: Path) -> dict[Key, set[str]]:
    """Return the commands that name each key."""
    found: dict[Key, set[str]] = {}
    for line in aofdoctor("log", path, "--json").lines:
        for key in line["keys"]:
            name = base64.b64decode(key["base64"]) if isinstance(key, dict) else key.encode()
            found.setdefault((line["db"], name), set()).add(line["cmd"].upper())
    return found


def test_every_pair_gets_its_key_lists() -> None:
    """Every measured key is listed. Additional keys have writes or expiries that the measurement ignores."""
    judged: Counter[str] = Counter()
    kinds = {"only_a": "only_a", "only_b": "only_b"}
    for case, truth, a, b in pairs():
        result = aofdoctor("diff", a, b, "--by", "keys", "--json")
        got = found_keys(result)
        expected = {
            (k["db"], k["key_latin1"].encode("latin-1")): kinds.get(k["kind"], "differs") for k in truth["key_diff"]
        }
        if "rewritten" in case:
            commands = commands_of_keys(a)
            assert expected == {}, case
            assert set(got.values()) <= {"differs"}, case
            assert all(commands[key] - COMPARED_BY_VALUE for key in got), case
            assert len(got) * 3 < result.lines[0]["same"], case
            judged["rewritten"] += 1
            continue
        allowed = (
            FIELD_EXPIRY if case.startswith("valkey-9.1") else OTHER_EXPIRY | UNCERTAIN if "across" in case else set()
        )
        assert set(expected) - set(got) == OTHER_VALUES.get(case, set()), case
        assert {key: kind for key, kind in got.items() if key in expected or key not in allowed} == {
            key: kind for key, kind in expected.items() if key in got
        }, case
        judged["across" if "across" in case else "the same"] += 1
    assert judged == {"the same": 32, "across": 3, "rewritten": 10}


def test_reordered_pairs_have_only_moved_commands() -> None:
    for case, _, a, b in pairs():
        if case.endswith("reordered"):
            summary = aofdoctor("diff", a, b, "--json").lines[-1]
            assert (summary["only_a"], summary["only_b"]) == (0, 0), case
            assert summary["moved"] > 0, case


def test_swapping_the_sides_mirrors_the_result() -> None:
    swapped = {"only_a": "only_b", "only_b": "only_a"}
    for case, _, a, b in pairs():
        one, two = (aofdoctor("diff", *sides, "--json", "--stat").json for sides in ((a, b), (b, a)))
        assert {swapped.get(k, k): one[k] for k in ("only_a", "only_b", "moved", "same", "equal", "fell_back")} == {
            k: two[k] for k in ("only_b", "only_a", "moved", "same", "equal", "fell_back")
        }, case
        keys, other = (found_keys(aofdoctor("diff", *sides, "--by", "keys", "--json")) for sides in ((a, b), (b, a)))
        assert {key: swapped.get(kind, kind) for key, kind in keys.items()} == other, case
