"""When *we* cannot go on.

What is wrong with the bytes is Damage or a Finding and never raises: evidence
is reported whole.  These are for a question that has no answer, or an answer
that must not be given.  OSError passes through.
"""


class AofdoctorError(Exception):
    """Something that the user has to know: one factual line, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotAnAof(AofdoctorError):
    """No whole command, annotation or RDB magic anywhere."""


class AmbiguousRequest(AofdoctorError):
    """More than one answer is right, and only the user can choose."""


class InvalidSelection(AofdoctorError):
    """A position, time or selection that cannot be meant."""


class RefusedEdit(AofdoctorError):
    """The request would make things worse."""


class SourceChanged(AofdoctorError):
    """The file shrank, or is not the one that a plan or a receipt was made for."""


class SandboxError(AofdoctorError):
    """The private server could not be started, or did not answer."""
