"""Inject faults into system calls: calls are counted, and at a chosen one the process is killed or the call fails."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, aofdoctor

WRITES = ("write", "pwrite", "fsync", "link", "rename", "mkdir", "copy_file_range", "ftruncate")
Call = tuple[str, str]  # The name of the call, and the path of its file.


@dataclass
class Calls:
    """The calls so far; `at` is called before each of them."""

    before_call: Callable[[int], None]
    log: list[Call] = field(default_factory=list)


@contextmanager
def count_calls(before_call: Callable[[int], None]) -> Iterator[Calls]:
    """Run with every writing call of the os module counted."""
    calls = Calls(before_call)
    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(os, name, _counting_wrapper(name, getattr(os, name), calls))
        yield calls


def _counting_wrapper(name: str, real: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        target = args[1] if name in ("link", "rename", "copy_file_range") else args[0]
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.path.abspath(target)
        calls.log.append((name, path))
        calls.before_call(len(calls.log))
        return real(*args, **options)

    return call


def run_killed_at(number: int, *args: str | Path) -> bool:
    """Run a command line in a process that is killed before this call; return whether it finished first."""
    child = os.fork()
    if not child:
        try:
            with count_calls(lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == number else None):
                aofdoctor(*args)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return not os.WIFSIGNALED(status)


def run_failing_at(number: int, code: int, *args: str | Path) -> tuple[Result, bool]:
    """Run a command line in which this call fails; return its result and whether it reached the call."""

    def at(n: int) -> None:
        if n == number:
            raise OSError(code, os.strerror(code))

    with count_calls(at) as calls:
        result = aofdoctor(*args)
    return result, len(calls.log) >= number


def trace_calls(*args: str | Path) -> list[Call]:
    """Return the writing calls of a command line, in order."""
    with count_calls(lambda n: None) as calls:
        assert aofdoctor(*args).status == 0
    return calls.log


DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
