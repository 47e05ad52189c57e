"""Find VADD commands with the option CAS that crash Redis at load, and parse their arguments.

Redis 8.2 to 8.10 log `VADD ... CAS` as it was sent.  At load they crash if the key exists, the element is new and the
command is not in a transaction (tested with 8.2.3, 8.6.3 and 8.10.2).  CAS only chooses a thread, so the command
without it has the same result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.server.arguments.dump_payload import MODULE_TYPES
from aofdoctor.server.command_table import command_table

ELEMENTS_MAX = 200_000  # elements that are remembered
_OPTIONS_WITH_VALUE = (b"EF", b"M", b"SETATTR")
CRASH_REASON = "VADD with CAS crashes it if the key exists and the element is new"


@dataclass(slots=True)
class VectorAdds:
    """The vector sets and elements that VADD commands have created so far, to find a VADD that crashes Redis at load.

    `has_base_sets`: an RDB with vector sets came before the commands.  `crash_count` counts the commands that crash.
    """

    has_base_sets: bool = False
    crash_count: int = 0
    _keys: set[int] = field(default_factory=set)  # hashes of (database, key), to limit the memory
    _elements: set[int] = field(default_factory=set)
    command_ids: frozenset[int] = field(default_factory=lambda: command_table().ids_of(frozenset({"vadd", "vrem"})))

    def add_preamble(self, rdb: Preamble) -> None:
        """Note whether an RDB has module values, which may be vector sets."""
        if rdb.key_counts and any(rdb.key_counts.count_of(kind) for kind in MODULE_TYPES):
            self.has_base_sets = True

    def add(self, batch: RecordBatch, i: int, in_transaction: bool, db: int) -> str:
        """Note the element of a VADD or VREM command; return why the command crashes a server at load, or ""."""
        if batch.oversized or batch.argc[i] < 3:
            return ""
        argv = batch.argv(i)
        if argv[0].lower() == b"vrem":
            self._elements.discard(hash((db, argv[1], argv[2])))
            return ""
        element_index = find_element(argv)
        if element_index is None:
            return ""
        key, element = hash((db, argv[1])), hash((db, argv[1], argv[element_index]))
        crashes = (
            not in_transaction
            and (key in self._keys or self.has_base_sets)
            and element not in self._elements
            and find_cas(argv, element_index) is not None
        )
        if len(self._elements) < ELEMENTS_MAX:
            self._keys.add(key)
            self._elements.add(element)
        self.crash_count += crashes
        return CRASH_REASON if crashes else ""


def find_element(argv: Sequence[bytes]) -> int | None:
    """Return the index of the element in the arguments of a VADD, or None if the arguments are not valid.

    VADD key [REDUCE dim] FP32 vector | VALUES num value ... element [options]
    """
    at = 2
    if len(argv) > at + 1 and argv[at].upper() == b"REDUCE":
        at += 2
    word = argv[at].upper() if at < len(argv) and len(argv[at]) < 8 else b""
    if word == b"FP32":
        at += 2
    elif word == b"VALUES" and at + 1 < len(argv) and argv[at + 1].isdigit() and len(argv[at + 1]) < 10:
        at += 2 + int(argv[at + 1])
    else:
        return None
    return at if at < len(argv) else None


def find_cas(argv: Sequence[bytes], element_index: int) -> int | None:
    """Return the index of the option CAS after the element in the arguments of a VADD, or None."""
    at = element_index + 1
    while at < len(argv):
        word = argv[at].upper() if len(argv[at]) < 8 else b""
        if word == b"CAS":
            return at
        at += 2 if word in _OPTIONS_WITH_VALUE else 1
    return None
