"""The bulk encoder exports the same bytes and losses as the key-by-key export, for any RDB and any window."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.rdb.bulk._encoder import BulkEncoder, double_to_text, text_to_double
from aofdoctor.rdb.bulk.encoder import NullBulkEncoder
from aofdoctor.rdb.bulk.powers_of_ten import EXPONENT_MAX, EXPONENT_MIN, power_of_ten, powers_of_ten
from aofdoctor.rdb.conversion import ConversionReport
from aofdoctor.rdb.encoding.cursor import DecodeError
from aofdoctor.rdb.export import resp_exporter
from aofdoctor.rdb.export.exporter import CommandExporter, export_commands
from aofdoctor.rdb.export.resp import encode_commands
from aofdoctor.rdb.export.resp_exporter import RespExporter
from aofdoctor.rdb.items import KeyItem
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.rdb.values.decoders import score_text
from aofdoctor.server.expiry_arguments import shift_expiry
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import BytesSource, FileSource, pread
from tests.conftest import FIXTURES
from tests.support import rdb_value_writer as w
from tests.support.corpus import ROOT, needs_corpus
from tests.support.hostile_bytes import HOSTILE_RDB_BODIES, mutate
from tests.support.rdb_generated import VALUES, encode_string, random_key, random_rdb
from tests.support.rdb_unreleased import UNRELEASED, UnreleasedRdb, with_checksum

ExportResult = tuple[bytes, list[Any], ConversionReport]
WINDOWS = (1 << 18, 1, 7, 100, 1000, 5000)
RDB_PATHS = sorted([*(FIXTURES / "rdb").glob("*.rdb"), *(FIXTURES / "aof").rglob("*.base.rdb")])


def join_pieces(pieces: Iterable[Any], tally: ConversionReport) -> ExportResult:
    """Return all exported bytes, the items without commands, and the report."""
    out: list[bytes] = []
    rest: list[Any] = []
    try:
        for piece in pieces:
            (out if isinstance(piece, bytes) else rest).append(piece)
    except DecodeError as problem:
        rest.append((problem.offset, problem.note))
    return b"".join(out), rest, tally


def export_key_by_key(data: bytes, line: str, shift_ms: int = 0) -> ExportResult:
    tally = ConversionReport()
    exported = export_commands(BytesSource(data), VERSIONS[line].capabilities, tally)
    return join_pieces(
        encode_commands(shift_expiry(one, shift_ms) if isinstance(one, list) else one for one in exported), tally
    )


def export_in_bulk(data: bytes, line: str, shift_ms: int = 0, window: int = 1 << 18) -> ExportResult:
    tally = ConversionReport()
    source = BytesSource(data)
    return join_pieces(
        RespExporter(
            source, VERSIONS[line].capabilities, tally, shift_ms, lambda one: shift_expiry(one, shift_ms), window
        ),
        tally,
    )


def assert_same_export(
    data: bytes, line: str = "redis-7.4", shift_ms: int = 0, windows: Iterable[int] = WINDOWS
) -> None:
    expected = export_key_by_key(data, line, shift_ms)
    for window in windows:
        assert expected == export_in_bulk(data, line, shift_ms, window), window


# -- RDBs of real servers --


@pytest.mark.parametrize("path", RDB_PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("line", ["redis-2.8", "redis-7.4"])
@pytest.mark.parametrize("shift_ms", [0, 86_400_000, -(1 << 62)])
def test_a_file_of_a_real_server(path: Path, line: str, shift_ms: int) -> None:
    data = path.read_bytes()
    assert_same_export(data, line, shift_ms, WINDOWS if len(data) < 20_000 else WINDOWS[:1] + WINDOWS[-2:])


@needs_corpus
def test_every_rdb_of_the_corpus_damaged_ones_too() -> None:
    assert ROOT is not None
    seen = set()
    for path in sorted(ROOT.rglob("*")):
        if not path.is_file() or path.stat().st_size > 4_000_000 or not is_rdb(source := FileSource(path)):
            continue
        data = pread(source, source.size, 0)
        if data not in seen:
            seen.add(data)
            assert_same_export(data, windows=(1 << 18, 4096))
    assert len(seen) > 50


# -- generated RDBs --


@pytest.mark.parametrize("kind", [*VALUES])
def test_every_type_with_element_counts_around_the_chunk_size(kind: int) -> None:
    random = Random(kind)
    body = b"".join(
        random_key(random, count, kind, count)
        for count in [*range(12), *range(30, 35), *range(62, 67), *range(126, 131)]
    )
    assert_same_export(with_checksum(UnreleasedRdb(b"REDIS0011", body, [])), windows=(1 << 18, 100, 5000))


@pytest.mark.parametrize("seed", range(6))
def test_many_keys_of_all_kinds(seed: int) -> None:
    assert_same_export(random_rdb(seed, 150), shift_ms=(0, -(1 << 41))[seed % 2], windows=(1 << 18, 5000, 31))


@pytest.mark.parametrize("seed", range(4))
def test_mutated_rdbs(seed: int) -> None:
    for data in mutate(random_rdb(seed, 12), 150, seed):
        assert_same_export(data, windows=(1 << 18, 500))


@pytest.mark.parametrize("magic", [b"REDIS0011", b"VALKEY080"])
def test_hostile_and_unreleased_rdbs(magic: bytes) -> None:
    for body in HOSTILE_RDB_BODIES.values():
        assert_same_export(magic + body)
    for one in UNRELEASED.values():
        assert_same_export(with_checksum(one))


def test_every_prefix() -> None:
    data = random_rdb(9, 14)
    for end in range(0, len(data), 1 + len(data) // 300):
        assert_same_export(data[:end], windows=(1 << 18, 64))


def test_large_strings_and_outputs_that_do_not_fit() -> None:
    sizes = ((1 << 17) - 1, 1 << 17, (1 << 20) - 100, 1 << 20, 3 << 20)
    plain = b"".join(b"\x00" + w.string(b"k%d" % size) + w.string(b"x" * size) for size in sizes)
    listed = b"\x01" + w.string(b"l") + w.length(30) + w.string(b"y" * 100_000) * 30
    packed = b"".join(b"\x00" + w.string(b"p%d" % n) + w.lzf_string(w.lzf(b"z" * 130_000), 130_000) for n in range(40))
    assert_same_export(
        with_checksum(UnreleasedRdb(b"REDIS0011", plain + listed + packed, [])), windows=(1 << 18, 1 << 16)
    )


def count_bulk_keys(data: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """Count the keys of an RDB that the bulk encoder exports itself."""
    slow_keys = []
    whole = CommandExporter.export

    def item(self: Any, one: Any) -> Iterator[Any]:
        slow_keys.extend([one] if isinstance(one, KeyItem) else [])
        return whole(self, one)

    monkeypatch.setattr(CommandExporter, "export", item)
    _, _, tally = export_in_bulk(data, "redis-7.4")
    monkeypatch.undo()
    return sum(tally.keys.values()) - len(slow_keys)


@pytest.mark.parametrize("kind", [*VALUES])
def test_common_keys_are_exported_in_bulk(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vars(resp_exporter)["BulkEncoder"] is BulkEncoder
    random = Random(kind)
    body = b"".join(
        bytes((kind,)) + encode_string(random, b"k%d" % n) + VALUES[kind](random, 1 + n % 4) for n in range(100)
    )
    data = with_checksum(UnreleasedRdb(b"REDIS0011", body, []))
    assert count_bulk_keys(data, monkeypatch) >= (
        60 if kind in (12, 17) else 100
    )  # Some scores need more than 128 bits.


def test_the_fallback_exports_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp_exporter, "BulkEncoder", NullBulkEncoder)
    data = random_rdb(3, 60)
    assert_same_export(data, windows=(1 << 18, 100))
    assert count_bulk_keys(data, monkeypatch) == 0


# -- scores --


def test_the_powers_of_ten_are_right() -> None:
    for k in range(EXPONENT_MIN, EXPONENT_MAX + 1):
        high, low = struct.unpack_from("=QQ", powers_of_ten(), 16 * (k - EXPONENT_MIN))
        first = high << 64 | low
        assert first == power_of_ten(k) and first.bit_length() == 128
        # In integers: first - 1 < 10^k / 2^shift <= first.
        shift = (10**k).bit_length() - 128 if k >= 0 else -(10**-k).bit_length() - 127
        over, under = (10**k, 1) if k >= 0 else (1, 10**-k)
        over, under = (over, under << shift) if shift >= 0 else (over << -shift, under)
        assert (first - 1) * under < over <= first * under


doubles = st.one_of(
    st.floats(allow_nan=False),
    st.integers(-(1 << 63), 1 << 63).map(float),
    st.tuples(st.integers(-(10**17), 10**17), st.integers(-25, 25)).map(lambda pair: float(f"{pair[0]}e{pair[1]}")),
    st.integers(-1074, 1023).map(lambda k: 2.0**k),
    st.integers(0, (1 << 63) - (1 << 52) - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]),
)


@given(doubles)
def test_a_score_is_the_shortest_text_that_reads_back(score: float) -> None:
    text = double_to_text(powers_of_ten(), score)
    assert text == score_text(score)
    back = text_to_double(powers_of_ten(), text)
    assert back is None or (repr(back) == repr(score))


def test_scores_at_every_edge() -> None:
    random = Random(3)
    decided = 0
    for k in range(-1074, 1024):
        for bits in (0, 1, 2, (1 << 52) - 1, random.getrandbits(52)):
            value = struct.unpack("<d", struct.pack("<Q", max(0, k + 1023) << 52 | bits))[0]
            text = double_to_text(powers_of_ten(), value)
            assert text == score_text(value)
            back = text_to_double(powers_of_ten(), text)
            assert back is None or back == value
            decided += back is not None
    assert decided > 8000


@given(st.from_regex(rb"-?(\d{1,18}|\d{0,9}\.\d{1,9}|\d\.\d{16})(e[-+]?\d{1,3})?", fullmatch=True))
def test_a_text_is_read_as_python_reads_it(text: bytes) -> None:
    back = text_to_double(powers_of_ten(), text)
    assert back is None or repr(back) == repr(float(text))


@pytest.mark.parametrize(
    "text",
    [b"", b"-", b".", b"1e", b"1e+", b"e5", b"1.2.3", b"0x10", b" 1", b"1 ", b"1_0", b"nan", b"infinity", b"1" * 20],
)
def test_undecided_scores_are_left_to_the_fallback(text: bytes) -> None:
    assert text_to_double(powers_of_ten(), text) is None
