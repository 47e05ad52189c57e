"""The command table: names, arity, keys and flags of all commands, by server version.

The data is commands.json, generated from the COMMAND output of real servers by tests/tools/make_commands.py.  EFFECTS
adds what the flags of the servers do not express: the effect of a command on existing data.
"""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION, FIRST_ID, RENAMED_NAME_MAX
from aofdoctor.aof.reader import CommandNames
from aofdoctor.errors import InvalidSelection

# Effects by which users select commands; a command can have several.
EFFECTS: dict[str, frozenset[str]] = {
    "flush": frozenset({"flushall", "flushdb"}),
    "delete": frozenset({
        "del", "unlink", "delex", "getdel", "flushall", "flushdb", "hdel", "hgetdel", "srem", "spop", "zrem", "zpopmin",
        "zpopmax", "zremrangebyrank", "zremrangebyscore", "zremrangebylex", "lpop", "rpop", "lrem", "ltrim", "lmpop",
        "zmpop", "xdel", "xdelex", "xackdel", "xtrim", "xgroup|destroy", "xgroup|delconsumer", "function|flush",
        "function|delete", "script|flush", "rpoplpush", "lmove", "lmovem", "blmovem", "ardel", "ardelrange", "delifeq",
    }),
    "expire": frozenset({
        "expire", "pexpire", "expireat", "pexpireat", "persist", "setex", "psetex", "getex", "hexpire", "hpexpire",
        "hexpireat", "hpexpireat", "hpersist", "hsetex", "hgetex", "msetex", "saddex", "sexpire", "spexpireat",
    }),
    "rename": frozenset({"rename", "renamenx", "move", "swapdb", "copy"}),
    "script": frozenset({"eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro", "function", "script"}),
    "tx": frozenset({"multi", "exec", "discard", "watch", "unwatch"}),
    "select": frozenset({"select"}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command or subcommand of Redis or Valkey, such as "xgroup|create", with its properties in each version.

    `arity` is indexed by column of commands.json (versions.table_column); 0 means that the version does not have the
    command, otherwise it is COMMAND's value.  `key_specs` are the key specifications of the newest version that has
    any: [begin, last, step, limit] or [begin, "num", index, first, step].  `flags` is the union over all versions;
    `flags_by_version` and `keys_by_version` are by column.  `access` has an item for each key specification: the keys
    are overwritten (OW), only read (RO) or both (RW).
    """

    id: int
    name: str
    arity: tuple[int, ...]
    flags: frozenset[str]
    key_specs: tuple[tuple[Any, ...], ...]
    effects: frozenset[str]
    flags_by_version: tuple[frozenset[str], ...]
    keys_by_version: tuple[tuple[tuple[Any, ...], ...], ...]
    access: tuple[str, ...]

    @property
    def container(self) -> str:
        """The name of the command that this is a subcommand of ("xgroup" for "xgroup|create"), or the empty string."""
        return self.name.partition("|")[0] if "|" in self.name else ""


@dataclass(frozen=True, slots=True)
class CommandTable:
    """The commands of all server versions, each with a number (its id).

    `versions` names the columns of commands.json; `names` maps command names to ids, for the reader of AOF files.
    """

    versions: tuple[str, ...]
    commands: tuple[CommandSpec, ...]
    names: CommandNames

    def get(self, number: int) -> CommandSpec | None:
        """Return the command with an id; None for the ids of annotations and of unknown commands."""
        return self.commands[number - FIRST_ID] if number >= FIRST_ID else None

    def find_by_name(self, name: str) -> CommandSpec | None:
        """Return the command with a name in any case, or None; a subcommand can be written with a space or a bar."""
        number = self.names.ids.get(name.strip().lower().replace(" ", "|").encode("utf-8", "surrogateescape"))
        return self.get(number) if number else None

    def ids_of(self, names: frozenset[str]) -> frozenset[int]:
        """Return the ids of the named commands and their subcommands."""
        return frozenset(c.id for c in self.commands if c.name in names or c.container in names)

    def with_effect(self, effect: str) -> frozenset[int]:
        """Return the ids of the commands with an effect: one of EFFECTS (flush, delete ...), "write" or "admin"."""
        return frozenset(c.id for c in self.commands if effect in c.effects)

    @property
    def size(self) -> int:
        """The largest command id plus one: the length of an array that is indexed by command id."""
        return FIRST_ID + len(self.commands)


def command_table() -> CommandTable:
    """Return the command table, which is loaded once; inside `renamed_commands` it has the renamed commands too."""
    return _renamed_table or _load_table()


_renamed_table: CommandTable | None = None


@contextmanager
def renamed_commands(renames: Mapping[str, str]) -> Iterator[None]:
    """Read commands also under the names that a server's rename-command has given them, while the context is open.

    `renames` maps a new name to the name of a command without subcommands.  Raises InvalidSelection for a new name that
    is a command already or too long, and for an unknown command.
    """
    global _renamed_table
    previous = _renamed_table
    if renames:
        table = _load_table()
        aliases = {_new_name(table, name): _renamed_id(table, command) for name, command in renames.items()}
        names = CommandNames.from_list([c.name.encode() for c in table.commands], aliases)
        _renamed_table = replace(table, names=names)
    try:
        yield
    finally:
        _renamed_table = previous


def _new_name(table: CommandTable, name: str) -> bytes:
    new_name = name.encode("utf-8", "surrogateescape").lower()
    if not 0 < len(new_name) <= RENAMED_NAME_MAX:
        raise InvalidSelection(f"{text.display_path(name)} is empty or longer than {RENAMED_NAME_MAX} bytes")
    if new_name in table.names.ids:
        raise InvalidSelection(f"{text.display_path(name)} is a command already: --rename takes NEWNAME=COMMAND")
    return new_name


def _renamed_id(table: CommandTable, name: str) -> int:
    command = table.find_by_name(name)
    if command is None or command.container or any(c.container == command.name for c in table.commands):
        raise InvalidSelection(f"{text.display_path(name)} is not a command that can be renamed here")
    return command.id


@functools.cache
def _load_table() -> CommandTable:
    data = json.loads(resources.files(__package__).joinpath("commands.json").read_text())
    commands = tuple(
        _parse_command(i + FIRST_ID, name, entry) for i, (name, entry) in enumerate(data["commands"].items())
    )
    return CommandTable(tuple(data["servers"]), commands, CommandNames.from_list([c.name.encode() for c in commands]))


def _parse_command(number: int, name: str, entry: dict[str, Any]) -> CommandSpec:
    version_count = len(entry["arity"])
    flags_by = tuple(frozenset(flags) for flags in _by_version(entry.get("flags", []), version_count))
    keys_by = tuple(tuple(tuple(spec) for spec in keys) for keys in _by_version(entry.get("keys", []), version_count))
    flags = frozenset().union(*flags_by)
    parent = name.partition("|")[0]
    effects = {effect for effect, names in EFFECTS.items() if name in names or parent in names}
    if "write" in flags:
        effects.add("write")
    if "admin" in flags:
        effects.add("admin")
    keys = next((keys for keys in reversed(keys_by) if keys), ())
    access = tuple(entry.get("access", ["RW"] * len(keys)))
    return CommandSpec(number, name, tuple(entry["arity"]), flags, keys, frozenset(effects), flags_by, keys_by, access)


def _by_version(value: Any, version_count: int) -> list[Any]:
    """Expand a field of commands.json to a list with one value per server version.

    The field is either one value for all versions, or {"of": distinct values, "at": index of each version's value}.
    """
    if isinstance(value, list):
        return [value] * version_count
    return [value["of"][at] if at >= 0 else [] for at in value["at"]]


def arity_fits(arity: int, argc: int) -> bool:
    """Whether a command of this arity (COMMAND's value) can have `argc` arguments, its name included."""
    return argc == arity if arity >= 0 else argc >= -arity


def key_indexes(command: CommandSpec, argv: Sequence[bytes]) -> Iterator[int]:
    """Return the indexes of the keys among the arguments of a command; `argv` can be cut short."""
    return (at for at, _ in key_uses(command, argv))


def key_uses(command: CommandSpec, argv: Sequence[bytes]) -> Iterator[tuple[int, str]]:
    """Yield (index, access) for each key among the arguments of a command; `argv` can be cut short.

    `access` is OW (overwritten), RO (only read) or RW (both).  The STORE option of SORT is handled here, because no key
    specification covers it.
    """
    stores = command.name == "sort" and any(arg.lower() == b"store" for arg in argv[2:-1])
    for spec, access in zip(command.key_specs, command.access, strict=True):
        begin = _first_key(spec[0], argv)
        if begin is None:
            continue
        places = _keynum_indexes(spec, begin, argv) if spec[1] == "num" else _range_indexes(spec, begin, len(argv))
        yield from ((at, "RO" if stores else access) for at in places)
    if stores:
        yield from ((at + 1, "OW") for at in range(2, len(argv) - 1) if argv[at].lower() == b"store")


def _first_key(begin: int | list[Any], argv: Sequence[bytes]) -> int | None:
    if isinstance(begin, int):
        return begin if begin < len(argv) else None
    word, start = begin[0].encode(), begin[1]
    places = range(start, len(argv)) if start > 0 else range(len(argv) + start, 0, -1)
    return next((at + 1 for at in places if argv[at].lower() == word), None)


def _range_indexes(spec: tuple[Any, ...], begin: int, argc: int) -> Iterator[int]:
    _, last, step, limit = spec
    end = begin + last if last >= 0 else argc + last
    if last < 0 and limit > 1:
        end = begin + (argc - begin) // limit - 1
    yield from range(begin, min(end, argc - 1) + 1, max(1, step))


def _keynum_indexes(spec: tuple[Any, ...], begin: int, argv: Sequence[bytes]) -> Iterator[int]:
    _, _, index, first, step = spec
    count = argv[begin + index] if begin + index < len(argv) else b""
    if count.isdigit() and len(count) < 10:
        end = min(len(argv), begin + first + int(count) * max(1, step))
        yield from range(begin + first, end, max(1, step))


__all__ = [
    "ANNOTATION",
    "EFFECTS",
    "CommandSpec",
    "CommandTable",
    "arity_fits",
    "command_table",
    "key_indexes",
    "key_uses",
    "renamed_commands",
]
