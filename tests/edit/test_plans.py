"""slice, and plans: saved, tested in a server, applied, or refused when they are stale."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aofdoctor.cli.options import NO_SELECTION
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import aofdoctor

Story = Callable[[str], Path]
A, B, C = (encode_command([b"SET", key, b"1"]) for key in (b"a", b"b", b"c"))
MULTI, EXEC, SELECT, FLUSH = (
    encode_command(argv) for argv in ([b"MULTI"], [b"EXEC"], [b"SELECT", b"3"], [b"FLUSHALL"])
)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (A + B + C, A),
        (B + SELECT + A + C, SELECT + A),
        (B + MULTI + B + A + C + EXEC + B, MULTI + B + A + C + EXEC),
        (MULTI + B + EXEC + A, A),
        (MULTI + SELECT + B + EXEC + A, SELECT + A),
        (encode_command([b"FUNCTION", b"LOAD", b"x"]) + B + A, encode_command([b"FUNCTION", b"LOAD", b"x"]) + A),
        (MULTI + B * 20_000 + A + B * 20_000 + EXEC + C, MULTI + B * 20_000 + A + B * 20_000 + EXEC),
        (MULTI + A + B * 40_000 + EXEC + C, MULTI + A + B * 40_000 + EXEC),
    ],
)
def test_a_slice_is_a_complete_aof(data: bytes, kept: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(data)
    result = aofdoctor("slice", path, "--key", "a", "-o", tmp_path / "out", "--json")
    assert result.status == 0 and (tmp_path / "out").read_bytes() == kept
    assert result.json["bytes"]["after"] == len(kept)
    assert aofdoctor("check", tmp_path / "out").status == 0


def test_a_slice_without_a_key_of_the_base_drops_it_and_reports_it(
    story: Story, tmp_path: Path, embedded: ServerBinary
) -> None:
    folder = story("wiped-valkey-9.1")
    result = aofdoctor("slice", folder, "--db", "3", "-o", tmp_path / "out", "--json")
    assert result.status == 0 and any("none of its keys is selected" in note for note in result.json["notes"])
    assert not list((tmp_path / "out").glob("*.rdb"))
    assert set(aofdoctor("verify", tmp_path / "out", "--with", embedded.path, "--json").json["keys"]) == {"3"}


def test_a_slice_without_a_selection_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.aof").write_bytes(A)
    assert aofdoctor("slice", tmp_path / "a.aof").status == 2


CASES = {
    "strip": (["strip", "--last"], A + FLUSH + B),
    "a selection": (["strip", "--key", "a", "--key", "b"], A + B + C),
    "repair": (["repair"], A + B + C[:9]),
    "salvage": (["repair", "--salvage", "--strict"], A + b"junk" + B),
    "rewind": (["rewind", "--before", "#2"], A + B + C),
    "slice": (["slice", "--grep", "^b$", "--invert"], A + B + C),
}


@pytest.mark.parametrize("case", CASES)
def test_a_saved_plan_has_the_same_result(case: str, tmp_path: Path) -> None:
    words, data = CASES[case]
    path, plan = tmp_path / "a.aof", tmp_path / "plan.json"
    path.write_bytes(data)
    saved = aofdoctor(*words, path, "--plan", plan, "--json")
    assert saved.status == 0 and saved.json["output"] is None and sorted(tmp_path.iterdir()) == [path, plan]
    assert aofdoctor(*words, path, "-o", tmp_path / "one").status == 0
    assert aofdoctor("apply", plan).status == 0 and not (tmp_path / "two").exists()
    assert aofdoctor("apply", plan, "-o", tmp_path / "two").status == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() != data


@pytest.mark.parametrize("change", ["grown", "same size", "another file", "gone"])
def test_a_stale_plan_is_refused(change: str, tmp_path: Path) -> None:
    path, plan = tmp_path / "a.aof", tmp_path / "plan.json"
    path.write_bytes(A + FLUSH + B)
    assert aofdoctor("strip", path, "--plan", plan).status == 0
    if change == "grown":
        path.write_bytes(A + FLUSH + B + C)
    elif change == "same size":
        path.write_bytes(A + FLUSH + C)
    elif change == "another file":
        (tmp_path / "b.aof").write_bytes(path.read_bytes())
        (tmp_path / "b.aof").rename(path)
    else:
        path.unlink()
    result = aofdoctor("apply", plan, "-o", tmp_path / "out")
    assert result.status == 3 and not (tmp_path / "out").exists()


def test_a_plan_is_never_written_over_another_file(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(A + FLUSH)
    assert aofdoctor("strip", path, "--plan", path).status == 3 and path.read_bytes() == A + FLUSH
    assert aofdoctor("strip", path, "--plan", tmp_path / "p", "-o", tmp_path / "out").status == 2
    assert aofdoctor("strip", path, "--prove").status == 2
    assert aofdoctor("strip", path, "--in-place", "-y", "--plan", tmp_path / "p").status == 2
    assert path.read_bytes() == A + FLUSH


@pytest.mark.parametrize(
    "change",
    [b"", b"[]", b"{}", {"recipe": {"verb": "strip"}}, {"recipe": {"verb": "nosuch"}}, {"recipe": 5}, {"path": "a\0b"},
     {"recipe": {"verb": "strip", "selection": {"grep": [5]}, "position": 5, "last": 0, "all": 0, "and_after": 0}},
     {"recipe": {"verb": "slice", "selection": NO_SELECTION | {"grep": ["a{99999999999}"]}}}, {"path": "\ud800x"},
     {"commands": {}}, {"kind": "copy"}],
)  # fmt: skip
def test_an_invalid_plan_is_refused(change: bytes | dict[str, object], tmp_path: Path) -> None:
    path, plan = tmp_path / "a.aof", tmp_path / "plan.json"
    path.write_bytes(A + FLUSH)
    assert aofdoctor("strip", path, "--plan", plan).status == 0
    plan.write_bytes(
        change if isinstance(change, bytes) else json.dumps(json.loads(plan.read_bytes()) | change).encode()
    )
    result = aofdoctor("apply", plan, "-o", tmp_path / "out")
    assert result.status in (2, 3) and result.err.startswith("aofdoctor: ") and not (tmp_path / "out").exists()


def test_a_copy_is_test_loaded_before_it_gets_its_name(story: Story, tmp_path: Path) -> None:
    result = aofdoctor("strip", story("wiped-valkey-9.1"), "-o", tmp_path / "out", "--prove", "--json")
    assert result.status == 0 and "27 keys" in result.json["proven"]
    path = tmp_path / "a.aof"
    path.write_bytes(A + FLUSH + encode_command([b"NOSUCH"]))
    result = aofdoctor("strip", path, "-o", tmp_path / "bad", "--prove")
    assert result.status == 3 and "is not kept" in result.err
    assert not [p for p in tmp_path.iterdir() if "bad" in p.name]


def test_a_hash_of_every_byte_is_in_the_receipt(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(A * 5000 + FLUSH + B)
    assert aofdoctor("strip", path, "-o", tmp_path / "out", "--hash").status == 0
    receipt = json.loads((tmp_path / "out.receipt.json").read_bytes())
    for name, file in (("source", path), ("output", tmp_path / "out")):
        assert receipt[name][0]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_salvage_that_adds_a_file_can_be_applied(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"a.aof.{number}.incr.aof").write_bytes(A)
    (folder / "a.aof.manifest").write_bytes(b"file a.aof.1.incr.aof seq 1 type i\n")
    assert aofdoctor("repair", folder, "--salvage", "--plan", tmp_path / "plan").status == 0
    assert aofdoctor("apply", tmp_path / "plan", "-o", tmp_path / "out", "--json").json["commands"]["after"] == 2
    (folder / "a.aof.manifest").write_bytes(b"file a.aof.1.incr.aof seq 1 type h\n")
    assert aofdoctor("apply", tmp_path / "plan", "-o", tmp_path / "out2").status == 3


def test_a_slice_keeps_the_eval_that_a_selected_evalsha_needs(tmp_path: Path) -> None:
    script = b"return redis.call('set', KEYS[1], ARGV[1])"
    first = encode_command([b"EVAL", script, b"1", b"other", b"1"])
    call = encode_command([b"EVALSHA", hashlib.sha1(script).hexdigest().encode(), b"1", b"wanted", b"2"])
    path = tmp_path / "a.aof"
    path.write_bytes(A + first + first + encode_command([b"EVAL", b"return 1", b"0"]) + call + B)
    assert aofdoctor("slice", path, "--key", "wanted", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == first + call


def test_a_slice_keeps_the_last_of_consecutive_selects(tmp_path: Path) -> None:
    selects = [encode_command([b"SELECT", b"%d" % db]) for db in range(4)]
    path = tmp_path / "a.aof"
    path.write_bytes(selects[0] + A + selects[1] + A + selects[2] + B + selects[3] + A + selects[1] + A)
    assert aofdoctor("slice", path, "--key", "b", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == selects[2] + B + selects[1]


def test_ten_million_selected_commands_cost_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.aof"
    with path.open("wb") as file:
        for _ in range(100):
            file.write((encode_command([b"PING"]) * 10 + A) * 10_000)
    run = "import sys; from aofdoctor.cli.app import run; run(sys.argv[1:]); print(open('/proc/self/status').read())"
    words = ["strip", str(path), "--cmd", "ping", "--json"]
    done = subprocess.run([sys.executable, "-c", run, *words], capture_output=True, check=True)
    plan, _, status = done.stdout.partition(b"\n")
    assert json.loads(plan)["commands"] == {"before": 11_000_000, "after": 1_000_000, "dropped": 10_000_000, "added": 0}
    # In KiB: a list of all selected commands would take 300 MB.
    assert int(status.partition(b"VmHWM:")[2].split()[0]) < 64 << 10


def test_the_eval_that_is_kept_is_kept_in_every_pass(tmp_path: Path) -> None:
    script = b"return redis.call('set', KEYS[1], ARGV[1])"
    call = encode_command([b"EVALSHA", hashlib.sha1(script).hexdigest().encode(), b"1", b"wanted", b"2"])
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"EVAL", script, b"1", b"o", b"1"]) + (A + call) * 1500)
    result = aofdoctor("slice", path, "--key", "wanted", "-o", tmp_path / "out", "--json")
    assert result.status == 0 and result.json["commands"]["after"] == 1501


def test_an_evalsha_without_its_script_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(A + encode_command([b"EVALSHA", b"0" * 40, b"1", b"wanted", b"2"]))
    assert "stand nowhere" in " ".join(aofdoctor("slice", path, "--key", "wanted", "--json").json["notes"])
