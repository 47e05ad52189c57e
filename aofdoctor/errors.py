"""Exceptions for requests that the program cannot or must not carry out.

Defects in the data never raise an exception: they are reported as Damage or
Finding, so that the report is complete.  OSError is passed on unchanged.
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
    """The request matches several AOFs or several flushes, and the user has to choose one."""


class InvalidSelection(AofdoctorError):
    """A position, time, filter or option on the command line is invalid."""


class RefusedEdit(AofdoctorError):
    """An edit of an AOF (strip, repair, convert...) is refused because it would lose or endanger data."""


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
    """An input file shrank or was replaced while it was read, or is not the file of the saved plan or receipt."""


class SandboxError(AofdoctorError):
    """The temporary Redis or Valkey server of verify, demo or --prove did not start, or it did not answer."""


class LoadError(SandboxError):
    """The private server ran and refused the files, or reached a limit of memory or disk while it loaded them."""


class LoadTimeoutError(LoadError):
    """The private server did not load the files within its time limit."""
