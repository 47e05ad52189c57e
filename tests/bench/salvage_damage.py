"""Damage to the commands of an AOF: each function damages one file of a sample at random.

A function returns the damaged bytes and the byte ranges of the undamaged file that it touched.
"""

from collections.abc import Callable
from random import Random

from tests.bench.salvage_samples import Record, records_of

Damaged = tuple[bytes, list[tuple[int, int]]]
_BLOCKS = (512, 4096)


def log_start(data: bytes) -> int:
    """Return the offset of the first command."""
    return records_of(data)[0].start


def random_place(data: bytes, random: Random) -> int:
    return random.randrange(log_start(data), len(data))


def replace_at(data: bytes, at: int, new: bytes) -> Damaged:
    return data[:at] + new + data[at + len(new) :], [(at, at + len(new))]


def cut_tail(data: bytes, random: Random) -> Damaged:
    at = max(log_start(data) + 1, len(data) - random.randrange(1, 3000))
    return data[:at], [(at, len(data))]


def flip_bit(data: bytes, random: Random) -> Damaged:
    at = random_place(data, random)
    return replace_at(data, at, bytes((data[at] ^ 1 << random.randrange(8),)))


def change_byte(data: bytes, random: Random) -> Damaged:
    at = random_place(data, random)
    return replace_at(data, at, bytes((data[at] ^ random.randrange(1, 256),)))


