# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Python bindings of scan.h, which splits AOF bytes into complete records, with the interface of _pyscan.py."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy


cdef extern from "scan.h" nogil:
    enum:
        SCAN_SLACK
        SCAN_NAME_MAX
        SCAN_RENAMED_MAX
    ctypedef struct scan_name:
        uint16_t size
        uint16_t id
        uint16_t container
    ctypedef struct scan_renamed:
        uint8_t *name
        uint16_t size
        uint16_t id
    ctypedef struct scan_names:
        scan_name *slot
        uint32_t mask
        scan_renamed *renamed
        size_t renamed_count
    scan_name *scan_slot(const scan_names *names, const uint8_t *p, size_t size, uint16_t parent)
    void scan_name_add(const scan_names *names, const uint8_t *p, size_t size, uint16_t parent, uint16_t id)
    const uint8_t *scan_header(const uint8_t *p, uint8_t prefix, int64_t *value)
    const uint8_t *scan_args(const uint8_t *p, const uint8_t *end, int64_t count, int64_t *done)
    size_t scan_records(const uint8_t *buffer, size_t size, const scan_names *names, size_t room,
                    int64_t *edges, uint32_t *argc, uint16_t *ids)


SLACK = SCAN_SLACK


cdef class ScanNames:
    """The command names that the scanner knows, and their numeric ids: names[i] has the id i + 2, in any letter case.

    b"a|b" is the subcommand b of the command a; a must come earlier in `names`.  `aliases` maps further names, in lower
    case, to ids of commands without subcommands (rename-command).
    """

    cdef scan_names table

    def __cinit__(self, names, aliases=None):
        cdef uint8_t padded[SCAN_NAME_MAX]
        cdef scan_name *slot
        cdef uint16_t parent
        cdef uint32_t slots = 64
        while slots < 4 * (len(names) + len(aliases or ())):
            slots *= 2
        self.table.slot = <scan_name *>calloc(slots, sizeof(scan_name))
        if not self.table.slot:
            raise MemoryError
        self.table.mask = slots - 1
        for i, name in enumerate(names):
            parent = 0
            command, _, sub = name.partition(b"|")
            if sub:
                slot = scan_slot(&self.table, _pad(padded, command), len(command), 0)
                if not slot.size:
                    raise ValueError(name)
                slot.container = 1
                parent = slot.id
            scan_name_add(&self.table, _pad(padded, sub or command), len(sub or command), parent, i + 2)
        self._add_aliases(aliases or {})

    cdef int _add_aliases(self, dict aliases) except -1:
        cdef uint8_t padded[SCAN_NAME_MAX]
        cdef scan_renamed *renamed
        cdef const uint8_t *source
        cdef bytes name
        self.table.renamed = <scan_renamed *>calloc(len(aliases) + 1, sizeof(scan_renamed))
        if not self.table.renamed:
            raise MemoryError
        for name, number in aliases.items():
            if len(name) <= SCAN_NAME_MAX:
                scan_name_add(&self.table, _pad(padded, name), len(name), 0, number)
                continue
            if len(name) > SCAN_RENAMED_MAX:
                raise ValueError(name)
            renamed = &self.table.renamed[self.table.renamed_count]
            source = name
            memcpy(renamed.name, source, len(name))
            renamed.size, renamed.id = len(name), number
            self.table.renamed_count += 1
        return 0

    def __dealloc__(self):
        free(self.table.slot)
        free(self.table.renamed)


cdef const uint8_t *_pad(uint8_t *padded, bytes name) except NULL:
    cdef const uint8_t *source = name
    if not 0 < len(name) <= SCAN_NAME_MAX:
        raise ValueError(name)
    memcpy(padded, source, len(name))
    return padded


cdef class _View:
    cdef Py_buffer view
    cdef bint is_acquired

    def __cinit__(self, source, bint writable):
        PyObject_GetBuffer(source, &self.view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        self.is_acquired = True

    def __dealloc__(self):
        if self.is_acquired:
            PyBuffer_Release(&self.view)


cdef class ScanColumns:
    """The arrays that scan() fills for up to `room` records of an AOF.

    Record i is between edges[i] and edges[i + 1] (int64), has argc[i] arguments (uint32) and the command id ids[i]
    (uint16).
    """

    cdef readonly object edges, argc, ids
    cdef readonly Py_ssize_t room
    cdef _View _edges, _argc, _ids

    def __cinit__(self, Py_ssize_t room):
        from array import array
        self.room = room
        self.edges = array("q", bytes(8 * (room + 1)))
        self.argc = array("I", bytes(4 * room))
        self.ids = array("H", bytes(2 * room))
        self._edges = _View(self.edges, True)
        self._argc = _View(self.argc, True)
        self._ids = _View(self.ids, True)


def scan(buffer, Py_ssize_t start, Py_ssize_t end, ScanNames names, ScanColumns columns):
    """Find the complete records at the start of buffer[start:end], describe them in `columns`, and return their number.

    Offsets in `columns` are relative to `start`; at least SLACK zero bytes must follow `end` in the buffer.
    """
    cdef _View view = _View(buffer, False)
    cdef size_t n
    if not 0 <= start <= end <= view.view.len - SCAN_SLACK:
        raise ValueError("the buffer is too short")
    with nogil:
        n = scan_records(<const uint8_t *>view.view.buf + start, end - start, &names.table, columns.room,
                     <int64_t *>columns._edges.view.buf, <uint32_t *>columns._argc.view.buf,
                     <uint16_t *>columns._ids.view.buf)
    return n


def skip_args(buffer, Py_ssize_t start, Py_ssize_t end, int64_t count):
    """Skip up to `count` complete RESP arguments in buffer[start:end]; return (number skipped, offset after them)."""
    cdef _View view = _View(buffer, False)
    cdef int64_t done
    cdef const uint8_t *base
    cdef const uint8_t *p
    if not 0 <= start <= end <= view.view.len - SCAN_SLACK:
        raise ValueError("the buffer is too short")
    base = <const uint8_t *>view.view.buf
    with nogil:
        p = scan_args(base + start, base + end, count, &done)
    return done, p - base


def arguments(buffer, Py_ssize_t start, Py_ssize_t end, Py_ssize_t limit):
    """Return the first `limit` arguments of the command in buffer[start:end]; raises ValueError if it is incomplete."""
    cdef _View view = _View(buffer, False)
    cdef const uint8_t *p
    cdef const uint8_t *stop
    cdef int64_t count, size
    if not 0 <= start <= end <= view.view.len - SCAN_SLACK:
        raise ValueError("the buffer is too short")
    stop = <const uint8_t *>view.view.buf + end
    p = scan_header(<const uint8_t *>view.view.buf + start, b"*", &count)
    args = []
    while p and len(args) < min(count, limit):
        p = scan_header(p, b"$", &size)
        if not p or p > stop or size > stop - p - 2:
            break
        args.append(<bytes>p[:size])
        p += size + 2
    if len(args) < min(count, limit):
        raise ValueError("not a whole record")
    return args
