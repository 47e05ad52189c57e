"""Parts whose files have changed places: each content under the name that it must have had, where the bytes prove it.

A base that is an RDB says so in itself.  Incremental files whose #TS annotations
are in another order are named by check, and left as they are: a clock that was
set back leaves the same trace.
"""

from dataclasses import replace

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.check.report import PartReport, Report


def restore_part_order(report: Report) -> tuple[AOF, list[str]]:
    """The AOF with contents where they belong, and sentences on what was moved; as it is, and none, if nothing was."""
    order = _swap_misplaced_base(list(report.parts))
    misplaced = [(now, part) for now, part in zip(report.parts, order, strict=True) if now is not part]
    parts = [replace(now.part, source=was.part.source) for now, was in zip(report.parts, order, strict=True)]
    notes = [
        f"what {text.display_path(was.part.name)} holds is {text.display_path(now.part.name)}: files had changed places"
        for now, was in misplaced
    ]
    return (replace(report.aof, parts=parts), notes) if misplaced else (report.aof, [])


def _swap_misplaced_base(parts: list[PartReport]) -> list[PartReport]:
    """The one RDB of the set as the base that is named for one."""
    base = [i for i, part in enumerate(parts) if part.part.type == "base" and part.part.name.endswith(".rdb")]
    rdb = [i for i, part in enumerate(parts) if part.preamble and part.preamble.complete]
    if len(base) == 1 and len(rdb) == 1 and base != rdb and _is_base_rdb(parts[rdb[0]]):
        parts[base[0]], parts[rdb[0]] = parts[rdb[0]], parts[base[0]]
    return parts


def _is_base_rdb(part: PartReport) -> bool:
    """A server writes `aof-base` into the RDB of a set (rdb.c, 7.0), and no command after it."""
    return part.preamble is not None and part.preamble.aux.get(b"aof-base") == b"1" and part.commands == 0
