"""Carry out a planned edit by the output options: show it, save it as a plan file, write a copy, or edit in place."""

import sys
from pathlib import Path
from typing import Any

import typer

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.cli.console import (
    bytes_to_json,
    make_painter,
    outcome_on_failed_output,
    print_json,
    print_line,
    progress_bar,
)
from aofdoctor.cli.copy_advice import print_copy_advice
from aofdoctor.cli.output_options import OutputOptions
from aofdoctor.cli.proof import Proof
from aofdoctor.cli.views.edit_text import exchange_result_lines, short_path, view_of
from aofdoctor.edit.edit import Edit, write_edit
from aofdoctor.edit.output.exchange import exchange, exchange_path
from aofdoctor.edit.output.receipt import OutputVerifier, Receipt
from aofdoctor.edit.plan import Plan
from aofdoctor.edit.saved_plan import save_plan
from aofdoctor.errors import InvalidSelection


def run_edit(
    edit: Edit, output_options: OutputOptions, write_hint: str | None = None, is_dry_run_done: bool = False
) -> None:
    """Print the summary of a planned edit, then save it as a plan file or write its output, by the options.

    `write_hint` is printed if nothing is written, and says how to write; the default depends on the kind of edit.
    `is_dry_run_done`: the totals of the edit are already computed.
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
    """Return the JSON object that the editing verbs print with --json; `output` is None if nothing was written."""
    return {
        "path": edit.aof.path, "output": output, **edit.outcome_json(bytes_to_json),
        "receipt": str(receipt) if receipt else None,
    }  # fmt: skip


def confirm(question: str, yes: bool) -> None:
    """Ask the user before an edit in place, unless `yes`; raises an exception for "no", or if there is no terminal."""
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
    proof = None if output_options.prove is False else Proof(bool(output_options.prove), _planned_keys(edit))
    receipt = _write_output(edit, output_options, proof.verify if proof else None)
    done = f"the edit is done: {text.display_path(destination)}, receipt {text.display_path(str(receipt.path))}"
    with outcome_on_failed_output(done, is_done=True):
        _print_result(edit, output_options, receipt, destination, proof)
    _exit_if_doubtful(proof)


def _print_result(
    edit: Edit, output_options: OutputOptions, receipt: Receipt, destination: str, proof: Proof | None
) -> None:
    if output_options.json:
        backup_json = {"kept": str(receipt.output)} if output_options.in_place else {}
        proof_json = proof.as_json() if proof else {}
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
    for line in ("", *(proof.lines() if proof else ()), *result_lines):
        print_line(line)
    if not output_options.in_place and view_of(edit).is_advised(edit):
        print_copy_advice(edit, receipt.output, paint)


def _planned_keys(edit: Edit) -> int | None:
    """The number of RDB keys that a plan states for its output; None if it states none."""
    return edit.keys.after if isinstance(edit, Plan) and edit.keys.by_part else None


def _exit_if_doubtful(proof: Proof | None) -> None:
    """End with status 1 if the server that loaded the output found something missing."""
    if proof and proof.warnings:
        raise typer.Exit(1)


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
