"""Format an RDB base or preamble for `check`: version, keys by database and type, server versions that read it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aofdoctor import text
from aofdoctor.aof.records import Preamble
from aofdoctor.rdb.key_counts import OTHER_DBS, Database, KeyCounts
from aofdoctor.server.compatibility import versions_reading

if TYPE_CHECKING:  # At run time it is imported only where an RDB is found.
    from aofdoctor.check.rdb_examination import SalvageCounts

_DBS_MAX = 8  # databases that are listed one by one
_NOUNS = {
    "string": ("string", "strings"), "list": ("list", "lists"), "set": ("set", "sets"), "hash": ("hash", "hashes"),
    "zset": ("sorted set", "sorted sets"), "array": ("array", "arrays"), "stream": ("stream", "streams"),
    "module": ("module value", "module values"),
}  # fmt: skip


def preamble_json(rdb: Preamble) -> dict[str, Any]:
    """Return the JSON object of `check --json` for an RDB; scripts depend on the names of its fields.

    If the RDB is damaged, the fields `dbs` and `types` count the keys before the damage.
    """
    fields = {
        "magic": text.escape(rdb.magic), "start": rdb.span.start, "end": rdb.span.end, "keys": rdb.keys,
        "checksum": rdb.checksum, "complete": rdb.complete,
        "loads": [version.name for version in versions_reading(rdb)],
    }  # fmt: skip
    if rdb.codec:
        fields["compressed"] = rdb.codec
    return fields | (_key_counts_json(rdb.key_counts, rdb.dialect) if rdb.key_counts else {})


def _key_counts_json(key_counts: KeyCounts, dialect: str) -> dict[str, Any]:
    names = {db: {-1: "unknown", OTHER_DBS: "others"}.get(db, str(db)) for db in key_counts.dbs}
    return {
        "dbs": {names[db]: row._asdict() for db, row in key_counts.dbs.items()},
        "types": dict(key_counts.types(dialect)),
        "functions": key_counts.function_libraries,
        "counted_at": key_counts.now_ms // 1000,
    }


def rdb_description(rdb: Preamble) -> str:
    """Describe an RDB in one phrase: version, compression of the whole file, number of keys, and checksum."""
    version = f"RDB {rdb.version}" if rdb.dialect == "redis" else f"Valkey RDB {rdb.version}"
    if rdb.codec:
        version = f"{version}, compressed by {rdb.codec}" if rdb.version else f"an RDB, compressed by {rdb.codec}"
    if not rdb.complete:
        return f"{version}, not whole"
    keys = "keys not counted" if rdb.keys is None else text.format_count(rdb.keys, "key")
    return f"{version}, {keys}, checksum {rdb.checksum}"


def key_count_lines(rdb: Preamble, contents: "SalvageCounts | None" = None) -> Iterator[str]:
    """Yield the lines of `check` about an RDB: keys by database, keys by type, and the server versions that read it.

    `contents` is the result of decoding all values, if that was done; it replaces the counts of a damaged RDB.
    """
    key_counts = rdb.key_counts
    if contents is not None and not (rdb.is_intact and not contents.damaged_count):
        yield _readable_keys(contents)
    elif key_counts and key_counts.dbs:
        shown = [_database_text(db, row) for db, row in list(key_counts.dbs.items())[:_DBS_MAX]]
        more = len(key_counts.dbs) - len(shown)
        words = "; ".join(shown) + (f"; and {text.format_count(more, 'more database')}" if more else "")
        yield words if rdb.complete and rdb.keys is not None else f"what can be read of it: {words}"
        types = [
            text.format_count(count, *_NOUNS.get(name, (f"of {name}",) * 2))
            for name, count in key_counts.types(rdb.dialect).most_common()
        ]
        libraries = text.format_count(key_counts.function_libraries, "function library", "function libraries")
        functions = [libraries] if key_counts.function_libraries else []
        yield ", ".join(types + functions)
    if rdb.complete and rdb.version:
        names = [version.title for version in versions_reading(rdb)]
        yield f"a base for {', '.join(names)}" if names else "a base for no server line that is known here"


def _readable_keys(contents: "SalvageCounts") -> str:
    """Describe how many keys of a damaged RDB can be read, by database, and how many keys or libraries cannot."""
    rows = sorted(contents.dbs.items())
    shown = [_database_text(db, Database(count)) for db, count in rows[:_DBS_MAX]]
    more = f"; and {text.format_count(len(rows) - _DBS_MAX, 'more database')}" if len(rows) > _DBS_MAX else ""
    words = f"{text.format_count(contents.keys, 'key')} can be read"
    words += f" ({'; '.join(shown)}{more})" if shown else ""
    damaged = contents.damaged_count
    return words + (
        f", {text.format_count(damaged, 'damaged key or library', 'damaged keys or libraries')} named below"
        if damaged
        else ""
    )


def contents_json(contents: "SalvageCounts") -> dict[str, Any]:
    """Return, as JSON, the result of decoding all values of an RDB: numbers of readable keys, names of damaged keys."""
    return {
        "readable_keys": contents.keys,
        "readable_dbs": {str(db): count for db, count in sorted(contents.dbs.items())},
        "damaged_keys": [
            {"db": key.db if key.db >= 0 else None, "key": text.escape(key.name), "start": key.span.start,
             "end": key.span.end, "reason": key.reason}
            for key in contents.damaged
        ],
        "damaged_key_count": contents.damaged_count,
        "skipped_keys": [
            {"db": key.db if key.db >= 0 else None, "key": text.escape(key.name), "start": key.span.start,
             "end": key.span.end, "reason": key.reason}
            for key in contents.skipped
        ],
        "skipped_key_count": contents.skipped_count,
    }  # fmt: skip


def _database_text(db: int, row: Database) -> str:
    name = {-1: "in an unknown database", OTHER_DBS: "in others"}.get(db, f"db{db}")
    ttl_note = f" ({row.expires:,} with a TTL{f', {row.past:,} of them past it' if row.past else ''})"
    return f"{name} {text.format_count(row.keys, 'key')}{ttl_note if row.expires else ''}"
