"""The walker in use: the compiled one where it was built, else its plain twin."""

from typing import TYPE_CHECKING

from aofdoctor.rdb.walk._pywalker import MAGIC, UNREAD, StopReason

if TYPE_CHECKING:
    from aofdoctor.rdb.walk._pycount import count_items
    from aofdoctor.rdb.walk._pyprobe import find
    from aofdoctor.rdb.walk._pywalker import SLACK, Columns, Walker

    COMPILED = True
else:
    try:
        from aofdoctor.rdb.walk._walker import SLACK, Columns, Machine, find, tally

        COMPILED = True
    except ImportError:
        from aofdoctor.rdb.walk._pycount import tally
        from aofdoctor.rdb.walk._pyprobe import find
        from aofdoctor.rdb.walk._pywalker import SLACK, Columns, Machine

        COMPILED = False

__all__ = ["COMPILED", "MAGIC", "SLACK", "UNREAD", "Columns", "Walker", "StopReason", "find", "count_items"]
