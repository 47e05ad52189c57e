"""aofdoctor diff: compare two AOFs, A and B, by their commands in order, or by the keys that they write."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from aofdoctor.cli import options
from aofdoctor.cli.console import print_line, warn
from aofdoctor.cli.diff_sides import open_side
from aofdoctor.cli.views.diff.json_lines import JsonRenderer
from aofdoctor.cli.views.diff.keys import print_key_diff, print_key_diff_json
from aofdoctor.cli.views.diff.renderer import Comparison, Renderer, warn_of_damage
from aofdoctor.cli.views.diff.stat_tables import StatRenderer
from aofdoctor.cli.views.diff.text import TextRenderer
from aofdoctor.damage import DamageKind
from aofdoctor.diff.differ import CommandDiff, DiffEvent, OneSidedRun
from aofdoctor.diff.keys.key_diff import compare_keys
from aofdoctor.diff.units.comparison_rules import ComparisonRules
from aofdoctor.diff.units.rdb_selection import RdbUnitSelection
from aofdoctor.diff.units.side import Side
from aofdoctor.edit.output.diff_patch import DiffPatch
from aofdoctor.errors import InvalidSelection
from aofdoctor.log.arguments import build_log_selection
from aofdoctor.log.selection import Selection
from aofdoctor.text import display_path, format_count

EPILOG = """\b
Examples:
  aofdoctor diff primary/ replica/                   where they part, and what each has since
  aofdoctor diff backup.aof /var/lib/redis --stat    how much, by command, database and key prefix
  aofdoctor diff old/ new/ --by keys --key 'user:*'  which keys differ
  aofdoctor diff dump.aof@2405 dump.aof              what was written from that position on
  aofdoctor diff redis/@-10m redis/                  ... in the last ten minutes
  aofdoctor diff backup.aof live.aof --patch missing.aof

