"""Findings about an AOF file into which two servers wrote at the same time.

A server appends its commands in single writes.  If a record breaks off where complete records begin, and its rest
follows them, then another process has written between the two halves.  Two servers that interleave complete commands
leave no such trace.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from aofdoctor import text
from aofdoctor.aof.diagnosis import Defect, diagnose_record
from aofdoctor.aof.read_window import ReadWindow
from aofdoctor.check.report import PartReport, Report, salvage_command
from aofdoctor.damage import Damage
from aofdoctor.finding import Finding, Severity
from aofdoctor.source import BytesSource, PipeSource, Source, pread

_DAMAGES_CHECKED = 100  # The number of damages of one file that are examined.
_NEXT_DAMAGES = 8  # Later damages that are searched for the rest of a record.
_HEAD_MAX = 1 << 16
_LINE_ENDS_TRIED = 64
_LINE_END = re.compile(rb"\r\n(?=[$*#]|\Z)")


def _interleaved_writers(report: Report) -> Iterator[Finding]:
    """Yield a finding per AOF file with records that the writes of another server have split in two."""
    for part in report.parts:
        splits = [
            split
            for i in range(min(_DAMAGES_CHECKED, len(part.damage)))
            if (split := _find_split_record(part, part.damage[i:]))
        ]
        if splits:
            (start, rest), name = splits[0], text.display_path(part.part.name)
            times = f", and {len(splits) - 1} more like it" if len(splits) > 1 else ""
            message = (
                f"two servers seem to have written into {name}: the record at {start} goes on at {rest}, behind "
                f"the other's{times}"
            )
            hint, commands = "a salvage keeps the whole commands of both", (salvage_command(report),)
            yield Finding(
                "two-writers", Severity.DAMAGE, message, part.part.name, start, rest, hint=hint, commands=commands
            )


def _find_split_record(part: PartReport, damage: Sequence[Damage]) -> tuple[int, int] | None:
    """Return (start, offset of its rest) of a record that is split by other records, as offsets in the file, or None.

    The record begins in the first damage; its rest is searched in the next few.
    """
    source, first = part.part.source, damage[0].span
    if source is None or isinstance(source, PipeSource) or first.size > _HEAD_MAX:
        return None
    diagnosis = diagnose_record(ReadWindow(source), first.start)
    missing = diagnosis.end - first.end if diagnosis.defect is Defect.MISSING_CRLF else 0
    if missing <= 0:
        return None
    head = pread(source, first.size, first.start)
    for later in damage[1 : 1 + _NEXT_DAMAGES]:
        rest = _find_rest(source, head, missing, later)
        if rest is not None:
            return first.start, rest
    return None


def _find_rest(source: Source, head: bytes, missing: int, damage: Damage) -> int | None:
    """Return the offset in the file of the rest of a split record, if it lies in the given damage, or None.

    `head` is the first half of the record.  Its unfinished argument lacks `missing` bytes, so the rest is that many
    bytes, a CRLF, and the remaining arguments; both halves must give exactly one record.
    """
    data = pread(source, min(_HEAD_MAX, damage.span.size), damage.span.start)
    for match in islice(_LINE_END.finditer(data, missing), _LINE_ENDS_TRIED):
        at = match.start() - missing
        joined = BytesSource(head + data[at:])
        diagnosis = diagnose_record(ReadWindow(joined), 0)
        if diagnosis.is_complete and diagnosis.end == joined.size and not diagnosis.is_annotation:
            return damage.span.start + at
    return None


CHECKS = (_interleaved_writers,)
