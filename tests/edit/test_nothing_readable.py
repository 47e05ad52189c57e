"""Where nothing can be read a salvage is refused, and no plan shows a share that would hide a loss."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor
from tests.support.rdb_files import make_rdb, select_db, string_key

SETS = [encode_command([b"SET", b"key:%d" % n, b"value"]) for n in range(20)]
MANIFEST = b"file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n"


def write(folder: Path, layout: str, data: bytes) -> Path:
    if layout != "set":
        (folder / layout).write_bytes(data)
        return folder / layout
    directory = folder / "appendonlydir"
    directory.mkdir()
    (directory / "a.aof.manifest").write_bytes(MANIFEST)
    (directory / "a.aof.1.base.rdb").write_bytes(data)
    (directory / "a.aof.1.incr.aof").write_bytes(data)
    return directory


@pytest.mark.parametrize("layout", ["dump.rdb", "appendonly.aof", "set"])
@pytest.mark.parametrize("data", [bytes(5000), b"REDIS0009\xfa" + bytes(3000), b"\xff" * 999, b"*3\r\n$3\r\nSET\r\n$1"])
def test_a_salvage_of_nothing_is_refused_and_writes_nothing(layout: str, data: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, layout, data)
    before = sorted(tmp_path.rglob("*"))
    if layout == "dump.rdb" and not data.startswith((b"REDIS", b"\0")):
        pytest.skip("not recognised as a dump")
    for words in ([], ["-o", str(tmp_path / "out")], ["--in-place", "-y"], ["--plan", str(tmp_path / "plan.json")]):
        done = aofdoctor("repair", path, "--salvage", *words)
        if "not" in done.err and "AOF" in done.err and done.status == 3 and "can be read" not in done.err:
            pytest.skip("refused as no AOF at all")
        assert done.status == 3 and "can be read: no command, and no key" in done.err, (words, done.out, done.err)
        assert sorted(tmp_path.rglob("*")) == before
    checked = aofdoctor("check", path)
    assert checked.status == 1 and "Readable: nothing" in checked.out and "aofdoctor repair" not in checked.out
    assert aofdoctor("check", path, "--json").json["salvage"]["commands"] == 0


def test_a_salvage_that_keeps_a_sound_empty_base_is_not_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "set", make_rdb())
    (path / "a.aof.1.incr.aof").write_bytes(SETS[0][:-3])
    assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out").status == 0


def test_a_cut_that_leaves_nothing_of_a_dump_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "dump.rdb", bytes(100))
    assert aofdoctor("repair", path, "-o", tmp_path / "out").status == 3 and not (tmp_path / "out").exists()


@given(
    before=st.integers(0, 5), after=st.integers(1, 5), gap=st.binary(min_size=1, max_size=40), salvages=st.booleans(),
    keys=st.integers(-1, 3),
)  # fmt: skip
def test_no_share_is_100_percent_where_damage_is_dropped(
    tmp_path_factory: pytest.TempPathFactory, before: int, after: int, gap: bytes, salvages: bool, keys: int
) -> None:
    path = tmp_path_factory.mktemp("gap") / "appendonly.aof"
    base = make_rdb(select_db(0), *(string_key(b"k%d" % n, b"v") for n in range(keys))) if keys >= 0 else b""
    path.write_bytes(base + b"".join(SETS[:before]) + b"\0" + gap + b"".join(SETS[10 : 10 + after]))
    words = ["--salvage"] if salvages else []
    plan = aofdoctor("repair", path, *words, "--json")
    if plan.status:
        return
    done = aofdoctor("repair", path, *words)
    [totals] = [line for line in done.out.splitlines() if line.startswith("  after ")]
    commands = re.search(r"commands?(?: \((?:at most )?([0-9.]+)%\))?", totals)
    assert commands
    if plan.json["dropped"]:
        assert commands[1] is None or float(commands[1]) < 100
        assert not re.search(r"bytes \(100%\)|KB \(100%\)", totals)
    assert plan.json["before_is_minimum"] == ("at least" in done.out or "unknown number of commands" in done.out)


def test_the_number_before_is_unknown_where_damage_may_hide_commands(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(b"".join(SETS[:5]) + bytes(400) + b"".join(SETS[5:8]))
    out = aofdoctor("repair", path, "--salvage").out
    assert "before  at least 8 commands" in out and "after   8 commands, " in out
    cut = aofdoctor("repair", path).out
    assert "before  at least 8 commands" in cut and "after   5 commands (at most 62.5%)" in cut


def test_a_torn_last_record_hides_no_command(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(b"".join(SETS[:5])[:-4])
    out = aofdoctor("repair", path).out
    assert "before  4 commands" in out and "after   4 commands, " in out
