"""Keep a table of keys; this module picks the compiled table, or the pure Python one if it was not built.

The compiled table is used only together with the compiled digests, because both must compute the same numbers.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aofdoctor.diff.key_table._pyslots import (
        apply_batch,
        apply_pending,
        compare,
        copy_live_slots,
        flush_database,
        fold_elements,
        get_key,
        has_room,
        order_pending,
        put_event,
        swap_databases,
    )
else:
    try:
        from aofdoctor.diff.hashing._digest import Digest as _  # noqa: F401
        from aofdoctor.diff.key_table._slots import (
            apply_batch,
            apply_pending,
            compare,
            copy_live_slots,
            flush_database,
            fold_elements,
            get_key,
            has_room,
            order_pending,
            put_event,
            swap_databases,
        )
    except ImportError:
        from aofdoctor.diff.key_table._pyslots import (
            apply_batch,
            apply_pending,
            compare,
            copy_live_slots,
            flush_database,
            fold_elements,
            get_key,
            has_room,
            order_pending,
            put_event,
            swap_databases,
        )

__all__ = [
    "apply_batch",
    "apply_pending",
    "compare",
    "copy_live_slots",
    "flush_database",
    "fold_elements",
    "get_key",
    "has_room",
    "order_pending",
    "put_event",
    "swap_databases",
]
