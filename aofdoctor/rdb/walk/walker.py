"""Choose the RDB walker: the compiled one, or the pure Python one if it was not built."""

from typing import TYPE_CHECKING

from aofdoctor.rdb.walk.constants import KIND_MAGIC, KIND_UNPARSED, SLACK, StopReason

if TYPE_CHECKING:
    from aofdoctor.rdb.walk._pycount import count_items
    from aofdoctor.rdb.walk._pyprobe import find_key_start
    from aofdoctor.rdb.walk._pywalker import ItemColumns, Walker
else:
    try:
        from aofdoctor.rdb.walk._walker import ItemColumns, Walker, count_items, find_key_start
    except ImportError:
        from aofdoctor.rdb.walk._pycount import count_items
        from aofdoctor.rdb.walk._pyprobe import find_key_start
        from aofdoctor.rdb.walk._pywalker import ItemColumns, Walker

__all__ = [
    "KIND_MAGIC",
    "KIND_UNPARSED",
    "SLACK",
    "ItemColumns",
    "StopReason",
    "Walker",
    "count_items",
    "find_key_start",
]
