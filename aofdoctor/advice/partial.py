"""The steps that use an output with only a part of the data: a running server loads it, and it replaces nothing."""

from pathlib import Path

from aofdoctor import text
from aofdoctor.advice.step import Step


def partial_steps(output: Path, has_rdb: bool) -> list[Step]:
    """The steps that load a partial output into a running server.

    `redis-cli --pipe` sends commands as they are: annotations and the keys of an RDB do not pass through it, so the
    commands come from `log --format resp`, and an RDB becomes commands first.
    """
    steps, source = [], output
    if has_rdb:
        source = output.with_name(f"{output.name}.commands.aof")
        steps.append(
            Step(
                "make commands of its RDB, which redis-cli cannot send",
                (f"aofdoctor convert {_quote(output)} --base resp --layout single -o {_quote(source)}",),
            )
        )
    steps.append(
        Step(
            "send its commands to a running server (add -h HOST -p PORT); they overwrite keys of the same names",
            (f"aofdoctor log {_quote(source)} --format resp | redis-cli --pipe",),
        )
    )
    return steps


def _quote(path: Path) -> str:
    return text.shell_quote(str(path))
