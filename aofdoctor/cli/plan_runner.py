"""What the verbs that edit say of a plan, and of what became of it."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

import aofdoctor
from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.check.sandbox_load import LoadFailure, load_in_sandbox
from aofdoctor.cli.console import Paint, make_painter, print_json, print_line, progress_bar
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions
from aofdoctor.edit.output.copy import write_copy
from aofdoctor.edit.output.durable import json_bytes, write_durably
from aofdoctor.edit.output.exchange import exchange, exchange_path
from aofdoctor.edit.output.fingerprint import fingerprint
from aofdoctor.edit.output.overwrite import FileOverwrites
from aofdoctor.edit.output.receipt import OutputVerifier, Receipt
from aofdoctor.edit.plan import Plan
from aofdoctor.errors import InvalidSelection, RefusedEdit

_LISTED_MAX = 20
WRITE_HINT = "-o OUT writes a copy, --in-place keeps the old one beside it"
_START_WITH_AOF = "start the server with appendonly yes, look at DBSIZE, and only then rewrite: BGREWRITEAOF"
_ADOPTION_NOTE = "a server of 7.0 or later takes a single file over only where its appenddirname has no manifest"
_START_WITH_DUMP = (
    "start the server with appendonly no (yes reads no dump), look at DBSIZE, then CONFIG SET appendonly yes"
)
_START_STEPS = {
    "multi-part": (_START_WITH_AOF,),
    "single": (_ADOPTION_NOTE, _START_WITH_AOF),
    "rdb": (_START_WITH_DUMP,),
}


def plan_json(
    plan: Plan, output: str | None, receipt: Path | None = None, changed_in_place: bool = False
) -> dict[str, Any]:
    """The contract of strip --json and repair --json; `output` is None for a plan that was not carried out."""
    totals = plan.totals_json()
    if changed_in_place:  # a PING stands in the place of each flush
        totals["bytes"] |= {"after": plan.size, "dropped": 0}
    return {
        "path": plan.aof.path,
        "output": output,
        "changed": plan.changes_output,
        **totals,
        "dropped": plan.listed_drops_json(),
        **plan.reconstructions_json(),
        "notes": plan.notes,
        "receipt": str(receipt) if receipt else None,
    }


def run_plan(plan: Plan, output_options: OutputOptions, write_hint: str) -> None:
    """Show a plan and do with it what is wished; `how` says what would write it."""
    paint = make_painter()
    for line in () if output_options.json else plan_lines(plan, paint):
        print_line(line)
    if output_options.plan:
        save_plan(plan, Path(output_options.plan))
        write_hint = f"aofdoctor apply {text.shell_quote(output_options.plan)} -o OUT does it"
    if not output_options.writes:
        print_json(plan_json(plan, None)) if output_options.json else print_line(f"  nothing was written: {write_hint}")
        return
    if output_options.in_place and not plan.changes_output:
        raise RefusedEdit("nothing would change: nothing was written")
    proof_lines: list[str] = []
    destination = str(exchange_path(plan.aof)) if output_options.in_place else str(output_options.output)
    receipt = _write_output(plan, output_options, load_tester(proof_lines) if output_options.prove else None)
    if output_options.json:
        backup_json = {"kept": str(receipt.output)} if output_options.in_place else {}
        print_json(
            plan_json(plan, destination, receipt.path)
            | backup_json
            | ({"proven": proof_lines[0]} if proof_lines else {})
        )
        return
    result_lines = (
        exchange_result_lines(plan.aof, receipt, Path(destination), paint)
        if output_options.in_place
        else copy_result_lines(plan, receipt, paint)
    )
    for line in ("", *proof_lines, *result_lines):
        print_line(line)


def _write_output(plan: Plan, output_options: OutputOptions, proof: OutputVerifier | None) -> Receipt:
    if output_options.in_place:
        confirm_exchange(plan.aof, output_options)
    with progress_bar(plan.size, "writing") as on_progress:

        def write(output: Path, instead_of: Path | None = None) -> Receipt:
            return write_copy(plan, output, on_progress, proof, output_options.hash, instead_of)

        return (
            exchange(plan.aof, write, output_options.force_in_use)
            if output_options.in_place
            else write(Path(str(output_options.output)))
        )


def confirm(question: str, yes: bool) -> None:
    """Ask before something is written in place; only a terminal can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidSelection("--in-place asks before it writes, and this is no terminal", "-y answers yes")
    typer.confirm(question, abort=True, err=True)


def confirm_exchange(aof: AOF, output_options: OutputOptions) -> None:
    """Ask before an AOF gives its place to a new one."""
    confirm(
        f"Put the new one in the place of {text.display_path(short_path(exchange_path(aof)))}, and keep the old one?",
        output_options.yes,
    )


def load_tester(proof_lines: list[str]) -> Callable[[Path], None]:
    """What loads a copy in a private server before it has its name, and says so in `proven`."""

    def load_test(copy: Path) -> None:
        with open_path(str(copy)) as aof:
            result = load_in_sandbox(aof)
        if isinstance(result, LoadFailure):
            raise RefusedEdit(f"the copy would not load whole, and is not kept: {'; '.join(result.reasons)}")
        proof_lines.append(f"proven: {result.server} loads it: {text.format_count(result.total, 'key')}")

    return load_test


