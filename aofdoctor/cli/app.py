"""The entry point of the aofdoctor command: the table of verbs, the global options, and the exit status of errors.

Importing this module imports no verb.  `build_app` imports only the verb that the command line names, so that the
program starts quickly; the help imports all of them.
"""

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from itertools import islice
from typing import Annotated

import typer

import aofdoctor
from aofdoctor.aof.scan import COMPILED
from aofdoctor.cli.console import (
    ColorMode,
    Invocation,
    StandardOutput,
    discard_stdout,
    ignore_broken_pipe,
    print_error_line,
    print_json,
    print_line,
    warn,
)
from aofdoctor.errors import AmbiguousRequest, AofdoctorError, InvalidSelection, NothingToDo
from aofdoctor.text import display_path

# Each verb and its folder in cli/verbs, in the order of the help.  A new verb needs a module there and an entry here.
VERBS = {
    "check": "look", "log": "look", "show": "look", "stats": "look", "strip": "rescue", "repair": "rescue",
    "rewind": "rescue", "slice": "rescue", "convert": "convert", "diff": "look", "apply": "rescue", "verify": "prove",
    "undo": "rescue", "demo": "prove",
}  # fmt: skip

_FUNCTION_NAMES = {"slice": "slice_"}  # a function named `slice` would hide Python's builtin


def build_app(args: list[str]) -> typer.Typer:
    """Build the typer application with only those verbs (subcommands) that the command line `args` needs."""
    app = typer.Typer(
        name="aofdoctor",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Forensics and emergency recovery for Redis and Valkey append-only files.",
        epilog="Exit status: 0 sound or done; 1 damage, a difference, or a server would not load it whole; 2 usage, or "
        "a choice only you can make; 3 could not; 130 interrupted.  Nothing is ever written but where you say.",
        callback=_global_options,
    )
    for verb in _verbs_to_import(args):
        module = importlib.import_module(f"aofdoctor.cli.verbs.{VERBS[verb]}.{verb}")
        function = getattr(module, _FUNCTION_NAMES.get(verb, verb))
        app.command(verb, epilog=module.EPILOG)(_with_notes_of_interrupts(function))
    return app


def _with_notes_of_interrupts(verb: Callable[..., None]) -> Callable[..., None]:
    """Make a verb print the notes of a KeyboardInterrupt, which typer turns into an exit status."""

    @functools.wraps(verb)
    def run_verb(*args: object, **options: object) -> None:
        try:
            verb(*args, **options)
        except KeyboardInterrupt as interrupt:
            if notes := _notes(interrupt):
                warn(display_path(notes))
            raise

    return run_verb


def _verbs_to_import(args: list[str]) -> list[str]:
    """Return the names of the verbs to import: the first one in `args`, none for `--version`, or all verbs."""
    if args == ["--version"]:
        return []
    verb_name = next((arg for arg in args if arg in VERBS), None)
    return [verb_name] if verb_name else list(VERBS)


def _print_version(value: bool) -> None:
    if value:
        scanner = "compiled" if COMPILED else "plain Python"
        print(f"aofdoctor {aofdoctor.__version__} ({scanner} scanner)")
        raise typer.Exit


def _global_options(
    color: Annotated[str, typer.Option("--color", metavar="WHEN", help="auto, always or never.")] = "auto",
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if color not in ("auto", "always", "never"):
        raise typer.BadParameter("auto, always or never", param_hint="--color")
    ColorMode.when = color


def main() -> None:
    """Run the aofdoctor command with the arguments of the process, and exit with its status."""
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            # KeyboardInterrupt runs the cleanup code that removes unfinished files; the default action would skip it.
            signal.signal(number, signal.default_int_handler)
    if not COMPILED:
        warn(
            "the compiled code is missing (no C compiler at installation): check, log, show, strip, repair, rewind, "
            "slice and verify work many times slower; use stats, diff and convert only for small files"
        )
    sys.exit(run(sys.argv[1:]))


def _replace_closed_streams() -> None:
    """Open the null device for every standard stream that was closed at start; Python has set those to None."""
    for stream, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, stream) is None:
            setattr(sys, stream, open(os.devnull, mode))  # noqa: SIM115 (stays open until the process ends)


def run(args: list[str]) -> int:
    """Run one aofdoctor command line and return its exit status; every error is printed here."""
    Invocation.begin(args)
    StandardOutput.is_closed = False
    try:
        args = _move_color_option_first(args)
        status = build_app(args)(args, standalone_mode=False)
        with ignore_broken_pipe():
            sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except (BrokenPipeError, SystemExit):  # click turns a BrokenPipeError into a SystemExit
        discard_stdout()
        return 0
    except NothingToDo as result:
        return _print_nothing_to_do(result, "--json" in args)
    except AofdoctorError as problem:
        status = 2 if isinstance(problem, (AmbiguousRequest, InvalidSelection)) else 3
        return _print_failure(str(problem), f"{_notes(problem)} {problem.hint}".strip(), status)
    except OSError as problem:
        file = problem.filename if isinstance(problem.filename, (str, bytes)) else ""
        where = f"{os.fsdecode(file)}: " if file else ""
        _discard_unwritten_output()
        return _print_failure(f"{where}{problem.strerror or problem}", _notes(problem), 3)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as problem:
        return _show_usage_error(problem)


def _print_nothing_to_do(result: NothingToDo, as_json: bool) -> int:
    """Print on standard output that a request changes nothing, and return its exit status."""
    if as_json:
        print_json(result.outcome or {"output": None, "changed": False, "notes": [str(result)], "receipt": None})
        return 0
    for line in str(result).splitlines():
        print_line(display_path(line))
    if result.hint:
        print_line(f"  Hint: {display_path(result.hint)}")
    return 0


def _discard_unwritten_output() -> None:
    """Discard what standard output does not take: Python would try it again at exit, and change the exit status."""
    try:
        sys.stdout.flush()
    except OSError:
        discard_stdout()


def _notes(problem: BaseException) -> str:
    """Return the notes that add_note() attached to an exception, joined to one string."""
    return " ".join(getattr(problem, "__notes__", ()))


def _move_color_option_first(args: list[str]) -> list[str]:
    """Return `args` with the option `--color` moved before the verb, because typer accepts it only there."""
    end = args.index("--") if "--" in args else len(args)
    color_args: list[str] = []
    rest: list[str] = []
    words = iter(args[:end])
    for word in words:
        if word == "--color":
            color_args += [word, *islice(words, 1)]
        else:
            (color_args if word.startswith("--color=") else rest).append(word)
    return color_args + rest + args[end:]


def _print_failure(message: str, hint: str, status: int) -> int:
    """Print an error message and its hint, if any, on standard error; return `status`."""
    warn(display_path(message))
    if hint:
        print_error_line(f"  Hint: {display_path(hint)}")
    return status


def _show_usage_error(problem: Exception) -> int:
    """Print a usage error of typer and return its exit status; re-raise any other exception, because it is a bug."""
    show = getattr(problem, "show", None)
    if show is None:
        raise problem
    show()
    return int(getattr(problem, "exit_code", 2))
