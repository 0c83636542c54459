"""A plain 2-D product on the cells' register tiles, or NumPy's BLAS: one function chooses.

Never two thread pools in one computation: after a threaded BLAS product its workers spin for a while on the cores that
the next OpenMP team wants, and a call of 1 ms takes 8. So the products of a recurrent layer are always ours, and a
plain one is BLAS's only where that is much faster. With vector kernels it is not: large products on a Zen 5 reach 227
GFLOP/s on one thread and 438 on two here, 119 and 226 with the OpenBLAS in NumPy 2.4; on a Xeon of the 5th generation
175 and 341 here, 190 and 373 there (`python -m benchmarks.peers` measures both).
"""

import os

import numpy as np

from fastrnn._core import isa

cimport numpy as cnp
from libc.string cimport memcpy, memset

from fastrnn._core.isa cimport kernels
from fastrnn._core.kernels cimport FR_OUTER_PADDING, FR_OUTER_ROWS, fr_kernels, fr_outer, fr_product
from fastrnn._core.memory cimport Memory
from fastrnn._core.threads cimport run_team

cnp.import_array()

BACKENDS = ("auto", "own", "blas")
# Operations from which NumPy's BLAS serves a plain product where the kernels are the baseline's, which has no FMA.
BLAS_FROM = 1e9
# Operations a second one thread does, roughly, and the seconds below which a team does not pay.
cdef double RATE = 1e11
cdef double TEAM = 30e-6

cdef enum:
    BLOCK_BYTES = 256 * 1024
    BLOCK_LEAST = 64


def choose(double operations):
    """'own' or 'blas' for a product of so many operations; FASTRNN_MATMUL=own|blas forces one.

    Size and ISA decide, not the threads: a program gives the same bits with any number of them.
    """
    wanted = os.environ.get("FASTRNN_MATMUL", "auto")
    if wanted not in BACKENDS:
        raise ValueError(f"FASTRNN_MATMUL must be one of {', '.join(BACKENDS)}, got {wanted!r}")
    if wanted != "auto":
        return wanted
    return "blas" if operations >= BLAS_FROM and isa.active() == "baseline" else "own"


cdef struct Product:
    const fr_kernels *kernels
    Py_ssize_t rows
    Py_ssize_t K
    Py_ssize_t N
    Py_ssize_t P
    Py_ssize_t b_row
    bint transposed
    char *b
    char *packed
    const void **a_rows
    const void **b_rows
    void **c_rows
    char *seed                  # (P, V): what every row of the product begins with
    char *outer                 # (P, M, V)
    char *scratch
    Py_ssize_t scratch_bytes    # for each member


cdef void pack_team(void *context, int member, int members) noexcept nogil:
    cdef Product *q = <Product *> context
    cdef int order = 0
    cdef Py_ssize_t p0 = q.P * member // members, p1 = q.P * (member + 1) // members
    if q.transposed:
        q.kernels.pack_transposed(q.packed, q.b, q.b_row, q.N, q.K, 1, &order, q.K, p0, p1)
    else:
        q.kernels.pack(q.packed, q.b, q.b_row, q.K, q.N, 1, &order, p0, p1)


