"""Outputs that are a part of the data: slices and patches, loaded into a running server."""

import shutil

from tests.journeys.journey import journey
from tests.journeys.person import Person
from tests.journeys.scenarios.flushes import filled, with_string
from tests.journeys.state import Keys, fill
from tests.journeys.world import World


def _start_again(world: World) -> None:
    """Put the files aside, and start an empty server that already has taken one write."""
    shutil.move(world.data, world.root / "evidence")
    world.data.mkdir()
    world.start()
    world.call("SET", "other", 1)


@journey()
def a_slice_into_a_running_server(world: World, person: Person) -> Keys:
    """Somebody needs the keys of one namespace back, in a server that goes on."""
    before = filled(world)
    world.shut_down()
    _start_again(world)
    person.follow(person.run("aofdoctor slice evidence --key 'user:*' -o part"))
    wanted = {place: value for place, value in before.items() if place[1].startswith(b"user:")}
    return with_string(wanted, b"other")


@journey()
def a_slice_of_the_base_into_a_running_server(world: World, person: Person) -> Keys:
    """The wanted keys are in an RDB, which redis-cli cannot send."""
    before = filled(world)
    world.shut_down()
    _start_again(world)
    person.follow(person.run("aofdoctor slice evidence --key 'old:*' --db 3 -o part"))
    wanted = {place: value for place, value in before.items() if place[0] == 3 and place[1].startswith(b"old:")}
    return with_string(wanted, b"other")


@journey()
def a_patch_into_a_restored_backup(world: World, person: Person) -> Keys:
    """A backup was restored; what the broken server had since comes from a patch."""
    filled(world)
    world.shut_down()
    shutil.copytree(world.data, world.root / "backup")
    world.start()
    fill(world.call, "late", 10)
    expected = world.keys()
    world.shut_down()
    shutil.move(world.data, world.root / "broken")
    shutil.copytree(world.root / "backup", world.data)
    world.start()
    person.follow(person.run("aofdoctor diff backup broken --patch missing.aof", (1,)))
    return expected
