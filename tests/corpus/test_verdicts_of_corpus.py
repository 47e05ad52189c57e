"""The corpus walk: the verdicts on 1,862 AOFs of 16 real servers agree with the measurements.

Runs only if AOFDOCTOR_CORPUS names an unpacked corpus. Every test asserts the
number of cases that it judged. Every exception is listed here with its reason.
"""

import os
import re
from collections import Counter
from multiprocessing import Pool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.check import sandbox_load
from aofdoctor.check.examine import examine
from aofdoctor.check.sandbox_load import LoadResult
from aofdoctor.cli.options import open_path
from aofdoctor.edit.edit import write_edit
from aofdoctor.edit.planners.strip import group_at, plan_group, survey_flushes
from aofdoctor.log.position import Position
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.sandbox import Sandbox
from aofdoctor.server.versions import VERSIONS
from aofdoctor.source import FileSource
from tests.support.corpus import Case, cases, line_of, needs_corpus
from tests.support.server_state import state_of
from tests.support.servers import servers_by_line

pytestmark = needs_corpus

# The RDB is damaged in the middle, so its end cannot be proven. The measured truth skips
# it by the size of the undamaged RDB. A real server refuses the file.
UNPROVEN = {"redis-6.2.16/damage-hole-in-preamble-preamble"}

# An EXEC is lost, or another writer came between: a MULTI, a SELECT as at the start of a server, and a nested MULTI
# look like a restart inside a transaction.  The values are the offsets of the MULTI.
LIKE_A_RESTART = {
    "redis-2.8.24/damage-interleaved-commands-medium": 9609,
    "redis-7.4.1/damage-interleaved-commands-medium": 100659,
    "redis-7.4.1/damage-missing-exec": 103805,
    "valkey-8.0.1/damage-interleaved-commands-medium": 39009,
    "valkey-9.1.2/damage-interleaved-commands-medium": 3700,
    "valkey-9.1.2/damage-missing-exec-medium": 16518,
}


# -- sound cases: no damage, and the measured counts --


def counts(path: Path) -> tuple[int, int, int, int]:
    """Return (commands, annotations, end of the preamble, damages) of one file."""
    steps, end, damages = ContextTracker(), 0, 0
    for tile in read_tiles(FileSource(path), command_table().names):
        if isinstance(tile, RecordBatch):
            steps.track(tile)
        elif isinstance(tile, Preamble):
            end = tile.span.end
            damages += not tile.complete or tile.checksum == "bad"
        else:
            damages += 1
    return steps.state[ContextField.COMMANDS], steps.state[ContextField.ANNOTATIONS], end, damages


def test_sound_files_have_no_damage_and_the_measured_counts() -> None:
    judged, wrong = 0, []
    for case in [*cases("clean"), *cases("disaster")]:
        for file in case.truth.get("files", ()):
            path = case.data / file["path"]
            if path.exists() and not path.name.endswith("manifest"):
                judged += 1
                expected = (file["commands"], file["annotations"], file.get("preamble_end", 0), 0)
                if counts(path) != expected:
                    wrong.append((case.id, path.name, counts(path), expected))
    assert (wrong, judged) == ([], 1115)


# -- damaged cases: no exception, ok_up_to, verdicts --


def report_of(case: Case) -> dict[str, Any]:
    """Return the result of reading a case as plain values."""
    servers = [line for line in dict.fromkeys(line_of(name) for name in loads_of(case)) if line in VERSIONS]
    with open_path(case.path) as aof:
        report = examine(aof, servers)
        return {
            "ok_up_to": {p.part.name: p.ok_up_to for p in report.parts},
            "kinds": [d.kind.value for p in report.parts for d in p.damage],
            "verdicts": {(v.server, v.load_truncated): v for v in report.verdicts},
        }


def loads_of(case: Case) -> dict[str, Any]:
    truth = case.truth
    found: dict[str, Any] = (truth.get("observed") or {}).get("server_load") or truth.get("server_load") or {}
    return found


def test_every_case_ends_without_an_exception() -> None:
    judged = 0
    for case in cases():
        if case.kind != "redis-tests" or case.path.endswith((".aof", "manifest")):
            report_of(case)
            judged += 1
    assert judged == 1857  # Five cases, taken from the test suites of the servers, begin without any AOF.


