"""Random damage to an AOF, and the commands that a repair has to keep of it.

`repair` keeps every record before the damage, and `repair --salvage` also those after it; a transaction that the
damage touches goes whole.  Damage that nothing shows, as in a value, does not count (`is_visible`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.workloads.edits import Step
from tests.workloads.records import Log, Part, Record, begins_with_record, is_framed, make_log

_MOST_BYTES = 300


@dataclass(frozen=True)
class Damage:
    """The bytes of a part from `start` to `end` become `junk`; only `end` equals `start` where bytes are inserted."""

    kind: str
    part: int
    start: int
    end: int
    junk: bytes = b""

    def touches(self, start: int, end: int) -> bool:
        """Whether a range of the undamaged part has lost a byte or is interrupted."""
        return start < self.end and self.start < end if self.end > self.start else start < self.start < end

    def apply(self, data: bytes) -> bytes:
        """Return the bytes of the part with this damage."""
        return data[: self.start] + self.junk + data[self.end :]


# -- making damage: (part, its index, chance) -> damage --


def cut(part: Part, index: int, chance: Random) -> Damage:
    """Cut the end, in most cases near it."""
    size, least = len(part.data), part.rdb_end + 1
    nearest = max(least, size - _MOST_BYTES) if chance.random() < 0.7 else least
    return Damage("cut", index, chance.randrange(nearest, size), size)


def flip(part: Part, index: int, chance: Random) -> Damage:
    """Flip one bit of the last record."""
    at = chance.randrange(part.records[-1].start, len(part.data))
    return Damage("flip", index, at, at + 1, bytes([part.data[at] ^ 1 << chance.randrange(8)]))


def append_nuls(part: Part, index: int, chance: Random) -> Damage:
    """Append NUL bytes, as a file system does after a crash."""
    return Damage("NULs", index, len(part.data), len(part.data), bytes(chance.randrange(1, 5000)))


def append_garbage(part: Part, index: int, chance: Random) -> Damage:
    """Append random bytes."""
    return Damage("garbage", index, len(part.data), len(part.data), chance.randbytes(chance.randrange(1, 400)))


def overwrite(part: Part, index: int, chance: Random) -> Damage:
    """Overwrite some bytes anywhere by random ones or NULs."""
    at = chance.randrange(part.rdb_end, len(part.data))
    end = min(len(part.data), at + _count(chance))
    junk = bytes(end - at) if chance.random() < 0.5 else chance.randbytes(end - at)
    return Damage("overwritten", index, at, end, junk)


def insert(part: Part, index: int, chance: Random) -> Damage:
    """Insert random bytes or NULs anywhere, or between two records."""
    at = chance.randrange(part.rdb_end, len(part.data))
    if chance.random() < 0.5:
        at = chance.choice(part.records).start
    count = _count(chance)
    return Damage("inserted", index, at, at, bytes(count) if chance.random() < 0.5 else chance.randbytes(count))


def _count(chance: Random) -> int:
    return chance.choice((1, 2, 7, chance.randrange(1, _MOST_BYTES)))


AT_THE_END = (cut, flip, append_nuls, append_garbage)
ANYWHERE = (overwrite, insert)


def make_damage(log: Log, chance: Random) -> Damage | None:
    """Damage the commands of a part; what is typical of an end happens at the end of the last part."""
    make: Callable[[Part, int, Random], Damage] = chance.choice((*AT_THE_END, *ANYWHERE, *ANYWHERE))
    last = len(log.parts) - 1
    index = last if make in AT_THE_END or chance.random() < 0.6 else chance.randrange(len(log.parts))
    return make(log.parts[index], index, chance) if log.parts and log.parts[index].records else None


def make_more(log: Log, damages: Sequence[Damage], chance: Random) -> Damage | None:
    """Make further damage elsewhere in the same part.

    Not in a transaction that is damaged already: with its MULTI and its EXEC lost, nothing shows what it contained.
    """
    index = damages[0].part
    more = chance.choice(ANYWHERE)(log.parts[index], index, chance)
    lost = set[int]().union(*(_touched_transactions(log, damage) for damage in damages))
    is_apart = all(more.end < damage.start or damage.end < more.start for damage in damages)
    return more if is_apart and not lost & _touched_transactions(log, more) else None


def apply_all(data: bytes, damages: Sequence[Damage]) -> bytes:
    """Return the bytes of a part with all of its damage."""
    for damage in sorted(damages, key=lambda d: d.start, reverse=True):
        data = damage.apply(data)
    return data


def is_visible(part: Part, damage: Damage) -> bool:
    """Whether the bytes show the damage in each record that it touches.

    An AOF has no checksums.  A changed record that is still framed is another command or value; a server executes it,
    and nothing shows what it was.  A # makes an annotation of the line that follows.  A value of lines that some bytes
    were inserted into can look like one of which a transfer has changed the line ends; salvage restores it, and calls
    it a guess.
    """
    data = damage.apply(part.data)
    if is_framed(data, part.rdb_end) or b"#" in damage.junk:
        return False
    touched = [record for record in part.records if damage.touches(record.start, record.end)]
    grown = len(damage.junk) - (damage.end - damage.start)
    if any(0 < grown <= word.count(b"\n") for record in touched for word in record.words):
        return False
    return not any(record.start <= damage.start and begins_with_record(data, record.start) for record in touched)


# -- what a repair has to keep --


def repair_step(log: Log, damages: Sequence[Damage], chance: Random) -> Step:
    """Return a repair of the damaged log, by cutting or by salvage; the damage is in one part."""
    if chance.random() < 0.4:
        return Step(["repair"], _before(log, min(damages, key=lambda d: d.start)))
    return Step(["repair", "--salvage"], around(log, damages))


def _before(log: Log, damage: Damage) -> list[Record]:
    lost = _touched_transactions(log, damage)
    place = (damage.part, damage.start)
    return [record for record in log.commands if (record.part, record.end) <= place and record.transaction not in lost]


def around(log: Log, damages: Sequence[Damage]) -> list[Record]:
    """Return the commands outside of the damage, each in the database that the remaining SELECTs give."""
    lost = set[int]().union(*(_touched_transactions(log, damage) for damage in damages))

    def is_kept(record: Record) -> bool:
        is_touched = any(d.part == record.part and d.touches(record.start, record.end) for d in damages)
        return not is_touched and (record.transaction not in lost or record.name == b"SELECT")

    files = [
        (part.name, part.data[: part.rdb_end] + b"".join(record.raw for record in part.records if is_kept(record)))
        for part in log.parts
    ]
    return make_log(files).commands


def _touched_transactions(log: Log, damage: Damage) -> set[int]:
    """Return the transactions that the damage touches or interrupts."""
    spans: dict[int, tuple[int, int]] = {}
    for record in log.parts[damage.part].records:
        if record.transaction:
            start, _ = spans.get(record.transaction, (record.start, 0))
            spans[record.transaction] = start, record.end
    return {number for number, (start, end) in spans.items() if damage.touches(start, end)}
