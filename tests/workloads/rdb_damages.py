"""Random damage to the RDB at the head of an AOF, and what a salvage must not make of it."""

from random import Random

from tests.workloads.damages import Damage
from tests.workloads.records import Part
from tests.workloads.states import State

_HEAD, _TAIL = 9, 9  # the magic, and the end mark with the checksum
_MOST_BYTES = 40


def make_damage(part: Part, chance: Random) -> Damage:
    """Overwrite some bytes of the RDB by NULs or random bytes."""
    last = max(_HEAD + 1, part.rdb_end - _TAIL)
    at = chance.randrange(_HEAD, last)
    end = min(last, at + chance.randint(1, _MOST_BYTES))
    junk = bytes(end - at) if chance.random() < 0.5 else chance.randbytes(end - at)
    if junk == part.data[at:end]:
        junk = bytes([junk[0] ^ 1]) + junk[1:]
    return Damage("overwritten RDB", 0, at, end, junk)


def invented(before: State, after: State) -> list[str]:
    """Describe the keys that a strict salvage has and the undamaged RDB has not, if the damage does not explain them.

    One contiguous damage can change the name, the value or the expiry of a key, and the database of all that follow.
    """
    names = {key["key"] for key in before["keys"].values()}
    values = [repr((key["type"], key.get("value"))) for key in before["keys"].values()]
    strange = [
        label
        for label, key in after["keys"].items()
        if key["key"] not in names and repr((key["type"], key.get("value"))) not in values
    ]
    return [f"keys that the RDB did not have: {strange}"] if len(strange) > 1 else []
