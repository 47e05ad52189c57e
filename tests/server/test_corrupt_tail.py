"""--corrupt-tail predicts aof-load-corrupt-tail-max-size as Redis 8.10 applies it, and check warns where it destroys."""

from pathlib import Path
from typing import Any

import pytest

from aofdoctor.errors import SandboxError
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox
from tests.conftest import FIXTURES, aofdoctor
from tests.support.servers import servers_by_line

SET = encode_command([b"SET", b"a", b"1"])
MULTI = encode_command([b"MULTI"])
PREAMBLE = (FIXTURES / "aof" / "wiped-redis-6.2-preamble" / "appendonly.aof").read_bytes()
RDB = PREAMBLE[: PREAMBLE.index(b"*2\r\n$6\r\nSELECT")]
GARBAGE = b"garbage"

# name -> (bytes, option in bytes, outcome, offset)
SINGLE: dict[str, tuple[bytes, int, str, int | None]] = {
    "no option": (SET + GARBAGE, 0, "refuses", None),
    "one byte too little": (SET + GARBAGE, len(GARBAGE), "refuses", None),
    "just enough": (SET + GARBAGE, len(GARBAGE) + 1, "truncates", len(SET)),
    "a hole in the middle": (SET + bytes(40) + SET, 4096, "truncates", len(SET)),
    "no first record": (GARBAGE + SET, 4096, "truncates", 0),
    "zero arguments": (SET + b"*0\r\n", 4096, "truncates", len(SET)),
    "in a transaction": (SET + MULTI + SET + GARBAGE, 4096, "truncates", len(SET + MULTI + SET)),
    "a long annotation": (SET + b"#" + b"x" * 2000 + b"\r\n", 4096, "truncates", len(SET)),
    "a long annotation between records": (SET + b"#" + b"x" * 2000 + b"\r\n" + SET, 4096, "truncates", len(SET)),
    "a NUL in a header": (SET + b"*\0\r\n", 4096, "refuses", None),
    "a preamble and garbage": (RDB + GARBAGE, 1 << 20, "truncates", 0),
    "a preamble, garbage, a small option": (RDB + GARBAGE, len(RDB), "refuses", None),
    "a preamble, a record, garbage": (RDB + SET + GARBAGE, 4096, "truncates", len(RDB + SET)),
    "an unknown command": (SET + encode_command([b"NOSUCH", b"x"]), 4096, "refuses", None),
}


def judge(path: Path, option: int, truncated: bool = True) -> dict[str, Any]:
    report = aofdoctor("check", path, "--server", "redis-8.10", "--corrupt-tail", option, "--json").json
    verdict: dict[str, Any] = next(
        v for v in report["verdicts"] if v["server"] == "redis-8.10" and v["load_truncated"] is truncated
    )
    return verdict


def load(files: dict[str, bytes], option: int) -> tuple[bool, dict[str, int]]:
    """Load files in Redis 8.10; return whether it started, and the sizes of the files afterwards."""
    binary = servers_by_line().get("redis-8.10")
    if binary is None:
        pytest.skip("no Redis 8.10")
    sizes: dict[str, int] = {}

    class Watched(Sandbox):
        def _stop(self) -> None:
            if hasattr(self, "folder") and self.folder.exists():
                sizes.update((p.name, p.stat().st_size) for p in self.folder.rglob("*") if p.is_file())
            super()._stop()

    def prepare(folder: Path) -> None:
        for name, data in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)

    try:
        with Watched(
            binary, ["--appendonly", "yes", "--aof-load-corrupt-tail-max-size", str(option)], prepare, hide=()
        ):
            started = True
    except SandboxError:
        started = False
    return started, sizes


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_file_is_cut_as_predicted(name: str, tmp_path: Path) -> None:
    data, option, outcome, offset = SINGLE[name]
    path = tmp_path / "appendonly.aof"
    path.write_bytes(data)
    for truncated in (True, False):  # aof-load-truncated has no say.
        verdict = judge(path, option, truncated)
        assert verdict["outcome"] == outcome
        assert offset is None or verdict["offset"] == offset
    started, sizes = load({"appendonly.aof": data}, option)
    assert started == (outcome == "truncates")
    assert sizes["appendonly.aof"] == (len(data) if offset is None else offset)


def test_older_servers_and_valkey_do_not_have_the_option(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(SET + GARBAGE)
    report = aofdoctor("check", path, "--server", "all", "--corrupt-tail", 4096, "--json").json
    cutting = {v["server"] for v in report["verdicts"] if v["outcome"] == "truncates"}
    assert cutting == {"redis-8.4", "redis-8.6", "redis-8.8", "redis-8.10", "redis-8.12"}


def foreign_base(tmp_path: Path) -> dict[str, bytes]:
    manifest = b"file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    files = {
        "appendonlydir/appendonly.aof.1.base.rdb": b"VALKEY080\xff" + bytes(8),
        "appendonlydir/appendonly.aof.1.incr.aof": SET,
        "appendonlydir/appendonly.aof.manifest": manifest,
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return files


def test_the_option_cuts_a_foreign_base_to_nothing_and_check_warns(tmp_path: Path) -> None:
    files = foreign_base(tmp_path)
    report = aofdoctor("check", tmp_path, "--server", "redis-8.10", "--json").json
    finding = next(f for f in report["findings"] if f["code"] == "corrupt-tail-option")
    assert (
        finding["severity"] == "warning" and "to 0 bytes" in finding["message"] and "nearly empty" in finding["message"]
    )
    verdict = judge(tmp_path, 4096)
    assert (verdict["outcome"], verdict["part"], verdict["offset"]) == ("refuses", "appendonly.aof.1.base.rdb", 0)
    assert "cut at 0" in verdict["reason"]
    started, sizes = load(files, 4096)
    assert not started and sizes["appendonly.aof.1.base.rdb"] == 0


@pytest.mark.parametrize(
    ("data", "severity"), [(SET + GARBAGE + SET, "warning"), (RDB + GARBAGE, "warning"), (SET, "")]
)
def test_check_warns_wherever_a_log_would_suggest_the_option(data: bytes, severity: str, tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    path.write_bytes(data)
    report = aofdoctor("check", path, "--server", "redis-8.10", "--json").json
    found = [f["severity"] for f in report["findings"] if f["code"] == "corrupt-tail-option"]
    assert found == ([severity] if severity else [])
