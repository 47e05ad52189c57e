"""Laws of stats: the result depends neither on read sizes nor on the implementation."""

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from aofdoctor.log.selection import Selection, build_selection
from aofdoctor.resp import encode_command
from aofdoctor.stats.collect import StatsOptions
from aofdoctor.stats.counting import _pyheavy_hitters as plain_heavy
from aofdoctor.stats.counting import _pyrecord_counters as plain_weigh
from tests.support.hostile_bytes import hostile_aofs
from tests.support.stats import collect_bytes

OPTIONS = (
    StatsOptions(),
    StatsOptions(depth=2, every=7),
    StatsOptions(keys=False),
    StatsOptions(exact=True, delimiter=b"a"),
)


SELECTIONS = (
    Selection(),
    build_selection(cmd=["set", "nosuch"]),
    build_selection(key=["*"]),
    build_selection(effect=["write"], invert=True),
)


many = st.lists(hostile_aofs, max_size=4).map(b"".join)


@settings(max_examples=1000)
@given(
    many, st.sampled_from(SELECTIONS), st.sampled_from(OPTIONS), st.sampled_from([1000, 1001, 1 << 12]),
    st.sampled_from([1, 2, 64]), st.sampled_from([1, 7, 1 << 12]),
)  # fmt: skip
def test_the_result_does_not_depend_on_read_sizes(
    data: bytes, where: Selection, options: StatsOptions, window: int, room: int, read_size: int
) -> None:
    assert collect_bytes(data, where, options, window, room, read_size) == collect_bytes(data, where, options)


def test_the_result_for_large_keys_does_not_depend_on_read_sizes() -> None:
    keys = [b"k:" + b"x" * size + b"%d" % n for size in (0, 63, 90, 5000, 70_000) for n in range(9)]
    data = b"".join(encode_command([b"SET", keys[n * n % 45], b"v" * (n % 4000)]) for n in range(3000))
    data += b"#TS:1700000000\r\n" + encode_command([b"NoSuch" * 9, keys[-1]]) * 3
    with patch("aofdoctor.stats.collect.EXACT_KEY_BYTES", 1 << 16):
        whole = collect_bytes(data, Selection(), StatsOptions())
        assert (
            whole
            == collect_bytes(data, Selection(), StatsOptions(), 1 << 12, 7)
            == collect_bytes(data, Selection(), StatsOptions(), 100_003, 1000)
        )
    assert whole.keys is not None and not whole.keys.exact
    assert {len(written.key) for written in whole.keys.by_bytes} == {3, 66, 88}


@settings(max_examples=300)
@given(many, st.sampled_from(OPTIONS))
def test_the_fallback_counters_give_the_same_result(data: bytes, options: StatsOptions) -> None:
    compiled = collect_bytes(data, Selection(), options)
    with patch.multiple(
        "aofdoctor.stats.collect", RecordCounters=plain_weigh.RecordCounters, KeyCounters=plain_heavy.KeyCounters
    ):
        slow = collect_bytes(data, Selection(), options)
    for found in (compiled, slow):
        if found.keys:  # Rows of equal rank come in the order of a hash table.
            found.keys.by_bytes.sort(key=str)
            found.keys.by_writes.sort(key=str)
    assert slow == compiled
