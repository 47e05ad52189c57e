"""Transactions that a restart tore: check names the border, and salvage removes them alone."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.check.examine import examine
from aofdoctor.cli.options import open_path
from aofdoctor.log.restarts.torn_transactions import torn_transactions
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor

MULTI, EXEC = encode_command([b"MULTI"]), encode_command([b"EXEC"])


def put(key: str) -> bytes:
    return encode_command([b"SET", key.encode(), b"1"])


def select(db: int) -> bytes:
    return encode_command([b"SELECT", b"%d" % db])


def time(seconds: int) -> bytes:
    return b"#TS:%d\r\n" % seconds


A, B, C, D, E = (put(key) for key in "abcde")
BEFORE = select(0) + A
ID = b"#HDR:" + b"0123456789abcdef0123456789abcdef01234567" + b"\r\n"
MANY = put("many") * 40

# Name: (records before the torn transaction, the torn transaction, the records after the restart).
TORN = {
    "single commands follow": (BEFORE, MULTI + B + C, select(0) + D * 3),
    "one command follows": (BEFORE, MULTI + B + C, select(0) + D),
    "transactions follow": (BEFORE, MULTI + B, select(0) + (MULTI + C + D + EXEC) * 3),
    "a transaction with its SELECT inside follows": (BEFORE, MULTI + B, MULTI + select(0) + C + EXEC + D),
    "commands, then transactions follow": (BEFORE, MULTI + B, select(0) + C + MULTI + D + EXEC + E),
    "the MULTI alone is left": (BEFORE, MULTI, select(0) + B + C),
    "the MULTI alone, then transactions": (BEFORE, MULTI, select(0) + MULTI + B + EXEC + C),
    "a transaction with a SELECT of its own": (BEFORE, MULTI + select(2) + B, select(2) + C),
    "another database before the next MULTI": (BEFORE + select(3), MULTI + B, select(0) + MULTI + C + EXEC),
    "another database, and many commands": (BEFORE + select(3), MULTI + B, select(0) + MANY),
    "another database, and a transaction": (BEFORE + select(3), MULTI + B, select(0) + C + MULTI + D + EXEC),
    "another database after a time": (BEFORE + time(100), MULTI + B, time(101) + select(1) + C),
    "a jump of the time": (time(100) + BEFORE, MULTI + B, time(4000) + C + D),
    "a replication id": (BEFORE, MULTI + B, ID + C + D),
    "a time and a redundant SELECT": (time(100) + BEFORE, MULTI + B, time(100) + select(0) + C),
    "no SELECT before it": (A, MULTI + B, select(0) + C),
}

# Logs that a running server writes, and ones in which nothing proves a restart.
SOUND = {
    "a client selects inside": BEFORE + MULTI + B + select(1) + C + select(0) + D + EXEC + MULTI + A + B + EXEC,
    "a transaction begins a file": MULTI + select(0) + B + EXEC + MULTI + C + D + EXEC,
    "a rewrite began inside a transaction": BEFORE + MULTI + B + select(0) + C + EXEC + MULTI + A + B + EXEC,
    "the first write after a start is a transaction": BEFORE + MULTI + select(0) + B + C + EXEC + D,
    "a time inside a transaction": time(1) + BEFORE + MULTI + B + time(2) + C + EXEC + D,
    "a server that nests transactions": BEFORE + MULTI + B + select(0) + MULTI + C + EXEC + D + EXEC,
    "a nested MULTI alone": BEFORE + MULTI + B + MULTI + C + EXEC + D,
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", TORN)
def test_only_the_torn_transaction_goes(name: str, tmp_path: Path) -> None:
    before, torn, after = TORN[name]
    path = write(tmp_path / "a.aof", before + torn + after)
    checked = aofdoctor("check", path, "--json")
    part = checked.json["parts"][0]
    assert checked.status == 1 and not checked.json["sound"]
    assert [(d["kind"], d["start"], d["end"]) for d in part["damage"]] == [
        ("torn-transaction", len(before), len(before + torn))
    ]
    assert part["ok_up_to"] == len(before) and "restart" in part["damage"][0]["note"]
    assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out").status == 0
    kept = before + (select(2) if select(2) in torn else b"") + after  # A SELECT is never dropped.
    assert (tmp_path / "out").read_bytes() == kept
    assert aofdoctor("check", tmp_path / "out", "--json").json["sound"]


@pytest.mark.parametrize("name", SOUND)
def test_a_log_without_a_restart_inside_a_transaction_has_no_border(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.aof", SOUND[name])
    assert aofdoctor("check", path, "--json").json["sound"]
    assert not aofdoctor("repair", path, "--salvage", "--json").json["changed"]


# Without their last EXEC these look like a restart.
LIKE_A_RESTART = {
    "a rewrite began inside a transaction",
    "the first write after a start is a transaction",
    "a server that nests transactions",
}


@pytest.mark.parametrize("name", sorted(SOUND.keys() - LIKE_A_RESTART))
@pytest.mark.parametrize("end", [b"", B[:9], bytes(200) + B])
def test_a_sound_log_that_is_torn_inside_a_transaction_has_no_border(name: str, end: bytes) -> None:
    data = SOUND[name][: SOUND[name].rindex(EXEC)]
    assert list(torn_transactions(BytesSource(data + end))) == []


def test_the_text_names_the_restart_and_its_position(tmp_path: Path) -> None:
    path = write(tmp_path / "a.aof", BEFORE + MULTI + B + select(0) + C)
    out = aofdoctor("check", path).out
    assert "restart" in out and f"at {len(BEFORE + MULTI + B)}" in out
    assert "a salvage removes this transaction and keeps every later command" in out


def test_a_restart_is_found_through_damage_and_batches(tmp_path: Path) -> None:
    before = put("x") * 40_000
    torn = MULTI + put("y") * 40_000
    after = select(0) + put("z") * 40_000
    path = write(tmp_path / "a.aof", before + torn + after + bytes(300) + D)
    assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == before + after + D


def test_a_command_that_no_server_takes_after_a_restart_goes_alone(tmp_path: Path) -> None:
    bad = encode_command([b"GET"])
    path = write(tmp_path / "a.aof", BEFORE + MULTI + B + select(0) + C + bad + D + bad + E)
    assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == BEFORE + select(0) + C + D + E


def test_many_torn_transactions_are_found_in_linear_time(tmp_path: Path) -> None:
    data = BEFORE + (MULTI + B + select(0)) * 30_000 + C
    path = write(tmp_path / "a.aof", data)
    with open_path(str(path)) as aof:
        assert examine(aof).parts[0].damage_count == 30_000
    assert sum(1 for _ in torn_transactions(BytesSource(BEFORE + MULTI * 100_000))) == 0


# -- the law: random workloads, a crash inside a transaction, and the writes of the next run --


@st.composite
def workloads(draw: st.DrawFn, first_db: int | None = None, style: int = 7) -> tuple[list[bytes], int]:
    """Blocks of a run (one command or one transaction each, with the SELECTs that a server writes), and its last db."""
    db, blocks = -1, list[bytes]()
    numbers = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=8))
    for n, (size, wanted) in enumerate(numbers):
        target = first_db if first_db is not None and n == 0 else wanted
        chosen = b"" if target == db else select(target)
        db = target
        commands = b"".join(put(f"k{n}:{i}") for i in range(max(1, size)))
        if size < 2:
            blocks.append(chosen + commands)
        else:
            blocks.append(MULTI + chosen + commands + EXEC if style == 7 else chosen + MULTI + commands + EXEC)
    return blocks, db


@st.composite
def crashes(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """Records before a transaction, what a server leaves of it, and what it writes after its restart."""
    style = draw(st.sampled_from([6, 7]))
    blocks, db = draw(workloads(style=style))
    queued = [put(f"torn{i}") for i in range(draw(st.integers(0, 4)))]
    after, _ = draw(workloads(first_db=db, style=style))
    return select(0) + b"".join(blocks), MULTI + b"".join(queued), b"".join(after)


@settings(max_examples=150)
@given(st.lists(crashes(), min_size=1, max_size=3), st.sampled_from([b"", B[:9], bytes(200)]))
def test_salvage_removes_exactly_the_torn_transactions(runs: list[tuple[bytes, bytes, bytes]], end: bytes) -> None:
    data = b"".join(b"".join(run) for run in runs)
    expected = b"".join(before + after for before, _, after in runs)
    with TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.aof", data + end)
        assert aofdoctor("check", path).status == 1
        assert aofdoctor("repair", path, "--salvage", "-o", f"{folder}/out").status == 0
        assert (Path(folder) / "out").read_bytes() == expected


@settings(max_examples=60)
@given(st.lists(crashes(), min_size=2, max_size=3))
def test_over_several_parts_each_torn_transaction_goes(runs: list[tuple[bytes, bytes, bytes]]) -> None:
    """The part of a run ends inside its transaction, or the part goes on after the restart."""
    with TemporaryDirectory() as folder:
        root = Path(folder) / "appendonlydir"
        root.mkdir()
        expected = list[bytes]()
        lines = list[bytes]()
        for n, (before, torn, after) in enumerate(runs, 1):
            ends_there = n % 2 == 0
            (root / f"a.aof.{n}.incr.aof").write_bytes(before + torn + (b"" if ends_there else after))
            expected.append(before + (b"" if ends_there else after))
            lines.append(b"file a.aof.%d.incr.aof seq %d type i\n" % (n, n))
        (root / "a.aof.manifest").write_bytes(b"".join(lines))
        assert aofdoctor("repair", root, "--salvage", "-o", f"{folder}/out").status == 0
        got = [(Path(folder) / "out" / f"a.aof.{n}.incr.aof").read_bytes() for n in range(1, len(runs) + 1)]
        assert got == expected


@settings(max_examples=200)
@given(workloads(), workloads(style=6))
def test_logs_of_running_servers_have_no_border(
    first: tuple[list[bytes], int], second: tuple[list[bytes], int]
) -> None:
    """Clean restarts between the two runs, too, are no damage."""
    data = b"".join(first[0]) + b"".join(second[0]) + b"".join(first[0])
    assert list(torn_transactions(BytesSource(data))) == []


HOLE = encode_command([b"SET", b"torn", b"x" * 200])[:90] + bytes(500)


@pytest.mark.parametrize("queued", [B + HOLE, B + HOLE + C, HOLE + C])
def test_damage_in_the_first_transaction_of_a_run_is_no_restart(queued: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(BEFORE + MULTI + select(0) + queued + EXEC + D)
    kinds = [d["kind"] for d in aofdoctor("check", path, "--json").json["parts"][0]["damage"]]
    assert "torn-transaction" not in kinds
    assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == BEFORE + select(0) + D


def test_a_lone_multi_before_a_restart_is_removed_alone_despite_later_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(BEFORE + MULTI + select(0) + B + HOLE + C + MULTI + D + EXEC)
    assert aofdoctor("repair", path, "--salvage", "-o", tmp_path / "out").status == 0
    assert (tmp_path / "out").read_bytes() == BEFORE + select(0) + B + C + MULTI + D + EXEC
