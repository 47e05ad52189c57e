"""Circumstances of the host: supervisors, passwords, clusters, names, users, full disks."""

import os
from pathlib import Path

from tests.journeys.journey import journey
from tests.journeys.person import Person
from tests.journeys.scenarios.flushes import IN_PLACE, filled, with_string
from tests.journeys.state import Keys
from tests.journeys.world import World


def _flush(world: World, is_cluster: bool = False) -> Keys:
    before = filled(world, is_cluster)
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    return with_string(before, b"after")


@journey("", IN_PLACE)
def a_supervised_server(world: World, person: Person) -> Keys:
    """What started the server starts it again after SHUTDOWN, unless the person stops that as the step says."""
    world.is_supervised = True
    expected = _flush(world)
    person.check_and_follow()
    return expected


@journey("", IN_PLACE, options=("--cluster-enabled", "yes"))
def a_cluster_node(world: World, person: Person) -> Keys:
    """A node of a cluster, which has one database and listens on a second port."""
    world.start()
    for start in range(0, 16384, 1024):
        world.call("CLUSTER", "ADDSLOTS", *range(start, start + 1024))
    world.wait_for_cluster()
    world.shut_down()
    expected = _flush(world, is_cluster=True)
    person.check_and_follow()
    world.wait_for_cluster()
    return expected


@journey("", options=("--requirepass", "se'cret"))
def a_server_with_a_password(world: World, person: Person) -> Keys:
    """The password comes from REDISCLI_AUTH."""
    world.password = "se'cret"
    expected = _flush(world)
    person.check_and_follow()
    return expected


@journey("", options=("--port", "0"))
def a_server_on_a_unix_socket_alone(world: World, person: Person) -> Keys:
    """A server without a port: a printed redis-cli without one would reach another server."""
    expected = _flush(world)
    person.check_and_follow()
    return expected


@journey("", IN_PLACE, folder="my data, it's $HOME")
def a_directory_with_spaces_and_quotes(world: World, person: Person) -> Keys:
    """A name that a shell would take apart."""
    expected = _flush(world)
    person.check_and_follow()
    return expected


@journey("", IN_PLACE, folder="-data")
def a_directory_with_a_name_like_an_option(world: World, person: Person) -> Keys:
    """A name that begins with a hyphen; the person types it after --."""
    expected = _flush(world)
    person.follow(person.run("aofdoctor check -- -data"))
    return expected


@journey("", IN_PLACE, layouts=("multi",))
def check_of_the_inner_directory(world: World, person: Person) -> Keys:
    """The person names appendonlydir instead of the data directory."""
    expected = _flush(world)
    person.check_and_follow("data/appendonlydir")
    return expected


@journey("", IN_PLACE, layouts=("multi",))
def check_of_the_manifest(world: World, person: Person) -> Keys:
    """The person names the manifest."""
    expected = _flush(world)
    person.check_and_follow(str(world.manifest))
    return expected


@journey("", IN_PLACE)
def check_of_the_working_directory(world: World, person: Person) -> Keys:
    """The person is in the data directory, and names it as a dot."""
    expected = _flush(world)
    person.folder = world.data
    person.check_and_follow(".")
    return expected


@journey()
def no_terminal_and_no_yes(world: World, person: Person) -> Keys:
    """A script edits in place: without -y nothing is written, with it everything is done."""
    expected = _flush(world)
    world.shut_down()
    person.has_terminal = False
    content = world.last_file.read_bytes()
    output = person.run("aofdoctor strip data --in-place", (2,))
    if "-y" not in output or world.last_file.read_bytes() != content:
        person.fail("without a terminal: the message lacks -y, or something was written")
    person.follow(person.run("aofdoctor strip data --in-place -y"))
    return expected


@journey()
def a_file_that_may_not_grow(world: World, person: Person) -> Keys:
    """No room for the copy: the error leaves nothing behind, and the edit in place needs no room."""
    expected = _flush(world)
    world.shut_down()
    before = _names(world.root)
    output = person.run("ulimit -f 1; aofdoctor strip data -o data.rescued", (3,))
    if _names(world.root) != before or "Traceback" in output:
        person.fail("the failed copy has left files, or a traceback")
    person.prefers = (IN_PLACE,)
    person.check_and_follow()
    return expected


@journey()
def undo_of_an_edit_in_place(world: World, person: Person) -> Keys:
    """The edit in place was an error, and is taken back."""
    filled(world)
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    world.shut_down()
    output = person.run("aofdoctor strip data --in-place")
    undo = next(line.strip() for line in output.splitlines() if "aofdoctor undo" in line)
    person.run(undo.removesuffix(" takes it back"))
    world.start()
    return with_string({}, b"after")


def _names(folder: Path) -> set[str]:
    return {os.path.join(place, name) for place, _, names in os.walk(folder) for name in names}
