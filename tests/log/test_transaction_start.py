"""The MULTI of a record is found whatever the batch boundaries are, and `show` names it."""

from pathlib import Path
from random import Random

import pytest

from aofdoctor.aof.records import RecordBatch
from aofdoctor.log.context_walk import walk_part
from aofdoctor.log.transaction_start import multi_offset, transaction_before_batch
from aofdoctor.resp import encode_command
from aofdoctor.server.context.tracker import ContextTracker
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor

COMMANDS = ([b"MULTI"], [b"EXEC"], [b"SET", b"k", b"v"], [b"SELECT", b"1"])


def generated_log(random: Random) -> tuple[bytes, list[int]]:
    """A log, and for each record the offset of its MULTI, or its own offset outside of a transaction."""
    data, expected, multi = b"", [], None
    for command in random.choices(COMMANDS, [3, 2, 6, 1], k=200):
        if command == [b"MULTI"] and multi is None:
            multi = len(data)
        expected.append(len(data) if multi is None else multi)
        data += encode_command(command)
        if command == [b"EXEC"]:
            multi = None
    return data, expected


@pytest.mark.parametrize("room", [1, 2, 3, 7, 1000])
def test_the_multi_of_a_record_does_not_depend_on_batches(room: int) -> None:
    for seed in range(20):
        data, expected = generated_log(Random(seed))
        tracker, offsets = ContextTracker(columns=True, room=room), []
        for batch in walk_part(BytesSource(data), tracker, room=room):
            assert isinstance(batch, RecordBatch)
            open_before = transaction_before_batch(tracker)
            tracker.track(batch)
            offsets += [multi_offset(batch, tracker.tx, i, open_before) for i in range(batch.count)]
        assert offsets == expected


def test_show_names_the_multi_of_an_earlier_transaction(tmp_path: Path) -> None:
    path = tmp_path / "appendonly.aof"
    transaction = encode_command([b"MULTI"]) + encode_command([b"SET", b"k", b"v"]) + encode_command([b"EXEC"])
    path.write_bytes(encode_command([b"SET", b"a", b"b"]) + 2 * transaction)
    multi = len(encode_command([b"SET", b"a", b"b"]))
    assert f"in transaction 1 (MULTI at {multi})" in aofdoctor("show", path, "#3").out
    assert f"in transaction 2 (MULTI at {multi + len(transaction)})" in aofdoctor("show", path, "#6").out
