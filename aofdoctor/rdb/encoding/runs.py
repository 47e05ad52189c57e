"""Decode runs of items; this module picks the compiled decoder, or the pure Python one if it was not built.

A run is a sequence of items of a listpack, of a ziplist, or of RDB strings.
"""

from typing import TYPE_CHECKING

from aofdoctor.rdb.encoding.constants import MAX_RUN_ITEMS, encode_backlen

if TYPE_CHECKING:
    from aofdoctor.rdb.encoding._pyruns import listpack_run, strings_run, ziplist_run
else:
    try:
        from aofdoctor.rdb.encoding._runs import listpack_run, strings_run, ziplist_run
    except ImportError:
        from aofdoctor.rdb.encoding._pyruns import listpack_run, strings_run, ziplist_run

__all__ = ["MAX_RUN_ITEMS", "encode_backlen", "listpack_run", "strings_run", "ziplist_run"]
