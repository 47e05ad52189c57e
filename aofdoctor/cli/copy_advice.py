"""Gather what the advice after a copy needs, and print it: the examination of the copy, and the users of its source."""

from pathlib import Path

from aofdoctor import text
from aofdoctor.advice.after_copy import advice_after_copy
from aofdoctor.advice.processes import servers_using
from aofdoctor.advice.replacement import SourceReplacement
from aofdoctor.check.examine import examine
from aofdoctor.cli.console import Invocation, Paint, print_line, progress_bar
from aofdoctor.cli.options import open_path
from aofdoctor.cli.views.steps import step_lines
from aofdoctor.edit.edit import Edit
from aofdoctor.edit.output.in_use import UseState, in_use
from aofdoctor.free_names import free_name


def print_copy_advice(edit: Edit, output: Path, paint: Paint) -> None:
    """Examine the copy at `output` as `check` does, and print what to do with it; closes the files of the source."""
    with open_path(str(output), note_other_sets=False) as copy:
        total = sum(part.size or 0 for part in copy.existing_parts)
        with progress_bar(total, "checking") as on_progress:
            report = examine(copy, progress=on_progress)
        files = [Path(part.path) for part in edit.aof.existing_parts if part.path]
        edit.aof.close()
        is_free = all(in_use(path).state is UseState.FREE for path in files)
        repeat = _repeated_command(str(output))
        replacement = SourceReplacement(edit.aof, output, Invocation.started_at, is_free, repeat)
        for advice in advice_after_copy(edit, replacement, report, servers_using(edit.aof)):
            print_line()
            print_line(advice.title)
            for line in step_lines(advice.steps, paint):
                print_line(line)


def _repeated_command(output: str) -> str:
    """The shell command of this run with a free name for its output."""
    again = free_name(output, "again")
    words, previous = ["aofdoctor"], ""
    for word in Invocation.args:
        is_output = previous in ("-o", "--output") or word.startswith(("--output=", "-o"))
        words.append(word.removesuffix(output) + again if is_output and word.endswith(output) else word)
        previous = word
    return " ".join(map(text.shell_word, words))
