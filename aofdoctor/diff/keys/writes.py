"""Apply the write commands of an AOF to a key table.

The compiled code (key_table/slots.py) applies the common commands, which have
their key first.  This module applies the others: commands with several keys,
those that flush or swap databases, and records larger than a window.  The result
of a command depends on the digests of the keys that it reads; a key that is only
read is not changed.
"""

import functools
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from struct import pack
from typing import NamedTuple

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.records import Arg, RecordBatch
from aofdoctor.diff.key_table.constants import mix_digest
from aofdoctor.diff.key_table.effects import (
    OTHER_OPS,
    CommandEffect,
    DigestTag,
    KeyEvent,
    KeyOp,
    command_digest,
    key_events,
    name_digest,
    value_digest,
)
from aofdoctor.diff.key_table.table import KeyTable, pack_position
from aofdoctor.diff.keys.command_classes import ALSO_CHANGING, SETTING_EXPIRY, SINGLE_KEY_EFFECTS
from aofdoctor.log.selection import Selection
from aofdoctor.server.command_table import CommandSpec, command_table, key_uses

_ARGS_MAX = 1 << 16  # arguments of an oversized record that are searched for keys
_ARGUMENT_HEAD = 64
_FLOAT = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?inf(inity)?", re.IGNORECASE).fullmatch

_EFFECTS_BY_NAME = {
    "set": CommandEffect.SET,
    "setnx": CommandEffect.SETNX,
    "mset": CommandEffect.MSET,
    "del": CommandEffect.DELETE,
    "unlink": CommandEffect.DELETE,
    "rpush": CommandEffect.RPUSH,
    "sadd": CommandEffect.SADD,
    "hset": CommandEffect.HSET,
    "hmset": CommandEffect.HSET,
    "pexpireat": CommandEffect.PEXPIREAT,
    "expireat": CommandEffect.EXPIREAT,
    "persist": CommandEffect.PERSIST,
}
_MULTI_KEY_EFFECTS = frozenset({CommandEffect.MSET, CommandEffect.DELETE})


class WriteCommand(NamedTuple):
    """One command that writes keys; `base` is True if it is from a base file, which a server wrote in a rewrite."""

    part: int
    batch: RecordBatch
    i: int
    db: int
    base: bool

    @property
    def argc(self) -> int:
        """The number of arguments of the command, its name included."""
        return self.batch.argc[self.i]

    @property
    def position(self) -> int:
        """The place of the command in the AOF, packed into one integer (pack_position)."""
        return pack_position(self.part, self.batch.record_span(self.i).start)

    def args(self) -> Iterator[Arg]:
        """Iterate over the arguments of the command without holding all of them in memory."""
        return self.batch.args(self.i)

    def first_arguments(self, start: int, stop: int | None = None) -> list[bytes]:
        """Return the arguments `start` to `stop`; of a large one the first bytes."""
        return [arg if isinstance(arg, bytes) else arg.head(_ARGUMENT_HEAD) for arg in islice(self.args(), start, stop)]


