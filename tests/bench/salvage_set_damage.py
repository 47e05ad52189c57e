"""Damage to sets of files, by restarts, and to RDBs: each function makes a damaged case of a sample at random."""

from collections.abc import Callable
from random import Random

from aofdoctor.resp import encode_command
from tests.bench.salvage_cases import DamagedCase, Spans, make_case, rdb_end
from tests.bench.salvage_damage import LOG_DAMAGE, Damaged
from tests.bench.salvage_samples import FRAMING, MANIFEST, Record, Sample, manifest_of, records_of

MakeCase = Callable[[Sample, Random], DamagedCase]


def damage_log(damage: Callable[[bytes, Random], Damaged]) -> MakeCase:
    """Return a function that damages one file of commands."""

    def make(sample: Sample, random: Random) -> DamagedCase:
        name = random.choice(sample.logs())
        data, spans = damage(sample.files[name], random)
        return make_case(sample, {**sample.all_files(), name: data}, {name: spans})

    return make


# -- restarts --


def random_transaction(data: bytes, random: Random) -> list[Record]:
    """Return the records of a transaction."""
    records = records_of(data)
    start = random.choice([record.transaction for record in records if record.argv[:1] == (b"EXEC",)])
    return [record for record in records if record.transaction == start]


def tear_transaction(sample: Sample, random: Random, border: Callable[[Record, bytes], bytes]) -> DamagedCase:
    """Remove the end of a transaction, as a crash does, and write at the border what a server writes that starts."""
    name = random.choice([name for name in sample.logs() if has_transaction(sample.files[name])])
    data = sample.files[name]
    transaction = random_transaction(data, random)
    kept, after = random.choice(transaction[:-1]), transaction[-1].end
    whole = data[: kept.end]
    damaged = whole + border(transaction[0], data) + data[after:]
    return make_case(sample, {**sample.all_files(), name: damaged}, {name: [(kept.end, after)]})


def has_transaction(data: bytes) -> bool:
    return any(record.argv[:1] == (b"EXEC",) for record in records_of(data))


def restart_with_select(sample: Sample, random: Random) -> DamagedCase:
    """A server cuts the last record and leaves MULTI; the next writes begin with SELECT."""
    return tear_transaction(sample, random, lambda multi, _: encode_command([b"SELECT", b"%d" % multi.db]))


def restart_with_time(sample: Sample, random: Random) -> DamagedCase:
    """The same, with an annotation of a later time before SELECT."""

    def border(multi: Record, data: bytes) -> bytes:
        times = [record for record in records_of(data) if not record.argv and record.start < multi.start]
        last = times[-1] if times else None
        stamp = int(data[last.start + 4 : last.end]) if last else 1795334311
        return b"#TS:%d\r\n" % (stamp + 3600) + encode_command([b"SELECT", b"%d" % multi.db])

    return tear_transaction(sample, random, border)


def restart_with_new_part(sample: Sample, random: Random) -> DamagedCase:
    """The last transaction of a file has lost its end, and the next file begins with SELECT."""
    name = random.choice([name for name in sample.logs()[:-1] if has_transaction(sample.files[name])])
    data = sample.files[name]
    transaction = random_transaction(data, random)
    kept = random.choice(transaction[:-1])
    names = sample.logs()
    following = names[names.index(name) + 1]
    moved = data[transaction[-1].end :]
    files = sample.all_files()
    # The commands after the transaction move into the next file, where their database has to be selected.
    select = encode_command([b"SELECT", b"%d" % transaction[-1].db])
    files |= {name: data[: kept.end], following: select + moved + sample.files[following]}
    return make_case(sample, files, {name: [(kept.end, transaction[-1].end)]})


def split_record(sample: Sample, random: Random) -> DamagedCase:
    """A record begins in a file and ends in the next one."""
    names = [name for name in sample.logs() if ".incr." in name]
    at = random.randrange(len(names) - 1)
    first, second = sample.files[names[at]], sample.files[names[at + 1]]
    record = random.choice([record for record in records_of(first) if record.is_command])
    cut = random.randrange(record.start + 1, record.end)
    files = {**sample.all_files(), names[at]: first[:cut], names[at + 1]: first[cut:] + second}
    return make_case(sample, files, {})


# -- sets --


def damage_manifest(sample: Sample, random: Random) -> DamagedCase:
    files = sample.all_files()
    line_list = files[MANIFEST].splitlines(keepends=True)
    line_list.pop(random.randrange(len(line_list)))
    cut = random.randrange(len(files[MANIFEST]))
    damaged = random.choice((None, b"", bytes(120), random.randbytes(90), files[MANIFEST][:cut], b"".join(line_list)))
    if damaged is None:
        del files[MANIFEST]
    else:
        files[MANIFEST] = damaged
    return make_case(sample, files, {})


def outdate_manifest(sample: Sample, random: Random) -> DamagedCase:
    """The manifest is one rewrite older than the files, as in a copy of a directory in use."""
    files = {**sample.all_files(), MANIFEST: manifest_of(sample.previous)}
    if random.random() < 0.5:
        files |= {name: data for name, data in sample.previous.items() if "incr" in name}
    return make_case(sample, files, {})


