"""A record or a transaction that is split over the end of one incremental file and the start of the next is joined."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])


def put(key: bytes, value: bytes = b"1") -> bytes:
    return encode_command([b"SET", key, value])


def select(db: int) -> bytes:
    return encode_command([b"SELECT", b"%d" % db])


FIRST = select(0) + put(b"before")
SPLIT = put(b"split", b"x" * 60 + b"END")


def write_parts(folder: Path, *parts: bytes) -> Path:
    root = folder / "appendonlydir"
    root.mkdir()
    for n, data in enumerate(parts, 1):
        (root / f"a.aof.{n}.incr.aof").write_bytes(data)
    lines = (b"file a.aof.%d.incr.aof seq %d type i\n" % (n, n) for n in range(1, len(parts) + 1))
    (root / "a.aof.manifest").write_bytes(b"".join(lines))
    return root


def read_parts(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(root.glob("*.incr.aof"))]


def salvaged(root: Path) -> list[bytes]:
    out = root.parent / "out"
    assert aofdoctor("repair", root, "--salvage", "-o", out).status == 0
    return read_parts(out)


def test_check_names_both_pieces_of_a_split_record(tmp_path: Path) -> None:
    root = write_parts(tmp_path, FIRST + SPLIT[:40], SPLIT[40:] + put(b"after"))
    result = aofdoctor("check", root, "--json")
    found = [f for f in result.json["findings"] if f["code"] == "split-record"]
    assert result.status == 1
    assert [(f["part"], f["start"], f["end"]) for f in found] == [("a.aof.1.incr.aof", len(FIRST), len(FIRST) + 40)]
    assert f"the 40 bytes at a.aof.1.incr.aof@{len(FIRST)}" in found[0]["message"]
    assert f"first {len(SPLIT) - 40} bytes of a.aof.2.incr.aof" in found[0]["message"]


def test_a_split_record_is_joined_and_counted(tmp_path: Path) -> None:
    root = write_parts(tmp_path, FIRST + SPLIT[:40], SPLIT[40:] + put(b"after"))
    plan = aofdoctor("repair", root, "--salvage", "--json").json
    assert (plan["commands"]["before"], plan["commands"]["after"], plan["commands"]["added"]) == (3, 4, 1)
    assert plan["bytes"]["before"] == plan["bytes"]["after"] and not plan["dropped"]
    assert [(m["part"], m["bytes"]) for m in plan["mended"]] == [
        ("a.aof.1.incr.aof", len(SPLIT) - 40), ("a.aof.2.incr.aof", 0),
    ]  # fmt: skip
    assert salvaged(root) == [FIRST + SPLIT, put(b"after")]
    assert aofdoctor("check", tmp_path / "out", "--json").json["sound"]


def test_a_split_transaction_is_joined_whole(tmp_path: Path) -> None:
    transaction = MULTI + put(b"a") + SPLIT + EXEC
    for number, cut in enumerate((len(MULTI) + 5, len(MULTI + put(b"a")) + 30, len(transaction) - 3)):
        folder = tmp_path / str(number)
        folder.mkdir()
        root = write_parts(folder, FIRST + transaction[:cut], transaction[cut:] + put(b"after"))
        assert salvaged(root) == [FIRST + transaction, put(b"after")]


def test_a_transaction_that_is_split_between_records_is_joined(tmp_path: Path) -> None:
    root = write_parts(tmp_path, FIRST + MULTI + put(b"a"), put(b"b") + EXEC + put(b"after"))
    codes = {f["code"] for f in aofdoctor("check", root, "--json").json["findings"]}
    assert "split-transaction" in codes
    assert salvaged(root) == [FIRST + MULTI + put(b"a") + put(b"b") + EXEC, put(b"after")]


def test_a_transaction_before_the_first_select_of_the_next_file_is_torn(tmp_path: Path) -> None:
    second = select(0) + put(b"b") + MULTI + put(b"c") + EXEC
    assert salvaged(write_parts(tmp_path, FIRST + MULTI + put(b"a"), second)) == [FIRST, second]


def test_commands_stay_in_the_database_of_the_split_record(tmp_path: Path) -> None:
    first = select(0) + put(b"a") + select(5) + put(b"b")
    rest = MULTI + put(b"c") + EXEC + put(b"d")
    second = MULTI + select(0) + put(b"e") + EXEC + put(b"f")
    root = write_parts(tmp_path, first + SPLIT[:20], SPLIT[20:] + rest + second)
    assert salvaged(root) == [first + SPLIT + rest, second]


def test_a_split_time_annotation_is_joined(tmp_path: Path) -> None:
    root = write_parts(tmp_path, FIRST + b"#TS:17000", b"00000\r\n" + put(b"after"))
    assert salvaged(root) == [FIRST + b"#TS:1700000000\r\n", put(b"after")]


def test_an_empty_file_between_the_pieces_does_not_matter(tmp_path: Path) -> None:
    root = write_parts(tmp_path, FIRST + SPLIT[:40], b"", SPLIT[40:] + put(b"after"))
    assert salvaged(root) == [FIRST + SPLIT, b"", put(b"after")]


def test_two_records_in_a_row_are_joined(tmp_path: Path) -> None:
    root = write_parts(tmp_path, FIRST + SPLIT[:40], SPLIT[40:] + put(b"a") + SPLIT[:9], SPLIT[9:] + put(b"b"))
    assert salvaged(root) == [FIRST + SPLIT, put(b"a") + SPLIT, put(b"b")]


def test_a_large_value_is_joined(tmp_path: Path) -> None:
    large = put(b"large", b"0123456789abcdef" * 200_000)
    root = write_parts(tmp_path, FIRST + large[:1000], large[1000:] + put(b"after"))
    assert salvaged(root) == [FIRST + large, put(b"after")]


def test_pieces_that_do_not_fit_are_not_joined(tmp_path: Path) -> None:
    """A torn record before a file that begins with whole records, and one with a byte missing between the pieces."""
    whole = select(0) + put(b"a") * 9
    pieces = [
        (SPLIT[:40], whole),
        (SPLIT[:40], SPLIT[41:] + whole),
        (SPLIT[:40], b"junk" + whole),  # The value would end where a record ends, by chance.
        (b"#TS:1", b"x\r\n" + whole),
    ]
    for number, (head, second) in enumerate(pieces):
        folder = tmp_path / str(number)
        folder.mkdir()
        root = write_parts(folder, FIRST + head, second)
        codes = {f["code"] for f in aofdoctor("check", root, "--json").json["findings"]}
        assert "split-record" not in codes
        assert salvaged(root) == [FIRST, whole]


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What a server writes: single commands and transactions, each in the selected database."""
    out, db = [select(0)], 0
    values = st.binary(max_size=40) | st.just(encode_command([b"PING"]) * 3) | st.just(b"\r\n$3\r\nabc\r\n")
    for size, wanted in draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=3, max_size=12)):
        commands = b"".join(put(draw(st.binary(min_size=1, max_size=6)), draw(values)) for _ in range(max(1, size)))
        chosen = b"" if wanted == db else select(wanted)
        db = wanted
        out.append(MULTI + chosen + commands + EXEC if size > 1 else chosen + commands)
    return b"".join(out)


@settings(max_examples=200)
@given(streams(), st.data())
def test_a_log_that_is_cut_in_two_comes_back_whole(stream: bytes, data: st.DataObject) -> None:
    """At any byte: the two files of the output are the log again, and none of its commands changes its context."""
    cut = data.draw(st.integers(len(select(0)), len(stream) - 1))
    assume(not stream[cut:].startswith((b"*2\r\n$6\r\nSELECT", b"*1\r\n$5\r\nMULTI")))
    with TemporaryDirectory() as folder:
        root = write_parts(Path(folder), stream[:cut], stream[cut:])
        aofdoctor("check", root)
        first, second = salvaged(root) if aofdoctor("check", root).status else read_parts(root)
        assert first + second == stream
        assert first.count(MULTI) == first.count(EXEC) or b"PING" in stream
