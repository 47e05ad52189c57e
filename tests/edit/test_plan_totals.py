"""The totals of a plan cover the keys of RDBs and files that it does not use, and a lost base never looks whole."""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.edit.drops import Drop, validated
from aofdoctor.errors import RefusedEdit
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource
from aofdoctor.span import Span
from tests.conftest import aofdoctor
from tests.support.base_keys import BASE
from tests.support.samples import FLUSH, SET

NEVER_WHOLE = re.compile(r"\((?:100|[1-9]\d{3,})%\)")


def make_set(folder: Path, files: dict[str, bytes], lines: list[str]) -> Path:
    """Write files and a manifest with these lines."""
    target = folder / "appendonlydir"
    target.mkdir()
    for name, data in files.items():
        (target / name).write_bytes(data)
    (target / "a.manifest").write_text("".join(line + "\n" for line in lines))
    return target


def lost_base_set(folder: Path, damaged: bytes | None) -> Path:
    files = {"a.1.incr.aof": SET * 3}
    if damaged is not None:
        files["a.1.base.rdb"] = damaged
    return make_set(folder, files, ["file a.1.base.rdb seq 1 type b", "file a.1.incr.aof seq 1 type i"])


@pytest.mark.parametrize("damaged", [None, BASE[:30], b"REDIS0009" + bytes(40), BASE[:-20]], ids=str)
def test_a_plan_that_loses_a_base_never_shows_100_percent(damaged: bytes | None, tmp_path: Path) -> None:
    folder = lost_base_set(tmp_path, damaged)
    result = aofdoctor("repair", folder, "--salvage")
    assert result.status == 0, result.err
    after = next(line for line in result.out.splitlines() if line.startswith("  after"))
    assert not NEVER_WHOLE.search(after) and "in RDBs" in after
    keys = aofdoctor("repair", folder, "--salvage", "--json").json["keys"]
    assert keys["before"] is None and keys["dropped"] is None and keys["after"] is not None


def test_keys_are_counted_in_every_plan(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(BASE + SET + FLUSH + SET)
    keys = aofdoctor("check", path, "--json").json["parts"][0]["preamble"]["keys"]
    unchanged = {"before": keys, "after": keys, "dropped": 0, "added": 0}
    assert aofdoctor("strip", path, "--json").json["keys"] == unchanged
    assert aofdoctor("rewind", path, "--before", "#2", "--json").json["keys"] == unchanged
    sliced = aofdoctor("slice", path, "--key", "a", "--json").json["keys"]
    assert sliced["before"] == keys == sliced["after"] + sliced["dropped"]
    assert f"{keys} keys in RDBs (100%)" in aofdoctor("strip", path).out


def test_files_that_a_repair_does_not_use_are_named_with_their_contents(tmp_path: Path) -> None:
    files = {"a.2.incr.aof": SET * 2 + b"junk", "a.9.incr.aof": SET * 7, "a.1.base.aof": SET * 5}
    lines = ["file a.1.base.aof seq 1 type h", "file a.2.incr.aof seq 2 type i"]
    folder = make_set(tmp_path, files, lines)
    plan = aofdoctor("repair", folder, "--json").json
    assert [(file["name"], file["commands"], file["history"]) for file in plan["unused_files"]] == [
        ("a.9.incr.aof", 7, False), ("a.1.base.aof", 5, True),
    ]  # fmt: skip
    out = aofdoctor("repair", folder).out
    assert (
        "before  at least 9 commands" in out
        and "after   2 commands (at most 22.2%)" in out
        and "not listed in the manifest" in out
    )


@settings(max_examples=40)
@given(st.lists(st.sampled_from([SET, encode_command([b"MULTI"]), encode_command([b"EXEC"]), b"junk\r\n", SET[:-3],
                                 SET[7:], b"\0" * 40, b"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$9\r\n1\r\n"]), min_size=1, max_size=8))  # fmt: skip
def test_check_and_salvage_agree_on_what_is_readable(tmp_path_factory: object, pieces: list[bytes]) -> None:
    path = Path(tmp_path_factory.mktemp("a"), "a.aof")  # type: ignore[attr-defined]
    path.write_bytes(SET + b"".join(pieces) + SET)
    report = aofdoctor("check", path, "--json").json
    damaged = any(part["damage"] for part in report["parts"])
    assert damaged == ("salvage" in report)
    if damaged:
        plan = aofdoctor("repair", path, "--salvage", "-o", path.with_name("out"), "--json")
        kept = {name: plan.json[name]["after"] for name in ("keys", "commands", "bytes")}
        assert plan.status == 0 and report["salvage"] == kept
        assert path.with_name("out").stat().st_size == kept["bytes"]


# -- validation --


def sized_aof(*sizes: int) -> AOF:
    parts = [AofPart(f"p{i}", "incr", i, None, BytesSource(bytes(size))) for i, size in enumerate(sizes, 1)]
    return AOF("a", "multi-part", None, parts)


@pytest.mark.parametrize("drops", [
    [(0, 5, 8), (0, 7, 9)], [(0, 5, 8), (0, 2, 3)], [(0, 5, 11)], [(1, 0, 4), (0, 0, 4)], [(2, 0, 1)], [(0, 3, 3)],
])  # fmt: skip
def test_an_invalid_plan_is_refused(drops: list[tuple[int, int, int]]) -> None:
    def make() -> Iterator[Drop]:
        yield from (Drop(part, Span(start, end), 0, "test") for part, start, end in drops)

    with pytest.raises(RefusedEdit, match="the plan is invalid"):
        list(validated(make(), sized_aof(10, 10)))


@settings(max_examples=60)
@given(st.integers(0, 3), st.integers(1, 90), st.integers(0, 200), st.binary(max_size=12))
def test_a_repeated_piece_of_a_file_gives_a_valid_plan(copies: int, size: int, at: int, noise: bytes) -> None:
    data = BASE + b"".join(encode_command([b"SET", b"k%d" % i, b"v" * (i % 7)]) for i in range(30))
    at = min(at * 4, len(data))
    damaged = data[:at] + data[max(0, at - size) : at] * copies + noise + data[at:]
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.aof")
        path.write_bytes(damaged)
        result = aofdoctor("repair", path, "--salvage", "-o", Path(folder, "out"))
        assert result.status in (0, 3) and "plan is invalid" not in result.err


def test_a_rdb_written_twice_with_commands_inside_is_salvaged(tmp_path: Path) -> None:
    value = SET + b"\0" * 8
    rdb = b"REDIS0009\xfe\x00\x00\x01k" + bytes([len(value)]) + value + b"\xff" + bytes(8)
    path = tmp_path / "a.aof"
    path.write_bytes(rdb + rdb[9:] + rdb[9:])
    result = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out")
    assert result.status == 0, result.err
