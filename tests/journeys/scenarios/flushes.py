"""Accidents with FLUSHALL and FLUSHDB, and other losses that are commands."""

from tests.journeys.journey import journey
from tests.journeys.person import Person
from tests.journeys.state import Keys, fill
from tests.journeys.world import World, Writer

IN_PLACE = "where it stands"


def filled(world: World, is_cluster: bool = False) -> Keys:
    """Start a server, write a dataset, and return it; half of it is in the base."""
    world.start()
    fill(world.call, "old", 15, is_cluster)
    world.rewrite()
    fill(world.call, "user", 25, is_cluster)
    return world.keys()


def with_string(keys: Keys, name: bytes, value: bytes = b"1") -> Keys:
    """Return keys and one string more in database 0."""
    return keys | {(0, name): (b"string", value, -1)}


@journey("", IN_PLACE)
def flush_on_a_stopped_server(world: World, person: Person) -> Keys:
    """FLUSHALL, one more write, and the server is stopped before anybody looks."""
    before = filled(world)
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    world.shut_down()
    person.check_and_follow()
    return with_string(before, b"after")


@journey("", IN_PLACE)
def flush_on_a_running_server(world: World, person: Person) -> Keys:
    """FLUSHALL on a server that still runs, without any client."""
    before = filled(world)
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    person.check_and_follow()
    return with_string(before, b"after")


@journey("", IN_PLACE)
def flush_while_a_client_writes(world: World, person: Person) -> Keys:
    """A client goes on writing until the server is stopped: none of its writes may be lost."""
    before = filled(world)
    world.call("FLUSHALL")
    world.writer = Writer(world)
    person.check_and_follow()
    return before | world.writer.keys()


@journey()
def flush_and_a_copy_before_the_server_is_stopped(world: World, person: Person) -> Keys:
    """Somebody makes the copy at once, and follows its steps: they have to account for the later writes."""
    before = filled(world)
    world.call("FLUSHALL")
    world.writer = Writer(world)
    person.follow(person.run("aofdoctor strip data -o rescued"))
    return before | world.writer.keys()


@journey()
def flushdb_of_one_database(world: World, person: Person) -> Keys:
    """FLUSHDB of database 3."""
    before = filled(world)
    world.call("SELECT", 3)
    world.call("FLUSHDB")
    world.call("SELECT", 0)
    world.call("SET", "after", 1)
    person.check_and_follow()
    return with_string(before, b"after")


@journey("", IN_PLACE)
def flush_inside_a_transaction(world: World, person: Person) -> Keys:
    """MULTI, SET, FLUSHALL, SET, EXEC."""
    before = filled(world)
    for words in (("MULTI",), ("SET", "one", 1), ("FLUSHALL",), ("SET", "two", 1), ("EXEC",)):
        world.call(*words)
    person.check_and_follow()
    return with_string(with_string(before, b"one"), b"two")


@journey()
def flush_in_a_script(world: World, person: Person) -> Keys:
    """A script calls FLUSHALL."""
    before = filled(world)
    world.call("EVAL", "redis.call('set', 'one', '1') redis.call('flushall') redis.call('set', 'two', '1')", 0)
    person.check_and_follow()
    return with_string(with_string(before, b"one"), b"two")


@journey("all of them", "all of them where they stand")
def two_flushes_of_which_both_were_accidents(world: World, person: Person) -> Keys:
    """Data, FLUSHALL, more data, FLUSHALL."""
    before = filled(world)
    world.call("FLUSHALL")
    fill(world.call, "second", 10)
    second = world.keys()
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    person.check_and_follow()
    return with_string(before | second, b"after")


@journey()
def two_flushes_of_which_the_last_was_an_accident(world: World, person: Person) -> Keys:
    """A FLUSHALL that was intended, data, and one that was not."""
    filled(world)
    world.call("FLUSHALL")
    fill(world.call, "second", 10)
    second = world.keys()
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    person.check_and_follow()
    return with_string(second, b"after")


@journey("", IN_PLACE)
def a_second_accident_after_a_rescue(world: World, person: Person) -> Keys:
    """The same accident in the same directory, after the first was taken back: every name of the first is in use."""
    before = filled(world)
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    person.check_and_follow()
    world.call("FLUSHALL")
    world.call("SET", "again", 1)
    person.is_started = False
    person.check_and_follow()
    return with_string(with_string(before, b"after"), b"again")


@journey("", options=("--rename-command", "FLUSHALL", "wipe-it"))
def a_renamed_flush(world: World, person: Person) -> Keys:
    """FLUSHALL has another name on this server."""
    before = filled(world)
    world.call("wipe-it")
    world.call("SET", "after", 1)
    person.check_and_follow()
    return with_string(before, b"after")


@journey(options=("--maxmemory-policy", "allkeys-random"))
def evicted_keys(world: World, person: Person) -> Keys:
    """Somebody sets maxmemory too low, and the server evicts a namespace."""
    before = filled(world)
    for n in range(300):
        world.call("SET", f"cache:{n}", "x" * 100)
    cached = world.keys()
    for n in range(300):
        world.call("DEL", f"cache:{n}")
    assert world.keys() == before
    person.check_and_follow()
    return cached


@journey()
def nothing_but_a_deleted_namespace(world: World, person: Person) -> Keys:
    """Somebody deletes user:* with one UNLINK."""
    world.start()
    for n in range(400):
        world.call("SET", f"user:{n}", n)
    world.call("SET", "other", 1)
    before = world.keys()
    world.call("UNLINK", *(f"user:{n}" for n in range(400)))
    person.check_and_follow()
    return before
