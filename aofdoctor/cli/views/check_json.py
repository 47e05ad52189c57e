"""Build the JSON object that `check --json` prints: files of the AOF, verdicts of server versions, and findings."""

from typing import Any

from aofdoctor import text
from aofdoctor.advice.after_check import CheckAdvice
from aofdoctor.advice.processes import ServerProcess
from aofdoctor.advice.step import Step
from aofdoctor.aof.model import AofPart
from aofdoctor.check.collect import is_sound
from aofdoctor.check.neighbours.judge import Neighbour
from aofdoctor.check.replay_errors import ReplayError
from aofdoctor.check.report import PartReport, Report
from aofdoctor.check.unknown_commands import UnknownName
from aofdoctor.cli.views.rdb_summary import contents_json, preamble_json
from aofdoctor.finding import Finding
from aofdoctor.server.verdict import Verdict


def report_to_json(report: Report, findings: list[Finding], advice: CheckAdvice) -> dict[str, Any]:
    """Return the JSON object that `check --json` prints; scripts depend on the names of its fields."""
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
        "first_aid": [step.sentence for step in advice.first_aid],
        "servers": [_server_json(server) for server in advice.servers],
        "next": [_step_json(step) for step in advice.next],
    }


def _step_json(step: Step) -> dict[str, Any]:
    return {"step": step.sentence, "commands": list(step.commands)}


def _server_json(server: ServerProcess) -> dict[str, Any]:
    return {
        "pid": server.pid,
        "name": server.name,
        "port": server.port,
        "supervisor": server.supervisor.name if server.supervisor else None,
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
    """Return the JSON object of a history file of the manifest, which `check` lists but does not read."""
    return {
        "name": part.name, "type": part.type, "exists": part.exists, "size": part.size, "commands": None,
        "annotations": None, "preamble": None, "first_time": None, "last_time": None, "ok_up_to": None, "damage": [],
    }  # fmt: skip


def _neighbour_json(neighbour: Neighbour) -> dict[str, Any]:
    """Return the JSON object of a file next to the AOF, with its contents, for `check --json`.

    The field `kind` is empty, nuls, rdb, aof, unknown or unread.
    """
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
    """Return the JSON object of the commands that fail for one reason when a server loads the AOF.

    The fields part, start and end describe the first of these commands.
    """
    return {
        "code": error.code, "reason": error.reason, "servers": list(error.versions), "count": error.count,
        "part": error.part, "start": error.span.start, "end": error.span.end,
    }  # fmt: skip


def _unknown_json(unknown: UnknownName) -> dict[str, Any]:
    """Return the JSON object of a command or annotation that a server version does not know.

    The field `cmd` is its name in upper case.
    """
    name = text.escape(unknown.name)
    return {
        "name": name, "cmd": name.upper(), "count": unknown.count, "part": unknown.part, "start": unknown.span.start,
        "end": unknown.span.end, "module": unknown.module or None, "since": list(unknown.since),
        "refused_by": list(unknown.lacking), "flush_like": unknown.flush_like, "near": unknown.near or None,
    }  # fmt: skip


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return the JSON object of a Finding (a fact about the AOF), for `check --json` and `stats --json`."""
    return {
        "code": finding.code, "severity": finding.severity.value, "part": finding.part or None,
        "start": finding.start, "end": finding.end, "message": finding.message, "detail": finding.detail or None,
        "hint": finding.hint or None, "commands": list(finding.commands),
    }  # fmt: skip
