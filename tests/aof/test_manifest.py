"""Manifests are parsed as the server parses them: the same lines are accepted and the same lines are refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.aof.manifest import encode_name, parse_manifest, split_args
from aofdoctor.errors import SandboxError
from aofdoctor.server.sandbox import Sandbox, ServerBinary

GOOD = b"file a.aof.1.base.aof seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n"

CASES = {
    "as written": GOOD,
    "any case, any order": b"SEQ 1 TYPE b FILE a.aof.1.base.aof\nfile a.aof.1.incr.aof seq 1 type i\n",
    "unknown pairs": GOOD.replace(b"type i", b"type i startoffset 25"),
    "a comment": b"# by hand\n" + GOOD,
    "CRLF": GOOD.replace(b"\n", b"\r\n"),
    "quoted": GOOD.replace(b"a.aof.1.incr.aof", b'"a.aof.1.inc\\x72.aof"'),
    "single quotes": GOOD.replace(b"a.aof.1.incr.aof", b"'a.aof.1.incr.aof'"),
    "junk after seq": GOOD.replace(b"seq 1 type i", b"seq 1abc type i"),
    "a long type": GOOD.replace(b"type i", b"type incr"),
    "leading blanks": b"   " + GOOD,
    "the last of duplicate keys": GOOD.replace(b"seq 1 type i", b"seq 9 seq 1 type i"),
    "history": GOOD + b"file gone.aof seq 1 type h\n",
    "only the incr": GOOD.partition(b"\n")[2],
    "no line end": GOOD[:-1],
    "a blank line": GOOD.replace(b"\n", b"\n\n", 1),
    "empty": b"",
    "NULs": bytes(88),
    "NUL tail": GOOD + bytes(8),
    "two bases": GOOD + b"file a.aof.1.base.aof seq 2 type b\n",
    "seq that does not grow": GOOD + b"file a.aof.1.incr.aof seq 1 type i\n",
    "seq 0": GOOD.replace(b"seq 1 type i", b"seq 0 type i"),
    "a path": GOOD.replace(b"a.aof.1.incr.aof", b"./a.aof.1.incr.aof"),
    "a bad type": GOOD.replace(b"type i", b"type x"),
    "an odd word": GOOD.replace(b"type i", b"type i odd"),
    "unbalanced quotes": GOOD.replace(b"a.aof.1.incr.aof", b'"a.aof.1.incr.aof'),
    "no seq": b"file a.aof.1.base.aof type b x y\n",
    "a line of 1,024 bytes": b"file a.aof.1.base.aof seq 1 type b x " + b"y" * 986 + b"\n",
    "a line of 1,025 bytes": b"file a.aof.1.base.aof seq 1 type b x " + b"y" * 987 + b"\n",
    "text after a quote": GOOD.replace(b"a.aof.1.incr.aof", b'"a.aof.1.incr.aof"x'),
}


def server_takes(binary: ServerBinary, manifest: bytes) -> bool:
    def prepare(folder: Path) -> None:
        (folder / "appendonlydir").mkdir()
        for name in ("a.aof.1.base.aof", "a.aof.1.incr.aof"):
            (folder / "appendonlydir" / name).write_bytes(b"*1\r\n$4\r\nPING\r\n")
        (folder / "appendonlydir" / "a.aof.manifest").write_bytes(manifest)

    try:
        with Sandbox(binary, ["--appendonly", "yes", "--appendfilename", "a.aof"], prepare):
            return True
    except SandboxError:
        return False


@pytest.mark.parametrize("name", CASES)
def test_a_manifest_is_judged_as_a_real_server_judges_it(name: str, embedded: ServerBinary) -> None:
    assert (parse_manifest(CASES[name]).problems == []) == server_takes(embedded, CASES[name])


def test_every_line_is_judged_not_only_the_first_bad_one() -> None:
    manifest = parse_manifest(b"file a seq 1 type b\nnonsense\n\nfile b seq 1 type i\nfile c seq 1 type i\n")
    assert [problem.line for problem in manifest.problems] == [2, 3, 5]
    assert [entry.name for entry in manifest.entries] == [b"a", b"b"]


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(data: bytes) -> None:
    manifest = parse_manifest(data)
    assert manifest.entries or manifest.problems or all(line.startswith(b"#") for line in data.split(b"\n") if line)


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
def test_a_written_name_reads_back(name: bytes) -> None:
    assert split_args(encode_name(name)) == [name]
