"""The effect of one command on its keys, as events for the key table, in pure Python.

It computes the same events as slots.h and is used for records larger than a
window as well: arguments are read one at a time, and large ones in pieces.

If a command sets a complete value, the event has the digest of the value, however
it was written: SET and a string in an RDB; the members that SADD adds, in any
order, and a set in an RDB; the elements that RPUSH appends and a list in an RDB.
For any other command the event has the digest of the arguments without the key.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from itertools import islice

from aofdoctor.aof.records import Arg
from aofdoctor.diff.hashing.arguments import DigestInput, feed_arguments
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.diff.key_table.constants import even

_WORD_MASK = (1 << 64) - 1
HSET_FIELDS_MAX = 64
_TIME_DIGITS_MAX = 15


class KeyOp(IntEnum):
    """How one change of a key (an event) changes the digest of its value and its expiry in the key table."""

    DELETE = 0
    SET = 1  # the value and the expiry are replaced
    SET_KEEP_EXPIRY = 2  # the value is replaced, the expiry is kept
    MIX = 3  # the new value depends on the old one
    SUM = 4  # the same, but the order of such events does not matter
    SET_IF_ABSENT = 5  # SET for a key that does not exist, MIX for one that does
    EXPIRE = 6  # only the expiry changes
    UPDATE = 7  # MIX by a command that creates no key for certain
    REMOVE = 8  # MIX by a command that can remove the key, and its expiry with it
    ANY = 9  # MIX by a command that can change the expiry in any way, or fail


class CommandEffect(IntEnum):
    """What a command does to the keys at the start of its arguments; OTHER is left to diff/keys/writes.py."""

    NONE = 0
    MIX = 1
    SET = 2
    MSET = 3
    SETNX = 4
    DELETE = 5
    RPUSH = 6
    SADD = 7
    HSET = 8
    PEXPIREAT = 9
    EXPIREAT = 10
    PERSIST = 11
    UPDATE = 12
    REMOVE = 13
    ANY = 14
    OTHER = 15


class DigestTag(IntEnum):
    """The kind of value that a digest was computed from (string, set member, ...); part of the digest."""

    COMMAND = 0
    STRING = 1
    LIST = 2
    SET = 3
    HASH = 4
    ZSET = 5
    FIELD_EXPIRY = 6
    DIRECTORY = 7
    RELATIVE_EXPIRY = 8
    RAW = 9


ArgumentSource = Callable[[], Iterator[Arg]]
KeyEvent = tuple[int, int, int, int]  # digest of the key, digest of the change, expiry, KeyOp


def key_events(key: bytes, effect: int, args: ArgumentSource, argc: int, base: bool) -> Iterator[KeyEvent]:
    """Yield the changes of keys (events) that a command with its key first makes in the key table.

    `base` is True for a command of a base file that a server wrote, where each element is added only once.
    """
    rest = islice(args(), 1, None)
    if effect == CommandEffect.DELETE:
        yield from ((name_digest(key, name), 0, 0, KeyOp.DELETE) for name in rest)
    elif effect == CommandEffect.MSET:
        if argc % 2 == 0:  # A server refuses it.
            return
        for one, value in zip(rest, rest, strict=False):
            yield name_digest(key, one), value_digest(key, DigestTag.STRING, value), 0, KeyOp.SET
    elif effect in _PER_ELEMENT:
        tag, op = _PER_ELEMENT[effect]
        name = name_digest(key, next(rest))
        yield from ((name, value_digest(key, tag, arg), 0, op) for arg in rest)
    else:
        found = _SINGLE_KEY[effect](key, args, argc, base) if effect in _SINGLE_KEY else None
        yield (
            name_digest(key, next(rest)),
            *(found or (command_digest(key, args()), 0, OTHER_OPS.get(effect, KeyOp.ANY))),
        )


# How a command changes a key if only the digest of the whole command is known.
OTHER_OPS: dict[int, KeyOp] = {
    CommandEffect.MIX: KeyOp.MIX,
    CommandEffect.UPDATE: KeyOp.UPDATE,
    CommandEffect.HSET: KeyOp.UPDATE,
    CommandEffect.REMOVE: KeyOp.REMOVE,
}
_PER_ELEMENT: dict[int, tuple[DigestTag, KeyOp]] = {
    CommandEffect.RPUSH: (DigestTag.LIST, KeyOp.MIX),
    CommandEffect.SADD: (DigestTag.SET, KeyOp.SUM),
}


# -- digests --


def name_digest(key: bytes, name: DigestInput) -> int:
    """Return the digest of a key's name."""
    return feed_arguments(Digest(key), name).value()


