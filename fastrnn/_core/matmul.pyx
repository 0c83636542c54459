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
from fastrnn._core.kernels cimport FR_OUTER_PADDING, FR_OUTER_ROWS, fr_dots, fr_kernels, fr_outer, fr_product, fr_spread
from fastrnn._core.memory cimport Memory
from fastrnn._core.threads cimport run_team

cnp.import_array()

BACKENDS = ("auto", "own", "blas")
# Operations from which NumPy's BLAS serves a plain product where the kernels are the baseline's, which has no FMA.
BLAS_FROM = 1e9
# Operations a second one thread does, roughly, and the seconds below which a team does not pay.
cdef double RATE = 1e11
cdef double TEAM = 30e-6
# The rate of a product with a narrow side, which waits for memory.
cdef double NARROW_RATE = 1e10
# Rows, columns or k that `spread` takes; a tile's panels are quicker from 4 on.
cdef Py_ssize_t FEW = 3

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
    fr_dots last                # the columns after the P panels
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
    cdef fr_dots last = q.last
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
    d.from_end = False
    d.after = NULL
    d.scratch = NULL
    d.rounded = False
    d.joined = NULL
    d.columns = q.N
    while i < end:
        d.rows = min(block, end - i)
        d.a = q.a_rows + i
        d.c = q.c_rows + i
        q.kernels.product(&d)
        if last.N > 0:  # while the rows are in cache
            last.r0, last.r1 = i, i + d.rows
            q.kernels.dots(&last)
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
    d.bfloat16 = False
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


cdef struct Narrow:
    const fr_kernels *kernels
    fr_dots dots
    fr_spread spread


cdef void dots_team(void *context, int member, int members) noexcept nogil:
    cdef Narrow *q = <Narrow *> context
    cdef fr_dots d = q.dots
    d.r0, d.r1 = q.dots.r1 * member // members, q.dots.r1 * (member + 1) // members
    q.kernels.dots(&d)


cdef void spread_team(void *context, int member, int members) noexcept nogil:
    cdef Narrow *q = <Narrow *> context
    cdef fr_spread d = q.spread
    cdef Py_ssize_t V = q.kernels.vector, P = (q.spread.j1 + V - 1) // V
    if d.r1 >= 8 * members:
        d.r0, d.r1 = q.spread.r1 * member // members, q.spread.r1 * (member + 1) // members
    else:
        d.j0, d.j1 = P * member // members * V, min(q.spread.j1, P * (member + 1) // members * V)
    q.kernels.spread(&d)


cdef inline Py_ssize_t row_stride(array):
    return cnp.PyArray_STRIDES(array)[0] // cnp.PyArray_ITEMSIZE(array)


cdef int narrow_members(out, Py_ssize_t inner, int threads):
    return 1 if 2.0 * out.shape[0] * out.shape[1] * inner / NARROW_RATE < TEAM else threads


cdef bint few_columns(Py_ssize_t N, Py_ssize_t K, Py_ssize_t V):
    """Are dot products quicker than a panel? They cost N (K / V + 12), a panel's row K / 2: the batch has no say."""
    return N == 1 or 2 * N * (K + 12 * V) <= K * V


cdef fr_dots dots_of(a, b, out, row):
    """out = a.b^T + row, b (N, K)."""
    cdef fr_dots d
    d.r0, d.r1, d.K, d.N = 0, a.shape[0], a.shape[1], b.shape[0]
    d.a, d.b, d.c = cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), cnp.PyArray_DATA(out)
    d.a_row, d.b_row, d.c_row = row_stride(a), row_stride(b), row_stride(out)
    d.seed = NULL if row is None else cnp.PyArray_DATA(row)
    return d


cdef dots(a, b, out, int threads, row):
    cdef Narrow q
    q.kernels = kernels(out.dtype.itemsize)
    q.dots = dots_of(a, b, out, row)
    threads = narrow_members(out, q.dots.K, threads)
    with nogil:
        run_team(dots_team, &q, threads)


cdef spread(a, b, bint transpose_a, out, int threads, row):
    """out = op(a).b + row."""
    cdef Narrow q
    cdef Py_ssize_t stride = row_stride(a)
    q.kernels = kernels(out.dtype.itemsize)
    q.spread.r0, q.spread.r1, q.spread.j0, q.spread.j1 = 0, out.shape[0], 0, out.shape[1]
    q.spread.K = b.shape[0]
    q.spread.a, q.spread.b, q.spread.c = cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), cnp.PyArray_DATA(out)
    q.spread.a_k, q.spread.a_row = stride if transpose_a else 1, 1 if transpose_a else stride
    q.spread.b_row, q.spread.c_row = row_stride(b), row_stride(out)
    q.spread.seed = NULL if row is None else cnp.PyArray_DATA(row)
    threads = narrow_members(out, q.spread.K, threads)
    with nogil:
        run_team(spread_team, &q, threads)


cdef rows_of_transpose(b):
    """b^T with contiguous rows: a view of b where it is one column, as the weights of a single output are."""
    if b.shape[1] == 1 and row_stride(b) == 1:
        return b.T
    return np.ascontiguousarray(b.T)


cdef bint narrow(a, b, bint transpose_a, bint transpose_b, out, int threads, row):
    """The product, if it has a narrow side: False if it has none, and nothing is done."""
    cdef Py_ssize_t rows = out.shape[0], N = out.shape[1], K = a.shape[0] if transpose_a else a.shape[1]
    cdef Py_ssize_t V = kernels(out.dtype.itemsize).vector
    if K == 0:
        return False
    if not transpose_a:
        if K <= FEW:
            spread(a, rows_of_transpose(b) if transpose_b else b, False, out, threads, row)
        elif few_columns(N, K, V):
            dots(a, b if transpose_b else rows_of_transpose(b), out, threads, row)
        else:
            return False
        return True
    if rows <= FEW:
        spread(a, b, True, out, threads, row)
    elif N == 1 and row_stride(out) == 1:
        spread(b, a, True, out.T, threads, row)
    elif N <= FEW or 8 * N * ((rows + V - 1) // V) <= 7 * rows * ((N + V - 1) // V):
        # (b^T.a)^T, whose panels are full
        turned = np.empty((N, rows), out.dtype)
        own(b, a, True, False, turned, threads)
        out[...] = turned.T
    else:
        return False
    return True


def own(a, b, bint transpose_a, bint transpose_b, out, int threads, row=None):
    """out = op(a).op(b) by the kernels; a^T.b^T is not among the products a network needs, so b is copied for it.

    row (N,): added to every row of the product, but of a^T.b, which is a gradient.
    """
    cdef Product q
    cdef Memory memory = Memory()
    cdef Py_ssize_t real, packed, tail, V
    cdef char *room
    cdef int order = 0
    if transpose_a and transpose_b:
        b, transpose_b = np.ascontiguousarray(b.T), False
    if narrow(a, b, transpose_a, transpose_b, out, threads, row):
        return out
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
                         1, 0, 0, q.rows)
        return out
    q.last.N = 0
    tail = q.N % V
    if q.N > V and tail and few_columns(tail, q.K, V):  # the last panel would be almost empty
        q.N, q.P = q.N - tail, q.P - 1
        last = b[q.N:] if transpose_b else np.ascontiguousarray(b[:, q.N:].T)
        q.last = dots_of(a, last, out[:, q.N:], None if row is None else row[q.N:])
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
