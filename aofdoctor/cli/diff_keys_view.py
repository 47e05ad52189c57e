"""What diff --by keys says: counts, then names."""

from collections.abc import Iterator
from typing import Any

from aofdoctor import text
from aofdoctor.analysis.diff_census import Written
from aofdoctor.analysis.diff_keys import KeyDiff, key_name
from aofdoctor.analysis.diff_side import Side
from aofdoctor.cli.entries import position, short_names
from aofdoctor.cli.render import as_json, emit, painter, say

Sides = tuple[Side, Side]
Row = tuple[int, bytes, Written | None, Written | None]


def rows(sides: Sides, found: KeyDiff, keys: list[tuple[int, int]]) -> Iterator[Row]:
    """Keys with their names: (database, name, on A, on B)."""
    for db, key in keys:
        a, b = found.a.written(db, key), found.b.written(db, key)
        name = key_name(sides[0], a, key) if a else key_name(sides[1], b, key) if b else b""
        yield db, name, a, b


def show(sides: Sides, found: KeyDiff, paths: tuple[str, str]) -> None:
    """Counts, then names, for people."""
    paint = painter()
    counts = len(found.only_a), len(found.only_b), len(found.differ)
    if not any(counts):
        say(f"no difference by keys: {text.count(found.same, 'key')}, the same writes on both sides")
    else:
        say(f"{text.count(counts[0], 'key')} only in A, {counts[1]:,} only in B, "
            f"{counts[2]:,} in both with other writes, {found.same:,} the same")  # fmt: skip
    for line in notes(found):
        say(line)
    tables = ((paint(f"- only in A  {text.name(paths[0])}", "gone"), found.only_a),
              (paint(f"+ only in B  {text.name(paths[1])}", "good"), found.only_b),
              (paint("! other writes", "changed"), found.differ))  # fmt: skip
    names = short_names(sides[0].aof), short_names(sides[1].aof)
    for heading, keys in tables:
        if keys:
            say()
            say(heading)
        for db, key, a, b in rows(sides, found, keys):
            at = "  ".join(_at(side, names[n], written, "AB"[n])
                           for n, (side, written) in enumerate(zip(sides, (a, b), strict=True)) if written)  # fmt: skip
            say(f"  db{db:<3} {text.word(key):<30}  {at}")


def _at(side: Side, names: dict[str, str], written: Written, letter: str) -> str:
    place = position(names[side.aof.parts[written.part].name], written.start)
    return f"{letter} {place}{'' if written.made else ' deleted'}"


def notes(found: KeyDiff) -> list[str]:
    """What a census does not see."""
    return [
        f"{letter} has an RDB of {text.size(census.rdb)}, whose keys are not read: what was written after it counts"
        for letter, census in zip("AB", (found.a, found.b), strict=True)
        if census.rdb
    ]


def show_json(sides: Sides, found: KeyDiff, paths: tuple[str, str]) -> None:
    """The summary, then one line for each key."""
    emit({
        "type": "summary", "equal": not (found.only_a or found.only_b or found.differ), "a": paths[0], "b": paths[1],
        "only_a": len(found.only_a), "only_b": len(found.only_b), "differ": len(found.differ), "same": found.same,
        "notes": notes(found),
    })  # fmt: skip
    for kind, keys in (("only_a", found.only_a), ("only_b", found.only_b), ("differs", found.differ)):
        for db, key, a, b in rows(sides, found, keys):
            emit({"type": kind, "db": db, "key": as_json(key), "a": _json(sides[0], a), "b": _json(sides[1], b)})


def _json(side: Side, written: Written | None) -> dict[str, Any] | None:
    if written is None:
        return None
    return {"part": side.aof.parts[written.part].name, "offset": written.start, "deleted": not written.made}
