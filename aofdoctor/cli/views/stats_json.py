"""stats --json: one object."""

from typing import Any

from aofdoctor.cli.console import as_json
from aofdoctor.cli.verbs.look.check import finding_json
from aofdoctor.rdb.key_counts import OTHER_DBS
from aofdoctor.stats.collect import KeyStats, LargeRecord, Row, Stats, StatsOptions, Written
from aofdoctor.stats.rdb_keys import BaseStats, KeyRow, LargeKey


def as_json_object(found: Stats, stats_options: StatsOptions, most: int | None) -> dict[str, Any]:
    """The contract of stats --json; `most` rows of each list, or all, but for those over time."""
    chosen, keys = found.selected, found.keys
    return {
        "path": found.aof.path, "layout": found.aof.layout, "totals": _totals(found),
        "selected": {"everything": found.selection.selects_all, "commands": chosen.commands, "bytes": chosen.bytes},
        "by_command": [_row("command", row) for row in found.by_command[:most]],
        "by_db": [_row("db", row) for row in found.by_db[:most]],
        "by_prefix": None if keys is None else _prefixes(keys, most),
        "over": _histogram_json(found),
        "largest": [_large(record) for record in found.largest[:most]],
        "keys": None if keys is None else _keys(keys, most),
        "base": None if found.base is None else _base(found.base, most),
        "suspects": [finding_json(finding) for finding in found.suspicious_events],
        "asked": {"depth": stats_options.depth, "delimiter": as_json(stats_options.delimiter), "every": stats_options.every, "exact": stats_options.exact},
    }  # fmt: skip


def _totals(found: Stats) -> dict[str, Any]:
    return {
        "parts": len(found.aof.parts), "missing": len(found.aof.parts) - len(found.aof.existing_parts), "bytes": found.size,
        "rdb_bytes": found.rdb_bytes, "commands": found.commands, "annotations": found.annotations,
        "first_time": found.first_time, "last_time": found.last_time,
        "damage": {"count": found.damages, "bytes": found.damage_bytes},
    }  # fmt: skip


def _name(value: str | int | bytes | None) -> Any:
    if value == OTHER_DBS:
        return "others"
    return as_json(value) if isinstance(value, bytes) else value


def _row(kind: str, row: Row) -> dict[str, Any]:
    return {kind: _name(row.name), "commands": row.commands, "bytes": row.bytes}


def _prefixes(keys: KeyStats, most: int | None) -> dict[str, Any]:
    others = keys.other_prefixes
    return {
        "rows": [_row("prefix", row) for row in keys.by_prefix[:most]],
        "others": None if others is None else {"commands": others.commands, "bytes": others.bytes},
    }


def _histogram_json(found: Stats) -> dict[str, Any]:
    histogram = found.histogram
    return {
        "kind": histogram.kind, "width": histogram.width,
        "rows": [{"from": start, "commands": commands, "bytes": size} for start, commands, size in histogram.rows],
        "untimed": {"commands": histogram.untimed[0], "bytes": histogram.untimed[1]},
    }  # fmt: skip


def _large(record: LargeRecord) -> dict[str, Any]:
    return {
        "part": record.part, "offset": record.offset, "size": record.size, "db": record.db,
        "cmd": as_json(record.command), "key": None if record.key is None else as_json(record.key),
        "key_size": record.length,
    }  # fmt: skip


def _keys(keys: KeyStats, most: int | None) -> dict[str, Any]:
    return {
        "exact": keys.exact,
        "by_bytes": [_written("bytes", key) for key in keys.by_bytes[:most]],
        "by_writes": [_written("writes", key) for key in keys.by_writes[:most]],
        "elsewhere_at_most": {"bytes": keys.bytes_elsewhere, "writes": keys.writes_elsewhere},
    }


def _written(what: str, key: Written) -> dict[str, Any]:
    return {
        "key": as_json(key.key), "key_size": key.length, "db": key.db, what: key.count, "over": key.over,
        "deviation": key.deviation,
    }  # fmt: skip


def _base(base: BaseStats, most: int | None) -> dict[str, Any]:
    return {
        "keys": base.keys, "bytes": None if base.counted_only else base.bytes, "expires": base.expires,
        "damage": base.damages,
        "by_type": [_key_row("type", row) for row in base.by_type[:most]],
        "by_db": [_key_row("db", row) for row in base.by_db[:most]],
        "by_prefix": None if base.by_prefix is None else _base_prefixes(base, most),
        "largest": [_large_key(key) for key in base.largest[:most]],
    }  # fmt: skip


def _base_prefixes(base: BaseStats, most: int | None) -> dict[str, Any]:
    others = base.other_prefixes
    rest = None if others is None else {"keys": others.keys, "bytes": others.bytes, "expires": others.expires}
    return {"rows": [_key_row("prefix", row) for row in (base.by_prefix or [])[:most]], "others": rest}


def _key_row(kind: str, row: KeyRow) -> dict[str, Any]:
    return {kind: _name(row.name), "keys": row.keys, "bytes": row.bytes, "expires": row.expires}


def _large_key(key: LargeKey) -> dict[str, Any]:
    return {
        "part": key.part, "offset": key.offset, "size": key.size, "db": key.db, "type": key.type,
        "key": as_json(key.key), "key_size": key.length, "expire_ms": key.expire_ms,
    }  # fmt: skip
