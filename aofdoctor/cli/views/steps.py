"""Steps as text: numbered sentences, and below each its commands, alone on their lines so that they can be pasted."""

from collections.abc import Iterable, Iterator

from aofdoctor.advice.step import Step
from aofdoctor.cli.console import Paint
from aofdoctor.text import wrap

_COMMAND_INDENT = "       "


def step_lines(steps: Iterable[Step], paint: Paint) -> Iterator[str]:
    """Number the steps; a sentence is broken at 80 columns, a command never is."""
    for number, step in enumerate(steps, 1):
        sentence = step.sentence[0].upper() + step.sentence[1:].rstrip(".")
        yield from wrap(f"{sentence}{':' if step.commands else '.'}", first=f"{number:3}. ", rest="     ")
        yield from (f"{_COMMAND_INDENT}{paint(command, 'strong')}" for command in step.commands)
