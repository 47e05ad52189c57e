"""Decode the keys and function libraries of an RDB, and report as damage those that no server loads.

Plain `check` decodes the values of small RDBs and of damaged ones, so that what it reports is what `repair --salvage`
keeps; `check --deep` decodes all of them.
"""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.aof.records import Preamble
from aofdoctor.check.rdb_examination import (
    DUPLICATE_KEY_REASON,
    DUPLICATE_LIBRARY_REASON,
    DamagedKey,
    SalvageCounts,
    examine_rdb,
)
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.source import Source

_DECODED_MAX = 1 << 20  # bytes of a sound RDB up to which check without --deep decodes its values
_DAMAGED_DECODED_MAX = 1 << 25  # the same for a damaged RDB
_NAME_SHOWN = 80


def rdb_contents(source: Source, rdb: Preamble, deep: bool) -> SalvageCounts | None:
    """Decode the values of an RDB and count what can be loaded; None if the RDB is too large to decode without `deep`.

    Compressed RDBs and pipes are never decoded.
    """
    if rdb.codec or source.size is None or (rdb.complete and rdb.keys is None):
        return None
    limit = _DECODED_MAX if rdb.is_intact else _DAMAGED_DECODED_MAX
    if not deep and rdb.span.size > limit:
        return None
    return examine_rdb(source, rdb)


def damage_of_keys(contents: SalvageCounts) -> Iterator[Damage]:
    """Yield, as damage, each key and function library of an RDB that no server loads."""
    for key in contents.damaged:
        yield Damage(key.span, _damage_kind(key), describe_key(key))


def describe_key(key: DamagedKey) -> str:
    """Return in words which key or function library of an RDB is damaged, and why."""
    if key.is_library:
        return f"function library {text.quote(key.name[:_NAME_SHOWN])}: {key.reason}"
    db = f"db{key.db}" if key.db >= 0 else "an unknown database"
    return f"key {text.quote(key.name[:_NAME_SHOWN])} of {db}: {key.reason}"


def _damage_kind(key: DamagedKey) -> DamageKind:
    if key.reason in (DUPLICATE_KEY_REASON, DUPLICATE_LIBRARY_REASON):
        return DamageKind.DUPLICATE_NAME
    return DamageKind.CORRUPT_FUNCTION if key.is_library else DamageKind.CORRUPT_VALUE