def random_record(data: bytes, random: Random) -> Record:
    """Return a command that is not in the last tenth of the file, so that commands follow it."""
    records = [record for record in records_of(data) if record.is_command]
    return random.choice(records[: len(records) * 9 // 10])


def headers(data: bytes, record: Record) -> list[tuple[int, int]]:
    """Return the byte ranges of the digits in the headers of a command: the number of arguments, then each length."""
    at, found = record.start, []
    for size in [len(record.argv), *(len(word) for word in record.argv)]:
        digits = len(str(size))
        found.append((at + 1, at + 1 + digits))
        at += 3 + digits + (size + 2 if len(found) > 1 else 0)
    assert at == record.end
    return found


def change_header(data: bytes, random: Random) -> Damaged:
    """Change a digit of a header, or its * or $."""
    start, end = random.choice(headers(data, random_record(data, random)))
    at = random.randrange(start - 1, end)
    digit = random.choice([n for n in b"0123456789" if n != data[at]])
    return replace_at(data, at, bytes((digit,)) if at >= start else random.randbytes(1).replace(b"*", b"?"))


def enlarge_length(data: bytes, random: Random) -> Damaged:
    """Write a length that is larger than the rest of the file."""
    record = random_record(data, random)
    start, end = random.choice(headers(data, record)[1:])
    return data[:start] + random.choice((b"4294967295", b"99999999", b"268435456")) + data[end:], [(start, end)]


def change_name(data: bytes, random: Random) -> Damaged:
    """Change a byte of the name of a command, or of MULTI, EXEC or SELECT."""
    records = [record for record in records_of(data) if record.argv]
    record = random.choice(records)
    start = headers(data, record)[1][1] + 2
    at = random.randrange(start, start + len(record.argv[0]))
    return replace_at(data, at, bytes((data[at] ^ 1 << random.randrange(8),)))


def change_line_end(data: bytes, random: Random) -> Damaged:
    record = random_record(data, random)
    at = data.index(b"\r\n", random.choice(headers(data, record))[0]) + random.randrange(2)
    return replace_at(data, at, random.choice((b" ", b"\0", b"x", bytes((data[at] ^ 1,)))))


def random_block(data: bytes, random: Random) -> tuple[int, int]:
    size = random.choice(_BLOCKS)
    at = random_place(data, random)
    at -= at % size if random.random() < 0.5 else 0  # aligned to blocks of the file, or not
    at = max(at, log_start(data))
    return at, min(at + size, len(data))


def zero_block(data: bytes, random: Random) -> Damaged:
    start, end = random_block(data, random)
    return replace_at(data, start, bytes(end - start))


def zero_two_blocks(data: bytes, random: Random) -> Damaged:
    first, spans = zero_block(data, random)
    second, more = zero_block(data, random)
    return bytes(a & b for a, b in zip(first, second, strict=True)), spans + more


def randomize_block(data: bytes, random: Random) -> Damaged:
    start, end = random_block(data, random)
    return replace_at(data, start, random.randbytes(end - start))


def lose_block(data: bytes, random: Random) -> Damaged:
    start, end = random_block(data, random)
    return data[:start] + data[end:], [(start, end)]


def repeat_block(data: bytes, random: Random) -> Damaged:
    start, end = random_block(data, random)
    return data[:end] + data[start:], []


def exchange_blocks(data: bytes, random: Random) -> Damaged:
    """Exchange two neighbouring blocks of 512 bytes, as a misdirected write does."""
    size = 512
    blocks = range(-(-log_start(data) // size), len(data) // size - 1)
    at = random.choice(blocks) * size
    middle, end = at + size, at + 2 * size
    return data[:at] + data[middle:end] + data[at:middle] + data[end:], [(at, middle), (middle, end)]


def insert_garbage(data: bytes, random: Random) -> Damaged:
    """Insert random bytes, or lines of a log, between two commands or inside one."""
    at = random_place(data, random) if random.random() < 0.5 else random_record(data, random).end
    line = b"12345:M 28 Nov 2026 06:43:08.123 * Background saving started by pid 4711\n"
    junk = random.choice(
        (random.randbytes(random.randint(1, 400)), line * random.randint(1, 3), b"\r\n", b"\xef\xbb\xbf")
    )
    return data[:at] + junk + data[at:], [(at, at)]


def append_nuls(data: bytes, random: Random) -> Damaged:
    torn = data[: len(data) - random.choice((0, random.randrange(1, 200)))]
    return torn + bytes(random.choice((1, 100, 512, 4096))), [(len(torn), len(data))] if len(torn) < len(data) else []


def append_garbage(data: bytes, random: Random) -> Damaged:
    return data + random.choice((random.randbytes(300), b"\r\n", b"FLUSHALL soon\n", b'{"level":"info"}\n')), []


def lose_head(data: bytes, random: Random) -> Damaged:
    start = log_start(data)
    end = random.randrange(start + 1, start + (len(data) - start) // 4)
    return data[:start] + data[end:], [(start, end)]


def to_line_feeds(data: bytes, random: Random) -> Damaged:
    start = log_start(data)
    return data[:start] + data[start:].replace(b"\r\n", b"\n"), []


def to_crlf(data: bytes, random: Random) -> Damaged:
    """Write CR LF for each LF, also for one after a CR, as a stream in text mode does."""
    start = log_start(data)
    return data[:start] + data[start:].replace(b"\n", b"\r\n"), []


def to_utf8(data: bytes, random: Random) -> Damaged:
    start = log_start(data)
    return data[:start] + data[start:].decode("latin-1").encode(), []


LOG_DAMAGE: dict[str, Callable[[bytes, Random], Damaged]] = {
    "end cut off": cut_tail,
    "bit flipped": flip_bit,
    "byte changed": change_byte,
    "byte of a header changed": change_header,
    "length past the end": enlarge_length,
    "byte of a command name changed": change_name,
    "byte of a line end changed": change_line_end,
    "block of NUL bytes": zero_block,
    "two blocks of NUL bytes": zero_two_blocks,
    "block of random bytes": randomize_block,
    "block lost": lose_block,
    "block repeated": repeat_block,
    "blocks exchanged": exchange_blocks,
    "bytes inserted": insert_garbage,
    "NUL bytes at the end": append_nuls,
    "garbage at the end": append_garbage,
    "head lost": lose_head,
    "CRLF changed to LF": to_line_feeds,
    "LF changed to CRLF": to_crlf,
    "Latin-1 changed to UTF-8": to_utf8,
}
