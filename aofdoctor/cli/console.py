"""Print lines, JSON, warnings and progress bars, with colours on a terminal.

Callers must escape every byte that came from a file with aofdoctor.text before they print it; json.dumps escapes JSON.
`rich` is imported only when colours are enabled or a progress bar is drawn.
"""

import base64
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

# Colours carry a meaning: red for lost data, yellow for damage, dim for context.
_STYLES = {
    "danger": "bold red", "damage": "yellow", "warning": "yellow", "note": "dim", "dim": "dim", "strong": "bold",
    "good": "green", "gone": "red", "changed": "magenta", "expire": "cyan",
}  # fmt: skip
Paint = Callable[[str, str], str]


class Invocation:
    """The command line of this run and the unix time of its start, for the steps that say how to repeat it."""

    args: tuple[str, ...] = ()
    started_at = 0

    @classmethod
    def begin(cls, args: list[str]) -> None:
        """Note the command line; called before any file is opened."""
        cls.args, cls.started_at = tuple(args), int(time.time())


class ColorMode:
    """Holds the value of the --color option (auto, always or never), which is set once at start."""

    when = "auto"

    @classmethod
    def is_enabled(cls) -> bool:
        """Whether standard output is coloured: by --color, or if it is a terminal and NO_COLOR is not set."""
        if cls.when != "auto":
            return cls.when == "always"
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def make_painter() -> Paint:
    """Return a function (text, style name) -> text that adds colours, or nothing if colours are disabled."""
    if not ColorMode.is_enabled():
        return lambda words, style: words
    from rich.style import Style  # imported late: it takes a third of the start-up time, and a pipe does not need it

    styles = {name: Style.parse(words) for name, words in _STYLES.items()}
    return lambda words, style: styles[style].render(words)


def terminal_width() -> int | None:
    """Return the number of columns of the terminal; None if standard output is no terminal: lines are not truncated."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_line(line: str = "") -> None:
    """Print one line on standard output; if its reader has closed the pipe, discard the line."""
    with ignore_broken_pipe():
        print(line)


@contextmanager
def ignore_broken_pipe() -> Iterator[None]:
    """Suppress BrokenPipeError in the body: once the reader of standard output is gone, discard all further output."""
    try:
        yield
    except BrokenPipeError:
        discard_stdout()


def discard_stdout() -> None:
    """Redirect standard output to the null device, including what Python flushes at exit."""
    StandardOutput.is_closed = True
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class StandardOutput:
    """Whether the reader of standard output has closed its pipe, or it could not be written."""

    is_closed = False


@contextmanager
def outcome_on_failed_output(outcome: str, is_done: bool = False) -> Iterator[None]:
    """Write the outcome of an edit to standard error if standard output cannot be written in the context.

    A closed pipe is no failure of the command, and is reported if the edit `is_done`.  Any other error of standard
    output is raised with the outcome as a note.
    """
    try:
        with ignore_broken_pipe():
            yield
            sys.stdout.flush()
    except OSError as problem:
        discard_stdout()
        problem.filename = "standard output"
        problem.add_note(outcome)
        raise
    if is_done and StandardOutput.is_closed:
        warn(f"standard output is closed: {outcome}")


def warn(line: str) -> None:
    """Print one line on standard error, after the prefix "aofdoctor: "."""
    print_error_line(f"aofdoctor: {line}")


def print_error_line(line: str) -> None:
    """Print one line on standard error without a prefix; a closed pipe is ignored."""
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr)


def print_json(value: object) -> None:
    """Print `value` as JSON on one line of standard output; bytes in it are converted by bytes_to_json."""
    with ignore_broken_pipe():
        print(json.dumps(value, default=_encode_bytes))


def bytes_to_json(data: bytes) -> str | dict[str, str]:
    """Return the JSON form of bytes: a string if they are valid UTF-8, otherwise {"base64": ...}."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _encode_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes_to_json(value)
    raise TypeError(f"{type(value).__name__} in JSON")


@contextmanager
def progress_bar(total: int, label: str) -> Iterator[Callable[[int], None] | None]:
    """Show a progress bar for `total` bytes on standard error, while the body of the with statement runs.

    The bar appears after one second.  Yields the function to call with the number of bytes done so far, or None if
    standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    bar = _ProgressBar(total, label)
    try:
        yield bar.update
    finally:
        bar.close()


class _ProgressBar:
    """A progress bar that is shown only if the work takes more than a second, and is updated ten times a second."""

    def __init__(self, total: int, label: str) -> None:
        self.total, self.label = total, label
        self.next_update_at = time.monotonic() + 1.0
        self.progress: Any = None

    def update(self, done: int) -> None:
        now = time.monotonic()
        if now < self.next_update_at:
            return
        self.next_update_at = now + 0.1
        if self.progress is None:
            self._open()
        self.progress.update(self.task, completed=done)

    def _open(self) -> None:
        from rich import progress as bars
        from rich.console import Console

        columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.DownloadColumn(),
                   bars.TransferSpeedColumn(), bars.TimeRemainingColumn())  # fmt: skip
        self.progress = bars.Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.progress.add_task(self.label, total=self.total or None)
        self.progress.start()

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()
