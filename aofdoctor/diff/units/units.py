"""Group AOF records into commands and transactions (units): the compiled code, or pure Python if it was not built."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aofdoctor.diff.units._pyunits import close_transaction, make_units
else:
    try:
        from aofdoctor.diff.units._units import close_transaction, make_units
    except ImportError:
        from aofdoctor.diff.units._pyunits import close_transaction, make_units

__all__ = ["close_transaction", "make_units"]
