"""Query a private server over its unix socket, with a minimal RESP2 client."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from aofdoctor.errors import SandboxError
from aofdoctor.resp import encode_command

RespReply = bytes | int | None | list["RespReply"]


class ReplyError(SandboxError):
    """An error reply of the private server; the message is the text of the reply."""


class RespClient:
    """A RESP2 connection to a server's unix socket at `path`; `timeout` in seconds applies to each read and write."""

    def __init__(self, path: Path, timeout: float | None = 60.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            # The path of a socket is limited to 108 bytes, and a temporary folder can have a longer one.
            short = Path(f"/proc/self/fd/{folder}")
            self._socket.connect(str(short / path.name if short.exists() else path))
        except OSError as problem:
            self._socket.close()
            raise SandboxError(f"no answer at {path}: {problem}") from problem
        finally:
            os.close(folder)
        self._file = self._socket.makefile("rb")

    def call(self, *words: str | bytes | int) -> RespReply:
        """Send one command to the server and return its reply; an error reply raises ReplyError."""
        return self.pipeline([words])[0]

    def pipeline(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[RespReply]:
        """Send commands at once and return their replies in order; the first error reply raises ReplyError."""
        self._socket.sendall(b"".join(_encode_words(words) for words in commands))
        return [self._reply() for _ in commands]

    def close(self) -> None:
        """Close the connection to the server."""
        self._file.close()
        self._socket.close()

    def _reply(self) -> RespReply:
        line = self._file.readline()
        if not line:
            raise SandboxError("the private server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ReplyError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        return rest


def _encode_words(words: Sequence[str | bytes | int]) -> bytes:
    return encode_command([word if isinstance(word, bytes) else str(word).encode() for word in words])