class KeyWrites:
    """Applies the write commands in batches of AOF records to a key table."""

    def __init__(self, key_table: KeyTable, selection: Selection) -> None:
        self.table, self.key, self.selection = key_table, key_table.key, selection
        # Of a command with several keys, only the selected ones are changed.
        self.selects_keys = bool(selection.keys) and not selection.invert
        self._effects = [_effect_table(self.selects_keys, base) for base in (False, True)]

    def apply_batch(
        self, part: int, batch: RecordBatch, dbs: "array[int]", selected: bytearray | None, base: bool
    ) -> None:
        """Apply the selected write commands of a batch of records to the key table."""
        effects, at = self._effects[base], 0
        if batch.oversized:
            if selected is None or selected[0]:
                self._apply(WriteCommand(part, batch, 0, dbs[0], base), effects)
            return
        while (at := self.table.apply_batch(batch, dbs, part, selected, at, effects, base)) < batch.count:
            self._apply(WriteCommand(part, batch, at, dbs[at], base), effects)
            at += 1

    def _apply(self, write: WriteCommand, effects: bytearray) -> None:
        number = write.batch.ids[write.i]
        effect, known = effects[number if number < len(effects) else 0], command_table().get(number)
        if effect == CommandEffect.NONE:
            return
        if effect == CommandEffect.OTHER and known is not None:
            effect = _EFFECTS_BY_NAME.get(known.name, CommandEffect.OTHER)
        if effect != CommandEffect.OTHER and write.argc > 1:
            self._put_events(write, key_events(self.key, effect, write.args, write.argc, write.base))
        else:
            handlers = _BASE_HANDLERS if write.base else _HANDLERS
            handler = handlers.get(known.name, _apply_generic) if known else _apply_unknown
            if write.argc > 1 or handler in _WITHOUT_ARGUMENTS:
                handler(self, write)

    def _put_events(self, write: WriteCommand, events: Iterable[KeyEvent]) -> None:
        selected, position, put = self._selected_names(write), write.position, self.table.put
        for name, digest, expire, op in events:
            if selected is None or name in selected:
                put(name, digest, expire, position, write.db, op)

    def _selected_names(self, write: WriteCommand) -> set[int] | None:
        """Return the digests of the selected names among a command's arguments; None for all."""
        if not self.selects_keys:
            return None
        return {name_digest(self.key, arg) for arg in write.args() if self._is_selected(arg)}

    def _is_selected(self, name: Arg) -> bool:
        data = name if isinstance(name, bytes) else name.head(1 << 16)
        return any(pattern.match(data) for pattern in self.selection.keys)

    # -- used by the handlers below --

    def key_accesses(self, write: WriteCommand) -> list[tuple[int, str, int]]:
        """Return (argument index, access, digest) of each key that a command names."""
        words = write.first_arguments(0, _ARGS_MAX)
        known = command_table().get(write.batch.ids[write.i])
        uses = dict(key_uses(known, words)) if known else {}
        args = enumerate(islice(write.args(), len(words)))
        return [(at, uses[at], name_digest(self.key, arg)) for at, arg in args if at in uses]

    def content_of(self, write: WriteCommand, name: int) -> int:
        """Return the digest of a key's value, or of its name if the table does not have the key."""
        return self.table.get_key(name, write.db)[0] or name

    def put(
        self, write: WriteCommand, at: int, name: int, digest: int, expire: int, op: int, db: int | None = None
    ) -> None:
        """Add an event for the key at argument `at`, if the key is selected."""
        if not self.selects_keys or self._is_selected(next(islice(write.args(), at, None))):
            self.table.put(name, digest, expire, write.position, write.db if db is None else db, op)

    def keyless_digest(self, write: WriteCommand, key_indexes: Iterable[int]) -> int:
        """Return the digest of a command without its keys."""
        known = command_table().get(write.batch.ids[write.i])
        return command_digest(self.key, write.args(), key_indexes, 2 if known and known.container else 1)


def _apply_generic(writes: KeyWrites, write: WriteCommand) -> None:
    """Change the keys that a command writes, depending on all keys that it names.

    It may fail, for instance at a key of the wrong type, and then keeps the old value: so that counts as well.
    """
    uses = writes.key_accesses(write)
    digest = writes.keyless_digest(write, [at for at, _, _ in uses])
    op = KeyOp.ANY if _can_set_expiry(write) else KeyOp.REMOVE
    if len(uses) == 1:
        writes.put(write, uses[0][0], uses[0][2], digest, 0, _op_of_single_key(write))
        return
    for _, _, name in uses:
        digest = mix_digest(digest, writes.content_of(write, name))
    for at, access, name in uses:
        if access != "RO":
            writes.put(write, at, name, mix_digest(at, digest), 0, op)


def _op_of_single_key(write: WriteCommand) -> KeyOp:
    """Return the KeyOp of a command with one key that is not its first argument, or that is too large to be scanned."""
    known = command_table().get(write.batch.ids[write.i])
    effects = (effect for names, effect in SINGLE_KEY_EFFECTS if known and known.name in names)
    return OTHER_OPS.get(next(effects, CommandEffect.ANY), KeyOp.ANY)


def _can_set_expiry(write: WriteCommand) -> bool:
    known = command_table().get(write.batch.ids[write.i])
    return known is None or bool(known.effects & {"script", "expire"}) or known.name in SETTING_EXPIRY


def _apply_unknown(writes: KeyWrites, write: WriteCommand) -> None:
    """Change the first argument of an unknown command; any other argument may be a key that it reads."""
    digest = writes.keyless_digest(write, [1])
    for arg in islice(write.args(), 1, _ARGS_MAX):
        digest = mix_digest(digest, writes.content_of(write, name_digest(writes.key, arg)))
    name = next(islice(write.args(), 1, None))
    writes.put(write, 1, name_digest(writes.key, name), mix_digest(1, digest), 0, KeyOp.ANY)


class _Place(NamedTuple):
    """A key as an argument of a command: the index of the argument, the digest of the name, and the database."""

    at: int
    name: int
    db: int


