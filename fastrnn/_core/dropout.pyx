"""Dropout in one pass: the mask is drawn where it is used, so neither way keeps one."""


cimport numpy as cnp

from fastrnn._core.isa cimport kernels
from fastrnn._core.kernels cimport FR_DROP_TILE, fr_drop, fr_kernels
from fastrnn._core.threads cimport run_team

cnp.import_array()

# Places from which a team pays.
cdef Py_ssize_t TEAM = 100_000


cdef struct Drop:
    const fr_kernels *kernels
    fr_drop part
    Py_ssize_t tiles


cdef void drop_team(void *context, int member, int members) noexcept nogil:
    cdef Drop *q = <Drop *> context
    cdef fr_drop part = q.part
    part.first, part.last = q.tiles * member // members, q.tiles * (member + 1) // members
    q.kernels.drop(&part)


def drop(x, out, unsigned long long key, unsigned long long passes, unsigned int number, double rate, int threads):
    """out = x m; m is 0 with probability `rate`, in [0, 1), to a 65536th, and 1 / (1 - rate) elsewhere.

    m is a function of key, passes, number and the place alone. x and out are C-contiguous, of one shape and float
    dtype; they may be one array. x None is 1.
    """
    cdef Drop q
    q.kernels = kernels(out.dtype.itemsize)
    q.part.count = out.size
    q.part.key, q.part.passes, q.part.number = key, passes, number
    q.part.threshold, q.part.scale = <unsigned int> (rate * 65536), 1 / (1 - rate)
    q.part.x = NULL if x is None else cnp.PyArray_DATA(x)
    q.part.y = cnp.PyArray_DATA(out)
    q.tiles = (q.part.count + FR_DROP_TILE - 1) // FR_DROP_TILE
    if q.part.count < TEAM:
        threads = 1
    with nogil:
        run_team(drop_team, &q, threads)
    return out
