"""The layers of the package: imports point down only, between packages and between the sub-packages of each package.

The modules are read with `ast`. Imports inside functions and under TYPE_CHECKING count like all others. The order is
that of the architecture; a new package or sub-package must be added to it here.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aofdoctor"
TESTS = ROOT / "tests"
VOCABULARY = ("errors", "free_names", "span", "damage", "resp", "source", "text", "finding")
# From the bottom to the top. A unit imports only units that come before it; the vocabulary is one level.
PACKAGES = (*VOCABULARY, "rdb", "aof", "server", "log", "check", "stats", "diff", "edit", "advice", "cli")
SUBPACKAGES = {
    "rdb": ("encoding", "compressed", "walk", "values", "recovery", "bulk", "export", "rewrite"),
    "aof": ("recovery",),
    "server": ("context", "arguments", "sandboxing"),
    "log": ("patterns", "restarts"),
    "check": ("neighbours", "findings"),
    "stats": ("counting",),
    "diff": ("hashing", "units", "key_table", "keys"),
    "advice": (),
    "edit": ("reconstruction", "salvage", "output", "conversion", "planners"),
    "cli": ("views", "verbs"),
}
MOST_MODULES = 15
MOST_SUPPORT_FILES = 20
PLACEHOLDER = "To be said in three sentences"

DEMO = "cli.verbs.prove.demo"


def imported_modules(text: str) -> set[str]:
    """Return the dotted names that a module imports: for `from a import b`, both a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def package_modules(root: Path = PACKAGE) -> dict[str, str]:
    """Return the source text of every Python module by its dotted name, without the package's own name."""
    paths = (path for path in root.rglob("*.py") if path.parent != root or not path.stem.startswith("__"))
    return {".".join(path.relative_to(root).with_suffix("").parts): path.read_text() for path in paths}


