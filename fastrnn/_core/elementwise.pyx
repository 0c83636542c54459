"""Activations of whole arrays on a team, and their way back in one pass with the sums that a bias is owed."""

import numpy as np

cimport numpy as cnp

from fastrnn._core.isa cimport kernels
from fastrnn._core.kernels cimport FR_LINEAR, FR_RELU, FR_SIGMOID, FR_TANH, fr_kernels, fr_slope
from fastrnn._core.memory cimport empty
from fastrnn._core.threads cimport run_team

cnp.import_array()

KINDS = {"linear": FR_LINEAR, "relu": FR_RELU, "tanh": FR_TANH, "sigmoid": FR_SIGMOID}

# Elements from which a team pays.
cdef Py_ssize_t TEAM = 100_000
# Rows whose sum is one number: the blocks' sums are added up in their order, whatever the team.
cdef Py_ssize_t BLOCK = 256


cdef struct Array:
    const fr_kernels *kernels
    int kind
    Py_ssize_t size
    char *data


cdef void activate_team(void *context, int member, int members) noexcept nogil:
    cdef Array *q = <Array *> context
    cdef Py_ssize_t V = q.kernels.vector, vectors = (q.size + V - 1) // V
    cdef Py_ssize_t first = vectors * member // members * V
    cdef Py_ssize_t last = min(q.size, vectors * (member + 1) // members * V)
    cdef char *part = q.data + first * q.kernels.itemsize
    q.kernels.activate(q.kind, last - first, part, part)


def activate(str name, y, int threads):
    """y = f(y), in place; y is C-contiguous, of a float dtype."""
    cdef Array q
    q.kernels = kernels(y.dtype.itemsize)
    q.kind, q.size, q.data = KINDS[name], y.size, <char *> cnp.PyArray_DATA(y)
    if q.kind == FR_LINEAR:
        return y
    if q.size < TEAM:
        threads = 1
    with nogil:
        run_team(activate_team, &q, threads)
    return y


cdef struct Slope:
    const fr_kernels *kernels
    fr_slope all
    Py_ssize_t rows, blocks


cdef void slope_team(void *context, int member, int members) noexcept nogil:
    cdef Slope *q = <Slope *> context
    cdef fr_slope d = q.all
    cdef Py_ssize_t block
    for block in range(q.blocks * member // members, q.blocks * (member + 1) // members):
        d.r0, d.r1 = block * BLOCK, min(q.rows, (block + 1) * BLOCK)
        d.sums = q.all.sums + block * d.columns
        q.kernels.slope(&d)


def slope(str name, dy, y, int threads):
    """da = dy f'(x), from y = f(x), and its sum over the rows.

    dy is (M, N), its last axis contiguous; y is C-contiguous, of its shape and dtype, and not read where f is linear.

    Returns
    -------
    da : ndarray, (M, N)
        dy itself where f is linear.
    sums : ndarray, (N,)
        Added up in float64, for the rows are all rows and steps; in dy's dtype.
    """
    cdef Slope q
    cdef Py_ssize_t shape[2]
    q.kernels = kernels(dy.dtype.itemsize)
    q.rows, q.all.columns = shape[0], shape[1] = dy.shape
    q.all.kind = KINDS[name]
    q.all.dy, q.all.dy_row = cnp.PyArray_DATA(dy), cnp.PyArray_STRIDES(dy)[0] // q.kernels.itemsize
    da = dy
    if q.all.kind != FR_LINEAR:
        da = empty(2, shape, cnp.PyArray_TYPE(dy))
        q.all.y, q.all.da = cnp.PyArray_DATA(y), cnp.PyArray_DATA(da)
    q.blocks = (q.rows + BLOCK - 1) // BLOCK
    sums = np.empty((q.blocks, q.all.columns))
    q.all.sums = <double *> cnp.PyArray_DATA(sums)
    if q.rows * q.all.columns < TEAM:
        threads = 1
    with nogil:
        run_team(slope_team, &q, threads)
    return da, sums.sum(axis=0).astype(dy.dtype)
