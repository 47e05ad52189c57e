"""One bit flipped in each RDB of the newest servers: every salvage loads in a server that loads the undamaged file.

The test run tries POSITIONS places in one base of each kind.  For all bases, with 36 places in each and without pytest:

    python -m tests.newest.test_bit_flips [PLACES]

AOFDOCTOR_SHARED names the folder with the real files, else ../shared is used.  AOFDOCTOR_SERVERS lists more server
binaries, separated by colons, for versions that are not on PATH.
"""

import os
import sys
import tempfile
from pathlib import Path
from random import Random

import pytest

from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import aofdoctor
from tests.support.rdb_loading import load_dump
from tests.support.servers import all_servers

SHARED = Path(os.environ.get("AOFDOCTOR_SHARED") or Path(__file__).parents[2].parent / "shared")
POSITIONS = 4
_HEAD, _TAIL = 9, 9  # the magic, and the end mark with the checksum
BASES = [
    path
    for path in sorted((SHARED / "newest").rglob("*.rdb"))
    if "/x-" not in str(path) and "module" not in str(path) and path.stat().st_size > 200
]
SHORT = [path for path in BASES if path.parts[-4].endswith("-rdb") and "all" not in path.parts[-4]]


def server_of(data: bytes) -> ServerBinary | None:
    """Return a server that loads an RDB, or None."""
    product = "valkey" if data.startswith(b"VALKEY") else "redis"
    binaries = sorted(all_servers(), key=lambda binary: binary.product != product)
    return next((binary for binary in binaries if load_dump(binary, data) is not None), None)


def flips(data: bytes, count: int, seed: str) -> list[bytes]:
    """Return copies of an RDB with one bit flipped, at places that are spread over it."""
    random, size = Random(seed), len(data) - _HEAD - _TAIL
    out = []
    for number in range(min(count, size)):
        at = _HEAD + random.randrange(number * size // count, max((number + 1) * size // count, 1))
        out.append(data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :])
    return out


def refused_salvages(path: Path, count: int, folder: Path) -> list[str] | None:
    """Return how salvages of a base failed, or None if no server at hand loads it undamaged."""
    data = path.read_bytes()
    binary = server_of(data)
    if binary is None:
        return None
    failures = []
    for number, flipped in enumerate(flips(data, count, str(path.relative_to(SHARED)))):
        at = next(i for i in range(len(data)) if data[i] != flipped[i])
        dump, out = folder / f"{number}.rdb", folder / f"{number}.out"
        dump.write_bytes(flipped)
        done = aofdoctor("repair", dump, "--salvage", "-o", out)
        if done.status:
            failures.append(f"{at}: {done.err}")
        elif load_dump(binary, out.read_bytes()) is None:
            failures.append(f"{at}: {binary.title} refuses the result")
    return failures


@pytest.mark.skipif(not SHORT, reason="the newest files are neither in AOFDOCTOR_SHARED nor in ../shared")
@pytest.mark.parametrize("path", SHORT, ids=lambda path: f"{path.parts[-5]}-{path.parts[-4]}")
def test_a_salvage_of_one_flipped_bit_loads(path: Path, tmp_path: Path) -> None:
    failures = refused_salvages(path, POSITIONS, tmp_path)
    if failures is None:
        pytest.skip(f"no server at hand loads {path.parts[-5]}: AOFDOCTOR_SERVERS names more")
    assert failures == []


def main(count: int) -> int:
    """Try all bases; print one line for each, and return the exit status."""
    failed = 0
    for path in BASES:
        with tempfile.TemporaryDirectory() as folder:
            failures = refused_salvages(path, count, Path(folder))
        label = "no server at hand" if failures is None else f"{len(failures)} of {count} refused"
        print(path.relative_to(SHARED), label, *(failures or [])[:3], sep="  ", flush=True)
        failed += len(failures or [])
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 36))
