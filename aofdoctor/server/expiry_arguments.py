"""Find and shift the absolute expiry times in the arguments of commands such as PEXPIREAT and SET ... PXAT.

A relative expiry counts from the time of the load and is not changed.  Expiries inside scripts and RESTORE payloads are
not found.  Sources: the syntax of the commands (COMMAND DOCS of Redis 8.2 and Valkey 9.1; MSETEX of Redis 8.4).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aofdoctor.aof.records import Arg
from aofdoctor.rdb.conversion import clamp_expiry

ARGS_SEARCHED = 64  # arguments that are searched for options; only options after many keys can come later
_UNITS = {b"EXAT": 1000, b"PXAT": 1}

ExpiryArgs = Iterator[tuple[int, int]]  # (index of the argument, milliseconds of one of its units)


def _second_arg(unit: int) -> Callable[[Sequence[Any]], ExpiryArgs]:
    def places(argv: Sequence[Any]) -> ExpiryArgs:
        yield 2, unit

    return places


def _among_options(start: int, end: bytes = b"") -> Callable[[Sequence[Any]], ExpiryArgs]:
    """Return a function that finds the value of EXAT or PXAT among the options of a command.

    The options begin at index `start` of the arguments and end at the word `end`, if it is not empty.
    """

    def places(argv: Sequence[Any]) -> ExpiryArgs:
        for at in range(start, len(argv) - 1):
            word = _word(argv[at])
            if end and word == end:
                return
            if word in _UNITS:
                yield at + 1, _UNITS[word]
                return

    return places


def _restore(argv: Sequence[Any]) -> ExpiryArgs:
    if any(_word(arg) == b"ABSTTL" for arg in argv[4:]) and argv[2] != b"0":
        yield 2, 1


def _msetex(argv: Sequence[Any]) -> ExpiryArgs:
    count = argv[1]
    if isinstance(count, bytes) and count.isdigit() and len(count) < 10:
        yield from _among_options(2 + 2 * int(count))(argv)


EXPIRY_FINDERS: dict[bytes, Callable[[Sequence[Any]], ExpiryArgs]] = {
    b"EXPIREAT": _second_arg(1000),
    b"PEXPIREAT": _second_arg(1),
    b"HEXPIREAT": _second_arg(1000),
    b"HPEXPIREAT": _second_arg(1),
    b"SET": _among_options(3),
    b"GETEX": _among_options(2),
    b"HSETEX": _among_options(2, b"FIELDS"),
    b"HGETEX": _among_options(2, b"FIELDS"),
    b"MSETEX": _msetex,
    b"RESTORE": _restore,
    b"RESTORE-ASKING": _restore,
}


def shift_expiry(argv: list[Any], shift_ms: int) -> list[Any]:
    """Return a command with its absolute expiry times shifted by `shift_ms`; the same list if nothing changes."""
    for at, unit in find_expiries(argv) if shift_ms else ():
        time = b"%d" % clamp_expiry(int(argv[at]) + shift_ms // unit, unit)
        argv = argv if time == argv[at] else [*argv[:at], time, *argv[at + 1 :]]
    return argv


def find_expiries(argv: Sequence[Arg | Any]) -> ExpiryArgs:
    """Yield (index, unit in milliseconds: 1 or 1000) for each argument of a command that is an absolute expiry time."""
    find = EXPIRY_FINDERS.get(_word(argv[0])) if argv else None
    for at, unit in find(argv) if find and len(argv) > 2 else ():
        value = argv[at]
        if isinstance(value, bytes) and value.isdigit() and len(value) < 20:
            yield at, unit


def _word(arg: Any) -> bytes:
    return arg.upper() if isinstance(arg, bytes) and len(arg) < 20 else b""
