"""Walk the items of an RDB in a buffer: the pure Python fallback of walker.h.

A program for each type byte and opcode (layouts.py) says which lengths, strings
and numbers to pass to reach the end of the item.  This walker runs the same
programs, fills the same columns and stops for the same reasons as the compiled
one; it is used if the compiled one was not built, and the tests compare the two.
It can stop and resume anywhere, also inside a value: its state is a few
numbers, however large the value is.

The buffer must be followed by SLACK bytes that are all zero.
"""

from array import array
from collections.abc import Callable

from aofdoctor.rdb.walk.constants import TEMPLATE_PROBES, TEMPLATE_SLOTS, StopReason
from aofdoctor.rdb.walk.layouts import Layout, LayoutOp

_HUGE = 1 << 62  # larger than any file
_DIGITS_MAX = 18


class ItemColumns:
    """Columns that describe adjacent items of an RDB: up to `capacity` items, of which `count` are filled.

    All offsets are offsets in the file.  Item i is [edges[i], edges[i + 1]) and
    has the type byte or opcode kind[i].  name[i] is where the string of the key's name
    begins, or -1 if the item is no key; value[i] is where the value begins, after
    the name or after the opcode.  expire (Unix time in ms), idle (seconds), freq
    and db are -1 if there is none or it is not known.  `key_count` items are keys.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.count, self.key_count = capacity, 0, 0
        self.edges = array("q", bytes(8 * (capacity + 1)))
        self.kind = array("H", bytes(2 * capacity))
        self.freq = array("h", bytes(2 * capacity))
        self.name, self.value, self.expire, self.idle, self.db = (array("q", bytes(8 * capacity)) for _ in range(5))

    def append(self, kind: int, value: int, end: int) -> None:
        """Append an RDB item that is no key; it begins where the previous item ended.

        `kind` is its type byte or opcode, `value` the offset of its content, `end` the offset after it.
        """
        i = self.count
        self.kind[i], self.name[i], self.value[i], self.edges[i + 1] = kind, -1, value, end
        self.expire[i] = self.idle[i] = self.freq[i] = self.db[i] = -1
        self.count += 1

    def truncate(self, count: int) -> None:
        """Keep only the first `count` of the RDB items in these columns."""
        self.count = count
        self.key_count = sum(name >= 0 for name in self.name[:count])


class _WalkStopped(Exception):
    """Raised by an instruction of the RDB walker to end the walk, with the reason."""

    def __init__(self, reason: StopReason) -> None:
        self.reason = reason


class Walker:
    """Step through the items of an RDB with a small program per type, so that it can stop at a buffer's end and resume.

    `start` is the file offset where the current item begins, `kind` its type byte or opcode.
    `skip` is the number of bytes that are still to be skipped, which may exceed the buffer.
    The programs come from `layout`.
    """

    def __init__(self, layout: Layout, start: int, db: int = 0) -> None:
        self.layout = layout
        self.templates: dict[int, tuple[int, int]] = {}  # hash templates, by slot: (template id, number of fields)
        self.restart(start, db)

    def restart(self, start: int, db: int) -> None:
        """Continue at an item that begins at file offset `start`, in database `db`.

        All state is reset except for the known hash templates (Redis 8.10: field names stored once for many hashes).
        """
        self.start, self.db = start, db
        self.kind = 0
        self.skip = 0
        self.pc = 0  # the address of the next instruction; 0: the next byte of the file is a type or opcode
        self.frames: list[list[int]] = []  # for each open loop: [where its body begins, iterations left]
        self.register = self.template_id = 0
        self.value = start
        self._clear_key_fields()

    def _clear_key_fields(self) -> None:
        self.name = self.expire = self.idle = self.freq = -1

    def run(
        self, buffer: bytearray, at: int, end: int, base: int, columns: ItemColumns, step_budget: int = _HUGE
    ) -> tuple[StopReason, int, int]:
        """Walk the items in buffer[at:end] and append each to `columns` when it ends.

        buffer[0] is at offset `base` of the file.  Returns (why the walk stopped, the index in the buffer reached, the
        remaining step budget).
        """
        self.data, self.at, self.end, self.base, self.columns = buffer, at, end, base, columns
        try:
            while True:
                if self.skip:
                    self._skip_bytes()
                if step_budget <= 0:
                    return StopReason.STEP_LIMIT, self.at, step_budget
                step_budget -= 1
                self._step()
        except _WalkStopped as stopped:
            return stopped.reason, self.at, step_budget

    def _step(self) -> None:
        if self.pc:
            _STEPS[self.layout.code[self.pc]](self)
        else:
            self._read_opcode()

    def _skip_bytes(self) -> None:
        size = min(self.skip, self.end - self.at)
        self.at, self.skip = self.at + size, self.skip - size
        if self.skip:
            raise _WalkStopped(StopReason.END_OF_DATA)

    def _read_opcode(self) -> None:
        if self.at >= self.end:
            raise _WalkStopped(StopReason.END_OF_DATA)
        if self.columns.count == self.columns.capacity:
            raise _WalkStopped(StopReason.FULL)
        self.kind = self.data[self.at]
        if not (pc := self.layout.entry[self.kind]):
            raise _WalkStopped(StopReason.UNKNOWN_TYPE)
        self.at += 1
        self.pc, self.value = pc, self.base + self.at

    def _advance(self, at: int, operands: int = 0) -> None:
        """Complete an instruction that has read the buffer up to index `at` and has `operands` bytes in the program."""
        if at > self.end:
            raise _WalkStopped(StopReason.END_OF_DATA)
        self.at = at
        self.pc += 1 + operands

    def _length(self, at: int) -> tuple[int, int]:
        """Return (the RDB length encoded at buffer index `at`, the index after it)."""
        first = self.data[at] if at < self.end else 0
        if first < 0x40:
            return first, at + 1
        if first < 0x80:
            return (first & 63) << 8 | self.data[at + 1], at + 2
        if first >= 0xC0:
            raise _WalkStopped(StopReason.NOT_A_LENGTH)
        if first > 0x81:
            raise _WalkStopped(StopReason.BAD_LENGTH)
        size = 4 if first == 0x80 else 8
        return int.from_bytes(self.data[at + 1 : at + 1 + size], "big"), at + 1 + size

    def _string(self, at: int) -> tuple[int, int]:
        """Return (the stored size in bytes of the RDB string at buffer index `at`, the index where its bytes begin)."""
        first = self.data[at] if at < self.end else 0
        if first < 0xC0:
            return self._length(at)
        if first > 0xC3:
            raise _WalkStopped(StopReason.BAD_STRING)
        if first < 0xC3:
            return 1 << (first & 3), at + 1
        packed, at = self._length(at + 1)
        _, at = self._length(at)
        return packed, at

    def _address(self, at: int) -> int:
        return self.layout.code[at] | self.layout.code[at + 1] << 8

    # -- one method for each instruction (LayoutOp), named after it --

    def _end(self) -> None:
        columns, i = self.columns, self.columns.count
        columns.kind[i], columns.name[i], columns.value[i] = self.kind, self.name, self.value
        columns.expire[i], columns.idle[i], columns.freq[i], columns.db[i] = self.expire, self.idle, self.freq, self.db
        columns.edges[i] = self.start
        self.start = columns.edges[i + 1] = self.base + self.at
        columns.count += 1
        self.pc = 0
        if self.name >= 0:
            columns.key_count += 1
            self._clear_key_fields()

    def _len(self) -> None:
        self._advance(self._length(self.at)[1])

    def _str(self) -> None:
        size, at = self._string(self.at)
        self._advance(at)
        self.skip = min(size, _HUGE)

    def _skip(self) -> None:
        self.skip = self.layout.code[self.pc + 1]
        self.pc += 2

    def _key(self) -> None:
        name = self.base + self.at
        self._str()
        self.name, self.value = name, self.base + self.at + self.skip

    def _score(self) -> None:
        size = self.data[self.at]
        self._advance(self.at + 1)
        self.skip = size if size < 253 else 0

    def _count(self) -> None:
        count, at = self._length(self.at)
        self._advance(at)
        self.register = count

    def _loop(self) -> None:
        if self.register:
            self.frames.append([self.pc + 3, self.register])
            self.pc += 3
        else:
            self.pc = self._address(self.pc + 1)

    def _next(self) -> None:
        frame = self.frames[-1]
        frame[1] -= 1
        if frame[1]:
            self.pc = frame[0]
        else:
            self.frames.pop()
            self.pc += 1

    def _case(self) -> None:
        value, at = self._length(self.at)
        if at > self.end:
            raise _WalkStopped(StopReason.END_OF_DATA)
        arms = self.layout.code[self.pc + 1]
        place = self._address(self.pc + (4 + 2 * value if value < arms else 2))
        if not place:
            raise _WalkStopped(StopReason.BAD_CASE)
        self.at, self.pc = at, place

    def _jump(self) -> None:
        self.pc = self._address(self.pc + 1)

    def _db(self) -> None:
        db, at = self._length(self.at)
        self._advance(at)
        self.db = min(db, _HUGE)

    def _idle(self) -> None:
        idle, at = self._length(self.at)
        self._advance(at)
        self.idle = min(idle, _HUGE)

    def _freq(self) -> None:
        freq = self.data[self.at]
        self._advance(self.at + 1)
        self.freq = freq

    def _expire_s(self) -> None:
        seconds = int.from_bytes(self.data[self.at : self.at + 4], "little", signed=True)
        self._advance(self.at + 4)
        self.expire = seconds * 1000

    def _expire_ms(self) -> None:
        expire = int.from_bytes(self.data[self.at : self.at + 8], "little", signed=True)
        self._advance(self.at + 8)
        self.expire = expire

    def _more(self) -> None:
        self.pc = 0

    def _template_id(self) -> None:
        template_id, at = self._length(self.at)
        self._advance(at)
        self.template_id = template_id

    def _define_template(self) -> None:
        place = self._template_slot(self.template_id)
        if place is None:
            raise _WalkStopped(StopReason.UNKNOWN_TEMPLATE)
        self.templates[place] = self.template_id, self.register
        self.pc += 1

    def _use_template(self) -> None:
        template, at = self._length(self.at)
        place = self._template_slot(template)
        if at <= self.end and place not in self.templates:
            raise _WalkStopped(StopReason.UNKNOWN_TEMPLATE)
        self._advance(at)
        assert place is not None
        self.register = self.templates[place][1]

    def _template_slot(self, number: int) -> int | None:
        """Return the table slot of the hash template with an id, or a free slot; None if no searched slot is free."""
        places = ((number + i) % TEMPLATE_SLOTS for i in range(TEMPLATE_PROBES))
        return next((at for at in places if at not in self.templates or self.templates[at][0] == number), None)

    def _resp_number(self) -> None:
        mark, at, number = self.layout.code[self.pc + 1], self.at, 0
        if self._byte(at) != mark:
            raise _WalkStopped(StopReason.BAD_NUMBER)
        first = at = at + 1
        while 0x30 <= (digit := self._byte(at)) <= 0x39 and at - first < _DIGITS_MAX:
            number, at = number * 10 + digit - 0x30, at + 1
        if at == first or digit != 0x0D or self._byte(at + 1) != 0x0A:
            raise _WalkStopped(StopReason.BAD_NUMBER)
        self._advance(at + 2, 1)
        self.register = number

    def _byte(self, at: int) -> int:
        if at >= self.end:
            raise _WalkStopped(StopReason.END_OF_DATA)
        return self.data[at]

    def _payload(self) -> None:
        self.skip, self.pc = self.register, self.pc + 1

    def _eof(self) -> None:
        raise _WalkStopped(StopReason.DONE)


_STEPS: dict[int, Callable[[Walker], None]] = {step: getattr(Walker, f"_{step.name.lower()}") for step in LayoutOp}
