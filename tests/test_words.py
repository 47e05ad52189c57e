"""Words and phrases that names, docstrings and comments do not use, because a reader has to decode them.

The docstring of a verb is its help text, which belongs to the strings that users read.

Python is read with `tokenize` and `ast`: names, comments and docstrings count, other strings do not. C and Cython are
read without their string literals, except docstrings. Names are split at underscores and at capital letters, so that
a word is found in `snake_case`, in `CamelCase` and in `CONSTANTS` alike.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = (
    "told", "anew", "stands in", "what goes", "what stays", "wish", "wishes", "wished", "wishing", "so many",
    "beside it", "cannot be told", "comes to",
)  # fmt: skip
# These two have correct uses, which are listed line by line.
REVIEWED = ("whose", "said")
ALLOWED_LINES: frozenset[str] = frozenset()
FILES = sorted(
    path
    for folder, patterns in (("aofdoctor", ("*.py", "*.pyx", "*.pxi", "*.h")), ("tests", ("*.py", "*.c", "*.h")))
    for pattern in patterns
    for path in (ROOT / folder).rglob(pattern)
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_C = (re.compile(r'"(?:[^"\\\n]|\\.)*"'), re.compile(r"/\*.*?\*/|(?:[ \t]*//[^\n]*\n?)+", re.DOTALL))
_CYTHON = (
    re.compile(r'(?<!")"(?!")(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\''),
    re.compile(r'""".*?"""|(?:[ \t]*#[^\n]*\n?)+', re.DOTALL),
)


def split_words(text: str) -> str:
    """Return the words of a text in lower case, separated and surrounded by single spaces."""
    return f" {' '.join(_WORD.findall(text)).lower()} "


def forbidden_words(text: str) -> list[str]:
    """Return the words and phrases of the list that occur in a text, except on lines that were reviewed."""
    lines = [line.strip() for line in text.splitlines()]
    every, unreviewed = split_words(text), split_words(" ".join(line for line in lines if line not in ALLOWED_LINES))
    found = [word for word in FORBIDDEN if f" {word} " in every]
    return found + [word for word in REVIEWED if f" {word} " in unreviewed]


def is_help_text(path: Path, node: ast.AST) -> bool:
    """Whether the docstring of `node` is the help text of the verb that the module holds."""
    return "verbs" in path.parts and str(getattr(node, "name", "")).rstrip("_") == path.stem


def python_texts(path: Path, text: str) -> list[tuple[int, str]]:
    """Return (line number, text) of each name, docstring and block of comment lines of a Python module."""
    lines, texts = text.splitlines(), []
    for node in ast.walk(ast.parse(text)):
        body = None if is_help_text(path, node) else getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                texts.append((statement.lineno, "\n".join(lines[statement.lineno - 1 : statement.end_lineno])))
    block_end = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line, is_block = token.start[0], token.line.lstrip().startswith("#")
        if token.type == tokenize.COMMENT and is_block and line == block_end:
            start, block = texts.pop()
            texts.append((start, f"{block}\n{token.string}"))
        elif token.type in (tokenize.NAME, tokenize.COMMENT):
            texts.append((line, token.string))
        if token.type == tokenize.COMMENT and is_block:
            block_end = line + 1
    return texts


def compiled_texts(text: str, strings: re.Pattern[str], comments: re.Pattern[str]) -> list[tuple[int, str]]:
    """Return (line number, text) of each comment and each line of code of C or Cython, without string literals."""
    text = strings.sub(" ", text)
    texts = [(1 + text.count("\n", 0, found.start()), found[0]) for found in comments.finditer(text)]
    code = comments.sub(lambda found: "\n" * found[0].count("\n"), text)
    return sorted(texts + list(enumerate(code.splitlines(), 1)))


def violations(path: Path, text: str) -> list[str]:
    """Return `path:line: words` for each piece of text with a forbidden word that has not been reviewed."""
    if path.suffix == ".py":
        texts = python_texts(path, text)
    else:
        texts = compiled_texts(text, *(_CYTHON if path.suffix in (".pyx", ".pxi") else _C))
    found = ((number, forbidden_words(piece)) for number, piece in texts)
    return [f"{path}:{number}: {', '.join(words)}" for number, words in found if words]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_forbidden_word_is_used(path: Path) -> None:
    assert violations(path.relative_to(ROOT), path.read_text()) == []


PYTHON_EXAMPLES = {
    "told_resp = 1": "told",
    "class Wishes: ...": "wishes",
    "WISHES = wishing": "wishes",
    "def f(_said): ...": "said",
    "x = 1  # Written anew.": "anew",
    '"""The keys, so\n    many of them."""': "so many",
    "def what_stays(): ...": "what stays",
    'def f():\n    """What goes."""': "what goes",
    'X = 1\n"""A server stands in for it."""': "stands in",
    "# It comes to the same.": "comes to",
    "# The file beside it.": "beside it",
    "# This cannot be told.": "told",
    "# A key whose value is known.": "whose",
    "# It takes so\n# many keys.": "so many",
}


@pytest.mark.parametrize("text", PYTHON_EXAMPLES)
def test_forbidden_words_of_python_are_found(text: str) -> None:
    assert PYTHON_EXAMPLES[text] in violations(Path("a.py"), text)[0]


@pytest.mark.parametrize("text", ['x = "told anew"', "wishful = 1", "retold = untold", "# What a stay."])
def test_other_words_and_strings_are_allowed(text: str) -> None:
    assert violations(Path("a.py"), text) == []


def test_forbidden_words_of_c_and_cython_are_found() -> None:
    assert violations(Path("a.h"), "int a;\n/* as many as\n * are told */") == ["a.h:2: told"]
    assert violations(Path("a.h"), "// so\n// many\nint b;") == ["a.h:1: so many"]
    assert violations(Path("a.h"), 'puts("told"); int x;') == []
    assert violations(Path("a.pyx"), "cdef int told_at = 1") == ["a.pyx:1: told"]
    assert violations(Path("a.pyx"), 'def f():\n    """Written anew."""') == ["a.pyx:2: anew"]
    assert violations(Path("a.pyx"), "x = b'told', \"anew\"") == []


def test_reviewed_lines_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_words.ALLOWED_LINES", frozenset({"# A key whose value is known."}))
    assert violations(Path("a.py"), "# A key whose value is known.") == []
    assert violations(Path("a.py"), "# Another key whose value is known.") != []


def test_the_help_text_of_a_verb_is_not_a_docstring() -> None:
    text = 'def check():\n    """Written anew."""\n'
    assert violations(Path("cli/verbs/look/check.py"), text) == []
    assert violations(Path("cli/verbs/look/log.py"), text) != []
