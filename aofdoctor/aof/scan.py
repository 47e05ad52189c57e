"""The scanner, which splits AOF bytes into complete records: the compiled one, or pure Python if it was not built."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aofdoctor.aof._pyscan import SLACK, ScanColumns, ScanNames, arguments, scan, skip_args

    COMPILED = True
else:
    try:
        from aofdoctor.aof._scan import SLACK, ScanColumns, ScanNames, arguments, scan, skip_args

        COMPILED = True
    except ImportError:
        from aofdoctor.aof._pyscan import SLACK, ScanColumns, ScanNames, arguments, scan, skip_args

        COMPILED = False

__all__ = ["COMPILED", "SLACK", "ScanColumns", "ScanNames", "arguments", "scan", "skip_args"]
