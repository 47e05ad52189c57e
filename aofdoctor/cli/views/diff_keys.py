"""What diff --by keys says: counts, then names."""

from typing import Any

from aofdoctor import text
from aofdoctor.cli.console import as_json, painter, print_json, print_line
from aofdoctor.cli.views.record_lines import position, short_names
from aofdoctor.diff.keys.key_diff import DIFFERS, ONLY_A, ONLY_B, KeyDiff, Written
from aofdoctor.diff.units.side import Side

_TYPES = {ONLY_A: "only_a", ONLY_B: "only_b", DIFFERS: "differs"}


def show(found: KeyDiff, paths: tuple[str, str]) -> None:
    """Counts, then names, for people."""
    paint = painter()
    if not any(found.counts):
        same = (
            "in what is selected"
            if found.same is None
            else f"{text.format_count(found.same, 'key')}, the same on both sides"
        )
        print_line(f"no difference by keys{' ' if found.same is None else ': '}{same}")
        _unnamed(found)
        return
    only_a, only_b, differ = found.counts
    print_line(f"{text.format_count(only_a, 'key')} only in A, {only_b:,} only in B, {differ:,} in both with other writes"
        + ("" if found.same is None else f", {found.same:,} the same"))  # fmt: skip
    _unnamed(found)
    headings = {
        ONLY_A: paint(f"- only in A  {text.display_path(paths[0])}", "gone"),
        ONLY_B: paint(f"+ only in B  {text.display_path(paths[1])}", "good"),
        DIFFERS: paint("! other writes", "changed"),
    }
    names = short_names(found.sides[0].aof), short_names(found.sides[1].aof)
    for kind, row in found.rows():
        if kind in headings:
            print_line()
            print_line(headings.pop(kind))
        at = "  ".join(
            _at(side, names[n], written, "AB"[n])
            for n, (side, written) in enumerate(zip(found.sides, (row.a, row.b), strict=True))
            if written
        )
        print_line(f"  db{row.db:<3} {text.quote(row.name):<30}  {at}")


def _unnamed(found: KeyDiff) -> None:
    """What a comparison by keys cannot see."""
    a, b = found.unnamed
    if a or b:
        words = f"but {text.format_count(a, 'command')} of A and {b:,} of B since they part (scripts, SORT by a pattern) may touch"
        print_line(painter()(f"{words} or read keys that they do not name: what those hold is not known", "warning"))


def _at(side: Side, names: dict[str, str], written: Written, letter: str) -> str:
    place = position(names[side.aof.parts[written.part].name], written.start)
    return f"{letter} {place}{' deleted' if written.deleted else ''}"


def show_json(found: KeyDiff, paths: tuple[str, str]) -> None:
    """The summary, then one line for each key."""
    only_a, only_b, differ = found.counts
    print_json({
        "type": "summary", "equal": not found.different, "a": paths[0], "b": paths[1],
        "only_a": only_a, "only_b": only_b, "differ": differ, "same": found.same,
        "unnamed": {"a": found.unnamed[0], "b": found.unnamed[1]},
    })  # fmt: skip
    for kind, row in found.rows():
        a, b = (_json(side, written) for side, written in zip(found.sides, (row.a, row.b), strict=True))
        print_json({"type": _TYPES[kind], "db": row.db, "key": as_json(row.name), "a": a, "b": b})


def _json(side: Side, written: Written | None) -> dict[str, Any] | None:
    if written is None:
        return None
    return {"part": side.aof.parts[written.part].name, "offset": written.start, "deleted": written.deleted}
