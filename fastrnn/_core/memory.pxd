cdef class Memory:
    cdef char *data
    cdef Py_ssize_t size
    cdef char *reserve(self, double size) except NULL

cdef empty(int axes, const Py_ssize_t *shape, int type_number)
