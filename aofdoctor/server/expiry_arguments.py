"""Where absolute expiries stand in commands, and the same commands with them moved.

A relative expiry counts from the load and is left alone; what a script or a
RESTORE payload holds is not seen.  Sources: the commands' own syntax (COMMAND
DOCS of Redis 8.2 and Valkey 9.1; MSETEX of Redis 8.4).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aofdoctor.aof.records import Arg

LOOK = 64  # arguments that are looked at: every option stands among them but those behind many keys
_UNITS = {b"EXAT": 1000, b"PXAT": 1}
_LEAST, _MOST = 1, (1 << 63) - 1

Places = Iterator[tuple[int, int]]  # (which argument, how many ms one of its units has)


def _second(unit: int) -> Callable[[Sequence[Any]], Places]:
    def places(argv: Sequence[Any]) -> Places:
        yield 2, unit

    return places


def _options(start: int, end: bytes = b"") -> Callable[[Sequence[Any]], Places]:
    """EXAT or PXAT among the options from `start` on, up to the word `end`."""

    def places(argv: Sequence[Any]) -> Places:
        for at in range(start, len(argv) - 1):
            word = _word(argv[at])
            if end and word == end:
                return
            if word in _UNITS:
                yield at + 1, _UNITS[word]
                return

    return places


def _restore(argv: Sequence[Any]) -> Places:
    if any(_word(arg) == b"ABSTTL" for arg in argv[4:]) and argv[2] != b"0":
        yield 2, 1


def _msetex(argv: Sequence[Any]) -> Places:
    count = argv[1]
    if isinstance(count, bytes) and count.isdigit() and len(count) < 10:
        yield from _options(2 + 2 * int(count))(argv)


PLACES: dict[bytes, Callable[[Sequence[Any]], Places]] = {
    b"EXPIREAT": _second(1000),
    b"PEXPIREAT": _second(1),
    b"HEXPIREAT": _second(1000),
    b"HPEXPIREAT": _second(1),
    b"SET": _options(3),
    b"GETEX": _options(2),
    b"HSETEX": _options(2, b"FIELDS"),
    b"HGETEX": _options(2, b"FIELDS"),
    b"MSETEX": _msetex,
    b"RESTORE": _restore,
    b"RESTORE-ASKING": _restore,
}


def shift_expiry(argv: list[Any], shift_ms: int) -> list[Any]:
    """A command with its absolute expiry moved; the very same list where it has none."""
    for at, unit in expiries(argv) if shift_ms else ():
        time = b"%d" % min(_MOST // unit, max(_LEAST, int(argv[at]) + shift_ms // unit))
        argv = argv if time == argv[at] else [*argv[:at], time, *argv[at + 1 :]]
    return argv


def expiries(argv: Sequence[Arg | Any]) -> Places:
    """Which arguments are absolute expiries, as numbers that a server would take."""
    find = PLACES.get(_word(argv[0])) if argv else None
    for at, unit in find(argv) if find and len(argv) > 2 else ():
        value = argv[at]
        if isinstance(value, bytes) and value.isdigit() and len(value) < 20:
            yield at, unit


def _word(arg: Any) -> bytes:
    return arg.upper() if isinstance(arg, bytes) and len(arg) < 20 else b""
