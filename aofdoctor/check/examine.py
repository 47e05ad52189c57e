"""Examine an AOF in one pass over its files: contents, damage, and what each server version would do with it.

Memory does not grow with the files: damage and flushes are counted, and only a limited number of them is kept.  Whether
the facts are good or bad news is decided by check/findings.
"""

from collections.abc import Callable, Sequence
from time import time
from typing import TYPE_CHECKING

from aofdoctor.aof.constants import ANNOTATION
from aofdoctor.aof.model import AOF, AofPart
from aofdoctor.aof.records import Preamble, RecordBatch
from aofdoctor.aof.recovery.in_flight import is_in_flight
from aofdoctor.check.replay_errors import ReplayErrors
from aofdoctor.check.report import PartReport, Report
from aofdoctor.check.unknown_commands import UnknownNames
from aofdoctor.damage import Damage, DamageKind
from aofdoctor.log.context_walk import none_if_unknown, walk_part
from aofdoctor.log.mass_deletions import MassDeletions
from aofdoctor.log.restarts.torn_transactions import RestartBorders, TornTransaction
from aofdoctor.log.script_flushes import script_command_ids
from aofdoctor.rdb.opcodes import Opcode, RdbType
from aofdoctor.rdb.preamble import is_rdb, read_aux
from aofdoctor.server.command_table import command_table
from aofdoctor.server.configuration import DEFAULT_CONFIGURATION, ServerConfiguration
from aofdoctor.server.context.fields import ContextField
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.server.loader import Loader
from aofdoctor.server.sandbox import versions_on_path
from aofdoctor.server.verdict import Outcome, Verdict
from aofdoctor.server.versions import DEFAULT_VERSIONS, VERSIONS, is_newer_than_table, rdb_writer
from aofdoctor.source import PipeSource, Source
from aofdoctor.span import Span

if TYPE_CHECKING:  # At run time it is imported only for an RDB with module data.
    from aofdoctor.rdb.module_census import ModuleData

_MODULE_KINDS = (int(RdbType.MODULE_2), int(Opcode.MODULE_AUX))
DAMAGE_MAX = 1000  # Damages that are kept of one part.

ExamineProgress = Callable[[int], None]


def examine(
    aof: AOF,
    servers: Sequence[str] = (),
    progress: ExamineProgress | None = None,
    explicit_servers: Sequence[str] = (),
    configuration: ServerConfiguration = DEFAULT_CONFIGURATION,
    deep: bool = False,
) -> Report:
    """Read all files of an AOF and predict what each server version does with it; return the report.

    `servers` are names of versions to judge, before the version of the writer and the default ones.  The AOF counts as
    sound only if all `explicit_servers` load it.  Without any, the version that wrote the AOF decides, or if that is
    unknown or loads single files only, any of the default ones.  `progress` is called with the number of bytes read so
    far.  All versions are judged with the same `configuration`.  With `deep`, the values of every RDB are decoded,
    whatever its size.
    """
    writer_title, writer_version = find_writer(aof)
    is_adopted = bool(writer_version) and aof.layout == "multi-part" and not VERSIONS[writer_version].reads_manifest
    writers = [writer_version] if writer_version and not is_adopted else []
    names = list(dict.fromkeys([*servers, *writers, *DEFAULT_VERSIONS, *versions_on_path()]))
    decisive = [frozenset({name}) for name in explicit_servers] or [frozenset(writers or DEFAULT_VERSIONS)]
    report = Report(
        aof,
        writer_title,
        [VERSIONS[name] for name in names],
        decisive,
        frozenset(explicit_servers),
        is_adopted,
        configuration=configuration,
    )
    _Examiner(report, progress, deep).run()
    return report


def find_writer(aof: AOF) -> tuple[str, str]:
    """Return (title, version name) of the server that wrote the base of an AOF, from the AUX fields of the RDB.

    Both are empty if the first file is not an RDB or does not name its writer.
    """
    for part in aof.existing_parts[:1]:
        assert part.source is not None
        if is_rdb(part.source):
            return rdb_writer(read_aux(part.source))
    return "", ""


