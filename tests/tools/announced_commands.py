"""Commands that no server at hand reports: those announced for the next versions, and when commands of Valkey appeared.

An announced command has the arity -1, because its number of arguments is not known, and the keys that its examples
show.  Sources: the release notes of Redis 8.12 and Valkey 9.2 as announced, and COMMAND DOCS of Valkey 9.1.2 for
VALKEY_SINCE.
"""

from typing import Any


def _announced(keys: list[list[Any]], arity: int = -1) -> dict[str, Any]:
    return {"arity": arity, "flags": ["write"], "keys": keys, "access": [], "subcommands": []}


_FIRST, _FIRST_TWO = [[1, 0, 1, 0]], [[1, 1, 1, 0]]

ANNOUNCED: dict[str, dict[str, dict[str, Any]]] = {
    "redis-8.12": {
        "bitconvert": _announced(_FIRST),
        "bitroarop": _announced([[2, -1, 1, 0]]),
        "bless": _announced([[2, 0, 1, 0]]),
        "saddex": _announced(_FIRST),
        "sexpire": _announced(_FIRST),
        "spexpireat": _announced(_FIRST),
        "zmove": _announced(_FIRST_TWO),
    },
    "valkey-9.2": {"delex": _announced(_FIRST, -2)},
}

_SINCE_9_0 = (
    "cluster|cancelslotmigrations cluster|flushslot cluster|getslotmigrations cluster|migrateslots cluster|syncslots "
    "delifeq hexpire hexpireat hexpiretime hgetex hpersist hpexpire hpexpireat hpexpiretime hpttl hsetex httl"
)
_SINCE_8_1 = "client|import-source commandlog commandlog|get commandlog|help commandlog|len commandlog|reset"
VALKEY_SINCE = (
    dict.fromkeys(("clusterscan", "hgetdel", "msetex"), "9.1.0")
    | dict.fromkeys(_SINCE_9_0.split(), "9.0.0")
    | dict.fromkeys(_SINCE_8_1.split(), "8.1.0")
)

VECTOR_SETS_8_0 = frozenset(
    [
        "vadd",
        "vcard",
        "vdim",
        "vemb",
        "vgetattr",
        "vinfo",
        "vismember",
        "vlinks",
        "vrandmember",
        "vrem",
        "vsetattr",
        "vsim",
    ]
)
