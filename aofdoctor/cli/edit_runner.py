"""Run an edit as the output options ask: show it, save it as a plan, write a copy, or exchange it with the source."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.check.sandbox_load import LoadFailure, load_in_sandbox
from aofdoctor.cli.console import (
    bytes_to_json,
    make_painter,
    outcome_on_failed_output,
    print_json,
    print_line,
    progress_bar,
)
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions
from aofdoctor.cli.views.edit_text import exchange_result_lines, short_path, view_of
from aofdoctor.edit.edit import Edit, write_edit
from aofdoctor.edit.output.exchange import exchange, exchange_path
from aofdoctor.edit.output.receipt import OutputVerifier, Receipt
from aofdoctor.edit.saved_plan import save_plan
from aofdoctor.errors import InvalidSelection, RefusedEdit


def run_edit(
    edit: Edit, output_options: OutputOptions, write_hint: str | None = None, is_dry_run_done: bool = False
) -> None:
    """Show an edit, then save or write it as the options ask.

    `write_hint` is printed if nothing is written; without it the hint of this kind of edit is.
    """
    if not edit.is_counted_by_writing:
        with outcome_on_failed_output("nothing was written yet"):
            _print_summary(edit, output_options)
    if output_options.writes:
        _write_and_report(edit, output_options)
        return
    if edit.is_counted_by_writing and not is_dry_run_done:
        with progress_bar(edit.size, "reading") as on_progress:
            edit.dry_run(on_progress)
    if output_options.plan:
        save_plan(edit, Path(output_options.plan))
        write_hint = f"aofdoctor apply {text.shell_quote(output_options.plan)} -o OUT does it"
    plan_text = f"only the plan {text.display_path(output_options.plan)} was written" if output_options.plan else ""
    with outcome_on_failed_output(plan_text or "nothing was written"):
        if output_options.json:
            print_json(edit_json(edit, None))
            return
        if edit.is_counted_by_writing:
            _print_summary(edit, output_options)
        print_line(f"  nothing was written: {write_hint or view_of(edit).write_hint(edit)}")


def edit_json(edit: Edit, output: str | None, receipt: Path | None = None) -> dict[str, Any]:
    """What the editing verbs print with --json; `output` is None if nothing was written."""
    return {
        "path": edit.aof.path, "output": output, **edit.outcome_json(bytes_to_json),
        "receipt": str(receipt) if receipt else None,
    }  # fmt: skip


def confirm(question: str, yes: bool) -> None:
    """Ask the user before anything is written in place; without a terminal only --yes can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidSelection("--in-place asks before it writes, and this is no terminal", "-y answers yes")
    typer.confirm(question, abort=True, err=True)


def _print_summary(edit: Edit, output_options: OutputOptions) -> None:
    if not output_options.json:
        for line in view_of(edit).summary_lines(edit, make_painter()):
            print_line(line)


def _write_and_report(edit: Edit, output_options: OutputOptions) -> None:
    if output_options.in_place:
        edit.require_exchangeable()
    destination = str(exchange_path(edit.aof)) if output_options.in_place else str(output_options.output)
    proof_lines: list[str] = []
    receipt = _write_output(edit, output_options, _load_tester(proof_lines) if output_options.prove else None)
    done = f"the edit is done: {text.display_path(destination)}, receipt {text.display_path(str(receipt.path))}"
    with outcome_on_failed_output(done, is_done=True):
        _print_result(edit, output_options, receipt, destination, proof_lines)


def _print_result(
    edit: Edit, output_options: OutputOptions, receipt: Receipt, destination: str, proof_lines: list[str]
) -> None:
    if output_options.json:
        backup_json = {"kept": str(receipt.output)} if output_options.in_place else {}
        proof_json = {"proven": proof_lines[0]} if proof_lines else {}
        warnings_json = {"warnings": receipt.warnings}
        print_json(edit_json(edit, destination, receipt.path) | backup_json | proof_json | warnings_json)
        return
    if edit.is_counted_by_writing:
        _print_summary(edit, output_options)
    paint = make_painter()
    result_lines = (
        exchange_result_lines(edit.aof, receipt, Path(destination), paint)
        if output_options.in_place
        else view_of(edit).result_lines(edit, receipt, paint)
    )
    for line in ("", *proof_lines, *result_lines):
        print_line(line)


def _write_output(edit: Edit, output_options: OutputOptions, verifier: OutputVerifier | None) -> Receipt:
    if output_options.in_place:
        _confirm_exchange(edit.aof, output_options)
    with progress_bar(edit.size, "writing") as on_progress:

        def write(output: Path, exchange_with: Path | None = None) -> Receipt:
            return write_edit(edit, output, on_progress, verifier, output_options.hash, exchange_with)

        return (
            exchange(edit.aof, write, output_options.force_in_use)
            if output_options.in_place
            else write(Path(str(output_options.output)))
        )


def _confirm_exchange(aof: AOF, output_options: OutputOptions) -> None:
    confirm(
        f"Put the new one in the place of {text.display_path(short_path(exchange_path(aof)))}, and keep the old one?",
        output_options.yes,
    )


def _load_tester(proof_lines: list[str]) -> Callable[[Path], None]:
    """A verifier that loads an output in a temporary server; on success it adds a line to `proof_lines`."""

    def load_test(copy: Path) -> None:
        with open_path(str(copy)) as aof:
            result = load_in_sandbox(aof)
        if isinstance(result, LoadFailure):
            raise RefusedEdit(f"the copy would not load whole, and is not kept: {'; '.join(result.reasons)}")
        if result.failed_commands:
            failed = text.format_count(result.failed_commands, "command")
            raise RefusedEdit(f"{failed} of the copy failed at replay in {result.server}: the copy is not kept")
        proof_lines.append(f"proven: {result.server} loads it: {text.format_count(result.total, 'key')}")

    return load_test
