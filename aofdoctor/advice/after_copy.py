"""What to do with a copy that an edit has written: put it in place, load it into a running server, or edit it on."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aofdoctor import text
from aofdoctor.advice.next_commands import next_steps
from aofdoctor.advice.partial import partial_steps
from aofdoctor.advice.processes import ServerProcess
from aofdoctor.advice.replacement import SourceReplacement, replacement_steps
from aofdoctor.advice.step import Step
from aofdoctor.check.collect import is_sound
from aofdoctor.check.report import Report
from aofdoctor.edit.edit import Edit

_PARTIAL_VERBS = frozenset({"slice"})
_CURING_VERBS = frozenset({"repair"})  # What they leave has to be cured by another verb.


@dataclass(frozen=True, slots=True)
class Advice:
    """Numbered steps under a sentence that says what they achieve."""

    title: str
    steps: list[Step] = field(default_factory=list)


def _look_again(output: str) -> Step:
    return Step("see what is left", (f"aofdoctor check {output}",))


def advice_after_copy(
    edit: Edit, replacement: SourceReplacement, report: Report, servers: Sequence[ServerProcess]
) -> list[Advice]:
    """Return what to do with a copy; `report` is the examination of the copy, `servers` use the source.

    Steps that put the copy in the place of the source are given only if it is a full replacement that a server loads.
    """
    output = text.shell_quote(str(replacement.output))
    if edit.verb in _PARTIAL_VERBS:
        has_rdb = any(part.preamble for part in report.parts)
        return [Advice("It has only a part of the data and replaces nothing. To load it into a running server:",
                       partial_steps(replacement.output, has_rdb))]  # fmt: skip
    if not is_sound(report):
        return [
            Advice(
                "It is not ready for a server yet. Next:",
                next_steps(report) or [_look_again(output)],
            )
        ]
    in_place = Advice("To put it in the place of its source:", replacement_steps(replacement, servers))
    if edit.verb in _CURING_VERBS and report.flushes.count:
        return [
            Advice("It still has a flush. Unless that was intended:", next_steps(report)),
            Advice("If it was intended, to put this copy in the place of its source:", in_place.steps),
        ]
    return [in_place]
