"""Find the commands after a flush that build on the old value of their key: INCR, APPEND, SADD and similar.

When the flush is dropped, these commands find the old keys: a counter that restarted at 1 continues from its old
value.  Which of both is wanted cannot be decided here, so they are counted for the user.  Those on keys of an RDB
base are counted separately, by key name, unless there are too many keys.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from aofdoctor import text
from aofdoctor.aof.model import AOF
from aofdoctor.aof.reader import read_batches
from aofdoctor.log.base_keys import key_name
from aofdoctor.log.flushes import FlushGroup
from aofdoctor.rdb.compressed.source import decompressed
from aofdoctor.rdb.encoding.cursor import Cursor
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.preamble import is_rdb, walk_rdb
from aofdoctor.server.command_table import command_table

DEPENDENT_COMMAND_NAMES = frozenset({
    "incr", "incrby", "incrbyfloat", "decr", "decrby", "append", "setrange", "setbit", "bitfield", "setnx", "msetnx",
    "rpush", "lpush", "linsert", "sadd", "hincrby", "hincrbyfloat", "hsetnx", "zincrby", "pfadd", "xadd", "geoadd",
})  # fmt: skip
_EXAMPLES_MAX = 5
KEYS_MAX = 1 << 16  # distinct keys that are compared with those of a base
BASE_KEYS_MAX = 1 << 20  # keys of a base that are searched, which takes some seconds


@dataclass(slots=True)
class DependentCommands:
    """The dependent commands after a flush, counted by name and by key, with the first few as examples.

    `key_counts` has at most KEYS_MAX keys.  `on_base_keys` is the number of commands on keys of an RDB base, None if
    the AOF has no RDB base or if there are too many keys to compare.
    """

    name_counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    key_counts: Counter[bytes] = field(default_factory=Counter)
    on_base_keys: int | None = None


def find_dependent_commands(aof: AOF, group: FlushGroup) -> DependentCommands:
    """Find the commands after a group of flushes that build on the old value of their key.

    Each file is searched up to its first damage.
    """
    ids, dependents = command_table().ids_of(DEPENDENT_COMMAND_NAMES), DependentCommands()
    for index, part in enumerate(aof.parts[group.last.part_index :], group.last.part_index):
        if part.source is None:
            continue
        start = group.last.span.end if index == group.last.part_index else 0
        for batch in read_batches(part.source, command_table().names, start):
            for i in (i for i in range(batch.count) if batch.ids[i] in ids):
                command = command_table().get(batch.ids[i])
                assert command is not None
                dependents.name_counts[command.name.upper()] += 1
                if batch.oversized:
                    continue
                key = batch.argv(i, 2)[-1]
                if key in dependents.key_counts or len(dependents.key_counts) < KEYS_MAX:
                    dependents.key_counts[key] += 1
                if len(dependents.examples) < _EXAMPLES_MAX:
                    dependents.examples.append(
                        f"{command.name.upper()} {text.quote(key[:40])} at "
                        f"{text.display_path(part.name)}@{batch.record_span(i).start}"
                    )
    if dependents.key_counts and len(dependents.key_counts) < KEYS_MAX:
        dependents.on_base_keys = _count_on_base_keys(aof, group, dependents.key_counts)
    return dependents


def _count_on_base_keys(aof: AOF, group: FlushGroup, keys: Counter[bytes]) -> int | None:
    """The number of dependent commands on keys that an RDB before the flush contains.

    None if there is no RDB, or it has too many keys.
    """
    sources = [part.source for part in aof.parts[: group.last.part_index + 1] if part.source and is_rdb(part.source)]
    rdbs = [(source, walk_rdb(source)) for source in sources if source.size is not None]
    if not rdbs or any(rdb.key_count is None or rdb.key_count > BASE_KEYS_MAX for _, rdb in rdbs):
        return None
    base_names: set[bytes] = set()
    for source, _ in rdbs:
        rdb = decompressed(source)
        cursor = Cursor(rdb)
        for batch in ItemReader(rdb, verify=False):
            base_names |= {
                name for item in batch if isinstance(item, KeyItem) and (name := key_name(cursor, item)) in keys
            }
    return sum(keys[name] for name in base_names)


def describe_dependents(dependents: DependentCommands) -> Iterator[str]:
    """The notes of a plan about commands that build on keys that a flush had deleted; none if there are none."""
    total = sum(dependents.name_counts.values())
    if total:
        names = ", ".join(f"{count:,} {name}" for name, count in dependents.name_counts.most_common())
        examples = "; ".join(dependents.examples) + (" ..." if total > len(dependents.examples) else "")
        yield (
            f"{text.format_count(total, 'later command')} build on what is there ({names}), "
            f"and will find the old keys: {examples}"
        )
    if dependents.on_base_keys:
        yield f"{dependents.on_base_keys:,} of those on keys that the base holds"
