"""Carry out one workload: let a server write it, edit it twice, repair damage, and compare what the server loads."""

import json
import shutil
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aofdoctor.errors import SandboxError
from aofdoctor.resp import encode_command
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.conftest import aofdoctor
from tests.workloads import conversions
from tests.workloads.damages import Damage, make_damage, repair_step
from tests.workloads.edits import EDITS, Step, Subject, make_subject
from tests.workloads.records import Log, is_framed, read_log
from tests.workloads.states import State, differences, load_bytes, load_path
from tests.workloads.workload import FileNames, LenientClient, flat_command, scratch_folder, write_workload

_TRIES = 12


class Wrong(AssertionError):
    """A result that is not what the server's own load of the expected commands gives."""


@dataclass
class Outcome:
    """What was done with one workload, and what was wrong (empty if nothing)."""

    server: str
    seed: int
    steps: list[str] = field(default_factory=list)
    wrong: str = ""
    kept: Path | None = None
    commands: int = 0

    def __str__(self) -> str:
        steps = "".join(f"\n    {step}" for step in self.steps)
        return f"{self.server}, seed {self.seed}: {self.wrong or 'right'}{steps}"


def run_workload(binary: ServerBinary, seed: int, keep: Path | None = None) -> Outcome:
    """Carry out the workload of a seed; if it is wrong, its files are left below `keep`."""
    outcome = Outcome(binary.version_name, seed)
    with scratch_folder() as folder:
        try:
            _Run(binary, Random(seed), folder, outcome).run()
        except (Wrong, SandboxError) as problem:
            outcome.wrong = str(problem)
        except Exception:
            outcome.wrong = traceback.format_exc()
        if outcome.wrong:
            outcome.kept = Path(tempfile.mkdtemp(prefix=f"workload-{outcome.server}-{seed}-", dir=keep))
            shutil.copytree(folder, outcome.kept, dirs_exist_ok=True)
    return outcome


