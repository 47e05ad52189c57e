"""Pieces of a damaged collection are not taken for keys, and keys behind one are not taken for pieces."""

from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.damage import Damage
from aofdoctor.rdb.items import KeyItem
from aofdoctor.rdb.recovery.salvage import salvage_items
from aofdoctor.source import BytesSource
from tests.support import rdb_value_writer as w
from tests.support.rdb_files import make_rdb, select_db, string_key

FIELDS = 40
HASH, SET = 4, 2


def integer(number: int) -> bytes:
    """Encode an integer in four bytes, of which the last one is the 0 that is also the type of a string key."""
    return b"\xc2" + number.to_bytes(4, "little")


def collection(kind: int, tail_is_ascii: bool) -> bytes:
    pairs = [(w.string(b"field %d" % n), integer(70_000 + n)) for n in range(FIELDS)]
    count = FIELDS * (2 if kind == SET else 1)
    last = (w.string(b"last field"), w.string(b"a text" if tail_is_ascii else b"\x80"))
    return bytes((kind,)) + w.string(b"collection") + w.length(count) + b"".join(map(b"".join, [*pairs[:-1], last]))


def salvaged_names(data: bytes) -> list[bytes]:
    source, names = BytesSource(data), list[bytes]()
    for tile in salvage_items(source):  # A batch is valid until the next one is requested.
        if not isinstance(tile, Damage):
            names += [item.name(source) for item in tile if isinstance(item, KeyItem)]
    return names


@given(st.sampled_from([HASH, SET]), st.booleans(), st.integers(0, 20), st.integers(6, 12))
def test_the_last_element_of_a_damaged_collection_is_no_key(
    kind: int, tail_is_ascii: bool, damaged_field: int, keys: int
) -> None:
    first = [string_key(b"first:%d" % n, b"1") for n in range(4)]
    after = [string_key(b"after:%d" % n, b"2") for n in range(keys)]
    data = make_rdb(select_db(0), *first, collection(kind, tail_is_ascii), *after)
    at = data.index(w.string(b"field %d" % damaged_field))
    names = salvaged_names(data[:at] + b"\xfb" + data[at + 1 :])
    expected = [b"first:%d" % n for n in range(4)] + [b"after:%d" % n for n in range(keys)]
    assert [name for name in names if name not in expected] == []
    assert names[-keys:] == expected[-keys:]


@given(st.integers(6, 12))
def test_a_string_key_behind_damage_is_a_key(keys: int) -> None:
    """The strings of a collection end where a key begins."""
    after = [string_key(b"after:%d" % n, b"2") for n in range(keys)]
    data = make_rdb(select_db(0), collection(HASH, True), *after)
    at = data.index(w.string(b"field 5"))
    assert salvaged_names(data[:at] + b"\xfb" + data[at + 1 :]) == [b"after:%d" % n for n in range(keys)]