def test_ok_up_to_is_where_a_strict_reader_stops() -> None:
    judged, excepted, wrong = 0, Counter[str](), []
    for case in cases("damage"):
        strict = case.truth.get("strict_parse", {})
        path = case.data / case.truth.get("damaged_file", "?")
        if "tx_good_end" not in strict or not path.exists():
            continue
        if strict["tx_good_end"] > path.stat().st_size:
            excepted["the truth counts a preamble that the file no longer has"] += 1
            continue
        if case.id in UNPROVEN:
            excepted["unproven"] += 1
            continue
        judged += 1
        got = report_of(case)["ok_up_to"][path.name]
        # The truth counts *0 and a missing EXEC as redis-check-aof does. aofdoctor counts them as a
        # server does: every server refuses *0, so it ends the intact data; a nested MULTI loads, and
        # the next EXEC ends it. Both give the same position in every case but those.
        if case.id in LIKE_A_RESTART:
            excepted["like a restart"] += 1
            strict = {"tx_good_end": LIKE_A_RESTART[case.id]}
        if got != strict["tx_good_end"]:
            wrong.append((case.id, got, strict["tx_good_end"]))
    assert (wrong, judged) == ([], 856)
    assert excepted == {
        "the truth counts a preamble that the file no longer has": 7, "unproven": 1, "like a restart": 6
    }  # fmt: skip


def outcome_of(case: Case, observed: dict[str, Any]) -> tuple[str, int | None]:
    """Return (outcome, truncation offset) as measured from the server's log, else from the file sizes that it left."""
    log = " ".join(observed.get("log", ()))
    cut = re.search(r"Truncating the AOF.*? at offset (\d+)", log)
    if not observed["loaded"]:
        crashed = observed["why"][1] in (-6, -11)
        return ("crashed" if crashed else "refuses"), int(cut[1]) if cut else None
    if cut:
        return "truncates", int(cut[1])
    for name, size in observed["files_after"].items():
        before = [p for p in (case.data / name, case.data / Path(name).name) if p.is_file()]
        assert not before or name.endswith("manifest") or size >= before[0].stat().st_size, (case.id, name)
    return "loads", None


def disagreement(case: Case, server: str, observed: dict[str, Any], verdicts: dict[Any, Any]) -> str:
    """Return an empty string if the verdict equals the outcome of the server, else both in words."""
    line = line_of(server)
    asked_no = server.endswith(" no") or (case.truth.get("config") or {}).get("aof-load-truncated") == "no"
    verdict = verdicts[(line, VERSIONS[line].has_load_truncated and not asked_no)]
    did, cut = outcome_of(case, observed)
    verdict_outcome = verdict.outcome.value
    if verdict_outcome == "undefined":
        return "" if did in ("crashed", "refuses", "truncates") else f"{server}: undefined, and it {did}"
    if verdict_outcome == "starts-empty":
        return "" if observed["loaded"] and not observed.get("dbsize") else f"{server}: starts-empty, and it {did}"
    if verdict_outcome == "replay-errors":  # It starts; the errors are compared in tests/check/test_replay_errors.py.
        return "" if did == "loads" else f"{server}: replay-errors, and it {did}"
    if verdict_outcome == did and (cut is None or cut == verdict.offset):
        return ""
    return f"{server}: said {verdict_outcome} {verdict.offset}, did {did} {cut}"


def test_verdicts_are_the_outcomes_of_real_servers() -> None:
    judged, undefined, wrong = 0, 0, []
    for case in cases():
        observed = {name: o for name, o in loads_of(case).items() if line_of(name) in VERSIONS}
        if not observed or not (case.input.exists() or case.kind == "damage"):
            continue
        if case.kind == "redis-tests" and not case.path.endswith((".aof", "manifest")):
            continue
        verdicts = report_of(case)["verdicts"]
        for server, load in observed.items():
            judged += 1
            undefined += (
                verdicts[
                    (line_of(server), VERSIONS[line_of(server)].has_load_truncated and not server.endswith(" no"))
                ].outcome.value
                == "undefined"
            )
            problem = disagreement(case, server, load, verdicts)
            if problem:
                wrong.append((case.id, problem))
    assert (wrong, judged, undefined) == ([], 3715, 103)


# -- disasters: the flush is removed, and the state is the measured one --


