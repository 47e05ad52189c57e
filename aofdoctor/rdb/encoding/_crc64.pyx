# cython: language_level=3, boundscheck=False, wraparound=False
"""Compiled CRC-64 of RDB files: Python bindings of crc64.h, with the functions of crc64.py."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint64_t

cdef extern from "crc64.h" nogil:
    void crc64_init()
    uint64_t c_crc64 "crc64"(uint64_t crc, const uint8_t *p, size_t size)
    uint64_t crc64_portable(uint64_t crc, const uint8_t *p, size_t size)
    int crc64_has_clmul
    size_t crc64_find_end_by_crc(uint64_t *crc, const uint8_t *p, size_t size)

crc64_init()
HAS_CLMUL = bool(crc64_has_clmul)


def portable_crc64(data, uint64_t crc=0):
    """Continue the CRC-64 `crc` with `data` without carry-less multiplication instructions; for tests."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        with nogil:
            crc = crc64_portable(crc, <const uint8_t *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return crc


def crc64(data, uint64_t crc=0):
    """Continue the CRC-64 `crc` with the bytes of `data`; return the new value."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        with nogil:
            crc = c_crc64(crc, <const uint8_t *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return crc


def find_end_by_crc(data, uint64_t crc):
    """Find the first EOF opcode (0xff) that is followed by the CRC-64 of all bytes up to it; documented in crc64.py."""
    cdef Py_buffer view
    cdef size_t at = 0
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if view.len > 8:
            with nogil:
                at = crc64_find_end_by_crc(&crc, <const uint8_t *>view.buf, view.len - 8)
    finally:
        PyBuffer_Release(&view)
    return at, crc