def _transfer(
    writes: KeyWrites, write: WriteCommand, source: _Place, target: _Place, keeps: bool, replaces: bool
) -> None:
    """Give a key the value and the expiry of another; `keeps` the other, and `replaces` a key that exists.

    Where it is not certain that a key exists, so is the outcome, and all that it depends on is mixed in.
    """
    content, expire = writes.table.get_key(source.name, source.db)
    there, _ = writes.table.get_key(target.name, target.db)
    if content and not content & 1 and (replaces or not there):
        writes.put(write, target.at, target.name, content, expire, KeyOp.SET, target.db)
        if not keeps:
            writes.put(write, source.at, source.name, 0, 0, KeyOp.DELETE, source.db)
    elif content and not content & 1 and not there & 1:
        return  # The target exists, and the command fails.
    else:
        digest = mix_digest(mix_digest(expire, content or source.name), there)
        writes.put(write, target.at, target.name, digest, 0, KeyOp.ANY, target.db)
        if not keeps:
            op = KeyOp.DELETE if replaces else KeyOp.ANY
            writes.put(write, source.at, source.name, 0 if replaces else digest, 0, op, source.db)


def _apply_rename(writes: KeyWrites, write: WriteCommand, replaces: bool = True) -> None:
    for (old_at, _, old), (at, _, new) in _two_keys(writes, write):
        _transfer(writes, write, _Place(old_at, old, write.db), _Place(at, new, write.db), False, replaces)


def _apply_renamenx(writes: KeyWrites, write: WriteCommand) -> None:
    _apply_rename(writes, write, replaces=False)


def _two_keys(writes: KeyWrites, write: WriteCommand) -> Iterator[tuple[tuple[int, str, int], tuple[int, str, int]]]:
    uses = writes.key_accesses(write)
    if len(uses) == 2 and uses[0][2] != uses[1][2]:
        yield uses[0], uses[1]


def _apply_copy(writes: KeyWrites, write: WriteCommand) -> None:
    options = [word.lower() for word in write.first_arguments(3, 8)]
    target = _parse_number(options[at + 1 : at + 2]) if (at := _index(options, b"db")) is not None else write.db
    uses = writes.key_accesses(write)
    if len(uses) == 2 and target is not None and (uses[0][2], write.db) != (uses[1][2], target):
        source, copy = _Place(1, uses[0][2], write.db), _Place(2, uses[1][2], target)
        _transfer(writes, write, source, copy, keeps=True, replaces=b"replace" in options)


def _index(words: list[bytes], word: bytes) -> int | None:
    return words.index(word) if word in words else None


def _apply_move(writes: KeyWrites, write: WriteCommand) -> None:
    name = name_digest(writes.key, next(islice(write.args(), 1, None)))
    target = _parse_number(write.first_arguments(2, 3))
    if target is not None and target != write.db:
        _transfer(writes, write, _Place(1, name, write.db), _Place(1, name, target), keeps=False, replaces=False)


def _apply_flushdb(writes: KeyWrites, write: WriteCommand) -> None:
    writes.table.flush_database(write.db)


def _apply_flushall(writes: KeyWrites, write: WriteCommand) -> None:
    writes.table.flush_all()


def _apply_swapdb(writes: KeyWrites, write: WriteCommand) -> None:
    one, two = (_parse_number([word]) for word in (*write.first_arguments(1, 3), b"", b"")[:2])
    if one is not None and two is not None and one != two:
        writes.table.swap_databases(one, two)


def _parse_number(argument: list[bytes]) -> int | None:
    return int(argument[0]) if argument and argument[0].isdigit() and len(argument[0]) < 10 else None


def _apply_setex(writes: KeyWrites, write: WriteCommand) -> None:
    """Apply SETEX or PSETEX to the key table: a value, and an expiry relative to the time of writing."""
    if write.argc != 4:
        return
    name, later, value = islice(write.args(), 1, 4)
    if not isinstance(later, bytes) or not later.isdigit() or not 0 < int(later[:16]) < 10**15:
        _apply_generic(writes, write)
        return
    expire = value_digest(writes.key, DigestTag.RELATIVE_EXPIRY, *write.first_arguments(0, 1), later)
    digest = value_digest(writes.key, DigestTag.STRING, value)
    writes.put(write, 1, name_digest(writes.key, name), digest, expire, KeyOp.SET)


def _apply_getset(writes: KeyWrites, write: WriteCommand) -> None:
    """Apply GETSET key value to the key table: a SET where the key does not exist; elsewhere its type may be wrong."""
    name, value = (*islice(write.args(), 1, 3), b"")[:2]
    if write.argc != 3 or writes.table.get_key(name_digest(writes.key, name), write.db)[0]:
        _apply_generic(writes, write)
        return
    digest = value_digest(writes.key, DigestTag.STRING, value)
    writes.put(write, 1, name_digest(writes.key, name), digest, 0, KeyOp.SET)


