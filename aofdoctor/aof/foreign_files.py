"""Recognise files that are no AOF and no RDB: archives, compressed files, text, JSON and configuration files."""

import re
from typing import NamedTuple

from aofdoctor import text

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
