"""What diff compares: a unit (a command, a transaction or an RDB key), its position, and runs of adjacent units.

A unit takes effect at once: a transaction, or a command outside of one.  Each
command that recreates an RDB key is a unit too.  Bytes that are not commands
(damage, RDB contents that no command can represent) are units that are compared
as bytes.
"""

from typing import NamedTuple

from aofdoctor.diff.units.columns import UnitKind


class DiffPosition(NamedTuple):
    """The start of a record outside of a transaction, or of a key in an RDB.

    `db` and `time` are the context there, `commands` and `transactions` the numbers before it.  In an RDB, `chunk`
    of the commands of the key come before the position.
    """

    part: int = 0
    offset: int = 0
    db: int = 0
    time: int = -1
    commands: int = 0
    transactions: int = 0
    chunk: int = 0


class Unit(NamedTuple):
    """What diff compares as one: a command, a transaction or a command of an RDB key; one value per UnitColumn.

    `first_command` and `last_command` are command numbers; `db` and `time` are the context at its first command.
    The offsets of an RDB unit are those of its key; `chunk` is the index among the commands of that key.
    """

    digest: int
    part: int
    start: int
    end: int
    db: int
    tx: int
    time: int
    first_command: int
    commands: int
    kind: int
    last_command: int
    chunk: int

    @property
    def is_opaque(self) -> bool:
        """Whether the unit holds bytes that are compared without decoding (damage, RDB bytes), not commands."""
        return UnitKind.RDB <= self.kind < UnitKind.KEY

    def position(self, transactions: int) -> DiffPosition:
        """Return the position where the command or transaction starts, after `transactions` other transactions."""
        return DiffPosition(self.part, self.start, self.db, self.time, self.first_command - 1, transactions, self.chunk)

    def end_position(self, transactions: int) -> DiffPosition:
        """Return the position after the command or transaction; `transactions` counts the transactions up to there."""
        return DiffPosition(self.part, self.end, self.db, self.time, self.last_command, transactions)


class UnitRun(NamedTuple):
    """Adjacent units (commands, transactions, RDB keys) of one file, from `first` to `last`.

    An opaque unit or an unfinished transaction is a run of its own.
    """

    first: Unit
    last: Unit
    commands: int
    units: int = 1

    @property
    def is_opaque(self) -> bool:
        """Whether the run holds bytes that are compared without decoding (damage, RDB bytes), not commands."""
        return self.first.is_opaque

    @property
    def is_from_rdb(self) -> bool:
        """Whether the run is commands that recreate keys of an RDB."""
        return self.first.kind == UnitKind.KEY


def to_signed(value: int) -> int:
    """Convert a digest to the signed 64-bit integer that a column holds."""
    return value - (1 << 64) if value >= 1 << 63 else value
