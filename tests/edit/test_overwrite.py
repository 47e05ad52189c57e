"""strip --in-place and undo: the flush is overwritten with PING in the file, and undo restores every byte."""

import subprocess
from pathlib import Path

import pytest

from aofdoctor.cli.options import open_path
from aofdoctor.edit.output import in_use, overwrite
from aofdoctor.edit.output.overwrite import ping_of_size
from aofdoctor.edit.planners.strip import plan_group, survey_flushes
from aofdoctor.errors import RefusedEdit, SourceChanged
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import STORIES, aofdoctor, read_story
from tests.support.samples import FLUSH, SET, StoryCopier, make_small_set, server_option, snapshot


@pytest.mark.parametrize("name", STORIES)
def test_in_place_restores_every_key_and_undo_reverts_it(name: str, story: StoryCopier) -> None:
    source = story(name)
    part, start, end = read_story(name)["flush"]
    path = next(source.rglob(part))
    before = snapshot(source)
    result = aofdoctor("strip", source, "--in-place", "-y", "--json")
    assert result.status == 0, result.err
    old, new = before[str(path)][0], path.read_bytes()
    assert new == old[:start] + b"*1\r\n$00004\r\nPING\r\n" + old[end:]
    verified = aofdoctor("verify", source, "--json", *server_option(name))
    assert verified.json["total"] == read_story(name)["keys"] + read_story(name)["keys_after"]
    assert aofdoctor("undo", result.json["receipt"]).status == 0
    after = {p: v for p, v in snapshot(source).items() if "receipt" not in p}
    assert after == before


