"""repair --salvage of a multi-part AOF with several generations: a wrong manifest is not trusted over whole files."""

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.aof.discovery import open_aof
from aofdoctor.aof.generations import find_generations
from aofdoctor.resp import encode_command
from aofdoctor.server.command_table import command_table
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import aofdoctor
from tests.support.base_keys import SELECT_0, key_names, make_base, text_key

PREFIX = "appendonly.aof"
SELECT = encode_command([b"SELECT", b"0"])


def base_name(number: int) -> str:
    return f"{PREFIX}.{number}.base.rdb"


def incr_name(number: int) -> str:
    return f"{PREFIX}.{number}.incr.aof"


@dataclass
class History:
    """The files of some generations by name, the lines of the manifest after each, and all keys."""

    files: dict[str, bytes] = field(default_factory=dict)
    manifests: list[bytes] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def make_history(sizes: list[int], keeps_history: bool) -> History:
    """Build what a server leaves that rewrites its AOF between the batches of `sizes` keys and deletes no file."""
    made, past = History(), b""
    for number, size in enumerate(sizes, 1):
        made.files[base_name(number)] = make_base(SELECT_0, *(text_key(key, "1") for key in made.keys))
        keys = [f"{number}:{at}" for at in range(size)]
        made.keys += keys
        commands = b"".join(encode_command([b"SET", key.encode(), b"1"]) for key in keys)
        made.files[incr_name(number)] = SELECT + commands if size else b""
        base, incr = base_name(number).encode(), incr_name(number).encode()
        lines = b"file %b seq %d type b\n" % (base, number), b"file %b seq %d type i\n" % (incr, number)
        made.manifests.append(lines[0] + (past if keeps_history else b"") + lines[1])
        past = lines[1].replace(b"type i", b"type h") + lines[0].replace(b"type b", b"type h") + past
    return made


def write_set(folder: Path, made: History, manifest: bytes | None) -> Path:
    folder.mkdir()
    for name, data in made.files.items():
        (folder / name).write_bytes(data)
    if manifest is not None:
        (folder / f"{PREFIX}.manifest").write_bytes(manifest)
    return folder


def keys_of_set(folder: Path) -> set[str]:
    """The keys of a set of this test: bases are RDBs, and commands only set keys."""
    found = set()
    for path in folder.iterdir():
        data = path.read_bytes()
        if path.name.endswith(".rdb"):
            found |= {name.decode() for _, name in key_names(data)}
        elif path.name.endswith(".incr.aof"):
            words = data.split(b"\r\n")
            found |= {words[at + 2].decode() for at, word in enumerate(words) if word == b"SET"}
    return found


def salvage(folder: Path, out: Path) -> list[str]:
    result = aofdoctor("repair", folder, "--salvage", "-o", out, "--json")
    assert result.status == 0, result.err
    assert aofdoctor("check", out).status == 0
    notes: list[str] = result.json["notes"]
    return notes


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    manifest=st.sampled_from(["sound", "without history", "older", "missing", "empty", "cut", "garbage", "wrong"]),
    lost=st.integers(0, 14),
    torn=st.booleans(),
    data=st.data(),
)
def test_every_key_is_kept_if_one_base_is_whole(
    sizes: list[int], manifest: str, lost: int, torn: bool, data: st.DataObject
) -> None:
    """Whatever the manifest says: one whole base and all incremental files since then hold everything."""
    made = make_history(sizes, keeps_history=manifest == "sound")
    kept = data.draw(st.integers(1, len(sizes)))
    for number in range(1, len(sizes) + 1):
        if number != kept and lost >> number - 1 & 1:
            if torn:
                made.files[base_name(number)] = made.files[base_name(number)][:40]
            else:
                del made.files[base_name(number)]
    lines = {
        "older": made.manifests[data.draw(st.integers(0, len(sizes) - 1))],
        "missing": None, "empty": b"", "cut": made.manifests[-1][:-3], "garbage": b"\0" * 80 + b"\xffjunk\n",
        "wrong": made.manifests[-1].replace(f"{PREFIX}.".encode(), b"other.aof."),
    }.get(manifest, made.manifests[-1])  # fmt: skip
    with TemporaryDirectory() as folder:
        source = write_set(Path(folder) / "set", made, lines)
        if not any((source / base_name(number)).exists() for number in range(1, len(sizes) + 1)):
            return
        aofdoctor("repair", source, "--salvage", "-o", Path(folder) / "out")
        out = Path(folder) / "out"
        assert keys_of_set(out if out.exists() else source) == set(made.keys)
        assert aofdoctor("check", out if out.exists() else source).status == 0


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    has_manifest=st.booleans(),
    lost=st.sets(st.tuples(st.integers(1, 4), st.booleans()), min_size=1),
)
def test_no_generation_gives_more_than_the_one_that_is_taken(
    sizes: list[int], has_manifest: bool, lost: set[tuple[int, bool]]
) -> None:
    """Any files can be lost: the result has at least the keys of each base with the incremental files since then."""
    made = make_history(sizes, keeps_history=True)
    for number, is_base in lost:
        made.files.pop(base_name(number) if is_base else incr_name(number), None)
    with TemporaryDirectory() as folder:
        source = write_set(Path(folder) / "set", made, made.manifests[-1] if has_manifest else None)
        if not made.files:
            return
        aofdoctor("repair", source, "--salvage", "-o", Path(folder) / "out")
        out = Path(folder) / "out" if (Path(folder) / "out").exists() else source
        kept = keys_of_set(out)
        for number in range(1, len(sizes) + 1):
            names = {name for name in made.files if int(name.split(".")[2]) >= number and ".incr." in name}
            names |= {base_name(number)} & set(made.files)
            alone = Path(folder) / str(number)
            write_set(alone, History({name: made.files[name] for name in names}), None)
            assert kept >= keys_of_set(alone)


