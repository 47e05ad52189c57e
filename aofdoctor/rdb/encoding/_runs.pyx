# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""runs.h for Python: the same functions as runs.py's plain ones."""
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef extern from "lzf.h" nogil:
    size_t lzf_decompress_prefix(const uint8_t *src, size_t size, uint8_t *out, size_t *at, size_t room)

cdef extern from "runs.h" nogil:
    enum:
        RUNS_BYTES, RUNS_NUMBER, RUNS_LZF, RUNS_TAIL
    ctypedef struct runs_item:
        const uint8_t *at
        uint64_t size
        int64_t number
        int kind
    size_t c_listpack "runs_listpack"(const uint8_t *p, size_t size, size_t *at, runs_item *items, size_t most)
    size_t c_ziplist "runs_ziplist"(
        const uint8_t *p, size_t size, size_t *at, uint64_t *before, runs_item *items, size_t most)
    size_t c_strings "runs_strings"(const uint8_t *p, size_t size, size_t *at, unsigned each, int tail, uint64_t large,
                                   runs_item *items, size_t most)

cdef enum:
    ROOM = 384
MAX_RUN_ITEMS = ROOM


cdef object number(int64_t value):
    """Its digits, from the last to the first."""
    cdef char text[24]
    cdef uint64_t rest = <uint64_t>value if value >= 0 else 0 - <uint64_t>value
    cdef int at = 24
    while True:
        at -= 1
        text[at] = <char>(48 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if value < 0:
        at -= 1
        text[at] = 45
    return PyBytes_FromStringAndSize(text + at, 24 - at)


cdef object unpacked(runs_item *item):
    cdef size_t at = 0, took
    cdef object out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>item.number)
    took = lzf_decompress_prefix(item.at, item.size, <uint8_t *>PyBytes_AsString(out), &at, <size_t>item.number)
    return out if took == item.size and at == <size_t>item.number else None


cdef object value(runs_item *item):
    if item.kind == RUNS_NUMBER:
        return number(item.number)
    if item.kind == RUNS_LZF:
        return unpacked(item)
    return PyBytes_FromStringAndSize(<const char *>item.at, <Py_ssize_t>item.size)


cdef list values(runs_item *items, size_t count):
    cdef size_t i
    return [value(&items[i]) for i in range(count)]


def listpack_run(bytes data, size_t at):
    """(items of a listpack from `at`, at most MAX_RUN_ITEMS; where the next one begins)."""
    cdef runs_item items[ROOM]
    cdef const uint8_t *p = data
    cdef size_t count = c_listpack(p, len(data), &at, items, ROOM)
    return values(items, count), at


def ziplist_run(bytes data, size_t at, uint64_t before):
    """(items of a ziplist from `at`, at most MAX_RUN_ITEMS; where the next one begins; the length of the last one)."""
    cdef runs_item items[ROOM]
    cdef const uint8_t *p = data
    cdef size_t count = c_ziplist(p, len(data), &at, &before, items, ROOM)
    return values(items, count), at, before


def strings_run(bytes data, size_t at, unsigned each, bint tail, uint64_t large, size_t most):
    """(RDB strings from `at`, in elements of `each` and eight bytes if `tail`, at most MAX_RUN_ITEMS; where the next begins).

    None stands for one whose LZF lies; a string of `large` bytes and more ends the run.
    """
    cdef runs_item items[ROOM]
    cdef const uint8_t *p = data
    cdef size_t count
    if at > <size_t>len(data):
        return [], at
    count = c_strings(p, len(data), &at, each, tail, large, items, min(most, <size_t>ROOM))
    return values(items, count), at
