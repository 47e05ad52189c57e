"""Track which keys exist at a point of the AOF, by applying its commands to key names alone.

Values are not computed. So a key from which elements were removed may be empty, and one with an expiry may have
expired: such a key counts as uncertain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aofdoctor.server.command_table import CommandSpec, key_uses

_REMOVING = frozenset({"del", "unlink", "getdel"})
_EXPIRY_WORDS = frozenset({b"px", b"ex", b"pxat", b"exat"})
_TRANSFERS = frozenset({"rename", "renamenx", "move", "copy", "swapdb"})


@dataclass(slots=True)
class KeyPresence:
    """The names of the keys that exist, by database; each name maps to True if its existence is uncertain."""

    dbs: dict[int, dict[bytes, bool]] = field(default_factory=dict)

    def in_db(self, db: int) -> dict[bytes, bool]:
        """The keys of one database: name to True if the key's existence is uncertain."""
        return self.dbs.setdefault(db, {})

    def flush(self, db: int | None) -> None:
        """Remove the keys of one database, or of all databases for None."""
        if db is None:
            self.dbs.clear()
        else:
            self.dbs.pop(db, None)

    def apply(self, command: CommandSpec, argv: Sequence[bytes], db: int) -> None:
        """Update the existing keys by one write command that runs in database `db`."""
        name = command.name
        if name in _TRANSFERS:
            self._transfer(name, argv, db)
            return
        keys = self.in_db(db)
        takes_elements = "delete" in command.effects
        sets_expiry = "expire" in command.effects or (name == "set" and _has_expiry(argv))
        creates = "expire" not in command.effects or name in ("setex", "psetex", "hsetex")
        for at, access in key_uses(command, argv):
            key = argv[at]
            if name in _REMOVING:
                keys.pop(key, None)
            elif takes_elements and access != "OW":
                # The destination of LMOVE and RPOPLPUSH is the second key: it gains what the first one loses.
                if at == 1 and key in keys:
                    keys[key] = True
                elif at > 1:
                    keys.setdefault(key, True)
            elif access == "OW" and len(command.access) > 1:
                keys[key] = True  # The result of a union or a range may be empty.
            elif access != "RO" and (creates or key in keys):
                keys[key] = sets_expiry and name != "persist"

    def _transfer(self, name: str, argv: Sequence[bytes], db: int) -> None:
        if len(argv) < 3:
            return
        source, target = argv[1], argv[2]
        if name == "swapdb":
            if source.isdigit() and target.isdigit() and len(source) < 10 and len(target) < 10:
                first, second = int(source), int(target)
                self.dbs[first], self.dbs[second] = self.in_db(second), self.in_db(first)
            return
        keys, target_keys = self.in_db(db), self.in_db(db)
        words = [arg.lower() for arg in argv[3:]]
        if name == "move":
            if not target.isdigit() or len(target) > 9:
                return
            target_keys, target = self.in_db(int(target)), source
        elif name == "copy":
            number = argv[4 + words.index(b"db")] if b"db" in words[:-1] else b""
            target_keys = self.in_db(int(number)) if number.isdigit() and len(number) < 10 else keys
        if source not in keys:
            return
        replaces = name == "rename" or (name == "copy" and b"replace" in words)
        if not replaces and target in target_keys:
            if target_keys[target]:  # It may have expired by then, and then the command succeeds.
                keys[source] = name != "copy" or keys[source]
            return
        target_keys[target] = keys[source] if name == "copy" else keys.pop(source)


def _has_expiry(argv: Sequence[bytes]) -> bool:
    return any(arg.lower() in _EXPIRY_WORDS for arg in argv[3:-1])


def keys_only_in(first: KeyPresence, second: KeyPresence) -> Iterator[tuple[int, bytes, bool]]:
    """Yield (database, name, is uncertain) of the keys that exist in `first` and not in `second`."""
    for db in sorted(first.dbs):
        others = second.dbs.get(db, {})
        yield from ((db, name, uncertain) for name, uncertain in first.dbs[db].items() if name not in others)
