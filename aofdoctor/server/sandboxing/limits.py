"""Limits of time, memory, disk and log for a private server, which may run hostile scripts.

The kernel enforces memory, the size of each file and CPU time (setrlimit), so that they hold even if this process is
stopped; the wall clock and the folder are watched while the server loads.
"""

import math
import resource
from dataclasses import dataclass
from pathlib import Path

_SECONDS_MIN = 60.0
_BYTES_PER_SECOND = 10_000_000  # a server loads several times as much; slower than this, it hangs
_MEMORY_MIN = 1 << 31
_MEMORY_PER_BYTE = 10  # of the files; a dataset takes several times the size of its log
_FILE_MAX = 1 << 26  # bytes that a server may write into one file: its log, or its own part of the AOF
_GRACE_SECONDS = 5  # CPU time beyond the wall clock limit, so that this process can say what happened


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a private server may use: seconds to load, bytes of address space, and bytes of each file that it writes."""

    seconds: float
    memory: int
    file_size: int = _FILE_MAX

    @classmethod
    def for_data(cls, size: int, seconds: float | None = None, appends_to_copy: bool = False) -> "ServerLimits":
        """Return the limits for loading `size` bytes of files; `seconds` overrides the time.

        `appends_to_copy`: the server appends to a copy of the data, which is then as large as the data already.
        """
        return cls(
            seconds if seconds is not None else _SECONDS_MIN + size / _BYTES_PER_SECOND,
            max(_MEMORY_MIN, min(size * _MEMORY_PER_BYTE, _available_memory())),
            _FILE_MAX + (size if appends_to_copy else 0),
        )

    def apply(self, pid: int) -> None:
        """Set the limits of a process that has just started; where the system has no prlimit, only the clock counts."""
        if not hasattr(resource, "prlimit"):
            return
        cpu_seconds = math.ceil(self.seconds) + _GRACE_SECONDS
        for kind, value in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_AS, self.memory),
            (resource.RLIMIT_FSIZE, self.file_size),
            (resource.RLIMIT_CPU, cpu_seconds),
        ):
            hard = resource.prlimit(pid, kind)[1]
            limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, kind, (limit, limit))


def _available_memory() -> int:
    """Return the bytes of memory that are available now; 0 if the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    found = next((line.split() for line in lines if line.startswith("MemAvailable:")), [])
    return int(found[1]) * 1024 if len(found) > 1 and found[1].isdigit() else 0
