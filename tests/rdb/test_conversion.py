"""What exporting and rewriting an RDB share: shifted expiries stay within the bounds of each place."""

from hypothesis import given
from hypothesis import strategies as st

from aofdoctor.rdb.conversion import LOSSES_NAMED_MAX, ConversionReport, clamp_expiry, library_name
from aofdoctor.server.expiry_arguments import shift_expiry

INT64_MAX = (1 << 63) - 1
times = st.one_of(st.integers(-(1 << 64), 1 << 64), st.sampled_from([0, 1, INT64_MAX, INT64_MAX // 1000]))


@given(times)
def test_a_shifted_expiry_stays_within_the_bounds_of_its_place(time: int) -> None:
    assert clamp_expiry(time) == min(max(1, time), INT64_MAX)  # a field of a hash
    assert clamp_expiry(time, minimum=0) == min(max(0, time), INT64_MAX)  # the opcode of a key
    assert clamp_expiry(time, 1000) == min(INT64_MAX // 1000, max(1, time))  # an argument in seconds


def test_expiries_of_commands_are_shifted_to_the_bounds_at_most() -> None:
    assert shift_expiry([b"PEXPIREAT", b"k", b"5"], -10) == [b"PEXPIREAT", b"k", b"1"]
    assert shift_expiry([b"EXPIREAT", b"k", b"9" * 18], 1000) == [b"EXPIREAT", b"k", b"%d" % (INT64_MAX // 1000)]
    assert shift_expiry([b"SET", b"k", b"v", b"PXAT", b"%d" % INT64_MAX], 1)[-1] == b"%d" % INT64_MAX


def test_a_report_names_the_first_losses_and_counts_the_rest() -> None:
    report = ConversionReport()
    for number in range(LOSSES_NAMED_MAX + 5):
        report.record_loss(-1, b"k%d" % number, "string", "reason")
    assert (len(report.losses), report.loss_count) == (LOSSES_NAMED_MAX, LOSSES_NAMED_MAX + 5)
    assert report.losses[0] == (0, b"k0", "string", "reason")


def test_the_name_of_a_library_is_in_the_first_line_of_its_code() -> None:
    assert library_name(b"#!lua name=lib\nredis.register_function('f', f)") == b"lib"
    assert library_name(b"return 1\n#!lua name=lib") == library_name(b"") == b""
