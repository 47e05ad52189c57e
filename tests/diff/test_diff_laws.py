"""Laws of diff that hold for any two histories."""

from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.diff import differ
from aofdoctor.diff.edit_script import matching_blocks
from aofdoctor.diff.units.columns import UnitColumn
from aofdoctor.diff.units.side import Side
from tests.support.diffs import compare
from tests.support.hostile_bytes import hostile_aofs, sound_aofs
from tests.support.rdb_files import collection_key, make_rdb, module_key, select_db, string_key

small = st.sampled_from([b"a", b"b", b"c", b"%d" % 7])
values = st.lists(small, min_size=1, max_size=3, unique=True)
base_keys = st.one_of(
    st.builds(string_key, small, small, st.sampled_from([None, 5, 6])),
    st.builds(lambda key, found: collection_key(key, *found), small, values),
    st.builds(lambda key, found: collection_key(key, *found, kind=1), small, values),
    st.builds(module_key, small, small),
    st.builds(select_db, st.integers(0, 2)),
)
aux = st.lists(st.tuples(st.just(b"ctime"), st.sampled_from([b"5", b"1700000000"])), max_size=1)
bases = st.builds(lambda keys, words: make_rdb(*keys, aux=words), st.lists(base_keys, max_size=10), aux)
torn_bases = st.builds(lambda data, cut: data[: len(data) - cut], bases, st.integers(1, 40))
histories = st.one_of(
    sound_aofs, hostile_aofs, st.builds(lambda base, tail: base + tail, bases, sound_aofs), torn_bases
)


@given(histories)
def test_a_history_equals_itself(data: bytes) -> None:
    only, moved, diff = compare(data, data)
    assert (only, moved, diff.fork) == ([], [], None)


@given(histories, histories, st.sampled_from([3, 1 << 15]))
def test_swapping_the_sides_mirrors_the_result(a: bytes, b: bytes, window: int) -> None:
    saved, differ.WINDOW_UNITS = differ.WINDOW_UNITS, window
    try:
        only, moved, diff = compare(a, b)
        other, back, again = compare(b, a)
    finally:
        differ.WINDOW_UNITS = saved
    assert sorted((1 - side, data) for side, data in only) == sorted(other)
    assert sorted((y, x) for x, y in moved) == sorted(back)
    assert (diff.fork and diff.fork[::-1]) == again.fork
    assert (diff.totals.common_commands, diff.totals.may_not_be_shortest) == (
        again.totals.common_commands,
        again.totals.may_not_be_shortest,
    )


@given(st.lists(st.integers(0, 8), max_size=40), st.lists(st.integers(0, 8), max_size=40))
def test_blocks_are_common_and_in_order(a: list[int], b: list[int]) -> None:
    found, _ = matching_blocks(a, b)
    i = j = 0
    for x, y, n in found:
        assert x >= i and y >= j and a[x : x + n] == b[y : y + n]
        i, j = x + n, y + n


@given(bases | sound_aofs, sound_aofs, sound_aofs)
def test_no_command_is_omitted(front: bytes, a: bytes, b: bytes) -> None:
    """Every command of a side is common, only on that side, or moved."""
    _, _, diff = compare(front + a, front + b)
    for number, side in enumerate(diff.sides):
        alone = Side(side.aof, side.rules)
        alone.read_units(1 << 20)
        units = sum(alone.columns[UnitColumn.COMMANDS])
        assert diff.totals.only_commands[number] + diff.totals.moved_commands <= units
        assert units - diff.totals.only_commands[number] - diff.totals.moved_commands >= 0
    assert (diff.totals.only_commands == [0, 0] and not diff.totals.moved_commands) == (diff.fork is None)


@given(hostile_aofs | torn_bases, hostile_aofs | torn_bases)
def test_hostile_bytes_never_raise(a: bytes, b: bytes) -> None:
    _, _, diff = compare(a, b)
    assert diff.totals.common_commands >= 0
