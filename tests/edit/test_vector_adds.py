"""repair replaces a VADD with CAS that crashes Redis by one of the same size without it, which loads."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.edit.reconstruction.vector_adds import without_cas
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox
from tests.conftest import aofdoctor
from tests.support.servers import servers_by_line

SET = encode_command([b"SET", b"after", b"1"])


def vadd(element: bytes, *options: bytes) -> bytes:
    return encode_command([b"VADD", b"k", b"VALUES", b"2", b"1", b"2", element, *options])


CRASHING = (
    vadd(b"e0") + vadd(b"e1", b"CAS") + vadd(b"e2", b"NOQUANT", b"cas", b"EF", b"10") + vadd(b"CAS", b"CAS") + SET
)


@given(
    st.lists(st.binary(max_size=30), min_size=1, max_size=1),
    st.lists(st.sampled_from([(b"NOQUANT",), (b"EF", b"10"), (b"SETATTR", b"CAS"), (b"M", b"8")]), max_size=3),
    st.integers(0, 3),
)
def test_the_replacement_has_the_same_size_and_the_other_arguments(
    element: list[bytes], options: list[tuple[bytes, ...]], place: int
) -> None:
    words = [word for option in [*options[:place], (b"CAS",), *options[place:]] for word in option]
    record = vadd(element[0], *words)
    replaced = without_cas(record)
    kept = [word for option in options for word in option]
    assert len(replaced) == len(record)
    assert replaced.replace(b"$0000000004", b"$4").replace(b"*0", b"*") == vadd(element[0], *kept)


@pytest.mark.parametrize("salvage", [False, True])
def test_repair_makes_a_copy_that_loads(salvage: bool, tmp_path: Path) -> None:
    path, out = tmp_path / "appendonly.aof", tmp_path / "fixed.aof"
    path.write_bytes(CRASHING)
    result = aofdoctor("repair", path, *(["--salvage"] if salvage else []), "-o", out, "--json")
    assert result.status == 0 and result.json["commands"]["after"] == 5
    assert [change["reason"] for change in result.json["mended"]] == ["VADD without CAS"] * 3
    data = out.read_bytes()
    assert len(data) == len(CRASHING) and data.startswith(vadd(b"e0")) and data.endswith(SET)
    report = aofdoctor("check", out, "--server", "redis-8.2", "--json")
    assert report.status == 0 and "crashes-at-load" not in {f["code"] for f in report.json["findings"]}
    binary = servers_by_line().get("redis-8.2")
    if binary is None:
        pytest.skip("no Redis 8.2")

    def prepare(folder: Path) -> None:
        (folder / "appendonly.aof").write_bytes(data)

    with Sandbox(binary, ["--appendonly", "yes"], prepare, hide=()) as server:
        assert (server.call("VCARD", "k"), server.call("GET", "after")) == (3, b"1")


def test_a_copy_can_be_undone_in_place(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(CRASHING)
    result = aofdoctor("repair", path, "--in-place", "-y", "--json")
    assert result.status == 0 and path.read_bytes() != CRASHING
    assert aofdoctor("undo", next(tmp_path.glob("*.receipt.json"))).status == 0
    assert path.read_bytes() == CRASHING
