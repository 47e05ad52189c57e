"""The command-line arguments and options that several verbs share, and the functions that parse their values.

Each option is an annotated type for a parameter of a verb's function.  `add_options` gives a verb a whole group of
options, which the function receives as one value.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from aofdoctor import text
from aofdoctor.aof.discovery import open_aof
from aofdoctor.aof.model import AOF
from aofdoctor.errors import InvalidSelection
from aofdoctor.server.command_table import command_table
from aofdoctor.server.versions import VERSIONS

_OTHER_SETS_NAMED = 3
LARGEST_COUNT = (1 << 31) - 1  # of records, neighbours or databases that an option may ask for
LARGEST_SIZE = (1 << 63) - 1  # in bytes


def _require_nonempty_name(value: str | None) -> str | None:
    """Reject an empty file name, which usually comes from an unset variable in a script."""
    if value == "":
        raise typer.BadParameter("the name is empty")
    return value


PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="A manifest, an appendonlydir, the data directory above it, one AOF file, or - for standard input.",
    ),
]
WritablePathArgument = Annotated[
    str,
    typer.Argument(metavar="PATH", help="A manifest, an appendonlydir, the data directory above it, or one AOF file."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
DatabasesOption = Annotated[
    int | None,
    typer.Option("--databases", metavar="N", min=1, max=(1 << 31) - 1, help="Judge a server with this many databases."),
]
ClusterOption = Annotated[bool, typer.Option("--cluster", help="Judge a node of a cluster.")]
CorruptTailOption = Annotated[
    int,
    typer.Option(
        "--corrupt-tail",
        metavar="BYTES",
        min=0,
        help="Judge with this value of aof-load-corrupt-tail-max-size (Redis 8.4 and later).",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        callback=_require_nonempty_name,
        help="Write the result to a new file or directory.",
    ),
]
SavePlanOption = Annotated[
    str | None,
    typer.Option("--plan", metavar="FILE", callback=_require_nonempty_name, help="Save the plan, for aofdoctor apply."),
]
ProveOption = Annotated[
    bool | None,
    typer.Option(
        "--prove/--no-prove",
        show_default=False,
        help="Load the copy in a private real server before it has its name; by default if it is below 1 GB and a "
        "server at hand loads it.",
    ),
]
HashOption = Annotated[bool, typer.Option("--hash", help="Have a sha256 of every byte in the receipt.")]
CmdOption = Annotated[list[str] | None, typer.Option("--cmd", metavar="NAME", help="Commands of this name.")]
KeyOption = Annotated[list[str] | None, typer.Option("--key", metavar="GLOB", help="Commands with such a key.")]
DbOption = Annotated[
    list[int] | None, typer.Option("--db", metavar="N", min=0, max=LARGEST_COUNT, help="Commands in this database.")
]
EffectOption = Annotated[
    list[str] | None,
    typer.Option("--effect", metavar="WHAT", help="flush, delete, expire, rename, write, script, tx, select, admin."),
]
GrepOption = Annotated[
    list[str] | None, typer.Option("--grep", metavar="REGEX", help="Commands with such an argument.")
]
MinSizeOption = Annotated[
    int, typer.Option("--min-size", metavar="BYTES", min=0, max=LARGEST_SIZE, help="Records of at least this size.")
]
FromOption = Annotated[str | None, typer.Option("--from", metavar="POSITION", help="From this record on.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="POSITION", help="Up to and with this record.")]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="TIME", help="Written at this time or later.")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Written at this time or earlier.")]
RenameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rename", metavar="NEW=COMMAND", help="Read NEW as COMMAND, as rename-command of the server has it."
    ),
]
InvertOption = Annotated[bool, typer.Option("--invert", help="The commands that are not selected.")]


# The selection options: name of the parameter -> (annotation, default).
_SELECTION_OPTIONS: dict[str, tuple[Any, Any]] = {
    "cmd": (CmdOption, None),
    "key": (KeyOption, None),
    "db": (DbOption, None),
    "effect": (EffectOption, None),
    "grep": (GrepOption, None),
    "min_size": (MinSizeOption, 0),
    "from_": (FromOption, None),
    "to": (ToOption, None),
    "since": (SinceOption, None),
    "until": (UntilOption, None),
    "invert": (InvertOption, False),
}
SelectionOptions = dict[str, Any]
NO_SELECTION: SelectionOptions = {name: default for name, (_, default) in _SELECTION_OPTIONS.items()}


def with_selection_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select commands (--cmd, --key, --since...) to the function of a verb.

    The function receives their values as the dictionary `selection_options`.
    """
    return add_options(verb, "selection_options", _SELECTION_OPTIONS, dict)


def add_options(
    verb: Callable[..., None], parameter: str, table: dict[str, tuple[Any, Any]], combine: Callable[..., Any]
) -> Callable[..., None]:
    """Add a group of command-line options to the function of a verb, which receives them as one keyword argument.

    `table` maps the parameter name of each option to (annotation, default).  The function receives
    `combine(**values)` as the argument `parameter`.  typer reads options from a signature, so the returned function
    has the verb's own parameters, without `parameter`, followed by one parameter for each option.
    """

    @functools.wraps(verb)
    def with_options(*args: Any, **keyword_args: Any) -> None:
        values = {option: keyword_args.pop(option, default) for option, (_, default) in table.items()}
        verb(*args, **{parameter: combine(**values)}, **keyword_args)

    own_parameters = [p for p in inspect.signature(verb).parameters.values() if p.name != parameter]
    option_parameters = [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for option, (annotation, default) in table.items()
    ]
    with_options.__signature__ = inspect.Signature([*own_parameters, *option_parameters])  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in [*own_parameters, *option_parameters]} | {
        "return": None
    }
    return with_options


@contextmanager
def open_path(path: str, read_errors_are_damage: bool = False, note_other_sets: bool = True) -> Iterator[AOF]:
    """Open the AOF at `path` for the body of a with statement, and close it afterwards.

    With `read_errors_are_damage`, sectors that the disk cannot read become damage; otherwise they raise an OSError.
    With `note_other_sets`, a note on standard error names other AOFs in the same data directory.
    """
    aof = open_aof(path, command_table().names.ids)
    try:
        if not read_errors_are_damage:
            aof.raise_on_read_errors()
        for other in aof.other_sets[:_OTHER_SETS_NAMED] if note_other_sets else ():
            typer.echo(f"aofdoctor: {text.display_path(str(other))} is in the same directory and is not read", err=True)
        yield aof
    finally:
        aof.close()


def parse_renames(values: list[str] | None) -> dict[str, str]:
    """Parse the values of --rename (NEW=COMMAND); return a dictionary from the new names to the commands."""
    renames: dict[str, str] = {}
    for value in values or ():
        new_name, separator, command = value.rpartition("=")
        if not separator or not new_name or not command:
            raise InvalidSelection(f"{text.display_path(value)} is not NEW=COMMAND", "for example xflush=FLUSHALL")
        renames[new_name] = command
    return renames


def parse_server_names(values: list[str] | None) -> list[str]:
    """Return the server versions in the values of --server, without duplicates; `all` means every known version."""
    names: list[str] = []
    for name in values or ():
        if name == "all":
            names += VERSIONS
        elif name.lower() in VERSIONS:
            names.append(name.lower())
        else:
            raise InvalidSelection(
                f"{text.display_path(name)} is not a server line", f"lines are {', '.join(VERSIONS)}, and all"
            )
    return list(dict.fromkeys(names))
