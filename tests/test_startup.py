"""A start imports only what the command line needs, which keeps `--version` and `check` of a small file fast."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aofdoctor.cli.app import VERBS
from aofdoctor.resp import encode_command

PACKAGE = Path(__file__).parent.parent / "aofdoctor"
# What the version needs: the application, and whether the scanner is compiled.  Compiled modules begin with "_".
VERSION_MODULES = {
    "aofdoctor", "aofdoctor.aof", "aofdoctor.aof.constants", "aofdoctor.aof.scan", "aofdoctor.cli", "aofdoctor.cli.app",
    "aofdoctor.cli.console", "aofdoctor.errors", "aofdoctor.text",
}  # fmt: skip
NOT_FOR_CHECK = ("aofdoctor.diff", "aofdoctor.stats", "aofdoctor.edit", "aofdoctor.rdb.export", "aofdoctor.rdb.rewrite", "aofdoctor.rdb.values",
                 "rich", "asyncio", "email", "http")  # fmt: skip
REGEX_SIZE_MAX = 200


def imported_modules(*args: str) -> set[str]:
    """The modules that a process has imported after one command line."""
    script = (
        "import json, os, sys; from aofdoctor.cli.app import run; out = os.dup(1); os.dup2(2, 1); "
        "run(sys.argv[1:]); os.write(out, json.dumps(list(sys.modules)).encode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *args], capture_output=True, check=False, env=os.environ | {"NO_COLOR": "1"}
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def is_below(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def test_the_version_is_printed_without_importing_a_verb() -> None:
    modules = imported_modules("--version")
    own = {name for name in modules if is_below(name, ("aofdoctor",)) and "._" not in name}
    assert own <= VERSION_MODULES
    assert not [name for name in modules if is_below(name, ("rich",))]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_imports_no_other_verb_and_no_rich(verb: str) -> None:
    modules = imported_modules(verb, "--help")
    verbs = {name for name in modules if name.startswith("aofdoctor.cli.verbs.") and name.count(".") == 4}
    assert verbs == {f"aofdoctor.cli.verbs.{VERBS[verb]}.{verb}"}
    assert not [name for name in modules if is_below(name, ("rich",))]


def test_check_imports_only_what_an_examination_needs(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(encode_command([b"SET", b"a", b"x" * 900]))
    assert sorted(name for name in imported_modules("check", str(path)) if is_below(name, NOT_FOR_CHECK)) == []


def module_level_calls(tree: ast.Module) -> list[ast.Call]:
    """The calls that run when a module is imported: those outside of functions."""
    calls: list[ast.Call] = []
    nodes: list[ast.AST] = list(tree.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Call):
            calls.append(node)
        nodes += ast.iter_child_nodes(node)
    return calls


def test_regular_expressions_compiled_at_import_are_short_literals() -> None:
    large = []
    for path in PACKAGE.rglob("*.py"):
        for call in module_level_calls(ast.parse(path.read_text())):
            if ast.unparse(call.func) == "re.compile":
                pattern = call.args[0]
                if not isinstance(pattern, ast.Constant) or len(pattern.value) > REGEX_SIZE_MAX:  # type: ignore[arg-type]
                    large.append((path.name, call.lineno))
    assert large == []
