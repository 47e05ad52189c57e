"""Notes about sound RDBs: empty keys, which servers skip, data of modules, and versions that are too new."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aofdoctor import text
from aofdoctor.aof.records import Preamble
from aofdoctor.check.report import PartReport, Report, output_name, shell_path
from aofdoctor.finding import Finding, Severity
from aofdoctor.rdb.opcodes import FIRST_OPCODE, RdbType, ValkeyRdbType
from aofdoctor.server.module_types import has_module_type, module_title
from aofdoctor.server.versions import RDB_VERSIONS_WRITTEN, ServerVersion

if TYPE_CHECKING:  # The decoders are a tenth of the start-up, and an AOF without an RDB does not need them.
    from aofdoctor.check.rdb_examination import SalvageCounts
    from aofdoctor.rdb.module_census import ModuleData

_NAME_SHOWN = 80
_NEWEST_SHARED_TYPE = int(RdbType.STREAM_LISTPACKS_3)
_FIELD_EXPIRY_TYPES = (int(RdbType.HASH_METADATA), int(RdbType.HASH_LISTPACK_EX), int(ValkeyRdbType.HASH_2))
_FIRST_WITH_FUNCTIONS = 10  # RDB version of Redis 7.0


def describe_empty_keys(part: str, contents: "SalvageCounts") -> str:
    """Return how many keys of an RDB are empty, so that servers skip them at load, and which is the first."""
    first, is_one = contents.skipped[0], contents.skipped_count == 1
    db = f"db{first.db}" if first.db >= 0 else "an unknown database"
    verb, object_ = ("has", "it at load") if is_one else ("have", "them at load; the first is")
    return (
        f"{text.display_path(part)}: {text.format_count(contents.skipped_count, 'key')} {verb} no elements, and "
        f"servers skip {object_}{':' if is_one else ''} {text.quote(first.name[:_NAME_SHOWN])} of {db}, at "
        f"{first.span.start}"
    )


def _empty_keys(report: Report) -> Iterator[Finding]:
    """Yield a note per RDB with keys that servers skip at load because they are empty."""
    for part in report.parts:
        if part.rdb_contents is not None and part.rdb_contents.skipped:
            message = describe_empty_keys(part.part.name, part.rdb_contents)
            yield Finding("empty-key", Severity.NOTE, message, part.part.name, *part.rdb_contents.skipped[0].span)


def _module_data(report: Report) -> Iterator[Finding]:
    """Yield a note per module type in an RDB: a server without that module refuses the RDB."""
    for part in report.parts:
        for module in part.modules:
            builtin = [version for version in report.versions if has_module_type(version, module.name)]
            condition = "a server without that module refuses the RDB"
            if builtin:
                condition = f"built into {join_titles(builtin)}; a server without it refuses the RDB"
            message = (
                f"{text.display_path(part.part.name)}: {module_amount(module)} of the module type "
                f"{module_title(module.name)}, first at {module.start}: {condition}"
            )
            hint, commands = _conversion(report, part, without_modules=True)
            yield Finding(
                "module-data", Severity.NOTE, message, part.part.name, module.start, None, hint=hint, commands=commands
            )


def join_titles(versions: list[ServerVersion]) -> str:
    """Return the titles of server versions as words: A, B and C."""
    *first, last = [version.title for version in versions]
    return f"{', '.join(first)} and {last}" if first else last


def kept_module_data(report: Report, part: str, modules: "list[ModuleData]") -> Iterator[str]:
    """Yield a note per module type that an output keeps, with the judged servers that do not load it."""
    for module in modules:
        lacking = [version for version in report.versions if not has_module_type(version, module.name)]
        refuse = ""
        if lacking:
            refuse = f"; {join_titles(lacking)} {'refuses' if len(lacking) == 1 else 'refuse'} the result without it"
        yield (
            f"{text.display_path(part)}: {module_amount(module)} of the module type {module_title(module.name)} "
            f"{'stays' if module.keys + module.aux == 1 else 'stay'}{refuse}"
        )


def module_amount(module: "ModuleData") -> str:
    """Return the keys and auxiliary fields of a module type in words."""
    amounts = [text.format_count(module.keys, "key")] if module.keys else []
    if module.aux:
        amounts.append(text.format_count(module.aux, "auxiliary field"))
    return " and ".join(amounts)


def _newer_rdb(report: Report) -> Iterator[Finding]:
    """Yield a note per sound RDB that is too new for a judged version, with the conversion for that version."""
    for part in report.parts:
        rdb = part.preamble
        if rdb is None or not rdb.is_intact or rdb.codec:
            continue
        readers = [v for v in report.versions if v.reads_manifest or report.aof.layout != "multi-part"]
        refusing = [version for version in readers if _is_behind(version, rdb, report.explicit_servers)]
        if not refusing:
            continue
        verb = "does not read" if len(refusing) == 1 else "do not read"
        message = f"{text.display_path(part.part.name)}: {join_titles(refusing)} {verb} RDB version {rdb.version}"
        hint, commands = _conversion(report, part, target=_target(report, refusing))
        yield Finding("rdb-too-new", Severity.NOTE, message, part.part.name, *rdb.span, hint=hint, commands=commands)


def _is_behind(version: ServerVersion, rdb: Preamble, explicit_servers: frozenset[str]) -> bool:
    """Whether a version does not read an RDB; for one of the other product only if the user named the version."""
    newest = version.newest_rdb(rdb.dialect)
    is_relevant = newest > 0 or version.name in explicit_servers
    return is_relevant and bool(version.rdb_versions) and newest < rdb.version


def _target(report: Report, refusing: list[ServerVersion]) -> ServerVersion:
    """The version to convert for: one that the user named, else the newest Valkey, else the first."""
    explicit = [version for version in refusing if version.name in report.explicit_servers]
    return next(iter([*explicit, *(v for v in refusing if v.name.startswith("valkey")), *refusing]))


def _conversion(
    report: Report, part: PartReport, target: ServerVersion | None = None, without_modules: bool = False
) -> tuple[str, tuple[str, ...]]:
    """Return (what it does, the command) to convert an RDB for a version, or to the same version without module data.

    Both are empty if convert cannot do it.
    """
    rdb = part.preamble
    assert rdb is not None
    if not rdb.is_intact or not _can_convert(report):
        return "", ()
    version = target.rdb_written[1] if target else rdb.version
    if version not in RDB_VERSIONS_WRITTEN:
        return "", ()
    loses = without_modules or bool(part.modules) or (target is not None and _may_lose(rdb, target))
    lossy = " --lossy" if loses else ""
    output = text.shell_quote(output_name(report, "converted"))
    command = f"aofdoctor convert {shell_path(report)} --base rdb --rdb-version {version}{lossy} -o {output}"
    if without_modules:
        return "leave the module data out", (command,)
    assert target is not None
    listed = ", without what that cannot represent, which is listed" if loses else ""
    return f"make one for {target.title}{listed}", (command,)


def _can_convert(report: Report) -> bool:
    """Whether convert accepts the AOF: a sound set of files, no pipe."""
    return report.aof.path != "-" and all(
        part.part.exists and part.part.size is not None and not part.damage for part in report.parts
    )


def _may_lose(rdb: Preamble, target: ServerVersion) -> bool:
    """Whether an RDB may hold what a version cannot represent: newer value types, functions before 7.0."""
    counts = rdb.key_counts
    if counts is None:
        return True
    dialect, version = target.rdb_written
    kept = {*range(_NEWEST_SHARED_TYPE + 1), *(_FIELD_EXPIRY_TYPES if (dialect, version) >= ("valkey", 80) else ())}
    has_newer_type = any(counts.count_of(kind) for kind in range(FIRST_OPCODE) if kind not in kept)
    return has_newer_type or (version < _FIRST_WITH_FUNCTIONS and counts.function_libraries > 0)


CHECKS = (_empty_keys, _module_data, _newer_rdb)
