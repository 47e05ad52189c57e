"""What a server does with an AOF, in words that JSON knows: the verdict, and the traps in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from aofdoctor.server.versions import ServerVersion


class Outcome(StrEnum):
    """What a server does with an AOF; the value is the outcome in JSON."""

    LOADS = "loads"
    TRUNCATES = "truncates"
    REFUSES = "refuses"
    UNDEFINED = "undefined"
    STARTS_EMPTY = "starts-empty"
    NOT_APPLICABLE = "not-applicable"


class TruncationHazard(StrEnum):
    """What a server's own cut would do besides."""

    OPEN_MULTI_SWALLOWS = "open-multi-swallows"  # the cut leaves a MULTI open: every later write is queued behind it
    CUT_LOSES_PREAMBLE = "cut-loses-preamble"  # the cut is at 0, before the RDB
    CUT_NOT_LAST = "cut-not-last"  # a part is cut that is not the last: the second start loads with a gap


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one line would do; `offset` is where it cuts, or what it refuses."""

    server: str
    load_truncated: bool
    outcome: Outcome
    part: str = ""
    offset: int | None = None
    reason: str = ""
    hazards: tuple[TruncationHazard, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadStop:
    """Why a line does not load a part whole; `cut` for a short read: where it would cut."""

    outcome: Outcome
    part: str
    offset: int
    reason: str
    cut: int | None = None
    hazards: tuple[TruncationHazard, ...] = ()


def verdicts(version: ServerVersion, stop: LoadStop | None, last: bool) -> Iterator[Verdict]:
    """First with aof-load-truncated yes (the default), then no; `last`: it stopped in the last part."""
    for option in (True, False) if version.has_load_truncated else (False,):
        yield (
            Verdict(version.name, option, Outcome.LOADS) if stop is None else _verdict(version.name, option, stop, last)
        )


def _verdict(server: str, load_truncated: bool, stop: LoadStop, last: bool) -> Verdict:
    if stop.cut is None:
        return Verdict(server, load_truncated, stop.outcome, stop.part, stop.offset, stop.reason)
    if not load_truncated:
        reason = f"short read: {stop.reason}"
        return Verdict(server, False, Outcome.REFUSES, stop.part, stop.offset, reason)
    if last:
        return Verdict(server, True, Outcome.TRUNCATES, stop.part, stop.cut, stop.reason, stop.hazards)
    reason = f"cut at {stop.cut}, then refused, because another part follows: {stop.reason}"
    return Verdict(server, True, Outcome.REFUSES, stop.part, stop.cut, reason, stop.hazards)
