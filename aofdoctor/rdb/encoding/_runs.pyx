# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Compiled decoders of listpack, ziplist and RDB string items: Python bindings of runs.h, documented in _pyruns.py."""
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
    size_t c_listpack "runs_listpack"(const uint8_t *p, size_t size, size_t *at, runs_item *items, size_t max_items)
    size_t c_ziplist "runs_ziplist"(
        const uint8_t *p, size_t size, size_t *at, uint64_t *prevlen, runs_item *items, size_t max_items)
    size_t c_strings "runs_strings"(const uint8_t *p, size_t size, size_t *at, unsigned width, int has_tail, uint64_t large_size,
                                   runs_item *items, size_t max_items)

cdef enum:
    MAX_RUN_ITEMS_C = 384
MAX_RUN_ITEMS = MAX_RUN_ITEMS_C


cdef object digits(int64_t value):
    """Return a signed 64-bit number as decimal text."""
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


cdef object decompress_item(runs_item *item):
    cdef size_t at = 0, consumed
    cdef object out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>item.number)
    consumed = lzf_decompress_prefix(item.at, item.size, <uint8_t *>PyBytes_AsString(out), &at, <size_t>item.number)
    return out if consumed == item.size and at == <size_t>item.number else None


cdef object item_bytes(runs_item *item):
    if item.kind == RUNS_NUMBER:
        return digits(item.number)
    if item.kind == RUNS_LZF:
        return decompress_item(item)
    return PyBytes_FromStringAndSize(<const char *>item.at, <Py_ssize_t>item.size)


cdef list item_list(runs_item *items, size_t count):
    cdef size_t i
    return [item_bytes(&items[i]) for i in range(count)]


def listpack_run(bytes data, size_t at):
    """Decode listpack items from index `at` on, at most MAX_RUN_ITEMS; return (items, index of the next one)."""
    cdef runs_item items[MAX_RUN_ITEMS_C]
    cdef const uint8_t *p = data
    cdef size_t count = c_listpack(p, len(data), &at, items, MAX_RUN_ITEMS_C)
    return item_list(items, count), at


def ziplist_run(bytes data, size_t at, uint64_t prevlen):
    """Decode ziplist items from index `at` on; return (items, index of the next one, length of the last entry)."""
    cdef runs_item items[MAX_RUN_ITEMS_C]
    cdef const uint8_t *p = data
    cdef size_t count = c_ziplist(p, len(data), &at, &prevlen, items, MAX_RUN_ITEMS_C)
    return item_list(items, count), at, prevlen


def strings_run(bytes data, size_t at, unsigned width, bint has_tail, uint64_t large_size, size_t max_items):
    """Decode elements of `width` RDB strings from index `at` on; return (flat items, index of the next element)."""
    cdef runs_item items[MAX_RUN_ITEMS_C]
    cdef const uint8_t *p = data
    cdef size_t count
    if at > <size_t>len(data):
        return [], at
    count = c_strings(p, len(data), &at, width, has_tail, large_size, items, min(max_items, <size_t>MAX_RUN_ITEMS_C))
    return item_list(items, count), at