def value_digest(key: bytes, tag: int, *args: DigestInput) -> int:
    """Return the digest of the strings of one element of a value of the kind `tag`, such as a field and its value."""
    return feed_arguments(Digest(key).add_number(tag), *args).value()


def command_digest(
    key: bytes, args: Iterable[DigestInput], key_indexes: Iterable[int] = (1,), name_count: int = 1
) -> int:
    """Return the digest of a command without its keys.

    The first `name_count` arguments are command names: upper and lower case count as equal.
    """
    digest, keys = Digest(key).add_number(DigestTag.COMMAND), frozenset(key_indexes)
    for n, arg in enumerate(args):
        if n not in keys:
            feed_arguments(digest, arg, lowercase=n < name_count)
    return digest.value()


# -- effects on one key: (digest, expiry, op) --

_KeyEffect = tuple[int, int, int] | None


def _set(key: bytes, args: ArgumentSource, argc: int, base: bool) -> _KeyEffect:
    argv = list(islice(args(), 6))
    expiry_and_op = _set_options(key, argv) if 2 < argc < 6 else None
    return expiry_and_op and (value_digest(key, DigestTag.STRING, argv[2]), *expiry_and_op)


def _set_options(key: bytes, argv: list[Arg]) -> tuple[int, int] | None:
    """Return the expiry and the KeyOp of SET by its options; None if the options are not supported."""
    option = argv[3].lower() if len(argv) > 3 and isinstance(argv[3], bytes) else b""
    if len(argv) == 3:
        return 0, KeyOp.SET
    if len(argv) == 4:
        ops = {b"keepttl": KeyOp.SET_KEEP_EXPIRY, b"nx": KeyOp.SET_IF_ABSENT}
        return (0, ops[option]) if option in ops else None
    expire = 0
    if option in (b"pxat", b"exat"):
        expire = _parse_time(argv[4], 1 if option == b"pxat" else 1000)
    elif option in (b"px", b"ex") and _parse_time(argv[4], 1):
        expire = value_digest(key, DigestTag.RELATIVE_EXPIRY, argv[3], argv[4])
    return (expire, KeyOp.SET) if expire else None


def _setnx(key: bytes, args: ArgumentSource, argc: int, base: bool) -> _KeyEffect:
    return (
        (value_digest(key, DigestTag.STRING, next(islice(args(), 2, None))), 0, KeyOp.SET_IF_ABSENT)
        if argc > 2
        else None
    )


def _hset(key: bytes, args: ArgumentSource, argc: int, base: bool) -> _KeyEffect:
    if argc % 2 or argc < 4 or (not base and (argc - 2) // 2 > HSET_FIELDS_MAX):
        return None
    total, field_names, rest = 0, set[int](), islice(args(), 2, None)
    for field, value in zip(rest, rest, strict=False):
        total += even(value_digest(key, DigestTag.HASH, field, value))
        if not base:
            field_names.add(name_digest(key, field))
    total &= _WORD_MASK
    if not total or (not base and len(field_names) < (argc - 2) // 2):
        return None
    return total, 0, KeyOp.SUM if base else KeyOp.SET_IF_ABSENT


def _expireat(key: bytes, args: ArgumentSource, argc: int, scale: int) -> _KeyEffect:
    expire = _parse_time(next(islice(args(), 2, None)), scale) if argc == 3 else 0
    return (command_digest(key, args()), expire, KeyOp.EXPIRE) if expire else None


def _persist(key: bytes, args: ArgumentSource, argc: int, base: bool) -> _KeyEffect:
    return (command_digest(key, args()), 0, KeyOp.EXPIRE) if argc == 2 else None


def _parse_time(arg: Arg, scale: int) -> int:
    return int(arg) * scale if isinstance(arg, bytes) and arg.isdigit() and len(arg) <= _TIME_DIGITS_MAX else 0


_SINGLE_KEY: dict[int, Callable[[bytes, ArgumentSource, int, bool], _KeyEffect]] = {
    CommandEffect.SET: _set,
    CommandEffect.SETNX: _setnx,
    CommandEffect.HSET: _hset,
    CommandEffect.PEXPIREAT: lambda key, args, argc, base: _expireat(key, args, argc, 1),
    CommandEffect.EXPIREAT: lambda key, args, argc, base: _expireat(key, args, argc, 1000),
    CommandEffect.PERSIST: _persist,
}
