"""Compressed RDB streams of Valkey: they read like the RDB inside, and every defect ends in a note."""

import json
import random
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from aofdoctor.rdb.compressed import frames
from aofdoctor.rdb.compressed import source as compressed_source
from aofdoctor.rdb.compressed.source import DecompressedSource, decompressed
from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.encoding.cursor import Cursor, LargeString
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.key_counts import KeyCounts
from aofdoctor.rdb.preamble import is_rdb, read_aux, walk_rdb
from aofdoctor.rdb.values.decoders import ValueRef, elements
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource, pread
from tests.conftest import FIXTURES, aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.conversions import convert, loaded_state
from tests.support.rdb_files import CODECS, compress_frame, compress_rdb, without_checksum
from tests.support.servers import servers_by_line

FILES = sorted((FIXTURES / "rdb").glob("*.rdb"))
NEWEST = max((path for path in FILES if path.read_bytes().startswith(b"VALKEY")), key=lambda path: path.stat().st_size)
codecs = pytest.mark.parametrize("codec", CODECS)


def incompressible_rdb(keys: int = 3000, size: int = 100) -> bytes:
    """Return an RDB of strings that do not compress well."""
    numbers = random.Random(keys)
    body = b"".join(b"\0" + w.string(b"key:%d" % i) + w.string(numbers.randbytes(size)) for i in range(keys))
    return b"VALKEY080\xfe\0" + body + b"\xff" + bytes(8)


def key_counts(data: bytes) -> tuple[Any, Any]:
    """Return the number of keys and their types that check reports."""
    found = KeyCounts(0)
    walk_rdb(BytesSource(data), found)
    return found.dbs, found.types("redis")


def log(path: Path) -> list[Any]:
    """Return the keys of a base as log prints them, without the name of the part."""
    return [json.loads(line) | {"part": ""} for line in aofdoctor("log", path, "--base", "--json").stdout.splitlines()]


@codecs
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_compressed_rdb_has_the_counts_and_the_end_of_the_original(path: Path, codec: str) -> None:
    data = path.read_bytes()
    stream = compress_rdb(data, codec)
    found, alone = walk_rdb(BytesSource(stream + b"*1\r\n")), walk_rdb(BytesSource(data))
    assert (found.codec, found.complete, found.end) == (codec, True, len(stream))
    assert (found.magic, found.version, found.key_count, found.aux) == (
        alone.magic,
        alone.version,
        alone.key_count,
        alone.aux,
    )
    assert (
        found.checksum == "ok"
        and walk_rdb(BytesSource(compress_rdb(data, codec, with_checksum=False))).checksum == "off"
    )
    assert key_counts(stream) == key_counts(data)
    assert is_rdb(BytesSource(stream)) and read_aux(BytesSource(stream)) == read_aux(BytesSource(data))


@codecs
def test_the_bytes_can_be_read_at_any_offset_in_any_order(codec: str) -> None:
    data = incompressible_rdb(40_000)
    source = decompressed(BytesSource(compress_rdb(data, codec)))
    assert isinstance(source, DecompressedSource) and len(data) > 2 * compressed_source._KEPT_BYTES
    expected, numbers = without_checksum(data), random.Random(1)
    for _ in range(60):
        at = numbers.randrange(len(data) + 10)
        size = numbers.choice([1, 20, 5000, 1 << 20])
        assert pread(source, size, at) == expected[at : at + size]
    assert source.drain().bytes_out == source.size == len(data)
    assert pread(source, 10, len(data)) == b""


@pytest.mark.parametrize("options", [
    {"block_size": size, "block_linked": linked, "compression_level": level}
    for size in (lz4.frame.BLOCKSIZE_MAX64KB, lz4.frame.BLOCKSIZE_MAX4MB) for linked in (True, False) for level in (-9, 0, 9)
])  # fmt: skip
def test_a_frame_can_use_any_option_of_the_codec(options: dict[str, Any]) -> None:
    data = incompressible_rdb(300, 30_000)
    for checked in (True, False):
        stream = compress_rdb(data, "LZ4", checked, **options)
        found = walk_rdb(BytesSource(stream + b"after it"))
        assert (found.complete, found.end, found.key_count) == (True, len(stream), 300)
        source = decompressed(BytesSource(stream))
        assert pread(source, len(data) + 1, 0) == without_checksum(data)


