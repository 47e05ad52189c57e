"""Names for new files in printed steps: no step may write over a file that exists."""

import os
from pathlib import Path

_TRIES = 1000


def free_name(path: str | Path, suffix: str) -> str:
    """Return `path` with a suffix, numbered if that name exists; "." and ".." are resolved first."""
    base = os.path.abspath(path) if os.path.basename(path) in ("", ".", "..") else os.fspath(path)
    names = (f"{base}.{suffix}{number}" for number in ("", *(f"-{number}" for number in range(2, _TRIES))))
    return next(name for name in names if not os.path.lexists(name))
