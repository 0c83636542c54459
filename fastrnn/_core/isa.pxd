from fastrnn._core.kernels cimport fr_kernels

cdef const fr_kernels *kernels(Py_ssize_t itemsize) noexcept nogil
