"""Salvage one case of the corpus and compare its commands with those of the undamaged file."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.check.examine import examine
from aofdoctor.cli.options import open_path
from aofdoctor.edit.drops import remaining_spans
from aofdoctor.edit.salvage.part_walk import TORN_TRANSACTION_REASON
from aofdoctor.edit.salvage.rdb_splice import MAGIC_REASON, NEW_END_REASON
from aofdoctor.edit.salvage.salvage import plan_salvage
from aofdoctor.errors import NothingReadable
from aofdoctor.server.command_table import command_table
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from aofdoctor.source import BytesSource, FileSource, Source, pread
from tests.support.corpus import Case, cases

# The kept commands cannot be compared with the undamaged file, and the bytes do not show why.
AMBIGUOUS = {
    "interleaved-bytes": "a second server's commands stand among these, and are as whole",
    "interleaved-commands": "a second server's commands stand among these, and are as whole",
    "two-servers-real": "a second server's commands stand among these, and are as whole",
    "concat-two-aofs": "a second AOF follows the first",
    "trunc-head-in-lookalike": "the file begins with whole commands, which were a value's",
}


RECONSTRUCTED = ("crlf-to-lf", "lf-to-crlf", "latin1-to-utf8", "block-swapped-512")


def iter_argv(source: Source) -> Iterator[tuple[bytes, ...]]:
    for tile in read_tiles(source, command_table().names):
        if isinstance(tile, RecordBatch):
            yield from (tuple(tile.argv(i)) for i in range(tile.count) if tile.ids[i] != ANNOTATION)


@cache
def cases_by_version() -> dict[tuple[str, str], Case]:
    return {(case.version, case.id.partition("/")[2]): case for case in cases()}


def undamaged_file(case: Case) -> Path | None:
    """Return the undamaged file of a case, or None if the corpus does not have it."""
    source = case.truth.get("source") or {}
    for name in (source.get("case"), f"clean-{source.get('case')}"):
        found = cases_by_version().get((source.get("version", ""), str(name)))
        if found and (found.data / source["file"]).is_file():
            return found.data / str(source["file"])
    return None


@dataclass(frozen=True)
class SalvageResult:
    """The result of one case.

    `torn` counts commands that were removed with their broken transaction.
    `untouched` means that no damage was found. `whole` means that a reconstruction
    equals the undamaged file, command for command.
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


def salvage_case(case: Case) -> SalvageResult | None:
    turned = case.damage in RECONSTRUCTED
    source = undamaged_file(case) if turned or "commands_intact_total" in case.truth else None
    if source is None:
        return None
    name = Path(case.truth["damaged_file"]).name
    with open_path(case.path) as aof:
        try:
            plan, _ = plan_salvage(aof, examine, drop_unknown=True)
        except NothingReadable:  # Every byte is damage, and no copy is written.
            intact = case.truth.get("commands_intact_total", 0)
            return SalvageResult(case.id, case.damage, intact, 0, 0, 0, False, False, False)
        index = next(i for i, part in enumerate(aof.parts) if part.name == name)
        drops = [drop for drop in plan.drops() if drop.part == index]
        content = plan.aof.parts[index].source
        assert content is not None and content.size is not None
        data = pread(content, content.size, 0)
    out = b"".join(data[start:end] for start, end in remaining_spans(iter(drops), index, len(data)))
    # Such a command inside a transaction removes the whole transaction.
    broken = (TORN_TRANSACTION_REASON, "unknown command")
    torn = sum(drop.commands - (drop.reason != TORN_TRANSACTION_REASON) for drop in drops if drop.reason in broken)
    before, after = list(iter_argv(FileSource(source))), list(iter_argv(BytesSource(out)))
    kept, invented = count_in_order(before, after)
    mended = any(
        mend.reason not in (MAGIC_REASON, NEW_END_REASON) for mend in plan.reconstructions
    )  # Repairs of RDB bytes are tested in test_bases.py.
    intact = len(before) if mended else case.truth["commands_intact_total"]
    untouched = not drops and not mended
    return SalvageResult(case.id, case.damage, intact, kept, torn, invented, untouched, mended, before == after)


def count_in_order(source: list[tuple[bytes, ...]], got: list[tuple[bytes, ...]]) -> tuple[int, int]:
    """Return (number of commands in `got` that appear in `source` in this order, number of the others)."""
    at = kept = 0
    for argv in got:
        if argv in source[at:]:
            at = source.index(argv, at) + 1
            kept += 1
    return kept, len(got) - kept


def debug_digest(out: Path, binary: ServerBinary) -> str:
    manifest = next(out.glob("*.manifest"), None) if out.is_dir() else None
    name = manifest.name.removesuffix(".manifest") if manifest else "appendonly.aof"

    def lay_out(folder: Path) -> None:
        # The server loads a copy, because it appends to the file when a key expires.
        place = folder / ("appendonlydir" if out.is_dir() else name)
        shutil.copytree(out, place) if out.is_dir() else shutil.copyfile(out, place)

    options = ["--appendonly", "yes", "--appendfilename", name, "--databases", "64"]
    options += ["--enable-debug-command", "yes"] if binary.version >= (7, 0, 0) else []
    with Sandbox(binary, options, lay_out, hide=()) as server:
        reply = server.call("DEBUG", "DIGEST")
    assert isinstance(reply, bytes)
    return reply.decode()
