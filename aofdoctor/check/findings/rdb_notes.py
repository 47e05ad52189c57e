"""Notes about sound RDBs: keys that servers skip at load because they are empty."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aofdoctor import text
from aofdoctor.check.report import Report
from aofdoctor.finding import Finding, Severity

if TYPE_CHECKING:  # The decoders are a tenth of the start-up, and an AOF without an RDB does not need them.
    from aofdoctor.check.rdb_examination import SalvageCounts

_NAME_SHOWN = 80


def describe_empty_keys(part: str, contents: "SalvageCounts") -> str:
    """Return how many keys of an RDB are empty, so that servers skip them at load, and which is the first."""
    first, is_one = contents.skipped[0], contents.skipped_count == 1
    db = f"db{first.db}" if first.db >= 0 else "an unknown database"
    verb, object_ = ("has", "it at load") if is_one else ("have", "them at load; the first is")
    return (
        f"{text.display_path(part)}: {text.format_count(contents.skipped_count, 'key')} {verb} no elements, and "
        f"servers skip {object_}{':' if is_one else ''} {text.quote(first.name[:_NAME_SHOWN])} of {db}, at "
        f"{first.span.start}"
    )


def _empty_keys(report: Report) -> Iterator[Finding]:
    """Yield a note per RDB with keys that servers skip at load because they are empty."""
    for part in report.parts:
        if part.rdb_contents is not None and part.rdb_contents.skipped:
            message = describe_empty_keys(part.part.name, part.rdb_contents)
            yield Finding("empty-key", Severity.NOTE, message, part.part.name, *part.rdb_contents.skipped[0].span)


CHECKS = (_empty_keys,)
