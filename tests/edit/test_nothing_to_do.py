"""A request that changes nothing ends with status 0 and writes nothing, whatever the verb and the output options."""

from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

DATA = b"#TS:1700000000\r\n" + b"".join(encode_command([b"SET", b"key:%d" % n, b"v"]) for n in range(4))
REQUESTS = [
    ["repair"], ["repair", "--salvage"], ["repair", "--salvage", "--drop-unknown"], ["strip"], ["strip", "--last"],
    ["strip", "--all"], ["strip", "--cmd", "FLUSHALL"], ["strip", "--key", "other:*"], ["rewind", "--to", "1700000060"],
]  # fmt: skip


@pytest.mark.parametrize("request_words", REQUESTS, ids=" ".join)
@pytest.mark.parametrize("options", [[], ["-o", "out"], ["--in-place", "-y"], ["--json"], ["-o", "out", "--json"]])
def test_nothing_to_do_is_no_failure(
    request_words: list[str], options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "appendonly.aof"
    path.write_bytes(DATA)
    verb, *words = request_words
    done = aofdoctor(verb, path, *words, *options)
    assert done.status == 0, done.err
    assert [file.name for file in tmp_path.iterdir()] == [path.name] and path.read_bytes() == DATA
    if "--json" in options:
        assert done.json["output"] is None and not done.json["changed"]
    else:
        assert "nothing was written" in done.out and not done.err


def test_a_position_without_a_flush_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(DATA)
    assert aofdoctor("strip", path, "#2", "-o", tmp_path / "out").status == 2


def test_notes_of_a_sound_file_are_printed(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(DATA + encode_command([b"NEWCMD", b"a"]))
    done = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out")
    assert done.status == 0 and "\n  but NEWCMD: 1 unknown command" in done.out and not (tmp_path / "out").exists()
