"""An optimizer's update of one variable in one pass over the memory, and the norm of a gradient, by a team.

Every element is computed alone and the norm has fixed blocks: the bits do not depend on the threads.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t

from fastrnn._core.isa cimport kernels
from fastrnn._core.kernels cimport (
    FR_ADAGRAD, FR_ADAM, FR_MOMENTUM, FR_NESTEROV, FR_NUMBERS, FR_RMSPROP, FR_RMSPROP_BOTH, FR_RMSPROP_CENTERED,
    FR_RMSPROP_MOMENTUM, FR_SGD, fr_kernels, fr_update,
)
from fastrnn._core.memory cimport Memory
from fastrnn._core.threads cimport run_team

cnp.import_array()

# name: its code and the number of its slots
FORMULAS = {
    "sgd": (FR_SGD, 0),
    "momentum": (FR_MOMENTUM, 1),
    "nesterov": (FR_NESTEROV, 1),
    "adagrad": (FR_ADAGRAD, 1),
    "rmsprop": (FR_RMSPROP, 1),
    "rmsprop_centered": (FR_RMSPROP_CENTERED, 2),
    "rmsprop_momentum": (FR_RMSPROP_MOMENTUM, 2),
    "rmsprop_both": (FR_RMSPROP_BOTH, 3),
    "adam": (FR_ADAM, 2),
}

# Bytes below which a team does not pay: of all arrays of an update together, of a gradient whose norm is taken.
# ms on one thread and on two: Adam on 344,000 weights in float32 (5.5 MB) 0.18 and 0.12, on 80,000 0.04 and 0.02;
# RMSprop on 320,000 (3.8 MB) 0.14 and 0.08, between the kernels of a step of training 0.22 and 0.11. Where another
# process has the second core a team waits for it up to 8 ms, so there must be something to win.
cdef Py_ssize_t UPDATE_TEAM = 3 * 1024 * 1024
cdef Py_ssize_t NORM_TEAM = 1024 * 1024

cdef enum:
    LINE = 64
    NORM_BLOCK = 16384          # elements
    CHUNK = 2048                # elements, about, of the rows that a member takes at a time
    CHUNKS = 64                 # for each member, at most


cdef struct Pass:
    fr_update update
    Py_ssize_t count            # elements, or rows
    Py_ssize_t chunk            # elements of a line, or rows


cdef struct Passes:
    const fr_kernels *kernels
    Py_ssize_t count
    Pass *passes


cdef void update_team(void *context, int member, int members) noexcept nogil:
    """Whole lines of a dense variable; of a table chunks in turn, as the first words of a vocabulary are used most."""
    cdef Passes *all_ = <Passes *> context
    cdef Pass *q
    cdef Py_ssize_t chunks, n, i
    for n in range(all_.count):
        q = all_.passes + n
        chunks = (q.count + q.chunk - 1) // q.chunk
        if q.update.index == NULL:
            all_.kernels.update(&q.update, chunks * member // members * q.chunk,
                                min(q.count, chunks * (member + 1) // members * q.chunk))
        else:
            i = member
            while i < chunks:
                all_.kernels.update(&q.update, i * q.chunk, min(q.count, (i + 1) * q.chunk))
                i += members


cdef void *data_of(str name, cnp.ndarray array, int type_number, Py_ssize_t size) except? NULL:
    """The numbers of a contiguous array of this type and size."""
    if cnp.PyArray_TYPE(array) != type_number or cnp.PyArray_SIZE(array) != size or not cnp.PyArray_ISCARRAY_RO(array):
        raise ValueError(f"{name} must be of {size} elements, contiguous, of one dtype, got {array.dtype} "
                         f"{(<object> array).shape}")
    return cnp.PyArray_DATA(array)


def update(str formula, numbers, variables, double limit, int threads):
    """Update variables and their slots in place, all of one dtype.

    Each is (w, slots, g, index, scale, decay): w, slots and g contiguous and of one size; with an index (n,) g has the
    rows (n, D) of a w (N, D) at these places, ascending, and the others' gradient is zero. g is multiplied by scale and
    brought into [-limit, limit]; before the formula decay * w is taken from w.
    """
    cdef Passes all_
    cdef Pass *q
    cdef Memory memory = Memory()
    cdef Py_ssize_t size, given, i, bytes = 0
    cdef double values[FR_NUMBERS]
    cdef int code, slots, dtype = 0
    code, slots = FORMULAS[formula]
    for i in range(FR_NUMBERS):
        values[i] = numbers[i] if i < len(numbers) else 0.0
    all_.count = 0
    all_.passes = <Pass *> memory.reserve(len(variables) * <double> sizeof(Pass))
    for w, kept, g, index, scale, decay in variables:
        size = given = w.size
        if not size:
            continue
        if not all_.count:
            dtype = cnp.PyArray_TYPE(w)
            all_.kernels = kernels(w.itemsize)
        q = all_.passes + all_.count
        q.update.formula = code
        for i in range(FR_NUMBERS):
            q.update.numbers[i] = values[i]
        q.update.scale, q.update.limit, q.update.decay = scale, limit, decay
        q.update.w = data_of("w", w, dtype, size)
        for i in range(slots):
            q.update.slot[i] = data_of("a slot", kept[i], dtype, size)
        q.update.index = NULL
        q.update.count = q.update.columns = 0
        q.count, q.chunk = size, LINE // all_.kernels.itemsize
        if index is not None:
            q.count = w.shape[0]
            q.update.count, q.update.columns = index.size, w.shape[1]
            q.update.index = <const int64_t *> data_of("index", index, cnp.NPY_INT64, index.size)
            given = q.update.count * q.update.columns
            q.chunk = max(1, CHUNK // q.update.columns, q.count // (CHUNKS * threads))
        q.update.g = data_of("g", g, dtype, given)
        bytes += (2 + slots) * size * all_.kernels.itemsize
        all_.count += 1
    with nogil:
        run_team(update_team, &all_, threads if bytes >= UPDATE_TEAM else 1)


cdef struct Norm:
    const fr_kernels *kernels
    const char *x
    Py_ssize_t size
    double *sums                # of each block


cdef void norm_team(void *context, int member, int members) noexcept nogil:
    cdef Norm *q = <Norm *> context
    cdef Py_ssize_t blocks = (q.size + NORM_BLOCK - 1) // NORM_BLOCK, i
    for i in range(blocks * member // members, blocks * (member + 1) // members):
        q.sums[i] = q.kernels.squares(q.x + i * NORM_BLOCK * q.kernels.itemsize,
                                      min(NORM_BLOCK, q.size - i * NORM_BLOCK))


def squares(x, int threads):
    """The sum of the squares of a contiguous float array, in float64."""
    cdef Norm q
    cdef Memory memory = Memory()
    cdef Py_ssize_t i
    cdef double total = 0
    q.kernels = kernels(x.itemsize)
    q.size = x.size
    q.x = <const char *> data_of("x", x, cnp.PyArray_TYPE(x), q.size)
    q.sums = <double *> memory.reserve((q.size // NORM_BLOCK + 1) * sizeof(double))
    if q.size * q.kernels.itemsize < NORM_TEAM:
        threads = 1
    with nogil:
        run_team(norm_team, &q, threads)
    for i in range((q.size + NORM_BLOCK - 1) // NORM_BLOCK):
        total += q.sums[i]
    return total