def lose_base(sample: Sample, random: Random) -> DamagedCase:
    """The base is lost or torn, and the previous generation is still there."""
    files = {**sample.all_files(), **sample.previous}
    base = next(iter(sample.files))
    if random.random() < 0.5:
        del files[base]
    else:
        files[base] = files[base][: len(files[base]) * random.randint(1, 8) // 10]
    case = make_case(sample, files, {})
    if not sample.base_keys:  # The commands of the older generation have the effect of those of the lost base.
        base_commands = {record.argv for record in records_of(sample.files[base])}
        case.intact = {argv: db for argv, db in case.intact.items() if argv not in base_commands}
    return allow_previous(sample, case)


def allow_previous(sample: Sample, case: DamagedCase) -> DamagedCase:
    """Allow the commands of the previous generation, as far as no others are equal, in front of all others."""
    records = [record for data in sample.previous.values() for record in records_of(data)]
    added = [record.argv for record in records if record.is_command and record.argv not in case.order]
    case.order.update({argv: number - len(added) for number, argv in enumerate(added)})
    return case


def add_second_set(sample: Sample, random: Random) -> DamagedCase:
    """Another, older set lies in the directory, with its own manifest, and the manifest of the set is damaged or not."""
    other = {name.replace("appendonly", "backup"): data for name, data in sample.previous.items()}
    files = {**sample.all_files(), **other, "backup.aof.manifest": manifest_of(other)}
    if random.random() < 0.7:
        files[MANIFEST] = random.choice((b"", bytes(90), files[MANIFEST][:40]))
    return make_case(sample, files, {})


def lose_incremental(sample: Sample, random: Random) -> DamagedCase:
    """An incremental file is missing; the others are whole."""
    name = random.choice([name for name in sample.files if "incr" in name])
    files = sample.all_files()
    del files[name]
    return make_case(sample, files, {name: [(0, len(sample.files[name]))]})


def exchange_files(sample: Sample, random: Random) -> DamagedCase:
    """The base and an incremental file have changed names."""
    base, incr = next(iter(sample.files)), random.choice([name for name in sample.files if "incr" in name])
    files = {**sample.all_files(), base: sample.files[incr], incr: sample.files[base]}
    return make_case(sample, files, {})


# -- RDBs --


def rdb_file(sample: Sample) -> tuple[str, bytes, int]:
    """Return the file with the RDB of a sample: its name, its bytes, and the end of the RDB."""
    name = next(iter(sample.files))
    return name, sample.files[name], rdb_end(sample.files[name])


def damage_rdb(change: Callable[[bytes, Random], Damaged]) -> MakeCase:
    def make(sample: Sample, random: Random) -> DamagedCase:
        name, data, end = rdb_file(sample)
        rdb, spans = change(data[:end], random)
        touched: Spans = {name: spans}
        case = make_case(sample, {**sample.all_files(), name: rdb + data[end:]}, touched)
        case.is_rdb_damaged = True
        return case

    return make


def flip_rdb_bit(data: bytes, random: Random) -> Damaged:
    at = random.randrange(9, len(data))
    return data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :], [(at, at + 1)]


def cut_rdb(data: bytes, random: Random) -> Damaged:
    at = random.randrange(len(data) // 4, len(data))
    return data[:at], [(at, len(data))]


def zero_rdb(data: bytes, random: Random) -> Damaged:
    at = random.randrange(9, len(data) - 520)
    size = random.choice((16, 64, 512))
    return data[:at] + bytes(size) + data[at + size :], [(at, at + size)]


def lose_rdb_bytes(data: bytes, random: Random) -> Damaged:
    at = random.randrange(9, len(data) - 520)
    size = random.choice((1, 16, 512))
    return data[:at] + data[at + size :], [(at, at + size)]


def lose_magic(data: bytes, random: Random) -> Damaged:
    size = random.choice((5, 6, 9))
    return random.choice((bytes(size) + data[size:], data[9:], random.randbytes(size) + data[size:])), []


def add_bytes_before(data: bytes, random: Random) -> Damaged:
    """Debris of a transfer before the RDB."""
    return random.choice((b"$%d\r\n" % len(data), b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n", random.randbytes(20))) + data, []


def rdb_among_commands(sample: Sample, random: Random) -> DamagedCase:
    """Two AOFs in one file: the RDB with its commands follows another AOF's commands."""
    name, data, _ = rdb_file(sample)
    commands = [encode_command([b"SELECT", b"0"])]
    commands += [encode_command([b"SET", b"log:first:%d" % n, b"%d" % n]) for n in range(random.randint(1, 60))]
    head = b"".join(commands)
    case = make_case(sample, {**sample.all_files(), name: head + data}, {})
    case.is_rdb_damaged = case.is_rdb_among_commands = True
    for number, record in enumerate(records_of(head)):
        if record.argv[0] not in FRAMING:
            case.order[record.argv] = number - len(commands)
            case.intact[record.argv] = 0
    return case


LOG_FAMILIES: dict[str, MakeCase] = {name: damage_log(damage) for name, damage in LOG_DAMAGE.items()}
RESTART_FAMILIES: dict[str, MakeCase] = {
    "restart in a transaction: SELECT": restart_with_select,
    "restart in a transaction: jump of #TS": restart_with_time,
    "restart in a transaction: next file": restart_with_new_part,
    "record divided between two files": split_record,
}
SET_FAMILIES: dict[str, MakeCase] = {
    "manifest missing or damaged": damage_manifest,
    "manifest older than the files": outdate_manifest,
    "base lost, previous generation present": lose_base,
    "two sets in one directory": add_second_set,
    "incremental file lost": lose_incremental,
    "base and incremental file exchanged": exchange_files,
}
RDB_FAMILIES: dict[str, MakeCase] = {
    "RDB: end cut off": damage_rdb(cut_rdb),
    "RDB: block of NUL bytes": damage_rdb(zero_rdb),
    "RDB: bytes lost": damage_rdb(lose_rdb_bytes),
    "RDB: magic lost": damage_rdb(lose_magic),
    "RDB: bytes before it": damage_rdb(add_bytes_before),
    "RDB: among commands": rdb_among_commands,
}
FLIP_RDB_BIT: MakeCase = damage_rdb(flip_rdb_bit)