@codecs
def test_a_walk_with_looks_at_values_decompresses_only_a_few_times(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values are larger than the cache. A walk, a first look at the values and a second look each read forwards."""
    begun: list[frames.Frame] = []

    class Counted(frames.Frame):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            begun.append(self)

    monkeypatch.setattr(compressed_source, "Frame", Counted)
    size = compressed_source._KEPT_BYTES + 1000
    source = decompressed(BytesSource(compress_rdb(incompressible_rdb(20, size), codec)))
    cursor, looked = Cursor(source), 0
    for batch in ItemReader(source):
        for item in batch:
            if isinstance(item, KeyItem):
                for _ in range(2):
                    [value] = elements(cursor, ValueRef(item.value_offset, item.type))
                    assert isinstance(value, LargeString)
                    looked += len(value.read())
    assert looked == 2 * 20 * size
    assert len(begun) <= compressed_source._MAX_READERS


@codecs
def test_a_large_base_is_read_in_small_memory(codec: str) -> None:
    stream = compress_rdb(incompressible_rdb(400, 100_000), codec)
    source = BytesSource(stream)
    tracemalloc.start()
    found = walk_rdb(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.key_count == 400 and found.complete
    assert peak < 6 << 20


# -- verbs --


@codecs
def test_check_counts_its_keys_and_reports_no_server_that_reads_it(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(compress_rdb(NEWEST.read_bytes(), codec))
    alone = aofdoctor("check", NEWEST, "--json").json["parts"][0]["preamble"]
    preamble = aofdoctor("check", path, "--json").json["parts"][0]["preamble"]
    assert (preamble["compressed"], preamble["loads"], preamble["end"]) == (codec, [], path.stat().st_size)
    assert "compressed" not in alone and alone["loads"]
    for name in ("magic", "keys", "types", "functions", "complete"):
        assert preamble[name] == alone[name]
    assert f"compressed by {codec}" in aofdoctor("check", path).out


@codecs
def test_log_and_show_print_a_key_as_from_an_uncompressed_rdb(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(compress_rdb(NEWEST.read_bytes(), codec))
    keys = log(path)
    assert keys == log(NEWEST) and len(keys) > 2
    assert "compressed" in aofdoctor("log", path, "--base", "-n", "1").err
    for key in keys[:3] + keys[-3:]:
        expected = aofdoctor("show", NEWEST, str(key["offset"]), "--json").json
        assert aofdoctor("show", path, str(key["offset"]), "--json").json | {"part": ""} == expected | {"part": ""}
    shown, alone = (aofdoctor("show", one, str(keys[0]["offset"])).out.splitlines() for one in (path, NEWEST))
    assert "compressed" in shown[0] and shown[2:] == alone[1:]


@codecs
def test_converted_commands_and_uncompressed_rdb_load_to_the_same_state(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(compress_rdb(NEWEST.read_bytes(), codec))
    binary = servers_by_line()["valkey-9.1"]
    expected = loaded_state(binary, NEWEST)
    convert(path, "--base", "resp", "--for", "valkey-9.1", "-o", tmp_path / "commands.aof")
    convert(path, "--base", "rdb", "--rdb-version", "80", "-o", tmp_path / "plain.rdb")
    assert loaded_state(binary, tmp_path / "commands.aof") == expected == loaded_state(binary, tmp_path / "plain.rdb")


@codecs
def test_keys_and_counts_are_those_of_the_uncompressed_rdb(codec: str, tmp_path: Path) -> None:
    one, two = tmp_path / "plain.rdb", tmp_path / "packed.rdb"
    one.write_bytes(incompressible_rdb())
    two.write_bytes(compress_rdb(incompressible_rdb(), codec))
    assert aofdoctor("diff", one, two, "--by", "keys").status == 0
    (tmp_path / "none.rdb").write_bytes(compress_rdb(incompressible_rdb(0), codec))
    only = [line["key"] for line in aofdoctor("diff", two, tmp_path / "none.rdb", "--by", "keys", "--json").lines[1:]]
    assert only == [line["keys"][0] for line in log(one)] and len(only) == 3000
    bases = [aofdoctor("stats", path, "--json").json["base"] for path in (one, two)]
    for base in bases:
        for row in base["largest"]:
            del row["part"]
    assert bases[0] == bases[1] and bases[0]["largest"]


@codecs
def test_commands_after_the_frame_are_found(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    stream = compress_rdb(incompressible_rdb(50), codec)
    path.write_bytes(stream + encode_command([b"SET", b"later", b"1"]))
    commands = [line for line in log(path) if line["cmd"] != "(base)"]
    assert [(line["cmd"], line["offset"]) for line in commands] == [("SET", len(stream))]
    assert aofdoctor("check", path, "--json").json["parts"][0]["commands"] == 1
    convert(path, "--base", "resp", "-o", tmp_path / "out.aof")
    assert (tmp_path / "out.aof").read_bytes().endswith(encode_command([b"SET", b"later", b"1"]))


@codecs
def test_slice_and_salvage_refuse_it_with_a_hint(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "dump.rdb"
    path.write_bytes(compress_rdb(incompressible_rdb(50), codec))
    refused = aofdoctor("slice", path, "--key", "key:1")
    assert refused.status == 3 and "convert" in refused.err
    path.write_bytes(path.read_bytes()[:-100])
    refused = aofdoctor("repair", path, "--salvage")
    assert refused.status == 3 and "tail -c +8" in refused.err


# -- hostile streams --


@codecs
@pytest.mark.parametrize("tail", [b"", encode_command([b"SET", b"later", b"1"])], ids=["alone", "with commands"])
def test_a_torn_frame_gives_the_keys_before_the_tear(codec: str, tail: bytes, tmp_path: Path) -> None:
    """After the cut the file ends or other bytes follow: the keys before it are kept, and the RDB is not complete."""
    stream = compress_rdb(incompressible_rdb(30_000), codec)
    path = tmp_path / "dump.rdb"
    for cut in (9, 20, len(stream) // 2, len(stream) - 1):
        path.write_bytes(stream[:cut] + tail)
        found = walk_rdb(BytesSource(stream[:cut] + tail))
        assert not found.complete and codec in found.note
        result = aofdoctor("check", path, "--json")
        assert result.status == 1
        assert {"truncated-preamble", "corrupt-preamble"} & {d["kind"] for d in result.json["parts"][0]["damage"]}
    assert len(log(path)) > 29_000
    path.write_bytes(stream[: len(stream) // 2] + tail)
    assert 10_000 < sum(line["cmd"] == "(base)" for line in log(path)) < 20_000


@codecs
def test_a_changed_byte_at_any_offset_is_damage(codec: str) -> None:
    stream, numbers = compress_rdb(incompressible_rdb(2000), codec), random.Random(2)
    for _ in range(60):
        at = numbers.randrange(7, len(stream))
        changed = bytearray(stream)
        changed[at] ^= 1 << numbers.randrange(8)
        source = BytesSource(bytes(changed))
        found = walk_rdb(source)
        assert found.complete is False or not is_rdb(source) or at < 11, (at, found)
        assert found.note


@codecs
def test_any_bytes_behind_the_envelope_end_in_a_note(codec: str) -> None:
    numbers, stream = random.Random(3), compress_rdb(incompressible_rdb(300), codec)
    for _ in range(200):
        head = stream[: 11 + numbers.randrange(30)]
        found = walk_rdb(BytesSource(head + numbers.randbytes(numbers.randrange(300))))
        assert not found.complete and found.note


@codecs
def test_bytes_after_the_end_of_the_rdb_in_the_frame_are_damage(codec: str) -> None:
    inner = without_checksum(incompressible_rdb(10)) + b"more"
    found = walk_rdb(BytesSource(b"VCS\x01\x01\0\x01" + compress_frame(inner, codec) + b"*1\r\n"))
    assert not found.complete and "4 bytes follow" in found.note
    assert found.end_is_known and found.end == 7 + len(compress_frame(inner, codec))


@codecs
def test_an_unknown_type_is_no_damage_in_a_sound_frame(codec: str, tmp_path: Path) -> None:
    """This is the same for an uncompressed RDB, where the checksum finds the end."""
    data = incompressible_rdb(10)
    data = data[:-9] + b"\x17" + w.string(b"path hash") + bytes(100) + b"\xff"
    path = tmp_path / "dump.rdb"
    summaries = []
    for written in (data + crc64(data).to_bytes(8, "little"), compress_rdb(data + bytes(8), codec)):
        path.write_bytes(written)
        rdb = aofdoctor("check", path, "--json").json["parts"][0]["preamble"]
        summaries.append((rdb["complete"], rdb["keys"], rdb["checksum"], rdb["end"] == len(written)))
        assert sum(line["cmd"] == "(base)" for line in log(path)) == 10
    assert summaries[0] == summaries[1] == (True, None, "ok", True)


@codecs
def test_damage_inside_a_frame_without_checksum_loses_only_the_damaged_keys(codec: str, tmp_path: Path) -> None:
    data = bytearray(incompressible_rdb(2000))
    data[len(data) // 2 : len(data) // 2 + 300] = b"\xfd" * 300
    path = tmp_path / "appendonly.aof"
    stream = compress_rdb(bytes(data), codec, with_checksum=False)
    path.write_bytes(stream + encode_command([b"SET", b"later", b"1"]))
    lines = log(path)
    assert 1990 < sum(line["cmd"] == "(base)" for line in lines) < 2000
    assert lines[-1]["offset"] == len(stream)


def test_a_decompression_bomb_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zstd can expand one byte to 30,000: the decompressed size is limited, even for an RDB that walks well."""
    monkeypatch.setattr(frames, "_OUTPUT_FREE", 1 << 24)
    head = b"VALKEY080\0\1a" + b"\x80\x7f\xff\xff\xff"  # The value has 2 GiB.
    bomb = b"VCS\x01\x02\0\x01" + compress_frame(head + bytes(256 << 20), "Zstd")
    found = walk_rdb(BytesSource(bomb))
    assert not found.complete and "not read any further" in found.note
    source = decompressed(BytesSource(bomb))
    assert isinstance(source, DecompressedSource) and source.drain().bytes_out < (
        1 << 25
    ) + frames._OUTPUT_PER_BYTE * len(bomb)


def test_a_window_that_is_too_large_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_WINDOW_LOG", 20)
    found = walk_rdb(BytesSource(compress_rdb(incompressible_rdb(100, 100_000), "Zstd")))
    assert not found.complete and "Zstd frame is damaged" in found.note


@codecs
def test_without_the_library_check_suggests_the_package(
    codec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("lz4", "lz4.frame", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    path = tmp_path / "dump.rdb"
    path.write_bytes(compress_rdb(incompressible_rdb(10), codec))
    result = aofdoctor("check", path)
    assert result.status == 1 and "pip install 'aofdoctor[compressed]'" in result.out
    assert aofdoctor("convert", path, "--base", "resp", "-o", tmp_path / "out").status == 3
