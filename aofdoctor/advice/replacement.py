"""The steps that put an output in the place of its source, and those for an output that is not a replacement."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aofdoctor import text
from aofdoctor.advice.processes import ServerProcess
from aofdoctor.advice.step import Step
from aofdoctor.advice.stopping import start_step, stop_steps
from aofdoctor.aof.model import AOF
from aofdoctor.free_names import free_name

_SELINUX = Path("/sys/fs/selinux/enforce")
_ADOPTION = Step(
    "a server of 7.0 or later loads a single file only while its appenddirname has no manifest: look there first"
)
_SIZE = Step("look at the number of keys (DBSIZE) before anything else; only then start a rewrite (BGREWRITEAOF)")


@dataclass(frozen=True, slots=True)
class SourceReplacement:
    """An output that can take the place of its source.

    `opened_at` is the unix time at which the source was opened: later writes are not in the output.  `is_free`: the
    kernel has confirmed that no process has the source open.  `repeat` is the shell command that makes the output
    again, under another name.
    """

    aof: AOF
    output: Path
    opened_at: int
    is_free: bool
    repeat: str

    @property
    def place(self) -> Path:
        """The file or directory that the output replaces."""
        if self.aof.directory and self.aof.layout == "multi-part":
            return self.aof.directory
        return Path(self.aof.parts[0].path or self.aof.path)


def replacement_steps(replacement: SourceReplacement, servers: Sequence[ServerProcess]) -> list[Step]:
    """The steps that put an output in the place of its source.

    While a server uses the source, its later writes are missing from the output: the steps end with making the output
    again from files that no longer change, which prints the steps that follow.
    """
    if servers:
        again = Step(
            "make the result again, because it lacks what was written since; it prints the steps that follow",
            (replacement.repeat,),
        )
        return [*stop_steps(servers), again]
    appendonly = "no" if replacement.aof.layout == "rdb" else "yes"
    return [
        *_checks_before(replacement),
        _exchange_step(replacement),
        Step("check it in its place", (f"aofdoctor check {text.shell_quote(str(replacement.place))}",)),
        *([_ADOPTION] if replacement.aof.layout == "single" else []),
        start_step(servers, appendonly),
        *([_SIZE] if appendonly == "yes" else [_append_only_step()]),
    ]


def _append_only_step() -> Step:
    return Step("look at the number of keys (DBSIZE); then CONFIG SET appendonly yes, if the server had an AOF before")


def _checks_before(replacement: SourceReplacement) -> list[Step]:
    """What has to be known before files are moved: that no server uses them, and that nothing was written since."""
    if replacement.is_free:
        return []
    place = text.shell_quote(str(replacement.place))
    return [
        Step("stop the server that uses these files, if one runs where this host cannot see it"),
        Step(
            "see whether anything was written since the files were read: if this prints a name, make the result again",
            (f"find {place} -type f -newermt @{replacement.opened_at}",),
        ),
    ]


def _exchange_step(replacement: SourceReplacement) -> Step:
    """Move the source aside and the output to its name; owner and security label as before."""
    place, kept = replacement.place, free_name(replacement.place, "before-aofdoctor")
    quoted, quoted_kept = text.shell_quote(str(place)), text.shell_quote(kept)
    commands = [
        f"mv -nT {quoted} {quoted_kept}",
        f"mv -nT {text.shell_quote(str(replacement.output))} {quoted}",
    ]
    if _owner(place) != _owner(replacement.output):
        commands.append(f"sudo chown -R --reference={quoted_kept} {quoted}")
    if _SELINUX.exists():
        commands.append(f"restorecon -R {quoted}")
    kept_name = text.display_path(os.path.basename(kept))
    return Step(f"keep the old one as {kept_name}, and put this one in its place", tuple(commands))


def _owner(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_uid, status.st_gid
