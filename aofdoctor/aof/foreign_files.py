"""Recognise files that are no AOF and no RDB: archives, compressed files, text, JSON, configuration and special files.

A special file would block or never end: opening a FIFO by its name waits for a writer, a device such as /dev/zero never
ends, and a socket cannot be opened.  The pipe of `-` or of a shell's process substitution is open already.
"""

import os
import re
import stat
from typing import NamedTuple

from aofdoctor import text
from aofdoctor.errors import NotAnAof

_CONFIG = re.compile(
    rb"^(?:appendonly|appendfilename|dbfilename|bind|port|save|dir|requirepass|maxmemory|sentinel|user|include)[ \t]",
    re.MULTILINE | re.IGNORECASE,
)
_COMMENTS = re.compile(rb"#[^\n]*\n?")
_SERVER_ANNOTATION = re.compile(rb"#[A-Z]+:")
_PRINTABLE_SHARE = 0.97
HEAD_SIZE = 1 << 16


class ForeignFile(NamedTuple):
    """The description of a file that is neither AOF nor RDB (`kind`), and what the user can do instead (`advice`)."""

    kind: str
    advice: str


def recognise_archive(head: bytes, path: str) -> ForeignFile | None:
    """Recognise a compressed file or an archive by its first bytes; the advice is the command that unpacks `path`."""
    name = text.shell_quote(path)
    for magic, kind, command in _MAGICS:
        if head.startswith(magic):
            return ForeignFile(kind, f"unpack it first: {command.format(name=name)}")
    if head[257:262] == b"ustar":
        return ForeignFile("a tar archive", f"unpack it first: tar -xf {name}")
    return None


_MAGICS = (
    (b"\x1f\x8b", "a gzip file", "gzip -dc {name} > UNPACKED"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "zstd -dc {name} > UNPACKED"),
    (b"\x04\x22\x4d\x18", "an LZ4 file", "lz4 -dc {name} > UNPACKED"),
    (b"\xfd7zXZ\0", "an xz file", "xz -dc {name} > UNPACKED"),
    (b"BZh", "a bzip2 file", "bzip2 -dc {name} > UNPACKED"),
    (b"PK\x03\x04", "a zip archive", "unzip {name}"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x {name}"),
)


def recognise_text(head: bytes) -> ForeignFile | None:
    """Recognise JSON, a configuration file or other text by the first bytes of a file."""
    if not head or not _is_text(head):
        return None
    stripped = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if stripped[:1] in (b"{", b"["):
        return ForeignFile("a JSON file", "aofdoctor reads the AOF or the RDB that it was made from")
    if _CONFIG.search(head):
        return ForeignFile(
            "a configuration file", "its options dir, appenddirname and appendfilename name the AOF: give that"
        )
    return ForeignFile("a text file", "give the AOF, its manifest, its directory or an RDB")


def has_only_comments(head: bytes) -> bool:
    """Whether a file begins with `#` lines that are not annotations of a server (`#TS:`), and no command follows."""
    if not head.startswith(b"#") or _SERVER_ANNOTATION.match(head):
        return False
    at = 0
    while match := _COMMENTS.match(head, at):
        at = match.end()
    return head[at : at + 1] != b"*"


def _is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8 text, at least 97% printable; the last character may be cut."""
    if b"\0" in head:
        return False
    try:
        decoded = head.decode("utf-8", "strict")
    except UnicodeDecodeError as problem:
        if problem.start < len(head) - 4:
            return False
        decoded = head[: problem.start].decode("utf-8")
    printable = sum(char.isprintable() or char in "\r\n\t" for char in decoded[:4096])
    return printable >= _PRINTABLE_SHARE * min(len(decoded), 4096)


# -- special files --


def require_finite_file(path: str, status: os.stat_result) -> None:
    """Raise NotAnAof for a path that is a FIFO, a socket or a device; a pipe that is open already is accepted."""
    kind = _special_kind(status)
    if not kind or _is_open_pipe(path, status):
        return
    name = text.shell_quote(path)
    advice = f"pipe its bytes in: cat {name} | aofdoctor check -" if stat.S_ISFIFO(status.st_mode) else "name a file"
    raise NotAnAof(f"{text.display_path(path)} is {kind}, not an AOF", advice)


def require_finite_stream(fd: int) -> None:
    """Raise NotAnAof if standard input is a device that never ends; a terminal and the null device are accepted."""
    status = os.fstat(fd)
    if stat.S_ISBLK(status.st_mode) or (
        stat.S_ISCHR(status.st_mode) and not os.isatty(fd) and status.st_rdev != os.stat(os.devnull).st_rdev
    ):
        raise NotAnAof("standard input is a device, not an AOF", "redirect a file or a pipe to it")


def _special_kind(status: os.stat_result) -> str:
    kinds = {stat.S_IFIFO: "a FIFO (named pipe)", stat.S_IFSOCK: "a socket"}
    is_device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    return "a device" if is_device else kinds.get(stat.S_IFMT(status.st_mode), "")


def _is_open_pipe(path: str, status: os.stat_result) -> bool:
    """Whether a path such as /dev/fd/63 leads to a pipe without a name, which has its writer."""
    return stat.S_ISFIFO(status.st_mode) and not os.path.exists(os.path.realpath(path))
