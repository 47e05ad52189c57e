"""Random damage to an AOF, and the commands that repair has to keep of it.

`repair` keeps every record before the damage, and `repair --salvage` also those after it; a transaction that the
damage touches goes whole.  Damage that a server does not notice, as in a value, does not count.
"""

from dataclasses import dataclass
from random import Random

from tests.workloads.edits import Step
from tests.workloads.records import Log, Record, make_log

_MOST_BYTES = 300


@dataclass(frozen=True)
class Damage:
    """Bytes of one part that were overwritten or cut (`start` to `end` before), or inserted (`start` equals `end`)."""

    kind: str
    part: int
    start: int
    end: int
    data: bytes

    def touches(self, start: int, end: int) -> bool:
        """Whether a range of the undamaged part has lost a byte or is interrupted."""
        return start < self.end and self.start < end if self.end > self.start else start < self.start < end


def make_damage(log: Log, chance: Random) -> Damage | None:
    """Damage the commands of a random part, or the end of the last one."""
    kind = chance.choice(("cut", "flip", "NULs", "garbage", "overwritten", "overwritten with NULs", "inserted"))
    parts = [i for i, part in enumerate(log.parts) if part.records]
    if not parts:
        return None
    index = parts[-1] if kind in ("cut", "flip", "NULs", "garbage") or chance.random() < 0.6 else chance.choice(parts)
    if kind in ("cut", "flip", "NULs", "garbage") and index != len(log.parts) - 1:
        index = len(log.parts) - 1
    part = log.parts[index]
    data, head, size = part.data, part.rdb_end, len(part.data)
    if kind == "cut" and size > head:
        start = (
            chance.randrange(max(head + 1, size - _MOST_BYTES), size + 1)
            if chance.random() < 0.7
            else chance.randrange(head + 1, size + 1)
        )
        return Damage(kind, index, start, size, data[:start])
    if kind == "flip" and part.records:
        at = chance.randrange(part.records[-1].start, size)
        return Damage(
            kind, index, at, at + 1, data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        )
    if kind == "NULs":
        return Damage(kind, index, size, size, data + bytes(chance.randrange(1, 5000)))
    if kind == "garbage":
        return Damage(kind, index, size, size, data + chance.randbytes(chance.randrange(1, 400)))
    if not part.records:
        return None
    count = chance.choice((1, 2, 7, chance.randrange(1, _MOST_BYTES)))
    junk = bytes(count) if "NULs" in kind else chance.randbytes(count)
    if kind == "inserted":
        at = chance.randrange(head, size + 1)
        if chance.random() < 0.5:
            at = chance.choice(part.records).start
        return Damage(kind, index, at, at, data[:at] + junk + data[at:])
    at = chance.randrange(head, size)
    end = min(size, at + count)
    return Damage(kind, index, at, end, data[:at] + junk[: end - at] + data[end:])


def repair_step(log: Log, damage: Damage, chance: Random) -> Step:
    """Return a repair of the damaged log, by cutting or by salvage."""
    if chance.random() < 0.4:
        return Step(["repair"], _before(log, damage))
    return Step(["repair", "--salvage"], _around(log, damage))


def _before(log: Log, damage: Damage) -> list[Record]:
    lost = _touched_transactions(log, damage)
    place = (damage.part, damage.start)
    return [record for record in log.commands if (record.part, record.end) <= place and record.transaction not in lost]


def _around(log: Log, damage: Damage) -> list[Record]:
    """Return the commands outside of the damage, each in the database that the remaining SELECTs give."""
    lost = _touched_transactions(log, damage)

    def is_kept(record: Record) -> bool:
        is_touched = record.part == damage.part and damage.touches(record.start, record.end)
        return not is_touched and (record.transaction not in lost or record.name == b"SELECT")

    files = [
        (part.name, part.data[: part.rdb_end] + b"".join(record.raw for record in part.records if is_kept(record)))
        for part in log.parts
    ]
    return make_log(files).commands


def _touched_transactions(log: Log, damage: Damage) -> set[int]:
    """Return the transactions that the damage touches, or that it leaves without an end."""
    spans: dict[int, tuple[int, int]] = {}
    for record in log.parts[damage.part].records:
        if record.transaction:
            start, _ = spans.get(record.transaction, (record.start, 0))
            spans[record.transaction] = start, record.end
    return {number for number, (start, end) in spans.items() if damage.touches(start, end)}
