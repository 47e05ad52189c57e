"""Find the commands after an RDB preamble that a damaged length in it takes for a part of a key.

An RDB ends with the byte 0xff and eight bytes of checksum.  Where a run of whole commands follows such bytes inside of
what was read as items of a damaged RDB, the RDB has ended there.
"""

import re

from aofdoctor.aof.recovery.resync import begins_run
from aofdoctor.source import Source, pread

_END = re.compile(rb"\xff.{8}(?=\*[0-9]{1,18}\r\n\$[0-9]{1,18}\r\n|#TS:[0-9])", re.DOTALL)
_CHUNK, _OVERLAP = 1 << 20, 64
_TRIES_MAX = 64


def find_swallowed_commands(source: Source, end: int) -> int | None:
    """Return the offset before `end` at which commands follow the end of a damaged RDB, or None."""
    tries = 0
    for at in range(0, end, _CHUNK):
        for match in _END.finditer(pread(source, min(_CHUNK + _OVERLAP, end - at + _OVERLAP), at)):
            place, tries = at + match.end(), tries + 1
            if place >= end or tries > _TRIES_MAX:
                return None
            if begins_run(source, place):
                return place
    return None
