"""Module data and RDB versions are conditions of a load: check, verdicts and salvage name them, and convert cures."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.server.sandbox import Sandbox
from aofdoctor.server.versions import VERSIONS
from tests.conftest import aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.rdb_files import make_rdb, module_key, select_db, string_key
from tests.support.rdb_loading import load_dump
from tests.support.servers import servers_by_line

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
GOOD = [select_db(0), string_key(b"a", b"1"), string_key(b"b", b"2")]


def type_id(name: str, version: int = 1) -> bytes:
    bits = 0
    for letter in name:
        bits = bits << 6 | LETTERS.index(letter)
    return w.length(bits << 10 | version)


def key_of(name: str, key: bytes) -> bytes:
    return b"\x07" + w.string(key) + type_id(name) + b"\x05" + w.string(b"value") + b"\x00"


def aux_of(name: str) -> bytes:
    return b"\xf7" + type_id(name) + b"\x02\x02" + b"\x05" + w.string(b"aux") + b"\x00"


def write(folder: Path, *pieces: bytes, magic: bytes = b"REDIS0011") -> Path:
    path = folder / "dump.rdb"
    path.write_bytes(make_rdb(*pieces, magic=magic))
    return path


def finding(path: Path, code: str, *words: str) -> dict[str, Any]:
    [found] = [f for f in aofdoctor("check", path, *words, "--json").json["findings"] if f["code"] == code]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("pieces", [[key_of("graphdata", b"g")], [aux_of("graphdata")]])
def test_a_load_is_promised_only_with_the_module(pieces: list[bytes], tmp_path: Path) -> None:
    path = write(tmp_path, *pieces[:1] if pieces[0][0] == 0xF7 else [], *GOOD, *pieces)
    done = aofdoctor("check", path)
    assert done.status == 0 and "would load it as it is" not in done.out
    assert "the RDB needs the module type graphdata (Graph)" in done.out
    assert aofdoctor("check", path, "--server", "valkey-9.1").status == 1
    assert load_dump(servers_by_line()["valkey-9.1"], path.read_bytes()) is None
    (command_line,) = finding(path, "module-data")["commands"]
    command = [*shlex.split(command_line)[:-1], str(tmp_path / "out.rdb")]
    assert aofdoctor(*command[1:]).status == 0
    assert load_dump(servers_by_line()["valkey-9.1"], (tmp_path / "out.rdb").read_bytes()) == {"db0": 2}


@given(
    st.dictionaries(
        st.text(LETTERS, min_size=9, max_size=9), st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=4
    )
)
def test_every_module_type_is_counted(
    tmp_path_factory: pytest.TempPathFactory, types: dict[str, tuple[int, int]]
) -> None:
    pieces, names = [select_db(0)], {name: counts for name, counts in types.items() if any(counts)}
    for number, (name, (keys, aux)) in enumerate(types.items()):
        pieces += [aux_of(name)] * aux + [key_of(name, b"%d:%d" % (number, k)) for k in range(keys)]
    path = write(tmp_path_factory.mktemp("m"), *pieces)
    [part] = aofdoctor("check", path, "--json").json["parts"]
    assert {module["type"]: (module["keys"], module["aux"]) for module in part["modules"]} == names


def test_vector_sets_are_built_into_redis_8_only(tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD, key_of("vectorset", b"v"), magic=b"REDIS0012")
    verdicts = aofdoctor("check", path, "--server", "redis-8.0", "--server", "redis-7.4", "--json").json["verdicts"]
    reasons = {verdict["server"]: verdict["reason"] for verdict in verdicts}
    assert "module type" not in reasons["redis-8.0"] and "module type vectorset" in reasons["redis-7.4"]


def test_a_salvage_names_vector_sets_for_servers_without_them(tmp_path: Path) -> None:
    binary = servers_by_line().get("redis-8.2")
    if binary is None:
        pytest.skip("no Redis 8.2 at hand")
    with Sandbox(binary, hide=()) as server:
        server.call("SET", "a", "1")
        server.call("VADD", "vectors", "VALUES", 3, "1", "2", "3", "element")
        server.call("SAVE")
        data = (server.folder / "dump.rdb").read_bytes()
    path = tmp_path / "dump.rdb"
    path.write_bytes(data[:-3])
    notes = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out.rdb", "--json").json["notes"]
    [note] = [note for note in notes if "vectorset" in note]
    assert "1 key of the module type vectorset stays; Valkey 9.1" in note and "refuse" in note
    assert load_dump(binary, (tmp_path / "out.rdb").read_bytes()) == {"db0": 2}
    assert "built into Redis 8.2" in finding(tmp_path / "out.rdb", "module-data")["message"]


def test_a_salvage_names_the_module_data_that_it_keeps(tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD, module_key(b"m", b"x"))
    path.write_bytes(path.read_bytes()[:-3])
    notes = aofdoctor("repair", path, "--salvage", "--json").json["notes"]
    [note] = [note for note in notes if "unknown-t" in note]
    assert "1 key of the module type unknown-t stays" in note and "Valkey 9.1" in note and "refuse" in note


@pytest.mark.parametrize("magic", [b"REDIS0012", b"REDIS0013"])
def test_a_version_wall_points_to_a_conversion_that_works(magic: bytes, tmp_path: Path) -> None:
    hash_key = (
        b"\x18" + w.string(b"h") + (1 << 45).to_bytes(8, "little") + b"\x01\x01" + w.string(b"f") + w.string(b"v")
    )
    path = write(tmp_path, *GOOD, hash_key, magic=magic)
    found = finding(path, "rdb-too-new")
    assert "Valkey 9.1" in found["message"] and f"RDB version {int(magic[5:])}" in found["message"]
    command = [*shlex.split(found["commands"][0])[:-1], str(tmp_path / "out.rdb")]
    assert "--lossy" not in command and aofdoctor(*command[1:]).status == 0
    assert load_dump(servers_by_line()["valkey-9.1"], (tmp_path / "out.rdb").read_bytes()) == {"db0": 3}
    older = [line for line in servers_by_line() if 0 < VERSIONS[line].newest_rdb("redis") < int(magic[5:])]
    for line in older:
        (command_line,) = finding(path, "rdb-too-new", "--server", line)["commands"]
        out = tmp_path / f"{line}.rdb"
        command = [*shlex.split(command_line)[:-1], str(out)]
        assert aofdoctor(*command[1:]).status == 0, command_line
        assert load_dump(servers_by_line()[line], out.read_bytes()) == {"db0": 3}


def test_a_set_at_a_version_wall_is_converted_as_a_set(tmp_path: Path) -> None:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / "a.aof.1.base.rdb").write_bytes(make_rdb(*GOOD, magic=b"REDIS0013"))
    (folder / "a.aof.1.incr.aof").write_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nc\r\n$1\r\n3\r\n")
    (folder / "a.aof.manifest").write_text("file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n")
    found = finding(folder, "rdb-too-new")
    assert "6.2" not in found["message"]  # It reads single files only.
    command = [*shlex.split(found["commands"][0])[:-1], str(tmp_path / "out")]
    assert aofdoctor(*command[1:]).status == 0
    loaded = aofdoctor("verify", tmp_path / "out", "--with", servers_by_line()["valkey-9.1"].path, "--json")
    assert loaded.json["total"] == 3


def test_an_rdb_that_all_judged_servers_read_gets_no_hint(tmp_path: Path) -> None:
    codes = {
        f["code"] for f in aofdoctor("check", write(tmp_path, *GOOD, magic=b"REDIS0009"), "--json").json["findings"]
    }
    assert not codes & {"rdb-too-new", "module-data"}
