"""Tell pipes that can be read as an AOF from special files that would block or never end.

A shell's process substitution and `-` give a pipe that is open already.  Opening a FIFO by its name waits for a
writer, a device such as /dev/zero never ends, and a socket cannot be opened.
"""

import os
import stat

from aofdoctor import text
from aofdoctor.errors import NotAnAof


def require_finite_file(path: str, status: os.stat_result) -> None:
    """Raise NotAnAof for a path that is a FIFO, a socket or a device; a pipe that is open already is accepted."""
    kind = _special_kind(status)
    if not kind or _is_open_pipe(path, status):
        return
    name = text.shell_quote(path)
    advice = f"pipe its bytes in: cat {name} | aofdoctor check -" if stat.S_ISFIFO(status.st_mode) else "name a file"
    raise NotAnAof(f"{text.display_path(path)} is {kind}, not an AOF", advice)


def require_finite_stream(fd: int) -> None:
    """Raise NotAnAof if standard input is a device that never ends; a terminal and the null device are accepted."""
    status = os.fstat(fd)
    if stat.S_ISBLK(status.st_mode) or (
        stat.S_ISCHR(status.st_mode) and not os.isatty(fd) and status.st_rdev != os.stat(os.devnull).st_rdev
    ):
        raise NotAnAof("standard input is a device, not an AOF", "redirect a file or a pipe to it")


def _special_kind(status: os.stat_result) -> str:
    kinds = {
        stat.S_IFIFO: "a FIFO (named pipe)", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(status.st_mode), "")


def _is_open_pipe(path: str, status: os.stat_result) -> bool:
    """Whether a path such as /dev/fd/63 leads to a pipe without a name, which has its writer."""
    return stat.S_ISFIFO(status.st_mode) and not os.path.exists(os.path.realpath(path))
