"""Salvage of a damaged RDB leaves out a key of which the module's name is damaged, and keeps keys of unknown modules."""

from pathlib import Path

import pytest

from aofdoctor.rdb.values.modules import _CHARACTERS
from aofdoctor.resp import encode_command
from tests.support import rdb_value_writer as w
from tests.support.base_keys import SELECT_0, key_names, make_base, salvage, text_key


def module_key(name: str, module: str) -> bytes:
    bits = 0
    for character in module:
        bits = bits << 6 | _CHARACTERS.index(character)
    return (
        b"\x07"
        + w.string(name.encode())
        + b"\x81"
        + (bits << 10 | 3).to_bytes(8, "big")
        + b"\x05"
        + w.string(b"{}")
        + b"\0"
    )


KEYS = [text_key("a", "1"), module_key("json", "ReJSON-RL"), module_key("own", "mymodul-1")]
TAIL = encode_command([b"SET", b"later", b"1"])


@pytest.mark.parametrize("damaged", ["ReJSAAAAA", "AAAAON-RL", "ReJqqqqqq"])
def test_a_key_with_a_damaged_module_name_is_left_out(damaged: str, tmp_path: Path) -> None:
    whole = make_base(SELECT_0, *KEYS, module_key("damaged", "ReJSON-RL"))
    changed = make_base(SELECT_0, *KEYS, module_key("damaged", damaged))
    path = tmp_path / "a.aof"
    path.write_bytes(changed[:-8] + whole[-8:] + TAIL)
    data, _ = salvage(path)
    assert data.endswith(TAIL)
    assert key_names(data.removesuffix(TAIL)) == [(0, b"a"), (0, b"json"), (0, b"own")]


def test_an_undamaged_rdb_may_have_any_module(tmp_path: Path) -> None:
    path = tmp_path / "a.aof"
    path.write_bytes(make_base(SELECT_0, *KEYS, module_key("near", "ReJqqqqqq")) + TAIL + b"*1")
    data, _ = salvage(path)
    assert [name for _, name in key_names(data.removesuffix(TAIL))] == [b"a", b"json", b"own", b"near"]
