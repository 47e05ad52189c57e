"""Interrupt regular expressions that take too long on one record.

A backtracking expression such as (a+)+$ can take exponential time on a value that somebody chose.  Python's matcher
looks for signals while it works, so a timer can interrupt it.  The timer runs for a batch of records and only compares
the number of the current record with the number at its last tick: a record costs one addition.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from aofdoctor.errors import InvalidSelection

SECONDS_MAX = 2.0  # processor time for one record
_TICKS = 4  # in SECONDS_MAX


class MatchTimeout(InvalidSelection):
    """A pattern of --grep takes too long on one record; `place` says where the record is."""

    def __init__(self, place: str = "") -> None:
        super().__init__(
            f"--grep needs more than {SECONDS_MAX:g} seconds for one record{place}, and was stopped",
            "avoid repetition inside repetition, as in (a+)+: a+ finds the same",
        )


class RecordLimit:
    """Counts records, and raises MatchTimeout if a search takes too long on one of them."""

    def __init__(self) -> None:
        self.records = 0
        self._last_records = -1
        self._ticks = 0

    def tick(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal of the timer: raise MatchTimeout if the record is the same as _TICKS ticks before."""
        self._ticks = self._ticks + 1 if self.records == self._last_records else 0
        self._last_records = self.records
        if self._ticks >= _TICKS:
            raise MatchTimeout


@contextmanager
def limited_matching(is_needed: bool) -> Iterator[RecordLimit]:
    """Limit the time of searches in the context; the caller adds 1 to `records` before each record.

    Without need, or outside of the main thread, where Python handles no signals, nothing is limited.
    """
    limit = RecordLimit()
    if not is_needed or threading.current_thread() is not threading.main_thread():
        yield limit
        return
    previous = signal.signal(signal.SIGVTALRM, limit.tick)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_MAX / _TICKS, SECONDS_MAX / _TICKS)
    try:
        yield limit
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
