"""Module types of values in an RDB: which module each belongs to, and which servers have it built in.

A server refuses an RDB with a value or an auxiliary field of a module type that it does not have, whatever else the
RDB holds.
"""

from aofdoctor.server.versions import ServerVersion

VECTOR_SET = "vectorset"
# The modules of common types; Valkey's modules of the same names use the same types for JSON and Bloom filters.
_MODULES = {
    "ReJSON-RL": "JSON", "TSDB-TYPE": "TimeSeries", "MBbloom--": "Bloom", "MBbloomCF": "Bloom", "CMSk-TYPE": "Bloom",
    "TopK-TYPE": "Bloom", "TDIS-TYPE": "Bloom", "ft_index0": "Search", "ft_invidx": "Search", "graphdata": "Graph",
    "graphmeta": "Graph",
}  # fmt: skip


def module_title(type_name: str) -> str:
    """Return the name of a module type for people, with its module if that is known: ReJSON-RL (JSON)."""
    module = _MODULES.get(type_name, "")
    return f"{type_name} ({module})" if module else type_name


def has_module_type(version: ServerVersion, type_name: str) -> bool:
    """Whether a server has a module type without loading a module: vector sets, since Redis 8.0."""
    return type_name == VECTOR_SET and version.has_command("vadd")


def missing_module_types(version: ServerVersion, type_names: list[str]) -> list[str]:
    """Return those of some module types that a version does not have built in."""
    return [name for name in type_names if not has_module_type(version, name)]


def lacking_reason(type_names: list[str]) -> str:
    """Return why a server without the modules of these types refuses an RDB."""
    titles = [module_title(name) for name in type_names[:_TITLES_MAX]]
    more = len(type_names) - len(titles)
    noun = "the module type" if len(type_names) == 1 else "the module types"
    return f"the RDB needs {noun} {', '.join(titles)}{f' and {more:,} more' if more > 0 else ''}"


_TITLES_MAX = 5