class _Examiner:
    """Reads all files of an AOF once, and fills a Report with what it finds."""

    def __init__(self, report: Report, progress: ExamineProgress | None, deep: bool) -> None:
        self.report, self.progress, self.deep = report, progress, deep
        self.tracker = ContextTracker(columns=True)
        applicable = [v for v in report.versions if v.reads_manifest or report.aof.layout != "multi-part"]
        self.loader = Loader(
            applicable,
            self.tracker,
            is_newer_than_table(report.writer),
            report.configuration,
            is_dump=report.aof.layout == "rdb",
        )
        self.replay = report.replay = ReplayErrors(applicable, self.tracker, report.configuration)
        self.vadd_versions = frozenset(v.name for v in applicable if v.has_command("vadd"))
        self.unknown = report.unknown = UnknownNames(applicable, self.tracker)
        select, multi, exec_ = (command_table().names.ids[name] for name in (b"select", b"multi", b"exec"))
        self.oddity_by_id = {
            select: "select-invalid",
            multi: "multi-nested",
            exec_: "exec-alone",
        }
        self.flush_ids = command_table().with_effect("flush")
        self.script_ids = script_command_ids()
        self.tracker.flag("walk", self.flush_ids | self.script_ids)
        self.deletions = report.deletions = MassDeletions(self.tracker, _log_size(report.aof))
        self.bytes_read = 0

    def run(self) -> None:
        aof, report = self.report.aof, self.report
        set_verdicts = self._judge_set(aof)
        present = aof.existing_parts
        for part in aof.parts:
            if part.source is None:
                report.parts.append(PartReport(part))
                continue
            self._examine_part(part, part.source, last=part is present[-1])
        report.hidden_flushes = self.loader.hidden_flushes
        self.unknown.finish()
        verdicts = set_verdicts or self.replay.apply(self.loader.verdicts())
        report.verdicts = _in_version_order(report, verdicts)

    # -- verdicts before the first byte --

    def _judge_set(self, aof: AOF) -> list[Verdict] | None:
        """Return the verdicts (how each server version loads the AOF) if the manifest alone decides them, else None.

        If the manifest is damaged, or a file is missing, the loader makes every server version refuse the AOF.
        """
        if aof.layout != "multi-part":
            return None
        if aof.manifest is None or not (aof.manifest.problems or aof.manifest.load_order):
            reason = "the manifest is missing" if aof.manifest is None else "the manifest names no file to load"
            reason += ": it starts with nothing, writes a new manifest and reuses the names"
            return [Verdict(run.version.name, load_truncated, Outcome.STARTS_EMPTY, "", None, reason)
                    for run in self.loader.states for load_truncated in (True, False)]  # fmt: skip
        if aof.manifest.problems:
            first = aof.manifest.problems[0]
            name = aof.manifest_path.name if aof.manifest_path else ""
            self.loader.refuse_part(
                name, f"manifest line {first.line}: {first.message}" if first.line else first.message
            )
        for part in aof.parts:
            if not part.exists:
                self.loader.refuse_part(part.name, "the manifest names it, and it is missing")
        return None

    # -- one part --

    def _examine_part(self, part: AofPart, source: Source, last: bool) -> None:
        """Read one file of the AOF, and append the facts about it to the report."""
        report = PartReport(part)
        self.report.parts.append(report)
        self.loader.begin_part(part.name, source, last)
        self.last_good: tuple[int, int] | None = None
        self.borders = RestartBorders(source, self.tracker)
        if self.loader.is_dump and source.size == 0:
            self.loader.refuse_part(part.name, "unexpected EOF reading the RDB: the file is empty")
        for tile in walk_part(source, self.tracker, now_ms=int(time() * 1000)):
            if isinstance(tile, RecordBatch):
                self._add_batch(report, tile)
            elif isinstance(tile, Damage):
                self._add_damage(report, source, tile)
            else:
                self._add_preamble(report, source, tile)
        self._finish_part(report, source)

    def _add_batch(self, report: PartReport, batch: RecordBatch) -> None:
        commands_before = self.report.commands + self.tracker.state[ContextField.COMMANDS]
        last_time = self.tracker.state[ContextField.TIME]
        self.borders.begin_batch()
        flagged = self.tracker.track(batch)
        for torn in self.borders.torn_in_batch(batch, flagged):
            self._add_torn_transaction(report, torn)
        for i in flagged:
            self.loader.check_flagged(batch, i)
            self.replay.add(report.part.name, batch, i)
            if crash := self.replay.crash_reason(batch, i):
                self.loader.crash(self.vadd_versions, batch.record_span(i).start, crash)
            self._check_oddity(report, batch, i)
            self.unknown.add(report.part.name, batch, i)
            if batch.ids[i] in self.script_ids:
                self.report.script_flushes.add_record(report.part.name, batch, i)
        self.report.flushes.add_batch(
            len(self.report.parts) - 1, report.part.name, batch, flagged, self.tracker, commands_before
        )
        self.deletions.add_batch(report.part.name, batch, commands_before)
        report.clock_went_back |= last_time > self.tracker.state[ContextField.TIME]
        if self.progress:
            self.bytes_read += batch.span.size
            self.progress(self.bytes_read)

    def _check_oddity(self, report: PartReport, batch: RecordBatch, i: int) -> None:
        """Count record `i` of the batch if it is odd: a useless SELECT, a nested MULTI, an EXEC without a MULTI."""
        number = batch.ids[i]
        kind = self.oddity_by_id.get(number)
        if kind == "select-invalid" and _selects_database(batch, i):
            is_high = self.tracker.db[i] >= self.report.configuration.selectable_databases
            kind = "" if is_high else "select-again"
        if kind:
            self.report.add_oddity(kind, report.part.name, batch.record_span(i))
        elif number == ANNOTATION and batch.record_span(i).size > 1023:
            self.report.add_oddity("annotation-long", report.part.name, batch.record_span(i))

    def _add_torn_transaction(self, report: PartReport, torn: TornTransaction) -> None:
        """Record as damage a transaction without EXEC that a restart tore.

        Servers do not notice the restart and read on.
        """
        self.last_good = self.last_good or (torn.span.start, torn.commands_before)
        note = f"restart: {torn.evidence}"
        self._keep_damage(report, Damage(torn.span, DamageKind.TORN_TRANSACTION, note, torn.is_guess))

    def _add_damage(self, report: PartReport, source: Source, damage: Damage) -> None:
        if torn := self.borders.torn_at(damage.span.start, damage.span.end):
            self._add_torn_transaction(report, torn)
        self.last_good = self.last_good or self._good_prefix()
        in_flight = Damage(damage.span, DamageKind.IN_FLIGHT, damage.note) if is_in_flight(source, damage) else None
        self._keep_damage(report, in_flight or damage)
        self.report.flushes.add_damage(len(self.report.parts) - 1)
        if self.loader.is_dump and report.preamble is None:
            self.loader.refuse_part(report.part.name, "wrong signature: it does not begin with an RDB")
        elif not self._is_whole_dump(report):
            self.loader.read_past_damage(damage)
        if self.progress:
            self.bytes_read += damage.span.size

    def _is_whole_dump(self, report: PartReport) -> bool:
        """Whether the AOF is a single dump.rdb that was read to its end: servers do not read what follows it."""
        return self.report.aof.layout == "rdb" and report.preamble is not None and report.preamble.complete

    def _add_preamble(self, report: PartReport, source: Source, rdb: Preamble) -> None:
        report.preamble = rdb
        report.modules = _module_data(source, rdb)
        self.loader.check_preamble(rdb, [module.name for module in report.modules])
        self.replay.add_preamble(rdb)
        if not rdb.complete:
            self.last_good = (0, 0)
        if damage := rdb.damage(report.part.size):
            self._keep_damage(report, damage)
        self._decode_rdb(report, source, rdb)

    def _decode_rdb(self, report: PartReport, source: Source, rdb: Preamble) -> None:
        """Find the keys of an RDB that no server loads.

        If the RDB is intact otherwise, report each of them as damage.
        """
        # Imported late: the decoders are a tenth of the start-up, and an AOF without an RDB does not need them.
        from aofdoctor.check.findings.rdb_values import damage_of_keys, rdb_contents

        report.rdb_contents = contents = rdb_contents(source, rdb, self.deep)
        if contents is None or not contents.damaged or not rdb.is_intact:
            return
        self.last_good = (0, 0)
        for damage in damage_of_keys(contents):
            self._keep_damage(report, damage)
        report.damage_count += contents.damaged_count - len(contents.damaged)
        first = report.damage[0]
        self.loader.refuse_part(report.part.name, f"the RDB is damaged: {first.note}", first.span.start)

    def _finish_part(self, report: PartReport, source: Source) -> None:
        """Complete the facts about a file after its last byte: size, counts, times, and a MULTI that is still open."""
        state = self.tracker.state
        report.size = source.size or 0
        report.commands, report.annotations = state[ContextField.COMMANDS], state[ContextField.ANNOTATIONS]
        report.first_time, report.last_time = (
            none_if_unknown(state[ContextField.FIRST_TIME]),
            none_if_unknown(state[ContextField.TIME]),
        )
        self.loader.end_part()
        open_multi = self.borders.open_multi
        if torn := self.borders.torn_at(report.size):
            self._add_torn_transaction(report, torn)
        elif state[ContextField.TX] > 0:
            span = Span(open_multi, report.size)
            self._keep_damage(report, Damage(span, DamageKind.UNCLOSED_MULTI))
        report.ok_up_to, report.ok_commands = self.last_good or self._good_prefix()

    def _good_prefix(self) -> tuple[int, int]:
        """Return (end offset, number of commands) of the sound beginning of the file that is being read.

        It ends after the last complete record outside an open transaction.
        """
        return self.tracker.state[ContextField.GOOD_END], self.tracker.state[ContextField.GOOD_COMMANDS]

    def _keep_damage(self, report: PartReport, damage: Damage) -> None:
        report.damage_count += 1
        if len(report.damage) < DAMAGE_MAX:
            report.damage.append(damage)


