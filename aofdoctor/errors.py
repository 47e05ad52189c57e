"""Exceptions for requests that the program cannot or must not carry out.

Defects of the data never raise: they are reported as Damage or Finding, so
that the report is complete.  OSError is passed on unchanged.
"""

from typing import Any


class AofdoctorError(Exception):
    """An error for the user: one line that states the fact, and a hint about the next step."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotAnAof(AofdoctorError):
    """The file contains no complete command, annotation or RDB magic."""


class AmbiguousRequest(AofdoctorError):
    """The request matches several things, and the user has to choose one."""


class InvalidSelection(AofdoctorError):
    """A position, time, selection or option is invalid."""


class RefusedEdit(AofdoctorError):
    """An edit is refused because it would lose or endanger data."""


class NothingReadable(RefusedEdit):
    """A salvage would keep nothing: no command, no key and no function library can be read."""


class NothingToDo(AofdoctorError):
    """The request is valid and changes nothing, so nothing was written; the exit status is 0.

    `outcome` is the JSON object of the verb, if it has one.
    """

    def __init__(self, message: str, hint: str = "", outcome: dict[str, Any] | None = None) -> None:
        super().__init__(message, hint)
        self.outcome = outcome


class SourceChanged(AofdoctorError):
    """A file shrank while it was read, or is not the file that a plan or receipt was made for."""


class SandboxError(AofdoctorError):
    """The private server could not be started, or it did not answer."""