def _apply_getdel(writes: KeyWrites, write: WriteCommand) -> None:
    """Apply GETDEL key to the key table: it fails at a key that is no string, and servers log it as DEL otherwise."""
    name = name_digest(writes.key, next(islice(write.args(), 1, None)))
    if writes.table.get_key(name, write.db)[0]:
        _apply_generic(writes, write)


_Handler = Callable[[KeyWrites, WriteCommand], None]
_HANDLERS: dict[str, _Handler] = {
    "rename": _apply_rename,
    "renamenx": _apply_renamenx,
    "copy": _apply_copy,
    "move": _apply_move,
    "flushdb": _apply_flushdb,
    "flushall": _apply_flushall,
    "swapdb": _apply_swapdb,
    "setex": _apply_setex,
    "psetex": _apply_setex,
    "getset": _apply_getset,
    "getdel": _apply_getdel,
}
_WITHOUT_ARGUMENTS = (_apply_flushdb, _apply_flushall)


# -- base files of commands: each element occurs once, so the order does not matter --


def _apply_zadd(writes: KeyWrites, write: WriteCommand) -> None:
    """Apply ZADD key score member ... of a base of commands to the key table."""
    rest = islice(write.args(), 1, None)
    name = name_digest(writes.key, next(rest))
    for score, member in zip(rest, rest, strict=False):
        data = score if isinstance(score, bytes) else b""
        double = pack("<d", float(data) + 0.0) if _FLOAT(data) else data
        writes.put(write, 1, name, value_digest(writes.key, DigestTag.ZSET, double, member), 0, KeyOp.SUM)


def _apply_hpexpireat(writes: KeyWrites, write: WriteCommand) -> None:
    """Apply HPEXPIREAT key time FIELDS count field ... of a base of commands to the key table."""
    rest = islice(write.args(), 1, None)
    name, time = name_digest(writes.key, next(rest)), _pack_time(next(rest, b""))
    for field in islice(rest, 2, None):
        writes.put(write, 1, name, value_digest(writes.key, DigestTag.FIELD_EXPIRY, time, field), 0, KeyOp.SUM)


def _apply_hsetex(writes: KeyWrites, write: WriteCommand) -> None:
    """Apply HSETEX key [PXAT time] FIELDS count field value ... of a base of commands to the key table."""
    rest = islice(write.args(), 1, None)
    name, time = name_digest(writes.key, next(rest)), b""
    for word in rest:
        if isinstance(word, bytes) and word.lower() == b"pxat":
            time = _pack_time(next(rest, b""))
        elif isinstance(word, bytes) and word.lower() == b"fields":
            break
    for field, value in zip(islice(rest, 1, None), rest, strict=False):
        writes.put(write, 1, name, value_digest(writes.key, DigestTag.HASH, field, value), 0, KeyOp.SUM)
        if time:
            writes.put(write, 1, name, value_digest(writes.key, DigestTag.FIELD_EXPIRY, time, field), 0, KeyOp.SUM)


def _pack_time(word: Arg) -> bytes:
    """Pack a time in milliseconds into the 8 bytes that are digested."""
    return pack("<q", int(word)) if isinstance(word, bytes) and word.isdigit() and len(word) < 19 else b"?"


_BASE_HANDLERS: dict[str, _Handler] = _HANDLERS | {
    "zadd": _apply_zadd,
    "hpexpireat": _apply_hpexpireat,
    "hsetex": _apply_hsetex,
}


@functools.cache
def _effect_table(selects_keys: bool, base: bool) -> bytearray:
    """Return a table from command id to CommandEffect (how a command changes its keys).

    With `selects_keys`, commands with several keys get OTHER, so that only their selected keys are changed.
    """
    effects = bytearray([CommandEffect.OTHER]) * command_table().size
    effects[ANNOTATION] = CommandEffect.NONE
    for known in command_table().commands:
        effects[known.id] = _effect_of(known, base)
        if selects_keys and effects[known.id] in _MULTI_KEY_EFFECTS:
            effects[known.id] = CommandEffect.OTHER
    return effects


def _effect_of(known: CommandSpec, base: bool) -> CommandEffect:
    if known.name in _EFFECTS_BY_NAME:
        return _EFFECTS_BY_NAME[known.name]
    if known.name in (_BASE_HANDLERS if base else _HANDLERS):
        return CommandEffect.OTHER
    if not known.key_specs or not (known.effects & {"write", "script"} or known.name in ALSO_CHANGING):
        return CommandEffect.NONE
    if [spec[:2] for spec in known.key_specs] != [(1, 0)] or known.name == "sort":
        return CommandEffect.OTHER
    return next((effect for names, effect in SINGLE_KEY_EFFECTS if known.name in names), CommandEffect.ANY)
