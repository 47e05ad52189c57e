"""The order of the rooms: imports point down only."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "aofdoctor"
ROOMS = (
    "errors",
    "span",
    "damage",
    "resp",
    "source",
    "text",
    "finding",
    "rdb",
    "aof",
    "server",
    "log",
    "check",
    "stats",
    "diff",
    "edit",
    "cli",
)
VOCABULARY = 7  # the first rooms are one level: they may know each other


def level(room: str) -> int:
    return max(VOCABULARY - 1, ROOMS.index(room))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("aofdoctor.")}


def test_imports_point_down_only() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        wrong += [(str(path), other) for other in imported(path) if level(other) > level(room)]
    assert wrong == []


def test_only_the_command_line_knows_typer_and_rich() -> None:
    users = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")
             if any(word in path.read_text() for word in ("import typer", "from rich", "import rich"))}  # fmt: skip
    assert users == {"cli"}
