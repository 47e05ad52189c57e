"""Values to text and JSON; the one place that prints.

Every byte that came from a file has been through text.py before it gets here,
or is escaped by JSON.
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

# Colour only where it says something: red for data gone, yellow for damage, dim for context.
_STYLES = {
    "danger": "bold red", "damage": "yellow", "warning": "yellow", "note": "dim", "dim": "dim", "strong": "bold",
    "good": "green", "gone": "red", "changed": "magenta", "expire": "cyan",
}  # fmt: skip
Paint = Callable[[str, str], str]


class ColorMode:
    """--color: auto, always or never; set once by the app."""

    when = "auto"

    @classmethod
    def is_enabled(cls) -> bool:
        """True if what is printed now is to be coloured."""
        if cls.when != "auto":
            return cls.when == "always"
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def make_painter() -> Paint:
    """A function (words, style) that colours words where colour is wanted."""
    if not ColorMode.is_enabled():
        return lambda words, style: words
    from rich.style import Style  # a third of the start-up, and a pipe needs none of it

    styles = {name: Style.parse(words) for name, words in _STYLES.items()}
    return lambda words, style: styles[style].render(words)


def terminal_width() -> int | None:
    """The columns of the terminal; None for a pipe, where nothing is cut off."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_line(line: str = "") -> None:
    """One line for people."""
    with ignore_broken_pipe():
        print(line)


@contextmanager
def ignore_broken_pipe() -> Iterator[None]:
    """Whoever reads our output may have had enough: what we do goes on without saying more."""
    try:
        yield
    except BrokenPipeError:
        discard_stdout()


def discard_stdout() -> None:
    """Send standard output nowhere, what is still to be written at exit too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(line: str) -> None:
    """One line on standard error."""
    print_error_line(f"aofdoctor: {line}")


def print_error_line(line: str) -> None:
    """One more line on standard error; that nobody reads it changes nothing of what is done."""
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr)


def print_json(value: object) -> None:
    """One JSON object on one line."""
    with ignore_broken_pipe():
        print(json.dumps(value, default=_encode_bytes))


def bytes_to_json(data: bytes) -> str | dict[str, str]:
    """Bytes as text where they are UTF-8, else as base64."""
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
    """A bar on standard error, only on a terminal and only past the first second."""
    if not sys.stderr.isatty():
        yield None
        return
    bar = _ProgressBar(total, label)
    try:
        yield bar.update
    finally:
        bar.close()


class _ProgressBar:
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
