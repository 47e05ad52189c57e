# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled LZF decompressor: Python bindings of lzf.h, with the function of lzf.py."""
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "lzf.h" nogil:
    size_t lzf_decompress_prefix(const uint8_t *src, size_t size, uint8_t *out, size_t *at, size_t room)
    size_t LZF_BAD


def decompress_prefix(bytes data, bytes history, size_t max_size):
    """Decompress the complete LZF instructions of `data` into at most `max_size` bytes; documented in lzf.py."""
    cdef size_t start = len(history), at = start, consumed, size = len(data)
    cdef const uint8_t *packed = data
    cdef const uint8_t *history_bytes = history
    cdef uint8_t *out = <uint8_t *>malloc(start + max_size + 1)
    if out == NULL:
        raise MemoryError
    try:
        memcpy(out, history_bytes, start)
        with nogil:
            consumed = lzf_decompress_prefix(packed, size, out, &at, start + max_size)
        if consumed == LZF_BAD:
            return None
        return PyBytes_FromStringAndSize(<char *>out + start, at - start), consumed
    finally:
        free(out)
