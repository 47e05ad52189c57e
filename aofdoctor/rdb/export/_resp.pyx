# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled form of the fallback in resp.py: encodes a command as RESP."""
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.string cimport memcpy


cdef Py_ssize_t digits(Py_ssize_t value):
    cdef Py_ssize_t count = 1
    while value >= 10:
        value //= 10
        count += 1
    return count


cdef char *header(char *at, char mark, Py_ssize_t value):
    """Write a mark, a number and CRLF; return the position after them."""
    cdef Py_ssize_t count = digits(value), i
    at[0] = mark
    for i in range(count, 0, -1):
        at[i] = <char>(48 + value % 10)
        value //= 10
    at[count + 1] = 13
    at[count + 2] = 10
    return at + count + 3


def encode_if_bytes(list command):
    """Encode a command; None if an argument is not bytes (a LargeString)."""
    cdef Py_ssize_t size = 3 + digits(len(command)), length
    cdef object word, out
    cdef char *at
    for word in command:
        if type(word) is not bytes:
            return None
        length = len(<bytes>word)
        size += 5 + digits(length) + length
    out = PyBytes_FromStringAndSize(NULL, size)
    at = header(PyBytes_AsString(out), 42, len(command))
    for word in command:
        length = len(<bytes>word)
        at = header(at, 36, length)
        memcpy(at, PyBytes_AsString(word), length)
        at += length
        at[0] = 13
        at[1] = 10
        at += 2
    return out
