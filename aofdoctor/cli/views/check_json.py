"""The JSON object of `check --json`: parts, verdicts of server versions and findings."""

from typing import Any

from aofdoctor import text
from aofdoctor.aof.model import AofPart
from aofdoctor.check.collect import FIRST_AID, is_sound
from aofdoctor.check.neighbours.judge import Neighbour
from aofdoctor.check.replay_errors import ReplayError
from aofdoctor.check.report import PartReport, Report
from aofdoctor.check.unknown_commands import UnknownName
from aofdoctor.cli.views.rdb_summary import contents_json, preamble_json
from aofdoctor.finding import Finding
from aofdoctor.server.verdict import Verdict


def report_to_json(report: Report, findings: list[Finding]) -> dict[str, Any]:
    """The object that `check --json` prints; its fields are a contract."""
    return {
        "path": report.aof.path,
        "layout": report.aof.layout,
        "sound": is_sound(report),
        "writer": report.writer or None,
        "parts": [_part_json(part) for part in report.parts] + [_history_part_json(p) for p in report.aof.history],
        "configuration": {
            "databases": report.configuration.databases,
            "cluster": report.configuration.cluster,
            "corrupt_tail": report.configuration.corrupt_tail,
        },
        "highest_database": report.replay.highest_database,
        "replay_errors": [_replay_error_json(error) for error in report.replay.errors.values()],
        "neighbours": [_neighbour_json(neighbour) for neighbour in report.neighbours],
        "verdicts": [_verdict_json(verdict) for verdict in report.verdicts],
        "findings": [finding_json(finding) for finding in findings],
        "unknown_commands": [_unknown_json(name) for name in report.unknown.commands.values()],
        "unknown_annotations": [_unknown_json(name) for name in report.unknown.annotations.values()],
        "first_aid": list(FIRST_AID) if report.flushes.count else [],
    }


def _part_json(part: PartReport) -> dict[str, Any]:
    return {
        "name": part.part.name,
        "type": part.part.type,
        "exists": part.part.exists,
        "size": part.size if part.part.exists else None,
        "commands": part.commands,
        "annotations": part.annotations,
        "preamble": preamble_json(part.preamble) if part.preamble else None,
        "rdb_contents": contents_json(part.rdb_contents) if part.rdb_contents else None,
        "modules": [
            {"type": text.escape(m.name.encode()), "keys": m.keys, "aux": m.aux, "start": m.start} for m in part.modules
        ],
        "first_time": part.first_time,
        "last_time": part.last_time,
        "ok_up_to": part.ok_up_to,
        "damage": [
            {"kind": d.kind.value, "start": d.span.start, "end": d.span.end, "guess": d.end_is_guess, "note": d.note}
            for d in part.damage
        ],
    }


def _history_part_json(part: AofPart) -> dict[str, Any]:
    """A history file, which check lists and does not read."""
    return {
        "name": part.name, "type": part.type, "exists": part.exists, "size": part.size, "commands": None,
        "annotations": None, "preamble": None, "first_time": None, "last_time": None, "ok_up_to": None, "damage": [],
    }  # fmt: skip


def _neighbour_json(neighbour: Neighbour) -> dict[str, Any]:
    """A file beside the AOF: what it holds; `kind` is empty, nuls, rdb, aof, unknown or unread."""
    content = neighbour.content
    return {
        "path": str(neighbour.path), "kind": content.kind, "size": content.size, "keys": content.keys,
        "commands": content.commands, "intact": content.is_intact, "written": neighbour.written,
        "keys_only_here": neighbour.keys_only_here,
    }  # fmt: skip


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "server": verdict.server, "load_truncated": verdict.load_truncated, "outcome": verdict.outcome.value,
        "part": verdict.part or None, "offset": verdict.offset, "reason": verdict.reason or None,
    }  # fmt: skip


def _replay_error_json(error: ReplayError) -> dict[str, Any]:
    """Commands that fail at replay in some versions for one reason; the place is that of the first."""
    return {
        "code": error.code, "reason": error.reason, "servers": list(error.versions), "count": error.count,
        "part": error.part, "start": error.span.start, "end": error.span.end,
    }  # fmt: skip


def _unknown_json(unknown: UnknownName) -> dict[str, Any]:
    """A command or annotation that a judged version does not know; `cmd` is its name in upper case."""
    name = text.escape(unknown.name)
    return {
        "name": name, "cmd": name.upper(), "count": unknown.count, "part": unknown.part, "start": unknown.span.start,
        "end": unknown.span.end, "module": unknown.module or None, "since": list(unknown.since),
        "refused_by": list(unknown.lacking), "flush_like": unknown.flush_like, "near": unknown.near or None,
    }  # fmt: skip


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as an object of `check --json` and `stats --json`."""
    return {
        "code": finding.code, "severity": finding.severity.value, "part": finding.part or None,
        "start": finding.start, "end": finding.end, "message": finding.message, "detail": finding.detail or None,
        "hint": finding.hint or None,
    }  # fmt: skip