def _module_data(source: Source, rdb: Preamble) -> "list[ModuleData]":
    """Count the module data of an RDB by type, if the walk has met any."""
    counts = rdb.key_counts
    if rdb.codec or isinstance(source, PipeSource) or counts is None or not any(map(counts.count_of, _MODULE_KINDS)):
        return []
    from aofdoctor.rdb.module_census import count_module_data

    return count_module_data(source)


def _selects_database(batch: RecordBatch, i: int) -> bool:
    """Whether the argument of a SELECT command is a valid database number."""
    argv = batch.argv(i, 2) if not batch.oversized else []
    return len(argv) == 2 and argv[1].isdigit() and len(argv[1]) <= 18


def _log_size(aof: AOF) -> int | None:
    """Return the size in bytes of all files of an AOF; None if one is a pipe."""
    sizes = [part.size for part in aof.existing_parts]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _in_version_order(report: Report, verdicts: list[Verdict]) -> list[Verdict]:
    """Return the verdicts (how each server version would load the AOF) in the order of the report's versions.

    Versions before 7.0, which read single files, get "not applicable" for a multi-part AOF.
    """
    judged_servers = {verdict.server for verdict in verdicts}
    ordered_verdicts = []
    for version in report.versions:
        if version.name in judged_servers:
            ordered_verdicts += [verdict for verdict in verdicts if verdict.server == version.name]
        else:
            reason = "a multi part set: this line reads single files"
            options = (True, False) if version.has_load_truncated else (False,)
            ordered_verdicts += [
                Verdict(version.name, option, Outcome.NOT_APPLICABLE, reason=reason) for option in options
            ]
    return ordered_verdicts