def package_imports(modules: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (importing module, imported module) for the imports inside the package."""
    for module, text in modules.items():
        for name in imported_modules(text):
            target = name.removeprefix("aofdoctor.")
            if target != name and (target in modules or f"{target}.__init__" in modules):
                yield module, target


def level(package: str) -> int:
    return 0 if package in VOCABULARY else PACKAGES.index(package)


def upward_imports(modules: dict[str, str]) -> list[tuple[str, str]]:
    """Return the imports of a package that comes later in PACKAGES."""
    pairs = package_imports(modules)
    return sorted((a, b) for a, b in pairs if level(b.split(".")[0]) > level(a.split(".")[0]))


def upward_subpackage_imports(modules: dict[str, str]) -> list[tuple[str, str]]:
    """Return the imports between sub-packages of one package that go against the order in SUBPACKAGES."""
    wrong = []
    for importer, imported in package_imports(modules):
        a, b = importer.split("."), imported.split(".")
        order = SUBPACKAGES.get(a[0], ())
        if a[0] == b[0] and len(a) > 2 and len(b) > 1 and a[1] in order and b[1] in order:
            wrong += [(importer, imported)] if order.index(b[1]) > order.index(a[1]) else []
    return sorted(wrong)


def unit(module: str) -> str:
    """Return the sub-package of a module, or the module itself if it is directly in its package."""
    parts = [part for part in module.split(".") if part != "__init__"]
    return ".".join(parts[:2])


def import_circle(modules: dict[str, str]) -> list[str]:
    """Return a circle of imports between the sub-packages and modules of one package, or an empty list."""
    edges: dict[str, set[str]] = {}
    for importer, imported in package_imports(modules):
        a, b = unit(importer), unit(imported)
        if a != b and "." in a and "." in b:
            edges.setdefault(a, set()).add(b)
    finished: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in finished:
            return []
        circles = (visit(target, [*path, name]) for target in sorted(edges.get(name, ())))
        circle = next((found for found in circles if found), [])
        finished.add(name)
        return circle

    return next((found for name in sorted(edges) if (found := visit(name, []))), [])


def outside_fallback_imports(modules: dict[str, str]) -> list[tuple[str, str]]:
    """Return the imports of a pure Python fallback (`_pyname`) by a module outside of its folder."""
    pairs = ((a, b) for a, b in package_imports(modules) if b.rpartition(".")[2].startswith("_py"))
    return sorted((a, b) for a, b in pairs if a.rpartition(".")[0] != b.rpartition(".")[0] and "._py" not in a)


def verbs_importing_verbs(modules: dict[str, str]) -> list[tuple[str, str]]:
    """Return the imports of a verb by any module but the application, and the demo, which runs other verbs."""
    pairs = ((a, b) for a, b in package_imports(modules) if b.startswith("cli.verbs.") and b in modules)
    return sorted((a, b) for a, b in pairs if a not in (b, "cli.app", DEMO))


def sentence_count(text: str) -> int:
    return len(re.findall(r"[.!?](?:\s|$)", text))


def poor_docstring(text: str) -> bool:
    """Whether the docstring of a package is a placeholder or has less than three sentences."""
    docstring = ast.get_docstring(ast.parse(text)) or ""
    return PLACEHOLDER in docstring or sentence_count(docstring) < 3


def test_imports_between_packages_point_down() -> None:
    assert upward_imports(package_modules()) == []
    assert upward_imports({"log.entries": "import aofdoctor.edit.plan", "edit.plan": ""}) == [
        ("log.entries", "edit.plan")
    ]
    assert upward_imports({"span": "from aofdoctor import text", "text": ""}) == []


def test_imports_between_subpackages_point_down() -> None:
    assert upward_subpackage_imports(package_modules()) == []
    flatten = {"rdb.values.flatten": "def f():\n from aofdoctor.rdb.export import commands", "rdb.export.commands": ""}
    assert upward_subpackage_imports(flatten) == [("rdb.values.flatten", "rdb.export.commands")]


def test_imports_inside_a_package_have_no_circle() -> None:
    assert import_circle(package_modules()) == []
    plan, output = "from aofdoctor.edit.output import copy", "from aofdoctor.edit.plan import Plan"
    assert import_circle({"edit.plan": plan, "edit.output.copy": output}) == ["edit.output", "edit.plan", "edit.output"]
    assert import_circle({"edit.plan": "", "edit.output.copy": output}) == []


def test_every_subpackage_has_a_place_in_the_order() -> None:
    found = {path.relative_to(PACKAGE).parts[:2] for path in PACKAGE.glob("*/*/**/*.py")}
    assert found == {(package, name) for package, names in SUBPACKAGES.items() for name in names}
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(SUBPACKAGES)


def test_only_the_folder_of_a_fallback_imports_it() -> None:
    assert outside_fallback_imports(package_modules()) == []
    pairing = {"diff.pairing": "from aofdoctor.diff.units import _pyunits", "diff.units._pyunits": ""}
    assert outside_fallback_imports(pairing) == [("diff.pairing", "diff.units._pyunits")]
    digest = {"diff.units._pyunits": "from aofdoctor.diff.hashing import _pydigest", "diff.hashing._pydigest": ""}
    assert outside_fallback_imports(digest) == []


def test_no_module_imports_a_verb() -> None:
    assert verbs_importing_verbs(package_modules()) == []
    example = {"cli.verbs.look.log": "from aofdoctor.cli.verbs.look import check", "cli.verbs.look.check": ""}
    assert verbs_importing_verbs(example) == [("cli.verbs.look.log", "cli.verbs.look.check")]


def test_only_the_command_line_imports_typer_and_rich() -> None:
    users = {
        module.split(".")[0]
        for module, text in package_modules().items()
        if any(name.split(".")[0] in ("typer", "rich", "click") for name in imported_modules(text))
    }
    assert users == {"cli"}


def test_a_folder_has_at_most_fifteen_modules() -> None:
    folders = [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__")]
    counts = {str(folder): len([*folder.glob("*.py"), *folder.glob("*.pyx")]) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}
    assert len([*(TESTS / "support").glob("*.py")]) <= MOST_SUPPORT_FILES


def test_no_module_has_a_name_without_meaning() -> None:
    names = {path.stem.strip("_") for root in (PACKAGE, TESTS) for path in root.rglob("*.py")}
    assert names & {"utils", "util", "misc", "helpers", "common"} == set()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_every_package_describes_itself_in_three_sentences(path: Path) -> None:
    assert not poor_docstring(path.read_text())


def test_poor_package_docstrings_are_found() -> None:
    assert poor_docstring("") and poor_docstring(f'"""{PLACEHOLDER}. It has two. It has three."""')
    assert poor_docstring('"""Holds views. Imports no verb."""')
    assert not poor_docstring('"""Holds views. Imports no verb. Parsing does not belong here."""')


def imported_tests(text: str) -> list[str]:
    """Return the test modules that a module imports."""
    return sorted(name for name in imported_modules(text) if re.fullmatch(r"tests(\.\w+)*\.test_\w+", name))


def test_no_module_imports_from_a_test_module() -> None:
    found = {str(path): imported_tests(path.read_text()) for path in TESTS.rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}
    assert imported_tests("from tests.rdb.test_walk import mutate") == ["tests.rdb.test_walk"]
    assert imported_tests("from tests.support.hostile_bytes import mutate") == []
