"""Convert the text of user options (positions, times, --cmd, --key ...) to checked values for one opened AOF.

The caller may be a command line, a saved plan or a test: the functions take plain strings and numbers.  How the options
are spelled and grouped in a help text is not known here.
"""

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.errors import InvalidSelection
from aofdoctor.log.position import Position, parse_position, parse_time
from aofdoctor.log.selection import Selection, build_selection
from aofdoctor.log.timestamps import last_time, probably_has_timestamps
from aofdoctor.rdb.preamble import read_aux


def build_log_selection(
    aof: AOF, cmd: list[str] | None, key: list[str] | None, db: list[int] | None, effect: list[str] | None,
    grep: list[str] | None, min_size: int, from_: str | None, to: str | None, since: str | None, until: str | None,
    invert: bool, includes_base: bool = False,
) -> Selection:  # fmt: skip
    """Build the filters that choose commands of an AOF, from the values of options such as --cmd, --key and --since.

    The parameters are named like the options; `invert` selects the other commands.  With `includes_base` the keys of an
    RDB base are selected from too; they have a time (that of the RDB) even if the commands have none.  Raises
    InvalidSelection for a value that is not valid.
    """
    end = end_of_log(aof, [given for given in (since, until) if given is not None], includes_base)
    start, stop = (None if given is None else parse_loaded_position(given, aof) for given in (from_, to))
    begin, finish = (None if given is None else parse_time(given, end) for given in (since, until))
    return build_selection(
        cmd or (), key or (), db or (), effect or (), grep or (), min_size, invert,
        start, stop, begin, finish,
    )  # fmt: skip


def end_of_log(aof: AOF, times: list[str], has_other_times: bool = False) -> int | None:
    """Return the last #TS time of an AOF in unix seconds, if one of the option values `times` is relative to it (-10m).

    Returns None if no value is relative, or if the AOF is a pipe, of which the end cannot be known.  Raises
    InvalidSelection if a time is given and the AOF has no #TS annotations; `has_other_times` skips that check, because
    the keys of an RDB have a time too.
    """
    if not times or any(part.source and part.source.size is None for part in aof.parts):
        return None
    is_relative = any(given.startswith("-") for given in times)
    end = last_time(aof) if is_relative or not (has_other_times or probably_has_timestamps(aof)) else 0
    if end is None:
        raise InvalidSelection(
            "this AOF has no #TS annotations, so nothing in it has a time (aof-timestamp-enabled was off)",
            "select by position: --from and --to",
        )
    return end if is_relative else None


def last_write_time(aof: AOF) -> int | None:
    """Return when the data of an AOF or RDB was last written, in unix seconds, or None if no time is recorded.

    It is the last #TS annotation of an AOF, or the `ctime` field of an RDB file that was opened alone.
    """
    if aof.layout != "rdb":
        return last_time(aof)
    ctime = read_aux(AOF.require_file(aof.parts[0])).get(b"ctime", b"")
    return int(ctime) if ctime.isdigit() and len(ctime) < 12 else None


def parse_loaded_position(value: str, aof: AOF) -> Position:
    """Parse a position that a user wrote (PART@OFFSET or #NUMBER), and require that servers load the file it names.

    Raises InvalidSelection for a history file or a file that the manifest does not list.
    """
    position = parse_position(value, aof)
    if not position.number and position.part_index < 0:
        raise InvalidSelection(
            f"{text.display_path(position.part)} is not loaded: it is a history file, or not in the manifest",
            "name the file itself as PATH",
        )
    return position
