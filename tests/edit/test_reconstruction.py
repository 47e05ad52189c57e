"""repair --salvage: undo text-mode changes and swapped blocks if the bytes prove them, and leave the rest as damage."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.check.examine import examine
from aofdoctor.cli.options import open_path
from aofdoctor.edit.drops import remaining_spans
from aofdoctor.edit.reconstruction.reconstruct import reconstruct
from aofdoctor.edit.salvage.salvage import plan_salvage
from aofdoctor.resp import encode_command
from aofdoctor.source import pread
from tests.conftest import aofdoctor
from tests.support.hostile_bytes import hostile_aofs
from tests.support.samples import StoryCopier, make_small_set

Change = Callable[[bytes], bytes]
CHANGES: dict[str, Change] = {
    "CRLF had become LF": lambda data: data.replace(b"\r\n", b"\n"),
    "LF had become CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "Latin-1 had become UTF-8": lambda data: data.decode("latin-1").encode(),
}
LOOKALIKE = encode_command([b"SET", b"a", b"b"]) * 3
HEAD = encode_command([b"SELECT", b"0"]) + encode_command([b"SET", b"k", b"v\xff\n\r\n"]) * 2


def write(folder: Path, data: bytes, name: str = "a.aof") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def reconstructed_bytes(path: Path) -> bytes | None:
    """Return the reconstructed bytes, or None if nothing was reconstructed."""
    with open_path(str(path)) as aof:
        after, done = reconstruct(aof)
        source = after.parts[0].source
        assert source is not None and source.size is not None
        return pread(source, source.size, 0) if done else None


pure = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"\r\n", LOOKALIKE, b"x\r\ny", b"\xe9" * 30, b"$3\r\nabc\r\n", b"*1\r\n$8\r\nFLUSHALL\r\n"]),
).map(lambda value: value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
commands = st.lists(
    st.builds(lambda key, value: encode_command([b"SET", key, value]), pure, pure), min_size=1, max_size=8
)


@pytest.mark.parametrize("how", CHANGES)
@given(data=st.data())
def test_text_mode_is_undone_exactly(how: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    source = b"".join(data.draw(commands)) + HEAD
    # A value in the tail has both kinds of line ends, so its original bytes are unknown.
    if how == "CRLF had become LF":
        source = source.removesuffix(HEAD)
    changed = CHANGES[how](source)
    found = reconstructed_bytes(write(tmp_path_factory.mktemp("m"), changed))
    if how != "CRLF had become LF":
        assert found == (None if changed == source else source)
    else:  # If a value may end at two positions, the bytes after it are not changed.
        assert found is None or found == source or source.startswith(found[: found.find(b"*3\n")])


@pytest.mark.parametrize("how", CHANGES)
def test_a_salvage_restores_the_source_and_reports_its_changes(how: str, tmp_path: Path) -> None:
    rows = [encode_command([b"SET", b"key:%d" % i, b"caf\xe9 %d" % i]) for i in range(300)]
    source = b"".join([encode_command([b"SELECT", b"3"]), *rows, encode_command([b"SET", b"list", LOOKALIKE])])
    path = write(tmp_path, CHANGES[how](source))
    plan = aofdoctor("repair", path, "--salvage", "--json").json
    assert {row["reason"] for row in plan["mended"]} == {how}
    assert plan["commands"]["after"] == 302 and plan["commands"]["dropped"] == 0
    assert plan["bytes"]["before"] == path.stat().st_size and plan["bytes"]["after"] == len(source)
    assert plan["bytes"]["before"] - plan["bytes"]["dropped"] + plan["bytes"]["added"] == len(source)
    words = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out.aof").out
    assert f"{how}: turned back" in words
    assert (tmp_path / "out.aof").read_bytes() == source
    assert path.read_bytes() == CHANGES[how](source)


def test_only_a_value_with_ambiguous_line_ends_is_lost(tmp_path: Path) -> None:
    rows = [encode_command([b"SET", b"key:%d" % i, b"x"]) for i in range(20)]
    mixed = encode_command([b"SET", b"mixed", b"one\r\ntwo\nthree\r\n"])
    path = write(tmp_path, CHANGES["CRLF had become LF"](b"".join([*rows, mixed, *rows])))
    plan = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out.aof", "--json").json
    assert (tmp_path / "out.aof").read_bytes() == b"".join(rows * 2)
    assert [row["commands"] for row in plan["dropped"]] == [0]


def test_u_fffd_is_reported_and_not_undone(tmp_path: Path) -> None:
    source = (
        encode_command([b"SET", b"a", b"1"])
        + encode_command([b"SET", b"bin", b"\xff\xfe12"])
        + encode_command([b"SET", b"b", b"2"])
    )
    path = write(tmp_path, source.decode("utf-8", "replace").encode())
    found = aofdoctor("check", path, "--json").json["parts"][0]["damage"]
    assert [d["kind"] for d in found] == ["encoding"] and "U+FFFD" in found[0]["note"]
    plan = aofdoctor("repair", path, "--salvage", "--json").json
    assert "mended" not in plan and plan["commands"]["after"] == 2


@pytest.mark.parametrize("size", [512, 4096])
@pytest.mark.parametrize("apart", [1, 3])
def test_two_swapped_blocks_are_restored(size: int, apart: int, tmp_path: Path) -> None:
    dice = Random(7)  # Equal rows would let other blocks fit as well.
    source = b"".join(encode_command([b"SET", b"key:%d" % i, b"v" * dice.randrange(400)]) for i in range(200))
    one, other = slice(3 * size, 4 * size), slice((3 + apart) * size, (4 + apart) * size)
    swapped = bytearray(source)
    swapped[one], swapped[other] = source[other], source[one]
    path = write(tmp_path, bytes(swapped))
    plan = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out.aof", "--json").json
    assert (tmp_path / "out.aof").read_bytes() == source
    assert {row["reason"] for row in plan["mended"]} == {"two blocks had changed places"}


@given(
    st.lists(st.one_of(hostile_aofs, *(hostile_aofs.map(change) for change in CHANGES.values())), max_size=4).map(
        b"".join
    )
)
def test_a_reconstruction_never_raises_and_never_adds_damage(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = write(tmp_path_factory.mktemp("h"), encode_command([b"SET", b"a", b"b"]) + data)
    result = aofdoctor("repair", path, "--salvage", "--json")
    assert result.status == 0
    totals = result.json["bytes"]
    assert totals["before"] - totals["dropped"] + totals["added"] == totals["after"]


# -- two AOFs in one, two writers --


def test_an_rdb_among_commands_is_reported_as_a_second_aof(tmp_path: Path) -> None:
    first = encode_command([b"SET", b"a", b"1"])
    path = write(
        tmp_path, first + b"REDIS0009\xfa\x09redis-ver\x055.0.7\xff" + bytes(8) + encode_command([b"SET", b"b", b"2"])
    )
    found = aofdoctor("check", path, "--json").json["parts"][0]["damage"]
    assert [(d["kind"], d["start"]) for d in found] == [("second-aof", len(first))]
    assert aofdoctor("repair", path, "--salvage", "--json").json["commands"]["after"] == 2


def test_a_record_split_by_another_writer_is_reported(tmp_path: Path) -> None:
    ours, theirs = encode_command([b"SET", b"mine", b"m" * 500]), encode_command([b"SET", b"theirs", b"t" * 50])
    data = encode_command([b"SET", b"a", b"1"]) + ours[:200] + theirs * 10 + ours[200:] + theirs
    path = write(tmp_path, data)
    found = [f for f in aofdoctor("check", path, "--json").json["findings"] if f["code"] == "two-writers"]
    assert [(f["start"], f["end"]) for f in found] == [(27, 27 + 200 + 10 * len(theirs))]


def test_a_redundant_select_is_a_note_about_a_restart(tmp_path: Path) -> None:
    one = encode_command([b"SELECT", b"0"]) + encode_command([b"SET", b"a", b"1"])
    path = write(tmp_path, one + one + encode_command([b"SELECT", b"2"]) + one)
    found = [f for f in aofdoctor("check", path, "--json").json["findings"] if f["code"] == "select-again"]
    assert [(f["severity"], f["start"]) for f in found] == [("note", len(one))]


# -- swapped files --


def timed_history(start: int, name: str) -> bytes:
    return b"".join(b"#TS:%d\r\n" % (start + i) + encode_command([b"SET", name.encode(), b"%d" % i]) for i in range(3))


def test_incremental_files_out_of_time_order_are_reported_and_unchanged(tmp_path: Path) -> None:
    folder = make_small_set(
        tmp_path,
        {
            "base": b"",
            "one": timed_history(2000, "b"),
            "two": timed_history(1000, "a"),
            "three": timed_history(3000, "c"),
        },
    )
    assert "part-swapped" in [f["code"] for f in aofdoctor("check", folder, "--json").json["findings"]]
    plan = aofdoctor("repair", folder, "--salvage", "--json").json  # A clock that was set back has the same effect.
    assert not plan["changed"] and not any("changed places" in note for note in plan["notes"])


def test_a_swapped_base_and_incremental_file_are_restored(story: StoryCopier, tmp_path: Path) -> None:
    folder = story("wiped-redis-8.2") / "appendonlydir"
    base = next(p for p in folder.iterdir() if p.name.endswith("base.rdb"))
    incr = next(p for p in folder.iterdir() if p.name.endswith("incr.aof"))
    was = base.read_bytes(), incr.read_bytes()
    base.write_bytes(was[1])
    incr.write_bytes(was[0])
    plan = aofdoctor("repair", folder, "--salvage", "-o", tmp_path / "out", "--json").json
    assert plan["changed"] and len([note for note in plan["notes"] if "files had changed places" in note]) == 2
    assert ((tmp_path / "out" / base.name).read_bytes(), (tmp_path / "out" / incr.name).read_bytes()) == was


# -- unreadable pages --


@contextmanager
def unreadable_pages(path: Path, *pages: int) -> Iterator[None]:
    """Simulate a dying disk: some pages of 4,096 bytes of a file cannot be read."""
    target = os.stat(path)
    bad = {page * 4096 for page in pages}

    def failing(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(fd: int, what: Any, *args: Any, **options: Any) -> Any:
            offset = options.get("offset_src", args[-1] if args else 0)
            size = sum(map(len, what)) if name == "preadv" else args[0] if name == "copy_file_range" else what
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) == (target.st_dev, target.st_ino):
                first = min((page for page in bad if offset < page + 4096 and page < offset + size), default=None)
                if first is not None and first <= offset:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                # As the kernel does: return the bytes before the bad page, and the error at the next call.
                if first is not None:
                    size = first - offset
                    what = [what[0][:size]] if name == "preadv" else size if name == "pread" else what
                    args = (size, *args[1:]) if name == "copy_file_range" else args
            return real(fd, what, *args, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("pread", "preadv", "copy_file_range"):
            patch.setattr(os, name, failing(name))
        yield


ROWS = [encode_command([b"SET", b"key:%d" % i, b"v" * 90]) for i in range(1000)]


def rows_outside_pages(rows: list[bytes], pages: tuple[int, ...]) -> list[bytes]:
    """Return the rows that no bad page touches."""
    kept, at = [], 0
    for row in rows:
        if not any(at < (page + 1) * 4096 and page * 4096 < at + len(row) for page in pages):
            kept.append(row)
        at += len(row)
    return kept


@pytest.mark.parametrize("pages", [(3,), (5, 6, 7), (0,), (2, 29)])
def test_a_salvage_continues_after_unreadable_pages(pages: tuple[int, ...], tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(ROWS))
    with unreadable_pages(path, *pages):
        found = aofdoctor("check", path, "--json")
        result = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out.aof", "--json")
    assert found.status == 1
    named = [d for d in found.json["parts"][0]["damage"] if d["kind"] == "unreadable"]
    assert all(any(d["start"] < (page + 1) * 4096 and page * 4096 < d["end"] for d in named) for page in pages)
    assert f"from {pages[0] * 4096} to" in named[0]["note"]
    assert result.status == 0
    assert (tmp_path / "out.aof").read_bytes() == b"".join(rows_outside_pages(ROWS, pages))
    assert (tmp_path / "out.aof.lost" / "map.jsonl").exists()


def test_a_large_value_with_an_unreadable_page_is_not_kept(tmp_path: Path) -> None:
    rows = [ROWS[0], encode_command([b"SET", b"large", b"x" * (3 << 20)]), ROWS[1]]
    path = write(tmp_path, b"".join(rows))
    with unreadable_pages(path, 500):
        result = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out.aof", "--json")
    assert result.status == 0 and [row["reason"] for row in result.json["dropped"]] == ["unreadable"]
    assert (tmp_path / "out.aof").read_bytes() == ROWS[0] + ROWS[1]


@pytest.mark.parametrize("verb", [["log"], ["strip", "--last", "-o", "OUT"], ["slice", "--key", "key:1*", "-o", "OUT"],
                                  ["rewind", "--before", "#900", "-o", "OUT"]])  # fmt: skip
def test_other_verbs_report_the_range_and_write_nothing(verb: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(ROWS) + encode_command([b"FLUSHALL"]))
    args: list[str | Path] = [tmp_path / "out" if word == "OUT" else word for word in verb]
    with unreadable_pages(path, 3):
        result = aofdoctor(args[0], path, *args[1:])
    assert result.status == 3 and "12288 to 16384" in result.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.aof"]


def test_a_cut_keeps_everything_before_the_unreadable_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(ROWS))
    with unreadable_pages(path, 3):
        assert aofdoctor("repair", path, "-o", tmp_path / "out.aof").status == 0
    ends = [*accumulate(map(len, ROWS))]
    assert (tmp_path / "out.aof").read_bytes() == b"".join(ROWS)[: max(end for end in ends if end <= 12288)]


def test_a_length_off_by_one_is_not_mistaken_for_text_mode(tmp_path: Path) -> None:
    name = "abéd".encode()
    rows = [encode_command([b"SET", b"k%d" % i, name]) for i in range(20)]
    path = write(tmp_path, b"".join(rows) + rows[0].replace(b"$5\r\n", b"$4\r\n") + rows[1])
    plan = aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out.aof", "--json").json
    assert "mended" not in plan and (tmp_path / "out.aof").read_bytes() == b"".join(rows) + rows[1]


FLUSH_IN_VALUE = encode_command([b"SET", b"note", b"*1\r\n$8\r\nFLUSHALL\r\n"])


@pytest.mark.parametrize("tail", [b"", encode_command([b"SET", b"a", b"1"])])
def test_a_value_is_never_executed_because_of_a_flipped_bit_before_it(tail: bytes, tmp_path: Path) -> None:
    for bit in range(8 * FLUSH_IN_VALUE.index(b"$18")):
        bent = bytearray(FLUSH_IN_VALUE)
        bent[bit // 8] ^= 1 << bit % 8
        path = write(tmp_path, b"".join(ROWS[:5]) + bent + tail)
        with open_path(str(path)) as aof:
            plan, _ = plan_salvage(aof, examine)
            out = b"".join(path.read_bytes()[s:e] for s, e in remaining_spans(plan.drops(), 0, path.stat().st_size))
        assert b"FLUSHALL" not in out.replace(bytes(bent), b""), bit


def test_drops_of_a_reconstructed_part_have_the_right_position(tmp_path: Path) -> None:
    rows = [encode_command([b"SET", b"key:%d" % i, b"caf\xe9"]) for i in range(50)]
    unknown = encode_command([b"NOSUCH", b"1"])
    source = b"".join([*rows[:20], unknown, *rows[20:40], unknown, *rows[40:]])
    changed = CHANGES["CRLF had become LF"](source)
    plan = aofdoctor("repair", write(tmp_path, changed), "--salvage", "--drop-unknown", "--json").json
    wanted = CHANGES["CRLF had become LF"](unknown)
    assert [changed[row["start"] : row["end"]] for row in plan["dropped"]] == [wanted] * 2


def test_a_large_first_record_with_an_unreadable_page_is_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, encode_command([b"SET", b"large", b"x" * 500_000]) + ROWS[0])
    with unreadable_pages(path, 75):
        assert [d["kind"] for d in aofdoctor("check", path, "--json").json["parts"][0]["damage"]] == ["unreadable"]
        assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out.aof").status == 0
    assert (tmp_path / "out.aof").read_bytes() == ROWS[0]
