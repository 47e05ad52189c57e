"""Random edits of an AOF by aofdoctor, each with the commands that the result must hold.

A step has the words of the command line and what is expected: the keys of the RDB that stay, and the commands with
their databases, computed from the records of the log.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from aofdoctor.server.resp_client import RespReply
from tests.workloads.command_maker import DATABASES, FLUSHES
from tests.workloads.records import Log, Record

BaseKey = tuple[int, bytes]
GetKeys = Callable[[list[Record]], list[list[bytes]]]


@dataclass(frozen=True)
class Step:
    """One edit: the verb and its options, and what must be left.

    `commands` are the records that the result holds, without SELECT, MULTI and EXEC.  `keeps_base_key` chooses among
    the keys of the RDB; None if the RDB stays as it is.
    """

    words: list[str]
    commands: list[Record]
    keeps_base_key: Callable[[BaseKey], bool] | None = None


@dataclass
class Subject:
    """A log to edit, with its keys by command (as the server finds them) and the keys of its RDB."""

    log: Log
    keys_of: dict[int, list[bytes]] = field(default_factory=dict)
    base_keys: list[BaseKey] = field(default_factory=list)

    @property
    def all_keys(self) -> list[bytes]:
        return sorted({key for keys in self.keys_of.values() for key in keys} | {key for _, key in self.base_keys})


def make_subject(
    log: Log, base_keys: Iterable[BaseKey], pipeline: Callable[[list[list[bytes]]], list[RespReply]]
) -> Subject:
    """Ask a server for the keys of each command."""
    commands = log.commands
    replies = pipeline([[b"COMMAND", b"GETKEYS", *record.words] for record in commands])
    keys = {
        record.number: reply if isinstance(reply, list) else [] for record, reply in zip(commands, replies, strict=True)
    }
    return Subject(log, keys, sorted(base_keys))  # type: ignore[arg-type]


# -- selections --


@dataclass(frozen=True)
class Selection:
    """Words of selection options, and whether they match a command, and a key of the RDB."""

    words: list[str]
    command: Callable[[Record], bool]
    base_key: Callable[[BaseKey], bool]

    def inverted(self) -> "Selection":
        return Selection(
            [*self.words, "--invert"], lambda record: not self.command(record), lambda key: not self.base_key(key)
        )


def by_key(subject: Subject, chance: Random) -> Selection | None:
    names = [key for key in subject.all_keys if key.isascii() and key.decode().isprintable()]
    if not names:
        return None
    chosen = chance.choice(names)
    pattern = chosen if chance.random() < 0.5 else chosen[: chosen.index(b":") + 1 if b":" in chosen else 1] + b"*"

    def matches(key: bytes) -> bool:
        return key.startswith(pattern[:-1]) if pattern.endswith(b"*") else key == pattern

    return Selection(
        ["--key", pattern.decode()],
        lambda record: any(matches(key) for key in subject.keys_of.get(record.number, ())),
        lambda key: matches(key[1]),
    )


def by_database(subject: Subject, chance: Random) -> Selection | None:
    db = chance.choice(DATABASES)
    return Selection(["--db", str(db)], lambda record: record.db == db, lambda key: key[0] == db)


def by_name(subject: Subject, chance: Random) -> Selection | None:
    names = sorted({record.name for record in subject.log.commands})
    if not names:
        return None
    name = chance.choice(names)
    return Selection(["--cmd", name.decode().lower()], lambda record: record.name == name, lambda key: False)


def by_range(subject: Subject, chance: Random) -> Selection | None:
    numbers = [record.number for record in subject.log.records if record.words]
    if not numbers:
        return None
    first, last = sorted((chance.choice(numbers), chance.choice(numbers)))
    if chance.random() < 0.3:
        return Selection(["--to", f"#{last}"], lambda record: record.number <= last, lambda key: True)
    return Selection(
        ["--from", f"#{first}", "--to", f"#{last}"], lambda record: first <= record.number <= last, lambda key: False
    )


def by_size(subject: Subject, chance: Random) -> Selection | None:
    size = chance.choice((60, 100, 400))
    return Selection(["--min-size", str(size)], lambda record: len(record.raw) >= size, lambda key: False)


def by_time(subject: Subject, chance: Random) -> Selection | None:
    times = later_times(subject.log.records)
    if not times:
        return None
    since = chance.choice(times)
    return Selection(["--since", str(since)], lambda record: record.time >= since, lambda key: False)


def later_times(records: list[Record]) -> list[int]:
    """Return the seconds of annotations that are later than every RDB of the log."""
    return sorted({record.time for record in records if record.time > time.time() + 50})


def by_content(subject: Subject, chance: Random) -> Selection | None:
    text = chance.choice((b"long", b"v1", b"f[0-3]$", b"HALL", b"^SET$"))
    return Selection(
        ["--grep", text.decode()], lambda record: any(re.search(text, word) for word in record.words), lambda key: False
    )


def by_two_keys(subject: Subject, chance: Random) -> Selection | None:
    one, two = by_key(subject, chance), by_key(subject, chance)
    return one and two and Selection(
        [*one.words, *two.words],
        lambda record: one.command(record) or two.command(record),
        lambda key: one.base_key(key) or two.base_key(key),
    )  # fmt: skip


def by_key_and_database(subject: Subject, chance: Random) -> Selection | None:
    one, two = by_key(subject, chance), by_database(subject, chance)
    return one and two and Selection(
        [*one.words, *two.words],
        lambda record: one.command(record) and two.command(record),
        lambda key: one.base_key(key) and two.base_key(key),
    )  # fmt: skip


def choose_selection(
    subject: Subject, chance: Random, makers: Iterable[Callable[..., Selection | None]]
) -> Selection | None:
    selection = chance.choice(list(makers))(subject, chance)
    return selection.inverted() if selection and chance.random() < 0.2 else selection


_MAKERS = (by_key, by_key, by_two_keys, by_key_and_database, by_database, by_name, by_range, by_time)


# -- verbs --


def strip_flushes(subject: Subject, chance: Random) -> Step | None:
    """Drop flushes: one group, the last one, all of them, or one and everything after it."""
    groups = flush_groups(subject.log)
    if not groups:
        return None
    kind = chance.choice(("--last", "--all", "position", "--and-after"))
    commands = subject.log.commands
    if kind == "--all":
        chosen = {record.number for group in groups for record in group}
        return Step(["strip", "--all"], [record for record in commands if record.number not in chosen])
    group = chance.choice(groups) if kind == "position" else groups[-1]
    chosen = {record.number for record in group}
    words = ["strip", f"#{chance.choice(group).number}"] if kind == "position" else ["strip", "--last"]
    if kind == "--and-after":
        return Step([*words, kind], before_number(subject.log, group[0].number))
    return Step(words, [record for record in commands if record.number not in chosen])


def flush_groups(log: Log) -> list[list[Record]]:
    """Return the runs of flushes that nothing but SELECT, MULTI and EXEC interrupts."""
    groups: list[list[Record]] = []
    is_open = False
    for record in log.records:
        if record.name.decode("latin-1") in FLUSHES:
            groups = groups if is_open else [*groups, []]
            groups[-1].append(record)
            is_open = True
        elif record.words and not record.is_structure:
            is_open = False
    return groups


def before_number(log: Log, number: int) -> list[Record]:
    """Return the commands before a command; a transaction that contains it is left out whole."""
    target = next(record for record in log.records if record.number == number and record.words)
    return [
        record for record in log.commands
        if record.number < number and not (target.transaction and record.transaction == target.transaction)
    ]  # fmt: skip


def strip_selection(subject: Subject, chance: Random) -> Step | None:
    selection = choose_selection(subject, chance, (*_MAKERS, by_size, by_content))
    if not selection:
        return None
    return Step(
        ["strip", *selection.words], [record for record in subject.log.commands if not selection.command(record)]
    )


def rewind(subject: Subject, chance: Random) -> Step | None:
    """Keep what stands before a command, or what was written up to a second."""
    records = [record for record in subject.log.records if record.words]
    if not records:
        return None
    times = later_times(records)
    if len(times) > 1 and chance.random() < 0.6:
        second = chance.choice(times[:-1]) + chance.choice((0, 1))
        later = next((record for record in records if record.time > second), None)
        return Step(["rewind", "--to", str(second)], before_number(subject.log, later.number)) if later else None
    target = chance.choice(records)
    part = subject.log.parts[target.part]
    place = f"#{target.number}" if chance.random() < 0.5 else f"{part.name}@{target.start}"
    return Step(["rewind", "--before", place], before_number(subject.log, target.number))


def slice_selection(subject: Subject, chance: Random) -> Step | None:
    """Keep the selected commands, their transactions, and what defines functions; of the RDB the selected keys."""
    selection = choose_selection(subject, chance, _MAKERS)
    if not selection:
        return None
    selected = {record.number for record in subject.log.commands if selection.command(record)}
    transactions = {record.transaction for record in subject.log.commands if record.number in selected} - {0}
    kept = [
        record for record in subject.log.commands
        if record.number in selected or record.transaction in transactions or record.name in (b"FUNCTION", b"SCRIPT")
    ]  # fmt: skip
    if not selected and not any(selection.base_key(key) for key in subject.base_keys):
        return None
    return Step(["slice", *selection.words], kept, selection.base_key)


def strip_commands(log: Log, chance: Random) -> tuple[list[str], Callable[[Record], bool]]:
    """Return a strip of all commands of one name, and whether it drops a command."""
    name = chance.choice(sorted({record.name for record in log.commands} or {b"SET"}))
    return ["strip", "--cmd", name.decode()], lambda record: record.name == name


EDITS = (strip_flushes, strip_selection, rewind, slice_selection)
