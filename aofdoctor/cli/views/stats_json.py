"""Build the JSON object of `stats --json`: totals, counts by command, database and prefix, histogram, largest keys."""

from typing import Any

from aofdoctor.cli.console import bytes_to_json
from aofdoctor.cli.views.check_json import finding_json
from aofdoctor.rdb.key_counts import OTHER_DBS
from aofdoctor.stats.collect import CommandCounts, HeavyHitter, KeyStats, LargeRecord, Stats, StatsOptions
from aofdoctor.stats.rdb_keys import BaseStats, LargeKey, RdbKeyRow


def stats_to_json(stats: Stats, stats_options: StatsOptions, row_limit: int | None) -> dict[str, Any]:
    """Return the JSON object that `stats --json` prints; scripts depend on the names of its fields.

    Each list has at most `row_limit` rows, or all if that is None; the histogram is never shortened.
    """
    selected_totals, keys = stats.selected, stats.keys
    return {
        "path": stats.aof.path,
        "layout": stats.aof.layout,
        "totals": _totals(stats),
        "selected": {
            "everything": stats.selection.selects_all,
            "commands": selected_totals.commands,
            "bytes": selected_totals.bytes,
        },
        "by_command": [_row_json("command", row) for row in stats.by_command[:row_limit]],
        "by_db": [_row_json("db", row) for row in stats.by_db[:row_limit]],
        "by_prefix": None if keys is None else _prefixes_json(keys, row_limit),
        "over": _histogram_json(stats),
        "largest": [_large_record_json(record) for record in stats.largest[:row_limit]],
        "keys": None if keys is None else _keys_json(keys, row_limit),
        "base": None if stats.base is None else _base_json(stats.base, row_limit),
        "suspects": [finding_json(finding) for finding in stats.suspicious_events],
        "asked": {
            "depth": stats_options.depth,
            "delimiter": bytes_to_json(stats_options.delimiter),
            "every": stats_options.every,
            "exact": stats_options.exact,
        },
    }


def _totals(stats: Stats) -> dict[str, Any]:
    return {
        "parts": len(stats.aof.parts),
        "missing": len(stats.aof.parts) - len(stats.aof.existing_parts),
        "bytes": stats.size,
        "rdb_bytes": stats.rdb_bytes,
        "commands": stats.commands,
        "annotations": stats.annotations,
        "first_time": stats.first_time,
        "last_time": stats.last_time,
        "damage": {"count": stats.damages, "bytes": stats.damage_bytes},
    }


def _name_json(value: str | int | bytes | None) -> Any:
    if value == OTHER_DBS:
        return "others"
    return bytes_to_json(value) if isinstance(value, bytes) else value


def _row_json(kind: str, row: CommandCounts) -> dict[str, Any]:
    return {kind: _name_json(row.name), "commands": row.commands, "bytes": row.bytes}


def _prefixes_json(keys: KeyStats, row_limit: int | None) -> dict[str, Any]:
    others = keys.other_prefixes
    return {
        "rows": [_row_json("prefix", row) for row in keys.by_prefix[:row_limit]],
        "others": None if others is None else {"commands": others.commands, "bytes": others.bytes},
    }


def _histogram_json(stats: Stats) -> dict[str, Any]:
    histogram = stats.histogram
    return {
        "kind": histogram.kind, "width": histogram.width,
        "rows": [{"from": start, "commands": commands, "bytes": size} for start, commands, size in histogram.rows],
        "untimed": {"commands": histogram.untimed[0], "bytes": histogram.untimed[1]},
    }  # fmt: skip


def _large_record_json(record: LargeRecord) -> dict[str, Any]:
    return {
        "part": record.part, "offset": record.offset, "size": record.size, "db": record.db,
        "cmd": bytes_to_json(record.command), "key": None if record.key is None else bytes_to_json(record.key),
        "key_size": record.length,
    }  # fmt: skip


def _keys_json(keys: KeyStats, row_limit: int | None) -> dict[str, Any]:
    return {
        "exact": keys.exact,
        "by_bytes": [_written_key_json("bytes", key) for key in keys.by_bytes[:row_limit]],
        "by_writes": [_written_key_json("writes", key) for key in keys.by_writes[:row_limit]],
        "elsewhere_at_most": {"bytes": keys.max_other_bytes, "writes": keys.max_other_writes},
    }


def _written_key_json(count_name: str, key: HeavyHitter) -> dict[str, Any]:
    return {
        "key": bytes_to_json(key.key),
        "key_size": key.length,
        "db": key.db,
        count_name: key.count,
        "over": key.overcount,
        "deviation": key.deviation,
    }


def _base_json(base: BaseStats, row_limit: int | None) -> dict[str, Any]:
    return {
        "keys": base.keys, "bytes": None if base.counted_only else base.bytes, "expires": base.expires,
        "damage": base.damages,
        "by_type": [_key_row_json("type", row) for row in base.by_type[:row_limit]],
        "by_db": [_key_row_json("db", row) for row in base.by_db[:row_limit]],
        "by_prefix": None if base.by_prefix is None else _base_prefixes_json(base, row_limit),
        "largest": [_large_key_json(key) for key in base.largest[:row_limit]],
    }  # fmt: skip


def _base_prefixes_json(base: BaseStats, row_limit: int | None) -> dict[str, Any]:
    others = base.other_prefixes
    rest = None if others is None else {"keys": others.keys, "bytes": others.bytes, "expires": others.expires}
    return {"rows": [_key_row_json("prefix", row) for row in (base.by_prefix or [])[:row_limit]], "others": rest}


def _key_row_json(kind: str, row: RdbKeyRow) -> dict[str, Any]:
    return {kind: _name_json(row.name), "keys": row.keys, "bytes": row.bytes, "expires": row.expires}


def _large_key_json(key: LargeKey) -> dict[str, Any]:
    return {
        "part": key.part, "offset": key.offset, "size": key.size, "db": key.db, "type": key.type,
        "key": bytes_to_json(key.key), "key_size": key.length, "expire_ms": key.expire_ms,
    }  # fmt: skip
