"""Findings: facts about an AOF, other than damaged bytes, that `check` and `stats` report, such as a FLUSHALL in it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How serious a Finding is; the value of a member is the word that --json prints."""

    DANGER = "danger"  # data is lost, or the next step of a server would destroy it
    DAMAGE = "damage"  # expected data is missing or incomplete
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about an AOF that a user should know, such as a FLUSHALL; `code` identifies its kind for scripts.

    `part` is the file, `start` and `end` are byte offsets in it, or None.
    `detail` is a complete sentence or empty.  `commands` are shell commands that can be pasted, and `hint` says what
    they do.
    """

    code: str
    severity: Severity
    message: str
    part: str = ""
    start: int | None = None
    end: int | None = None
    detail: str = ""
    hint: str = ""
    commands: tuple[str, ...] = ()