@pytest.mark.parametrize(
    "flush", [[b"FLUSHDB"], [b"FLUSHALL", b"ASYNC"], [b"FLUSHALL", b"SYNC"], [b"FLUSHDB", b"ASYNC"]]
)
def test_in_place_a_flush_of_any_length_becomes_a_ping_that_servers_load(flush: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    data = (
        SET
        + encode_command([b"MULTI"])
        + encode_command([b"SET", b"b", b"2"])
        + encode_command(flush)
        + encode_command([b"EXEC"])
    )
    path.write_bytes(data)
    assert aofdoctor("strip", path, "--in-place", "-y").status == 0
    assert path.stat().st_size == len(data) and b"PING" in path.read_bytes()
    assert aofdoctor("verify", path, "--json").json["total"] == 2


def test_a_record_of_any_size_can_be_replaced_with_ping() -> None:
    for size in range(15, 5000):
        assert len(ping_of_size(size)) == size
    with pytest.raises(RefusedEdit):
        ping_of_size(10)


def test_in_place_asks_first(story: StoryCopier) -> None:
    source = story("wiped-redis-6.2")
    before = snapshot(source)
    result = aofdoctor("strip", source, "--in-place")
    assert result.status == 2 and "-y" in result.err and snapshot(source) == before


def test_from_the_tail_the_last_group_is_found_without_reading_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    group = (
        encode_command([b"MULTI"])
        + FLUSH
        + encode_command([b"SELECT", b"2"])
        + encode_command([b"FLUSHDB"])
        + encode_command([b"EXEC"])
    )
    path.write_bytes(SET + FLUSH + SET * 50_000 + group + SET * 3)
    assert aofdoctor("strip", path, "--in-place", "--trust-tail", "-y").status == 0
    data = path.read_bytes()
    assert data.count(b"FLUSHALL") == 1 and data.startswith(SET + FLUSH) and b"FLUSHDB" not in data
    assert data.count(b"PING") == 2
    assert aofdoctor("strip", path, "--trust-tail").status == 2


def test_an_open_file_is_refused_with_the_process_that_has_it(story: StoryCopier) -> None:
    source = story("wiped-redis-6.2")
    before = snapshot(source)
    with open(source / "appendonly.aof") as file:
        holder = subprocess.Popen(["sleep", "60"], stdin=file)
    try:
        result = aofdoctor("strip", source, "--in-place", "-y")
        assert result.status == 3 and f"sleep (pid {holder.pid})" in result.err and "SHUTDOWN NOSAVE" in result.err
        assert snapshot(source) == before
        assert aofdoctor("strip", source, "--in-place", "-y", "--force-in-use").status == 0
    finally:
        holder.kill()
        holder.wait()


def test_a_running_server_is_refused(embedded: ServerBinary, story: StoryCopier) -> None:
    with Sandbox(embedded, ["--appendonly", "yes"], hide=()) as server:
        server.call("SET", "a", "1")
        server.call("FLUSHALL")
        result = aofdoctor("strip", server.folder, "--in-place", "-y")
        assert result.status == 3 and "held open by valkey-server" in result.err


def test_a_fresh_rewrite_is_refused(story: StoryCopier) -> None:
    source = story("wiped-redis-6.2")
    (source / "temp-rewriteaof-bg-99.aof").write_bytes(b"")
    result = aofdoctor("strip", source, "--in-place", "-y")
    assert result.status == 3 and "a rewrite is at work" in result.err


def test_the_receipt_is_on_disk_before_the_file_changes(story: StoryCopier, monkeypatch: pytest.MonkeyPatch) -> None:
    source = story("wiped-redis-6.2")
    before = (source / "appendonly.aof").read_bytes()

    def power_cut(fd: int, path: Path, pieces: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("aofdoctor.edit.output.overwrite.write_and_verify", power_cut)
        result = aofdoctor("strip", source, "--in-place", "-y")
    assert result.status == 130 and "undo" in result.err
    receipts = list(source.glob("*.receipt.json"))
    assert len(receipts) == 1 and (source / "appendonly.aof").read_bytes() == before
    assert aofdoctor("undo", receipts[0]).status == 0 and (source / "appendonly.aof").read_bytes() == before


def test_undo_refuses_another_file(story: StoryCopier) -> None:
    source = story("wiped-redis-6.2")
    path = source / "appendonly.aof"
    receipt = Path(aofdoctor("strip", source, "--in-place", "-y", "--json").json["receipt"])
    edited = path.read_bytes()
    for other in (
        edited[:1180] + b"?" + edited[1181:],
        edited[:600],
        edited.replace(b"$00004\r\nPING", b"$00004\r\nPONG"),
    ):
        path.write_bytes(other)
        assert aofdoctor("undo", receipt).status == 3
        assert path.read_bytes() == other
    path.write_bytes(edited + SET)  # A server has appended to the file since.
    assert aofdoctor("undo", receipt).status == 0
    assert path.read_bytes().endswith(FLUSH + path.read_bytes()[1212:])


@pytest.mark.parametrize(
    "junk", [b"", b"{}", b"[]", b'{"kind": 5}', b'{"kind": "in-place", "files": [{}]}', b"\xff\xfe", b"[" * 100_000]
)
def test_undo_of_a_file_that_is_no_receipt_is_one_clear_line(junk: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(junk)
    result = aofdoctor("undo", tmp_path / "r.json")
    assert (result.status == 3 and "not a receipt" in result.err) or "never changed" in result.err


def test_undo_of_a_copys_receipt_reports_an_unchanged_source(story: StoryCopier, tmp_path: Path) -> None:
    aofdoctor("strip", story("wiped-redis-6.2"), "-o", tmp_path / "out")
    result = aofdoctor("undo", tmp_path / "out.receipt.json")
    assert result.status == 3 and "never changed" in result.err


def test_in_place_without_a_suitable_server_warns(tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"base": SET, "incr": SET + FLUSH})
    (folder / "a.aof.manifest").unlink()
    out = aofdoctor("strip", folder, "--in-place", "-y").out
    assert "Do not start a server" in out and "then start the server" not in out


def test_a_file_that_is_listed_twice_is_edited_once(tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"base": SET, "incr": SET + FLUSH})
    manifest = folder / "a.aof.manifest"
    manifest.write_bytes(manifest.read_bytes() + b"file a.aof.2.incr.aof seq 3 type i\n")
    assert aofdoctor("strip", folder, "--all", "--in-place", "-y").status == 0
    assert FLUSH not in (folder / "a.aof.2.incr.aof").read_bytes()


def test_from_the_tail_a_group_across_two_parts_is_removed_completely(tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"base": SET, "incr": SET + FLUSH, "more": FLUSH * 300 + SET})
    result = aofdoctor("strip", folder, "--in-place", "--trust-tail", "-y", "--json")
    assert result.status == 0 and result.json["commands"] == {"before": None, "after": None, "dropped": 301, "added": 0}
    assert all(FLUSH not in path.read_bytes() for path in folder.iterdir() if path.suffix == ".aof")


