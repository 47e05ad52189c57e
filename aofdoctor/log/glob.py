"""Translate the glob patterns of KEYS and SCAN MATCH to regular expressions.

Redis's patterns differ from Python's fnmatch: a backslash escapes, [^x] negates, an unclosed class extends to the end
of the pattern, and * matches any byte.  Source: stringmatchlen in util.c, Redis 7.0.

Each piece of literals between two stars is matched at its first occurrence only (an atomic group), so no pattern takes
exponential time.
"""

import re


def glob_to_regex(pattern: bytes) -> "re.Pattern[bytes]":
    """Translate a glob pattern of KEYS to a regular expression that matches exactly the same keys with match()."""
    if len(pattern) > 1 and not pattern.strip(b"*"):
        return re.compile(b".", re.DOTALL)  # In Redis, `**` does not match an empty key, but `*` does.
    runs = _parts_between_stars(pattern)
    if len(runs) == 1:
        return re.compile(runs[0] + rb"\Z", re.DOTALL)
    between = b"".join(b"(?>.*?%b)" % run for run in runs[1:-1] if run)
    return re.compile(runs[0] + between + b".*" + runs[-1] + rb"\Z", re.DOTALL)


def _parts_between_stars(pattern: bytes) -> list[bytes]:
    """Split a glob pattern at its stars, and return each piece as a regular expression."""
    runs, at = [b""], 0
    while at < len(pattern):
        if pattern[at] == 0x2A:
            runs.append(b"")
            at += 1
            continue
        piece, at = _byte_regex(pattern, at)
        runs[-1] += piece
    return runs


def _byte_regex(pattern: bytes, at: int) -> tuple[bytes, int]:
    """Translate the element of a glob pattern at index `at` (a literal, `?` or `[...]`), which matches one byte.

    Returns (regular expression, index after the element).
    """
    byte = pattern[at : at + 1]
    if byte == b"?":
        return b".", at + 1
    if byte == b"[":
        return _class_regex(pattern, at + 1)
    if byte == b"\\" and at + 1 < len(pattern):
        return re.escape(pattern[at + 1 : at + 2]), at + 2
    return re.escape(byte), at + 1


def _class_regex(pattern: bytes, at: int) -> tuple[bytes, int]:
    """Translate a character class of a glob pattern; `at` is the index after its `[`.

    Returns (regular expression, index after the class).
    """
    negated = pattern[at : at + 1] == b"^"
    at += negated
    members: set[int] = set()
    while at < len(pattern):
        if pattern[at] == 0x5C and at + 1 < len(pattern):
            members.add(pattern[at + 1])
            at += 2
        elif pattern[at] == 0x5D:
            return _members_regex(members, negated), at + 1
        elif at + 2 < len(pattern) and pattern[at + 1] == 0x2D:
            low, high = sorted((pattern[at], pattern[at + 2]))
            members.update(range(low, high + 1))
            at += 3
        else:
            members.add(pattern[at])
            at += 1
    return _members_regex(members, negated), at


def _members_regex(members: set[int], negated: bool) -> bytes:
    """Return the regular expression of a character class with these bytes as members.

    An empty class matches nothing, and a negated empty one any byte.
    """
    if not members:
        return b"." if negated else b"(?!)"
    inside = b"".join(b"\\x%02x" % member for member in sorted(members))
    return b"[^%b]" % inside if negated else b"[%b]" % inside


def escape_glob(data: bytes) -> bytes:
    """Escape the bytes of a key name that have a meaning in a glob pattern."""
    return re.sub(rb"[*?\[\]\\^]", lambda match: b"\\" + match[0], data)
