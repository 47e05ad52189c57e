"""Commands after a flush that build on what they find: on an empty keyspace then, on the old keys once those are back.

Taking the flush back changes what these do: a counter that began at 1 again
goes on from its old value.  Nobody can say which is meant, so they are counted
and named.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from aofdoctor import text
from aofdoctor.analysis.flush import Group
from aofdoctor.aof.aof import AOF
from aofdoctor.aof.reader import read_batches
from aofdoctor.server.commands import table

BUILDS_ON = frozenset({
    "incr", "incrby", "incrbyfloat", "decr", "decrby", "append", "setrange", "setbit", "bitfield", "setnx", "msetnx",
    "rpush", "lpush", "linsert", "sadd", "hincrby", "hincrbyfloat", "hsetnx", "zincrby", "pfadd", "xadd", "geoadd",
})  # fmt: skip
_SHOWN = 5


@dataclass(slots=True)
class Assumed:
    """What stands after a flush: how many by name, and the first of them."""

    names: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)


def assumed(aof: AOF, group: Group) -> Assumed:
    """The commands after a group of flushes, up to the first damage of each part, that build on what is there."""
    ids, found = table().ids(BUILDS_ON), Assumed()
    for index, part in enumerate(aof.parts[group.last.index :], group.last.index):
        if part.source is None:
            continue
        start = group.last.span.end if index == group.last.index else 0
        for batch in read_batches(part.source, table().words, start):
            for i in (i for i in range(batch.count) if batch.ids[i] in ids):
                command = table().get(batch.ids[i])
                assert command is not None
                found.names[command.name.upper()] += 1
                if len(found.first) < _SHOWN and not batch.far:
                    key = text.word(batch.argv(i, 2)[-1][:40])
                    found.first.append(
                        f"{command.name.upper()} {key} at {text.name(part.name)}@{batch.record(i).start}"
                    )
    return found


def notes(found: Assumed) -> Iterator[str]:
    """What a plan says of them; nothing where there are none."""
    total = sum(found.names.values())
    if total:
        names = ", ".join(f"{count:,} {name}" for name, count in found.names.most_common())
        yield (
            f"{text.count(total, 'later command')} build on what is there ({names}), and will find the old keys: "
            f"{'; '.join(found.first)}{' ...' if total > len(found.first) else ''}"
        )
