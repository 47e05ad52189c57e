"""A dump is judged by the rules of dumps, and files that are no AOF and no RDB are refused by name."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox
from tests.conftest import aofdoctor
from tests.support.rdb_files import make_rdb, string_key
from tests.support.servers import servers_by_line

RDB = make_rdb(string_key(b"a", b"1"), magic=b"REDIS0009")
SET = encode_command([b"SET", b"a", b"1"])
DUMPS = {
    "sound": RDB, "empty": b"", "nul": bytes(3000), "magic-cut": RDB[:5], "magic": RDB[:9], "torn": RDB[:-3],
    "bytes-behind": RDB + b"0123456789" * 4, "command-behind": RDB + SET, "two": RDB + RDB,
    "version-1": b"REDIS0001\xfe\x00" + string_key(b"a", b"1") + b"\xff",
}  # fmt: skip


@pytest.mark.parametrize("name", DUMPS)
def test_the_verdict_on_a_dump_is_what_servers_do(name: str, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(DUMPS[name])
    for line, binary in servers_by_line().items():
        report = aofdoctor("check", tmp_path / "dump.rdb", "--server", line, "--json").json
        verdict = next(v["outcome"] for v in report["verdicts"] if v["server"] == line)

        def prepare(folder: Path) -> None:
            (folder / "dump.rdb").write_bytes(DUMPS[name])

        try:
            with Sandbox(binary, ["--appendonly", "no"], prepare, hide=(), timeout=20) as server:
                loads = server.call("DBSIZE") == 1
        except Exception:
            loads = False
        assert (verdict == "loads") == loads, line


def _tar(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("appendonly.aof")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


FOREIGN = {
    "gzip file": gzip.compress(SET * 100),
    "tar archive": _tar(SET * 100),
    "JSON file": json.dumps({"key": "value", "list": [1, 2, 3]}).encode(),
    "configuration file": b"# Redis configuration file example.\n#\n# Note on units\n\nbind 127.0.0.1\nport 6379\n",
    "text file": b"# Notes\n\nThe server was restarted at noon, and the AOF was too large.\n",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    for file in ("a.bin", "appendonly.aof"):
        (tmp_path / file).write_bytes(FOREIGN[name])
        for verb in ("check", "repair"):
            result = aofdoctor(verb, tmp_path / file)
            assert result.status == 3 and name in result.err and "Hint:" in result.err


def test_annotations_of_a_server_make_an_aof(tmp_path: Path) -> None:
    for head in (b"#TS:1795334311\r\n", b"#anything\r\n#TS:1795334311\r\n"):
        (tmp_path / "a.aof").write_bytes(head + SET)
        assert aofdoctor("check", tmp_path / "a.aof", "--server", "redis-7.0").status == 0
