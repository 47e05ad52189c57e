"""The items that an export yields: commands, and notes about parts of values that no command can create."""

from typing import NamedTuple

from aofdoctor.rdb.encoding.cursor import String

CommandArgs = list[String]


class Unsupported(NamedTuple):
    """A part of a value that no command of the target can create; the rest of the value is exported."""

    description: str
