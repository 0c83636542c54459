"""Softmax over rows, and its cross-entropy, value and gradient in one pass over each row."""

import numpy as np

cimport numpy as cnp

from fastrnn._core.isa cimport kernels
from fastrnn._core.kernels cimport fr_crossentropy, fr_kernels
from fastrnn._core.memory cimport Memory, empty
from fastrnn._core.threads cimport run_team

cnp.import_array()

# Elements from which a team pays.
cdef Py_ssize_t TEAM = 30_000


cdef struct Rows:
    const fr_kernels *kernels
    fr_crossentropy all
    char *scratch           # a row for each member, where no gradient is asked for
    Py_ssize_t scratch_bytes


cdef void rows_team(void *context, int member, int members) noexcept nogil:
    cdef Rows *q = <Rows *> context
    cdef fr_crossentropy d = q.all
    d.r0, d.r1 = q.all.r1 * member // members, q.all.r1 * (member + 1) // members
    if q.scratch != NULL:
        d.dz = q.scratch + member * q.scratch_bytes
    q.kernels.crossentropy(&d)


cdef void prepare(Rows *q, z):
    q.kernels = kernels(z.dtype.itemsize)
    q.scratch = NULL
    q.all.r0, q.all.r1, q.all.classes = 0, z.shape[0], z.shape[1]
    q.all.z = cnp.PyArray_DATA(z)
    q.all.number = NULL
    q.all.target = q.all.factor = NULL
    q.all.sums = q.all.totals = q.all.picked = NULL
    q.all.factor_step = 0
    q.all.dz, q.all.dz_row = NULL, q.all.classes


cdef void run(Rows *q, int threads):
    if q.all.r1 * q.all.classes < TEAM:
        threads = 1
    with nogil:
        run_team(rows_team, q, threads)


def crossentropy(z, true, factor, int threads):
    """The loss of each row, and its gradient by z times the factor.

    Parameters
    ----------
    z : ndarray, (M, C)
        Logits, C-contiguous, of a float dtype.
    true : ndarray
        Class numbers (M,), int64 in [0, C), or distributions (M, C) of z's dtype; C-contiguous.
    factor : ndarray, (M,) or (1,), or None
        Of z's dtype, C-contiguous; None: no gradient.

    Returns
    -------
    losses : ndarray, (M,)
    dz : ndarray, (M, C), or None
    """
    cdef Rows q
    cdef Memory memory = Memory()
    cdef Py_ssize_t shape[2]
    prepare(&q, z)
    results = np.empty((3, z.shape[0]), z.dtype)
    sums, totals, picked = results
    q.all.sums, q.all.totals = cnp.PyArray_DATA(sums), cnp.PyArray_DATA(totals)
    q.all.picked = cnp.PyArray_DATA(picked)
    if true.ndim == 1:
        q.all.number = <const long long *> cnp.PyArray_DATA(true)
    else:
        q.all.target = cnp.PyArray_DATA(true)
    dz = None
    if factor is None:
        q.scratch_bytes = (q.all.classes * q.kernels.itemsize + 63) // 64 * 64
        q.scratch, q.all.dz_row = memory.reserve(<double> threads * q.scratch_bytes), 0
    else:
        shape[0], shape[1] = z.shape
        dz = empty(2, shape, cnp.PyArray_TYPE(z))
        q.all.dz, q.all.factor = cnp.PyArray_DATA(dz), cnp.PyArray_DATA(factor)
        q.all.factor_step = 1 if factor.shape[0] > 1 else 0
    run(&q, threads)
    np.log(sums, out=sums)
    sums *= totals
    sums -= picked
    return sums, dz


def softmax(z, y, int threads):
    """y = e^z / sum(e^z) for the rows of z (M, C); both are C-contiguous, of one float dtype, and may be one array."""
    cdef Rows q
    prepare(&q, z)
    one = np.ones(1, z.dtype)
    q.all.factor, q.all.dz = cnp.PyArray_DATA(one), cnp.PyArray_DATA(y)
    run(&q, threads)
    return y
