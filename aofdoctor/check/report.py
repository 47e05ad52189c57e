"""The facts that an examination of an AOF collects, before findings judge them and the command line prints them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aofdoctor import text
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.records import Preamble
from aofdoctor.check.neighbours.judge import Neighbour
from aofdoctor.check.replay_errors import ReplayErrors
from aofdoctor.check.unknown_commands import UnknownNames
from aofdoctor.damage import Damage, DamageKind
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
    """Records with the same oddity: how many there are, and the place and name of the first."""

    part: str
    span: Span
    name: bytes
    count: int


@dataclass(slots=True)
class PartReport:
    """The facts about one part.

    `ok_up_to` is the end of the last complete record before any damage, outside an open transaction, and `ok_commands`
    counts the commands before it.  `commands` counts all complete commands, those past damage too.  Times are those of
    #TS annotations, in unix seconds.  `rdb_contents` is set if the values of the RDB were decoded.
    `modules` is the module data of the RDB by type, up to its first damage.
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
        """True if a damage, or a key that no server loads, lies in the RDB at the head of the part."""
        rdb = self.preamble
        return rdb is not None and any(damage.span.start < rdb.span.end for damage in self.damage)


@dataclass(slots=True)
class Report:
    """The facts about an AOF, and the verdicts of server versions.

    The AOF is sound only if each set of `decisive_servers` has a version that loads it.  A command that a version lacks
    counts only for `explicit_servers`, those that the user named.  `is_adopted`: the base is the single file of an
    older server, which cannot load the set.  `unknown` is set by the examination.  `oddities` are keyed by finding
    code.  `hidden_flushes` maps (part name, offset) to the name of a flush in a damaged record that some
    version reads nevertheless.  `replay` are the commands that fail at replay, judged by `configuration`.
    `neighbours` are the files beside the AOF, if they were judged.
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
        """The number of complete commands in all parts."""
        return sum(part.commands for part in self.parts)

    @property
    def size(self) -> int:
        """The size of all parts in bytes."""
        return sum(part.size for part in self.parts)

    def add_oddity(self, kind: str, part: str, span: Span, name: bytes = b"") -> None:
        """Count an oddity; the place and name of the first of each kind are kept."""
        previous = self.oddities.get(kind)
        self.oddities[kind] = (
            Oddity(part, span, name, 1)
            if previous is None
            else Oddity(previous.part, previous.span, previous.name, previous.count + 1)
        )


def needs_salvage(report: Report) -> bool:
    """Whether a part is damaged or missing, or the manifest is missing or damaged."""
    manifest = report.aof.manifest
    return (
        any(not part.part.exists for part in report.parts)
        or any(damage.kind is not DamageKind.IN_FLIGHT for part in report.parts for damage in part.damage)
        or (report.aof.layout == "multi-part" and (manifest is None or bool(manifest.problems)))
    )


def shell_path(report: Report) -> str:
    """Return the path as the user gave it, quoted for the commands that hints show."""
    return text.shell_quote(report.aof.path)