def expected_state(case: Case) -> dict[tuple[int, bytes], str]:
    databases = case.truth["recovered_flush_removed"]["dbs"]
    return {
        (int(number), key.encode("latin-1")): entry["canon"]
        for number, database in databases.items()
        for key, entry in database["keys"].items()
    }


def load_state(path: Path) -> dict[tuple[int, bytes], frozenset[str]]:
    """Return the state of a real server that has loaded an output, key by key."""
    found: dict[tuple[int, bytes], frozenset[str]] = {}

    def no_errors(server: Sandbox) -> dict[str, int]:
        for database, keys in state_of(server).items():
            found.update({(database, key): hashes for key, hashes in keys.items()})
        return {}

    binaries = [servers_by_line()[line] for line in ("valkey-9.1", "redis-8.2", "redis-6.2")]
    with pytest.MonkeyPatch.context() as patch, open_path(str(path)) as aof:
        patch.setattr(sandbox_load, "_errors", no_errors)
        proof = sandbox_load.load_in_sandbox(aof, binaries)
    assert isinstance(proof, LoadResult), proof
    return found


def rescue(case: Case, folder: Path) -> Path:
    """Strip the flushes of the disaster, the last one first; the flushes of the workload itself stay."""
    source, number = case.path, 0
    ranges = case.truth["recovered_flush_removed"]["removed_ranges"]
    pending = [start for start, _ in ranges]
    while pending:
        with open_path(source) as aof:
            position = Position(aof.parts[-1].name, len(aof.parts) - 1, pending[-1])
            found = survey_flushes(aof, position)
            group = group_at(found, position)
            number += 1
            target = folder / f"out{number}"
            write_edit(plan_group(aof, found, group), target)
            pending = [start for start in pending if start < group.first.span.start]
            source = str(target)
    return Path(source)


def judge_disaster(case: Case) -> str:
    expected = expected_state(case)
    with TemporaryDirectory() as folder:
        got = load_state(rescue(case, Path(folder)))
    wrong = [key for key in expected.keys() | got.keys() if expected.get(key) not in got.get(key, ())]
    return f"{case.id}: {len(wrong)} keys differ, such as {wrong[0]}" if wrong else ""


def is_hidden(case: Case) -> bool:
    """Whether the flush ran in a script that was written as EVAL (before 5.0), so it is no command of the AOF."""
    old = re.match(r"redis-[234]\.", case.version)
    return "lua" in case.tags["disaster"] and old is not None


def test_every_flush_in_the_log_is_undone() -> None:
    disasters = [case for case in cases("disaster") if "recovered_flush_removed" in case.truth]
    judged = [case for case in disasters if not is_hidden(case)]
    with Pool(os.cpu_count()) as pool:
        wrong = [problem for problem in pool.imap_unordered(judge_disaster, judged, chunksize=4) if problem]
    assert (wrong, len(judged), len(disasters) - len(judged)) == ([], 289, 8)


def test_a_flush_hidden_in_a_script_is_found() -> None:
    hidden = [case for case in cases("disaster") if is_hidden(case)]
    for case in hidden:
        with open_path(case.path) as aof:
            assert examine(aof).script_flushes.count, case.id
    assert len(hidden) == 8


def test_all_takes_every_flush_and_nothing_else() -> None:
    judged, flush = 0, command_table().with_effect("flush")
    for case in cases("disaster"):
        with open_path(case.path) as aof, TemporaryDirectory() as folder:
            found = survey_flushes(aof)
            if not found.flushes.count:
                continue
            judged += 1
            out = Path(folder) / "out"
            write_edit(plan_group(aof, found, None), out)
            with open_path(str(out)) as rescued:
                after = survey_flushes(rescued)
                assert after.flushes.count == 0, case.id
            names = _names(case.path), _names(str(out))
            assert names[1] == [n for n in names[0] if n[0] not in flush], case.id
    assert judged == 349


def _names(path: str) -> list[tuple[int, bytes]]:
    """Return the names of all commands except MULTI and EXEC, which an emptied transaction loses."""
    words = command_table().names.ids
    structure, out = {words[b"multi"], words[b"exec"]}, []
    with open_path(path) as aof:
        for part in aof.existing_parts:
            assert part.source is not None
            for tile in read_tiles(part.source, command_table().names):
                if isinstance(tile, RecordBatch):
                    out += [
                        (tile.ids[i], bytes(tile.raw(i))) for i in range(tile.count) if tile.ids[i] not in structure
                    ]
    return out
