"""aofdoctor slice: a copy with only the selected commands."""

from aofdoctor.cli import options
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.cli.plan_runner import WRITE_HINT, run_plan
from aofdoctor.cli.recipes import make_plan

EPILOG = """\b
Examples:
  aofdoctor slice appendonly.aof --key 'user:42:*'   the plan: what would stay
  aofdoctor slice /var/lib/redis --db 3 -o db3       the commands of one database, that load by themselves
  aofdoctor slice appendonly.aof --since -1h -o last-hour.aof

\b
Exit status: 0 planned or done; 2 usage, or nothing is selected; 3 could not; 130 interrupted."""


@options.with_selection_options
@with_output_options
def slice_(
    path: options.WritablePathArgument,
    *,
    output_options: OutputOptions,
    selection_options: options.SelectionOptions,
) -> None:
    """A copy with only the selected commands, that stands on its own.

    Without -o or --in-place it prints its plan and writes nothing.  Each command runs in its own
    database; a transaction with a selected command stays whole; what defines
    scripts and functions stays.  Of an RDB base or preamble the selected keys stay.
    """
    with open_path(path) as aof:
        run_plan(
            make_plan("slice", aof, {"selection": selection_options}, output_options.writes), output_options, WRITE_HINT
        )
