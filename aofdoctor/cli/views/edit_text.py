"""Format edits of an AOF as text: what the edit changes, which files were written, and the steps to use them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aofdoctor import text
from aofdoctor.advice.after_in_place import steps_after_in_place
from aofdoctor.aof.model import AOF
from aofdoctor.cli.console import Paint
from aofdoctor.cli.views.plan_totals import totals_after, totals_before, unused_file_lines
from aofdoctor.cli.views.steps import step_lines
from aofdoctor.edit.drops import span_in_file
from aofdoctor.edit.edit import Edit
from aofdoctor.edit.output.receipt import Receipt
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.reconstruction.vector_adds import VECTOR_ADD_REASON

if TYPE_CHECKING:  # At run time only the verb convert imports it: the other verbs start faster without it.
    from aofdoctor.edit.conversion.conversion import Conversion
    from aofdoctor.edit.output.overwrite import FileOverwrites

WRITE_HINT = "-o OUT writes a copy, --in-place keeps the old one beside it"
_LISTED_MAX = 20
_CONVERSION_USAGE = {
    "set": "It is an appenddirname for a server of 7.0 or later, in the place of the single file.",
    "single": "It is an appendfilename: check --server says whether a server before 7.0 loads it; a later one takes it "
    "over where it has no manifest.",
    "dump": "It is a dbfilename for a server with appendonly no.",
}


class EditView(NamedTuple):
    """The functions that format one kind of edit: the summary, the result of writing a copy, the hint how to write.

    `is_advised` tells whether steps for using a copy follow, or the result lines say how a server uses it.
    """

    summary_lines: Callable[[Any, Paint], Iterator[str]]
    result_lines: Callable[[Any, Receipt, Paint], Iterator[str]]
    write_hint: Callable[[Any], str]
    is_advised: Callable[[Any], bool]


def view_of(edit: Edit) -> EditView:
    """Return the functions that format an edit, depending on its kind: a Plan, or a Conversion."""
    return _PLAN_VIEW if isinstance(edit, Plan) else _CONVERSION_VIEW


# -- plans --


def plan_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    """Yield the summary of a plan: totals before and after, the first reconstructed byte ranges and dropped ones."""
    yield paint(f"{plan.verb} {text.display_path(plan.aof.path)}", "strong")
    yield f"  before  {', '.join(totals_before(plan))}"
    yield from _reconstruction_lines(plan, paint)
    for drop in plan.listed_drops[:_LISTED_MAX]:
        position = f"{text.display_path(plan.aof.parts[drop.part].name)}@{span_in_file(plan.aof, drop).start}"
        amount = f"{text.format_count(drop.commands, 'command')}, {text.format_size(drop.span.size)}"
        yield paint(f"  - {position}  {amount}  {drop.reason}", "gone")
    if plan.drop_count > _LISTED_MAX:
        yield paint(f"  - and {plan.drop_count - _LISTED_MAX:,} more ranges", "gone")
    yield from (paint(line, "gone") for line in unused_file_lines(plan.unused_files))
    yield f"  after   {', '.join(totals_after(plan))}"
    yield from (f"  {note}" for note in plan.notes)


def _reconstruction_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    for reconstruction in plan.reconstructions[:_LISTED_MAX]:
        position = f"{text.display_path(plan.aof.parts[reconstruction.part].name)}@{reconstruction.span.start}"
        size, reason = text.format_size(reconstruction.size), reconstruction.reason
        if not reconstruction.size:
            change = f"{text.format_size(reconstruction.span.size)}  {reason}"
        elif reconstruction.span.size:
            effect = "" if reason == VECTOR_ADD_REASON else ": turned back"
            change = f"{text.format_size(reconstruction.span.size)} become {size}  {reason}{effect}"
        else:
            change = f"{size} added  {reason}"
        yield paint(f"  ~ {position}  {change}", "changed")
    if len(plan.reconstructions) > _LISTED_MAX:
        yield paint(f"  ~ and {len(plan.reconstructions) - _LISTED_MAX:,} more ranges", "changed")


def overwrite_lines(plan: Plan, overwrites: "list[FileOverwrites]", paint: Paint) -> Iterator[str]:
    """Yield the lines about an edit that overwrites commands in place: each command with its old and new bytes."""
    yield paint(f"{plan.verb} {text.display_path(plan.aof.path)}, in place", "strong")
    edits = [(target.path.name, edit) for target in overwrites for edit in target.edits]
    for name, edit in edits[:_LISTED_MAX]:
        change = f"{text.escape(edit.old[:40])} becomes {text.escape(edit.new[:40])}"
        yield paint(
            f"  ~ {text.display_path(name)}@{edit.start}  {text.format_size(len(edit.old))}  {change}", "changed"
        )
    if len(edits) > _LISTED_MAX:
        yield paint(f"  ~ and {len(edits) - _LISTED_MAX:,} more", "changed")
    yield from (f"  {note}" for note in plan.notes)


def _plan_result_lines(plan: Plan, receipt: Receipt, paint: Paint) -> Iterator[str]:
    """Yield the names of the files that a plan wrote."""
    yield (
        paint(f"written: {text.display_path(short_path(receipt.output))}", "good")
        + "  on disk, read again, the same but for what went"
    )
    yield f"receipt: {text.display_path(short_path(receipt.path))}"
    yield from _dropped_and_warning_lines(receipt, paint)
    yield from (
        paint(f"NOTE  {note}" if not note.startswith(" ") else f"    {note}", "warning") for note in plan.result_notes
    )


# -- conversions --


def _conversion_lines(conversion: "Conversion", paint: Paint) -> Iterator[str]:
    """Yield the summary of a conversion: its totals, and the first data that the target cannot represent."""
    report = conversion.report
    yield paint(f"convert {text.display_path(conversion.aof.path)}", "strong")
    commands = text.format_count(conversion.commands, "command")
    yield f"  before  {text.format_size(conversion.size)}, {commands} beside the base"
    yield f"  after   {text.format_size(conversion.output_size)}"
    for (db, kind), count in sorted(report.keys.items()):
        yield f"  db{db}  {text.format_count(count, 'key')} of type {kind}"
    if report.reencoded_keys:
        yield f"  {text.format_count(report.reencoded_keys, 'key')} written as another type"
    if report.shifted_commands:
        yield f"  expiries of {text.format_count(report.shifted_commands, 'command')} moved"
    for loss in report.losses[:_LISTED_MAX]:
        yield paint(
            f"  - db{loss.db}  {loss.type} {text.quote(loss.key)}  not representable: {loss.why}",
            "gone",
        )
    if report.loss_count > _LISTED_MAX:
        yield paint(f"  - and {report.loss_count - _LISTED_MAX:,} more", "gone")
    yield from (f"  {note}" for note in conversion.all_notes())


def _conversion_result_lines(conversion: "Conversion", receipt: Receipt, paint: Paint) -> Iterator[str]:
    """Yield the files that a conversion wrote, and how a server can use them."""
    yield paint(f"written: {text.display_path(short_path(receipt.output))}", "good") + "  on disk, read again"
    yield f"receipt: {text.display_path(short_path(receipt.path))}"
    yield from _dropped_and_warning_lines(receipt, paint)
    if _is_used_differently(conversion):
        yield _CONVERSION_USAGE[_conversion_output_kind(conversion)]


def _is_used_differently(conversion: "Conversion") -> bool:
    """Whether the output is another kind of file than its source, so that it cannot take its place."""
    is_changed_base = conversion.request.base == "resp" and not conversion.writes_directory
    return conversion.changes_layout or conversion.aof.layout == "rdb" or is_changed_base


def _conversion_output_kind(conversion: "Conversion") -> str:
    if conversion.writes_directory:
        return "set"
    is_dump = conversion.aof.layout == "rdb" and conversion.request.base != "resp"
    return "dump" if is_dump else "single"


def _conversion_write_hint(conversion: "Conversion") -> str:
    return f"-o OUT writes a copy{', with --lossy' if conversion.needs_lossy else ''}"


# -- any edit --


def exchange_result_lines(aof: AOF, receipt: Receipt, destination: Path, paint: Paint) -> Iterator[str]:
    """Yield the result of an edit in place that exchanged the new files with the old: all names, and how to undo it.

    `destination` is the path that has the new files now.
    """
    yield (
        paint(f"done: {text.display_path(short_path(destination))}", "good")
        + "  on disk, read again, the same but for what went"
    )
    yield f"the old one is kept as {text.display_path(short_path(receipt.output))}"
    yield f"receipt: {text.display_path(short_path(receipt.path))}"
    yield f"         aofdoctor undo {text.shell_quote(short_path(receipt.path))} takes it back"
    yield from _dropped_and_warning_lines(receipt, paint)
    yield from in_place_step_lines(aof, paint)


def in_place_step_lines(aof: AOF, paint: Paint) -> Iterator[str]:
    """Yield the steps that follow an edit in place."""
    yield ""
    yield "Next:"
    yield from step_lines(steps_after_in_place(aof), paint)


def _dropped_and_warning_lines(receipt: Receipt, paint: Paint) -> Iterator[str]:
    if receipt.dropped_path:
        yield f"what went is kept in {text.display_path(short_path(receipt.dropped_path))}, with a map"
    for warning in receipt.warnings:
        yield paint(f"WARNING  {warning}", "warning")


def short_path(path: Path) -> str:
    """Return a path relative to the working directory if it is inside that directory, otherwise unchanged."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


_PLAN_VIEW = EditView(plan_lines, _plan_result_lines, lambda plan: WRITE_HINT, lambda plan: True)
_CONVERSION_VIEW = EditView(
    _conversion_lines, _conversion_result_lines, _conversion_write_hint, lambda edit: not _is_used_differently(edit)
)
