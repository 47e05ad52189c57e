"""A damaged copy of a sample, with the commands and keys that the damage left intact."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.rdb.preamble import is_rdb
from aofdoctor.source import BytesSource
from tests.bench.salvage_samples import Argv, Record, Sample, iter_records, records_of

Spans = dict[str, list[tuple[int, int]]]  # byte ranges of the undamaged files that the damage touched, by file name


@dataclass
class DamagedCase:
    """Damaged files and what is true of them.

    `order` has the place of each command in the source; `intact` are the commands with their databases that a perfect
    salvage keeps.  The others may be kept if they are in `order` or in `altered`: damage inside a value cannot be seen,
    because an AOF has no checksums.  `keys` are the digests of the intact keys; of the `touched_keys` the value may
    differ, and of `touched_names` keys the name.  With `is_rdb_among_commands` a salvage may write the keys as commands.
    """

    sample: Sample
    files: dict[str, bytes]
    order: dict[Argv, int]
    intact: dict[Argv, int]
    altered: set[Argv] = field(default_factory=set)
    keys: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    touched_keys: set[tuple[int, bytes]] = field(default_factory=set)
    touched_names: int = 0
    is_rdb_damaged: bool = False
    is_rdb_among_commands: bool = False
    transactions: list[set[Argv]] = field(default_factory=list)


def make_case(sample: Sample, files: dict[str, bytes], touched: Spans) -> DamagedCase:
    """Compute what is intact in damaged files from the byte ranges that the damage touched."""
    order: dict[Argv, int] = {}
    case = DamagedCase(sample, files, order, {})
    for name, data in sample.files.items():
        spans = touched.get(name, [])
        records = records_of(data)
        hit = {record for record in records if touches(record.start, record.end, spans)}
        torn = {record.transaction for record in hit if record.transaction >= 0}
        transactions: dict[int, set[Argv]] = {}
        for record in records:
            if record.is_command:
                order[record.argv] = len(order)
                if record.transaction >= 0:
                    transactions.setdefault(record.transaction, set()).add(record.argv)
                if record not in hit and record.transaction not in torn:
                    case.intact[record.argv] = record.db
        case.transactions += transactions.values()
        if len(files.get(name, b"")) == len(data):
            case.altered |= set(altered_commands(hit, files[name]))
        case.is_rdb_damaged |= is_rdb(BytesSource(data)) and any(start < rdb_end(data) for start, _ in spans)
        case.touched_keys |= (hit_keys := touched_keys(data, spans))[0]
        case.touched_names += hit_keys[1]
    case.keys = {key: digest for key, digest in sample.base_keys.items() if key not in case.touched_keys}
    return case


def touches(start: int, end: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether a byte range overlaps one of `spans`; an empty span touches the range that it is inside of."""
    return any(low < end and start < max(high, low + 1) and (high > low or low != start) for low, high in spans)


def altered_commands(hit: Iterable[Record], damaged: bytes) -> Iterable[Argv]:
    """Yield the commands that are still well formed at their place after damage that kept the size of the file."""
    for record in hit:
        found = list(iter_records(BytesSource(damaged[record.start : record.end])))
        if len(found) == 1 and found[0] is not None:
            yield found[0].argv


def rdb_end(data: bytes) -> int:
    reader = ItemReader(BytesSource(data))
    for _ in reader:
        pass
    return reader.rdb.end


def touched_keys(data: bytes, spans: list[tuple[int, int]]) -> tuple[set[tuple[int, bytes]], int]:
    """Return the keys of an RDB that byte ranges touch, and of how many they touch the name."""
    source = BytesSource(data)
    if not spans or not is_rdb(source):
        return set(), 0
    items = [item for batch in ItemReader(source) for item in batch if isinstance(item, KeyItem)]
    hit = [item for item in items if touches(item.span.start, item.span.end, spans)]
    names = sum(touches(item.span.start, item.value_offset, spans) for item in hit)
    return {(item.db, item.name(source)) for item in hit}, names
