"""Print the result of `diff --by keys` as text or JSON: counts, then the keys that differ with their last writes."""

from typing import Any

from aofdoctor import text
from aofdoctor.cli.console import bytes_to_json, make_painter, print_json, print_line
from aofdoctor.cli.views.record_lines import position_text, short_part_names
from aofdoctor.diff.keys.key_diff import DIFFERS, ONLY_A, ONLY_B, KeyDiff, LastWrite
from aofdoctor.diff.units.side import Side

_TYPES = {ONLY_A: "only_a", ONLY_B: "only_b", DIFFERS: "differs"}


def print_key_diff(key_diff: KeyDiff, paths: tuple[str, str]) -> None:
    """Print the result of `diff --by keys` as text: counts, then the keys, grouped by the kind of difference.

    `paths` are the paths of the AOFs A and B as the user gave them.
    """
    paint = make_painter()
    if not any(key_diff.counts):
        same = (
            "in what is selected"
            if key_diff.equal_keys is None
            else f"{text.format_count(key_diff.equal_keys, 'key')}, the same on both sides"
        )
        print_line(f"no difference by keys{' ' if key_diff.equal_keys is None else ': '}{same}")
        _warn_of_unnamed_keys(key_diff)
        return
    only_a, only_b, differ = key_diff.counts
    print_line(
        f"{text.format_count(only_a, 'key')} only in A, {only_b:,} only in B, {differ:,} in both with other writes"
        + ("" if key_diff.equal_keys is None else f", {key_diff.equal_keys:,} the same")
    )
    _warn_of_unnamed_keys(key_diff)
    headings = {
        ONLY_A: paint(f"- only in A  {text.display_path(paths[0])}", "gone"),
        ONLY_B: paint(f"+ only in B  {text.display_path(paths[1])}", "good"),
        DIFFERS: paint("! other writes", "changed"),
    }
    names = short_part_names(key_diff.sides[0].aof), short_part_names(key_diff.sides[1].aof)
    for kind, row in key_diff.rows():
        if kind in headings:
            print_line()
            print_line(headings.pop(kind))
        at = "  ".join(
            _write_position(side, names[n], written, "AB"[n])
            for n, (side, written) in enumerate(zip(key_diff.sides, (row.a, row.b), strict=True))
            if written
        )
        print_line(f"  db{row.db:<3} {text.quote(row.name):<30}  {at}")


def _warn_of_unnamed_keys(key_diff: KeyDiff) -> None:
    """Warn about commands in A or B, such as scripts, that may access keys that are not in their arguments."""
    a, b = key_diff.unnamed_key_commands
    if a or b:
        words = (
            f"but {text.format_count(a, 'command')} of A and {b:,} of B since they part (scripts, SORT by a pattern) "
            "may touch or read keys that they do not name: what those hold is not known"
        )
        print_line(make_painter()(words, "warning"))


def _write_position(side: Side, names: dict[str, str], write: LastWrite, letter: str) -> str:
    """Format the position of the last write to a key in one AOF, such as "A 7.incr@104".

    `letter` is A or B, the AOF; `names` maps the names of its files to short ones.
    """
    place = position_text(names[side.aof.parts[write.part].name], write.start)
    return f"{letter} {place}{' deleted' if write.deleted else ''}"


def print_key_diff_json(key_diff: KeyDiff, paths: tuple[str, str]) -> None:
    """Print the result of `diff --by keys` as JSON: one object with the counts, then one for each key that differs."""
    only_a, only_b, differ = key_diff.counts
    print_json({
        "type": "summary", "equal": not key_diff.has_differences, "a": paths[0], "b": paths[1],
        "only_a": only_a, "only_b": only_b, "differ": differ, "same": key_diff.equal_keys,
        "unnamed": {"a": key_diff.unnamed_key_commands[0], "b": key_diff.unnamed_key_commands[1]},
    })  # fmt: skip
    for kind, row in key_diff.rows():
        a, b = (
            _write_position_json(side, written) for side, written in zip(key_diff.sides, (row.a, row.b), strict=True)
        )
        print_json({"type": _TYPES[kind], "db": row.db, "key": bytes_to_json(row.name), "a": a, "b": b})


def _write_position_json(side: Side, write: LastWrite | None) -> dict[str, Any] | None:
    if write is None:
        return None
    return {"part": side.aof.parts[write.part].name, "offset": write.start, "deleted": write.deleted}
