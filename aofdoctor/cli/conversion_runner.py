"""A conversion: made from its recipe, shown, saved as a plan, and carried out into a copy or in place.

A recipe is what the user asked for, as JSON can hold it; the same recipe on the
same AOF gives the same conversion.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aofdoctor
from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.cli.console import Paint, bytes_to_json, make_painter, print_json, print_line, progress_bar
from aofdoctor.cli.output_options import OutputOptions
from aofdoctor.cli.plan_runner import (
    confirm_exchange,
    exchange_result_lines,
    load_tester,
    replacement_steps,
    short_path,
    source_fingerprints,
)
from aofdoctor.edit.conversion.plan import Conversion, plan_conversion
from aofdoctor.edit.conversion.rdb_base import ConversionRequest
from aofdoctor.edit.conversion.write import (
    conversion_notes,
    dry_run_conversion,
    outcome_json,
    totals_json,
    write_conversion,
)
from aofdoctor.edit.output.durable import json_bytes, write_durably
from aofdoctor.edit.output.exchange import exchange, exchange_path
from aofdoctor.edit.output.receipt import Receipt
from aofdoctor.errors import InvalidSelection, RefusedEdit
from aofdoctor.server.versions import RDB_VERSIONS_WRITTEN, VERSIONS

ConversionRecipe = dict[str, Any]
VERB = "convert"
_LISTED_MAX = 20
_SHIFT_MAX = 10**9 * 86_400_000  # what --shift-ttl can say


def plan_from_recipe(aof: AOF, recipe: ConversionRecipe) -> Conversion:
    """The conversion of a recipe: base, rdb_version, layout, for, shift_ms, lossy."""
    base, version, layout, server_version, shift, lossy = (
        recipe[name] for name in ("base", "rdb_version", "layout", "for", "shift_ms", "lossy")
    )
    _require_consistent_options(base, version, layout, server_version, shift)
    aof.raise_on_read_errors()
    conversion = plan_conversion(aof, ConversionRequest(base, version, layout, server_version, shift), bool(lossy))
    conversion.recipe = {"verb": VERB, **recipe}
    return conversion


def _require_consistent_options(base: str, version: int, layout: str, server_version: str, shift: int) -> None:
    """Raise BadSelection for wishes that say nothing, or do not go together."""
    if not (base or layout or shift):
        raise InvalidSelection("nothing is to be converted", "--base, --layout, --shift-ttl and --now say what")
    if base not in ("", "resp", "rdb"):
        raise InvalidSelection(f"{text.display_path(base)} is no kind of base", "--base resp or --base rdb")
    if layout not in ("", "single", "multi-part"):
        raise InvalidSelection(f"{text.display_path(layout)} is no layout", "--layout single or --layout multi-part")
    if (base == "rdb") != bool(version):
        raise InvalidSelection("--base rdb and --rdb-version N go together")
    if version and version not in RDB_VERSIONS_WRITTEN:
        raise InvalidSelection(
            f"RDB version {version} is not written", f"versions are {', '.join(map(str, RDB_VERSIONS_WRITTEN))}"
        )
    if server_version and base != "resp":
        raise InvalidSelection("--for goes with --base resp")
    if server_version and server_version not in VERSIONS:
        raise InvalidSelection(
            f"{text.display_path(server_version)} is not a server line", f"lines are {', '.join(VERSIONS)}"
        )
    if abs(shift) > _SHIFT_MAX:
        raise InvalidSelection(f"expiries cannot be moved by {shift} ms")


def run_conversion(conversion: Conversion, output_options: OutputOptions, is_dry_run_done: bool = False) -> None:
    """Show a conversion and do with it what is wished; `tried`: what it comes to is known already."""
    if output_options.writes:
        _require_exchangeable(conversion, output_options)
        _write_and_report(conversion, output_options)
        return
    if not is_dry_run_done:
        dry_run(conversion)
    if output_options.plan:
        _save_plan(conversion, Path(output_options.plan))
    if output_options.json:
        print_json(
            {"path": conversion.aof.path, "output": None, **outcome_json(conversion, bytes_to_json), "receipt": None}
        )
        return
    for line in _summary_lines(conversion, make_painter()):
        print_line(line)
    print_line(f"  nothing was written: {_write_hint(conversion, output_options)}")


def dry_run(conversion: Conversion) -> None:
    """Find out what it comes to, without writing it."""
    with progress_bar(conversion.size, "reading") as on_progress:
        dry_run_conversion(conversion, on_progress)


def _write_hint(conversion: Conversion, output_options: OutputOptions) -> str:
    if output_options.plan:
        return f"aofdoctor apply {text.shell_quote(output_options.plan)} -o OUT does it"
    needs_lossy = conversion.report.loss_count and not conversion.lossy
    return f"-o OUT writes a copy{', with --lossy' if needs_lossy else ''}"


def _require_exchangeable(conversion: Conversion, output_options: OutputOptions) -> None:
    """Refuse an exchange that would leave something else under a name than it says."""
    if output_options.in_place and conversion.request.layout:
        raise RefusedEdit("another layout cannot take the place of this one", "write a copy with -o")
    if output_options.in_place and conversion.aof.layout == "rdb" and conversion.request.base == "resp":
        raise RefusedEdit(
            "commands cannot take the place of a dump: a server looks for an RDB there", "write a copy with -o"
        )


def _save_plan(conversion: Conversion, path: Path) -> None:
    """Write a plan to a new file: what was asked, of which files, and what it comes to."""
    write_durably(path, json_bytes({
        "aofdoctor": aofdoctor.__version__, "kind": "plan", "path": os.path.abspath(conversion.aof.path),
        "recipe": conversion.recipe, "source": source_fingerprints(conversion.aof), **totals_json(conversion),
    }))  # fmt: skip


def _write_and_report(conversion: Conversion, output_options: OutputOptions) -> None:
    proof_lines: list[str] = []
    destination = str(exchange_path(conversion.aof)) if output_options.in_place else str(output_options.output)
    receipt = _write_output(conversion, output_options, destination, proof_lines)
    if output_options.json:
        backup_json = {"kept": str(receipt.output)} if output_options.in_place else {}
        print_json(
            {
                "path": conversion.aof.path,
                "output": destination,
                **outcome_json(conversion, bytes_to_json),
                "receipt": str(receipt.path),
            }
            | backup_json
            | ({"proven": proof_lines[0]} if proof_lines else {})
        )
        return
    paint = make_painter()
    result_lines = (
        exchange_result_lines(conversion.aof, receipt, Path(destination), paint)
        if output_options.in_place
        else _result_lines(conversion, receipt)
    )
    for line in (*_summary_lines(conversion, paint), "", *proof_lines, *result_lines):
        print_line(line)


def _write_output(
    conversion: Conversion, output_options: OutputOptions, destination: str, proof_lines: list[str]
) -> Receipt:
    proof = load_tester(proof_lines) if output_options.prove else None
    if output_options.in_place:
        confirm_exchange(conversion.aof, output_options)
    with progress_bar(conversion.size, "writing") as on_progress:

        def write(output: Path, instead_of: Path | None = None) -> Receipt:
            return write_conversion(conversion, output, on_progress, proof, output_options.hash, instead_of)

        return (
            exchange(conversion.aof, write, output_options.force_in_use)
            if output_options.in_place
            else write(Path(destination))
        )


def _summary_lines(conversion: Conversion, paint: Paint) -> Iterator[str]:
    """What became, or would become, of the parts."""
    report = conversion.report
    yield paint(f"convert {text.display_path(conversion.aof.path)}", "strong")
    yield f"  before  {text.format_size(conversion.size)}, {text.format_count(conversion.commands, 'command')} beside the base"
    yield f"  after   {text.format_size(conversion.output_size)}"
    for (db, kind), count in sorted(report.keys.items()):
        yield f"  db{db}  {text.format_count(count, 'key')} of type {kind}"
    if report.reencoded_keys:
        yield f"  {text.format_count(report.reencoded_keys, 'key')} written as another type"
    if report.shifted_commands:
        yield f"  expiries of {text.format_count(report.shifted_commands, 'command')} moved"
    for loss in report.losses[:_LISTED_MAX]:
        yield paint(f"  - db{loss.db}  {loss.type} {text.quote(loss.key)}  cannot be said there: {loss.why}", "gone")
    if report.loss_count > _LISTED_MAX:
        yield paint(f"  - and {report.loss_count - _LISTED_MAX:,} more", "gone")
    yield from (f"  {note}" for note in [*conversion.notes, *conversion_notes(conversion)])


def _result_lines(conversion: Conversion, receipt: Receipt) -> Iterator[str]:
    """What was written, and where it is to stand."""
    paint = make_painter()
    yield paint(f"written: {text.display_path(short_path(receipt.output))}", "good") + "  on disk, read again"
    yield f"receipt: {text.display_path(short_path(receipt.path))}"
    for warning in receipt.warnings:
        yield paint(f"WARNING  {warning}", "warning")
    if conversion.request.layout or conversion.aof.layout == "rdb":
        yield _USAGE_NOTES[_output_kind(conversion)]
        return
    yield ""
    yield "To use it:"
    for number, step in enumerate(replacement_steps(conversion.aof, receipt.output), 1):
        yield f"  {number}. {text.display_path(step)}"


_USAGE_NOTES = {
    "set": "It is an appenddirname for a server of 7.0 or later, in the place of the single file.",
    "single": "It is an appendfilename: check --server says whether a server before 7.0 loads it; a later one takes it "
    "over where it has no manifest.",
    "dump": "It is a dbfilename for a server with appendonly no.",
}


def _output_kind(conversion: Conversion) -> str:
    if conversion.manifest:
        return "set"
    dump = conversion.aof.layout == "rdb" and conversion.request.base != "resp"
    return "dump" if dump else "single"
