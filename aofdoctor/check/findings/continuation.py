"""Findings about a record or a transaction that ends one file and continues at the start of the next."""

from collections.abc import Iterator

from aofdoctor import text
from aofdoctor.check.report import Report, salvage_command
from aofdoctor.finding import Finding, Severity
from aofdoctor.log.restarts.continued_parts import continuations


def _split_records(report: Report) -> Iterator[Finding]:
    """Yield a finding per file that begins with the rest of the last record or transaction of the file before it."""
    for first, second, found in continuations([(part.part, part.damage) for part in report.parts]):
        part, later = report.parts[first].part.name, report.parts[second].part.name
        place = f"{text.display_path(part)}@{found.head.start}"
        if found.record_rest:
            message = (
                f"one record is split over two files: the {text.format_size(found.head.size)} at {place} and the "
                f"first {text.format_size(found.record_rest)} of {text.display_path(later)} fit together"
            )
        else:
            message = (
                f"one transaction is split over two files: it is open at the end of {text.display_path(part)}, and the "
                f"first {text.format_size(found.rest)} of {text.display_path(later)} complete it"
            )
        yield Finding(
            "split-record" if found.record_rest else "split-transaction", Severity.DAMAGE, message, part, *found.head,
            hint="a salvage joins the pieces", commands=(salvage_command(report),),
        )  # fmt: skip


CHECKS = (_split_records,)
