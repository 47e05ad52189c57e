"""aofdoctor check: examine an AOF, report findings, and say how each server version would load it."""

from typing import TYPE_CHECKING, Annotated

import typer

from aofdoctor.advice.after_check import advice_after_check
from aofdoctor.check.collect import collect_findings, is_sound, without_repair_hints
from aofdoctor.check.examine import examine
from aofdoctor.check.neighbours.judge import judge_neighbours
from aofdoctor.check.report import Report, needs_salvage
from aofdoctor.cli import options
from aofdoctor.cli.console import make_painter, print_json, progress_bar
from aofdoctor.cli.options import open_path, parse_server_names
from aofdoctor.cli.views.check_json import report_to_json
from aofdoctor.cli.views.check_text import print_report
from aofdoctor.cli.views.salvage_estimate import salvage_json, salvage_lines
from aofdoctor.server.configuration import DATABASES_DEFAULT, ServerConfiguration
from aofdoctor.server.versions import VERSIONS

if TYPE_CHECKING:
    from aofdoctor.edit.salvage.estimate import SalvageEstimate

EPILOG = """\b
Examples:
  aofdoctor check /var/lib/redis                     the data directory
  aofdoctor check appendonly.aof --server redis-6.2  judged by the server it is for
  aofdoctor check appendonlydir --server all --json
  zstd -dc backup.aof.zst | aofdoctor check -

\b
Exit status: 0 sound; 1 damage, or the server that wrote it (or the one named) would not load it whole; 2 usage;
3 could not read; 130 interrupted.  A flush is a finding and does not change the status.  Unknown commands leave
it at 0, unless a version named with --server lacks one, or one looks like a renamed FLUSHALL."""


def check(
    path: options.PathArgument,
    server: Annotated[
        list[str] | None,
        typer.Option("--server", metavar="LINE", help=f"Judge by this line as well: {', '.join(VERSIONS)}, or all."),
    ] = None,
    databases: options.DatabasesOption = None,
    cluster: options.ClusterOption = False,
    corrupt_tail: options.CorruptTailOption = 0,
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode the values of every RDB, and compare its key names.")
    ] = False,
    first_aid: Annotated[
        bool, typer.Option("--first-aid", help="Show what to do at once on the server's host, in any case.")
    ] = False,
    json: options.JsonOption = False,
) -> None:
    """What is wrong, and what each server would do with it.

    Nothing is written.  All parts are read from the first byte to the last.
    The values of an RDB of more than 1 MB are decoded with --deep, or if it is damaged.
    """
    server_names = parse_server_names(server)
    explicit_names = parse_server_names([name for name in server or () if name != "all"])
    configuration = ServerConfiguration(databases or DATABASES_DEFAULT, cluster, corrupt_tail)
    with open_path(path, read_errors_are_damage=True, note_other_sets=False) as aof:
        total = sum(part.size or 0 for part in aof.existing_parts)
        with progress_bar(total, "reading") as on_progress:
            report = examine(aof, server_names, on_progress, explicit_names, configuration, deep)
        report.neighbours = judge_neighbours(aof)
        findings = collect_findings(report)
        estimate = _estimate_salvage(report) if needs_salvage(report) else None
        is_readable = estimate is None or not estimate.is_empty
        if not is_readable:
            findings = without_repair_hints(report, findings)
        advice = advice_after_check(report, findings, first_aid, is_readable)
        if json:
            print_json(report_to_json(report, findings, advice) | salvage_json(estimate))
        else:
            print_report(report, findings, advice, make_painter(), salvage_lines(estimate))
        sound = is_sound(report)
    raise typer.Exit(0 if sound else 1)


def _estimate_salvage(report: Report) -> "SalvageEstimate | None":
    # Imported late: check of an undamaged AOF starts without the edits.
    from aofdoctor.edit.salvage.estimate import estimate_salvage

    return estimate_salvage(report)
