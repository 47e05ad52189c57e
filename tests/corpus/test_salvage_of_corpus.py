"""repair --salvage on the damaged corpus: exactly the intact commands are kept, in their order.

Runs only if AOFDOCTOR_CORPUS names an unpacked corpus. Every exception is listed
here or computed, with its reason, and counted.
"""

import os
from collections import Counter
from multiprocessing import Pool
from pathlib import Path
from tempfile import TemporaryDirectory

from aofdoctor.check.examine import examine
from aofdoctor.cli.options import open_path
from aofdoctor.damage import DamageKind
from aofdoctor.edit.edit import write_edit
from aofdoctor.edit.salvage.part_walk import TORN_TRANSACTION_REASON
from aofdoctor.edit.salvage.salvage import plan_salvage
from aofdoctor.errors import NothingReadable
from tests.support.corpus import Case, cases, line_of, needs_corpus
from tests.support.corpus_salvage import AMBIGUOUS, RECONSTRUCTED, debug_digest, salvage_case, undamaged_file
from tests.support.servers import checker_refusal, servers_by_line

pytestmark = needs_corpus


def test_a_salvage_keeps_exactly_the_intact_commands() -> None:
    with Pool(os.cpu_count()) as pool:
        found = [one for one in pool.imap_unordered(salvage_case, list(cases("damage")), chunksize=8) if one]
    ambiguous = [one for one in found if AMBIGUOUS.get(one.damage)]
    untouched = [one for one in found if one.untouched and one not in ambiguous and one.invented]
    mended = [one for one in found if one.mended and one not in ambiguous]
    assert {one.damage for one in mended} == set(RECONSTRUCTED) and all(one.whole for one in mended)
    assert [one.damage for one in found if one.damage in RECONSTRUCTED and not one.mended] == []
    judged = [one for one in found if one not in (*ambiguous, *untouched, *mended)]
    # A flipped digit can make a record absorb the next one or lose arguments, which invents one command.
    bent = [one for one in judged if one.invented]
    assert {one.damage for one in bent} <= {"flip-len-longer", "flip-argc-less"} and max(b.invented for b in bent) == 1
    wrong = [one for one in judged if one not in bent and one.kept + one.torn != one.intact]
    # A changed length before records that look like the content of a value takes one intact command with it.
    assert {one.damage for one in wrong} <= {"flip-len-of-resp-lookalike"}
    assert len(wrong) <= 2 and all(one.intact - one.kept == 1 for one in wrong)
    kept, whole = sum(one.kept for one in judged), sum(one.intact - one.torn for one in judged)
    assert kept / whole >= 0.999
    counts = Counter(one.damage for one in ambiguous)
    got = (len(judged), len(bent), len(untouched), len(mended), sum(counts.values()))
    assert got == (628, 3, 32, 36, 39), counts


def checker_errors(out: Path) -> list[str]:
    """Return the errors of the installed AOF checkers; those before 7.0 read only single files."""
    able = [binary for binary in servers_by_line().values() if out.is_file() or binary.version >= (7, 0, 0)]
    return [why for binary in able if (why := checker_refusal(binary, out))]


def compare_loaded_state(case: Case) -> tuple[str, str, str] | None:
    """Return (case, problem, excuse), or None if the case cannot be compared with the installed servers."""
    ideal = case.truth.get("state_ideal_salvage") or {}
    binary = servers_by_line().get(line_of(case.version))
    # DEBUG DIGEST is comparable only within one release line, and versions before 4.0 do not have it.
    if not ideal.get("loaded") or binary is None or ideal["digest"].startswith("canon:"):
        return None
    if AMBIGUOUS.get(case.damage):
        return None
    with TemporaryDirectory() as folder, open_path(case.path) as aof:
        try:
            plan, _ = plan_salvage(aof, examine, drop_unknown=True)
        except NothingReadable:
            return None
        if not plan.has_changes:
            return None
        write_edit(plan, Path(folder) / "out")
        got = debug_digest(Path(folder) / "out", binary)
        refused = checker_errors(Path(folder) / "out")
        wanted = ideal["digest"]
        source = undamaged_file(case)
        if plan.reconstructions:  # A reconstruction loses nothing, so the state must be that of the undamaged file.
            if source is None:
                return None
            wanted = debug_digest(source.parent if aof.layout == "multi-part" else source, binary)
    excuses = {BROKEN_TRANSACTION: any(d.reason in BROKEN_REASONS and d.commands for d in plan.listed_drops),
               "the RDB is ruined": any(d.reason in RUINED for d in plan.listed_drops),
               "a record of fewer arguments": case.damage == "flip-argc-less"}  # fmt: skip
    problem = "" if got == wanted else f"{got} is not {wanted}"
    if refused:
        return case.id, "; ".join(refused), ""
    return case.id, problem, next((why for why, so in excuses.items() if so), "")


BROKEN_TRANSACTION = "commands of a broken transaction, which the truth keeps, are gone"
BROKEN_REASONS = (TORN_TRANSACTION_REASON, "unknown command")
RUINED = (DamageKind.CORRUPT_PREAMBLE.value, DamageKind.CORRUPT_VALUE.value)


def test_the_state_after_a_salvage_is_the_best_possible() -> None:
    with Pool(os.cpu_count()) as pool:
        found = [one for one in pool.imap_unordered(compare_loaded_state, list(cases("damage")), chunksize=4) if one]
    assert [one for one in found if one[1] and not one[2]] == []
    excused = Counter(why for _, problem, why in found if problem)
    # The total depends on the installed servers. Valkey 9.1 from the dev extra alone has this many cases.
    assert len([one for one in found if one[0].startswith("valkey-9.1")]) == 74
    assert sum(excused.values()) <= 20, excused


# -- manifests --


def rebuilt_command_counts(case: Case) -> tuple[int, int] | None:
    """Return (commands of the copy, commands of the undamaged files), or None if the manifest was not rebuilt."""
    with open_path(case.path) as aof, TemporaryDirectory() as folder:
        try:
            plan, _ = plan_salvage(aof, examine)
        except NothingReadable:
            return None
        if not plan.manifest_rebuilt:
            return None
        write_edit(plan, Path(folder) / "out")
        with open_path(str(Path(folder) / "out")) as out:
            assert out.manifest is not None and not out.manifest.problems
            return examine(out).commands, sum(case.truth["commands_per_source_file"].values())


def test_a_damaged_manifest_is_rebuilt_with_every_file() -> None:
    found = {
        case.id: rebuilt_command_counts(case)
        for case in cases("damage")
        if case.damage.startswith(("manifest", "orphan"))
    }
    judged = {name: counts for name, counts in found.items() if counts}
    assert {name: counts for name, counts in judged.items() if counts[0] != counts[1]} == {}
    # A manifest that a server accepts stays: comments, quotes, CRLF, other case, unknown pairs, orphan files.
    sound = {name.rpartition("damage-")[2] for name, counts in found.items() if not counts}
    assert sound == {"manifest-comment", "manifest-crlf", "manifest-hist-missing", "manifest-quoted",
                     "manifest-startoffset", "manifest-unknown-field", "manifest-uppercase", "orphan-files"}  # fmt: skip
    assert len(judged) == 58
