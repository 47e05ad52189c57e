"""Invalid input gives one clear line and an exit status, never a traceback."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00H\x00H\x00\x00\xff\xdb" + bytes(range(256)) * 40
VERBS = [["check"], ["log"], ["show", "#1"], ["stats"], ["strip"], ["repair"], ["verify"]]


def make_invalid_file(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / kind
    if kind == "empty directory":
        path.mkdir()
    elif kind == "jpeg":
        path.write_bytes(JPEG)
    elif kind == "text":
        path.write_text("save 900 1\nappendonly yes\n")
    elif kind == "directory with text":
        path.mkdir()
        (path / "redis.conf").write_text("save 900 1\nappendonly yes\n")
    return path


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v[0])
@pytest.mark.parametrize("kind", ["empty directory", "jpeg", "text", "directory with text", "does not exist"])
def test_a_file_that_is_no_aof_gets_one_clear_line_and_status_3(verb: list[str], kind: str, tmp_path: Path) -> None:
    path = make_invalid_file(tmp_path, kind)
    result = aofdoctor(verb[0], path, *verb[1:])
    lines = result.err.splitlines()
    assert (result.status, result.stdout) == (3, b"")
    assert lines[0].startswith("aofdoctor: ") and len(lines) <= 2 and kind in lines[0]


def test_no_permission_is_status_3() -> None:
    # Root may read every file, so the child becomes nobody, after importing what nobody may not read.
    script = (
        "import os; from aofdoctor.cli.app import run; run(['check', '/dev/null']); os.geteuid() or os.setuid(65534); "
        "import sys; sys.exit(run(sys.argv[1:]))"
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "secret.aof"
        path.write_bytes(encode_command([b"SET", b"a", b"1"]))
        path.chmod(0)
        os.chmod(folder, 0o755)
        done = subprocess.run(
            [sys.executable, "-c", script, "check", path], capture_output=True, text=True, check=False
        )
    assert done.returncode == 3 and "secret.aof: Permission denied" in done.stderr and "Traceback" not in done.stderr


def test_a_directory_with_two_aofs_is_ambiguous(tmp_path: Path) -> None:
    for name in ("a.aof", "b.aof"):
        (tmp_path / name).write_bytes(encode_command([b"SET", b"a", b"1"]))
    result = aofdoctor("check", tmp_path)
    assert result.status == 2 and "a.aof" in result.err and "b.aof" in result.err


@pytest.mark.parametrize("content", [b"", b"\0", bytes(5000)])
def test_empty_files_and_files_of_nuls_are_read_as_parts(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(content)
    result = aofdoctor("check", path, "--json")
    assert result.status == (1 if content else 0)
    assert [d["kind"] for d in result.json["parts"][0]["damage"]] == (["nul-tail"] if content else [])


def test_a_file_that_shrinks_while_it_is_read_is_status_3(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"SET", b"a", b"x" * 1000]) * 5000)
    script = (
        "import os, sys; from aofdoctor.source import FileSource; real = FileSource.readinto\n"
        "def cut(self, view, offset):\n"
        "    if offset > 1 << 20: os.truncate(self.path, 1 << 20)\n"
        "    return real(self, view, offset)\n"
        "FileSource.readinto = cut\n"
        "from aofdoctor.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script, "check", path], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "shrank while it was read" in done.stderr and "Traceback" not in done.stderr


def test_usage_errors_are_status_2() -> None:
    for args in ([], ["nosuch"], ["check"], ["check", "a", "b"], ["log", "x", "--format", "odd"], ["--color", "odd", "check", "x"],
                 ["strip", "x", "--in-place", "-o", "y"]):  # fmt: skip
        assert aofdoctor(*args).status == 2, args


def test_color_is_accepted_after_the_verb_but_not_after_two_dashes(story: Callable[[str], Path]) -> None:
    path = story("wiped-redis-6.2")
    plain = aofdoctor("log", path)
    coloured = aofdoctor("--color", "always", "log", path)
    assert b"\x1b[" in coloured.stdout and b"\x1b[" not in plain.stdout
    assert aofdoctor("log", path, "--color", "always") == aofdoctor("log", "--color=always", path) == coloured
    assert "--color" in aofdoctor("log", "--", "--color").err


@pytest.mark.parametrize("verb", ["check", "log", "show", "stats", "strip", "repair", "verify", "undo", "demo"])
def test_every_help_has_examples_and_the_exit_status(verb: str) -> None:
    result = aofdoctor(verb, "--help")
    assert result.status == 0 and "Examples:" in result.out and "Exit status:" in result.out


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"SET", b"a", b"1"]) * 100_000)
    done = subprocess.run(
        f"{sys.executable} -m aofdoctor log '{path}' | head -1", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_an_interrupt_is_status_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"SET", b"a", b"1"]))
    monkeypatch.setattr("aofdoctor.cli.verbs.look.check.examine", interrupt)
    assert aofdoctor("check", path).status == 130


def test_hostile_file_names_are_escaped_and_work(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\x1b[31m\n\xff b.aof")
    path = tmp_path / name
    path.write_bytes(encode_command([b"SET", b"a", b"1"]) + encode_command([b"FLUSHALL"]))
    verbs: list[list[str | Path]] = [["check", path], ["strip", path], ["log", path, "--json"], ["stats", path]]
    for args in verbs:
        result = aofdoctor(*args)
        assert result.status == 0 and b"\x1b" not in result.stdout
    assert aofdoctor("strip", path, "--in-place", "-y").status == 0
    receipt = next(p for p in tmp_path.iterdir() if p.name.endswith(".receipt.json"))
    assert aofdoctor("undo", receipt).status == 0


@pytest.mark.parametrize("verb", ["log", "check", "show", "stats"])
def test_a_reader_that_closes_the_pipe_early_is_no_error(verb: str, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"SET", b"a", b"x" * 500]) * 9000)
    args = [verb, str(path)] + (["0"] if verb == "show" else [])
    process = subprocess.Popen(
        [sys.executable, "-m", "aofdoctor", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0


def test_a_closed_standard_error_does_not_change_the_status(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes((encode_command([b"FLUSHALL"]) + encode_command([b"SET", b"a", b"1"])) * 3)
    for args, status in ((["strip", str(path)], 2), (["check", str(tmp_path / "none")], 3)):
        process = subprocess.Popen(
            [sys.executable, "-m", "aofdoctor", *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr
        process.stderr.close()
        assert process.wait() == status


def test_a_closed_standard_stream_gives_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"SET", b"a", b"1"]))
    for words in (f"check {path} >&-", "check - <&-", f"log {path} >&- 2>&-"):
        done = subprocess.run(f"{sys.executable} -m aofdoctor {words}", shell=True, capture_output=True, check=False)
        assert done.returncode in (0, 3) and b"Traceback" not in done.stderr, words


def test_a_part_that_is_no_regular_file_is_a_finding_and_never_blocks(story: Callable[[str], Path]) -> None:
    folder = story("wiped-valkey-9.1") / "appendonlydir"
    part = max(folder.glob("*.incr.aof"))
    part.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(part)
        result = aofdoctor("check", folder, "--json")
        assert result.status == 1 and "part-missing" in [f["code"] for f in result.json["findings"]]
        part.rmdir() if part.is_dir() else part.unlink()


@pytest.mark.parametrize(
    "change", [b'"mtime_ns": 1e400', b'"start": 99999999999999999999999', b'"path": "a\\u0000b"', b'"files": []']
)
def test_an_invalid_receipt_is_refused(change: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"FLUSHALL"]))
    receipt = Path(aofdoctor("strip", path, "--in-place", "-y", "--json").json["receipt"])
    name = change.partition(b":")[0]
    value = rb"\[.*\]" if b"files" in name else rb'("[^"]*"|[0-9]+)'
    data = re.sub(name + rb": " + value, lambda _: change, receipt.read_bytes(), flags=re.DOTALL)
    assert data != receipt.read_bytes()
    receipt.write_bytes(data)
    result = aofdoctor("undo", receipt)
    assert result.status == 3 and "not a receipt" in result.err


def test_an_empty_argument_is_neither_a_position_nor_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.aof").write_bytes(encode_command([b"FLUSHALL"]))
    monkeypatch.chdir(tmp_path)
    assert aofdoctor("strip", "", "--in-place", "-y").status == 3
    for option in ("--since", "--until", "--from", "--to"):
        assert aofdoctor("log", "a.aof", option, "").status == 2
    assert aofdoctor("strip", "a.aof", "").status == 2
