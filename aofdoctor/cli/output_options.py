"""The options that say what is to become of a plan: shown, saved, written to a copy, or in place."""

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
    """What is to become of a plan: written to `output`, `in_place`, saved as `plan`, or only shown."""

    output: str | None = None
    in_place: bool = False
    plan: str | None = None
    prove: bool = False
    hash: bool = False
    force_in_use: bool = False
    yes: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        """Raise BadSelection for options that do not go together."""
        if self.in_place and self.output:
            raise InvalidSelection("-o and --in-place exclude each other")
        if self.output and self.plan:
            raise InvalidSelection("-o writes the copy, --plan saves how to: one of them")
        if self.in_place and self.plan:
            raise InvalidSelection("--plan saves how to: apply --in-place carries it out")
        if (self.prove or self.hash) and not self.writes:
            raise InvalidSelection("--prove and --hash go with -o and --in-place")
        if self.force_in_use and not self.in_place:
            raise InvalidSelection("--force-in-use goes with --in-place")

    @property
    def writes(self) -> bool:
        """True if an AOF is written."""
        return bool(self.output) or self.in_place


_OUTPUT_OPTIONS: dict[str, tuple[Any, Any]] = {
    "output": (options.OutputOption, None), "in_place": (_InPlaceOption, False), "plan": (options.SavePlanOption, None),
    "prove": (options.ProveOption, False), "hash_": (options.HashOption, False), "force_in_use": (_ForceOption, False),
    "yes": (options.YesOption, False), "json": (options.JsonOption, False),
}  # fmt: skip


def with_output_options(verb: Callable[..., None], without: tuple[str, ...] = ()) -> Callable[..., None]:
    """Give a verb that edits these options; it gets what they say as one value, `wish`."""
    table = {name: row for name, row in _OUTPUT_OPTIONS.items() if name not in without}
    return options.add_options(verb, "output_options", table, _build_output_options)


def _build_output_options(hash_: bool, **values: Any) -> OutputOptions:
    return OutputOptions(hash=hash_, **values)
