"""The pattern of the compiled kernels: pickers, fallbacks, constants, C headers, and the tables that build them."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from aofdoctor.diff.key_table.constants import KeyTableField
from aofdoctor.diff.key_table.effects import CommandEffect, DigestTag, KeyOp
from aofdoctor.diff.units.columns import OpenUnitField, UnitColumn, UnitKind
from aofdoctor.rdb.bulk.encoder import BulkStop
from aofdoctor.rdb.walk.constants import StopReason
from aofdoctor.rdb.walk.layouts import LayoutOp
from aofdoctor.server.context.fields import ContextField, RecordAction

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aofdoctor"
MODULES: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
    "ext-modules"
]
PICKERS = {
    "aofdoctor.aof.scan": ["aofdoctor.aof._scan"],
    "aofdoctor.rdb.encoding.crc64": ["aofdoctor.rdb.encoding._crc64"],
    "aofdoctor.rdb.encoding.lzf": ["aofdoctor.rdb.encoding._lzf"],
    "aofdoctor.rdb.encoding.runs": ["aofdoctor.rdb.encoding._runs"],
    "aofdoctor.rdb.walk.walker": ["aofdoctor.rdb.walk._walker"],
    "aofdoctor.rdb.bulk.encoder": ["aofdoctor.rdb.bulk._encoder"],
    "aofdoctor.rdb.export.resp": ["aofdoctor.rdb.export._resp"],
    "aofdoctor.server.context.tracker": ["aofdoctor.server.context._tracker"],
    "aofdoctor.stats.counting.counters": ["aofdoctor.stats.counting._counters"],
    "aofdoctor.diff.hashing.digest": ["aofdoctor.diff.hashing._digest"],
    "aofdoctor.diff.units.units": ["aofdoctor.diff.units._units"],
    "aofdoctor.diff.key_table.slots": ["aofdoctor.diff.key_table._slots", "aofdoctor.diff.hashing._digest"],
}
HEADERS = sorted(PACKAGE.rglob("*.h"))
HARNESSES = [ROOT / "tests/fuzz/aof.c", ROOT / "tests/fuzz/rdb.c"]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """The modules that a file imports, also as `from package import module`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


COMPILED = {module["name"] for module in MODULES}
FALLBACKS = {module_name(path) for path in PACKAGE.rglob("_py*.py")}


def test_every_compiled_module_has_one_picker() -> None:
    assert {modules[0] for modules in PICKERS.values()} == COMPILED
    for picker, (compiled, *_) in PICKERS.items():
        package, _, name = picker.rpartition(".")
        assert compiled == f"{package}._{name}"


def test_only_a_picker_imports_a_compiled_module_or_a_fallback() -> None:
    for path in PACKAGE.rglob("*.py"):
        name, imported = module_name(path), imports(path)
        assert imported & COMPILED <= set(PICKERS.get(name, ())), path
        folder = name.rpartition(".")[0]
        if name in PICKERS or name in FALLBACKS:  # the fallbacks of one kernel may build on each other
            assert all(module.startswith(f"{folder}._py") for module in imported & FALLBACKS), path
        else:
            assert not imported & FALLBACKS, path


def chosen_names(path: Path) -> tuple[set[str], set[str]]:
    """The names that a picker imports from its compiled module, and those that replace them without it."""
    tries = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Try)]
    assert len(tries) == 1, path

    def bound(body: list[ast.stmt]) -> set[str]:
        names = {a.asname or a.name for n in body if isinstance(n, ast.ImportFrom) for a in n.names} - {"_"}
        targets = [target for n in body if isinstance(n, ast.Assign) for target in n.targets]
        return names | {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}

    return bound(tries[0].body), bound(tries[0].handlers[0].body)


@pytest.mark.parametrize("picker", PICKERS)
def test_a_picker_takes_the_same_names_from_both_forms(picker: str) -> None:
    compiled, fallback = chosen_names(ROOT / f"{picker.replace('.', '/')}.py")
    assert compiled and compiled == fallback
    for name in compiled - {"COMPILED"}:
        assert getattr(importlib.import_module(picker), name) is getattr(
            importlib.import_module(PICKERS[picker][0]), name
        )


def test_without_the_compiled_modules_the_fallbacks_are_chosen() -> None:
    names = {
        picker: sorted(chosen_names(ROOT / f"{picker.replace('.', '/')}.py")[0] - {"COMPILED", "SLACK"})
        for picker in PICKERS
    }
    program = f"""
import importlib, sys
for name in {sorted(COMPILED)!r}:
    sys.modules[name] = None
for picker, names in {names!r}.items():
    module = importlib.import_module(picker)
    for name in names:
        assert getattr(module, name).__module__ not in {sorted(COMPILED)!r}, (picker, name)
from aofdoctor.aof.scan import COMPILED
assert not COMPILED
assert {sorted(FALLBACKS)!r} == sorted(name for name in sys.modules if name.rpartition(".")[2].startswith("_py")
                                       and name.startswith("aofdoctor."))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_with_the_compiled_modules_no_fallback_is_imported() -> None:
    program = f"""
import importlib, sys
for picker in {sorted(PICKERS)!r}:
    importlib.import_module(picker)
assert not set({sorted(FALLBACKS)!r}) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# -- what Python and C agree on --


def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)