@pytest.mark.parametrize("torn", [False, True])
def test_a_lost_base_is_replaced_by_the_generation_before_it(torn: bool, tmp_path: Path) -> None:
    made = make_history([20, 10, 5], keeps_history=True)
    folder = write_set(tmp_path / "set", made, made.manifests[-1])
    if torn:
        (folder / base_name(3)).write_bytes(made.files[base_name(3)][:30])
    else:
        (folder / base_name(3)).unlink()
    found = {f["code"]: f for f in aofdoctor("check", folder, "--json").json["findings"]}["generation-found"]
    assert (
        f"{base_name(2)}, {incr_name(2)} and {incr_name(3)} are whole and continue each other: 35 keys"
        in (found["message"])
    )
    notes = salvage(folder, tmp_path / "out")
    names = {base_name(2), incr_name(2), incr_name(3), f"{PREFIX}.manifest"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert "with 35 keys" in notes[0] and base_name(3) in notes[1]
    assert any(base_name(1) in note and "is left out" in note for note in notes)


def test_a_manifest_that_is_older_than_the_files_gives_way_to_them(tmp_path: Path) -> None:
    made = make_history([20, 10], keeps_history=False)
    del made.files[base_name(1)], made.files[incr_name(1)]
    folder = write_set(tmp_path / "set", made, made.manifests[0])
    report = aofdoctor("check", folder, "--json")
    messages = " ".join(finding["message"] for finding in report.json["findings"])
    assert report.status == 1 and f"{base_name(1)} is in the manifest, and missing" in messages
    assert f"{base_name(2)} and {incr_name(2)} are whole and continue each other: 30 keys" in messages
    salvage(folder, tmp_path / "out")
    assert keys_of_set(tmp_path / "out") == set(made.keys)


def test_a_manifest_that_is_newer_than_the_files_gives_way_to_them(tmp_path: Path) -> None:
    made = make_history([20, 10, 5], keeps_history=False)
    for number in (1, 3):
        del made.files[base_name(number)], made.files[incr_name(number)]
    folder = write_set(tmp_path / "set", made, made.manifests[2])
    notes = salvage(folder, tmp_path / "out")
    assert len(keys_of_set(tmp_path / "out")) == 30 and incr_name(3) in " ".join(notes)


def test_files_of_an_earlier_server_win_over_those_of_one_that_started_empty(tmp_path: Path) -> None:
    """Without a manifest a server starts empty and writes a new manifest that reuses the number 1."""
    made = make_history([0, 20, 10], keeps_history=False)
    made.files[base_name(1)], made.files[incr_name(1)] = make_base(), SELECT + encode_command([b"SET", b"new", b"1"])
    folder = write_set(tmp_path / "set", made, made.manifests[0])
    notes = salvage(folder, tmp_path / "out")
    assert keys_of_set(tmp_path / "out") == set(made.keys)
    assert any(incr_name(1) in note and "left out" in note for note in notes)


def test_incremental_files_of_a_failed_rewrite_are_not_replayed_twice(tmp_path: Path) -> None:
    """A rewrite that fails increases only the number of the incremental files: incr.2 is in base.2."""
    incr = {number: SELECT + encode_command([b"INCR", b"n"]) for number in (1, 2, 3, 4)}
    files = {incr_name(number): data for number, data in incr.items()} | {
        base_name(1): make_base(), base_name(2): make_base(SELECT_0, text_key("n", "2")),
    }  # fmt: skip
    lines = [(base_name(3), 3, "b"), (incr_name(3), 3, "h"), (base_name(2), 2, "h"), (incr_name(1), 1, "h"),
             (incr_name(2), 2, "h"), (base_name(1), 1, "h"), (incr_name(4), 4, "i")]  # fmt: skip
    manifest = "".join(f"file {name} seq {number} type {kind}\n" for name, number, kind in lines)
    folder = write_set(tmp_path / "set", History(files), manifest.encode())
    salvage(folder, tmp_path / "out")
    names = {base_name(2), incr_name(3), incr_name(4), f"{PREFIX}.manifest"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_a_sound_set_ignores_older_generations(tmp_path: Path) -> None:
    made = make_history([20, 10, 5], keeps_history=True)
    folder = write_set(tmp_path / "set", made, made.manifests[-1])
    result = aofdoctor("repair", folder, "--salvage", "--json")
    assert result.status == 0 and result.json["changed"] is False
    codes = {f["code"] for f in aofdoctor("check", folder, "--json").json["findings"]}
    assert "generation-found" not in codes and "rewrite-unfinished" not in codes


def test_the_base_of_a_preloaded_set_is_found_without_a_manifest(tmp_path: Path) -> None:
    """The base of a set that was loaded with preload-file keeps the name of its source."""
    files = {"old file.aof": SELECT + encode_command([b"SET", b"a", b"1"]),
             incr_name(1): SELECT + encode_command([b"SET", b"b", b"1"])}  # fmt: skip
    folder = write_set(tmp_path / "set", History(files), None)
    salvage(folder, tmp_path / "out")
    manifest = (tmp_path / "out" / f"{PREFIX}.manifest").read_bytes()
    assert b'file "old\\x20file.aof" seq 1 type b' in manifest or b'file "old file.aof" seq 1 type b' in manifest


def test_a_gap_in_the_numbers_costs_nothing(tmp_path: Path) -> None:
    files = {incr_name(1): SELECT, incr_name(999_999_999_999_999_999): SELECT}
    folder = write_set(tmp_path / "set", History(files), None)
    notes = salvage(folder, tmp_path / "out")
    assert any("number 2 to 999999999999999998" in note for note in notes)


def test_the_files_of_a_real_server_are_found_again(tmp_path: Path, embedded: ServerBinary) -> None:
    """Three generations with aof-disable-auto-gc; the newest base is lost, and every value comes back."""
    options = ["--appendonly", "yes", "--aof-disable-auto-gc", "yes"]
    with Sandbox(embedded, options, hide=()) as server:
        for name in "abc":
            if name != "a":
                rewrite(server)
            for number in range(10):
                server.call("SET", f"{name}{number}", number)
            server.call("INCR", "counter")
            server.call("DEL", f"{name}9")
        shutil.copytree(server.folder / "appendonlydir", tmp_path / "set")
    (base,) = (tmp_path / "set").glob("*.3.base.rdb")
    base.unlink()
    salvage(tmp_path / "set", tmp_path / "out")

    def prepare(folder: Path) -> None:
        shutil.copytree(tmp_path / "out", folder / "appendonlydir")

    with Sandbox(embedded, options, prepare, hide=()) as server:
        assert server.call("DBSIZE") == 28 and server.call("GET", "counter") == b"3"


def rewrite(server: Sandbox) -> None:
    server.call("BGREWRITEAOF")
    while server.info("persistence")["aof_rewrite_in_progress"] != "0":
        time.sleep(0.01)


@pytest.mark.parametrize("has_times", [True, False])
def test_a_file_that_ended_before_the_base_was_written_is_in_the_base(has_times: bool, tmp_path: Path) -> None:
    """Without a manifest the times of the files say it, unless a copy has lost them: then the base is older too."""
    written = 1_700_000_000  # the time in the RDB of make_base
    files = {base_name(2): make_base(SELECT_0, text_key("n", "2"))}
    files |= {incr_name(number): SELECT + encode_command([b"INCR", b"n"]) for number in (2, 3)}
    folder = write_set(tmp_path / "set", History(files), None)
    for name, moment in ((incr_name(2), written - 60), (incr_name(3), written + 60), (base_name(2), written + 1)):
        shifted = moment if has_times else moment - 1_000_000
        os.utime(folder / name, (shifted, shifted))
    made = find_generations(open_aof(str(folder), command_table().names.ids))[0]
    assert [part.seq for part in made.incr] == ([3] if has_times else [2, 3])
    salvage(folder, tmp_path / "out")
    assert (tmp_path / "out" / incr_name(2)).exists() != has_times
