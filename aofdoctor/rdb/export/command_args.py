"""The items that an export of an RDB yields: commands, and notes about data that no target command can create."""

from typing import NamedTuple

from aofdoctor.rdb.encoding.cursor import String

CommandArgs = list[String]  # a command: its name and its arguments


class Unsupported(NamedTuple):
    """A part of an RDB value that no command of the target can create; the rest of the value is exported."""

    description: str
