# cython: language_level=3, boundscheck=False, wraparound=False
"""Encode a command as RESP: the compiled form of the function in resp.py."""
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.string cimport memcpy


cdef Py_ssize_t digit_count(Py_ssize_t value):
    """Return the number of decimal digits of a number that is not negative."""
    cdef Py_ssize_t count = 1
    while value >= 10:
        value //= 10
        count += 1
    return count


cdef char *write_header(char *at, char prefix, Py_ssize_t value):
    """Write a RESP header (`prefix`, the number, CRLF) at `at`; return the byte after it."""
    cdef Py_ssize_t count = digit_count(value), i
    at[0] = prefix
    for i in range(count, 0, -1):
        at[i] = <char>(48 + value % 10)
        value //= 10
    at[count + 1] = 13
    at[count + 2] = 10
    return at + count + 3


def encode_if_bytes(list command):
    """Encode a command as RESP; None if an argument is not of type bytes."""
    cdef Py_ssize_t size = 3 + digit_count(len(command)), length
    cdef object word, out
    cdef char *at
    for word in command:
        if type(word) is not bytes:
            return None
        length = len(<bytes>word)
        size += 5 + digit_count(length) + length
    out = PyBytes_FromStringAndSize(NULL, size)
    at = write_header(PyBytes_AsString(out), 42, len(command))
    for word in command:
        length = len(<bytes>word)
        at = write_header(at, 36, length)
        memcpy(at, PyBytes_AsString(word), length)
        at += length
        at[0] = 13
        at[1] = 10
        at += 2
    return out
