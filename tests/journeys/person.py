"""Follow printed steps literally, and do what only a person can do where a sentence asks for it."""

import os
import pty
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.journeys.steps import PrintedStep, Section, read_hints, read_sections
from tests.journeys.world import World

_COMMAND_SECONDS = 120
_START = re.compile(r"[Ss]tart the server with appendonly (yes|no)")
_INTENDED = "If it was intended"  # A flush was an accident in every journey.
_DEPTH_MAX = 8
_LISTS_CHOICES = "list the"
_MAY_FIND_DAMAGE = ("See what is left", "Look")


class JourneyError(AssertionError):
    """A printed step failed, or led nowhere; the message has the transcript."""


@dataclass
class Person:
    """Somebody who does what is printed.

    `prefers` are words in the sentence of an alternative ("Or ...") that this person chooses.  `answers` is typed at
    prompts; without a terminal there are none.
    """

    world: World
    prefers: Sequence[str] = ()
    has_terminal: bool = True
    transcript: list[str] = field(default_factory=list)
    is_started: bool = False
    folder: Path | None = None

    def check_and_follow(self, path: str | None = None) -> None:
        """Run check, and follow what it prints until the server is started."""
        self.follow(self.run(f"aofdoctor check {shlex.quote(path or self.world.data.name)}", (0, 1)))
        if not self.is_started:
            self.fail("the printed steps end before the server is started")

    def run(self, command: str, statuses: Sequence[int] = (0,)) -> str:
        """Run one command line in the working directory; fail if its exit status is not one of `statuses`."""
        was_running = self.world.is_running
        status, output = self.run_shell(command)
        self.transcript.append(f"$ {command}\n{output}[{status}]")
        if status not in statuses:
            self.fail(f"exit status {status} of: {command}")
        if was_running and re.search(r"\b(SHUTDOWN|stop)\b", command):
            self.world.wait_until_ended()
        return output

    def run_shell(self, command: str) -> tuple[int, str]:
        """Return (exit status, output) of a command line; a terminal answers y."""
        environment = self.world.environment
        if self.world.password:
            environment = environment | {"REDISCLI_AUTH": self.world.password}
        master, slave = pty.openpty()
        os.write(master, b"y\ny\n")
        try:
            done = subprocess.run(
                ["sh", "-c", command],
                stdin=slave if self.has_terminal else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.folder or self.world.root,
                env=environment,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        finally:
            os.close(master)
            os.close(slave)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def follow(self, output: str, depth: int = 0) -> None:
        """Follow every section of an output; without one, the hints of its gravest finding."""
        if depth > _DEPTH_MAX:
            self.fail("the steps lead in a circle")
        sections = [section for section in read_sections(output) if not section.title.startswith(_INTENDED)]
        if not any(step.commands for section in sections if not _is_first_aid(section) for step in section.steps):
            sections += self._hinted(output)
        for section in sections:
            for step in self._chosen(section.steps):
                if self.is_started and step.commands:
                    self.fail(f"steps follow after the server is started: {step.sentence}")
                self.take(step, depth)

    def _hinted(self, output: str) -> list[Section]:
        hints = read_hints(output)
        for severity in ("DANGER", "DAMAGE", "WARNING", "NOTE"):
            for found, step in hints:
                if found == severity:
                    return [Section(f"hint of a {severity}", [step])]
        return []

    def _chosen(self, steps: list[PrintedStep]) -> list[PrintedStep]:
        """Leave one of each group of alternatives."""
        chosen: list[PrintedStep] = []
        for step in steps:
            if not step.is_alternative:
                chosen.append(step)
            elif any(words in step.sentence for words in self.prefers):
                chosen[-1] = step
        return chosen

    def take(self, step: PrintedStep, depth: int) -> None:
        """Do what a step asks for."""
        if "from starting it again" in step.sentence:
            self.world.is_supervisor_stopped = True
        for command in step.commands:
            statuses = (0, 1) if step.sentence.startswith(_MAY_FIND_DAMAGE) else (0,)
            output = self.run(self._filled(command, step), statuses)
            self.follow(output, depth + 1)
        if match := _START.search(step.sentence):
            self.transcript.append(f"-- start the server with appendonly {match[1]}")
            if self.world.is_running:
                self.fail("a server runs already where the steps start it")
            self.world.start(match[1])
            self.is_started = True

    def _filled(self, command: str, step: PrintedStep) -> str:
        """Add what a sentence asks the person to add."""
        if "add -h HOST -p PORT" in step.sentence:
            command = command.replace("redis-cli", f"redis-cli -p {self.world.port}")
        return command

    def fail(self, message: str) -> None:
        """Raise an error with everything that was done."""
        raise JourneyError("\n".join([*self.transcript, f"FAILED: {message}"]))


def _is_first_aid(section: Section) -> bool:
    return section.title.startswith("First aid")
