"""Encodes commands in RESP, the Redis protocol, in which an AOF stores them.

This is the only pure-Python implementation.  The compiled one is
rdb/export/_resp.pyx, used where millions of commands are exported.
"""

from collections.abc import Sequence


def encode_command(argv: Sequence[bytes]) -> bytes:
    """Encode a command (its name and arguments) as a RESP array of bulk strings, as a server appends it to its AOF."""
    return b"*%d\r\n" % len(argv) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in argv)
