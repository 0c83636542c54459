"""Summing rows by index: the gradient of an embedding, without a one-hot matrix."""

ctypedef fused real:
    float
    double


def add_rows(real[:, ::1] out, const long long[::1] index, const real[:, ::1] rows):
    """out[index[m]] += rows[m] for m in ascending order: one order of summation, whatever the threads."""
    cdef Py_ssize_t m, d, width = out.shape[1]
    cdef real *target
    with nogil:
        for m in range(index.shape[0]):
            target = &out[index[m], 0] if width else NULL
            for d in range(width):
                target[d] += rows[m, d]
