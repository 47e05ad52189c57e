"""Options, DUMP payloads and hash slots are judged as the real servers judge them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.server.arguments.dump_payload import payload_rejection, read_payload
from aofdoctor.server.arguments.hash_slots import key_slot, spans_slots
from aofdoctor.server.arguments.option_words import FIRST_OPTION, unknown_option
from aofdoctor.server.resp_client import ReplyError
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.server.versions import VERSIONS
from tests.support.servers import servers_by_line

LINES = sorted(servers_by_line())
SET_OPTIONS = ["", "NX", "xx", "EX 10", "px 100", "EXAT 4102444800", "PXAT 4102444800000", "KEEPTTL", "GET", "XX EX 5",
               "IFEQ v", "IFNE w", "IFDEQ 0123456789abcdef", "POINT 33 -112", "STRING x", "EX", "EX ten", "NX junk", "PXAT"]  # fmt: skip
EXPIRE_OPTIONS = ["", "NX", "XX", "gt", "LT", "junk"]


def is_accepted(server: Sandbox, words: list[str]) -> bool:
    try:
        server.call(*words)
    except ReplyError as problem:
        return not any(word in str(problem).lower() for word in ("syntax", "unsupported option", "not an integer"))
    return True


@pytest.mark.parametrize("line", [line for line in LINES if VERSIONS[line].reads_manifest])
def test_options_are_known_exactly_to_the_versions_that_accept_them(line: str) -> None:
    commands = [["SET", "k", "v", *options.split()] for options in SET_OPTIONS]
    commands += [["EXPIRE", "k", "100", *options.split()] for options in EXPIRE_OPTIONS]
    with Sandbox(servers_by_line()[line]) as server:
        server.call("SET", "k", "v")
        for words in commands:
            expected = is_accepted(server, words)
            argv = [word.encode() for word in words]
            assert (unknown_option(VERSIONS[line], words[0].lower(), argv) == "") == expected, (line, words)


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_any_options_are_judged_without_an_error(options: list[bytes]) -> None:
    argv = [b"SET", b"k", b"v", *options]
    assert isinstance(unknown_option(VERSIONS["redis-7.0"], "set", argv), str)
    assert len(argv) > FIRST_OPTION or not unknown_option(VERSIONS["redis-7.0"], "set", argv)


def dump(server: Sandbox, *words: str) -> bytes:
    server.call(*words)
    payload = server.call("DUMP", words[1])
    assert isinstance(payload, bytes)
    return payload


def with_footer(body: bytes, version: int) -> bytes:
    data = body + version.to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")


def restores(server: Sandbox, payload: bytes) -> bool:
    try:
        server.call("RESTORE", "k", 0, payload, "REPLACE")
    except ReplyError:
        return False
    return True


@pytest.fixture(scope="module")
def payloads() -> dict[str, bytes]:
    found = {}
    for line, binary in servers_by_line().items():
        with Sandbox(binary) as server:
            found[f"string of {line}"] = payload = dump(server, "SET", "s", "text")
            found[f"zset of {line}"] = dump(server, "ZADD", "z", "1", "a", "2.5", "b")
            found[f"stream of {line}"] = dump(server, "XADD", "x", "1-1", "f", "v")
    body = payload[:-10]
    found |= {f"RDB version {n}": with_footer(body, n) for n in (6, 9, 10, 11, 12, 13, 20, 79, 80, 81, 99)}
    found |= {
        "a wrong checksum": payload[:-1] + bytes([payload[-1] ^ 1]), "a checksum of 0": payload[:-8] + bytes(8),
        "too short": b"\0\1a", "empty": b"", "only a footer": with_footer(b"", 6),
    }  # fmt: skip
    return found


@pytest.mark.parametrize("line", LINES)
def test_a_payload_is_rejected_exactly_by_the_versions_that_refuse_it(line: str, payloads: dict[str, bytes]) -> None:
    with Sandbox(servers_by_line()[line]) as server:
        for name, payload in payloads.items():
            expected = restores(server, payload)
            reason = payload_rejection(VERSIONS[line], read_payload(iter([payload]), len(payload)))
            assert (reason == "") == expected, (line, name, reason)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=3))
def test_a_payload_reads_the_same_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert read_payload(iter(pieces), len(data)) == read_payload(iter([data]), len(data))


def test_hash_slots_are_those_of_a_cluster() -> None:
    keys = [b"", b"foo", b"{user1000}.following", b"foo{}{bar}", b"foo{{bar}}zap", b"foo{bar}{zap}", b"a{b", b"}{a}"]
    binary: ServerBinary = servers_by_line()[LINES[0]]
    with Sandbox(binary, ["--cluster-enabled", "yes"], hide=()) as server:
        assert [key_slot(key) for key in keys] == [server.call("CLUSTER", "KEYSLOT", key) for key in keys]
    assert spans_slots([b"a", b"b"]) and not spans_slots([b"{t}a", b"{t}b"]) and not spans_slots([])
