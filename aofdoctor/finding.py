"""Something that is true of an AOF and that its owner should know."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much it matters; the value is the word in JSON."""

    DANGER = "danger"  # data is gone, or the next step of a server would destroy it
    DAMAGE = "damage"  # what should be there is not, or not whole
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """`part`, `start` and `end` say where; `detail` and `hint` are whole sentences or empty."""

    code: str
    severity: Severity
    message: str
    part: str = ""
    start: int | None = None
    end: int | None = None
    detail: str = ""
    hint: str = ""
