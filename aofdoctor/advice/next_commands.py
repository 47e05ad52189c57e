"""The commands that `check` suggests next: what takes a flush back, cures damage, or both in the right order."""

from aofdoctor import text
from aofdoctor.advice.step import Step
from aofdoctor.check.report import Report, needs_salvage, output_name, salvage_command


def next_steps(report: Report) -> list[Step]:
    """The steps that cure what an examination has found; empty if nothing has to be done.

    A flush and damage in one AOF are cured in two steps: what the repair writes is the source of the strip.
    """
    if not (needs_salvage(report) or report.flushes.count):
        return []
    if report.aof.path == "-" or any(part.source and part.source.size is None for part in report.aof.parts):
        return [Step("save it to a file first: standard input cannot be edited")]
    source, steps = report.aof.path, []
    if needs_salvage(report):
        sentence = f"write a copy that keeps everything that can be read (up to {text.format_size(report.size)})"
        steps.append(Step(sentence, (salvage_command(report),)))
        source = output_name(report, "repaired")
    if report.flushes.count:
        steps.extend(_flush_steps(report, source, is_intermediate=bool(steps)))
    return steps


def _flush_steps(report: Report, source: str, is_intermediate: bool) -> list[Step]:
    quoted = text.shell_quote(source)
    if report.flushes.group_count > 1:
        groups = f"{report.flushes.group_count:,} groups of flushes"
        return [Step(f"list the {groups}; the list says how to choose", (f"aofdoctor strip {quoted}",))]
    output = text.shell_quote(output_name(report, "rescued"))
    copy = Step(
        f"take the flush back in a copy ({text.format_size(report.size)})",
        (f"aofdoctor strip {quoted} -o {output}",),
    )
    if is_intermediate:
        return [copy]
    return [copy, Step("or where it stands, which undo takes back", (f"aofdoctor strip {quoted} --in-place",))]
