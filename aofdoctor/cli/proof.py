"""The proof of an output: a private server loads it before it gets its name.

By default an output below 1 GB is loaded if a server at hand can load it; then only a server that starts and fails
rejects the output. With --prove it is rejected as well if no server can load it, or if commands fail at replay.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.check.sandbox_load import LoadFailure, LoadResult, load_in_sandbox
from aofdoctor.cli.options import open_path
from aofdoctor.errors import AofdoctorError, RefusedEdit
from aofdoctor.server.sandbox import find_servers


@dataclass(slots=True)
class Proof:
    """Loads a finished output in a private server; `verify` is an OutputVerifier, the rest is what it has found.

    `is_required`: the user has asked for a proof.
    `planned_keys` is the number of keys of RDBs that the plan states.  `server` is empty if nothing was proven, and
    `reason` says why.
    """

    size_max = 1 << 30  # bytes of an output that is proven without being asked for

    is_required: bool
    planned_keys: int | None = None
    server: str = ""
    keys: int = 0
    reason: str = ""
    warnings: list[str] = field(default_factory=list)

    def verify(self, copy: Path) -> dict[str, Any]:
        """Load an output, and return the fields about it for the receipt; raise RefusedEdit to reject the output."""
        with open_path(str(copy), note_other_sets=False) as aof:
            if not self.is_required and (reason := self._reason_to_skip(aof)):
                self.reason = reason
                return self.as_json()
            try:
                result = load_in_sandbox(aof)
            except AofdoctorError as problem:
                if self.is_required:
                    raise
                self.reason = str(problem)
                return self.as_json()
        self._judge(result)
        return self.as_json()

    def as_json(self) -> dict[str, Any]:
        """The fields about the proof in JSON output and in receipts."""
        if self.server:
            found = {"proven": f"{self.server} loads it: {text.format_count(self.keys, 'key')}"}
            return found | {"proof_warnings": self.warnings} if self.warnings else found
        return {"not_proven": self.reason}

    def lines(self) -> list[str]:
        """What was proven, as lines for a person."""
        if self.server:
            return [f"proven: {self.server} loads it: {text.format_count(self.keys, 'key')}", *self.warnings]
        return [f"not proven: {self.reason}"]

    def _reason_to_skip(self, aof: AOF) -> str:
        """Why an output is not loaded without being asked for; empty if it is."""
        if sum(part.size or 0 for part in aof.existing_parts) >= self.size_max:
            return f"it has {text.format_size(self.size_max)} or more; --prove loads it nevertheless"
        return "" if find_servers() else "there is no redis-server or valkey-server at hand"

    def _judge(self, result: LoadResult | LoadFailure) -> None:
        if isinstance(result, LoadFailure):
            reasons = "; ".join(result.reasons)
            if self.is_required or result.was_started:
                raise RefusedEdit(
                    f"the copy would not load whole, and is not kept: {reasons}", "--no-prove keeps it nevertheless"
                )
            self.reason = f"no server at hand loads it: {reasons}"
            return
        problems = [*_problems(result), *self._differences_from_plan(result)]
        if problems and self.is_required:
            raise RefusedEdit(f"{problems[0]}: the copy is not kept", "without --prove it is kept, with a warning")
        self.server, self.keys = result.server, result.total
        self.warnings += [f"WARNING  {problem}" for problem in problems]

    def _differences_from_plan(self, result: LoadResult) -> list[str]:
        """How the keys of an output without commands differ from the number in its plan; empty if they agree."""
        if result.expected is None or self.planned_keys is None:
            return []
        loaded = result.expected.total
        if self.planned_keys in (loaded, loaded + result.expected.empty):
            return []
        return [f"the plan states {text.format_count(self.planned_keys, 'key')}, and the copy has {loaded:,}"]


def _problems(result: LoadResult) -> list[str]:
    problems = []
    if result.failed_commands:
        failed = text.format_count(result.failed_commands, "command")
        problems.append(f"{failed} of the copy failed at replay in {result.server}")
    if result.difference:
        problems.append(f"{result.server} has other keys after loading the copy: {result.difference}")
    return problems