class _Run:
    """One workload; `path` is what the next step edits, `names` how the server names it."""

    def __init__(self, binary: ServerBinary, chance: Random, folder: Path, outcome: Outcome) -> None:
        self.binary, self.chance, self.folder, self.outcome = binary, chance, folder, outcome
        self.path, self.names, self.count = folder, FileNames(), 0

    def run(self) -> None:
        self.workload = write_workload(self.binary, self.chance, self.folder)
        self.path, self.names = self.workload.path, self.workload.names
        self.outcome.commands = len(read_log(self.path).commands)
        kinds = ["edit", "edit"]
        kinds.insert(self.chance.randrange(3), "damage")
        for kind in kinds:
            if kind == "damage":
                self._damage_and_repair()
            elif self.chance.random() < 0.3:
                self._convert()
            else:
                self._edit()

    # -- steps --

    def _edit(self) -> None:
        log = read_log(self.path)
        subject = self._subject(log)
        for _ in range(_TRIES):
            if step := self.chance.choice(EDITS)(subject, self.chance):
                self._check(log, subject, step, is_whole=len(step.commands) == len(log.commands))
                return
        self.outcome.steps.append("no edit applies")

    def _damage_and_repair(self) -> None:
        log = read_log(self.path)
        for _ in range(_TRIES):
            damage = make_damage(log, self.chance)
            if damage and self._is_noticed(damage):
                break
        else:
            self.outcome.steps.append("no damage applies")
            return
        self.outcome.steps.append(
            f"damage: {damage.kind} in {log.parts[damage.part].name} from {damage.start} to {damage.end}"
        )
        step = repair_step(log, damage, self.chance)
        self._check(log, Subject(log), step)

    def _is_noticed(self, damage: Damage) -> bool:
        """Damage the files; if they still parse or the server still loads them, restore them and return false."""
        log = read_log(self.path)
        if is_framed(damage.data, log.parts[damage.part].rdb_end):
            return False
        name = log.parts[damage.part].name
        target = self.path / name if self.path.is_dir() else self.path
        before = target.read_bytes()
        target.write_bytes(damage.data)
        try:
            load_path(self.binary, self.path, self.names)
        except SandboxError:
            return True
        target.write_bytes(before)
        return False

    def _convert(self) -> None:
        base = self._base_state(read_log(self.path))
        source = conversions.Source(self.binary, self.path, base, self.workload.has_expired_keys)
        conversion = conversions.choose(source, self.chance)
        output = self._call(conversion.words, may_exchange="--layout" not in conversion.words)
        if (output is None) != conversion.is_refused:
            raise Wrong(f"refused: {self.error}" if output is None else "not refused")
        if output is None:
            self.outcome.steps[-1] += " (refused)"
            return
        expected = conversion.expected(load_path(self.binary, self.path, self.names))
        names = FileNames("appendonly.aof", "appendonlydir" if output.is_dir() else "")
        if output.is_dir():
            manifest = next(output.glob("*.manifest")).name
            names = FileNames(manifest.removesuffix(".manifest"), self.names.folder or names.folder)
        reader = conversion.reader or self.binary
        self.outcome.steps[-1] += f" for {reader.version_name}"
        self._compare(conversion.comparable(expected), conversion.comparable(self._load(reader, output, names)))
        if not conversion.reader:
            self.path, self.names = output, names

    # -- calling and comparing --

    def _subject(self, log: Log) -> Subject:
        base = self._base_state(log)
        base_keys = [(key["db"], key["key"].encode("latin-1")) for key in base["keys"].values()]
        with Sandbox(self.binary, hide=()) as server:
            client = LenientClient(server.folder / "s")
            subject = make_subject(log, base_keys, client.pipeline)
            client.close()
        return subject

    def _base_state(self, log: Log) -> State:
        return load_bytes(self.binary, log.rdb) if log.rdb else {"keys": {}, "functions": []}

    def _check(self, log: Log, subject: Subject, step: Step, is_whole: bool = False) -> None:
        output = self._call(step.words)
        if output is None:
            if is_whole or not step.commands:
                self.outcome.steps[-1] += " (refused)"
                return
            raise Wrong(f"refused: {self.error}")
        result = read_log(output)
        # An edit in place overwrites a flush by a PING, which no server logs.
        got, wanted = (
            [(r.db, r.words) for r in records if r.name != b"PING"] for records in (result.commands, step.commands)
        )
        if got != wanted:
            raise Wrong(f"other commands: {_first_difference(wanted, got)}")
        data = log.rdb
        if step.keeps_base_key:
            data += b"".join(
                flat_command(db, [b"DEL", name])
                for db, name in subject.base_keys
                if not step.keeps_base_key((db, name))
            )
        data += b"".join(flat_command(r.db, r.words) for r in step.commands)
        self._compare(
            load_bytes(self.binary, data or encode_command([b"SELECT", b"0"])),
            self._load(self.binary, output, self.names),
        )
        self._check_soundness(step, output)
        self.path = output

    def _check_soundness(self, step: Step, output: Path) -> None:
        """The result has no damage: only repairs edit damaged files."""
        found = aofdoctor("check", output, "--json").json
        if damage := [damage for part in found["parts"] for damage in part["damage"]]:
            raise Wrong(f"check finds damage in the result of {step.words}: {damage}")

    def _load(self, reader: ServerBinary, output: Path, names: FileNames) -> State:
        try:
            return load_path(reader, output, names)
        except SandboxError as problem:
            raise Wrong(f"the server refuses the result: {problem} {problem.hint}") from problem

    def _compare(self, expected: State, actual: State) -> None:
        if lines := differences(expected, actual):
            raise Wrong("other keys: " + "; ".join(lines))

    def _call(self, words: list[str], may_exchange: bool = True) -> Path | None:
        """Run a verb on the current files, in one of the ways to write a result; None if it refused."""
        self.count += 1
        verb, options = words[0], words[1:]
        output = self.folder / f"out{self.count}"
        way = self.chance.choice(("-o", "-o", "-o", "plan", "--in-place" if may_exchange else "plan"))
        self.outcome.steps.append(f"{' '.join(words)} ({way})")
        if way == "--in-place":
            return self._call_in_place(verb, options, output)
        if way == "plan":
            plan = self.folder / f"plan{self.count}.json"
            result = aofdoctor(verb, self.path, *options, "--plan", plan)
            if result.status == 0:
                result = aofdoctor("apply", plan, "-o", output, "--json")
        else:
            result = aofdoctor(verb, self.path, *options, "-o", output, "--json")
        self.error = result.err
        if (result.status == 0) != output.exists():
            raise Wrong(
                f"status {result.status}, but the result {'exists' if output.exists() else 'is missing'}: {result.err}"
            )
        return output if result.status == 0 else None

    def _call_in_place(self, verb: str, options: list[str], output: Path) -> Path | None:
        """Edit in place, copy the result, and undo the edit: the files must be as before."""
        before = _contents(self.path)
        result = aofdoctor(verb, self.path, *options, "--in-place", "-y", "--json")
        self.error = result.err
        if result.status:
            if _contents(self.path) != before:
                raise Wrong(f"status {result.status}, and the files changed: {result.err}")
            return None
        (shutil.copytree if self.path.is_dir() else shutil.copy)(self.path, output)
        undone = aofdoctor("undo", json.loads(result.stdout)["receipt"])
        if undone.status or _contents(self.path) != before:
            raise Wrong(f"undo does not restore the files: {undone.out} {undone.err}")
        return output


def _contents(path: Path) -> dict[str, bytes]:
    """The AOF files at a path: receipts and backups are left out."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {p.name: p.read_bytes() for p in path.iterdir() if p.suffix in (".aof", ".rdb", ".manifest")}


def _first_difference(wanted: list[tuple[int, list[bytes]]], got: list[tuple[int, list[bytes]]]) -> str:
    at = next(
        (i for i, (one, two) in enumerate(zip(wanted, got, strict=False)) if one != two), min(len(wanted), len(got))
    )
    return (
        f"{len(wanted)} expected, {len(got)} found; at #{at}: "
        f"expected {str(wanted[at : at + 1])[:200]}, found {str(got[at : at + 1])[:200]}"
    )
