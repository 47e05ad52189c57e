"""What a real server does with a data directory: whether it starts, and the sizes that it leaves."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from aofdoctor.errors import SandboxError
from aofdoctor.server.sandbox import Sandbox, ServerBinary


@dataclass(frozen=True)
class LoadOutcome:
    """`sizes` by file name, after it stopped; `cut` is where its log says that it cut."""

    started: bool
    keys: int
    sizes: dict[str, int]
    truncated_at: int | None


def start_server(binary: ServerBinary, files: dict[str, bytes], truncated: str = "yes") -> LoadOutcome:
    """Start a server on files, given by their path in its directory."""
    with tempfile.TemporaryDirectory() as outcome_folder:
        outcome = Path(outcome_folder) / "after"

        class Watched(Sandbox):
            def _stop(self) -> None:
                if not outcome.exists():
                    sizes = [(p.name, p.stat().st_size) for p in self.folder.rglob("*") if p.is_file()]
                    outcome.write_text(repr((dict(sizes), self.log())))
                super()._stop()

        def prepare(folder: Path) -> None:
            for name, data in files.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)

        keys, started = 0, True
        try:
            with Watched(
                binary, ["--appendonly", "yes", "--aof-load-truncated", truncated], prepare, hide=()
            ) as server:
                keys = sum(int(v.split(",")[0].split("=")[1]) for v in server.info("keyspace").values())
        except SandboxError:
            started = False
        sizes, log = eval(outcome.read_text())
        match = re.search(r"Truncating the AOF.* at offset (\d+)", log)
        return LoadOutcome(started, keys, sizes, int(match[1]) if match else None)
