"""The compiled code under AddressSanitizer and UBSan, on what real servers wrote and on hostile bytes."""

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from aofdoctor.resp import encode_command
from tests.conftest import FIXTURES
from tests.support import rdb_value_writer as w
from tests.support.hostile_bytes import HOSTILE_RDB_BODIES, MALFORMED, mutate
from tests.support.rdb_unreleased import UNRELEASED, with_checksum
from tests.tools.make_layouts import header

HARNESS = Path(__file__).parent / "fuzz" / "aof.c"
RDB_HARNESS = HARNESS.with_name("rdb.c")
FLAGS = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-DSTANDALONE", "-Wall", "-Wextra", "-Werror",
         "-Wno-unused-function"]  # fmt: skip


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "the README asks for a C compiler"
    program = tmp_path_factory.mktemp("sanitized") / "harness"
    subprocess.run([compiler, *FLAGS, HARNESS, "-o", program], check=True)
    return program


@pytest.fixture(scope="module")
def rdb_harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sanitized-rdb")
    (folder / "layouts.h").write_text(header())
    compiler = shutil.which("cc") or "cc"
    subprocess.run([compiler, *FLAGS, f"-I{folder}", RDB_HARNESS, "-o", folder / "rdb"], check=True)
    return folder / "rdb"


def run(harness: Path, *files: Path) -> None:
    done = subprocess.run([harness, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_real_servers_wrote_cut_at_many_places(harness: Path) -> None:
    run(harness, *[path for path in FIXTURES.rglob("*") if path.suffix in (".aof", ".rdb")])


def test_hostile_bytes(harness: Path, tmp_path: Path) -> None:
    random, whole = (
        Random(7),
        [encode_command([b"SET", b"a", b"1"]), encode_command([b"XGROUP", b"CREATE", b"s"]), b"#TS:1\r\n"],
    )
    files = [tmp_path / str(number) for number in range(40)]
    for path in files:
        pieces = random.choices(MALFORMED + whole * 8, k=200)
        path.write_bytes(b"".join(piece[: random.randint(0, 2 * len(piece))] for piece in pieces))
    run(harness, *files)


def test_rdbs_of_real_servers_and_of_the_writer_cut_at_many_places(rdb_harness: Path, tmp_path: Path) -> None:
    for name, one in UNRELEASED.items():
        (tmp_path / name).write_bytes(with_checksum(one))
    run(rdb_harness, *(FIXTURES / "aof").rglob("*.rdb"), *(tmp_path / name for name in UNRELEASED))


def test_hostile_rdbs(rdb_harness: Path, tmp_path: Path) -> None:
    whole = [path.read_bytes() for path in (FIXTURES / "aof").rglob("*.rdb")] + [
        with_checksum(one) for one in UNRELEASED.values()
    ]
    bent = [data for seed, one in enumerate(whole) for data in mutate(one, 4, seed)]
    bent += [magic + body for magic in (b"REDIS0011", b"VALKEY080") for body in HOSTILE_RDB_BODIES.values()]
    for number, data in enumerate(bent):
        (tmp_path / str(number)).write_bytes(data)
    run(rdb_harness, *(tmp_path / str(number) for number in range(len(bent))))


def test_hostile_values(harness: Path, tmp_path: Path) -> None:
    """Packed values and strings, whole and bent, each from its first byte on."""
    random = Random(8)
    words = [b"%d" % (1 << bits) for bits in range(0, 63, 4)] + [b"x" * size for size in (0, 5, 63, 64, 200, 4096)]
    packs = [
        w.listpack(words)[6:],
        w.ziplist(words)[10:],
        b"".join(map(w.string, words)),
        w.lzf(b"ab" * 99 + b"c" * 999),
    ]
    files = [tmp_path / str(number) for number in range(60)]
    for number, path in enumerate(files):
        pack = bytearray(packs[number % len(packs)])
        for _ in range(random.randint(0, 3)):
            pack[random.randrange(len(pack))] = random.choice([0, 0x81, 0xC3, 0xF0, 0xFE, 0xFF, random.randrange(256)])
        path.write_bytes(pack)
    run(harness, *files)


def test_a_buffer_one_byte_short_is_caught(harness: Path, tmp_path: Path) -> None:
    """The check can fail: the same program with too little slack reads past its buffer."""
    source = tmp_path / "short.c"
    text = (
        HARNESS.read_text()
        .replace("../../aofdoctor", str(FIXTURES.parent / "aofdoctor"))
        .replace('"standalone.h"', f'"{HARNESS.parent / "standalone.h"}"')
        .replace("size + SCAN_SLACK", "size + 1")
    )
    source.write_text(text)
    compiler = shutil.which("cc") or "cc"
    subprocess.run([compiler, *FLAGS, source, "-o", tmp_path / "short"], check=True)
    (tmp_path / "torn").write_bytes(encode_command([b"PING"]))
    done = subprocess.run([tmp_path / "short", tmp_path / "torn"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
