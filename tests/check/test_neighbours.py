"""Findings about files beside an AOF: each is opened, and what it holds decides what is reported."""

import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.check.neighbours.live_keys import count_live_keys
from aofdoctor.errors import SourceChanged
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.source import BytesSource, FileSource
from tests.conftest import aofdoctor
from tests.support.base_keys import SELECT_0, make_base, text_key

SET = encode_command([b"SET", b"a", b"1"])
KEYS = [text_key(f"key:{number}", "x") for number in range(50)]


def findings(path: Path, code: str) -> list[dict[str, Any]]:
    return [finding for finding in aofdoctor("check", path, "--json").json["findings"] if finding["code"] == code]


def leftover(path: Path) -> dict[str, Any]:
    (finding,) = findings(path, "leftover")
    return finding


def run_server(binary: ServerBinary, folder: Path, *commands: tuple[str, ...], options: tuple[str, ...] = ()) -> None:
    """Run a server on the files of a folder, and keep the files that it leaves."""
    for name in os.listdir(folder):
        assert name in ("dump.rdb", "appendonlydir"), name

    def prepare(place: Path) -> None:
        shutil.copytree(folder, place, dirs_exist_ok=True)

    with Sandbox(binary, options, prepare, hide=()) as server:
        for command in commands:
            server.call(*command)
        for name in ("dump.rdb", "appendonlydir"):
            if (server.folder / name).is_dir():
                shutil.copytree(server.folder / name, folder / name, dirs_exist_ok=True)
            elif (server.folder / name).exists():
                shutil.copy(server.folder / name, folder / name)


# -- dump.rdb --


def test_a_dump_that_an_empty_aof_replaced_is_a_danger_with_its_keys_and_the_steps(
    tmp_path: Path, embedded: ServerBinary
) -> None:
    """`appendonly yes` in the configuration file and a restart: the server loads an empty AOF, not the dump."""
    sets = [("SET", f"app:{number}", "1") for number in range(30)]
    run_server(embedded, tmp_path, *sets, ("SAVE",))
    run_server(embedded, tmp_path, ("SET", "new", "1"), options=("--appendonly", "yes"))
    (finding,) = findings(tmp_path, "dump-not-loaded")
    assert finding["severity"] == "danger" and "holds 30 keys" in finding["message"]
    assert "older than the base" in finding["message"] and "CONFIG SET save ''" in finding["hint"]
    convert = finding["commands"][0].split()[1:]
    assert aofdoctor(*convert).status == 0
    assert aofdoctor("verify", convert[-1], "--with", embedded.path, "--json").json["total"] == 30


def test_a_dump_that_was_saved_after_the_base_is_no_danger(tmp_path: Path, embedded: ServerBinary) -> None:
    run_server(embedded, tmp_path, ("SET", "a", "1"), ("SAVE",), options=("--appendonly", "yes"))
    assert findings(tmp_path, "dump-not-loaded") == []
    assert "holds 1 key," in leftover(tmp_path)["message"]