ENUMS: list[tuple[type[IntEnum], str, str]] = [
    (StopReason, "rdb/walk/walker.h", "WALK_STOP_"),
    (LayoutOp, "rdb/walk/walker.h", "WALK_OP_"),
    (BulkStop, "rdb/bulk/encoder.h", "ENCODER_"),
    (ContextField, "server/context/tracker.h", "TRACKER_FIELD_"),
    (RecordAction, "server/context/tracker.h", "TRACKER_ACT_"),
    (OpenUnitField, "diff/units/units.h", "UNITS_"),
    (UnitColumn, "diff/units/units.h", "UNITS_COLUMN_"),
    (UnitKind, "diff/units/units.h", "UNITS_KIND_"),
    (KeyTableField, "diff/key_table/slots.h", "SLOTS_STATE_"),
    (KeyOp, "diff/key_table/slots.h", "SLOTS_OP_"),
    (CommandEffect, "diff/key_table/slots.h", "SLOTS_EFFECT_"),
    (DigestTag, "diff/key_table/slots.h", "SLOTS_TAG_"),
]


@pytest.mark.parametrize(("enum", "header", "prefix"), ENUMS, ids=lambda value: getattr(value, "__name__", None))
def test_an_enum_has_the_same_names_in_c(enum: type[IntEnum], header: str, prefix: str) -> None:
    bodies = re.findall(r"enum \{(.*?)\}", without_comments(PACKAGE / header), re.DOTALL)
    first = f"{prefix}{next(iter(enum)).name}"
    body = next(body for body in bodies if body.split(",")[0].split("=")[0].strip() == first)
    names = [name.split("=")[0].strip() for name in body.split(",") if name.strip()]
    python = [f"{prefix}{member.name}" for member in enum]
    assert [member.value for member in enum] == list(range(len(enum)))
    common = min(len(names), len(python))  # C may leave out the last values, and may end with the number of values
    assert names[:common] == python[:common]
    assert common >= len(python) - 3 and len(names) <= len(python) + 3


CONSTANTS = {
    "aof/scan.h": "aofdoctor.aof.constants",
    "rdb/walk/walker.h": "aofdoctor.rdb.walk.constants",
    "server/context/tracker.h": "aofdoctor.server.context.fields",
    "stats/counting/heavy_hitters.h": "aofdoctor.stats.counting.constants",
    "stats/counting/rdb_counters.h": "aofdoctor.stats.counting.constants",
}


@pytest.mark.parametrize("header", CONSTANTS)
def test_a_constant_has_the_same_value_in_c(header: str) -> None:
    module = importlib.import_module(CONSTANTS[header])
    defined = re.findall(r"^#define ([A-Z0-9]+?)_(\w+) +(\d+) *$", without_comments(PACKAGE / header), re.MULTILINE)
    shared = {name: int(value) for _, name, value in defined if hasattr(module, name)}
    assert shared == {name: getattr(module, name) for name in shared}
    assert shared


# -- headers --

DEFINITIONS = [
    r"^#define (\w+)",
    r"^\} (\w+);",
    r"^typedef [^{;]*?(\w+)(?:\[\d+\])?;",
    r"^(?:__attribute__\(\(.*?\)\)\) )?static [^;={]*?\b(\w+)\(",
    r"^static [\w *]+?\b(\w+)\[",
]


def definitions(path: Path) -> set[str]:
    """The names that a header defines: macros, types, functions, tables, members of enums."""
    text = without_comments(path)
    names = {name for pattern in DEFINITIONS for name in re.findall(pattern, text, re.MULTILINE)}
    for body in re.findall(r"^enum \{(.*?)\}", text, re.DOTALL | re.MULTILINE):
        names |= {member.split("=")[0].strip() for member in body.split(",") if member.strip()}
    return names


def includes(path: Path) -> list[Path]:
    found = re.findall(r'^#include "(.*?)"', path.read_text(), re.MULTILINE)
    return [(path.parent / name).resolve() for name in found if (path.parent / name).exists()]


def closure(path: Path, above: tuple[Path, ...] = ()) -> set[Path]:
    """All headers that a file includes; there is no circle."""
    assert path not in above, path
    return {header for one in includes(path) for header in {one} | closure(one, (*above, path))}


def test_each_header_has_its_own_prefix_and_no_name_is_defined_twice() -> None:
    owners: defaultdict[str, set[Path]] = defaultdict(set)
    prefixes: dict[Path, set[str]] = {}
    for header in HEADERS:
        names = definitions(header)
        guard = f"AOFDOCTOR_{header.stem.upper()}_H"
        assert guard in names
        prefixes[header] = {name.lower().partition("_")[0] for name in names - {guard}}
        assert len(prefixes[header]) == 1, (header, prefixes[header])
        for name in names:
            owners[name].add(header)
    assert not {name: where for name, where in owners.items() if len(where) > 1}
    assert len({next(iter(prefix)) for prefix in prefixes.values()}) == len(HEADERS)


def test_the_fuzz_harnesses_cover_every_header() -> None:
    covered = {header for harness in HARNESSES for header in closure(harness)}
    assert set(HEADERS) <= covered
    for harness in HARNESSES:
        assert "#undef" not in harness.read_text()


# -- pyproject.toml --


def test_every_extension_module_is_built_alike() -> None:
    paths = set(PACKAGE.rglob("_*.pyx"))
    assert {ROOT / module["sources"][0] for module in MODULES} == paths
    settings = [{key: module[key] for key in module.keys() - {"name", "sources", "depends"}} for module in MODULES]
    assert all(setting == settings[0] for setting in settings)
    assert settings[0]["optional"] and settings[0]["py-limited-api"]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module["name"])
def test_an_extension_module_depends_on_all_that_it_includes(module: dict[str, Any]) -> None:
    source = ROOT / module["sources"][0]
    assert module["name"] == module_name(source)
    text = source.read_text()
    named = re.findall(r'^(?:cdef extern from|include) "(.*?)"', text, re.MULTILINE)
    direct = {(source.parent / name).resolve() for name in named}
    needed = direct | {header for one in direct for header in closure(one)}
    assert {ROOT / name for name in module.get("depends", ())} == needed
