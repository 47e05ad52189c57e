"""Decode consecutive items of listpacks, ziplists and RDB strings; picks the compiled decoder or the pure Python one.

The functions are documented in _pyruns.py.
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
