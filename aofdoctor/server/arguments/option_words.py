"""Know which options of SET and of the EXPIRE commands each server version has; any other is a syntax error.

Source: the documentation of the commands (history of each option) and real servers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aofdoctor.server.versions import ServerVersion, version_number

FIRST_OPTION = 3  # the index of the first option in the arguments, counting the command name as 0


class OptionWord(NamedTuple):
    """An option of a command, such as EX of SET, and the first Redis and Valkey that know it (None: none does).

    `takes_integer`: an integer follows the option.
    """

    takes_integer: bool
    redis: tuple[int, int] | None
    valkey: tuple[int, int] | None = (7, 2)


_FLAG_2_6, _NUMBER_2_6 = OptionWord(False, (2, 6)), OptionWord(True, (2, 6))
_SET_OPTIONS = {
    b"NX": _FLAG_2_6,
    b"XX": _FLAG_2_6,
    b"EX": _NUMBER_2_6,
    b"PX": _NUMBER_2_6,
    b"KEEPTTL": OptionWord(False, (6, 0)),
    b"GET": OptionWord(False, (6, 2)),
    b"EXAT": OptionWord(True, (6, 2)),
    b"PXAT": OptionWord(True, (6, 2)),
}
_EXPIRE_OPTIONS = {word: OptionWord(False, (7, 0)) for word in (b"NX", b"XX", b"GT", b"LT")}
# Options of SET that take a value of any form, with the first versions that know them.
_COMPARISONS: dict[bytes, tuple[tuple[int, int] | None, tuple[int, int] | None]] = {
    b"IFEQ": ((8, 4), (8, 1)),
    b"IFNE": ((8, 4), None),
    b"IFDEQ": ((8, 4), None),
    b"IFDNE": ((8, 4), None),
}
OPTIONS_BY_COMMAND: dict[str, dict[bytes, OptionWord]] = {
    "set": _SET_OPTIONS,
    **dict.fromkeys(("expire", "pexpire", "expireat", "pexpireat"), _EXPIRE_OPTIONS),
}


def unknown_option(version: ServerVersion, command: str, argv: Sequence[bytes]) -> str:
    """Return why a server version does not accept the options of a command, in a few words; empty if it does.

    `argv` is the command with its name; `command` is the name in lower case, one of OPTIONS_BY_COMMAND.  A version that
    is only announced accepts everything.
    """
    if version.is_announced:
        return ""
    at = FIRST_OPTION
    while at < len(argv):
        size = _option_size(version, command, argv, at)
        if not size:
            return f"{command.upper()} with options that it does not have"
        at += size
    return ""


def _option_size(version: ServerVersion, command: str, argv: Sequence[bytes], at: int) -> int:
    """Return how many arguments the option at index `at` of a command takes, its name included.

    It is 0 if the server version does not know the option, or its value is invalid.
    """
    word = argv[at].upper() if len(argv[at]) < 16 else b""
    if command == "set" and word in _COMPARISONS and at + 1 < len(argv):
        return 2 if _knows(version, *_COMPARISONS[word]) else 0
    option = OPTIONS_BY_COMMAND[command].get(word)
    if option is None or not _knows(version, option.redis, option.valkey):
        return 0
    if not option.takes_integer:
        return 1
    return 2 if at + 1 < len(argv) and len(argv[at + 1]) < 20 and argv[at + 1].lstrip(b"-").isdigit() else 0


def _knows(version: ServerVersion, redis: tuple[int, int] | None, valkey: tuple[int, int] | None) -> bool:
    since = valkey if version.name.startswith("valkey") else redis
    return since is not None and version_number(version.name) >= since
