"""Accidents with whole files: manifests, bases, dumps and rewrites."""

import shutil

from tests.journeys.journey import journey
from tests.journeys.person import Person
from tests.journeys.scenarios.flushes import filled, with_string
from tests.journeys.state import Keys, fill
from tests.journeys.world import World


@journey(layouts=("multi",))
def a_missing_manifest(world: World, person: Person) -> Keys:
    """The manifest is gone: a server would begin an empty set over these files."""
    before = filled(world)
    world.shut_down()
    world.manifest.unlink()
    person.check_and_follow()
    return before


@journey(layouts=("multi",))
def a_missing_manifest_and_a_flush(world: World, person: Person) -> Keys:
    """The manifest is gone, and a FLUSHALL is in the log."""
    before = filled(world)
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    world.shut_down()
    world.manifest.unlink()
    person.check_and_follow()
    return with_string(before, b"after")


@journey(layouts=("multi",))
def garbage_in_the_manifest(world: World, person: Person) -> Keys:
    """The manifest has other bytes."""
    before = filled(world)
    world.shut_down()
    world.manifest.write_bytes(b"\x00\x01garbage\xff\n" * 3)
    person.check_and_follow()
    return before


@journey(layouts=("multi",))
def an_empty_manifest(world: World, person: Person) -> Keys:
    """The manifest has no bytes."""
    before = filled(world)
    world.shut_down()
    world.manifest.write_bytes(b"")
    person.check_and_follow()
    return before


@journey(layouts=("multi",))
def an_older_manifest(world: World, person: Person) -> Keys:
    """A backup took the manifest before a rewrite and the files after it: the manifest names files that are gone."""
    filled(world)
    older = world.manifest.read_bytes()
    fill(world.call, "new", 10)
    world.rewrite()
    world.call("SET", "after", 1)
    before = world.keys()
    world.shut_down()
    world.manifest.write_bytes(older)
    person.check_and_follow()
    return before


@journey(layouts=("multi",))
def a_missing_base(world: World, person: Person) -> Keys:
    """The base is gone: what is in the incremental file can be kept."""
    world.start()
    world.rewrite()
    fill(world.call, "user", 25)
    before = world.keys()
    world.shut_down()
    world.base_file.unlink()
    person.check_and_follow()
    return before


@journey(layouts=("multi",))
def the_option_appendonly_over_a_dump(world: World, person: Person) -> Keys:
    """A server that saved dumps is started with appendonly yes: it starts empty, and has taken new writes since."""
    world.start("no")
    fill(world.call, "user", 25)
    world.call("SAVE")
    before = world.keys()
    world.shut_down()
    world.start()
    assert not world.keys()
    world.call("SET", "user:1", "newer")
    world.call("SET", "after", 1)
    person.check_and_follow()
    return with_string(with_string(before, b"after"), b"user:1", b"newer")


@journey(layouts=("multi",), options=("--save", "3600 1"))
def a_rewrite_after_a_flush_beside_a_dump(world: World, person: Person) -> Keys:
    """FLUSHALL and a rewrite: the log has nothing left, and the dump of yesterday has the keys."""
    world.start()
    fill(world.call, "user", 25)
    world.call("SAVE")
    before = world.keys()
    shutil.copy(world.data / "dump.rdb", world.root / "kept")
    world.call("FLUSHALL")
    shutil.copy(world.root / "kept", world.data / "dump.rdb")
    world.rewrite()
    world.call("SET", "after", 1)
    person.check_and_follow()
    return with_string(before, b"after")


@journey()
def a_damaged_dump_alone(world: World, person: Person) -> Keys:
    """A server without an AOF, and its dump.rdb has a wrong byte."""
    world.start("no")
    fill(world.call, "user", 25)
    world.call("SAVE")
    before = world.keys()
    world.shut_down()
    data = (world.data / "dump.rdb").read_bytes()
    at = data.index(b"value 3 of user")
    (world.data / "dump.rdb").write_bytes(data[:at] + b"V" + data[at + 1 :])
    place = 0 if at < data.index(b"\xfe\x03") else 3
    person.check_and_follow("data/dump.rdb")
    return before | {(place, b"user:3"): (b"string", b"Value 3 of user", -1)}


@journey(layouts=("multi",), options=("--aof-disable-auto-gc", "yes"))
def a_rewrite_after_a_flush_with_history_files(world: World, person: Person) -> Keys:
    """FLUSHALL and a rewrite, on a server that keeps the files that a rewrite has replaced."""
    before = filled(world)
    world.call("FLUSHALL")
    world.rewrite()
    world.call("SET", "after", 1)
    person.check_and_follow()
    return with_string(before, b"after")


@journey(layouts=("multi",))
def a_rewrite_that_did_not_list_its_files(world: World, person: Person) -> Keys:
    """The disk was full while a rewrite finished: two incremental files, and a base that no manifest lists."""
    before = filled(world)
    world.shut_down()
    base = world.base_file
    shutil.copy(base, base.with_name(base.name.replace(".2.base", ".3.base")))
    person.run("aofdoctor check data")
    world.start()
    return before
