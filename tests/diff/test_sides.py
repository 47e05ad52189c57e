"""PATH@WHERE: one side of diff that ends at a position or at a time."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import aofdoctor
from tests.support.diffs import EXEC, MULTI, SELECT_3, open_pipe, set_commands
from tests.support.rdb_files import make_rdb, string_key
from tests.support.samples import make_small_set

START = 1_700_000_000


def at(second: int) -> bytes:
    return b"#TS:%d\r\n" % (START + second)


LOG = (
    set_commands("before")
    + at(0) + set_commands("a")
    + at(10) + SELECT_3 + set_commands("b", "c")
    + at(20) + MULTI + set_commands("d") + at(30) + set_commands("e") + EXEC
    + at(40) + set_commands("f")
)  # fmt: skip


def missing_keys(path: Path | str, where: str) -> list[str]:
    """Return the keys that are missing from a side which ends at `where`."""
    lines = aofdoctor("diff", f"{path}@{where}", path, "--json").lines
    assert all(line["side"] == "b" for line in lines if line["type"] == "only")
    return [key for line in lines if line["type"] == "only" for key in line["keys"]]


def iso(second: int) -> str:
    return datetime.fromtimestamp(START + second, UTC).isoformat()


@pytest.mark.parametrize(
    ("second", "left"),
    [
        (-1, ["a", "b", "c", "d", "e", "f"]),  # Commands without a time count as earlier.
        (0, ["b", "c", "d", "e", "f"]),
        (9, ["b", "c", "d", "e", "f"]),
        (10, ["d", "e", "f"]),
        (20, ["d", "e", "f"]),  # The transaction continues into a later second.
        (30, ["f"]),
        (39, ["f"]),
        (40, []),
        (1000, []),
    ],
)
def test_a_side_ends_with_the_last_command_of_a_second(pair: Any, second: int, left: list[str]) -> None:
    path, _ = pair(LOG, b"")
    assert missing_keys(path, iso(second)) == left
    assert missing_keys(path, iso(second).replace("T", " ")) == left
    assert missing_keys(path, f"TS:{START + second}") == missing_keys(path, f"#TS:{START + second}") == left
    if second <= 40:
        assert missing_keys(path, f"-{40 - second}s") == left


def test_a_time_applies_across_parts(tmp_path: Path) -> None:
    parts = make_small_set(
        tmp_path,
        {"base": at(0) + set_commands("a"), "incr": at(10) + set_commands("b"), "more": at(20) + set_commands("c")},
    )
    assert [missing_keys(parts, iso(second)) for second in (0, 10, 15, 20)] == [["b", "c"], ["c"], ["c"], []]


def test_a_truncated_large_transaction_is_dropped_as_a_whole(pair: Any) -> None:
    """The transaction begins in an earlier batch of the reader."""
    many = [f"k{n}" for n in range(20_000)]
    path, _ = pair(at(0) + set_commands("a") + MULTI + set_commands(*many) + at(10) + set_commands("z") + EXEC, b"")
    assert missing_keys(path, iso(5)) == [*many, "z"]
    assert missing_keys(path, iso(10)) == []


def test_a_bare_number_is_an_offset_and_never_a_time(pair: Any) -> None:
    path, _ = pair(LOG, b"")
    assert missing_keys(path, "0") == ["before", "a", "b", "c", "d", "e", "f"]
    assert missing_keys(path, f"0x{len(LOG) - len(set_commands('f')):x}") == ["f"]
    assert aofdoctor("diff", f"{path}@{START}", path).status == 2  # The file has no such offset.
    for nonsense in ("soon", "5x", "12:30", "", "-10y"):
        result = aofdoctor("diff", f"{path}@{nonsense}", path)
        assert (result.status, "PATH@-10m" in result.err) == (2, True), nonsense


def test_a_time_in_a_log_without_annotations_is_an_error(pair: Any) -> None:
    path, _ = pair(set_commands("a", "b"), b"")
    for where in (iso(0), "-10m", f"TS:{START}"):
        result = aofdoctor("diff", f"{path}@{where}", path)
        assert result.status == 2 and "no #TS annotations" in result.err and "PATH@#17" in result.err


def test_a_base_that_was_written_later_is_refused(tmp_path: Path) -> None:
    base = make_rdb(string_key(b"a", b"1"), aux=[(b"ctime", b"%d" % (START + 10))])
    path = tmp_path / "a.aof"
    path.write_bytes(base + at(20) + set_commands("b"))
    result = aofdoctor("diff", f"{path}@{iso(5)}", path)
    assert result.status == 3 and "was written at" in result.err
    assert missing_keys(path, iso(10)) == ["b"]


def test_a_pipe_cannot_end_at_a_time(tmp_path: Path, pair: Any) -> None:
    path, _ = pair(LOG, b"")
    with open_pipe(LOG) as pipe:
        result = aofdoctor("diff", f"{pipe}@{iso(0)}", path)
    assert result.status == 2 and "pipe" in result.err


def test_the_times_of_a_real_sample(story: Any) -> None:
    sample = story("wiped-valkey-9.1")
    lines = [json.loads(line) for line in aofdoctor("log", sample, "--json").stdout.splitlines()]
    last = lines[-1]["time"]
    assert missing_keys(sample, f"TS:{last}") == []
    earlier = [key for line in lines if line["time"] > last - 1 for key in line["keys"]]
    assert earlier and missing_keys(sample, "-1s") == earlier


def test_selections_after_a_time_name_the_same_seconds(pair: Any) -> None:
    path, _ = pair(LOG, b"")
    lines = aofdoctor("diff", f"{path}@0", path, "--json", "--since", iso(11)).lines
    selected = [key for line in lines if line["type"] == "only" for key in line["keys"]]
    assert selected == missing_keys(path, iso(10))
