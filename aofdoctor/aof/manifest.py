"""Parse and write the manifest of a multi-part AOF, by the rules of the server.

A server stops at the first line that it rejects.  This parser records the
problem and continues with the next line.  Source: aof.c
(aofLoadManifestFromFile) and sds.c (sdssplitargs, sdstrim) of Redis 7.0 to 8.2
and Valkey 7.2 to 9.1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

LINE_MAX = 1024  # MANIFEST_MAX_LINE, with the line end
_SPACE = b" \t\r\n"
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
TYPES = {b"b": "base", b"i": "incr", b"h": "history"}


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One line of an AOF manifest: the name, number (`seq`) and type (base, incr or history) of a file.

    `line` is the line number, from 1, and `raw` the line with its line end.  `extra`
    holds the fields that Redis 7.0 does not know.
    """

    line: int
    raw: bytes
    name: bytes
    seq: int
    type: str
    extra: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class ManifestProblem:
    """A line of an AOF manifest (number from 1; 0 for an empty manifest) that a server rejects, and why."""

    line: int
    message: str


@dataclass(slots=True)
class Manifest:
    """The parsed manifest of a multi-part AOF: its valid lines and the rejected ones, both in file order."""

    entries: list[ManifestEntry] = field(default_factory=list)
    problems: list[ManifestProblem] = field(default_factory=list)
    has_base: bool = False
    last_incr_seq: int = 0

    def add(self, entry: ManifestEntry) -> None:
        """Append a valid line, and update `has_base` and `last_incr_seq`, against which later lines are checked."""
        self.entries.append(entry)
        self.has_base |= entry.type == "base"
        if entry.type == "incr":
            self.last_incr_seq = entry.seq

    def of_type(self, kind: str) -> list[ManifestEntry]:
        """Return the entries of type `kind` (base, incr or history), in file order."""
        return [entry for entry in self.entries if entry.type == kind]

    @property
    def load_order(self) -> list[ManifestEntry]:
        """The entries of the files that a server loads: the base, then the incremental files in order."""
        return self.of_type("base") + self.of_type("incr")


def looks_like_manifest(head: bytes) -> bool:
    """Whether a file that begins with `head` is a manifest: its first line that is no comment has a "file" field."""
    for line in head.splitlines():
        if not line.startswith(b"#"):
            words = split_args(line.strip(_SPACE)) or []
            return len(words) >= 6 and b"file" in (word.lower() for word in words[::2])
    return False


