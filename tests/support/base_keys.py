"""An AOF with an RDB base of 60 keys, functions that damage it, and functions that list the keys of an output."""

from pathlib import Path

from aofdoctor.rdb.encoding.crc64 import crc64
from aofdoctor.rdb.items import ItemReader, KeyItem
from aofdoctor.resp import encode_command
from aofdoctor.source import BytesSource
from tests.conftest import aofdoctor
from tests.support import rdb_value_writer as w
from tests.support.rdb_loading import digest_server
from tests.support.servers import servers_by_line

SELECT_0, SELECT_3 = b"\xfe\x00", b"\xfe\x03"


def text_key(name: str, value: str) -> bytes:
    return b"\0" + w.string(name.encode()) + w.string(value.encode())


def make_base(*pieces: bytes) -> bytes:
    data = b"REDIS0009" + b"\xfa" + w.string(b"ctime") + w.string(b"1700000000") + b"".join(pieces) + b"\xff"
    return data + crc64(data).to_bytes(8, "little")


def key_names(data: bytes) -> list[tuple[int, bytes]]:
    source = BytesSource(data)
    return [(item.db, item.name(source)) for batch in ItemReader(source) for item in batch if isinstance(item, KeyItem)]


USER_KEYS = [text_key(f"user:{number}", f"value {number}") for number in range(40)]


BASE = make_base(SELECT_0, *USER_KEYS, SELECT_3, *(text_key(f"third:{number}", "x") for number in range(20)))


TAIL = (
    encode_command([b"SELECT", b"0"])
    + encode_command([b"SET", b"user:1", b"later"])
    + encode_command([b"DEL", b"user:2"])
)


def load_key_names(data: bytes, line: str) -> set[tuple[int, bytes]]:
    with digest_server(servers_by_line()[line], data) as running:
        found = set()
        for name in running.info("keyspace"):
            running.call("SELECT", int(name[2:]))
            reply = running.call("KEYS", "*")
            assert isinstance(reply, list)
            found |= {(int(name[2:]), bytes(one)) for one in reply}  # type: ignore[arg-type]
    return found


def salvage(path: Path, *words: str) -> tuple[bytes, dict[str, object]]:
    out = path.with_name("out")
    result = aofdoctor("repair", path, "--salvage", "-o", out, "--json", *words)
    assert result.status == 0, result.err
    return out.read_bytes(), result.json


def overwrite(path: Path, at: int, junk: bytes) -> None:
    data = bytearray(BASE + TAIL)
    data[at : at + len(junk)] = junk
    path.write_bytes(data)
