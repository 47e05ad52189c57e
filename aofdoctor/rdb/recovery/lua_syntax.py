"""Check that Lua code can be compiled as far as its tokens show: strings, numbers, brackets and blocks that close.

A function library that does not compile makes a server refuse the whole RDB.  This is a lexer for Lua 5.1 with a stack
of open brackets and blocks, and no parser: it accepts all code that compiles, and some that does not.
"""

import re
from functools import cache

_NUMBER = re.compile(rb"0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CLOSED_BY = {b")": b"(", b"]": b"[", b"}": b"{", b"until": b"repeat"}
_BLOCKS = frozenset({b"function", b"do", b"if"})
_OPENING = frozenset({*_BLOCKS, b"repeat", b"(", b"[", b"{"})


@cache
def _token() -> re.Pattern[bytes]:
    """Return the regular expression for one token of Lua; it is compiled at the first call, because it is long."""
    return re.compile(
        rb"\s+"
        rb"|--\[(?P<comment>=*)\[[\s\S]*?\](?P=comment)\]"
        rb"|--(?!\[=*\[)[^\n]*"
        rb"|\[(?P<text>=*)\[[\s\S]*?\](?P=text)\]"
        rb"|\"(?:[^\"\\\r\n]|\\[\s\S])*\"|'(?:[^'\\\r\n]|\\[\s\S])*'"
        rb"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
        rb"|(?P<number>\.?[0-9](?:[eE][+-]|[A-Za-z0-9_.])*)"
        rb"|(?P<bracket>[][(){}])"
        rb"|\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^#=<>;:,.]"
    )


def lua_defect(code: bytes) -> str:
    """Return why Lua code does not compile; empty if its tokens do not show that."""
    at, pending, token_pattern = 0, list[bytes](), _token()
    while at < len(code):
        match = token_pattern.match(code, at)
        if match is None:
            return f"code that Lua does not read, at {at} of it"
        if match["number"] and not _NUMBER.fullmatch(match["number"]):
            return f"a number that Lua does not read, at {at} of it"
        token = match["bracket"] or match["word"] or b""
        if token in _OPENING:
            pending.append(token)
        elif token in _CLOSED_BY or token == b"end":
            opening = pending.pop() if pending else b""
            if opening not in (_BLOCKS if token == b"end" else (_CLOSED_BY[token],)):
                return f"{token.decode()} where nothing is open that it closes, at {at} of the code"
        at = match.end()
    return f"{pending[-1].decode()} is not closed in the code" if pending else ""
