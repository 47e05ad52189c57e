"""Recognise a record that the server is still writing, at the end of a file that has grown since it was opened."""

from aofdoctor.damage import Damage, DamageKind
from aofdoctor.source import FileSource, Source

_UNFINISHED = (DamageKind.IN_FLIGHT, DamageKind.TORN, DamageKind.UNTERMINATED_ANNOTATION)


def is_in_flight(source: Source | None, damage: Damage) -> bool:
    """Whether the damage is the unfinished last record of a growing file, and so no damage."""
    return damage.kind in _UNFINISHED and isinstance(source, FileSource) and source.has_grown()
