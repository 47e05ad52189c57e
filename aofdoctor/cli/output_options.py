"""The output options of editing verbs: only show the plan, save it to a file, write a copy, or edit in place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from aofdoctor.cli import options
from aofdoctor.errors import InvalidSelection

_InPlaceOption = Annotated[
    bool, typer.Option("--in-place", help="In the place of the source, which is kept beside it; undo takes it back.")
]
_ForceOption = Annotated[
    bool, typer.Option("--force-in-use", help="Edit in place although the file is, or may be, in use.")
]


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """The options of an editing verb: write a copy to `output`, edit `in_place`, save the plan to the file `plan`.

    Without these three, the plan is only shown.  `prove`: load the result in a temporary server, and keep it only if
    that succeeds.  `hash`: put a SHA-256 of all bytes in the receipt file.
    """

    output: str | None = None
    in_place: bool = False
    plan: str | None = None
    prove: bool | None = None
    hash: bool = False
    force_in_use: bool = False
    yes: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidSelection for options that exclude each other."""
        if self.in_place and self.output:
            raise InvalidSelection("-o and --in-place exclude each other")
        if self.output and self.plan:
            raise InvalidSelection("-o writes the copy, --plan saves how to: one of them")
        if self.in_place and self.plan:
            raise InvalidSelection("--plan saves how to: apply --in-place carries it out")
        if (self.prove is not None or self.hash) and not self.writes:
            raise InvalidSelection("--prove and --hash go with -o and --in-place")
        if self.force_in_use and not self.in_place:
            raise InvalidSelection("--force-in-use goes with --in-place")

    @property
    def writes(self) -> bool:
        """Whether these options make the verb write an AOF, as a copy or in place, instead of only showing the plan."""
        return bool(self.output) or self.in_place


_OUTPUT_OPTIONS: dict[str, tuple[Any, Any]] = {
    "output": (options.OutputOption, None), "in_place": (_InPlaceOption, False), "plan": (options.SavePlanOption, None),
    "prove": (options.ProveOption, None), "hash_": (options.HashOption, False), "force_in_use": (_ForceOption, False),
    "yes": (options.YesOption, False), "json": (options.JsonOption, False),
}  # fmt: skip


def with_output_options(verb: Callable[..., None], without: tuple[str, ...] = ()) -> Callable[..., None]:
    """Add the output options (-o, --in-place, --plan...) to the function of an editing verb.

    The function receives them as one `OutputOptions`, the argument `output_options`.  `without` are the parameter
    names of options that the verb does not have.
    """
    table = {name: row for name, row in _OUTPUT_OPTIONS.items() if name not in without}
    return options.add_options(verb, "output_options", table, _build_output_options)


def _build_output_options(hash_: bool, **values: Any) -> OutputOptions:
    return OutputOptions(hash=hash_, **values)
