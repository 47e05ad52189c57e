"""The facts that the examination of an AOF collects, before findings judge them and the command line prints them."""

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aofdoctor import text
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.records import Preamble
from aofdoctor.check.neighbours.judge import Neighbour
from aofdoctor.check.replay_errors import ReplayErrors
from aofdoctor.check.unknown_commands import UnknownNames
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.free_names import free_name
from aofdoctor.log.flushes import FlushCollector
from aofdoctor.log.mass_deletions import MassDeletions
from aofdoctor.log.script_flushes import ScriptFlushCollector
from aofdoctor.server.configuration import DEFAULT_CONFIGURATION, ServerConfiguration
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.verdict import Verdict
from aofdoctor.server.versions import ServerVersion
from aofdoctor.span import Span

if TYPE_CHECKING:  # The decoders are a tenth of the start-up, and an AOF without an RDB does not need them.
    from aofdoctor.check.rdb_examination import SalvageCounts
    from aofdoctor.rdb.module_census import ModuleData


@dataclass(frozen=True, slots=True)
class Oddity:
    """Odd records of one kind (such as a nested MULTI): their number, and the file, bytes and name of the first."""

    part: str
    span: Span
    name: bytes
    count: int


@dataclass(slots=True)
class PartReport:
    """The facts about one file of an AOF, from its examination.

    `ok_up_to` is the end offset of the last complete record before any damage, outside an open transaction, and
    `ok_commands` counts the commands before it.  `commands` counts all complete commands, those past damage too.  Times
    are those of #TS annotations, in unix seconds.  `rdb_contents` is set if the values of the RDB were decoded.
    `damage` holds the first of `damage_count` damages.
    """

    part: AofPart
    size: int = 0
    commands: int = 0
    annotations: int = 0
    preamble: Preamble | None = None
    rdb_contents: "SalvageCounts | None" = None
    modules: "list[ModuleData]" = field(default_factory=list)
    first_time: int | None = None
    last_time: int | None = None
    clock_went_back: bool = False
    ok_up_to: int = 0
    ok_commands: int = 0
    damage: list[Damage] = field(default_factory=list)
    damage_count: int = 0

    @property
    def has_damaged_rdb(self) -> bool:
        """Whether the RDB at the start of the file has damage, or a key that no server loads."""
        rdb = self.preamble
        return rdb is not None and any(damage.span.start < rdb.span.end for damage in self.damage)


@dataclass(slots=True)
class Report:
    """The facts about an AOF from its examination, and the predictions of what server versions do with it.

    The AOF is sound only if each set of `decisive_servers` has a version that loads it.  A command that a version lacks
    counts only for `explicit_servers`, those that the user named.  `is_adopted`: the base is the single file of an
    older server, which cannot load the set.  `unknown` are commands that a version does not know.  `oddities` are keyed
    by finding code.  `hidden_flushes` maps (file name, offset) to the name of a flush in a damaged record that some
    version reads nevertheless.  `replay` are the commands that fail at load, judged by `configuration`.  `neighbours`
    are temporary files and dump.rdb near the AOF, if they were judged.
    """

    aof: AOF
    writer: str
    versions: list[ServerVersion]
    decisive_servers: list[frozenset[str]]
    explicit_servers: frozenset[str] = frozenset()
    is_adopted: bool = False
    parts: list[PartReport] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    flushes: FlushCollector = field(default_factory=FlushCollector)
    oddities: dict[str, Oddity] = field(default_factory=dict)
    script_flushes: ScriptFlushCollector = field(default_factory=ScriptFlushCollector)
    hidden_flushes: dict[tuple[str, int], str] = field(default_factory=dict)
    replay: ReplayErrors = field(default_factory=lambda: ReplayErrors([], ContextTracker()))
    configuration: ServerConfiguration = DEFAULT_CONFIGURATION
    unknown: UnknownNames = field(default_factory=lambda: UnknownNames([], ContextTracker()))
    neighbours: list[Neighbour] = field(default_factory=list)
    deletions: MassDeletions | None = None

    @property
    def commands(self) -> int:
        """The number of complete commands in all files of the AOF."""
        return sum(part.commands for part in self.parts)

    @property
    def size(self) -> int:
        """The size in bytes of all files of the AOF."""
        return sum(part.size for part in self.parts)

    def add_oddity(self, kind: str, part: str, span: Span, name: bytes = b"") -> None:
        """Count an odd record of a kind (a finding code).

        Only the place and name of the first of each kind are kept.
        """
        previous = self.oddities.get(kind)
        self.oddities[kind] = (
            Oddity(part, span, name, 1)
            if previous is None
            else Oddity(previous.part, previous.span, previous.name, previous.count + 1)
        )


def needs_salvage(report: Report) -> bool:
    """Whether a file of the AOF is damaged or missing, or its manifest is."""
    manifest = report.aof.manifest
    return (
        any(not part.part.exists for part in report.parts)
        or any(damage.kind is not DamageKind.IN_FLIGHT for part in report.parts for damage in part.damage)
        or (report.aof.layout == "multi-part" and (manifest is None or bool(manifest.problems)))
    )


def shell_path(report: Report) -> str:
    """Return the path of the AOF as the user gave it, quoted for the shell commands that hints show."""
    return text.shell_quote(report.aof.path)


def output_name(report: Report, suffix: str) -> str:
    """Return a free name for an output: beside the path that the user gave, or for a manifest beside its directory."""
    aof = report.aof
    is_manifest = aof.layout == "multi-part" and os.path.isfile(aof.path)
    return free_name(aof.directory if is_manifest and aof.directory else aof.path, suffix)


def salvage_command(report: Report) -> str:
    """Return the shell command that writes a copy with everything that can be read, under a free name."""
    return f"aofdoctor repair {shell_path(report)} --salvage -o {text.shell_quote(output_name(report, 'repaired'))}"
