"""What a salvage keeps of the damaged corpus: exactly what the damage left whole, in its order, and nothing else.

Runs where AOFDOCTOR_CORPUS names an unpacked corpus.  What is excepted is named
here or computed, with the reason, and counted.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing import Pool
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.check.examine import examine
from aofdoctor.cli.options import open_path
from aofdoctor.damage import DamageKind
from aofdoctor.edit.drops import remaining_spans
from aofdoctor.edit.edit import write_edit
from aofdoctor.edit.salvage.part_walk import TORN_TRANSACTION_REASON
from aofdoctor.edit.salvage.rdb_splice import MAGIC_REASON, NEW_END_REASON
from aofdoctor.edit.salvage.salvage import plan_salvage
from aofdoctor.server.command_table import command_table
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.source import BytesSource, FileSource, Source, pread
from tests.support.corpus import ROOT, Case, cases, line_of
from tests.support.servers import checker_refusal, servers_by_line

pytestmark = pytest.mark.skipif(ROOT is None, reason="AOFDOCTOR_CORPUS names no corpus")

# What is kept has no counterpart in the source, or another order, and nothing in the bytes tells.
AMBIGUOUS = {
    "interleaved-bytes": "a second server's commands stand among these, and are as whole",
    "interleaved-commands": "a second server's commands stand among these, and are as whole",
    "two-servers-real": "a second server's commands stand among these, and are as whole",
    "concat-two-aofs": "a second AOF follows the first",
    "trunc-head-in-lookalike": "the file begins with whole commands, which were a value's",
}


TURNED_BACK = ("crlf-to-lf", "lf-to-crlf", "latin1-to-utf8", "block-swapped-512")


def argvs(source: Source) -> Iterator[tuple[bytes, ...]]:
    for tile in read_tiles(source, command_table().names):
        if isinstance(tile, RecordBatch):
            yield from (tuple(tile.argv(i)) for i in range(tile.count) if tile.ids[i] != ANNOTATION)


@cache
def sources() -> dict[tuple[str, str], Case]:
    return {(case.version, case.id.partition("/")[2]): case for case in cases()}


def source_of(case: Case) -> Path | None:
    """The undamaged file of a case, where the corpus has it."""
    source = case.truth.get("source") or {}
    for name in (source.get("case"), f"clean-{source.get('case')}"):
        found = sources().get((source.get("version", ""), str(name)))
        if found and (found.data / source["file"]).is_file():
            return found.data / str(source["file"])
    return None


@dataclass(frozen=True)
class Salvaged:
    """One case: `torn` commands went with transactions that are broken; `untouched`: nothing was found wrong.

    `whole`: what was turned back is the source, command for command.
    """

    id: str
    damage: str
    intact: int
    kept: int
    torn: int
    invented: int
    untouched: bool
    mended: bool
    whole: bool


def salvaged(case: Case) -> Salvaged | None:
    turned = case.damage in TURNED_BACK
    source = source_of(case) if turned or "commands_intact_total" in case.truth else None
    if source is None:
        return None
    name = Path(case.truth["damaged_file"]).name
    with open_path(case.path) as aof:
        plan, _ = plan_salvage(aof, examine)
        index = next(i for i, part in enumerate(aof.parts) if part.name == name)
        drops = [drop for drop in plan.drops() if drop.part == index]
        content = plan.aof.parts[index].source
        assert content is not None and content.size is not None
        data = pread(content, content.size, 0)
    out = b"".join(data[start:end] for start, end in remaining_spans(iter(drops), index, len(data)))
    broken = (TORN_TRANSACTION_REASON, "no server knows this command")  # inside a transaction, all of that goes
    torn = sum(drop.commands - (drop.reason != TORN_TRANSACTION_REASON) for drop in drops if drop.reason in broken)
    before, after = list(argvs(FileSource(source))), list(argvs(BytesSource(out)))
    kept, invented = in_order(before, after)
    mended = any(
        mend.reason not in (MAGIC_REASON, NEW_END_REASON) for mend in plan.reconstructions
    )  # what an RDB gets is judged elsewhere
    intact = len(before) if mended else case.truth["commands_intact_total"]
    untouched = not drops and not mended
    return Salvaged(case.id, case.damage, intact, kept, torn, invented, untouched, mended, before == after)


def in_order(source: list[tuple[bytes, ...]], got: list[tuple[bytes, ...]]) -> tuple[int, int]:
    """(how many of `got` come in `source` in this order, how many do not)."""
    at = kept = 0
    for argv in got:
        if argv in source[at:]:
            at = source.index(argv, at) + 1
            kept += 1
    return kept, len(got) - kept


def test_a_salvage_keeps_exactly_what_is_whole() -> None:
    with Pool(os.cpu_count()) as pool:
        found = [one for one in pool.imap_unordered(salvaged, list(cases("damage")), chunksize=8) if one]
    ambiguous = [one for one in found if AMBIGUOUS.get(one.damage)]
    untouched = [one for one in found if one.untouched and one not in ambiguous and one.invented]
    mended = [one for one in found if one.mended and one not in ambiguous]
    assert {one.damage for one in mended} == set(TURNED_BACK) and all(one.whole for one in mended)
    assert [one.damage for one in found if one.damage in TURNED_BACK and not one.mended] == []
    judged = [one for one in found if one not in (*ambiguous, *untouched, *mended)]
    # A flipped digit that makes a record swallow the next one, or fewer arguments: one record that is not the source's.
    bent = [one for one in judged if one.invented]
    assert {one.damage for one in bent} <= {"flip-len-longer", "flip-argc-less"} and max(b.invented for b in bent) == 1
    wrong = [one for one in judged if one not in bent and one.kept + one.torn != one.intact]
    assert wrong == []
    kept, whole = sum(one.kept for one in judged), sum(one.intact - one.torn for one in judged)
    assert kept / whole >= 0.999
    counts = Counter(one.damage for one in ambiguous)
    got = (len(judged), len(bent), len(untouched), len(mended), sum(counts.values()))
    assert got == (628, 3, 32, 36, 39), counts


# -- what a server makes of it --


def digest_of(out: Path, binary: ServerBinary) -> str:
    manifest = next(out.glob("*.manifest"), None) if out.is_dir() else None
    name = manifest.name.removesuffix(".manifest") if manifest else "appendonly.aof"

    def lay_out(folder: Path) -> None:
        # A copy: the server that loads it writes into it when a key expires.
        place = folder / ("appendonlydir" if out.is_dir() else name)
        shutil.copytree(out, place) if out.is_dir() else shutil.copyfile(out, place)

    options = ["--appendonly", "yes", "--appendfilename", name, "--databases", "64"]
    options += ["--enable-debug-command", "yes"] if binary.version >= (7, 0, 0) else []
    with Sandbox(binary, options, lay_out, hide=()) as server:
        reply = server.call("DEBUG", "DIGEST")
    assert isinstance(reply, bytes)
    return reply.decode()


def refusals(out: Path) -> list[str]:
    """What the checkers at hand say against an output; those before 7.0 read single files."""
    able = [binary for binary in servers_by_line().values() if out.is_file() or binary.version >= (7, 0, 0)]
    return [why for binary in able if (why := checker_refusal(binary, out))]


def loaded(case: Case) -> tuple[str, str, str] | None:
    """(the case, what is wrong, why that may be); None where nothing can be compared here."""
    ideal = case.truth.get("state_ideal_salvage") or {}
    binary = servers_by_line().get(line_of(case.version))
    # DEBUG DIGEST can be compared within one line only; those before 4.0 have none.
    if not ideal.get("loaded") or binary is None or ideal["digest"].startswith("canon:"):
        return None
    if AMBIGUOUS.get(case.damage):
        return None
    with TemporaryDirectory() as folder, open_path(case.path) as aof:
        plan, _ = plan_salvage(aof, examine)
        if not plan.has_changes:
            return None
        write_edit(plan, Path(folder) / "out")
        got = digest_of(Path(folder) / "out", binary)
        refused = refusals(Path(folder) / "out")
        wanted = ideal["digest"]
        source = source_of(case)
        if plan.reconstructions:  # nothing is lost: it is as if it had never been damaged
            if source is None:
                return None
            wanted = digest_of(source.parent if aof.layout == "multi-part" else source, binary)
    excuses = {BROKEN: any(d.reason in BROKEN_REASONS and d.commands for d in plan.listed_drops),
               "the RDB is ruined": any(d.reason in RUINED for d in plan.listed_drops),
               "a record of fewer arguments": case.damage == "flip-argc-less"}  # fmt: skip
    problem = "" if got == wanted else f"{got} is not {wanted}"
    if refused:
        return case.id, "; ".join(refused), ""
    return case.id, problem, next((why for why, so in excuses.items() if so), "")


BROKEN = "commands of a broken transaction, which the truth keeps, are gone"
BROKEN_REASONS = (TORN_TRANSACTION_REASON, "no server knows this command")
RUINED = (DamageKind.CORRUPT_PREAMBLE.value, DamageKind.CORRUPT_VALUE.value)


def test_the_state_is_the_ideal_one() -> None:
    with Pool(os.cpu_count()) as pool:
        found = [one for one in pool.imap_unordered(loaded, list(cases("damage")), chunksize=4) if one]
    assert [one for one in found if one[1] and not one[2]] == []
    excused = Counter(why for _, problem, why in found if problem)
    # How many are judged depends on the servers at hand: Valkey 9.1 of the dev extra alone has this many.
    assert len([one for one in found if one[0].startswith("valkey-9.1")]) == 74
    assert sum(excused.values()) <= 20, excused


# -- manifests --


def remade(case: Case) -> tuple[int, int] | None:
    """(commands of the copy, commands of the source); None where nothing had to be mended."""
    with open_path(case.path) as aof, TemporaryDirectory() as folder:
        plan, _ = plan_salvage(aof, examine)
        if not plan.manifest_rebuilt:
            return None
        write_edit(plan, Path(folder) / "out")
        with open_path(str(Path(folder) / "out")) as out:
            assert out.manifest is not None and not out.manifest.problems
            return examine(out).commands, sum(case.truth["commands_per_source_file"].values())


def test_a_damaged_manifest_is_rebuilt_with_every_file() -> None:
    found = {case.id: remade(case) for case in cases("damage") if case.damage.startswith(("manifest", "orphan"))}
    judged = {name: counts for name, counts in found.items() if counts}
    assert {name: counts for name, counts in judged.items() if counts[0] != counts[1]} == {}
    # What a server reads as it is stays as it is: comments, quotes, CRLF, other case, unknown pairs, orphans.
    sound = {name.rpartition("damage-")[2] for name, counts in found.items() if not counts}
    assert sound == {"manifest-comment", "manifest-crlf", "manifest-hist-missing", "manifest-quoted",
                     "manifest-startoffset", "manifest-unknown-field", "manifest-uppercase", "orphan-files"}  # fmt: skip
    assert len(judged) == 58