def source_fingerprints(aof: AOF) -> list[dict[str, Any]]:
    """The fingerprints of an AOF's files, its manifest's too."""
    paths = [part.path for part in aof.existing_parts if part.path]
    paths += [aof.manifest_path] if aof.manifest_path and aof.manifest_path.exists() else []
    return [fingerprint(path, path).as_json() for path in paths]


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan to a new file: what was asked, of which files, and what it comes to."""
    write_durably(path, json_bytes({
        "aofdoctor": aofdoctor.__version__, "kind": "plan", "path": os.path.abspath(plan.aof.path),
        "recipe": plan.recipe, "source": source_fingerprints(plan.aof), **plan.totals_json(),
        "dropped": plan.listed_drops_json(), "notes": plan.notes,
    }))  # fmt: skip


def plan_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    """What goes and what stays, in commands, bytes and percent."""
    yield paint(f"{plan.verb} {text.display_path(plan.aof.path)}", "strong")
    yield f"  before  {text.format_count(plan.commands_before, 'command')}, {text.format_size(plan.size_before)}"
    yield from _reconstruction_lines(plan, paint)
    for drop in plan.listed_drops[:_LISTED_MAX]:
        position = f"{text.display_path(plan.aof.parts[drop.part].name)}@{plan.span_in_file(drop).start}"
        amount = f"{text.format_count(drop.commands, 'command')}, {text.format_size(drop.span.size)}"
        yield paint(f"  - {position}  {amount}  {drop.reason}", "gone")
    if plan.drop_count > _LISTED_MAX:
        yield paint(f"  - and {plan.drop_count - _LISTED_MAX:,} more ranges", "gone")
    after_commands = plan.commands_before + plan.commands_regained - plan.dropped_commands
    after_bytes = plan.size - plan.dropped_bytes
    yield (
        f"  after   {text.format_count(after_commands, 'command')} ({_percent(after_commands, plan.commands_before)}), "
        f"{text.format_size(after_bytes)} ({_percent(after_bytes, plan.size_before)})"
    )
    yield from (f"  {note}" for note in plan.notes)


def _reconstruction_lines(plan: Plan, paint: Paint) -> Iterator[str]:
    for reconstruction in plan.reconstructions[:_LISTED_MAX]:
        position = f"{text.display_path(plan.aof.parts[reconstruction.part].name)}@{reconstruction.span.start}"
        if reconstruction.span.size:
            change = f"{text.format_size(reconstruction.span.size)} become {text.format_size(reconstruction.size)}  {reconstruction.reason}: turned back"
        else:
            change = f"{text.format_size(reconstruction.size)} new  {reconstruction.reason}"
        yield paint(f"  ~ {position}  {change}", "changed")
    if len(plan.reconstructions) > _LISTED_MAX:
        yield paint(f"  ~ and {len(plan.reconstructions) - _LISTED_MAX:,} more ranges", "changed")


def overwrite_lines(plan: Plan, overwrites: list[FileOverwrites], paint: Paint) -> Iterator[str]:
    """What an edit in place would change; everything else stays as it is."""
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


def short_path(path: Path) -> str:
    """A path as short as it can be typed here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def copy_result_lines(plan: Plan, receipt: Receipt, paint: Paint) -> Iterator[str]:
    """What was written, and how to put it in the source's place."""
    yield (
        paint(f"written: {text.display_path(short_path(receipt.output))}", "good")
        + "  on disk, read again, the same but for what went"
    )
    yield f"receipt: {text.display_path(short_path(receipt.path))}"
    if receipt.dropped_path:
        yield f"what went is kept in {text.display_path(short_path(receipt.dropped_path))}, with a map"
    for warning in receipt.warnings:
        yield paint(f"WARNING  {warning}", "warning")
    yield ""
    yield "To use it:"
    for number, step in enumerate(replacement_steps(plan.aof, receipt.output), 1):
        yield f"  {number}. {text.display_path(step)}"


def exchange_result_lines(aof: AOF, receipt: Receipt, destination: Path, paint: Paint) -> Iterator[str]:
    """What stands where after an edit in place, and how to take it back."""
    yield (
        paint(f"done: {text.display_path(short_path(destination))}", "good")
        + "  on disk, read again, the same but for what went"
    )
    yield f"the old one is kept as {text.display_path(short_path(receipt.output))}"
    yield f"receipt: {text.display_path(short_path(receipt.path))}"
    yield f"         aofdoctor undo {text.shell_quote(short_path(receipt.path))} takes it back"
    if receipt.dropped_path:
        yield f"what went is kept in {text.display_path(short_path(receipt.dropped_path))}, with a map"
    for warning in receipt.warnings:
        yield paint(f"WARNING  {warning}", "warning")
    appendonly = "no" if aof.layout == "rdb" else "yes"
    yield f"next:    aofdoctor verify {text.shell_quote(aof.path)}, then start the server with appendonly {appendonly}"


def _percent(part: int, total: int) -> str:
    """Never rounded up to 100 where something is missing; more where something was brought back."""
    if part >= total:
        return f"{part * 100 // total if total else 100}%"
    tenths = min(999, part * 1000 // total) if total else 0
    return f"{tenths / 10:.1f}%"


def replacement_steps(aof: AOF, output: Path) -> list[str]:
    """The exact steps that put an output in the source's place, as lines."""
    source = aof.directory if aof.layout == "multi-part" else Path(aof.parts[0].path or aof.path)
    place, new = text.shell_quote(str(source)), text.shell_quote(str(output))
    return [
        "stop the server:   redis-cli SHUTDOWN NOSAVE   (and keep its supervisor from starting it)",
        f"keep the old one:  mv {place} {place}.before-aofdoctor",
        f"put this in place: mv {new} {place}",
        f"keep its owner:    chown -R --reference={place}.before-aofdoctor {place}",
        f"check it there:    aofdoctor check {place}",
        *_START_STEPS[aof.layout],
    ]
