"""The command line as a whole: the verbs there are, and what becomes of an error."""

import importlib
import os
import signal
import sys
from itertools import islice
from typing import Annotated

import typer

import aofdoctor
from aofdoctor.aof.scan import COMPILED
from aofdoctor.cli.console import ColorMode, discard_stdout, ignore_broken_pipe, print_error_line, warn
from aofdoctor.errors import AmbiguousRequest, AofdoctorError, InvalidSelection
from aofdoctor.text import display_path

# Each verb and its folder in cli/verbs, in the order of the help.  Only the module of the verb on the command line is
# imported, so that a start costs what that verb needs.
VERBS = {
    "check": "look", "log": "look", "show": "look", "stats": "look", "strip": "rescue", "repair": "rescue",
    "rewind": "rescue", "slice": "rescue", "convert": "convert", "diff": "look", "apply": "rescue", "verify": "prove",
    "undo": "rescue", "demo": "prove",
}  # fmt: skip

_FUNCTION_NAMES = {"slice": "slice_"}  # verbs that Python has a name of its own for


def build_app(args: list[str]) -> typer.Typer:
    """The application, with the verb that `args` name, or with all."""
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
    verb_name = next((arg for arg in args if arg in VERBS), None)
    for verb in (verb_name,) if verb_name else VERBS:
        module = importlib.import_module(f"aofdoctor.cli.verbs.{VERBS[verb]}.{verb}")
        app.command(verb, epilog=module.EPILOG)(getattr(module, _FUNCTION_NAMES.get(verb, verb)))
    return app


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
    """Run the command line and exit with its status."""
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)  # so that what was begun is cleaned up
    if not COMPILED:
        warn(
            "the compiled code is missing (no C compiler at installation): check, log, show, strip, repair, rewind, slice and "
            "verify work many times slower; use stats, diff and convert only for small files"
        )
    sys.exit(run(sys.argv[1:]))


def _replace_closed_streams() -> None:
    """A standard stream that is closed is as good as one that is empty, or that nobody reads."""
    for stream, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, stream) is None:
            setattr(sys, stream, open(os.devnull, mode))  # noqa: SIM115 (open as long as we live)


def run(args: list[str]) -> int:
    """The exit status of one command line."""
    try:
        args = _move_color_option_first(args)
        status = build_app(args)(args, standalone_mode=False)
        with ignore_broken_pipe():
            sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except (BrokenPipeError, SystemExit):  # click makes the one the other
        discard_stdout()
        return 0
    except AofdoctorError as problem:
        status = 2 if isinstance(problem, (AmbiguousRequest, InvalidSelection)) else 3
        return _print_failure(str(problem), f"{_notes(problem)} {problem.hint}".strip(), status)
    except OSError as problem:
        file = problem.filename if isinstance(problem.filename, (str, bytes)) else ""
        where = f"{os.fsdecode(file)}: " if file else ""
        return _print_failure(f"{where}{problem.strerror or problem}", _notes(problem), 3)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as problem:
        return _show_usage_error(problem)


def _notes(problem: BaseException) -> str:
    """What was said of an exception on its way here."""
    return " ".join(getattr(problem, "__notes__", ()))


def _move_color_option_first(args: list[str]) -> list[str]:
    """--color belongs to no verb, and may stand after one."""
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
    warn(display_path(message))
    if hint:
        print_error_line(f"  Hint: {display_path(hint)}")
    return status


def _show_usage_error(problem: Exception) -> int:
    """A usage error shows itself; anything else is our bug, and keeps its traceback."""
    show = getattr(problem, "show", None)
    if show is None:
        raise problem
    show()
    return int(getattr(problem, "exit_code", 2))