@pytest.mark.parametrize(
    ("data", "words"),
    [(bytes(3000), "holds no data: all of its bytes are NUL"), (b"", "holds no data that can be read: it is empty"),
     (b"save 900 1\n" * 20, "neither an RDB nor commands"), (make_base(), "holds 0 keys"),
     (make_base(SELECT_0, *KEYS)[:300], "damaged (an RDB that ends inside a record)")],
)  # fmt: skip
def test_a_dump_is_opened_before_it_is_described(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(SET + encode_command([b"SET", b"key:1", b"1"]))
    (tmp_path / "dump.rdb").write_bytes(data)
    assert words in leftover(tmp_path)["message"]
    report = aofdoctor("check", tmp_path, "--json")
    assert report.status == 0 and report.json["neighbours"][0]["size"] == len(data)


def test_a_dump_is_compared_with_the_time_of_the_base(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(make_base(SELECT_0, *KEYS) + SET)
    older = make_base(SELECT_0, *KEYS[:9]).replace(b"1700000000", b"1600000000")
    (tmp_path / "dump.rdb").write_bytes(older[:-8] + bytes(8))
    finding = leftover(tmp_path)
    assert "holds 9 keys" in finding["message"] and "older than the base" in finding["message"]
    assert finding["severity"] == "note"


# -- temporary files --


def test_an_unfinished_rewrite_is_named_and_may_be_deleted_if_the_aof_has_its_keys(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(make_base(SELECT_0, *KEYS) + SET)
    temp = tmp_path / "temp-rewriteaof-77.aof"
    temp.write_bytes(make_base(SELECT_0, *KEYS)[:400])
    finding = leftover(tmp_path)
    assert "an unfinished rewrite of this AOF: an RDB that ends inside a record" in finding["message"]
    assert "it can be deleted" in finding["detail"]
    assert aofdoctor("check", tmp_path).status == 0
    temp.write_bytes(make_base(SELECT_0, text_key("only here", "x"), *KEYS)[:400])
    assert "1 key in it is not in the AOF" in leftover(tmp_path)["detail"]
    (tmp_path / "appendonly.aof").write_bytes(make_base(SELECT_0, *KEYS) + SET[:-3])
    assert "Keep it" in leftover(tmp_path)["detail"]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [("temp-rewriteaof-bg-9.aof", make_base(SELECT_0, *KEYS), "a finished rewrite of this AOF"),
     ("temp-9.rdb", make_base(SELECT_0, *KEYS), "a finished save"), ("temp-9.rdb", b"", "the beginning of a save"),
     ("temp-rewriteaof-9.aof", SET * 3, "its commands are whole, and may not be all"),
     ("temp-appendonly.aof.manifest", b"file a seq 1 type b\n", "a manifest that did not get its name")],
)  # fmt: skip
def test_each_temporary_file_is_judged_by_its_content(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(SET)
    (tmp_path / name).write_bytes(data)
    assert words in leftover(tmp_path)["message"]


def test_many_neighbours_and_a_pipe_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(SET)
    for number in range(300):
        (tmp_path / f"temp-rewriteaof-{number}.aof").write_bytes(SET)
    os.mkfifo(tmp_path / "temp-0.rdb")
    report = aofdoctor("check", tmp_path, "--json").json
    assert len(report["neighbours"]) == 199
    assert any(finding["code"] == "leftover-more" for finding in report["findings"])


# -- directories --


def test_a_directory_with_rdb_files_only_is_examined(tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(make_base(SELECT_0, *KEYS))
    (tmp_path / "temp-4711.rdb").write_bytes(make_base(SELECT_0, *KEYS)[:400])
    assert aofdoctor("check", tmp_path).status == 0
    (tmp_path / "dump.rdb").write_bytes(bytes(512) + make_base(SELECT_0, *KEYS)[512:])
    report = aofdoctor("check", tmp_path)
    assert report.status == 1 and "dump.rdb" in report.out and "temp-4711.rdb" in report.out


def test_appendonlydir_is_chosen_and_other_sets_are_named(tmp_path: Path) -> None:
    for folder in ("appendonlydir", "backupdir", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.aof.1.incr.aof").write_bytes(SET)
        (tmp_path / folder / "a.aof.manifest").write_bytes(b"file a.aof.1.incr.aof seq 1 type i\n")
    report = aofdoctor("check", tmp_path, "--json").json
    assert {finding["part"].split("/")[-2] for finding in report["findings"] if finding["code"] == "other-set"} == {
        "backupdir", "other"}  # fmt: skip
    assert "backupdir" in aofdoctor("log", tmp_path).err
    shutil.rmtree(tmp_path / "appendonlydir")
    assert aofdoctor("check", tmp_path).status == 0
    (tmp_path / "more").mkdir()
    shutil.copy(tmp_path / "other" / "a.aof.manifest", tmp_path / "more")
    shutil.copy(tmp_path / "other" / "a.aof.1.incr.aof", tmp_path / "more")
    assert aofdoctor("check", tmp_path).status == 2


def test_an_output_of_an_edit_is_not_taken_for_the_source(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(SET + SET[:-3])
    assert aofdoctor("repair", tmp_path, "-o", tmp_path / "fixed.aof").status == 0
    report = aofdoctor("check", tmp_path, "--json")
    assert report.status == 1 and report.json["parts"][0]["name"] == "appendonly.aof"


# -- history files and rewrites --


def test_history_files_are_counted_and_the_step_that_brings_them_back_works(
    tmp_path: Path, embedded: ServerBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    sets = b"".join(encode_command([b"SET", b"k%d" % number, b"1"]) for number in range(40))
    for name, data in (("3.base.rdb", make_base()), ("3.incr.aof", SET), ("2.base.rdb", make_base()),
                       ("2.incr.aof", encode_command([b"SELECT", b"0"]) + sets)):  # fmt: skip
        (folder / f"a.aof.{name}").write_bytes(data)
    lines = (("3.base.rdb", 3, "b"), ("2.incr.aof", 2, "h"), ("2.base.rdb", 2, "h"), ("3.incr.aof", 3, "i"))
    (folder / "a.aof.manifest").write_text("".join(f"file a.aof.{n} seq {s} type {t}\n" for n, s, t in lines))
    (finding,) = findings(tmp_path, "history-generation")
    assert "a.aof.2.base.rdb and a.aof.2.incr.aof (history) are whole and hold 40 keys" in finding["message"]
    assert finding["severity"] == "warning" and aofdoctor("check", tmp_path).status == 0
    copy, repair = finding["commands"]
    monkeypatch.chdir(tmp_path)
    subprocess.run(copy, shell=True, check=True)
    assert aofdoctor(*repair.split()[1:]).status == 0
    loaded = aofdoctor("verify", repair.split()[-1], "--with", embedded.path, "--json")
    assert loaded.json["total"] == 40


@pytest.mark.parametrize(("extra", "unfinished"), [(b"", True), (b" startoffset 81 endoffset 118", False)])
def test_a_rewrite_is_reported_as_unfinished_only_if_it_is(extra: bytes, unfinished: bool, tmp_path: Path) -> None:
    """BACKUP and preload-file leave several incremental files too, and close the earlier ones with an endoffset."""
    for number in (1, 2):
        (tmp_path / f"a.aof.{number}.incr.aof").write_bytes(SET)
    first, second = b"file a.aof.1.incr.aof seq 1 type i", b"file a.aof.2.incr.aof seq 2 type i\n"
    (tmp_path / "a.aof.manifest").write_bytes(first + extra + b"\n" + second)
    assert bool(findings(tmp_path, "rewrite-unfinished")) == unfinished
    (tmp_path / "a.aof.manifest").unlink()
    assert findings(tmp_path, "rewrite-unfinished") == []


def test_a_part_that_is_a_link_to_another_part_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.aof.1.incr.aof").write_bytes(SET)
    (tmp_path / "a.aof.2.incr.aof").symlink_to("a.aof.1.incr.aof")
    lines = b"".join(b"file a.aof.%d.incr.aof seq %d type i\n" % (n, n) for n in (1, 2))
    (tmp_path / "a.aof.manifest").write_bytes(lines)
    (finding,) = findings(tmp_path, "part-twice")
    assert "are the same file" in finding["message"]


def test_a_set_of_many_parts_needs_few_descriptors(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 1200
    for number in range(1, count + 1):
        (tmp_path / f"a.aof.{number}.incr.aof").write_bytes(SET)
    lines = b"".join(b"file a.aof.%d.incr.aof seq %d type i\n" % (n, n) for n in range(1, count + 1))
    (tmp_path / "a.aof.manifest").write_bytes(lines)
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
    try:
        report = aofdoctor("check", tmp_path, "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert report.status == 0 and len(report.json["parts"]) == count


def test_a_file_that_was_replaced_while_it_was_suspended_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(SET)
    source = FileSource(path)
    source.suspend()
    assert source.readinto(memoryview(bytearray(9)), 0) == 9
    source.suspend()
    path.unlink()
    path.with_name("b").write_bytes(SET)
    path.write_bytes(SET)
    with pytest.raises(SourceChanged):
        source.readinto(memoryview(bytearray(9)), 0)


# -- counting --


def test_live_keys_follow_deletions_renames_and_flushes() -> None:
    def count(*commands: bytes) -> int | None:
        return count_live_keys([BytesSource(b"".join(encode_command(command.split()) for command in commands))])

    assert count(b"SET a 1", b"SET b 1", b"DEL a") == 1
    assert count(b"SET a 1", b"RENAME a b", b"SET a 1") == 2
    assert count(b"SET a 1", b"SELECT 1", b"SET a 1", b"FLUSHDB") == 1
    assert count(b"SET a 1", b"SELECT 1", b"SET a 1", b"FLUSHALL", b"MSET x 1 y 2") == 2
    assert count_live_keys([BytesSource(make_base(SELECT_0, *KEYS)), BytesSource(SET)]) == 51
