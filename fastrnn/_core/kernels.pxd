# The border with src/: see fastrnn.h for what each field means.

from libc.stdint cimport int64_t

cdef extern from "fastrnn.h" nogil:
    enum:
        FR_SIMPLE_RNN
        FR_LSTM
        FR_GRU
        FR_CELLS
        FR_TANH
        FR_RELU
        FR_LINEAR
        FR_SIGMOID
        FR_MAX_GATES
        FR_OUTER_ROWS
        FR_OUTER_PADDING
        FR_AHEAD
        FR_SGD
        FR_MOMENTUM
        FR_NESTEROV
        FR_ADAGRAD
        FR_RMSPROP
        FR_RMSPROP_CENTERED
        FR_RMSPROP_MOMENTUM
        FR_RMSPROP_BOTH
        FR_ADAM
        FR_UPDATE_SLOTS
        FR_NUMBERS
        FR_DROP_TILE

    ctypedef struct fr_joined:
        const void **a
        Py_ssize_t length
        const void *b
        Py_ssize_t b_panel

    ctypedef struct fr_product:
        Py_ssize_t rows, p0, p1
        int gates
        const void **a
        Py_ssize_t segments, length, stride, a_first
        const void *b
        Py_ssize_t b_panel
        void **c
        Py_ssize_t c_panel, c_first
        const void *seed
        const void **seeds
        Py_ssize_t columns
        bint from_end
        const void *after
        void *scratch
        bint rounded
        const fr_joined *joined

    ctypedef struct fr_outer_part:
        const void **a
        Py_ssize_t m0, m1
        int first
        void *c
        Py_ssize_t rows

    ctypedef struct fr_outer:
        Py_ssize_t k, p0, p1
        int begins
        const void **b
        int slots, gates
        Py_ssize_t columns
        void *sum
        void **into
        int parts
        fr_outer_part part[2]
        bint bfloat16
        void *scratch

    ctypedef struct fr_ahead:
        const void **rows
        Py_ssize_t panel

    ctypedef struct fr_step:
        fr_product product
        Py_ssize_t rows, units
        int activation, training
        void **gates
        const void **c_prev
        void **c
        void **h_next
        void **y
        const void **dy
        const void **h
        const void **h_prev
        void **dc
        fr_ahead ahead[4]

    ctypedef struct fr_cell:
        const char *name
        int gates, slots, states, input_first, recurrent_first
        int *input_order
        int *recurrent_order
        void (*forward)(const fr_step *) noexcept nogil
        void (*backward)(const fr_step *) noexcept nogil

    ctypedef struct fr_update:
        int formula
        double *numbers
        double scale, limit, decay
        void *w
        void **slot
        const void *g
        const int64_t *index
        Py_ssize_t count, columns
    ctypedef struct fr_dots:
        Py_ssize_t r0, r1, K, N
        const void *a
        const void *b
        Py_ssize_t a_row, b_row, c_row
        void *c
        const void *seed

    ctypedef struct fr_spread:
        Py_ssize_t r0, r1, j0, j1, K
        const void *a
        const void *b
        Py_ssize_t a_k, a_row, b_row, c_row
        void *c
        const void *seed

    ctypedef struct fr_slope:
        int kind
        Py_ssize_t r0, r1, columns
        const void *dy
        const void *y
        Py_ssize_t dy_row
        void *da
        double *sums

    ctypedef struct fr_crossentropy:
        Py_ssize_t r0, r1, classes
        const void *z
        const long long *number
        const void *target
        const void *factor
        Py_ssize_t factor_step
        void *sums
        void *totals
        void *picked
        void *dz
        Py_ssize_t dz_row

    ctypedef struct fr_drop:
        Py_ssize_t first, last, count
        unsigned long long key, passes
        unsigned int number, threshold
        double scale
        const void *x
        void *y

    ctypedef struct fr_kernels:
        Py_ssize_t vector, itemsize
        const fr_cell **cells
        void (*product)(const fr_product *) noexcept nogil
        int (*joins)(const fr_cell *, Py_ssize_t k, int bfloat16) noexcept nogil
        void (*outer)(const fr_outer *) noexcept nogil
        void (*pack)(void *, const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, const int *,
                     Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*pack_transposed)(void *, const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, const int *,
                                Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*pack_bfloat16)(void *, const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, const int *,
                              Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*pack_transposed_bfloat16)(void *, const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, const int *,
                                         Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil
        Py_ssize_t (*bfloat16_room)(Py_ssize_t rows, Py_ssize_t K) noexcept nogil
        void (*unpack)(void *, Py_ssize_t, const void *, Py_ssize_t, Py_ssize_t, int, const int *, int, int,
                       Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*activate)(int, Py_ssize_t, const void *, void *) noexcept nogil
        void (*update)(const fr_update *, Py_ssize_t, Py_ssize_t) noexcept nogil
        double (*squares)(const void *, Py_ssize_t) noexcept nogil
        void (*add_rows)(void *, const int64_t *, const void *, Py_ssize_t, Py_ssize_t) noexcept nogil
        void (*slope)(const fr_slope *) noexcept nogil
        void (*crossentropy)(const fr_crossentropy *) noexcept nogil
        void (*dots)(const fr_dots *) noexcept nogil
        void (*spread)(const fr_spread *) noexcept nogil
        void (*drop)(const fr_drop *) noexcept nogil

    ctypedef struct fr_isa:
        const char *name
        const fr_kernels *f32
        const fr_kernels *f64

    const fr_isa fr_isas[]
    bint fr_isa_supported(const char *name)
    bint fr_isa_pays(const char *name)

cdef extern from "barrier.h" nogil:
    ctypedef struct fr_barrier:
        pass
    void fr_barrier_wait(fr_barrier *barrier, int members)
    void fr_prefetch(const void *line)

cdef extern from "turns.h" nogil:
    ctypedef struct fr_turn:
        Py_ssize_t done
        int taken
    ctypedef struct fr_turns:
        int blocks
        Py_ssize_t total
        fr_turn *block
        Py_ssize_t items
    ctypedef struct fr_share:
        pass
    int fr_take_turn(fr_turns *turns)
    void fr_give(fr_share *share, Py_ssize_t low, Py_ssize_t high)
    Py_ssize_t fr_take_panels(fr_share *share, Py_ssize_t most, bint from_end, Py_ssize_t *first)
    void fr_end_turn(fr_turns *turns, int block, Py_ssize_t steps)
    Py_ssize_t fr_take_items(fr_turns *turns, Py_ssize_t total, Py_ssize_t least, Py_ssize_t most, int members,
                             Py_ssize_t *first)
