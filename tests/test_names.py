"""Names and sizes: a public type name has one meaning in the package, and functions and files stay small."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aofdoctor"
MOST_FUNCTION_LINES = 50
MOST_FILE_LINES = 420
MOST_TEST_FILE_LINES = 400


def is_type_name(name: str) -> bool:
    """Whether a name is public and written in CamelCase."""
    return name[0].isupper() and any(letter.islower() for letter in name) and "_" not in name


def top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, also those inside `if` and `try`."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from top_level([*node.body, *node.orelse])


def assigned_alias(node: ast.stmt) -> str:
    """Return the name that a statement defines as an alias of a type.

    `Walker = kernel.Walker` only gives another module's class its own name again, and a TypeVar is local to its module.
    """
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return ""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    name = target.id if isinstance(target, ast.Name) else ""
    same = isinstance(node.value, ast.Attribute) and node.value.attr == name
    type_variable = isinstance(node.value, ast.Call) and ast.unparse(node.value.func).endswith("TypeVar")
    return "" if same or type_variable else name


def defined_types(text: str) -> set[str]:
    """Return the public classes and type aliases that a module defines."""
    names = set()
    for node in top_level(ast.parse(text).body):
        name = node.name if isinstance(node, ast.ClassDef) else assigned_alias(node)
        if name and is_type_name(name):
            names.add(name)
    return names


def duplicates(texts: dict[str, str]) -> dict[str, list[str]]:
    """Return the type names that two modules define, with the modules."""
    modules = defaultdict(list)
    for path, text in sorted(texts.items()):
        for name in defined_types(text):
            modules[name].append(path)
    return {name: paths for name, paths in sorted(modules.items()) if len(paths) > 1}


def long_functions(text: str) -> dict[str, int]:
    """Return the functions that have too many lines, with the number of lines."""
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    sizes = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    return {name: size for name, size in sizes.items() if size > MOST_FUNCTION_LINES}


def read_all(root: Path, *patterns: str) -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text() for p in patterns for path in sorted(root.rglob(p))}


def test_a_public_type_name_has_one_definition() -> None:
    assert duplicates(read_all(PACKAGE, "*.py")) == {}


def test_duplicate_type_names_are_found() -> None:
    class_, alias = "class Keys:\n    pass\n", "if True:\n    Keys = dict[int, bytes]\n"
    assert duplicates({"a.py": class_, "b.py": alias, "c.py": "_Keys = 1\nKEYS = 2\n"}) == {"Keys": ["a.py", "b.py"]}
    picked = "from typing import TypeVar\nKeys = kernel.Keys\nItem = TypeVar('Item')\n"
    assert duplicates({"a.py": class_ + "Item = int\n", "b.py": picked}) == {}


def test_functions_are_short() -> None:
    texts = read_all(PACKAGE, "*.py") | read_all(ROOT / "tests", "*.py")
    found = {path: long_functions(text) for path, text in texts.items()}
    assert {path: functions for path, functions in found.items() if functions} == {}
    assert long_functions("def f():\n" + "    pass\n" * 50) == {"f": 51}


def test_files_are_short() -> None:
    package = read_all(PACKAGE, "*.py", "*.pyx")
    assert {path: n for path, text in package.items() if (n := text.count("\n")) > MOST_FILE_LINES} == {}
    tests = read_all(ROOT / "tests", "*.py")
    assert {path: n for path, text in tests.items() if (n := text.count("\n")) > MOST_TEST_FILE_LINES} == {}
