"""The walker in use: the compiled one where it was built, else its plain twin."""

from typing import TYPE_CHECKING

from aofdoctor.rdb.walk._pywalker import KIND_MAGIC, KIND_UNPARSED, StopReason

if TYPE_CHECKING:
    from aofdoctor.rdb.walk._pycount import count_items
    from aofdoctor.rdb.walk._pyprobe import find_key_start
    from aofdoctor.rdb.walk._pywalker import SLACK, ItemColumns, Walker

    COMPILED = True
else:
    try:
        from aofdoctor.rdb.walk._walker import SLACK, ItemColumns, Walker, count_items, find_key_start

        COMPILED = True
    except ImportError:
        from aofdoctor.rdb.walk._pycount import count_items
        from aofdoctor.rdb.walk._pyprobe import find_key_start
        from aofdoctor.rdb.walk._pywalker import SLACK, ItemColumns, Walker

        COMPILED = False

__all__ = [
    "COMPILED",
    "KIND_MAGIC",
    "KIND_UNPARSED",
    "SLACK",
    "ItemColumns",
    "StopReason",
    "Walker",
    "count_items",
    "find_key_start",
]
