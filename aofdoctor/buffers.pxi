# Acquires the Python buffers (bytes, arrays) that one call of compiled code uses, and releases them.  This file is
# included rather than imported, so that no compiled module depends on another one.
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer


cdef enum:
    _BUFFERS_MAX = 24


cdef class _Buffers:
    """Holds up to 24 acquired Python buffers and releases all of them when it is deallocated."""
    cdef Py_buffer views[_BUFFERS_MAX]
    cdef int count

    cdef void *get(self, source, Py_ssize_t size_min, bint writable) except? NULL:
        if self.count == _BUFFERS_MAX:
            raise ValueError("too many columns")
        PyObject_GetBuffer(source, &self.views[self.count], PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        self.count += 1
        if self.views[self.count - 1].len < size_min:
            raise ValueError("a column is too short")
        return self.views[self.count - 1].buf

    def __dealloc__(self):
        for i in range(self.count):
            PyBuffer_Release(&self.views[i])
