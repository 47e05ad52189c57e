"""strip to a copy: the flush is removed, everything else is kept, and a real server has every key again."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aofdoctor.cli.options import open_path
from aofdoctor.edit.edit import write_edit
from aofdoctor.edit.output.durable import write_all
from aofdoctor.edit.planners.strip import plan_group, survey_flushes
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import STORIES, aofdoctor, read_story
from tests.support.base_keys import (
    BASE,
)
from tests.support.samples import FLUSH, SET, StoryCopier, make_small_set, server_option, snapshot

GROUPS = (
    SET
    + FLUSH
    + SET
    + encode_command([b"MULTI"])
    + encode_command([b"SELECT", b"1"])
    + encode_command([b"FLUSHDB"])
    + encode_command([b"EXEC"])
    + SET
)


@pytest.mark.parametrize("name", STORIES)
def test_a_real_server_has_every_key_again(name: str, story: StoryCopier, tmp_path: Path) -> None:
    source = story(name)
    before = snapshot(source)
    result = aofdoctor("strip", source, "-o", tmp_path / "out")
    assert result.status == 0 and "18 bytes" in result.out
    assert snapshot(source) == before
    verified = aofdoctor("verify", tmp_path / "out", "--json", *server_option(name))
    keys = read_story(name)["keys"] + read_story(name)["keys_after"]
    assert verified.json["loaded"] and verified.json["total"] == keys
    assert verified.json["errors"] == {}


def test_the_plan_is_printed_and_nothing_is_written(story: StoryCopier) -> None:
    source = story("wiped-valkey-9.1")
    before = snapshot(source)
    result = aofdoctor("strip", source, "--json")
    part, start, end = read_story("wiped-valkey-9.1")["flush"]
    plan = result.json
    assert result.status == 0 and snapshot(source) == before
    assert plan["dropped"] == [{"part": part, "start": start, "end": end, "commands": 1, "reason": "flush"}]
    assert plan["output"] is None and plan["changed"] is True
    assert plan["commands"]["before"] - plan["commands"]["after"] == plan["commands"]["dropped"] == 1
    assert plan["bytes"]["before"] - plan["bytes"]["after"] == plan["bytes"]["dropped"] == 18
    assert plan["commands"]["added"] == plan["bytes"]["added"] == 0
    assert any("after the flush stay" in note for note in plan["notes"])


@pytest.mark.parametrize(
    "flush",
    [
        [b"FLUSHALL"],
        [b"flushall"],
        [b"FLUSHALL", b"ASYNC"],
        [b"FLUSHALL", b"SYNC"],
        [b"FLUSHDB"],
        [b"flushdb", b"async"],
    ],
)
def test_every_spelling_of_a_flush_is_removed(flush: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + encode_command(flush) + SET)
    assert aofdoctor("strip", path, "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == SET + SET


def test_several_groups_are_listed_and_one_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(GROUPS)
    result = aofdoctor("strip", path, "-o", tmp_path / "none")
    assert result.status == 2 and not (tmp_path / "none").exists()
    assert "a.aof@27" in result.err and "7 later commands" not in result.err and "6 later commands" in result.err
    assert aofdoctor("strip", path, "27", "-o", tmp_path / "first").status == 0
    assert (tmp_path / "first").read_bytes() == GROUPS.replace(FLUSH, b"")
    assert aofdoctor("strip", path, "--last", "-o", tmp_path / "last").status == 0
    kept = (
        GROUPS.replace(encode_command([b"MULTI"]), b"")
        .replace(encode_command([b"FLUSHDB"]), b"")
        .replace(encode_command([b"EXEC"]), b"")
    )
    assert (tmp_path / "last").read_bytes() == kept
    assert aofdoctor("strip", path, "--all", "-o", tmp_path / "all").status == 0
    assert (tmp_path / "all").read_bytes() == kept.replace(FLUSH, b"")
    assert aofdoctor("strip", path, "#1", "-o", tmp_path / "no").status == 2
    assert aofdoctor("strip", path, "--last", "--all").status == 2


def test_a_group_is_flushes_with_only_structure_between(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    group = (
        FLUSH
        + b"#TS:1700000000\r\n"
        + encode_command([b"SELECT", b"4"])
        + encode_command([b"FLUSHDB"])
        + encode_command([b"MULTI"])
        + FLUSH
        + encode_command([b"EXEC"])
    )
    path.write_bytes(SET + group + SET)
    assert aofdoctor("strip", path, "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == SET + b"#TS:1700000000\r\n" + encode_command([b"SELECT", b"4"]) + SET


def test_a_transaction_with_other_commands_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    tx = encode_command([b"MULTI"]) + SET + FLUSH + encode_command([b"EXEC"])
    path.write_bytes(tx)
    aofdoctor("strip", path, "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == tx.replace(FLUSH, b"")


def test_a_transaction_of_many_batches_is_judged_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    for inside in (SET, encode_command([b"SELECT", b"1"])):
        data = encode_command([b"MULTI"]) + inside * 40_000 + FLUSH + encode_command([b"EXEC"])
        path.write_bytes(data)
        (tmp_path / "out").unlink(missing_ok=True)
        (tmp_path / "out.receipt.json").unlink(missing_ok=True)
        assert aofdoctor("strip", path, "-o", tmp_path / "out").status == 0
        kept = data.replace(FLUSH, b"")
        if inside != SET:
            kept = kept.replace(encode_command([b"MULTI"]), b"").replace(encode_command([b"EXEC"]), b"")
        assert (tmp_path / "out").read_bytes() == kept


def test_selected_commands_are_removed_and_select_multi_and_exec_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(
        encode_command([b"SELECT", b"2"])
        + SET
        + encode_command([b"SET", b"tmp:1", b"x"])
        + encode_command([b"DEL", b"a"])
    )
    assert aofdoctor("strip", path, "--key", "tmp:*", "--cmd", "set", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == encode_command([b"SELECT", b"2"]) + SET + encode_command([b"DEL", b"a"])
    assert aofdoctor("strip", path, "--cmd", "select", "-o", tmp_path / "no").status == 0


def test_without_a_flush_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET)
    result = aofdoctor("strip", path, "-o", tmp_path / "out")
    assert result.status == 0 and "nothing to strip" in result.out and not (tmp_path / "out").exists()


def test_a_pipe_cannot_be_edited() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aofdoctor", "strip", "-", "-o", "/nonexistent"],
        input=GROUPS,
        capture_output=True,
        check=False,
    )
    assert done.returncode in (2, 3) and b"Traceback" not in done.stderr


def test_a_copy_keeps_owner_and_mode_and_leaves_a_receipt(story: StoryCopier, tmp_path: Path) -> None:
    source = story("wiped-redis-6.2")
    path = source / "appendonly.aof"
    os.chmod(path, 0o640)
    if os.geteuid() == 0:
        os.chown(path, 4242, 4343)
    result = aofdoctor("strip", source, "-o", tmp_path / "out", "--json")
    made = (tmp_path / "out").stat()
    assert made.st_mode & 0o777 == 0o640 and (made.st_uid, made.st_gid) == (path.stat().st_uid, path.stat().st_gid)
    receipt = Path(result.json["receipt"])
    assert receipt == tmp_path / "out.receipt.json"
    receipt_json, data = json.loads(receipt.read_bytes()), path.read_bytes()
    assert receipt_json["source"][0]["sha256_last_64k"] == hashlib.sha256(data).hexdigest()
    assert receipt_json["removed_kept_in"] == [str(source)]
    (drop,) = receipt_json["dropped"]
    assert drop["around"] == hashlib.sha256(data[: drop["start"]] + data[drop["end"] :]).hexdigest()


def test_a_set_is_copied_with_its_layout(story: StoryCopier, tmp_path: Path) -> None:
    source = story("wiped-redis-8.2") / "appendonlydir"
    aofdoctor("strip", source, "-o", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in source.iterdir())
    assert (tmp_path / "out" / "appendonly.aof.manifest").read_bytes() == (
        source / "appendonly.aof.manifest"
    ).read_bytes()


def test_the_endoffset_of_a_changed_part_is_removed(story: StoryCopier, tmp_path: Path) -> None:
    manifest = story("wiped-redis-8.2") / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_bytes(manifest.read_bytes().replace(b"startoffset 25", b"startoffset 25 endoffset 300"))
    aofdoctor("strip", manifest, "-o", tmp_path / "out")
    assert b"startoffset 25\n" in (tmp_path / "out" / manifest.name).read_bytes()


@pytest.mark.parametrize("taken", ["file", "directory", "link"])
def test_no_file_is_overwritten(taken: str, story: StoryCopier, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if taken == "file":
        out.write_bytes(b"precious")
    elif taken == "directory":
        out.mkdir()
        (out / "precious").touch()
    else:
        out.symlink_to("nowhere")
    for name in ("wiped-redis-6.2", "wiped-valkey-9.1"):
        result = aofdoctor("strip", story(name), "-o", out)
        assert result.status == 3 and "exists" in result.err
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_an_empty_directory_can_be_the_output(story: StoryCopier, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert aofdoctor("strip", story("wiped-valkey-9.1"), "-o", tmp_path / "out").status == 0


def test_a_copy_that_does_not_read_back_is_not_kept(
    story: StoryCopier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad_write(target: int, data: bytes) -> None:
        write_all(target, data[:30] + b"!" + data[31:])

    monkeypatch.setattr("aofdoctor.edit.output.copy.write_all", bad_write)
    result = aofdoctor("strip", story("wiped-redis-6.2"), "-o", tmp_path / "out")
    assert result.status == 3 and "differs" in result.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wiped-redis-6.2"]


def test_lack_of_space_is_reported_before_anything_is_written(
    story: StoryCopier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((*status[:4], 0, *status[5:])))
    result = aofdoctor("strip", story("wiped-redis-6.2"), "-o", tmp_path / "out")
    assert result.status == 3 and "are needed" in result.err and not (tmp_path / "out").exists()


def test_a_source_that_shrinks_is_an_error_and_no_copy_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET * 100 + FLUSH + SET * 100)
    with open_path(str(path)) as aof:
        found = survey_flushes(aof)
        plan = plan_group(aof, found, found.flushes.groups[0])
        os.truncate(path, 500)
        with pytest.raises(Exception, match=r"shrank|ends at"):
            write_edit(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_incomplete_multi_part_aof_is_not_copied(tmp_path: Path) -> None:
    listed = b"file a.aof.1.base.aof seq 1 type b\nfile a.aof.2.incr.aof seq 2 type i\n"
    for number, (manifest, unlink, words) in enumerate((
        (listed, "a.aof.1.base.aof", "is missing"),
        (listed[:-8], None, "is damaged"),
        (b"", None, "is damaged"),
        (listed, "a.aof.manifest", "is missing"),
        (listed + b"file a.aof.2.incr.aof seq 3 type i\n", None, "twice"),
    )):  # fmt: skip
        folder = make_small_set(tmp_path / str(number), {"base": SET, "incr": SET + FLUSH}, manifest)
        if unlink:
            (folder / unlink).unlink()
        result = aofdoctor("strip", folder, "--cmd", "set", "-o", tmp_path / f"out{number}")
        assert result.status == 3 and words in result.err and not (tmp_path / f"out{number}").exists(), manifest


def test_an_output_inside_a_source_or_temporary_directory_is_refused(
    story: StoryCopier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    folder, file = story("wiped-valkey-9.1"), story("wiped-redis-6.2")
    for output, status in ((".", 3), (tmp_path / "empty", 3), ("", 2)):
        assert aofdoctor("strip", folder, "-o", output).status == status
    monkeypatch.chdir(tmp_path)
    # An empty directory exists where the output file must be created.
    assert aofdoctor("strip", file, "-o", "empty").status == 3
    assert aofdoctor("strip", file, "-o", "empty/../new").status == 0


def test_several_groups_are_listed_in_json(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + FLUSH + SET + FLUSH + SET)
    result = aofdoctor("strip", path, "--json")
    assert result.status == 2 and [group["later_commands"] for group in result.json["groups"]] == [3, 1]


def test_a_flush_with_invalid_arguments_is_ignored(tmp_path: Path, embedded: ServerBinary) -> None:
    path = tmp_path / "a.aof"
    for odd in ([b"FLUSHALL", b"NOW"], [b"FLUSHALL", b"ASYNC", b"SYNC"], [b"FLUSHDB", b""]):
        path.write_bytes(SET + encode_command(odd))
        assert "nothing to strip" in aofdoctor("strip", path).out, odd
        assert aofdoctor("verify", path, "--with", embedded.path, "--json").json["total"] == 1


def test_commands_that_depend_on_an_empty_keyspace_are_counted_and_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(
        encode_command([b"INCR", b"n"])
        + FLUSH
        + SET
        + encode_command([b"INCR", b"n"]) * 2
        + encode_command([b"RPUSH", b"l", b"x"])
    )
    (note,) = [n for n in aofdoctor("strip", path, "--json").json["notes"] if "build on" in n]
    assert note.startswith("3 later commands") and "2 INCR, 1 RPUSH" in note and "INCR n at a.aof@" in note


def test_commands_after_a_flush_on_keys_of_the_base_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    flush = encode_command([b"SELECT", b"0"]) + encode_command([b"FLUSHALL"])
    later = b"".join(encode_command([b"APPEND", name, b"x"]) for name in (b"user:1", b"user:1", b"user:2", b"new"))
    path.write_bytes(BASE + flush + later)
    notes = aofdoctor("strip", path, "--json").json["notes"]
    assert "3 of those on keys that the base holds" in notes
    path.write_bytes(BASE + flush + encode_command([b"APPEND", b"new", b"x"]))
    assert not any("base holds" in note for note in aofdoctor("strip", path, "--json").json["notes"])
