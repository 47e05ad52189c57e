"""Call aofdoctor in one of the ways to write a result, and compare the result with what it must hold."""

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

from aofdoctor.errors import SandboxError
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import ServerBinary
from tests.conftest import Result, aofdoctor
from tests.workloads.edits import Step, Subject
from tests.workloads.records import Log, read_log
from tests.workloads.states import State, differences, load_bytes, load_path
from tests.workloads.workload import FileNames, flat_command


class Wrong(AssertionError):
    """A result that is not what the server's own load of the expected commands gives."""


class Caller:
    """Runs verbs; `steps` gets a line for each, `error` is the last message."""

    def __init__(self, folder: Path, chance: Random, steps: list[str]) -> None:
        self.folder, self.chance, self.steps = folder, chance, steps
        self.count, self.error = 0, ""

    def call(self, path: Path, words: list[str], may_exchange: bool = True) -> Path | None:
        """Edit the files at a path and return the result; None if the verb refused."""
        self.count += 1
        verb, options = words[0], words[1:]
        output = self.folder / f"out{self.count}"
        way = self.chance.choice(("-o", "-o", "-o", "plan", "--in-place" if may_exchange else "plan"))
        self.steps.append(f"{' '.join(words)} ({way})")
        if way == "--in-place":
            return self._call_in_place(path, verb, options, output)
        if way == "plan":
            plan = self.folder / f"plan{self.count}.json"
            result = aofdoctor(verb, path, *options, "--plan", plan)
            if result.status == 0 and plan.exists():
                result = aofdoctor("apply", plan, "-o", output, "--json")
        else:
            result = aofdoctor(verb, path, *options, "-o", output, "--json")
        self.error = result.err
        if _has_nothing_to_do(result):
            return None
        if (result.status == 0) != output.exists():
            state = "exists" if output.exists() else "is missing"
            raise Wrong(f"status {result.status}, but the result {state}: {result.err}")
        if result.status:
            return None
        _check_totals(result.json, output)
        return output

    def _call_in_place(self, path: Path, verb: str, options: list[str], output: Path) -> Path | None:
        """Edit in place, copy the result, and undo the edit: the files must be as before."""
        before = _contents(path)
        result = aofdoctor(verb, path, *options, "--in-place", "-y", "--json")
        self.error = result.err
        if result.status or _has_nothing_to_do(result):
            if _contents(path) != before:
                raise Wrong(f"status {result.status}, and the files changed: {result.err}")
            return None
        (shutil.copytree if path.is_dir() else shutil.copy)(path, output)
        undone = aofdoctor("undo", json.loads(result.stdout)["receipt"])
        if undone.status or _contents(path) != before:
            raise Wrong(f"undo does not restore the files: {undone.out} {undone.err}")
        return output


def _has_nothing_to_do(result: Result) -> bool:
    """Whether an edit would change nothing: then it writes nothing, and its status is 0."""
    if result.status or not result.stdout.startswith(b"{"):
        return result.status == 0
    return json.loads(result.stdout)["output"] is None


def _contents(path: Path) -> dict[str, bytes]:
    """The AOF files at a path: receipts and backups are left out."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {p.name: p.read_bytes() for p in path.iterdir() if p.suffix in (".aof", ".rdb", ".manifest")}


def _check_totals(printed: Any, output: Path) -> None:
    """Compare the numbers of commands and bytes after the edit with the files; damage leaves them unknown here."""
    if "commands" not in printed or "dropped" not in printed:
        return
    sizes = sum(
        p.stat().st_size for p in (output.iterdir() if output.is_dir() else [output]) if p.suffix != ".manifest"
    )
    if printed["bytes"]["after"] != sizes:
        raise Wrong(f"{printed['bytes']['after']} bytes announced, {sizes} written")
    try:
        commands = sum(bool(record.words) for record in read_log(output).records)
    except ValueError:
        return
    if printed["commands"]["after"] != commands:
        raise Wrong(f"{printed['commands']['after']} commands announced, {commands} written")


def check_commands(step: Step, result: Log) -> None:
    """Compare the commands of a result, with their databases, to those of a step."""
    # An edit in place overwrites a flush by a PING, which no server logs.
    got, wanted = (
        [(r.db, r.words) for r in records if r.name != b"PING"] for records in (result.commands, step.commands)
    )
    if got == wanted:
        return
    pairs = enumerate(zip(wanted, got, strict=False))
    at = next((i for i, (one, two) in pairs if one != two), min(len(wanted), len(got)))
    raise Wrong(
        f"other commands: {len(wanted)} expected, {len(got)} found; at #{at}: "
        f"expected {str(wanted[at : at + 1])[:200]}, found {str(got[at : at + 1])[:200]}"
    )


def expected_state(binary: ServerBinary, log: Log, subject: Subject, step: Step) -> State:
    """Load the RDB of a log, without the keys that the step drops, and the commands of the step."""
    data = log.rdb
    if step.keeps_base_key:
        dropped = [key for key in subject.base_keys if not step.keeps_base_key(key)]
        data += b"".join(flat_command(db, [b"DEL", name]) for db, name in dropped)
    data += b"".join(flat_command(r.db, r.words) for r in step.commands)
    return load_bytes(binary, data or encode_command([b"SELECT", b"0"]))


def load_result(binary: ServerBinary, output: Path, names: FileNames) -> State:
    """Load a result; raises Wrong if the server refuses it."""
    try:
        return load_path(binary, output, names)
    except SandboxError as problem:
        raise Wrong(f"the server refuses the result: {problem} {problem.hint}") from problem


def compare_states(expected: State, actual: State) -> None:
    if lines := differences(expected, actual):
        raise Wrong("other keys: " + "; ".join(lines))


def check_soundness(output: Path) -> None:
    """Raise Wrong if `check` finds damage."""
    found = aofdoctor("check", output, "--json").json
    if damage := [damage for part in found["parts"] for damage in part["damage"]]:
        raise Wrong(f"check finds damage in the result: {damage}")
