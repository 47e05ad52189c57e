"""Bare LFs that had become CRLFs: each value is restored exactly, or its record is left out; none is shortened."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aofdoctor.aof.recovery.bare_line_feeds import BARE_LINE_FEEDS, parse_changed_record
from aofdoctor.resp import encode_command
from tests.conftest import aofdoctor

VALUES = st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"{", b"}", b"  x: 1,", b"\xff"]), max_size=8).map(b"".join)


def change(data: bytes) -> bytes:
    """Change each bare LF to CRLF, as an editor does."""
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def salvage(data: bytes) -> tuple[bytes, str]:
    """Return (the bytes after a salvage, what was printed)."""
    with TemporaryDirectory() as folder:
        path, out = Path(folder, "a.aof"), Path(folder, "out")
        path.write_bytes(data)
        result = aofdoctor("repair", path, "--salvage", "-o", out)
        return (out.read_bytes() if out.exists() else data), result.out


def is_mixed(value: bytes) -> bool:
    return 0 < value.count(b"\r\n") < value.count(b"\n")


@settings(max_examples=60)
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_a_value_is_restored_exactly_or_left_out(values: list[bytes]) -> None:
    records = [encode_command([b"SET", b"k%d" % i, value]) for i, value in enumerate(values)]
    end = encode_command([b"SET", b"end", b"1"])
    restored, _ = salvage(change(b"".join(records)) + end)
    assert restored.endswith(end)
    rest = restored.removesuffix(end)
    for record, value in zip(records, values, strict=True):
        if rest.startswith(record):
            rest = rest.removeprefix(record)
        else:
            assert is_mixed(value)
    assert rest == b""


@settings(max_examples=200)
@given(st.lists(VALUES, min_size=1, max_size=5))
def test_a_record_of_unmixed_values_is_restored(values: list[bytes]) -> None:
    assume(not any(is_mixed(value) for value in values))
    record = encode_command([b"RPUSH", b"k", *values])
    changed = change(record)
    parsed = parse_changed_record(changed, is_end_of_file=True)
    assert parsed is not None and parsed.is_provable and parsed.source_size == len(changed)
    assert BARE_LINE_FEEDS.undo(changed) == record
    for offset in range(len(record)):
        at = BARE_LINE_FEEDS.source_offset(changed, offset)
        assert at <= len(changed) and (changed[at : at + 1] in (record[offset : offset + 1], b"\r"))


def test_a_value_of_which_only_some_line_feeds_were_bare_is_not_shortened() -> None:
    whole = encode_command([b"SET", b"a", b"1"])
    data = whole + change(encode_command([b"SET", b"doc", b"one\ntwo\r\nthree\n"])) + whole
    restored, out = salvage(data)
    assert restored == whole * 2 and "do not prove" in out


def test_one_record_alone_is_a_guess_and_two_are_proven() -> None:
    whole = encode_command([b"SET", b"a", b"1"])
    record = encode_command([b"SET", b"doc", b"{\n1\n}"])
    for count, is_guess in ((1, True), (2, False)):
        restored, out = salvage(change(record * count) + whole)
        assert restored == record * count + whole and ("a guess" in out) == is_guess


def test_a_file_with_a_bare_line_feed_before_the_damage_was_not_changed_so() -> None:
    whole = encode_command([b"SET", b"a", b"x\ny"])
    restored, out = salvage(whole + change(encode_command([b"SET", b"doc", b"{\n1\n}"])) + whole)
    assert "bare LF" not in out and restored.startswith(whole) and restored.endswith(whole)


def test_hostile_claims_of_long_values_cost_linear_time() -> None:
    data = encode_command([b"SET", b"a", b"1"]) + b"*2\r\n$3\r\nGET\r\n$900000\r\n" + b"$1\r\n" * 300_000
    restored, _ = salvage(data)
    assert restored.startswith(encode_command([b"SET", b"a", b"1"]))


def test_a_whole_record_before_damage_is_kept_if_only_its_lengths_explain_all_arguments() -> None:
    record = encode_command([b"RPUSH", b"k", b"*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n", b"\r\n", b""])
    whole = encode_command([b"SET", b"a", b"1"])
    damaged = encode_command([b"HSET", b"h", b"f", b"123"]).replace(b"$1\r\nh\r\n", b"$1\r\xfbX\xb9m\r\n")
    restored, _ = salvage(whole + record + damaged + whole)
    assert restored == whole + record + whole
