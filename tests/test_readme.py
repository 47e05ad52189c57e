"""The commands in the README are run, and their output is compared with the README."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from aofdoctor.advice.first_aid import first_aid_steps
from aofdoctor.cli.app import VERBS
from tests.conftest import FIXTURES, aofdoctor, hide_servers

README = FIXTURES.parent / "README.md"
# Parts of an output that differ between runs, and the word that replaces them.
VOLATILE = ((r"\d{8}T\d{6}Z", "STAMP"), (r"in \d+\.\d\d s", "in T s"), (r"Valkey 9\.1\.\d+", "Valkey 9.1"))


def readme_examples(text: str) -> list[tuple[str, list[str]]]:
    """Return every command of the README's console blocks with its shown output."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def normalize(lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    for pattern, word in VOLATILE:
        text = re.sub(pattern, word, text)
    return text.strip().splitlines()


def test_every_example_gives_the_output_in_the_readme(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "aof" / "wiped-valkey-9.1", tmp_path / "sample")
    (tmp_path / "sample" / "story.json").unlink()
    (tmp_path / "path").mkdir()
    path = f"{hide_servers(tmp_path / 'path')}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    examples = readme_examples(README.read_text())
    for command, expected in examples:
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=os.environ | {"TZ": "UTC", "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert normalize((done.stdout + done.stderr).splitlines()) == normalize(expected), command
    assert len(examples) == 16


def test_the_first_aid_equals_that_of_check() -> None:
    section = README.read_text().partition("## First aid")[2].partition("Then `aofdoctor")[0]
    for step in first_aid_steps([]):
        assert step.sentence in " ".join(section.split())
        assert all(f"`{command}`" in " ".join(section.split()) for command in step.commands)


def test_the_table_lists_exactly_the_verbs() -> None:
    section = README.read_text().partition("## Verbs")[2].partition("\n\n`PATH`")[0]
    assert tuple(re.findall(r"^\| `(\w+)", section, flags=re.MULTILINE)) == tuple(VERBS)


def test_the_demo_restores_every_key() -> None:
    done = subprocess.run([sys.executable, "-m", "aofdoctor", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"before the flush 704 keys, after it 2, rescued 706$", done.stdout, flags=re.MULTILINE)


def test_the_demo_prints_json_and_keeps_its_files(tmp_path: Path) -> None:
    result = aofdoctor("demo", "--json", "--keep", tmp_path / "sample")
    assert result.status == 0 and result.json["keys"] == {"before": 704, "wiped": 2, "rescued": 706}
    assert aofdoctor("check", tmp_path / "sample" / "rescued").status == 0
