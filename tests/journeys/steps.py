"""Read printed advice: sections of numbered steps with commands, and the commands of findings."""

import re
from dataclasses import dataclass, field

_STEP = re.compile(r" {1,3}\d+\. (?P<words>\S.*)\Z")
_MORE_WORDS = re.compile(r" {5}(?P<words>\S.*)\Z")
_COMMAND = re.compile(r" {7}(?P<command>\S.*)\Z")
_HINT = re.compile(r" {8}Hint: (?P<words>\S.*)\Z")
_HINT_COMMAND = re.compile(r" {10}(?P<command>\S.*)\Z")
_FINDING = re.compile(r"(?P<severity>DANGER|DAMAGE|WARNING|NOTE)  (?P<message>.*)\Z")


@dataclass
class PrintedStep:
    """A sentence and its commands."""

    sentence: str
    commands: list[str] = field(default_factory=list)

    @property
    def is_alternative(self) -> bool:
        """Whether it replaces the step before it."""
        return self.sentence.startswith("Or ")


@dataclass
class Section:
    """Steps under a title."""

    title: str
    steps: list[PrintedStep] = field(default_factory=list)


def read_sections(output: str) -> list[Section]:
    """Return the sections of an output that have numbered steps, in order."""
    sections: list[Section] = []
    title, is_inside = "", False
    for line in output.splitlines():
        if match := _STEP.match(line):
            if not is_inside:
                sections.append(Section(title))
                is_inside = True
            sections[-1].steps.append(PrintedStep(match["words"]))
        elif is_inside and (match := _COMMAND.match(line)):
            sections[-1].steps[-1].commands.append(match["command"])
        elif is_inside and (match := _MORE_WORDS.match(line)):
            sections[-1].steps[-1].sentence += f" {match['words']}"
        else:
            is_inside, title = False, line
    return sections


def read_hints(output: str) -> list[tuple[str, PrintedStep]]:
    """Return (severity, hint with its commands) of each finding that has a hint with commands."""
    hints: list[tuple[str, PrintedStep]] = []
    severity, is_inside = "", False
    for line in output.splitlines():
        if match := _FINDING.match(line):
            severity, is_inside = match["severity"], False
        elif match := _HINT.match(line):
            hints.append((severity, PrintedStep(match["words"])))
            is_inside = True
        elif is_inside and (match := _HINT_COMMAND.match(line)):
            hints[-1][1].commands.append(match["command"])
        else:
            is_inside = False
    return [(severity, step) for severity, step in hints if step.commands]
