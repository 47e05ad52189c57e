"""Findings: facts about an AOF that its owner should know, other than damaged bytes."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How serious a finding is; the value is the word in JSON."""

    DANGER = "danger"  # data is lost, or the next step of a server would destroy it
    DAMAGE = "damage"  # expected data is missing or incomplete
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about an AOF, with a stable `code`.

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
