"""Check a newly written RDB against the rules of the server's loader, before the file gets its final name."""

from aofdoctor import text
from aofdoctor.aof.records import Preamble
from aofdoctor.check.findings.rdb_values import describe_key
from aofdoctor.check.rdb_examination import examine_rdb
from aofdoctor.errors import RefusedEdit
from aofdoctor.source import Source


def require_loadable(written: Source, rdb: Preamble, source_path: str) -> None:
    """Raise RefusedEdit if a written RDB has a key or function library that no server loads.

    The message names the key or library and the reason.
    """
    if rdb.codec or rdb.keys is None:
        return
    contents = examine_rdb(written, rdb)
    if contents.damaged:
        more = f", and {contents.damaged_count - 1:,} more" if contents.damaged_count > 1 else ""
        raise RefusedEdit(
            f"the result cannot be read by a server: {describe_key(contents.damaged[0])}{more}",
            f"aofdoctor repair {text.shell_quote(source_path)} --salvage -o OUT leaves it out; convert OUT then",
        )