def parse_manifest(data: bytes) -> Manifest:
    """Parse all lines of an AOF manifest; lines that a server would reject become problems, not exceptions."""
    manifest = Manifest()
    if not data:
        manifest.problems.append(ManifestProblem(0, "the manifest is empty"))
    for number, raw in _lines(data):
        if raw.startswith(b"#"):
            continue
        result = _parse_line(number, raw, manifest)
        if isinstance(result, ManifestEntry):
            manifest.add(result)
        else:
            manifest.problems.append(ManifestProblem(number, result))
    return manifest


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line with its line end) as fgets returns them: long lines in pieces of LINE_MAX bytes."""
    at, number = 0, 0
    while at < len(data):
        lf = data.find(b"\n", at, at + LINE_MAX)
        end = lf + 1 if lf >= 0 else min(len(data), at + LINE_MAX)
        number += 1
        yield number, data[at:end]
        at = end


def _parse_line(number: int, raw: bytes, manifest: Manifest) -> ManifestEntry | str:
    """Parse one manifest line after the entries in `manifest`; return it, or the reason why a server rejects it."""
    if b"\n" not in raw.partition(b"\0")[0]:
        return "no line end, or a NUL byte, or longer than 1,024 bytes"
    line = raw.strip(_SPACE)
    if not line:
        return "a blank line"
    words = split_args(line)
    if words is None:
        return "unbalanced quotes"
    if len(words) < 6 or len(words) % 2:
        return "not pairs of a name and a value, three at least"
    entry = _entry(number, raw, words)
    return entry if isinstance(entry, str) else _check_sequence(entry, manifest)


def _entry(number: int, raw: bytes, words: list[bytes]) -> ManifestEntry | str:
    pairs = list(zip(words[::2], words[1::2], strict=True))
    fields = {key.lower(): value for key, value in pairs}
    name, seq, kind = fields.get(b"file", b""), _atoll(fields.get(b"seq", b"")), fields.get(b"type", b"")[:1]
    if any(b"/" in value or b"\\" in value for key, value in pairs if key.lower() == b"file"):
        return "a file name that is a path"
    if not (b"file" in fields and seq and kind and kind != b"\0"):
        return "no file, seq or type, or seq 0"
    if kind not in TYPES:
        return f"type {kind!r} is none of b, i, h"
    extra = tuple((key, value) for key, value in pairs if key.lower() not in (b"file", b"seq", b"type"))
    return ManifestEntry(number, raw, name.partition(b"\0")[0], seq, TYPES[kind], extra)


def _check_sequence(entry: ManifestEntry, manifest: Manifest) -> ManifestEntry | str:
    if entry.type == "base" and manifest.has_base:
        return "a second base file"
    if entry.type == "incr" and entry.seq <= manifest.last_incr_seq:
        return "an incremental file whose seq does not grow"
    return entry


def _atoll(text: bytes) -> int:
    match = _NUMBER.match(text)
    return max(-(2**63), min(2**63 - 1, int(match[1]))) if match else 0


def split_args(line: bytes) -> list[bytes] | None:
    """Split a manifest line into words with the quoting rules of sdssplitargs; None if quotes are not balanced."""
    words: list[bytes] = []
    at = 0
    while True:
        while at < len(line) and line[at : at + 1] in (b" ", b"\t", b"\n", b"\v", b"\f", b"\r"):
            at += 1
        if at >= len(line) or line[at] == 0:
            return words
        parsed = _word(line, at)
        if parsed is None:
            return None
        word, at = parsed
        words.append(word)


def _word(line: bytes, at: int) -> tuple[bytes, int] | None:
    out = bytearray()
    while at < len(line) and line[at] not in b" \n\r\t\0":
        if line[at] in b"\"'":
            quoted = _quoted(line, at + 1, line[at])
            if quoted is None:
                return None
            out += quoted[0]
            return bytes(out), quoted[1]
        out.append(line[at])
        at += 1
    return bytes(out), at


def _quoted(line: bytes, at: int, quote: int) -> tuple[bytes, int] | None:
    """Parse a quoted word at line[at], after the opening quote; return (word, index after the closing quote).

    None if the closing quote is missing, or is not followed by a space or the end of the line.
    """
    out = bytearray()
    while at < len(line) and line[at] != 0:
        byte = line[at]
        if byte == quote:
            after = line[at + 1 : at + 2]
            return (bytes(out), at + 1) if after in (b"", b"\0") or after.isspace() else None
        if byte == 0x5C and at + 1 < len(line):
            value, size = _escape(line, at, quote)
            out.append(value)
            at += size
        else:
            out.append(byte)
            at += 1
    return None


def _escape(line: bytes, at: int, quote: int) -> tuple[int, int]:
    """Decode the backslash escape at line[at] in a quoted word; return (decoded byte, size of the escape in bytes)."""
    following = line[at + 1]
    if quote == 0x27:
        return (0x27, 2) if following == 0x27 else (0x5C, 1)
    digits = line[at + 2 : at + 4]
    if following == ord("x") and len(digits) == 2 and re.fullmatch(rb"[0-9a-fA-F]{2}", digits):
        return int(digits, 16), 4
    return _ESCAPES.get(following, following), 2


def changed_entry_line(entry: ManifestEntry, name: bytes) -> bytes:
    """Format the manifest line of a file after an edit of its bytes, with the new file name.

    The endoffset field is dropped, because it described the old bytes.
    """
    letter = next(letter for letter, kind in TYPES.items() if kind == entry.type)
    extra = b"".join(b" %b %b" % pair for pair in entry.extra if pair[0].lower() != b"endoffset")
    return b"file %b seq %d type %b%b\n" % (encode_name(name), entry.seq, letter, extra)


def encode_name(name: bytes) -> bytes:
    """Format a file name as a server writes it into a manifest, quoted if necessary."""
    plain = all(0x21 <= byte <= 0x7E and byte not in b"\\\"'" for byte in name)
    if plain and name:
        return name
    escapes = {value: key for key, value in _ESCAPES.items()} | {0x5C: 0x5C, 0x22: 0x22}
    out = bytearray(b'"')
    for byte in name:
        if byte in escapes:
            out += bytes((0x5C, escapes[byte]))
        elif 0x20 <= byte <= 0x7E:
            out.append(byte)
        else:
            out += b"\\x%02x" % byte
    return bytes(out + b'"')
