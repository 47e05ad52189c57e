"""Damage RDBs at random positions, and count the undamaged keys that a salvage returns.

python -m tests.support.rdb_damage FILE_OR_FOLDER [...]      prints a table
"""

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import NamedTuple

from aofdoctor.damage import Damage
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.recovery.salvage import salvage_items
from aofdoctor.source import BytesSource, Source
from aofdoctor.span import Span

DamagedRdb = tuple[bytes, Span]  # The damaged bytes, and the range of the original file that is missing or wrong.


class SalvageScore(NamedTuple):
    outside: int  # Keys that the damage does not touch.
    regained: int  # Those keys that were returned at their position.
    invented: int  # Returned keys that never existed and extend outside the damage.


def flip(data: bytes, random: Random) -> DamagedRdb:
    at = random.randrange(9, len(data))
    return data[:at] + bytes((data[at] ^ random.randrange(1, 256),)) + data[at + 1 :], Span(at, at + 1)


def cut(data: bytes, random: Random) -> DamagedRdb:
    at = random.randrange(9, len(data))
    return data[:at], Span(at, len(data))


def zero(data: bytes, random: Random) -> DamagedRdb:
    at = random.randrange(9, len(data))
    end = min(len(data), at + random.choice((16, 64, 512)))
    return data[:at] + bytes(end - at) + data[end:], Span(at, end)


def overwrite(data: bytes, random: Random) -> DamagedRdb:
    at = random.randrange(9, len(data))
    end = min(len(data), at + random.choice((16, 64, 512)))
    return data[:at] + random.randbytes(end - at) + data[end:], Span(at, end)


def hole(data: bytes, random: Random) -> DamagedRdb:
    """Remove bytes, so that the bytes after them move."""
    at = random.randrange(9, len(data))
    end = min(len(data), at + random.choice((1, 16, 512)))
    return data[:at] + data[end:], Span(at, end)


KINDS: dict[str, Callable[[bytes, Random], DamagedRdb]] = {f.__name__: f for f in (flip, cut, zero, overwrite, hole)}


def keys_by_span(source: Source) -> dict[Span, bytes]:
    """Return the keys of a sound RDB, or an empty result for a damaged one."""
    items = ItemReader(source)
    keys = {item.span: item.name(source) for batch in items for item in batch if isinstance(item, KeyItem)}
    return keys if items.rdb.complete and items.rdb.key_count == len(keys) else {}


def score_salvage(data: bytes, damaged: bytes, span: Span, truth: dict[Span, bytes]) -> SalvageScore:
    """Count the returned keys of a damaged file, and check that the items tile it."""
    source = BytesSource(damaged)
    at = 0
    salvaged_keys: dict[Span, bytes] = {}
    for tile in salvage_items(source):
        assert tile.span.start == at < tile.span.end
        at = tile.span.end
        if not isinstance(tile, Damage):
            salvaged_keys |= {item.span: item.name(source) for item in tile if isinstance(item, KeyItem)}
    assert at == len(damaged) or damaged[at : at + 1] in (b"*", b"#")
    shift = len(damaged) - len(data) if len(damaged) > span.start else 0
    outside = {key: name for key, name in truth.items() if key.end <= span.start or key.start >= span.end}
    expected = {Span(*(edge + shift * (key.start >= span.end) for edge in key)): name for key, name in outside.items()}
    regained = sum(salvaged_keys.get(key) == name for key, name in expected.items())
    touched = Span(span.start, span.end + shift)
    invented = sum(
        key not in expected and (key.end <= touched.start or key.start >= touched.end) for key in salvaged_keys
    )
    return SalvageScore(len(outside), regained, invented)


def rdb_files(places: Iterable[str]) -> list[Path]:
    found = [
        path
        for place in places
        for path in ([Path(place)] if Path(place).is_file() else sorted(Path(place).rglob("*.rdb")))
    ]
    return [path for path in found if path.read_bytes()[:5] in (b"REDIS", b"VALKE")]


def main() -> None:
    sound_files = [
        (path, data) for path in rdb_files(sys.argv[1:]) if keys_by_span(BytesSource(data := path.read_bytes()))
    ]
    truths = {path: keys_by_span(BytesSource(data)) for path, data in sound_files}
    print(f"{len(sound_files)} files, {sum(map(len, truths.values()))} keys")
    for kind, damage in KINDS.items():
        scores, started = [], time.perf_counter()
        for path, data in sound_files:
            for seed in range(8):
                damaged, span = damage(data, Random(f"{path.name} {kind} {seed}"))
                scores.append(score_salvage(data, damaged, span, truths[path]))
        outside, regained, invented = map(sum, zip(*scores, strict=True))
        perfect = sum(one.outside == one.regained for one in scores)
        print(f"  {kind:<10}{len(scores):5} files {outside:8} keys outside {regained / outside:9.4%} regained, all in "
              f"{perfect / len(scores):6.1%} of files; {invented} invented; {time.perf_counter() - started:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main()
