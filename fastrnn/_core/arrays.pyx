"""The quick look at an argument that is exactly as it should be."""

cimport numpy as cnp

cnp.import_array()


def fits(value, dtype, tuple shape):
    """Is it an array of this dtype and shape, C-contiguous, aligned, in native byte order?

    A number in the shape is required, anything else stands for any size. False may also mean that it takes a closer
    look: `fastrnn.validate` has it, and the words for what is wrong.
    """
    cdef cnp.ndarray a
    cdef Py_ssize_t axis
    if type(value) is not cnp.ndarray:
        return False
    a = value
    if <object> cnp.PyArray_DESCR(a) is not dtype or not cnp.PyArray_ISCARRAY_RO(a) or a.ndim != len(shape):
        return False
    for axis in range(a.ndim):
        size = shape[axis]
        if type(size) is int and size != cnp.PyArray_DIM(a, <int> axis):
            return False
    return True
