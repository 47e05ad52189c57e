"""One step of printed advice: what to do in a sentence, and the commands that do it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A sentence for a person, and shell commands that can be pasted as they are; none where only a person can act."""

    sentence: str
    commands: tuple[str, ...] = ()
