"""Carry out one workload: let a server write it, edit it twice, repair damage, and compare what the server loads."""

import shutil
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aofdoctor.errors import SandboxError
from aofdoctor.server.sandbox import Sandbox, ServerBinary
from tests.workloads import conversions, rdb_damages
from tests.workloads.damages import Damage, apply_all, around, is_visible, make_damage, make_more, repair_step
from tests.workloads.edits import EDITS, Step, Subject, make_subject, strip_commands
from tests.workloads.records import Log, read_log
from tests.workloads.results import (
    Caller,
    Wrong,
    check_commands,
    check_soundness,
    compare_states,
    expected_state,
    load_result,
)
from tests.workloads.states import State, load_bytes, load_path
from tests.workloads.workload import FileNames, LenientClient, scratch_folder, write_workload

_TRIES = 12


@dataclass
class Outcome:
    """What was done with one workload, and what was wrong (empty if nothing); `kept` are its files then."""

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
        self.path, self.names = folder, FileNames()
        self.caller = Caller(folder, chance, outcome.steps)

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

    # -- edits of a sound log --

    def _edit(self) -> None:
        log = read_log(self.path)
        subject = self._subject(log)
        for _ in range(_TRIES):
            if step := self.chance.choice(EDITS)(subject, self.chance):
                self._take(log, subject, step, may_refuse=len(step.commands) == len(log.commands))
                return
        self.outcome.steps.append("no edit applies")

    def _convert(self) -> None:
        base = self._base_state(read_log(self.path))
        source = conversions.Source(self.binary, self.path, base, self.workload.has_expired_keys)
        conversion = conversions.choose(source, self.chance)
        output = self.caller.call(self.path, conversion.words, may_exchange="--layout" not in conversion.words)
        if (output is None) != conversion.is_refused:
            raise Wrong(f"refused: {self.caller.error}" if output is None else "not refused")
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
        compare_states(conversion.comparable(expected), conversion.comparable(load_result(reader, output, names)))
        if not conversion.reader:
            self.path, self.names = output, names

    # -- damage --

    def _damage_and_repair(self) -> None:
        log = read_log(self.path)
        if log.rdb and self.chance.random() < 0.15:
            self._damage_and_salvage_rdb(log)
            return
        damages = self._choose_damages(log)
        if not damages:
            self.outcome.steps.append("no damage applies")
            return
        self._write_damage(log, damages)
        step = repair_step(log, damages, self.chance)
        if "--salvage" in step.words and self.chance.random() < 0.3:
            step = self._strip_damaged(log, damages, step) or step
        self._take(log, Subject(log), step)

    def _choose_damages(self, log: Log) -> list[Damage]:
        """Choose damage that the server notices; in some cases in several places of one part."""
        for _ in range(_TRIES):
            damage = make_damage(log, self.chance)
            if damage and self._is_noticed(log, damage):
                damages = [damage]
                while self.chance.random() < 0.25:
                    more = make_more(log, damages, self.chance)
                    damages += [more] if more and self._is_noticed(log, more) else []
                return damages
        return []

    def _is_noticed(self, log: Log, damage: Damage) -> bool:
        """Whether the bytes show the damage, and the server does not load the files."""
        part = log.parts[damage.part]
        if not is_visible(part, damage):
            return False
        self._write_part(part.name, damage.apply(part.data))
        try:
            load_path(self.binary, self.path, self.names)
        except SandboxError:
            return True
        finally:
            self._write_part(part.name, part.data)
        return False

    def _write_damage(self, log: Log, damages: Sequence[Damage]) -> None:
        part = log.parts[damages[0].part]
        self._write_part(part.name, apply_all(part.data, damages))
        for damage in damages:
            places = f"from {damage.start} to {damage.end}, {len(damage.junk)} bytes there now"
            self.outcome.steps.append(f"damage: {damage.kind} in {part.name} {places}")

    def _write_part(self, name: str, data: bytes) -> None:
        (self.path / name if self.path.is_dir() else self.path).write_bytes(data)

    def _strip_damaged(self, log: Log, damages: Sequence[Damage], step: Step) -> Step | None:
        """Strip the damaged log before it is repaired; returns what the repair has to keep then."""
        strip, is_dropped = strip_commands(log, self.chance)
        kept = [record for record in around(log, damages) if not is_dropped(record)]
        if len(kept) == len(step.commands):
            return None
        output = self.caller.call(self.path, strip)
        if output is None:
            raise Wrong(f"refused: {self.caller.error}")
        self.path = output
        return Step(step.words, kept)

    def _damage_and_salvage_rdb(self, log: Log) -> None:
        """Damage the RDB: the result loads and has all commands; with --strict, which guesses nothing, no strange key."""
        part = log.parts[0]
        damage = rdb_damages.make_damage(part, self.chance)
        self._write_damage(log, [damage])
        is_strict = self.chance.random() < 0.5
        output = self.caller.call(self.path, ["repair", "--salvage", *(["--strict"] if is_strict else [])])
        if output is None:
            raise Wrong(f"refused: {self.caller.error}")
        result = read_log(output)
        if not is_strict:
            check_commands(Step([], log.commands), result)
        check_soundness(output)
        expected = expected_state(self.binary, result, Subject(result), Step([], result.commands))
        compare_states(expected, load_result(self.binary, output, self.names))
        lines = rdb_damages.invented(self._base_state(log), self._base_state(result))
        if is_strict and lines:
            raise Wrong("; ".join(lines))
        self.path = output

    # -- one step --

    def _subject(self, log: Log) -> Subject:
        base_keys = [(key["db"], key["key"].encode("latin-1")) for key in self._base_state(log)["keys"].values()]
        with Sandbox(self.binary, hide=()) as server:
            client = LenientClient(server.folder / "s")
            subject = make_subject(log, base_keys, client.pipeline)
            client.close()
        return subject

    def _base_state(self, log: Log) -> State:
        return load_bytes(self.binary, log.rdb) if log.rdb else {"keys": {}, "functions": []}

    def _take(self, log: Log, subject: Subject, step: Step, may_refuse: bool = False) -> None:
        """Carry out a step, compare its result, and go on with it."""
        output = self.caller.call(self.path, step.words)
        if output is None:
            if not may_refuse and step.commands:
                raise Wrong(f"refused: {self.caller.error}")
            self.outcome.steps[-1] += " (refused)"
            for part in log.parts:  # Nothing is left of a damaged log: the next step edits the undamaged one.
                self._write_part(part.name, part.data)
            return
        check_commands(step, read_log(output))
        compare_states(expected_state(self.binary, log, subject, step), load_result(self.binary, output, self.names))
        check_soundness(output)
        self.path = output
