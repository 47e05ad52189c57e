"""Every installed checker accepts every output, and every server that knows its commands loads it completely."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import aofdoctor
from tests.support.samples import FLUSH, SET, StoryCopier, make_small_set, server_option
from tests.support.servers import checker_refusal, servers_by_line

MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])


def select(db: int) -> bytes:
    return encode_command([b"SELECT", b"%d" % db])


WRITES = b"".join([
    select(0), SET, encode_command([b"RPUSH", b"list", b"1", b"2"]), select(3), MULTI, encode_command([b"INCR", b"n"]),
    encode_command([b"HSET", b"h", b"f", b"\r\n\x00"]), EXEC, encode_command([b"EXPIRE", b"n", b"100000"]), select(1),
])  # fmt: skip
HOLE = encode_command([b"SET", b"torn", b"x" * 200])[:90] + bytes(500)
WIPED = WRITES + FLUSH + select(2) + SET + MULTI + FLUSH + EXEC + SET
BROKEN = WRITES + HOLE + WRITES + MULTI + SET + select(5) + HOLE + EXEC + SET + b"*2\r\n$3\r\nGE"

EDITS: list[tuple[bytes, list[str]]] = [
    (WIPED, ["strip", "--last"]), (WIPED, ["strip", "--all"]), (WIPED, ["strip", "--last", "--and-after"]),
    (WIPED, ["strip", "--key", "list"]), (WIPED, ["strip", "--db", "3"]), (WIPED, ["rewind", "--before", "#12"]),
    (WIPED, ["rewind", "--before", "#7"]), (WIPED, ["slice", "--key", "n"]), (WIPED, ["slice", "--db", "0"]),
    (BROKEN, ["repair"]), (BROKEN, ["repair", "--salvage"]), (BROKEN, ["repair", "--salvage", "--strict"]),
    (WRITES.replace(b"\r\n", b"\n"), ["repair", "--salvage"]),
]  # fmt: skip


def outputs(folder: Path) -> Iterator[Path]:
    for number, (data, words) in enumerate(EDITS):
        path, out = folder / f"{number}.aof", folder / f"out-{number}.aof"
        path.write_bytes(data)
        result = aofdoctor(words[0], path, *words[1:], "-o", out)
        assert result.status == 0, (words, result.err)
        yield out


def starts_with(binary: ServerBinary, out: Path) -> bool:
    def lay_out(folder: Path) -> None:
        (folder / "appendonly.aof").symlink_to(out)

    options = ["--appendonly", "yes", "--appendfilename", "appendonly.aof", "--aof-load-truncated", "no"]
    with Sandbox(binary, options, lay_out, hide=()) as server:
        return server.call("PING") == b"PONG"


@pytest.mark.parametrize("line", sorted(servers_by_line()))
def test_a_checker_and_its_server_accept_every_output(line: str, tmp_path: Path) -> None:
    binary = servers_by_line()[line]
    found = list(outputs(tmp_path))
    assert {out.name: why for out in found if (why := checker_refusal(binary, out))} == {}
    assert [out.name for out in found if not starts_with(binary, out)] == []
    assert checker_refusal(binary, tmp_path / "9.aof")  # The checker must refuse the damaged source.


@pytest.mark.parametrize(
    "line", [line for line, binary in sorted(servers_by_line().items()) if binary.version >= (7, 0, 0)]
)
def test_a_checker_accepts_every_set(line: str, tmp_path: Path) -> None:
    folder = make_small_set(tmp_path, {"base": WRITES, "one": WIPED, "two": BROKEN})
    for number, words in enumerate([["repair"], ["repair", "--salvage"]]):
        out = tmp_path / f"out-{number}"
        assert aofdoctor(words[0], folder, *words[1:], "-o", out).status == 0
        assert checker_refusal(servers_by_line()[line], out) == ""
        for more, edit in enumerate([["strip", "--last"], ["rewind", "--before", "#20"], ["slice", "--db", "0"]]):
            further = tmp_path / f"out-{number}-{more}"
            assert aofdoctor(edit[0], out, *edit[1:], "-o", further).status == 0
            assert checker_refusal(servers_by_line()[line], further) == ""


@pytest.mark.parametrize("name", ["wiped-valkey-9.1", "wiped-redis-8.2"])
def test_the_server_that_wrote_it_loads_the_rescued_set(name: str, story: StoryCopier, tmp_path: Path) -> None:
    assert aofdoctor("strip", story(name), "-o", tmp_path / "out").status == 0
    result = aofdoctor("verify", tmp_path / "out", *server_option(name), "--json")
    assert result.status == 0 and result.json["loaded"]
