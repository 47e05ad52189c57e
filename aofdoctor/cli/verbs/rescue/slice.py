"""aofdoctor slice: write a copy of an AOF with only the selected commands, in a form that loads by itself."""

from aofdoctor.cli import options
from aofdoctor.cli.console import progress_bar
from aofdoctor.cli.edit_runner import run_edit
from aofdoctor.cli.options import open_path
from aofdoctor.cli.output_options import OutputOptions, with_output_options
from aofdoctor.edit.planners.slice import plan_from_recipe
from aofdoctor.edit.recipes import make_edit

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
    """A copy with only the selected commands.

    Without -o or --in-place it prints its plan and writes nothing.  Each command runs in its own
    database; a transaction with a selected command stays whole; what defines
    scripts and functions stays.  Of an RDB base or preamble the selected keys stay.
    Commands that use selected and other keys are named: they may need more than is kept.
    """
    with open_path(path) as aof:
        recipe = {"selection": selection_options}
        run_edit(make_edit(plan_from_recipe, "slice", aof, recipe, output_options.writes, progress_bar), output_options)
