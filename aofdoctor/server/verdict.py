"""Verdicts: predictions of what a server version does with an AOF, and of the harm that its own truncation does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from aofdoctor.server.versions import ServerVersion


class Outcome(StrEnum):
    """What happens when a server loads an AOF: it loads all, truncates, refuses ...; the value is the word in JSON."""

    LOADS = "loads"
    TRUNCATES = "truncates"
    REFUSES = "refuses"
    UNDEFINED = "undefined"
    STARTS_EMPTY = "starts-empty"
    NOT_APPLICABLE = "not-applicable"
    REPLAY_ERRORS = "replay-errors"  # the server starts, and some commands fail without an effect


class TruncationHazard(StrEnum):
    """A harmful side effect of the truncation that a server performs with aof-load-truncated yes."""

    OPEN_MULTI_SWALLOWS = "open-multi-swallows"  # a MULTI stays open: every later write is queued in it
    CUT_LOSES_PREAMBLE = "cut-loses-preamble"  # the file is truncated to 0, and the RDB preamble is lost
    CUT_NOT_LAST = "cut-not-last"  # a file before the last is truncated: the next start loads with a gap


@dataclass(frozen=True, slots=True)
class Verdict:
    """The prediction of how a server version loads an AOF, for one value of aof-load-truncated.

    `offset` is the size of the file `part` after truncation, or the offset in it of the refusal.  If the version only
    lacks a command or an RDB version, `with_support` is the prediction for a server that has it, for example from a
    module.  `corrupt_tail_cut` is the size to which aof-load-corrupt-tail-max-size would cut `part`, if it could.
    """

    server: str
    load_truncated: bool
    outcome: Outcome
    part: str = ""
    offset: int | None = None
    reason: str = ""
    hazards: tuple[TruncationHazard, ...] = ()
    with_support: "Verdict | None" = None
    corrupt_tail_cut: int | None = None


@dataclass(frozen=True, slots=True)
class LoadStop:
    """Why a server version stops loading an AOF file, at `offset` in the file `part`.

    `cut` is set if the file ends too early: the size to which the server truncates it.  `corrupt_tail_cut` is set for a
    format error in a version that has aof-load-corrupt-tail-max-size: the size to which the option truncates the file,
    if the `corrupt_tail_size` bytes that it removes are fewer than its value.
    """

    outcome: Outcome
    part: str
    offset: int
    reason: str
    cut: int | None = None
    hazards: tuple[TruncationHazard, ...] = ()
    corrupt_tail_cut: int | None = None
    corrupt_tail_size: int = 0


def verdicts(
    version: ServerVersion, stop: LoadStop | None, last: bool, lacking: LoadStop | None = None, corrupt_tail: int = 0
) -> Iterator[Verdict]:
    """Yield the prediction for a server version with aof-load-truncated yes (the default), then with no.

    `stop` is where the version stops loading, None if it loads everything; `last`: that is in the last file.  `lacking`
    is the refusal of the first command that the version lacks, which comes before `stop`.  `corrupt_tail` is the value
    of aof-load-corrupt-tail-max-size.
    """
    for option in (True, False) if version.has_load_truncated else (False,):
        verdict = (
            Verdict(version.name, option, Outcome.LOADS)
            if stop is None
            else _verdict(version.name, option, stop, last, corrupt_tail)
        )
        yield replace(_verdict(version.name, option, lacking, last), with_support=verdict) if lacking else verdict


def _verdict(server: str, load_truncated: bool, stop: LoadStop, last: bool, corrupt_tail: int = 0) -> Verdict:
    if stop.corrupt_tail_cut is not None:
        if stop.corrupt_tail_size >= corrupt_tail:
            return Verdict(
                server, load_truncated, stop.outcome, stop.part, stop.offset, stop.reason,
                corrupt_tail_cut=stop.corrupt_tail_cut,
            )  # fmt: skip
        # With the option, the server truncates whatever the value of aof-load-truncated is.
        cutting_stop = replace(stop, cut=stop.corrupt_tail_cut, corrupt_tail_cut=None)
        return replace(_verdict(server, True, cutting_stop, last), load_truncated=load_truncated)
    if stop.cut is None:
        return Verdict(server, load_truncated, stop.outcome, stop.part, stop.offset, stop.reason)
    if not load_truncated:
        reason = f"short read: {stop.reason}"
        return Verdict(server, False, Outcome.REFUSES, stop.part, stop.offset, reason)
    if last:
        return Verdict(server, True, Outcome.TRUNCATES, stop.part, stop.cut, stop.reason, stop.hazards)
    reason = f"cut at {stop.cut}, then refused, because another part follows: {stop.reason}"
    return Verdict(server, True, Outcome.REFUSES, stop.part, stop.cut, reason, stop.hazards)
