"""The census in use: the compiled one where it and its digests were built, else their plain twins."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aofdoctor.analysis.plain_census import copy, differ, fits, flush, gather, get, order, put, run, settle, swap
else:
    try:
        from aofdoctor.analysis._census import copy, differ, fits, flush, gather, get, order, put, run, settle, swap
        from aofdoctor.diff.hashing._digest import Digest as _  # noqa: F401 (both, or neither)
    except ImportError:
        from aofdoctor.analysis.plain_census import (
            copy,
            differ,
            fits,
            flush,
            gather,
            get,
            order,
            put,
            run,
            settle,
            swap,
        )  # fmt: skip

__all__ = ["copy", "differ", "fits", "flush", "gather", "get", "order", "put", "run", "settle", "swap"]
