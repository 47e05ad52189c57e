"""What a whole reading of an AOF found: values, before anybody judges or prints them."""

from dataclasses import dataclass, field

from aofdoctor import text
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.records import Preamble
from aofdoctor.damage import Damage
from aofdoctor.log.flushes import FlushCollector
from aofdoctor.log.script_flushes import ScriptFlushCollector
from aofdoctor.server.verdict import Verdict
from aofdoctor.server.versions import ServerVersion
from aofdoctor.span import Span


@dataclass(frozen=True, slots=True)
class Oddity:
    """Records of one oddity: how many, and where the first stands."""

    part: str
    span: Span
    name: bytes
    count: int


@dataclass(slots=True)
class PartReport:
    """One part; `ok_up_to` is the end of the last whole record before any damage, outside an open MULTI.

    `ok_commands` stand before that end; `commands` counts whole commands, those past damage too.  Times are those of
    #TS annotations, unix seconds.
    """

    part: AofPart
    size: int = 0
    commands: int = 0
    annotations: int = 0
    preamble: Preamble | None = None
    first_time: int | None = None
    last_time: int | None = None
    clock_went_back: bool = False
    ok_up_to: int = 0
    ok_commands: int = 0
    damage: list[Damage] = field(default_factory=list)
    damage_count: int = 0


@dataclass(slots=True)
class Report:
    """One reading of an AOF by the lines that judge; of each set of `decisive` one has to load it.

    `hidden_flushes` are those of damaged records that a line reads all the same: the name, by part and offset.
    """

    aof: AOF
    writer: str
    versions: list[ServerVersion]
    decisive_servers: list[frozenset[str]]
    parts: list[PartReport] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    flushes: FlushCollector = field(default_factory=FlushCollector)
    oddities: dict[str, Oddity] = field(default_factory=dict)
    script_flushes: ScriptFlushCollector = field(default_factory=ScriptFlushCollector)
    hidden_flushes: dict[tuple[str, int], str] = field(default_factory=dict)

    @property
    def commands(self) -> int:
        """The whole commands of all parts."""
        return sum(part.commands for part in self.parts)

    @property
    def size(self) -> int:
        """The bytes of all parts."""
        return sum(part.size for part in self.parts)

    def add_oddity(self, kind: str, part: str, span: Span, name: bytes = b"") -> None:
        """Count an oddity; the first of its kind is kept."""
        previous = self.oddities.get(kind)
        self.oddities[kind] = (
            Oddity(part, span, name, 1)
            if previous is None
            else Oddity(previous.part, previous.span, previous.name, previous.count + 1)
        )


def shell_path(report: Report) -> str:
    """The path as the user gave it, for a command line in a message."""
    return text.shell_quote(report.aof.path)