\b
Exit status: 0 no difference; 1 there is one, or damage; 2 usage; 3 could not read or write; 130 interrupted."""


_RDB_DAMAGE = frozenset({DamageKind.TRUNCATED_PREAMBLE, DamageKind.CORRUPT_PREAMBLE})


class CompareBy(StrEnum):
    """The values of the option --by of `diff`: compare two AOFs by their commands, or by their keys."""

    COMMANDS = "commands"
    KEYS = "keys"


SideArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH[@WHERE]",
        help="An AOF as for the other verbs; of it what stands before a position (@1234, @PART@0x4d2, @#17), or was "
        "written up to a time (@2026-11-22T05:58:31, @-10m, @TS:1795334311), if one is named.",
    ),
]
ByOption = Annotated[CompareBy, typer.Option("--by", help="Compare commands in their order, or what each key holds.")]
StatOption = Annotated[bool, typer.Option("--stat", help="Only counts: by command, database and key prefix.")]
ExactSpellingOption = Annotated[
    bool, typer.Option("--exact", help="Other spelling (case of names, padding) is a difference.")
]
PatchOption = Annotated[
    str | None,
    typer.Option("--patch", metavar="FILE", help="Write what B has and A lacks (of it what is selected) to a new AOF."),
]
PatchReverseOption = Annotated[
    str | None,
    typer.Option("--patch-reverse", metavar="FILE", help="Write what A has and B lacks (the same) to a new AOF."),
]


@options.with_selection_options
def diff(
    a: SideArgument,
    b: SideArgument,
    by: ByOption = CompareBy.COMMANDS,
    stat: StatOption = False,
    exact: ExactSpellingOption = False,
    patch: PatchOption = None,
    patch_reverse: PatchReverseOption = None,
    json: options.JsonOption = False,
    *,
    selection_options: options.SelectionOptions,
) -> None:
    """What one AOF has that another lacks: where they part, and the commands since.

    A transaction is compared as one; annotations and SELECTs by their effect.  Writes
    in another order that touch no key in common are told apart (~) from lost ones.
    An RDB is compared as the commands that make its keys; with --by keys, --key and
    --db select among the keys that differ.
    """
    _require_consistent_options(by, stat, exact, patch, patch_reverse, selection_options)
    if a == b == "-":
        raise InvalidSelection("standard input can be one side only")
    with ExitStack() as stack:
        rules = ComparisonRules.create(os.urandom(16), exact)
        side_inputs = [stack.enter_context(open_side(given)) for given in (a, b)]
        sides = [Side(aof, rules, end) for aof, end in side_inputs]
        selections = [build_log_selection(aof, **selection_options) for aof, _ in side_inputs]
        if by is CompareBy.KEYS:
            is_different = _compare_by_keys((sides[0], sides[1]), (selections[0], selections[1]), (a, b), json)
            raise typer.Exit(_exit_status(is_different, sides))
        comparison = Comparison((a, b), CommandDiff(*sides), (selections[0], selections[1]))
        renderer = _make_renderer(comparison, stat, json)
        writers = {
            n: stack.enter_context(DiffPatch(Path(path), RdbUnitSelection(sides[n], selections[n])))
            for n, path in ((1, patch), (0, patch_reverse)) if path
        }  # fmt: skip
        renderer.render(_copy_to_patches(comparison, writers))
        for writer in writers.values():
            writer.rename_into_place()
            if not json:
                print_line(_patch_summary(writer))
        status = _exit_status(renderer.different, sides)
    raise typer.Exit(status)


def _exit_status(is_different: bool, sides: list[Side]) -> int:
    """1 for a difference or damage: of damaged files equality is not certain."""
    return 1 if is_different or any(side.is_damaged for side in sides) else 0


def _compare_by_keys(
    sides: tuple[Side, Side], selections: tuple[Selection, Selection], paths: tuple[str, str], json: bool
) -> bool:
    """Compare two AOFs by keys, print the differences, and return whether there are any.

    `paths` are the paths of A and B as the user gave them.
    """
    key_diff = compare_keys(*sides, selections)
    (print_key_diff_json if json else print_key_diff)(key_diff, paths)
    warn_of_damage(sides)
    if any(damage.kind in _RDB_DAMAGE for side in sides for damage in side.damage.values()):
        warn("of a damaged RDB only the keys that can be read are compared")
    return key_diff.has_differences


def _patch_summary(patch: DiffPatch) -> str:
    omitted = format_count(patch.omitted_units, "damaged or unfinished stretch", "damaged or unfinished stretches")
    return f"{display_path(str(patch.path))}: {format_count(patch.commands, 'command')}, {patch.size:,} bytes" + (
        f"; {omitted} left out" if patch.omitted_units else ""
    )


def _require_consistent_options(
    by: CompareBy,
    stat: bool,
    exact: bool,
    patch: str | None,
    reverse: str | None,
    selection_options: options.SelectionOptions,
) -> None:
    """Raise InvalidSelection for options of `diff` that exclude one another."""
    if selection_options["from_"] is not None or selection_options["to"] is not None:
        raise InvalidSelection(
            "--from and --to name a place in one AOF", "write PATH@POSITION for a side that ends there"
        )
    writes = patch is not None or reverse is not None
    if patch == "" or reverse == "" or (patch == reverse and writes):
        raise InvalidSelection("a patch needs a name of its own")
    if by is CompareBy.KEYS and (stat or writes or exact):
        raise InvalidSelection("--stat, --exact and --patch go with --by commands")


def _make_renderer(comparison: Comparison, stat: bool, json: bool) -> Renderer:
    if stat:
        return StatRenderer(comparison, json)
    return JsonRenderer(comparison) if json else TextRenderer(comparison)


def _copy_to_patches(comparison: Comparison, writers: dict[int, DiffPatch]) -> Iterator[DiffEvent]:
    """Yield all differences of a comparison, and write the commands that only one AOF has to its patch on the way.

    `writers` are the patches by AOF: 0 for commands only in A (--patch-reverse), 1 for commands only in B (--patch).
    """
    for event in comparison.diff.events():
        if isinstance(event, OneSidedRun) and event.side in writers:
            writers[event.side].add(event.run)
        yield event
