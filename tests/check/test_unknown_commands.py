"""A well-framed command that no table knows is a command: never damage, kept by every edit, counted and named."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.server.versions import VERSIONS
from tests.conftest import aofdoctor

SET = encode_command([b"SET", b"k", b"v"])
MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])
MANIFEST = b"file a.1.base.aof seq 1 type b\nfile a.1.incr.aof seq 1 type i\n"


def is_new(name: bytes) -> bool:
    return name.lower() not in command_table().names.ids


NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9._-]{3,40}", fullmatch=True).filter(is_new)
# At least two arguments, because an unknown command without any is probably a renamed FLUSHALL.
NEW_COMMANDS = st.tuples(NAMES, st.lists(st.binary(max_size=12), min_size=2, max_size=5)).map(
    lambda pair: (pair[0], encode_command([pair[0], *pair[1]]))
)
ANNOTATIONS = st.from_regex(rb"[A-Z]{3,8}:[a-z0-9;=]{0,20}", fullmatch=True).filter(lambda line: line[:3] != b"TS:")


def write_layout(folder: Path, layout: str, data: bytes) -> Path:
    """Write commands as a single file, as the base of a set, or as its incremental file; return the path to check."""
    if layout == "single":
        (folder / "a.aof").write_bytes(data)
        return folder / "a.aof"
    (folder / "appendonlydir").mkdir()
    (folder / "appendonlydir" / "a.1.base.aof").write_bytes(data if layout == "base" else SET)
    (folder / "appendonlydir" / "a.1.incr.aof").write_bytes(data if layout == "incr" else SET)
    (folder / "appendonlydir" / "a.manifest").write_bytes(MANIFEST)
    return folder


@settings(max_examples=40)
@given(
    st.lists(st.tuples(NEW_COMMANDS, st.booleans()), min_size=1, max_size=6),
    st.lists(ANNOTATIONS, max_size=3),
    st.sampled_from(["single", "base", "incr"]),
)
def test_new_names_and_annotations_are_no_damage(
    commands: list[tuple[tuple[bytes, bytes], bool]], annotations: list[bytes], layout: str
) -> None:
    data = b"".join(MULTI + record + SET + EXEC if inside else record + SET for (_, record), inside in commands)
    data += b"".join(b"#" + line + b"\r\n" + SET for line in annotations)
    with tempfile.TemporaryDirectory() as folder:
        path = write_layout(Path(folder), layout, data)
        result = aofdoctor("check", path, "--json")
        assert result.status == 0 and result.json["sound"], result.out
        assert not any(part["damage"] for part in result.json["parts"])
        names = [name.lower() for (name, _), _ in commands]
        counted = {row["name"].lower().encode(): row["count"] for row in result.json["unknown_commands"]}
        assert counted == {name: names.count(name) for name in names}
        assert sum(row["count"] for row in result.json["unknown_annotations"]) == len(annotations)
        salvage = aofdoctor("repair", path, "--salvage", "--json")
        assert salvage.status == 0 and salvage.json["bytes"]["dropped"] == 0


@settings(max_examples=20)
@given(NEW_COMMANDS, NEW_COMMANDS)
def test_after_damage_new_names_are_kept_before_another_command(
    first: tuple[bytes, bytes], second: tuple[bytes, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "a.aof", Path(folder) / "out"
        path.write_bytes(SET + b"???" + first[1] + second[1])
        assert aofdoctor("repair", path, "--salvage", "-o", out).status == 0
        assert out.read_bytes() == SET + first[1] + second[1]


def write_aof(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.aof"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("arguments", [[], [b"ASYNC"], [b"sync"]])
def test_an_unknown_command_in_the_form_of_a_flush_gives_status_1(tmp_path: Path, arguments: list[bytes]) -> None:
    path = write_aof(tmp_path, SET + encode_command([b"xflush", *arguments]) + SET)
    result = aofdoctor("check", path, "--json")
    assert result.status == 1 and not result.json["parts"][0]["damage"]
    (finding,) = [f for f in result.json["findings"] if f["code"] == "renamed-flush"]
    assert "xflush" in finding["message"] and "rename-command" in finding["message"]
    kept = aofdoctor("repair", path, "--salvage", "--json")
    assert kept.json["bytes"]["dropped"] == 0 and any("renamed" in note for note in kept.json["notes"])
    dropped = aofdoctor("repair", path, "--salvage", "--drop-unknown", "--json")
    assert dropped.json["commands"]["dropped"] == 1
    assert any("xflush" in note and "come back" in note for note in dropped.json["notes"])


@pytest.mark.parametrize("name", ["xflush", "b840fc02d524045429941cc15f59e41cb7be6c52"])
def test_strip_takes_a_renamed_flush_for_one(tmp_path: Path, name: str) -> None:
    flush = encode_command([name.encode()])
    path = write_aof(tmp_path, SET + flush + SET)
    assert "nothing to strip" in aofdoctor("strip", path, "-o", tmp_path / "out").out  # It is no flush by itself.
    for number, selection in enumerate((["--cmd", name], ["--rename", f"{name}=FLUSHALL"])):
        out = tmp_path / f"out{number}"
        assert aofdoctor("strip", path, *selection, "-o", out).status == 0
        assert out.read_bytes() == SET + SET
    plan = tmp_path / "plan.json"
    assert aofdoctor("strip", path, "--rename", f"{name.upper()}=flushall", "--plan", plan).status == 0
    assert aofdoctor("apply", plan, "-o", tmp_path / "applied").status == 0
    assert (tmp_path / "applied").read_bytes() == SET + SET
    assert aofdoctor("strip", path, "--rename", f"{name}=FLUSHALL", "--in-place", "-y").status == 0
    assert path.stat().st_size == len(SET + flush + SET) and name.encode() not in path.read_bytes()
    assert aofdoctor("check", path).status == 0


@pytest.mark.parametrize(
    "value", ["xflush", "=FLUSHALL", "x=", "set=FLUSHALL", "x=NOSUCH", "x=CONFIG", "x" * 65 + "=SET"]
)
def test_an_impossible_rename_is_a_usage_error(tmp_path: Path, value: str) -> None:
    assert aofdoctor("strip", write_aof(tmp_path, SET), "--rename", value).status == 2


def test_a_named_version_that_lacks_a_command_gives_status_1(tmp_path: Path) -> None:
    path = write_aof(tmp_path, SET + encode_command([b"ARSET", b"a", b"0", b"x"]) + SET)
    assert aofdoctor("check", path).status == 0
    assert aofdoctor("check", path, "--server", "redis-8.8").status == 0
    assert aofdoctor("check", path, "--server", "redis-8.6").status == 1
    assert aofdoctor("check", path, "--server", "valkey-9.1").status == 1
    (row,) = aofdoctor("check", path, "--json").json["unknown_commands"]
    assert (row["cmd"], row["count"], row["since"], row["refused_by"]) == ("ARSET", 1, ["Redis 8.8"], ["valkey-9.1"])
    assert "Valkey 9.1 would refuse it" in aofdoctor("check", path).out


def test_names_are_counted_one_by_one(tmp_path: Path) -> None:
    names = (b"JSON.SET", b"BF.ADD", b"TS.ADD", b"FT.CREATE")
    path = write_aof(tmp_path, SET + b"".join(encode_command([name, b"k", b"v"]) for name in names) * 2)
    rows = aofdoctor("check", path, "--json").json["unknown_commands"]
    expected = [(name.decode(), 2, name.decode().partition(".")[0]) for name in names]
    assert [(row["name"], row["count"], row["module"]) for row in rows] == expected
    assert "needs the module JSON" in aofdoctor("check", path).out


def test_what_follows_an_unknown_command_is_still_judged(tmp_path: Path) -> None:
    unknown = encode_command([b"NEW.ONE", b"k", b"v"])
    path = write_aof(tmp_path, unknown + encode_command([b"INCR"]))
    assert aofdoctor("check", path).status == 1  # Every server crashes on INCR without a key, or refuses it.
    path.write_bytes(unknown + SET[:-3])
    assert aofdoctor("check", path).status == 1


def test_many_names_are_counted_together(tmp_path: Path) -> None:
    path = write_aof(tmp_path, b"".join(encode_command([b"NEW%d" % i, b"k", b"v"]) for i in range(1200)))
    result = aofdoctor("check", path, "--json")
    assert result.status == 0 and len(result.json["unknown_commands"]) == 1000
    assert any("200 more records" in f["message"] for f in result.json["findings"])


def rdb_base(version: str) -> bytes:
    """Return an RDB without keys and without a checksum, written by a version of Redis."""
    number = version.encode()
    return b"REDIS0009\xfa\x09redis-ver" + bytes([len(number)]) + number + b"\xff" + bytes(8)


def write_set(tmp_path: Path, base: bytes) -> Path:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "a.aof").write_bytes(base)
    (tmp_path / "appendonlydir" / "a.aof.1.incr.aof").write_bytes(SET)
    manifest = b"file a.aof seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n"
    (tmp_path / "appendonlydir" / "a.aof.manifest").write_bytes(manifest)
    return tmp_path


def test_an_adopted_base_is_judged_by_servers_that_read_sets(tmp_path: Path) -> None:
    result = aofdoctor("check", write_set(tmp_path, rdb_base("6.2.14")), "--json")
    assert result.status == 0 and result.json["writer"] == "Redis 6.2.14"
    assert {verdict["outcome"] for verdict in result.json["verdicts"]} == {"loads"}
    assert "base-adopted" in {finding["code"] for finding in result.json["findings"]}


@pytest.mark.parametrize("rdb", [b"REDIS0009", b"REDIS0016"])
def test_a_writer_newer_than_the_table_is_judged_by_the_newest_release(tmp_path: Path, rdb: bytes) -> None:
    base = rdb_base("8.14.0").replace(b"REDIS0009", rdb)
    result = aofdoctor("check", write_set(tmp_path, base), "--json")
    assert result.status == 0, result.out
    (message,) = [f["message"] for f in result.json["findings"] if f["code"] == "writer-newer"]
    assert message == "written by Redis 8.14.0, newer than this version of aofdoctor; judged as Redis 8.10"


def test_announced_versions_are_judged_on_request_only(tmp_path: Path) -> None:
    path = write_aof(tmp_path, SET + encode_command([b"SADDEX", b"s", b"EX", b"9", b"MEMBERS", b"1", b"x"]))
    judged = {verdict["server"] for verdict in aofdoctor("check", path, "--json").json["verdicts"]}
    assert judged == {"redis-8.10", "valkey-9.1"} and {name for name, v in VERSIONS.items() if v.is_announced}
    assert aofdoctor("check", path, "--server", "redis-8.12").status == 0
    (row,) = aofdoctor("check", path, "--json").json["unknown_commands"]
    assert row["since"] == ["Redis 8.12"]
