"""Score what a server loads of a damaged case after redis-check-aof --fix, and after repair --salvage.

The commands are read, by this package, from the files as the server left them after it had loaded them; a server that
refuses to start has loaded nothing.  The keys of the RDB are those that the server has, compared by DEBUG DIGEST-VALUE.
Each case uses the server that wrote the sample, and that server's checker.
"""

import shutil
import subprocess
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aofdoctor.cli.options import open_path
from aofdoctor.errors import SandboxError
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.bench.salvage_cases import DamagedCase
from tests.bench.salvage_samples import MANIFEST, SINGLE, Argv, is_log_key, iter_records, key_digests
from tests.conftest import aofdoctor


@dataclass(frozen=True)
class Loaded:
    """The commands with their databases, and the digests of the keys that no command wrote."""

    commands: list[tuple[Argv, int]]
    keys: dict[tuple[int, bytes], bytes]


@dataclass(frozen=True)
class Score:
    """What one tool kept of one case.

    `invented` counts commands that are not in the source, are repeated or out of order, and keys that are not in the
    source or have another value, beyond those that the damage itself touched; `other_database` the commands and keys
    that are in another database than before; `parts` the transactions that were kept in part.
    """

    loads: bool = False
    commands: int = 0
    keys: int = 0
    invented: int = 0
    other_database: int = 0
    parts: int = 0


def write_files(files: dict[str, bytes], folder: Path) -> Path:
    """Write the files of a case below a folder; return the path that a user would give."""
    place = folder / "appendonlydir"
    place.mkdir(parents=True)
    for name, data in files.items():
        (place / name).write_bytes(data)
    return place / SINGLE if SINGLE in files else place


def load(binary: ServerBinary, path: Path) -> Loaded | None:
    """Load an AOF into a server with its default options; None if it refuses to start."""
    name = SINGLE
    if path.is_dir():
        manifests = sorted(path.glob("*.manifest"), key=lambda one: one.name != MANIFEST)
        name = manifests[0].name.removesuffix(".manifest") if manifests else SINGLE

    def prepare(folder: Path) -> None:
        if path.is_dir():
            shutil.copytree(path, folder / "appendonlydir")
        else:
            shutil.copyfile(path, folder / SINGLE)

    options = ["--appendonly", "yes", "--aof-load-truncated", "yes", "--appendfilename", name]
    options += ["--enable-debug-command", "yes"] if binary.version >= (7, 0, 0) else []
    try:
        with Sandbox(binary, options, prepare, hide=(), timeout=60) as server:
            keys = {key: digest for key, digest in key_digests(server).items() if not is_log_key(key[1])}
            manifest = server.folder / "appendonlydir" / f"{name}.manifest"
            commands: list[tuple[Argv, int]] = []
            with open_path(str(manifest if manifest.exists() else server.folder / SINGLE)) as aof:
                for part in aof.parts:
                    if part.source is not None:
                        found = iter_records(part.source)
                        commands += [(one.argv, one.db) for one in found if one and one.is_command]
            return Loaded(commands, keys)
    except SandboxError:
        return None


def fix_and_load(case: DamagedCase) -> Loaded | None:
    """Run --fix on a copy, answer yes, and load what it leaves."""
    with TemporaryDirectory() as folder:
        path = write_files(case.files, Path(folder))
        binary = case.sample.binary
        name = f"{binary.product}-check-aof"
        target = path if path.is_file() else path / MANIFEST
        if target.exists():
            words = [name, "--fix", str(target)]
            with suppress(subprocess.TimeoutExpired):  # It reads some damaged manifests for ever.
                subprocess.run(words, executable=binary.path, input=b"y\n" * 9, capture_output=True, timeout=5)
        return load(binary, path)


def salvage_and_load(case: DamagedCase) -> Loaded | None:
    """Run repair --salvage and load its output, or the source if it has nothing to do.

    If the directory holds two sets, it asks for one, and the manifest that the checker gets is named.
    """
    with TemporaryDirectory() as folder:
        path, out = write_files(case.files, Path(folder)), Path(folder) / "out"
        result = aofdoctor("repair", path, "--salvage", "-o", out)
        if result.status == 2:
            result = aofdoctor("repair", path / MANIFEST, "--salvage", "-o", out)
        assert result.status in (0, 3), (result.status, result.err)
        return load(case.sample.binary, out if out.exists() else path)


def score(case: DamagedCase, loaded: Loaded | None) -> Score:
    if loaded is None:
        return Score()
    seen: dict[Argv, int] = {}
    repeated = 0
    places = []
    for argv, db in loaded.commands:
        if argv in case.order:
            repeated += argv in seen
            seen[argv] = db
            places.append(case.order[argv])
    unknown = [argv for argv, _ in loaded.commands if argv not in case.order and argv not in case.altered]
    if case.is_rdb_among_commands:
        unknown = [argv for argv in unknown if any(map(is_log_key, argv))]
    disordered = len(places) - repeated - longest_increase(list(dict.fromkeys(places)))
    kept = [argv for argv in case.intact if argv in seen]
    changed_values = {argv for argv, _ in loaded.commands if argv in case.altered}
    parts = [one for one in case.transactions if one & seen.keys() and len(one - seen.keys()) > len(changed_values)]
    moved_keys = 0
    right_keys = sum(loaded.keys.get(key) == digest for key, digest in case.keys.items())
    wrong_keys = 0
    if case.is_rdb_damaged:
        changed = {key for key, digest in loaded.keys.items() if case.keys.get(key) != digest} - case.touched_keys
        by_name = {(name, digest) for (_, name), digest in case.keys.items()}
        moved = {key for key in changed if (key[1], loaded.keys[key]) in by_name}
        moved_keys = len(moved)
        wrong_keys = max(len(changed - moved) - case.touched_names, 0)
    return Score(
        True,
        len(kept) - disordered,
        right_keys,
        len(unknown) + repeated + disordered + wrong_keys,
        moved_keys + sum(seen[argv] != case.intact[argv] for argv in kept),
        len(parts),
    )


def longest_increase(places: list[int]) -> int:
    """Return the length of the longest increasing subsequence."""
    ends: list[int] = []
    for place in places:
        at = bisect_left(ends, place)
        ends[at : at + 1] = [place]
    return len(ends)