def test_from_the_tail_a_torn_end_hides_no_flush(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + FLUSH + SET + SET[:9])
    assert aofdoctor("strip", path, "--in-place", "--trust-tail", "-y").status == 0
    assert FLUSH not in path.read_bytes()


@pytest.mark.parametrize("option", [["@27"], ["--all"]])
def test_from_the_tail_only_the_last_group_is_chosen(option: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(SET + FLUSH)
    assert aofdoctor("strip", tmp_path / "a.aof", *option, "--in-place", "--trust-tail", "-y").status == 2


def test_a_flush_after_damage_is_not_overwritten_in_place(tmp_path: Path) -> None:
    value = SET + FLUSH + SET
    data = SET + b"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$9%d\r\n%b\r\n" % (len(value), value) + SET * 9
    path = tmp_path / "a.aof"
    path.write_bytes(data)
    result = aofdoctor("strip", path, "--in-place", "-y")
    assert result.status == 0 and path.read_bytes() == data
    path.write_bytes(SET + b"junk" + SET + FLUSH + SET)
    result = aofdoctor("strip", path, "--in-place", "-y")
    assert result.status == 3 and "stands after damage" in result.err and FLUSH in path.read_bytes()
    detail = next(f["detail"] for f in aofdoctor("check", path, "--json").json["findings"] if f["code"] == "flush")
    assert "is a guess" in detail


def test_a_file_that_changed_after_it_was_read_is_not_edited(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + FLUSH)
    with open_path(str(path)) as aof:
        todo = overwrite.plan_overwrites(aof, plan_group(aof, survey_flushes(aof), None).drops(), {})
    path.write_bytes(SET + FLUSH + SET)
    with pytest.raises(SourceChanged):
        overwrite.overwrite(todo, force=False, trusted_tail=False)
    assert path.read_bytes() == SET + FLUSH + SET and len(list(tmp_path.iterdir())) == 1


def test_a_file_that_is_opened_in_between_is_not_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + FLUSH)
    monkeypatch.setattr(in_use, "in_use", lambda path: in_use.UseEvidence(in_use.UseState.FREE))
    with open(path) as file:
        holder = subprocess.Popen(["sleep", "60"], stdin=file)
    try:
        assert aofdoctor("strip", path, "--in-place", "-y").status == 3 and path.read_bytes() == SET + FLUSH
    finally:
        holder.kill()
        holder.wait()


def test_a_fresh_rewrite_above_the_directory_of_a_set_is_refused(tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"incr": SET + FLUSH})
    (folder.parent / "temp-rewriteaof-99.aof").write_bytes(b"")
    result = aofdoctor("strip", folder, "--in-place", "-y")
    assert result.status == 3 and "a rewrite is at work" in result.err


def test_the_receipt_can_be_written_to_another_directory(tmp_path: Path) -> None:
    path, receipt = tmp_path / "a.aof", tmp_path / "other" / "r.json"
    receipt.parent.mkdir()
    path.write_bytes(SET + FLUSH)
    result = aofdoctor("strip", path, "--in-place", "-y", "--receipt", receipt)
    assert result.status == 0 and f"aofdoctor undo {receipt} {path} takes it back" in result.out
    edited = path.read_bytes()
    refused = aofdoctor("undo", receipt)  # A receipt must not choose files elsewhere.
    assert refused.status == 3 and f"undo {receipt} {path}" in refused.err and path.read_bytes() == edited
    assert aofdoctor("undo", receipt, tmp_path / "b.aof").status in (2, 3) and path.read_bytes() == edited
    assert aofdoctor("undo", receipt, path).status == 0 and path.read_bytes() == SET + FLUSH


def test_an_interrupted_edit_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(SET + FLUSH + SET)
    receipt = aofdoctor("strip", path, "--in-place", "-y", "--json").json["receipt"]
    for cut in range(len(SET), len(SET + FLUSH)):
        done = path.read_bytes()
        path.write_bytes(done[:cut] + (SET + FLUSH + SET)[cut:])
        assert aofdoctor("undo", receipt).status == 0 and path.read_bytes() == SET + FLUSH + SET
        Path(receipt + ".undone").rename(receipt)
        path.write_bytes(done)
