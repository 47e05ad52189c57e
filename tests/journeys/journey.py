"""The table of journeys: each is a function that makes an accident, follows the steps, and returns what should be there."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from aofdoctor.server.sandbox import ServerBinary
from tests.journeys.person import Person
from tests.journeys.state import Keys
from tests.journeys.world import World

Function = Callable[[World, Person], Keys]


@dataclass(frozen=True)
class Journey:
    """One accident and one way of following the steps.

    `layouts` are those that it can happen to: multi (a directory, since 7.0) or single.  `prefers` are words of the
    alternatives that the person chooses, `options` are added to the server's command line.
    """

    name: str
    function: Function
    layouts: Sequence[str]
    prefers: Sequence[str]
    options: Sequence[str]
    folder: str

    def fits(self, binary: ServerBinary) -> bool:
        """Whether a server writes one of the layouts."""
        return ("multi" if binary.version >= (7, 0, 0) else "single") in self.layouts

    def run(self, binary: ServerBinary) -> None:
        """Make the accident, follow the steps, and compare the keys; again after one more restart."""
        with closing(World(binary, self.folder, self.options)) as world:
            person = Person(world, self.prefers)
            expected = self.function(world, person)
            _compare(person, world.keys(), expected, "after the steps")
            world.shut_down()
            world.start(world.appendonly)
            _compare(person, world.keys(), expected, "after one more restart")


JOURNEYS: list[Journey] = []


def journey(
    *variants: str,
    layouts: Sequence[str] = ("multi", "single"),
    options: Sequence[str] = (),
    folder: str = "data",
) -> Callable[[Function], Function]:
    """Add a function to the table, once for each way of following: words of the alternatives, or "" for none."""

    def add(function: Function) -> Function:
        name = function.__name__.replace("_", "-")
        for words in variants or ("",):
            title = f"{name}:{words.replace(' ', '-')}" if words else name
            JOURNEYS.append(Journey(title, function, layouts, (words,) if words else (), options, folder))
        return function

    return add


def _compare(person: Person, found: Keys, expected: Keys, when: str) -> None:
    if found == expected:
        return
    lines = [f"{when}: {len(found)} keys, {len(expected)} expected"]
    lines += [f"  lost     db{db} {key!r}" for db, key in sorted(expected.keys() - found.keys())[:10]]
    lines += [f"  too many db{db} {key!r}" for db, key in sorted(found.keys() - expected.keys())[:10]]
    for place in sorted(found.keys() & expected.keys()):
        if found[place] != expected[place]:
            lines.append(f"  differs  {place}: {found[place]!r:.200} instead of {expected[place]!r:.200}")
    person.fail("\n".join(lines[:30]))
