"""Accidents that damage bytes: torn tails, torn transactions, changed and missing bytes; with a flush or without."""

import os

from aofdoctor.resp import encode_command
from tests.journeys.journey import journey
from tests.journeys.person import Person
from tests.journeys.scenarios.flushes import IN_PLACE, filled, with_string
from tests.journeys.state import Keys
from tests.journeys.world import World

_TORN = b"*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$900\r\nbegi"


def _append(world: World, data: bytes) -> None:
    with world.last_file.open("ab") as file:
        file.write(data)


def _command(*words: bytes) -> bytes:
    return encode_command(list(words))


@journey("", IN_PLACE)
def a_flush_and_a_torn_tail(world: World, person: Person) -> Keys:
    """FLUSHALL, and the power fails in the middle of a write."""
    before = filled(world)
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    world.kill()
    _append(world, _TORN)
    person.check_and_follow()
    return with_string(before, b"after")


@journey("", IN_PLACE)
def a_torn_tail(world: World, person: Person) -> Keys:
    """The power fails in the middle of a write."""
    before = filled(world)
    world.kill()
    _append(world, _TORN)
    person.check_and_follow()
    return before


@journey()
def a_torn_record_that_a_server_appended_to(world: World, person: Person) -> Keys:
    """A torn record with whole commands behind it, as after a restart that did not cut it."""
    before = filled(world)
    world.kill()
    _append(world, _TORN + _command(b"SELECT", b"0") + _command(b"SET", b"after", b"1"))
    person.check_and_follow()
    return with_string(before, b"after")


@journey()
def a_torn_transaction_before_a_restart(world: World, person: Person) -> Keys:
    """MULTI without EXEC, then the writes of the next start: a server would queue them behind the MULTI."""
    before = filled(world)
    world.kill()
    torn = _command(b"MULTI") + _command(b"SET", b"half", b"1")
    _append(world, torn + _command(b"SELECT", b"0") + _command(b"SET", b"after", b"1"))
    person.check_and_follow()
    return with_string(before, b"after")


@journey()
def a_changed_byte_in_the_log(world: World, person: Person) -> Keys:
    """One byte of a length is wrong: that command is lost, and no other."""
    before = filled(world)
    world.shut_down()
    data = world.last_file.read_bytes()
    victim = _command(b"SET", b"user:7", b"value 7 of user")
    assert data.count(victim)
    world.last_file.write_bytes(data.replace(victim, victim.replace(b"$15", b"$\xb15"), 1))
    person.check_and_follow()
    del before[0, b"user:7"]
    return before


@journey()
def a_flush_and_a_changed_byte(world: World, person: Person) -> Keys:
    """FLUSHALL, and one byte of a length is wrong."""
    before = filled(world)
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    world.shut_down()
    data = world.last_file.read_bytes()
    victim = _command(b"SET", b"user:7", b"value 7 of user")
    world.last_file.write_bytes(data.replace(victim, victim.replace(b"$15", b"$\xb15"), 1))
    person.check_and_follow()
    del before[0, b"user:7"]
    return with_string(before, b"after")


@journey(layouts=("multi",))
def a_changed_byte_in_the_base(world: World, person: Person) -> Keys:
    """One bit of the base is wrong, in a value: the value is changed, and no key is lost."""
    before = filled(world)
    world.shut_down()
    data = world.base_file.read_bytes()
    at = data.index(b"value 3 of old")
    world.base_file.write_bytes(data[:at] + b"V" + data[at + 1 :])
    person.check_and_follow()
    place = 0 if data.index(b"old:3") < data.index(b"\xfe\x03") else 3
    return before | {(place, b"old:3"): (b"string", b"Value 3 of old", -1)}


@journey(layouts=("multi",))
def a_flush_and_a_changed_byte_in_the_base(world: World, person: Person) -> Keys:
    """FLUSHALL, and one bit of the base is wrong."""
    before = filled(world)
    world.call("FLUSHALL")
    world.call("SET", "after", 1)
    world.shut_down()
    data = world.base_file.read_bytes()
    at = data.index(b"value 3 of old")
    world.base_file.write_bytes(data[:at] + b"V" + data[at + 1 :])
    person.check_and_follow()
    place = 0 if at < data.index(b"\xfe\x03") else 3
    return with_string(before, b"after") | {(place, b"old:3"): (b"string", b"Value 3 of old", -1)}


@journey()
def nuls_at_the_end(world: World, person: Person) -> Keys:
    """The file system gives a file its new size before it has the bytes: NULs at the end."""
    before = filled(world)
    world.kill()
    _append(world, bytes(3000))
    person.check_and_follow()
    return before


@journey()
def nuls_and_later_writes(world: World, person: Person) -> Keys:
    """NULs in the middle, and whole commands behind them."""
    before = filled(world)
    world.kill()
    _append(world, bytes(3000) + _command(b"SELECT", b"0") + _command(b"SET", b"after", b"1"))
    person.check_and_follow()
    return with_string(before, b"after")


@journey(layouts=("multi",))
def a_torn_file_that_is_not_the_last(world: World, person: Person) -> Keys:
    """A rewrite did not finish, and the older of two incremental files is torn: a server refuses the set."""
    before = filled(world)
    world.kill()
    _append(world, _TORN)
    older = world.last_file
    newer = older.with_name(older.name.replace(".2.incr", ".3.incr"))
    assert newer != older
    newer.write_bytes(_command(b"SELECT", b"0") + _command(b"SET", b"after", b"1"))
    with world.manifest.open("a") as file:
        file.write(f"file {newer.name} seq 3 type i\n")
    person.check_and_follow()
    return with_string(before, b"after")


@journey()
def damage_that_is_cut(world: World, person: Person) -> Keys:
    """Somebody runs repair without --salvage, which cuts at the damage, and follows its steps."""
    before = filled(world)
    size = os.path.getsize(world.last_file)
    world.call("SET", "lost", 1)
    world.shut_down()
    with world.last_file.open("r+b") as file:
        file.seek(size)
        file.write(b"#$%&")
    person.follow(person.run("aofdoctor repair data -o cut"))
    return before
