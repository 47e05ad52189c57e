"""What a conversion of an RDB came to: the keys by database and shape, and what could not be said.

Bounded: of what is lost the first are kept by name, the rest is counted.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

LOSSES_NAMED_MAX = 1000  # losses that are kept by name


class Loss(NamedTuple):
    """Something that the target cannot be told; `key` is empty where it belongs to no key."""

    db: int
    key: bytes
    type: str
    why: str


@dataclass(slots=True)
class ConversionReport:
    """`keys` by (database, shape); `recoded` keys written in another way; `moved` commands whose expiry was moved.

    `hints`: what servers do without, by name.
    """

    keys: Counter[tuple[int, str]] = field(default_factory=Counter)
    reencoded_keys: int = 0
    shifted_commands: int = 0
    losses: list[Loss] = field(default_factory=list)
    loss_count: int = 0
    dropped_hints: Counter[str] = field(default_factory=Counter)

    def record_loss(self, db: int, key: bytes, type_name: str, reason: str) -> None:
        """Note a loss."""
        self.loss_count += 1
        if len(self.losses) < LOSSES_NAMED_MAX:
            self.losses.append(Loss(max(db, 0), key[:1024], type_name, reason))