cdef void product_team(void *context, int member, int members) noexcept nogil:
    cdef Product *q = <Product *> context
    cdef Py_ssize_t i = q.rows * member // members, end = q.rows * (member + 1) // members
    cdef Py_ssize_t block = max(BLOCK_LEAST, BLOCK_BYTES // max(1, q.K * q.kernels.itemsize))
    cdef fr_product d
    d.p0 = 0
    d.p1 = q.P
    d.gates = 1
    d.segments = 1
    d.length = q.K
    d.stride = 0
    d.a_first = 0
    d.b = q.packed
    d.b_panel = q.K * q.kernels.vector
    d.c_panel = q.kernels.vector
    d.c_first = 0
    d.seed = q.seed
    d.seeds = NULL
    d.columns = q.N
    while i < end:
        d.rows = min(block, end - i)
        d.a = q.a_rows + i
        d.c = q.c_rows + i
        q.kernels.product(&d)
        i += d.rows


cdef void outer_team(void *context, int member, int members) noexcept nogil:
    cdef Product *q = <Product *> context
    cdef fr_outer d
    d.k = q.K
    d.begins = True
    d.b = q.b_rows
    d.slots = d.gates = d.parts = 1
    d.columns = q.N
    d.scratch = q.scratch + member * q.scratch_bytes
    d.part[0].a = q.a_rows
    d.part[0].first = 0
    d.part[0].c = q.outer
    d.part[0].rows = q.rows
    d.part[0].m0 = 0
    d.part[0].m1 = q.rows
    d.p0 = 0
    d.p1 = q.P
    d.sum, d.into = NULL, NULL
    if q.P >= 4 * members or q.rows < 8 * members:
        d.p0 = q.P * member // members
        d.p1 = q.P * (member + 1) // members
    else:
        d.part[0].m0 = q.rows * member // members
        d.part[0].m1 = q.rows * (member + 1) // members
    q.kernels.outer(&d)


cdef void list_rows(const void **rows, array, Py_ssize_t count):
    cdef Py_ssize_t i, stride = cnp.PyArray_STRIDES(array)[0]
    cdef char *base = <char *> cnp.PyArray_DATA(array)
    for i in range(count):
        rows[i] = base + i * stride


def own(a, b, bint transpose_a, bint transpose_b, out, int threads, row=None):
    """out = op(a).op(b) by the kernels; a^T.b^T is not among the products a network needs, so b is copied for it.

    row (N,): added to every row of the product, but of a^T.b, which is a gradient.
    """
    cdef Product q
    cdef Memory memory = Memory()
    cdef Py_ssize_t real, packed, V
    cdef char *room
    cdef int order = 0
    if transpose_a and transpose_b:
        b, transpose_b = np.ascontiguousarray(b.T), False
    q.kernels = kernels(out.dtype.itemsize)
    real, V = q.kernels.itemsize, q.kernels.vector
    q.rows, q.N = out.shape[0], out.shape[1]
    q.K = a.shape[0] if transpose_a else a.shape[1]
    q.P = (q.N + V - 1) // V
    q.transposed = transpose_b
    q.b, q.b_row = <char *> cnp.PyArray_DATA(b), cnp.PyArray_STRIDES(b)[0] // real
    if 2.0 * q.rows * q.N * q.K / RATE < TEAM:
        threads = 1
    if transpose_a:
        packed = q.rows * q.P * V * real
        q.scratch_bytes = FR_OUTER_ROWS * ((4 * V + q.rows) * real + FR_OUTER_PADDING)
        room = memory.reserve(<double> packed + threads * q.scratch_bytes + 2 * q.K * sizeof(void *))
        q.outer, q.scratch = room, room + packed
        q.a_rows = <const void **> (q.scratch + threads * q.scratch_bytes)
        q.b_rows = q.a_rows + q.K
        list_rows(q.a_rows, a, q.K)
        list_rows(q.b_rows, b, q.K)
        with nogil:
            run_team(outer_team, &q, threads)
        q.kernels.unpack(cnp.PyArray_DATA(out), cnp.PyArray_STRIDES(out)[0] // real, q.outer, q.rows, q.N, 1, &order,
                         1, 0)
        return out
    packed = q.P * V * q.K * real
    room = memory.reserve(packed + q.P * V * real + 2 * q.rows * sizeof(void *))
    q.packed, q.seed = room, room + packed
    q.a_rows = <const void **> (q.seed + q.P * V * real)
    q.c_rows = <void **> (q.a_rows + q.rows)
    memset(q.seed, 0, q.P * V * real)
    if row is not None:
        memcpy(q.seed, cnp.PyArray_DATA(row), q.N * real)
    list_rows(q.a_rows, a, q.rows)
    list_rows(<const void **> q.c_rows, out, q.rows)
    with nogil:
        run_team(pack_team, &q, 1 if q.K * q.N < 50000 else threads)
        run_team(product_team, &q, threads)
    return out


def matmul(a, b, bint transpose_a, bint transpose_b, out, int threads, row=None):
    """out = op(a).op(b); the arrays are 2-D, of one float dtype, their last axes contiguous. row: as in `own`."""
    cdef double operations = 2.0 * out.shape[0] * out.shape[1] * (a.shape[0] if transpose_a else a.shape[1])
    if choose(operations) == "own":
        return own(a, b, transpose_a, transpose_b, out, threads, row)
    np.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)
    if row is not None:
        out += row
    return out
