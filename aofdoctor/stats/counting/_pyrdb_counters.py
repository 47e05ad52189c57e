"""Count the keys of an RDB by type, database and prefix: the pure Python fallback of rdb_counters.h."""

from array import array

from aofdoctor.rdb.encoding.lzf import decompress_prefix
from aofdoctor.rdb.walk.walker import ItemColumns
from aofdoctor.stats.counting._pyheavy_hitters import NameCounts, key_prefix
from aofdoctor.stats.counting.constants import DB_ROWS, NAME_BYTES_KEPT, TYPE_ROWS, NameRow, RdbCountsRow, db_row

_LZF_INPUT_MAX = 256  # enough compressed bytes to get the prefix of a name
_LZF_OUTPUT_MAX = 376
_STRING_HEADER_MAX = 19  # bytes: an encoding byte and two lengths of at most 9 bytes


class RdbKeyCounters:
    """Count the keys of an RDB, their bytes and those with a TTL, by type byte, database and prefix of the name.

    A prefix ends at the `delimiter` number `depth`; with `depth` 0 prefixes are not counted.
    """

    def __init__(self, delimiter: int, depth: int) -> None:
        self._delimiter, self._depth = delimiter, depth
        self._by_type = [[0, 0, 0] for _ in range(TYPE_ROWS)]
        self._by_db = [[0, 0, 0] for _ in range(DB_ROWS)]
        self._names = NameCounts()

    def count_items(
        self,
        columns: ItemColumns,
        at: int,
        stop: int,
        data: bytes,
        data_offset: int,
        threshold: int,
        larger_indexes: "array[int]",
    ) -> tuple[int, int]:
        """Count the keys among the items of an RDB (keys and opcodes) with the indexes [at, stop) in `columns`.

        `data` has bytes of the file from the offset `data_offset` on.  Counting stops at the first key with a name that
        is not completely in `data` or cannot be decoded.  The indexes of the keys with more than `threshold` bytes are
        written to `larger_indexes`.  Returns (the index of the first item that was not counted, the number of larger
        keys).
        """
        larger_count = 0
        while at < stop:
            if columns.name[at] >= 0:
                name = _decode_name(data, columns.name[at] - data_offset) if self._depth else b""
                if name is None:
                    break
                size = columns.edges[at + 1] - columns.edges[at]
                self.count_key(name, columns.kind[at], columns.db[at], size, columns.expire[at] != -1)
                if size > threshold:
                    larger_indexes[larger_count] = at
                    larger_count += 1
            at += 1
        return at, larger_count

    def count_key(self, name: bytes, type_byte: int, db: int, size: int, expires: bool) -> None:
        """Add one RDB key to the counts by type, database and prefix; `name` is its decoded name.

        `size` is the number of bytes of the encoded key and value.
        """
        if self._depth:
            self._names.add(key_prefix(name, self._delimiter, self._depth), size, expires)
        for row in (self._by_type[type_byte % TYPE_ROWS], self._by_db[db_row(db)]):
            for column, value in enumerate((1, size, expires)):
                row[column] += value

    @property
    def by_type(self) -> list[RdbCountsRow]:
        """The counted (keys, bytes, keys with a TTL) for each RDB type byte from 0 on."""
        return [(keys, size, expires) for keys, size, expires in self._by_type]

    @property
    def by_db(self) -> list[RdbCountsRow]:
        """The counted (keys, bytes, keys with a TTL) for databases 0 to 1023, then all others, then the unknown one."""
        return [(keys, size, expires) for keys, size, expires in self._by_db]

    @property
    def prefixes(self) -> list[NameRow]:
        """The counted (prefix, keys, bytes, keys with a TTL) for each prefix of an RDB key's name, in any order."""
        return self._names.rows()

    @property
    def other_prefixes(self) -> RdbCountsRow:
        """The counted (keys, bytes, keys with a TTL) of the RDB key prefixes for which the table had no room."""
        return self._names.overflow_row()


def _decode_name(data: bytes, at: int) -> bytes | None:
    """Decode the first bytes of a key name (an RDB string) at index `at` of `data`: enough of it to find the prefix.

    None if `data` ends too early, or if no string begins there.
    """
    head = data[at : at + _STRING_HEADER_MAX] if 0 <= at < len(data) else b""
    if not head or head[0] > 0xC3:
        return None
    if 0xC0 <= head[0] < 0xC3:
        number = head[1 : 1 + (1 << (head[0] & 3))]
        return b"%d" % int.from_bytes(number, "little", signed=True) if len(number) == 1 << (head[0] & 3) else None
    lzf = head[0] == 0xC3
    packed, after = _decode_length(head, 1 if lzf else 0)
    size, after = _decode_length(head, after) if lzf else (packed, after)
    if size is None or packed is None or after > len(head):
        return None
    needed, place = min(size, NAME_BYTES_KEPT + 1), at + after
    if not lzf:
        return data[place : place + needed] if place + needed <= len(data) else None
    piece = data[place : place + min(packed, _LZF_INPUT_MAX)]
    decoded = decompress_prefix(piece, b"", _LZF_OUTPUT_MAX) if len(piece) == min(packed, _LZF_INPUT_MAX) else None
    return decoded[0][:needed] if decoded and len(decoded[0]) >= needed else None


def _decode_length(head: bytes, at: int) -> tuple[int | None, int]:
    """Decode the RDB length at index `at` of `head`; return (the length, or None; the index after it)."""
    first = head[at] if at < len(head) else 0
    if first < 0x40:
        return first, at + 1
    if first < 0x80:
        return (first & 63) << 8 | (head[at + 1] if at + 1 < len(head) else 0), at + 2
    if first > 0x81:
        return None, at
    size = 4 if first == 0x80 else 8
    return int.from_bytes(head[at + 1 : at + 1 + size], "big"), at + 1 + size
