"""Each kind of damage is reported with its kind, its position and its end."""

import tracemalloc

import pytest

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource
from aofdoctor.span import Span
from tests.support.hostile_bytes import COMMAND_IDS

A = encode_command([b"SET", b"a", b"1"])
B = encode_command([b"SET", b"b", b"2"])
TS = b"#TS:1700000000\r\n"

CASES = [
    # The bytes between A and B, or after A; the expected kind; whether B is found again.
    (B[:-1], b"", DamageKind.TORN),
    (B[:9], b"", DamageKind.TORN),
    (b"*", b"", DamageKind.TORN),
    (b"\0" * 100, b"", DamageKind.NUL_TAIL),
    (b"\0", b"", DamageKind.NUL_TAIL),
    (b"\0" * 100, B, DamageKind.NUL_HOLE),
    (b"some text\n", B, DamageKind.GARBAGE),
    (b"\r\n", B, DamageKind.GARBAGE),
    (b"*3junk\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\ny\r\n", B, DamageKind.BAD_HEADER),
    (b"*3\r\n$3x\r\nSET\r\n", B, DamageKind.BAD_HEADER),
    (b"*3\r\n$3\r\nSET\r\n$99999999\r\nx\r\n$1\r\ny\r\n", B * 9, DamageKind.BAD_LENGTH),
    (b"*3\r\n$3\r\nSET\r\n$18446744073709551615\r\nx\r\n", B, DamageKind.BAD_LENGTH),
    (b"*1\r\n$4\r\nPINGxx", B, DamageKind.MISSING_CRLF),
    (b"*1\n$4\nPING\n", B, DamageKind.LINE_ENDS),
    (b"*1\r\n$4\r\nPING\n", B, DamageKind.LINE_ENDS),
    (b"*0\r\n", B, DamageKind.ZERO_ARGC),
    (b"*1\r\n$-1\r\n", B, DamageKind.NEGATIVE_LENGTH),
    (b"*-1\r\n", B, DamageKind.NEGATIVE_LENGTH),
    (b"#TS:17000", b"", DamageKind.UNTERMINATED_ANNOTATION),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "after", "kind"), CASES, ids=[f"{kind}-{i}" for i, (_, _, kind) in enumerate(CASES)])
def test_each_kind_is_reported_up_to_the_next_record(bad: bytes, after: bytes, kind: DamageKind) -> None:
    tiles = list(read_tiles(BytesSource(A + bad + after), COMMAND_IDS))
    damages = [tile for tile in tiles if isinstance(tile, Damage)]
    assert [(d.span, d.kind, d.end_is_guess) for d in damages] == [(Span(len(A), len(A + bad)), kind, bool(after))]


@pytest.mark.parametrize("bad", [b"\xef\xbb\xbf", b"2026-11-22 05:58:31 log line\n", b"SET a 1\r\n"])
def test_bytes_before_the_first_record_are_leading_garbage(bad: bytes) -> None:
    first = next(read_tiles(BytesSource(bad + A), COMMAND_IDS))
    assert isinstance(first, Damage)
    assert (first.kind, first.span) == (DamageKind.LEADING_GARBAGE, Span(0, len(bad)))


def test_a_timestamp_right_before_the_next_record_is_not_part_of_the_damage() -> None:
    spans = [tile.span for tile in read_tiles(BytesSource(A + b"???" + TS + B), COMMAND_IDS)]
    assert spans == [Span(0, 27), Span(27, 30), Span(30, 30 + len(TS + B))]


def test_after_damage_an_unknown_name_is_accepted_only_before_another_command() -> None:
    unknown = encode_command([b"NOSUCH", b"x"])
    for rest in (unknown + B, unknown + unknown, unknown + TS + B):
        spans = [tile.span for tile in read_tiles(BytesSource(A + b"???" + rest), COMMAND_IDS)]
        assert spans[1] == Span(27, 30), rest
    for rest in (unknown, unknown + TS, unknown + b"???"):
        spans = [tile.span for tile in read_tiles(BytesSource(A + b"???" + rest), COMMAND_IDS)]
        assert spans[1:] == [Span(27, 30 + len(rest))], rest


def test_records_inside_a_torn_value_are_not_commands() -> None:
    value = (A + B) * 3
    torn = encode_command([b"SET", b"k", value + b"tail"])[:-8]
    tiles = [(type(tile), tile.span.end) for tile in read_tiles(BytesSource(A + torn), COMMAND_IDS)]
    assert tiles == [(RecordBatch, 27), (Damage, 27 + len(torn))]


@pytest.mark.parametrize("cut", range(27))
def test_a_value_that_is_a_record_and_torn_anywhere_is_not_a_command(cut: int) -> None:
    torn = encode_command([b"SET", b"k", B])
    torn = torn[: len(torn) - cut - 1]
    tiles = [(type(tile), tile.span.end) for tile in read_tiles(BytesSource(A + torn), COMMAND_IDS)]
    assert tiles == [(RecordBatch, 27), (Damage, 27 + len(torn))]


@pytest.mark.parametrize("prefix", [b"", b"x", b"text\r\nx", b"\0" * 100])
@pytest.mark.parametrize("value", [B, B + B, B.removesuffix(b"\r\n"), B + b"x"])
def test_records_in_a_value_are_not_commands_if_a_whole_header_shows_it(prefix: bytes, value: bytes) -> None:
    bad = encode_command([b"SET", b"k", prefix + value]).replace(b"$1\r\nk", b"$1\r\n?k")
    tiles = [(type(tile), tile.span.end) for tile in read_tiles(BytesSource(A + bad + A), COMMAND_IDS)]
    assert tiles == [(RecordBatch, 27), (Damage, 27 + len(bad)), (RecordBatch, 54 + len(bad))]


def test_records_on_a_line_of_their_own_in_a_value_are_not_commands_if_the_value_goes_on() -> None:
    bad = encode_command([b"SET", b"k", b"text\r\n" + B + b"more"]).replace(b"$1\r\nk", b"$1\r\n?k")
    tiles = [(type(tile), tile.span.end) for tile in read_tiles(BytesSource(A + bad + A), COMMAND_IDS)]
    assert tiles == [(RecordBatch, 27), (Damage, 27 + len(bad)), (RecordBatch, 54 + len(bad))]


def test_headers_of_many_lengths_before_a_record_cost_linear_time() -> None:
    bad = b"*9\r\n" + b"".join(b"$%d\r\n" % (1000 + i) for i in range(20_000))
    data = A + bad + b"?" + B * 20_000
    assert sum(tile.span.size for tile in read_tiles(BytesSource(data), COMMAND_IDS)) == len(data)


def test_repeated_damage_is_found_each_time() -> None:
    data = A + b"x" + B + b"y" + A + b"\0" * 64
    kinds = [tile.kind for tile in read_tiles(BytesSource(data), COMMAND_IDS) if isinstance(tile, Damage)]
    assert kinds == [DamageKind.GARBAGE, DamageKind.GARBAGE, DamageKind.NUL_TAIL]


def test_a_hostile_search_ends_in_time() -> None:
    # Every header begins a chain of arguments that fails only at the end of the file.
    link = b"*99999\r\n$3\r\nSET\r\n$20\r\n"
    data = b"?" + link * 40_000
    assert sum(tile.span.size for tile in read_tiles(BytesSource(data), COMMAND_IDS)) == len(data)


def test_a_wrong_length_allocates_no_memory() -> None:
    tracemalloc.start()
    list(read_tiles(BytesSource(b"*2000000000\r\n$3\r\nSET\r\n$536870912\r\nx"), COMMAND_IDS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
