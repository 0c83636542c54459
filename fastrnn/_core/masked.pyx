"""Moving the valid steps of masked rows to the front, where the recurrent kernels want them, and back."""

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastrnn._core.memory cimport empty
from fastrnn._core.threads cimport run_team

cnp.import_array()

# Numbers from which a team pays.
cdef Py_ssize_t TEAM = 100_000

ctypedef fused real:
    float
    double

cdef enum:
    TO_FRONT, BACK, REPEATED, SUMMED


cdef struct Move:
    int kind
    bint reverse                # the walk goes from the last step to the first
    Py_ssize_t B
    Py_ssize_t T
    Py_ssize_t columns
    Py_ssize_t itemsize
    const char *mask            # (B, T), C-contiguous
    const int64_t *lengths      # (B,) valid steps
    const char *x               # its last axis contiguous
    Py_ssize_t x_row            # bytes
    Py_ssize_t x_step
    char *out                   # C-contiguous


cdef inline void add(real *to, const real *given, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        to[i] += given[i]


cdef void move_row(const Move *q, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t bytes = q.columns * q.itemsize, t, at, valid = 0  # so many valid steps before t
    cdef const char *mask = q.mask + b * q.T
    cdef const char *x = q.x + b * q.x_row
    cdef char *out = q.out + b * q.T * bytes
    if q.kind == TO_FRONT:
        for t in range(q.T):
            if mask[t]:
                memcpy(out + valid * bytes, x + t * q.x_step, bytes)
                valid += 1
        memset(out + valid * bytes, 0, (q.T - valid) * bytes)
        return
    if q.kind == SUMMED:
        memset(out, 0, q.T * bytes)
    for t in range(q.T):
        # the step in front that belongs to step t: its own, or, repeated, that of the valid step walked over last
        at = valid if mask[t] or q.reverse else valid - 1
        if not mask[t] and (q.kind == BACK or at < 0 or at == q.lengths[b]):
            at = -1
        if q.kind != SUMMED:
            if at >= 0:
                memcpy(out + t * bytes, x + at * q.x_step, bytes)
            else:
                memset(out + t * bytes, 0, bytes)
        elif at >= 0 and q.itemsize == 4:
            add(<float *> (out + at * bytes), <const float *> (x + t * q.x_step), q.columns)
        elif at >= 0:
            add(<double *> (out + at * bytes), <const double *> (x + t * q.x_step), q.columns)
        valid += mask[t]


cdef void move_team(void *context, int member, int members) noexcept nogil:
    cdef const Move *q = <const Move *> context
    cdef Py_ssize_t b
    for b in range(q.B * member // members, q.B * (member + 1) // members):
        move_row(q, b)


cdef move(int kind, x, mask, const int64_t[::1] lengths, bint reverse, int threads):
    """A new array like x (B, T, N), float32 or float64; mask (B, T) is bool and C-contiguous."""
    cdef Move q
    cdef cnp.ndarray given = x
    q.itemsize = cnp.PyArray_ITEMSIZE(given)
    if cnp.PyArray_DIM(given, 2) > 1 and cnp.PyArray_STRIDE(given, 2) != q.itemsize:
        given = cnp.PyArray_GETCONTIGUOUS(given)
    q.kind, q.reverse = kind, reverse
    q.B, q.T, q.columns = cnp.PyArray_DIM(given, 0), cnp.PyArray_DIM(given, 1), cnp.PyArray_DIM(given, 2)
    out = empty(3, <Py_ssize_t *> cnp.PyArray_DIMS(given), cnp.PyArray_TYPE(given))
    if cnp.PyArray_SIZE(given) == 0:
        return out
    q.mask, q.lengths = <const char *> cnp.PyArray_DATA(mask), &lengths[0]
    q.x, q.x_row, q.x_step = cnp.PyArray_BYTES(given), cnp.PyArray_STRIDE(given, 0), cnp.PyArray_STRIDE(given, 1)
    q.out = cnp.PyArray_BYTES(out)
    if cnp.PyArray_SIZE(given) < TEAM:
        threads = 1
    with nogil:
        run_team(move_team, &q, threads)
    return out


def to_front(x, mask, lengths, int threads):
    """Every row's valid steps in front, in their order, zeros behind."""
    return move(TO_FRONT, x, mask, lengths, False, threads)


def back(y, mask, lengths, int threads):
    """What stands in front at the valid steps, zeros at the others."""
    return move(BACK, y, mask, lengths, False, threads)


def repeated(y, mask, lengths, bint reverse, int threads):
    """As `back`, but a masked step has what the valid step has that was walked over last, zeros before the first."""
    return move(REPEATED, y, mask, lengths, reverse, threads)


def summed(dy, mask, lengths, bint reverse, int threads):
    """The way back of `repeated`: in front the sums, by rising steps, over all that had it; zeros behind."""
    return move(SUMMED, dy, mask, lengths, reverse, threads)
