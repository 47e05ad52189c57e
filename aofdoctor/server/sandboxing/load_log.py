"""Read from the log of a private server why it did not start, and what its loader counted.

The lines are those of Redis 6.2 to 8.10 and Valkey 9.1.  A crash report follows its cause, so the first line that
states a cause is taken, not the last line.
"""

import re
from typing import NamedTuple

_LINE = re.compile(r"^\d+:[A-Z] .*? [.\-*#] (.*)$")
_START_REMARK = "<lua>"  # Valkey misses the renamed CONFIG at its start
_REPORT = "BUG REPORT START"
_CAUSES = (
    "-> ", "Bad file format", "Unexpected end of file", "Can't handle RDB", "Wrong signature", "RDB CRC error",
    "Short read", "nknown command", "Unrecoverable error", "Error reading", "ASSERTION FAILED", "crashed by signal",
    "Out Of Memory", "out of memory", "Guru Meditation", "Can't open", "Fatal",
)  # fmt: skip
_PREFIX = re.compile(r"^Internal error in RDB reading offset \d+, function at [\w.]+:\d+ -> ")
_LOADED = re.compile(r"Done loading RDB, keys loaded: (\d+), keys expired: (\d+)(?:, empty keys skipped: (\d+))?")


class RdbLoad(NamedTuple):
    """What a server counted while it loaded RDBs: keys that it has, that had expired, and that had no elements."""

    loaded: int
    expired: int
    empty: int


def failure_reason(log: str) -> str:
    """Return the server's own reason for not starting, from its log and output; a remark if it gives none."""
    messages = [match[1] if (match := _LINE.match(line)) else line.strip() for line in log.splitlines()]
    messages = [message for message in messages if message and not message.startswith(_START_REMARK)]
    cause = next((message for message in messages if _states_cause(message)), "")
    if cause:
        return _PREFIX.sub("", cause)
    return messages[-1] if messages else "it left no word in its log"


def _states_cause(message: str) -> bool:
    return _REPORT not in message and any(words in message for words in _CAUSES)


def rdb_loads(log: str) -> RdbLoad | None:
    """Return the counts over all RDBs that a server has loaded; None if its log has none (before Redis 6.2)."""
    found = [tuple(int(number or 0) for number in match) for match in _LOADED.findall(log)]
    if not found:
        return None
    return RdbLoad(*(sum(column) for column in zip(*found, strict=True)))
