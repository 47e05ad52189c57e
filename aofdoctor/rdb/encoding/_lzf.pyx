# cython: language_level=3, boundscheck=False, wraparound=False
"""lzf.h for Python: the same function as lzf.py's plain one."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "lzf.h" nogil:
    size_t lzf_decompress_prefix(const uint8_t *src, size_t size, uint8_t *out, size_t *at, size_t room)
    size_t LZF_BAD


def decompress_prefix(bytes data, bytes before, size_t room):
    """(what the whole instructions of `data` give, at most `room` bytes; how many bytes they are); None if they lie."""
    cdef size_t start = len(before), at = start, took, size = len(data)
    cdef const uint8_t *packed = data
    cdef const uint8_t *past = before
    cdef uint8_t *out = <uint8_t *>malloc(start + room + 1)
    if out == NULL:
        raise MemoryError
    try:
        memcpy(out, past, start)
        with nogil:
            took = lzf_decompress_prefix(packed, size, out, &at, start + room)
        if took == LZF_BAD:
            return None
        return PyBytes_FromStringAndSize(<char *>out + start, at - start), took
    finally:
        free(out)
