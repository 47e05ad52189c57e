"""What a command does to its keys, in plain Python: the twin of what census.h makes of a record.

It serves for records too that are larger than a window: arguments come one by
one, and of none more than a piece is held.  Where a value is told whole, its
digest is that of the value, whatever command told it: SET and a string of an
RDB, the members that SADD adds one after another and those of a set, in any
order, what RPUSH appends and a list.  Of any other command the digest is that
of its arguments without the key.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from itertools import islice

from aofdoctor.aof.records import Arg
from aofdoctor.diff.hashing.digest import Digest
from aofdoctor.rdb.encoding.cursor import LargeString

_WORD = (1 << 64) - 1
FIELDS_COMPARED = 64
_TIME_DIGITS = 15


class KeyOp(IntEnum):
    """What an event does to a key."""

    DELETE = 0
    SET = 1  # to a value, with an expiry or none
    VALUE = 2  # to a value; its expiry stays
    MIX = 3  # depends on what was there
    SUM = 4  # so too, but the order of such events among themselves does not matter
    FIRST = 5  # to a value if it was not there; else it depends on what was
    EXPIRE = 6


class CommandEffect(IntEnum):
    """What a command does to the keys that are its first arguments; OTHER is not known here."""

    NOTHING = 0
    MIX = 1
    SET = 2
    SETS = 3
    SET_NEW = 4
    DELETE = 5
    APPEND = 6
    UNITE = 7
    FIELDS = 8
    EXPIRE_MS = 9
    EXPIRE_S = 10
    PERSIST = 11
    OTHER = 12


class DigestTag(IntEnum):
    """Whose digest it is."""

    COMMAND = 0
    STRING = 1
    LIST = 2
    SET = 3
    HASH = 4
    ZSET = 5
    FIELD_EXPIRY = 6
    DIRECTORY = 7
    RELATIVE = 8
    RAW = 9


Word = Arg | LargeString
Args = Callable[[], Iterator[Arg]]
Event = tuple[int, int, int, int]  # the key's digest, that of what is done to it, its expiry, an Op


def key_events(key: bytes, does: int, args: Args, argc: int, base: bool) -> Iterator[Event]:
    """What a command with its key first does; `base`: it is of a base, in which each element stands once."""
    rest = islice(args(), 1, None)
    if does == CommandEffect.DELETE:
        yield from ((name_digest(key, gone), 0, 0, KeyOp.DELETE) for gone in rest)
    elif does == CommandEffect.SETS:
        for one, value in zip(rest, rest, strict=False):
            yield name_digest(key, one), value_digest(key, DigestTag.STRING, value), 0, KeyOp.SET
    elif does in _EACH:
        tag, op = _EACH[does]
        name = name_digest(key, next(rest))
        yield from ((name, value_digest(key, tag, arg), 0, op) for arg in rest)
    else:
        found = _ONE[does](key, args, argc, base) if does in _ONE else None
        yield (name_digest(key, next(rest)), *(found or (command_digest(key, args()), 0, KeyOp.MIX)))


_EACH: dict[int, tuple[DigestTag, KeyOp]] = {
    CommandEffect.APPEND: (DigestTag.LIST, KeyOp.MIX),
    CommandEffect.UNITE: (DigestTag.SET, KeyOp.SUM),
}


# -- digests --


def words(digest: Digest, *args: Word, lower: bool = False) -> Digest:
    """The digest of words after what went before."""
    for arg in args:
        digest.number(len(arg) if isinstance(arg, bytes | LargeString) else arg.size)
        for piece in (arg,) if isinstance(arg, bytes) else _eights(arg.pieces()):
            digest.piece(piece, lower)
    return digest


def _eights(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces of a multiple of eight but for the last."""
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) & ~7
        yield rest[:whole]
        rest = rest[whole:]
    yield rest


def name_digest(key: bytes, name: Word) -> int:
    """The digest of a key's name."""
    return words(Digest(key), name).value()


def value_digest(key: bytes, tag: int, *args: Word) -> int:
    """The digest of words; `tag` says of what."""
    return words(Digest(key).number(tag), *args).value()


def command_digest(key: bytes, args: Iterable[Word], places: Iterable[int] = (1,), names: int = 1) -> int:
    """The digest of a command without its keys; the first arguments are names, whose case does not count."""
    digest, keys = Digest(key).number(DigestTag.COMMAND), frozenset(places)
    for n, arg in enumerate(args):
        if n not in keys:
            words(digest, arg, lower=n < names)
    return digest.value()


# -- what is done to one key: (digest, expiry, op) --

_Found = tuple[int, int, int] | None


def _set(key: bytes, args: Args, argc: int, base: bool) -> _Found:
    argv = list(islice(args(), 6))
    how = _options(key, argv) if 2 < argc < 6 else None
    return how and (value_digest(key, DigestTag.STRING, argv[2]), *how)


def _options(key: bytes, argv: list[Arg]) -> tuple[int, int] | None:
    """How SET with options acts: the expiry and the op."""
    option = argv[3].lower() if len(argv) > 3 and isinstance(argv[3], bytes) else b""
    if len(argv) == 3:
        return 0, KeyOp.SET
    if len(argv) == 4:
        ops = {b"keepttl": KeyOp.VALUE, b"nx": KeyOp.FIRST, b"get": KeyOp.SET}
        return (0, ops[option]) if option in ops else None
    expire = 0
    if option in (b"pxat", b"exat"):
        expire = _time(argv[4], 1 if option == b"pxat" else 1000)
    elif option in (b"px", b"ex"):
        expire = value_digest(key, DigestTag.RELATIVE, argv[3], argv[4])
    return (expire, KeyOp.SET) if expire else None


def _set_new(key: bytes, args: Args, argc: int, base: bool) -> _Found:
    return (value_digest(key, DigestTag.STRING, next(islice(args(), 2, None))), 0, KeyOp.FIRST) if argc > 2 else None


def _fields(key: bytes, args: Args, argc: int, base: bool) -> _Found:
    if argc % 2 or argc < 4 or (not base and (argc - 2) // 2 > FIELDS_COMPARED):
        return None
    total, seen, rest = 0, set[int](), islice(args(), 2, None)
    for field, value in zip(rest, rest, strict=False):
        total += value_digest(key, DigestTag.HASH, field, value)
        if not base:
            seen.add(name_digest(key, field))
    total &= _WORD
    if not total or (not base and len(seen) < (argc - 2) // 2):
        return None
    return total, 0, KeyOp.SUM if base else KeyOp.FIRST


def _expires(key: bytes, args: Args, argc: int, scale: int) -> _Found:
    expire = _time(next(islice(args(), 2, None)), scale) if argc == 3 else 0
    return (command_digest(key, args()), expire, KeyOp.EXPIRE) if expire else None


def _persist(key: bytes, args: Args, argc: int, base: bool) -> _Found:
    return (command_digest(key, args()), 0, KeyOp.EXPIRE) if argc == 2 else None


def _time(arg: Arg, scale: int) -> int:
    return int(arg) * scale if isinstance(arg, bytes) and arg.isdigit() and len(arg) <= _TIME_DIGITS else 0


_ONE: dict[int, Callable[[bytes, Args, int, bool], _Found]] = {
    CommandEffect.SET: _set,
    CommandEffect.SET_NEW: _set_new,
    CommandEffect.FIELDS: _fields,
    CommandEffect.EXPIRE_MS: lambda key, args, argc, base: _expires(key, args, argc, 1),
    CommandEffect.EXPIRE_S: lambda key, args, argc, base: _expires(key, args, argc, 1000),
    CommandEffect.PERSIST: _persist,
}
