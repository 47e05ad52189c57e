"""The rules by which the records of two AOFs are compared.

They say which arguments are names, where case does not count, and for which
commands the selected database does not matter.  Both sides of a comparison use
the same rules.
"""

from typing import NamedTuple

from aofdoctor.aof.constants import FIRST_ID
from aofdoctor.diff.units.columns import ANY_DATABASE
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.tracker import ContextTracker

# Commands with the same effect in every database.
DATABASE_INDEPENDENT = frozenset({"flushall", "swapdb", "script", "function", "ping", "config", "acl", "publish"})


class ComparisonRules(NamedTuple):
    """The rules by which diff decides whether two commands are equal.

    `key` is the 16-byte key of the digests, random for each run; `exact` compares the bytes of records instead of
    their arguments.  By command id, `name_counts` is the number of leading arguments that are names (GET: 1,
    XGROUP CREATE: 2), and `actions` the action of the context tracker, plus ANY_DATABASE.
    """

    key: bytes
    exact: bool
    name_counts: bytearray
    actions: bytearray

    @classmethod
    def create(cls, key: bytes, exact: bool) -> "ComparisonRules":
        """Build the rules from the command table."""
        commands = command_table()
        names, act = bytearray([1]) * commands.size, bytearray(ContextTracker().actions)
        for command in commands.commands:
            names[command.id] = 2 if command.container else 1
            act[command.id] |= ANY_DATABASE if {command.name, command.container} & DATABASE_INDEPENDENT else 0
        act[: FIRST_ID - 1] = bytes(FIRST_ID - 1)
        return cls(key, exact, names, act)

    def name_count(self, number: int) -> int:
        """Return how many leading arguments of a command are names; 1 for unknown commands."""
        return self.name_counts[number] if number < len(self.name_counts) else 1
