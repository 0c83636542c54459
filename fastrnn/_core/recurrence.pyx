"""The forward and the BPTT time loop, one of each for all cells, and the streaming step.

Legend: T steps, B batch rows, I inputs, H hidden units, G gates; V units per vector, P = ceil(H / V) panels, S slots.

Design
------
* A `Walk` is everything a team needs for one pass over a sequence. Its members carry blocks of batch rows through the
  steps, in turns of some steps each, or, when rows are few or the recurrent weights outgrow the second-level cache,
  all rows, each through its share of the hidden units (one barrier a step), and what another has not begun of its own.
* Forward, a step multiplies x and h in one product, where that pays. Else a member goes in chunks of steps: it projects
  the input of a chunk, whose pre-activations stay in its cache, then walks it. Inference needs no buffer of all steps;
  training projects straight to where the gates are kept.
* Rows reach the kernels as lists of pointers, so strides, either direction of time and ragged lengths cost nothing
  inside them. Ragged rows are walked longest first: those that still run are always the first `n`.
* State buffers, gates and cell states belong to batch rows, never to threads: any team may continue where another
  stopped. A long walk is cut into pieces between which the interpreter may see Ctrl-C.
* Kept for BPTT, per step and row: S.H in gate rows, H of cell states (LSTM) and the outputs themselves. BPTT
  overwrites the gate rows with their gradients, from which the weight gradients are one product over all steps.
* Where weights are few a block of rows multiplies its dG on the way back, while they are in a near cache, and sums
  weight gradients of its own, which are added up in the end.
* With weights in bfloat16 the left operand of each product is rounded to it in a member's scratch; all that is kept or
  carried stays float32.
* Every element has one order of accumulation: the bits do not depend on threads, chunks or neighbours in the batch.
"""

import numpy as np

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memcpy, memset

from fastrnn._core.isa cimport kernels
from fastrnn._core.kernels cimport (
    FR_AHEAD, FR_GRU, FR_LINEAR, FR_LSTM, FR_OUTER_PADDING, FR_OUTER_ROWS, FR_RELU, FR_SIMPLE_RNN, FR_TANH, fr_ahead,
    fr_barrier, fr_barrier_wait, fr_cell, fr_end_turn, fr_give, fr_joined, fr_kernels, fr_outer, fr_prefetch,
    fr_product, fr_share, fr_step, fr_take_items, fr_take_panels, fr_take_turn, fr_turn, fr_turns,
)
from fastrnn._core.memory cimport Memory, empty
from fastrnn._core.threads cimport call_member, run_helped, run_team, team_body

from fastrnn import validate

cdef extern from *:
    """
    #undef I  /* complex.h, which comes with NumPy's headers, takes the legend's letter */
    """

cdef extern from "clock.h" nogil:
    double seconds "fr_seconds"()

cnp.import_array()

CELLS = {"simple_rnn": FR_SIMPLE_RNN, "lstm": FR_LSTM, "gru": FR_GRU}
ACTIVATIONS = {"tanh": FR_TANH, "relu": FR_RELU, "linear": FR_LINEAR}

ctypedef const void *row_in
ctypedef void *row_out

# A chunk is so many rows that one read of W serves them, or as many as the first-level cache holds pre-activations of
# (128 rows took 0.96 to 1.04 of the time of layers of 200 to 1024 units, 256 rows 0.98 to 1.12).
cdef enum:
    CHUNK_ROWS = 48
    CHUNK_BYTES = 12 * 1024
# The kernels know for which sizes a step's product is better joined; but for fewer rows than JOINED_ROWS a chunk's
# product is the faster, unless there is one step or next to no input (32 units: 4 rows take 0.85 to 0.9 of the time
# joined, 2 rows 1.01, one row of one input 0.96). Joined, W is read at every step, and weights of more than
# JOINED_WEIGHTS from memory, which pays for CHUNK_ROWS rows (1024 units: 0.96 to 0.99) and not for 8 or 12 (1.1).
cdef enum:
    JOINED_ROWS = 3
    JOINED_INPUTS = 4
    JOINED_WEIGHTS = 16 * 1024 * 1024
# Weights of fewer bytes stay in a second-level cache: rows are then walked in blocks of BLOCK_ROWS, whose gates and
# states stay in the first-level cache from one step to the next.
cdef enum:
    KEPT_WEIGHTS = 512 * 1024
    BLOCK_ROWS = 24
# Rows of dG a member multiplies by W^T before it goes on to the next panels: what stays in its second-level cache, but
# so many that W^T, which is read anew for each block, is worth its way; fewer towards the end, that all end together.
cdef enum:
    BLOCK_BYTES = 256 * 1024
    BLOCK_LEAST = 64
    LAST_LEAST = 16
# Points whose rows a member lists at a time, on its stack, for dX and the weight gradients. Lists of all points,
# made by one thread, took 2 of 28 MB (SimpleRNN, 32 units, 128 rows, 500 steps); a team for each 8192 points took twice
# the time when other programs wanted a core.
cdef enum:
    LISTED = 2048
# Weight gradients of fewer bytes are summed by each block of rows for itself, after every SUM_POINTS points, whose dG
# is still in its second-level cache. On two threads that saves 12 to 17 % of a training step of 32 units, 5 % of 200
# (220 KiB), with 350 KiB nothing; on one thread 19 % of an LSTM of 32 units, but 64 to 200 units are 0 to 6 % slower.
# LEAST_BLOCKS, if rows are enough, let as many threads take part; 4 were 1 to 3 % faster on two. dG kept in a small
# buffer of each thread, instead of where the gates were, gained nothing more.
cdef enum:
    SUM_BYTES = 256 * 1024
    SUM_POINTS = 256
    LEAST_BLOCKS = 8
    MOST_BLOCKS = 16            # 4 MB of sums at most
# Panels of a cell state's row from which on BPTT's copies are kept a vector apart, against conflicts of cache sets: in
# shorter ones that vector would be 13 % or more of them.
cdef enum:
    LONG = 8

# What a step costs one thread, roughly: operations a second, bytes of weights a second from the third-level cache,
# activations a second. Only the choice of a team, and the first piece of a long pass, rest on it.
cdef double RATE = 2e11
cdef double STREAM = 1e11
cdef double STREAM_BFLOAT16 = 6e10  # bounded by what makes reals of them: 80 alone, from the second-level cache
cdef double ACTIVATIONS_RATE = 4e9
# Seconds: a pass shorter than TEAM is too short for a second thread, a step shorter than SPLIT for each, a guess,
# for a barrier. Two threads' time over one's, shapes of 5 us by these figures (10 to 20 in truth): 0.74 to 1.1 to
# infer, 0.88 to 1.14 to train; of 10 us: 0.61 to 0.84, while a host had both cores on one 1.0 to 1.15, and 0.74 to
# 0.86; but threads that are asleep cost 80 us more.
# A piece of a walk ends after PIECE for Ctrl-C.
cdef double TEAM = 10e-6
cdef double SPLIT = 1e-6
# A stream's step longer than this pays for helpers. Two threads' time over one's, LSTM: 96 units (3.2 us by the figures
# above) 0.97, 112 0.81, 128 0.84, 160 0.73, 192 0.65; SimpleRNN: 192 units (3.1) 0.85 to 1.14, 256 0.76, 384 0.69.
cdef double HELPERS = 4e-6
# Members that share the units of a step each take a tile's panels at a time, then those that a teammate has not begun,
# where that is work for so long; else each its own at once. It halves, or better, the 5 to 8 % of a step that they wait
# for the slower core: 16 us, an LSTM of 650 units with 20 rows, forward 0.96 of the time, 84 us (1024, 64) 0.94, but
# 2.6 us (256, one row) 1.03. Taking panels of a chunk's projection and of its first step together spares a barrier, but
# leaves less of R in the second-level cache: nothing gained (0.98 to 1.0).
cdef double GRAIN = 3e-6
cdef double PIECE = 0.03
# That of weight gradients, which each piece fetches from memory and writes back (3 ms for 1024 units and inputs), and
# of dX.
cdef double POINTS_PIECE = 0.1
cdef double STEP = 1e-7         # of a step besides its arithmetic
# Seconds of a member's turn with a block of rows, at least and, where turns are many, at most: the core that has the
# next one must fetch the block's states, and 250 us are 1 to 3 % better than 50 (LSTM of 256 units, 64 rows). The turns
# a member must have for the last one not to matter.
cdef double SHORT_TURN = 50e-6
cdef double LONG_TURN = 250e-6
cdef Py_ssize_t TURNS = 16
cdef Py_ssize_t TURN_ROWS = 8   # a block of fewer is slower: each of its weights serves less
# Recurrent weights of more bytes than this are better read in shares by the team than whole by each member: measured
# on two cores 7 to 10 % at 7 and 16 MB, nothing at 1 MB, and where W is multiplied with R 1 to 5 % the worse at 0.6 and
# 1 MB: walking rows needs no barrier and suffers less when other programs want a core.
cdef Py_ssize_t SHARED_WEIGHTS = 2 * 1024 * 1024
# Fewer weights than this are packed by one thread, and their gradients laid out. By two, a training step of an LSTM of
# 128 units and 64 inputs (98000) takes 0.94 of the time over 100 steps of one row and 0.86 over 20; 64 units and inputs
# (33000), 16 rows of 20 steps, 0.95; a GRU of them (25000) 0.98; a SimpleRNN of 128 units (17000) 1.02.
cdef Py_ssize_t PACKED_ALONE = 20000


cdef struct Array:
    # one 3-D array seen as (T, B, reals): bytes from step to step and from row to row
    char *data
    Py_ssize_t step
    Py_ssize_t row


cdef struct Walk:
    const fr_kernels *kernels
    const fr_cell *cell
    int activation
    int training
    int reverse
    Py_ssize_t T
    Py_ssize_t B
    Py_ssize_t I
    Py_ssize_t H
    Py_ssize_t P
    Py_ssize_t gate_bytes       # of a gate row (P, S, V)
    Py_ssize_t state_bytes      # of a padded state row (P, V), and a vector more against cache set conflicts
    Py_ssize_t *lengths         # (B,) valid steps of each row; NULL: all T
    Py_ssize_t *order           # (B,) rows by falling length; NULL: as they come
    Py_ssize_t first            # the piece being done: walked steps, or points, [first, last)
    Py_ssize_t last
    Py_ssize_t chunk            # steps projected at a time
    bint joined                 # no chunk is: a step multiplies x and h in one product
    int blocks                  # of batch rows
    Py_ssize_t turn             # steps a member walks with one of them before it looks which is next
    fr_turns *turns
    int members
    bint by_units               # the members share the units of all rows, instead of the rows
    fr_barrier *barrier
    Py_ssize_t grain            # then: panels a member takes at a time; 0: its own at once
    fr_share *shares            # (2, members): the panels nobody has taken, in this phase and in the next
    char *lists                 # room for pointer lists, list_bytes for each member
    Py_ssize_t list_bytes
    bint bfloat16               # the weights
    char *rounded               # then: room for the left operand of a product, rounded_bytes for each member
    Py_ssize_t rounded_bytes
    # weights
    char *W
    char *R
    char *bias                  # a gate row
    # sequences, states, gradients
    Array x                     # or, of a table, the numbers of its rows
    # gate rows, one for each row of a table: what it projects to, on the way back the gradients; NULL: x is projected
    char *table
    Array y                     # data NULL: nobody reads the sequence
    Array gates                 # a gate row for each point in training, for each of a chunk else
    Array cells                 # a state row for each point, training an LSTM
    char *h                     # (2, B, state row)
    char *c                     # (B, state row): the initial cell state; without training the running one
    char *h_end                 # (B, H), final states out
    char *c_end
    # backward
    Array dy
    char *RT
    char *WT
    char *h0                    # (B, H)
    char *dh                    # (B, state row)
    char *dc
    Array dx
    char *zeros
    # weight gradients
    Py_ssize_t sum_steps        # BPTT's blocks sum them for themselves after so many steps; 0: teams do, afterwards
    Py_ssize_t sum_bytes        # of the sums of a block, dW, dR and db
    Py_ssize_t points           # the valid (t, b)
    char *dW                    # (P, I, G, V)
    char *dR
    char *db                    # (P, S, V)
    char *scratch
    Py_ssize_t scratch_bytes    # for each member


cdef inline Py_ssize_t step_at(const Walk *w, Py_ssize_t walked) noexcept nogil:
    return w.T - 1 - walked if w.reverse else walked


cdef inline Py_ssize_t previous(const Walk *w, Py_ssize_t t) noexcept nogil:
    return t + 1 if w.reverse else t - 1


cdef inline Py_ssize_t running(const Walk *w, const Py_ssize_t *rows, Py_ssize_t count, Py_ssize_t t,
                               Py_ssize_t guess) noexcept nogil:
    """How many of a member's rows, longest first, reach step t."""
    if w.lengths == NULL:
        return count
    while guess > 0 and w.lengths[rows[guess - 1]] <= t:
        guess -= 1
    while guess < count and w.lengths[rows[guess]] > t:
        guess += 1
    return guess


cdef inline char *rounded(const Walk *w, int member) noexcept nogil:
    """A member's scratch for products with weights in bfloat16; NULL when they are reals."""
    return w.rounded + member * w.rounded_bytes if w.bfloat16 else NULL


cdef inline Py_ssize_t packed_rows(const Walk *w, Py_ssize_t K) noexcept nogil:
    """Rows (G, V) of a packed operand's panel."""
    return (K + 1) // 2 if w.bfloat16 else K


cdef struct Member:
    # the rows and units one member walks at a time
    int part                    # of the units, of `parts`, each another member's
    int parts
    Py_ssize_t p0
    Py_ssize_t p1
    int phase                   # which of the products between two meetings of the team
    bint taken                  # it has had panels in this phase
    Py_ssize_t count
    Py_ssize_t *rows
    char *lists
    char *rounded
    char *scratch
    char *sums


cdef Member take(Walk *w, int member, Py_ssize_t block, int part, int parts) noexcept nogil:
    """A block of rows and a part of their units."""
    cdef Member m
    cdef Py_ssize_t i, first = w.B * block // w.blocks
    m.part, m.parts, m.phase, m.taken = part, parts, 0, False
    m.p0 = w.P * part // parts
    m.p1 = w.P * (part + 1) // parts
    m.lists = w.lists + member * w.list_bytes
    m.rounded = rounded(w, member)
    m.scratch = w.scratch + member * w.scratch_bytes
    m.sums = w.dW + block * w.sum_bytes
    m.rows = <Py_ssize_t *> m.lists
    if w.order == NULL or w.sum_steps > 0:  # whose sums are the same with lengths that are all full
        m.count = w.B * (block + 1) // w.blocks - first
        for i in range(m.count):
            m.rows[i] = first + i if w.order == NULL else w.order[first + i]
    else:  # dealt like cards, so that every block has long and short rows
        m.count = (w.B - block + w.blocks - 1) // w.blocks
        for i in range(m.count):
            m.rows[i] = w.order[block + i * w.blocks]
    m.lists += m.count * sizeof(Py_ssize_t)
    return m


ctypedef void (*block_body)(Walk *w, Member m, Py_ssize_t first, Py_ssize_t last) noexcept nogil


cdef void walk_blocks(Walk *w, int member, int members, bint back, block_body body) noexcept nogil:
    """Walk the steps [first, last) of all blocks, together with the other members of the team."""
    cdef Py_ssize_t done, steps
    cdef int block
    if members == 1:
        for block in range(w.blocks):
            body(w, take(w, 0, block, 0, 1), w.first, w.last)
        return
    if w.by_units:
        body(w, take(w, member, 0, member, members), w.first, w.last)
        return
    while True:
        block = fr_take_turn(w.turns)
        if block < 0:
            return
        done = w.turns.block[block].done
        steps = min(w.turn, w.turns.total - done)
        if back:
            body(w, take(w, member, block, 0, 1), w.last - done - steps, w.last - done)
        else:
            body(w, take(w, member, block, 0, 1), w.first + done, w.first + done + steps)
        fr_end_turn(w.turns, block, steps)


cdef inline row_out *take_list(Member *m, Py_ssize_t count) noexcept nogil:
    cdef char *room = m.lists
    m.lists += count * sizeof(void *)
    return <row_out *> room


cdef inline void state_list(row_out *to, char *base, Py_ssize_t bytes, const Py_ssize_t *rows,
                            Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        to[i] = base + rows[i] * bytes


cdef inline void array_list(row_out *to, const Array *a, Py_ssize_t t, const Py_ssize_t *rows,
                            Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        to[i] = a.data + t * a.step + rows[i] * a.row


cdef inline void spaced(row_out *to, char *first, Py_ssize_t bytes, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        to[i] = first + i * bytes


cdef inline void fetch(row_out *rows, Py_ssize_t count, Py_ssize_t bytes) noexcept nogil:
    """Ask for rows that teammates have just written: a product would wait for one line after the other."""
    cdef Py_ssize_t i, offset
    for i in range(count):
        for offset in range(0, bytes, 64):
            fr_prefetch(<char *> rows[i] + offset)


cdef inline void ahead(const Walk *w, fr_ahead *to, row_out *room, const Array *a, Py_ssize_t walked,
                       const Py_ssize_t *rows, Py_ssize_t count, Py_ssize_t panel) noexcept nogil:
    """Let the tiles of a step ask for the rows of another one; nobody needs them when there is no such step."""
    cdef Py_ssize_t t = step_at(w, walked)
    to.rows = NULL
    to.panel = panel
    if a.data != NULL and 0 <= t < w.T:
        array_list(room, a, t, rows, count)
        to.rows = <row_in *> room


# ------------------------------------------------------------------------------------- the panels of a step by units

cdef inline void give_panels(Walk *w, int part, int parts, int phase) noexcept nogil:
    """Let the panels that are a member's be taken in this phase."""
    fr_give(&w.shares[(phase & 1) * parts + part], w.P * part // parts, w.P * (part + 1) // parts)


cdef inline const void *panel_after(const Walk *w, const Member *m, const fr_product *d) noexcept nogil:
    """Where the panel lies that a member is likely to take next, or NULL."""
    cdef Py_ssize_t p = d.p0 - w.grain if d.from_end else d.p1
    return <const char *> d.b + p * d.b_panel * w.kernels.itemsize if m.p0 <= p < m.p1 else NULL


cdef inline bint take_panels(Walk *w, Member *m, fr_product *d) noexcept nogil:
    """Let a product be of the next panels for a member, if any: its own, then what a teammate has not begun."""
    cdef Py_ssize_t count
    cdef int i
    if w.grain == 0:
        d.p0, d.p1 = m.p0, m.p1
        m.taken = not m.taken
        return m.taken
    d.rounded = m.taken
    for i in range(m.parts):
        count = fr_take_panels(&w.shares[(m.phase & 1) * m.parts + (m.part + i) % m.parts], w.grain,
                               d.from_end if i == 0 else not d.from_end, &d.p0)
        if count > 0:
            d.p1 = d.p0 + count
            d.after = panel_after(w, m, d)
            m.taken = True
            return True
    m.taken = False
    return False


cdef inline void meet(Walk *w, Member *m) noexcept nogil:
    """Wait for the team, between one phase and the next."""
    if w.grain > 0:
        m.phase += 1
        give_panels(w, m.part, m.parts, m.phase)
    fr_barrier_wait(w.barrier, m.parts)


cdef void clear_ended(const Walk *w, const Array *a, Py_ssize_t columns, int member, int members) noexcept nogil:
    """Let an array be 0 where a row has ended: a member's share of the rows."""
    cdef Py_ssize_t b, t, step_bytes = columns * w.kernels.itemsize
    if w.lengths == NULL or a.data == NULL:
        return
    for b in range(w.B * member // members, w.B * (member + 1) // members):
        if a.step == step_bytes:
            memset(a.data + w.lengths[b] * a.step + b * a.row, 0, (w.T - w.lengths[b]) * step_bytes)
        else:
            for t in range(w.lengths[b], w.T):
                memset(a.data + t * a.step + b * a.row, 0, step_bytes)


# ---------------------------------------------------------------------------------------------------------- forward

cdef fr_product projection(const Walk *w, Py_ssize_t p0, Py_ssize_t p1, row_in *x_rows, row_out *gate_rows,
                           char *scratch) noexcept nogil:
    """x.W + b, from rows of x to gate rows."""
    cdef Py_ssize_t vector = w.kernels.vector
    cdef fr_product project
    project.p0 = p0
    project.p1 = p1
    project.gates = w.cell.gates
    project.a = x_rows
    project.segments = 1
    project.length = w.I
    project.stride = 0
    project.a_first = 0
    project.b = w.W
    project.b_panel = packed_rows(w, w.I) * w.cell.gates * vector
    project.c = gate_rows
    project.c_panel = w.cell.slots * vector
    project.c_first = w.cell.input_first * vector
    project.seed = w.bias
    project.seeds = NULL
    project.columns = w.P * vector
    project.from_end = False
    project.after = NULL
    project.scratch = scratch
    project.rounded = False
    project.joined = NULL
    return project


cdef void copy_slots(const Walk *w, Py_ssize_t p0, Py_ssize_t p1, int first, row_in *sources, char *source,
                     row_out *to, Py_ssize_t rows) noexcept nogil:
    """The slots of gate rows that the G from `first` on leave out, from rows of their own or, NULL, from one."""
    cdef const fr_cell *cell = w.cell
    cdef Py_ssize_t vector_bytes = w.kernels.vector * w.kernels.itemsize, i, p, at
    cdef int slot
    for slot in range(cell.slots):
        if slot < first or slot >= first + cell.gates:
            for i in range(rows):
                if sources != NULL:
                    source = <char *> sources[i]
                for p in range(p0, p1):
                    at = (p * cell.slots + slot) * vector_bytes
                    memcpy(<char *> to[i] + at, source + at, vector_bytes)


cdef void project_rows(const Walk *w, const fr_product *project) noexcept nogil:
    """Do a projection; a slot that only the recurrent product reaches starts from its bias."""
    w.kernels.product(project)
    copy_slots(w, project.p0, project.p1, w.cell.input_first, NULL, w.bias, <row_out *> project.c, project.rows)


cdef void table_team(void *context, int member, int members) noexcept nogil:
    """Project this member's share of the rows of a table, which are the points of a walk of one step."""
    cdef Walk *w = <Walk *> context
    cdef Py_ssize_t i = w.B * member // members, end = w.B * (member + 1) // members
    cdef row_in x_rows[CHUNK_ROWS]
    cdef row_out gate_rows[CHUNK_ROWS]
    cdef Py_ssize_t rows
    cdef fr_product project = projection(w, 0, w.P, x_rows, gate_rows, rounded(w, member))
    while i < end:
        rows = min(CHUNK_ROWS, end - i)
        spaced(<row_out *> x_rows, w.x.data + i * w.x.row, w.x.row, rows)
        spaced(gate_rows, w.gates.data + i * w.gates.row, w.gates.row, rows)
        project.rows = rows
        project_rows(w, &project)
        i += rows


cdef void forward_team(void *context, int member, int members) noexcept nogil:
    """Walk the steps [first, last) forward."""
    cdef Walk *w = <Walk *> context
    if w.first == 0:
        clear_ended(w, &w.y, w.H, member, members)
    walk_blocks(w, member, members, False, forward_block)


cdef void forward_block(Walk *w, Member m, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    cdef const fr_cell *cell = w.cell
    cdef Py_ssize_t vector = w.kernels.vector
    cdef Py_ssize_t panel_bytes = cell.slots * vector * w.kernels.itemsize
    cdef Py_ssize_t walked = begin, projected, s, t, n, i, b, points, next_n, first, size
    cdef Py_ssize_t most = m.count * w.chunk
    cdef row_out *x_rows = take_list(&m, most)
    cdef row_out *gate_rows = take_list(&m, most)
    cdef row_out *h_rows[2]
    cdef row_out *y_rows = take_list(&m, m.count)
    cdef row_out *c_rows = take_list(&m, m.count)
    cdef row_out *c_prev_rows = take_list(&m, m.count)
    cdef row_out *ahead_rows[3]
    cdef char *source
    cdef fr_product project
    cdef fr_step step
    cdef fr_joined of_h
    for i in range(3):
        ahead_rows[i] = take_list(&m, m.count)
    h_rows[0] = take_list(&m, m.count)
    h_rows[1] = take_list(&m, m.count)
    state_list(h_rows[0], w.h, w.state_bytes, m.rows, m.count)
    state_list(h_rows[1], w.h + w.B * w.state_bytes, w.state_bytes, m.rows, m.count)
    state_list(c_rows, w.c, w.state_bytes, m.rows, m.count)

    project = projection(w, m.p0, m.p1, <row_in *> x_rows, gate_rows, m.rounded)
    step.product = project
    of_h.length, of_h.b, of_h.b_panel = w.H, w.R, packed_rows(w, w.H) * cell.gates * vector
    if w.joined:
        step.product.joined = &of_h
    else:
        step.product.length, step.product.b, step.product.b_panel = of_h.length, of_h.b, of_h.b_panel
        step.product.c_first = cell.recurrent_first * vector
        step.product.seed = NULL
    step.units = w.H
    step.activation = w.activation
    step.training = w.training
    step.c = c_rows
    step.c_prev = <row_in *> c_rows
    step.y = NULL if w.y.data == NULL else y_rows
    step.dy = NULL
    step.h = NULL
    step.h_prev = NULL
    step.dc = NULL
    memset(step.ahead, 0, sizeof(step.ahead))

    n = 0
    while walked < end:
        # project a chunk
        points = 0
        projected = min(w.chunk, end - walked)
        for s in range(projected):
            t = step_at(w, walked + s)
            n = running(w, m.rows, m.count, t, n)
            for i in range(n):
                b = m.rows[i]
                source = w.x.data + t * w.x.step + b * w.x.row
                if w.table != NULL:
                    source = w.table + (<long long *> source)[0] * w.gate_bytes
                x_rows[points] = source
                gate_rows[points] = w.gates.data + (t if w.training else s) * w.gates.step + b * w.gates.row
                points += 1
        project.rows = points
        while not w.joined and take_panels(w, &m, &project):
            if w.table == NULL:
                project_rows(w, &project)
            else:
                copy_slots(w, project.p0, project.p1, cell.recurrent_first, <row_in *> x_rows, NULL, gate_rows, points)
        if not w.joined and w.grain > 0:  # another may have projected what is mine
            meet(w, &m)
        # walk it
        points = 0
        for _ in range(projected):
            t = step_at(w, walked)
            n = running(w, m.rows, m.count, t, n)
            if w.y.data != NULL:
                array_list(y_rows, &w.y, t, m.rows, n)
            if w.cells.data != NULL:
                array_list(c_rows, &w.cells, t, m.rows, n)
                if walked > 0:
                    array_list(c_prev_rows, &w.cells, previous(w, t), m.rows, n)
                if walked == 0 or w.lengths != NULL:
                    for i in range(n):
                        if walked == 0 or (w.reverse and w.lengths[m.rows[i]] == t + 1):
                            c_prev_rows[i] = w.c + m.rows[i] * w.state_bytes
                step.c_prev = <row_in *> c_prev_rows
            step.rows = n
            step.product.rows = n
            step.product.from_end = walked & 1
            step.product.a = of_h.a = <row_in *> h_rows[walked & 1]
            if w.joined:
                step.product.a = <row_in *> x_rows + points
            step.product.c = step.gates = gate_rows + points
            if w.table != NULL:  # the recurrent product begins with what the table's row projects to
                step.product.seeds = <row_in *> x_rows + points
            step.h_next = h_rows[(walked + 1) & 1]
            if m.parts > 1:
                fetch(h_rows[walked & 1], n, w.state_bytes)
            ahead(w, &step.ahead[0], ahead_rows[0], &w.y, walked + 1, m.rows, n, vector * w.kernels.itemsize)
            if w.training:
                ahead(w, &step.ahead[1], ahead_rows[1], &w.gates, walked + projected, m.rows, n, panel_bytes)
                ahead(w, &step.ahead[2], ahead_rows[2], &w.cells, walked + 1, m.rows, n, vector * w.kernels.itemsize)
            next_n = running(w, m.rows, m.count, step_at(w, walked + 1), n) if walked + 1 < w.T else 0
            while take_panels(w, &m, &step.product):
                cell.forward(&step)
                first = step.product.p0 * vector * w.kernels.itemsize
                size = min(w.H * w.kernels.itemsize, step.product.p1 * vector * w.kernels.itemsize) - first
                for i in range(next_n, n):  # these rows end here
                    b = m.rows[i]
                    memcpy(w.h_end + b * w.H * w.kernels.itemsize + first, <char *> step.h_next[i] + first, size)
                    if w.c_end != NULL:
                        memcpy(w.c_end + b * w.H * w.kernels.itemsize + first, <char *> c_rows[i] + first, size)
            points += n
            walked += 1
            if m.parts > 1 and walked < end:  # at the end the whole team meets
                meet(w, &m)


# --------------------------------------------------------------------------------------------------------- backward

cdef inline void dg_runs(const Walk *w, fr_product *d) noexcept nogil:
    """A gate row as left operand of one panel's vectors: whole, or the G of its S slots that a product reaches."""
    cdef bint whole = w.cell.gates == w.cell.slots
    d.segments = 1 if whole else w.P
    d.length = w.cell.gates * w.kernels.vector * (w.P if whole else 1)
    d.stride = w.cell.slots * w.kernels.vector
    d.b_panel = packed_rows(w, d.segments * d.length) * w.kernels.vector


cdef struct Points:
    # rows that belong to some points, side by side
    row_out *gates
    row_out *x
    row_out *h                  # the states they began from
    row_out *dx


cdef void bptt_team(void *context, int member, int members) noexcept nogil:
    """Walk back over [first, last): gate rows become their gradients, dh and dc those of the initial state."""
    cdef Walk *w = <Walk *> context
    if w.last == w.T:
        clear_ended(w, &w.dx, w.I, member, members)
    walk_blocks(w, member, members, True, bptt_block)


cdef void bptt_block(Walk *w, Member m, Py_ssize_t end, Py_ssize_t begin) noexcept nogil:
    cdef const fr_cell *cell = w.cell
    cdef Py_ssize_t vector = w.kernels.vector, real = w.kernels.itemsize
    cdef Py_ssize_t walked = begin, t, after, n, n_after, i, b, points = 0, most = m.count * max(1, w.sum_steps)
    cdef bint starts
    cdef Points of
    cdef row_out *after_rows = take_list(&m, m.count)
    cdef row_out *dh_rows = take_list(&m, m.count)
    cdef row_out *dc_rows = take_list(&m, m.count)
    cdef row_out *dy_rows = take_list(&m, m.count)
    cdef row_out *h_rows = take_list(&m, m.count)
    cdef row_out *c_rows = take_list(&m, m.count)
    cdef row_out *c_prev_rows = take_list(&m, m.count)
    cdef row_out *ahead_rows[FR_AHEAD]
    cdef fr_step step
    cdef fr_product ended
    of.gates, of.h = take_list(&m, most), take_list(&m, most)
    if w.sum_steps > 0:
        of.x, of.dx = take_list(&m, most), take_list(&m, most)
    memset(step.ahead, 0, sizeof(step.ahead))
    for i in range(FR_AHEAD):
        ahead_rows[i] = take_list(&m, m.count)
    state_list(dh_rows, w.dh, w.state_bytes, m.rows, m.count)
    state_list(dc_rows, w.dc, w.state_bytes, m.rows, m.count)

    step.product.p0 = m.p0
    step.product.p1 = m.p1
    step.product.gates = 1
    step.product.a = <row_in *> after_rows
    dg_runs(w, &step.product)
    step.product.a_first = cell.recurrent_first * vector
    step.product.b = w.RT
    step.product.c = dh_rows
    step.product.c_panel = vector
    step.product.c_first = 0
    step.product.seed = NULL
    step.product.seeds = NULL
    step.product.columns = w.P * vector
    step.product.from_end = False
    step.product.after = NULL
    step.product.scratch = m.rounded
    step.product.rounded = False
    step.product.joined = NULL
    step.units = w.H
    step.activation = w.activation
    step.training = 1
    step.c = c_rows
    step.c_prev = <row_in *> c_prev_rows
    step.dy = NULL if w.dy.data == NULL else <row_in *> dy_rows
    step.h = <row_in *> h_rows
    step.dc = dc_rows
    step.y = NULL
    step.h_next = NULL

    n_after = running(w, m.rows, m.count, step_at(w, walked), 0) if walked < w.T else 0
    while walked > end:
        walked -= 1
        t = step_at(w, walked)
        after = step_at(w, walked + 1)
        n = running(w, m.rows, m.count, t, n_after)
        if n_after > 0:
            array_list(after_rows, &w.gates, after, m.rows, n_after)
        if n_after > n:  # walking a reversed layer back, the shorter rows reach their initial state first
            ended = step.product
            ended.a += n
            ended.c += n
            ended.rows = n_after - n
            w.kernels.product(&ended)
            n_after = n
        step.gates = of.gates + points
        step.h_prev = <row_in *> of.h + points
        array_list(step.gates, &w.gates, t, m.rows, n)
        array_list(h_rows, &w.y, t, m.rows, n)
        if w.dy.data != NULL:
            array_list(dy_rows, &w.dy, t, m.rows, n)
        if w.cells.data != NULL:
            array_list(c_rows, &w.cells, t, m.rows, n)
        for i in range(n):
            b = m.rows[i]
            starts = walked == 0 or (w.reverse and w.lengths != NULL and w.lengths[b] == t + 1)
            of.h[points + i] = (w.h0 + b * w.H * real if starts
                                else w.y.data + previous(w, t) * w.y.step + b * w.y.row)
            if w.cells.data != NULL:
                c_prev_rows[i] = (w.c + b * w.state_bytes if starts
                                  else w.cells.data + previous(w, t) * w.cells.step + b * w.cells.row)
        step.product.rows = n_after
        step.product.from_end = walked & 1
        step.rows = n
        if m.parts > 1:
            fetch(after_rows, n_after, w.gate_bytes)
        ahead(w, &step.ahead[0], ahead_rows[0], &w.dy, walked - 1, m.rows, n, vector * real)
        if w.cells.data == NULL:  # an LSTM's equations read no outputs
            ahead(w, &step.ahead[1], ahead_rows[1], &w.y, walked - 2, m.rows, n, vector * real)
        ahead(w, &step.ahead[2], ahead_rows[2], &w.gates, walked - 1, m.rows, n, cell.slots * vector * real)
        ahead(w, &step.ahead[3], ahead_rows[3], &w.cells, walked - 2, m.rows, n, vector * real)
        cell.backward(&step)
        n_after = n
        if m.parts > 1:
            fr_barrier_wait(w.barrier, m.parts)
        if w.sum_steps > 0:
            array_list(of.x + points, &w.x, t, m.rows, n)
            if w.dx.data != NULL:
                array_list(of.dx + points, &w.dx, t, m.rows, n)
            points += n
            if (begin - walked) % w.sum_steps == 0 or walked == end:
                sum_points(w, &m, &of, points)
                points = 0
    if walked == 0 and w.T > 0:
        array_list(after_rows, &w.gates, step_at(w, 0), m.rows, n_after)
        step.product.rows = n_after
        w.kernels.product(&step.product)


cdef struct Point:
    Py_ssize_t t
    Py_ssize_t b


cdef inline bint rows_outside(const Walk *w) noexcept nogil:
    """Do the points lie batch row by batch row, and not step by step?"""
    return w.gates.step < w.gates.row


cdef Py_ssize_t run_at(const Walk *w, Point *at, Py_ssize_t most) noexcept nogil:
    """How many points lie side by side from the first one on that is not before `at`; moves it there."""
    cdef Py_ssize_t run
    if rows_outside(w):
        while True:
            run = (w.T if w.lengths == NULL else w.lengths[at.b]) - at.t
            if run > 0:
                return min(run, most)
            at.b, at.t = at.b + 1, 0
    while True:
        if at.b == w.B:
            at.t, at.b = at.t + 1, 0
        if w.lengths == NULL:
            return min(w.B - at.b, most)
        if w.lengths[at.b] > at.t:
            return 1
        at.b += 1


cdef inline void move(const Walk *w, Point *at, Py_ssize_t run) noexcept nogil:
    if rows_outside(w):
        at.t += run
    else:
        at.b += run


cdef inline void pass_by(const Walk *w, Point *at, Py_ssize_t n) noexcept nogil:
    """Move on by n points, in the order they lie in memory."""
    cdef Py_ssize_t run
    while n > 0:
        run = run_at(w, at, n)
        move(w, at, run)
        n -= run


cdef Point point_at(const Walk *w, Py_ssize_t n) noexcept nogil:
    """The n-th point."""
    cdef Point at
    at.t = at.b = 0
    pass_by(w, &at, n)
    return at


cdef inline void side_by_side(const Walk *w, row_out *to, const Array *a, Py_ssize_t t, Py_ssize_t b,
                              Py_ssize_t run) noexcept nogil:
    spaced(to, a.data + t * a.step + b * a.row, a.step if rows_outside(w) else a.row, run)


cdef inline void list_h(const Walk *w, row_out *to, Point at, Py_ssize_t run) noexcept nogil:
    """The states that a run of points began from."""
    cdef Py_ssize_t row = w.H * w.kernels.itemsize, start = 0
    if w.reverse:
        start = (w.T if w.lengths == NULL else w.lengths[at.b]) - 1
    side_by_side(w, to, &w.y, previous(w, at.t), at.b, run)
    if rows_outside(w):
        if at.t <= start < at.t + run:
            to[start - at.t] = w.h0 + at.b * row
    elif at.t == start:
        spaced(to, w.h0 + at.b * row, row, run)


cdef inline Py_ssize_t dx_block(const Walk *w) noexcept nogil:
    return min(LISTED, max(BLOCK_LEAST, BLOCK_BYTES // max(1, w.gate_bytes)))


cdef fr_product dx_product(const Walk *w, row_out *gate_rows, row_out *dx_rows, char *scratch) noexcept nogil:
    """dG.W^T, from gate rows to rows of dX."""
    cdef Py_ssize_t vector = w.kernels.vector
    cdef fr_product d
    d.p0 = 0
    d.p1 = (w.I + vector - 1) // vector
    d.gates = 1
    dg_runs(w, &d)
    d.a = <row_in *> gate_rows
    d.a_first = w.cell.input_first * vector
    d.b = w.WT
    d.c = dx_rows
    d.c_panel = vector
    d.c_first = 0
    d.seed = w.zeros
    d.seeds = NULL
    d.columns = w.I
    d.from_end = False
    d.after = NULL
    d.scratch = scratch
    d.rounded = False
    d.joined = NULL
    return d


cdef fr_outer weights_product(const Walk *w, const Points *of, char *scratch) noexcept nogil:
    """X^T.dG and H_prev^T.dG; the first not where x is rows of a table, the second not in a walk without y."""
    cdef const fr_cell *cell = w.cell
    cdef int part
    cdef fr_outer d
    d.b = <row_in *> of.gates
    d.slots = cell.slots
    d.columns = w.P * w.kernels.vector
    d.scratch = scratch
    d.p0 = 0
    d.p1 = w.P
    d.gates = cell.gates
    d.sum, d.into = NULL, NULL
    d.bfloat16 = w.bfloat16
    d.parts = 0
    if w.table == NULL:
        d.part[0].a, d.part[0].m1, d.part[0].c = <row_in *> of.x, w.I, w.dW
        d.part[0].first = cell.input_first
        d.parts = 1
    if w.y.data != NULL:
        d.part[d.parts].a, d.part[d.parts].m1, d.part[d.parts].c = <row_in *> of.h, w.H, w.dR
        d.part[d.parts].first = cell.recurrent_first
        d.parts += 1
    for part in range(d.parts):
        d.part[part].m0 = 0
        d.part[part].rows = d.part[part].m1
    return d


cdef void sum_points(const Walk *w, const Member *m, const Points *of, Py_ssize_t points) noexcept nogil:
    """What some points of a block add to its weight gradients, and their dX."""
    cdef fr_product dx
    cdef fr_outer d = weights_product(w, of, m.scratch)
    d.begins = False
    d.k = points
    d.part[0].c = m.sums
    d.part[1].c = m.sums + (w.dR - w.dW)
    d.sum = m.sums + (w.db - w.dW)
    w.kernels.outer(&d)
    if w.dx.data != NULL:
        dx = dx_product(w, of.gates, of.dx, m.rounded)
        dx.rows = points
        w.kernels.product(&dx)


cdef void weights_share(const Walk *w, int member, int members) noexcept nogil:
    """Add the points [first, last) to a member's share of dW = X^T.dG, dR = H_prev^T.dG and the sums of dG.

    Where x is rows of a table the gate gradients of its rows are summed instead of dW, each of the points that took it;
    a walk of the table's rows leaves out the sums. A member's share is some panels, or, where panels are few, some rows
    of dW and dR.
    """
    cdef const fr_cell *cell = w.cell
    cdef Py_ssize_t i = w.first, n, run, k
    cdef bint by_panels = w.P * cell.slots >= 3 * members or w.I + w.H < 16 * members
    cdef bint of_x = w.table == NULL, of_h = w.y.data != NULL
    cdef row_out gate_rows[LISTED]
    cdef row_out x_rows[LISTED]
    cdef row_out h_rows[LISTED]
    cdef Points of
    cdef Point at = point_at(w, i)
    cdef int part
    cdef fr_outer d
    of.gates, of.x, of.h = gate_rows, x_rows, h_rows
    d = weights_product(w, &of, w.scratch + member * w.scratch_bytes)
    d.begins = i == 0
    if of_h and (by_panels or member == 0):
        d.sum = w.db
        d.into = NULL if of_x else x_rows
    if by_panels:
        d.p0 = w.P * member // members
        d.p1 = w.P * (member + 1) // members
    else:
        for part in range(d.parts):
            d.part[part].m0 = d.part[part].m1 * member // members
            d.part[part].m1 = d.part[part].m1 * (member + 1) // members
    while True:  # of no points the sums are 0
        d.k = min(LISTED, w.last - i)
        n = 0
        while n < d.k:
            run = run_at(w, &at, d.k - n)
            side_by_side(w, gate_rows + n, &w.gates, at.t, at.b, run)
            side_by_side(w, x_rows + n, &w.x, at.t, at.b, run)
            if of_h:
                list_h(w, h_rows + n, at, run)
            move(w, &at, run)
            n += run
        if not of_x:
            for k in range(n):
                x_rows[k] = w.table + (<long long *> x_rows[k])[0] * w.gate_bytes
        w.kernels.outer(&d)
        d.begins = False
        i += d.k
        if i == w.last:
            return


cdef void dx_share(const Walk *w, int member, int members) noexcept nogil:
    """dX = dG.W^T over those of the points [first, last) that no teammate has taken."""
    cdef Py_ssize_t points = w.last - w.first, begin = 0, done = 0, n, run
    cdef Py_ssize_t least = min(LAST_LEAST, (points + members - 1) // members), most = dx_block(w)
    cdef row_out gate_rows[LISTED]
    cdef row_out dx_rows[LISTED]
    cdef Point at = point_at(w, w.first)
    cdef fr_product d = dx_product(w, gate_rows, dx_rows, rounded(w, member))
    while True:
        d.rows = fr_take_items(w.turns, points, least, most, members, &begin)
        if d.rows == 0:
            return
        pass_by(w, &at, begin - done)
        n = 0
        while n < d.rows:
            run = run_at(w, &at, d.rows - n)
            side_by_side(w, gate_rows + n, &w.gates, at.t, at.b, run)
            side_by_side(w, dx_rows + n, &w.dx, at.t, at.b, run)
            move(w, &at, run)
            n += run
        w.kernels.product(&d)
        d.from_end = not d.from_end
        done = begin + n


cdef void points_team(void *context, int member, int members) noexcept nogil:
    """The weight gradients of the points [first, last), and their dX, of which whoever is ahead does more.

    A team for each waited, at its end, 3 to 10 % of the time for the member whose core was slower; as one, a training
    step takes 0.94 to 1.0 of the time (128 to 1024 units).
    """
    cdef Walk *w = <Walk *> context
    weights_share(w, member, members)
    if w.dx.data != NULL:
        dx_share(w, member, members)


ctypedef fused real:
    float
    double


cdef void add_reals(real *to, const real *values, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(first, last):
        to[i] += values[i]


cdef void blocks_team(void *context, int member, int members) noexcept nogil:
    """Add the weight gradients of all blocks, in their order, to those of the first."""
    cdef Walk *w = <Walk *> context
    cdef Py_ssize_t reals = w.sum_bytes // w.kernels.itemsize, block
    cdef Py_ssize_t first = reals * member // members, last = reals * (member + 1) // members
    for block in range(1, w.blocks):
        if w.kernels.itemsize == 4:
            add_reals(<float *> w.dW, <const float *> (w.dW + block * w.sum_bytes), first, last)
        else:
            add_reals(<double *> w.dW, <const double *> (w.dW + block * w.sum_bytes), first, last)


cdef struct Pack:
    const fr_kernels *kernels
    const fr_cell *cell
    Py_ssize_t I
    Py_ssize_t H
    Py_ssize_t P
    Py_ssize_t W_row            # reals from row to row
    Py_ssize_t R_row
    char *W
    char *R
    char *packed_W
    char *packed_R
    bint transposed
    bint bfloat16


ctypedef void (*pack_fn)(void *, const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, const int *,
                         Py_ssize_t, Py_ssize_t) noexcept nogil
ctypedef void (*pack_transposed_fn)(void *, const void *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, const int *,
                                    Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil


cdef void pack_team(void *context, int member, int members) noexcept nogil:
    cdef Pack *k = <Pack *> context
    cdef const fr_cell *cell = k.cell
    cdef Py_ssize_t p0 = k.P * member // members, p1 = k.P * (member + 1) // members
    cdef Py_ssize_t panels, depth
    cdef pack_fn pack = k.kernels.pack_bfloat16 if k.bfloat16 else k.kernels.pack
    cdef pack_transposed_fn pack_transposed
    if not k.transposed:
        pack(k.packed_W, k.W, k.W_row, k.I, k.H, cell.gates, cell.input_order, p0, p1)
        pack(k.packed_R, k.R, k.R_row, k.H, k.H, cell.gates, cell.recurrent_order, p0, p1)
        return
    pack_transposed = k.kernels.pack_transposed_bfloat16 if k.bfloat16 else k.kernels.pack_transposed
    depth = k.P * cell.gates * k.kernels.vector
    pack_transposed(k.packed_R, k.R, k.R_row, k.H, k.H, cell.gates, cell.recurrent_order, depth, p0, p1)
    if k.packed_W != NULL:
        panels = (k.I + k.kernels.vector - 1) // k.kernels.vector
        pack_transposed(k.packed_W, k.W, k.W_row, k.I, k.H, cell.gates, cell.input_order, depth,
                        panels * member // members, panels * (member + 1) // members)


cdef void unpack_team(void *context, int member, int members) noexcept nogil:
    """The gradients of both kernels, out of the order they were summed in."""
    cdef Pack *k = <Pack *> context
    cdef int G = k.cell.gates
    k.kernels.unpack(k.W, k.W_row, k.packed_W, k.I, k.H, G, k.cell.input_order, G, 0, k.I * member // members,
                     k.I * (member + 1) // members)
    k.kernels.unpack(k.R, k.R_row, k.packed_R, k.H, k.H, G, k.cell.recurrent_order, G, 0, k.H * member // members,
                     k.H * (member + 1) // members)


# ----------------------------------------------------------------------------------------------------------- objects

cdef class Workspace:
    """Working memory of one call; a `Recurrence` keeps one for its next call."""
    cdef Memory states, lists, gates, cells, transposed, gradients, table, rounded

    def __cinit__(self):
        self.rounded = Memory()
        self.states, self.lists, self.gates, self.table = Memory(), Memory(), Memory(), Memory()
        self.cells, self.transposed, self.gradients = Memory(), Memory(), Memory()


cdef class Tape:
    """What a training pass leaves for its BPTT: gates and cell states in `memory`, and the arrays it must see again."""
    cdef Workspace memory
    cdef object x, y, kernel, recurrent_kernel, lengths, table
    cdef char *h0               # in `memory`
    cdef bint reverse, time_major
    cdef readonly Recurrence recurrence

    @property
    def batch(self):
        """Batch rows."""
        return self.x.shape[1 if self.time_major else 0]

    @property
    def nbytes(self):
        """Bytes kept for BPTT besides the outputs."""
        return self.memory.gates.size + self.memory.cells.size


cdef inline void deal_turns(Walk *w) noexcept nogil:
    """Nothing of the piece [first, last) is done yet."""
    cdef int part
    w.turns.total = w.last - w.first
    w.turns.items = 0
    memset(w.turns.block, 0, w.turns.blocks * sizeof(fr_turn))
    if w.grain > 0:
        for part in range(w.members):
            give_panels(w, part, w.members, 0)


cdef run_in_pieces(team_body body, Walk *w, Py_ssize_t total, Py_ssize_t piece, Py_ssize_t grain=1,
                   double wanted=PIECE):
    """Walk [0, total), or [0, -total) from its end, in pieces of about `wanted` seconds: Ctrl-C is heard between them.

    Pieces are multiples of `grain`: where the bits depend on where a block of so many begins, the clock must not.
    """
    cdef bint back = total < 0
    cdef double began = 0, pace
    total = -total if back else total
    w.first = w.last = total if back else 0
    while True:
        piece = max(grain, piece // grain * grain)
        if piece < total:
            began = seconds()
        if back:
            w.last, w.first = w.first, max(0, w.first - piece)
        else:
            w.first, w.last = w.last, min(total, w.last + piece)
        with nogil:
            deal_turns(w)
            run_team(body, w, w.members)
        if (w.first == 0) if back else (w.last == total):
            return
        PyErr_CheckSignals()
        pace = wanted / (seconds() - began + 1e-6)
        piece = max(1, <Py_ssize_t> (piece * min(4.0, max(0.1, pace))))


cdef inline Array as_steps(array, bint time_major):
    """(B, T, reals), or (T, B, reals), its last axis contiguous; None is nobody."""
    cdef Array a
    a.data = NULL
    a.step = a.row = 0
    if array is not None:
        a.data = <char *> cnp.PyArray_DATA(array)
        a.step = cnp.PyArray_STRIDES(array)[0 if time_major else 1]
        a.row = cnp.PyArray_STRIDES(array)[1 if time_major else 0]
    return a


cdef inline matrix(Py_ssize_t rows, Py_ssize_t columns, int type_number):
    cdef Py_ssize_t shape[2]
    shape[0], shape[1] = rows, columns
    return empty(2, shape, type_number)


cdef Array points_like(const Array *y, Py_ssize_t T, Py_ssize_t B, Py_ssize_t bytes):
    """Strides of records of so many bytes, one for each (t, b), ordered as y is.

    With batch rows outside, neighbouring rows are kept on neighbouring cache sets, whatever T is: the rows of a block
    are written side by side, and a multiple of 4096 bytes between them would leave them one set.
    """
    cdef Array points
    points.data = NULL
    if y.step >= y.row:
        points.step, points.row = B * bytes, bytes
    else:
        points.step, points.row = bytes, T * bytes
        if points.row >= 16384:
            points.row += (bytes - points.row) & 4095
    return points


cdef inline char *data(array):
    return NULL if array is None else <char *> cnp.PyArray_DATA(array)


cdef void add_gates(real *gate_row, const real *values, Py_ssize_t H, Py_ssize_t V, const fr_cell *cell, int first,
                    const int *order) noexcept nogil:
    """Add (G.H,) values, gates in Keras's order, to the slots of a gate row from `first` on."""
    cdef Py_ssize_t u
    cdef int g
    for g in range(cell.gates):
        for u in range(H):
            gate_row[(u // V * cell.slots + first + g) * V + u % V] += values[order[g] * H + u]


cdef class Recurrence:
    """One direction of one recurrent layer: its sizes, its packed weights, its two time loops.

    Trusts its arguments (fastrnn.validate has seen them). Sequences are (T, B, .) views whose last axis is contiguous.
    """
    cdef readonly str cell_name, activation_name
    cdef readonly bint bfloat16
    cdef readonly object dtype
    cdef readonly Py_ssize_t inputs, units
    cdef const fr_kernels *kernels
    cdef const fr_cell *cell
    cdef int activation, type_number
    cdef Py_ssize_t P, gate_bytes, state_bytes, cell_bytes
    cdef Memory weights, projected
    cdef object table
    cdef char *W
    cdef char *R
    cdef char *bias
    cdef Workspace spare
    cdef object kernel, recurrent_kernel

    def __init__(self, str cell, Py_ssize_t inputs, Py_ssize_t units, cnp.dtype dtype, str activation="tanh",
                 bint bfloat16=False):
        self.bfloat16 = bfloat16
        self.cell_name, self.activation_name, self.dtype = cell, activation, dtype
        self.inputs, self.units = inputs, units
        self.kernels = kernels(self.dtype.itemsize)
        self.cell = self.kernels.cells[<int> CELLS[cell]]
        self.activation = ACTIVATIONS[activation]
        self.type_number = cnp.NPY_FLOAT if self.kernels.itemsize == 4 else cnp.NPY_DOUBLE
        cdef Py_ssize_t vector = self.kernels.vector
        self.P = (units + vector - 1) // vector
        self.gate_bytes = self.P * self.cell.slots * vector * self.kernels.itemsize
        self.state_bytes = (self.P + 1) * vector * self.kernels.itemsize
        self.cell_bytes = self.state_bytes
        if self.P < LONG:
            self.cell_bytes -= vector * self.kernels.itemsize
        self.weights, self.projected = Memory(), Memory()

    cdef Py_ssize_t padded(self, Py_ssize_t rows) noexcept:
        """Bytes of a packed operand of so many rows."""
        if self.bfloat16:
            rows = (rows + 1) // 2
        return rows * self.P * self.cell.gates * self.kernels.vector * self.kernels.itemsize

    def load(self, kernel, recurrent_kernel, bias, int threads):
        """Pack the weights: kernel (I, G.H), recurrent_kernel (H, G.H), bias None, (G.H,) or (2, G.H), C-contiguous."""
        cdef Pack pack
        cdef Py_ssize_t I = self.inputs, H = self.units
        self.weights.reserve(<double> self.padded(I) + self.padded(H) + 2 * self.gate_bytes)
        self.bias = self.weights.data
        self.W = self.bias + self.gate_bytes
        self.R = self.W + self.padded(I)
        self.kernel, self.recurrent_kernel = kernel, recurrent_kernel
        self.load_bias(bias)
        pack = self.packing(kernel, recurrent_kernel)
        pack.packed_W, pack.packed_R, pack.transposed = self.W, self.R, False
        threads = self.packers(threads)
        with nogil:
            run_team(pack_team, &pack, threads)

    def load_table(self, table, int threads):
        """Project every row of a table (N, I), C-contiguous: x is then one of its rows at every step.

        A network of words or characters reads few different rows many times: N products instead of T.B.
        """
        cdef Walk w
        cdef Memory rounding = Memory()
        self.walk(&w, 0, 0, False)
        self.reserve_rounded(&w, rounding, CHUNK_ROWS, self.inputs, threads)
        self.projected.reserve(<double> table.shape[0] * self.gate_bytes)
        self.walk_table(&w, table, self.projected.data)
        with nogil:
            run_team(table_team, &w, 1 if w.points * self.inputs * self.units < 50000 else threads)
        self.table = table

    cdef load_bias(self, bias):
        """One gate row: the input's bias where x.W lands, the recurrent one where h.R does, their sum where both do."""
        cdef const fr_cell *cell = self.cell
        cdef char *values = data(bias)
        memset(self.bias, 0, self.gate_bytes)
        if values == NULL:
            return
        self.add_bias(values, cell.input_first, cell.input_order)
        if cnp.PyArray_NDIM(bias) == 2:
            self.add_bias(values + cell.gates * self.units * self.kernels.itemsize, cell.recurrent_first,
                          cell.recurrent_order)

    cdef void add_bias(self, char *values, int first, const int *order) noexcept:
        if self.kernels.itemsize == 4:
            add_gates(<float *> self.bias, <const float *> values, self.units, self.kernels.vector, self.cell, first,
                      order)
        else:
            add_gates(<double *> self.bias, <const double *> values, self.units, self.kernels.vector, self.cell, first,
                      order)

    cdef int packers(self, int threads) noexcept:
        """The members that packing the weights, or unpacking their gradients, is worth."""
        return 1 if self.cell.gates * (self.inputs + self.units) * self.units < PACKED_ALONE else threads

    cdef Pack packing(self, kernel, recurrent_kernel) noexcept:
        cdef Pack pack
        pack.kernels, pack.cell = self.kernels, self.cell
        pack.I, pack.H, pack.P = self.inputs, self.units, self.P
        pack.W, pack.R = data(kernel), data(recurrent_kernel)
        pack.W_row = pack.R_row = self.cell.gates * self.units
        pack.bfloat16 = self.bfloat16
        return pack

    cdef Workspace take_workspace(self):
        """The spare one, or a new one when another call holds it."""
        cdef Workspace workspace = self.spare
        self.spare = None
        return Workspace() if workspace is None else workspace

    cdef void walk(self, Walk *w, Py_ssize_t T, Py_ssize_t B, bint reverse) noexcept:
        memset(w, 0, sizeof(Walk))
        w.kernels, w.cell, w.activation, w.reverse = self.kernels, self.cell, self.activation, reverse
        w.T, w.B, w.I, w.H, w.P = T, B, self.inputs, self.units, self.P
        w.gate_bytes, w.state_bytes = self.gate_bytes, self.state_bytes
        w.bfloat16 = self.bfloat16
        w.W, w.R, w.bias = self.W, self.R, self.bias

    cdef reserve_rounded(self, Walk *w, Memory memory, Py_ssize_t rows, Py_ssize_t K, int threads, Py_ssize_t h_rows=0):
        """Room for each of a team to round so many rows of K reals, and beside them so many of h."""
        cdef Py_ssize_t room
        if self.bfloat16:
            room = self.kernels.bfloat16_room(rows, K)
            if h_rows > 0:
                room += self.kernels.bfloat16_room(h_rows, self.units)
            w.rounded_bytes = max(w.rounded_bytes, room)
            w.rounded = memory.reserve(<double> threads * w.rounded_bytes)

    cdef double cost(self, Py_ssize_t T, Py_ssize_t B) noexcept:
        """Seconds of one step on one thread, roughly: as if W were read once for every chunk of steps."""
        cdef double operations = 2.0 * B * self.cell.gates * self.units * (self.inputs + self.units)
        cdef double chunk = max(1, min(T, CHUNK_ROWS // max(1, B)))
        cdef double weights = self.padded(self.units) + self.padded(self.inputs) / chunk
        cdef double activations = B * self.units * (self.cell.slots + 1)
        cdef double stream = STREAM_BFLOAT16 if self.bfloat16 else STREAM
        return STEP + max(operations / RATE, weights / stream) + activations / ACTIVATIONS_RATE

    cdef Py_ssize_t plan(self, Walk *w, Workspace memory, lengths, int threads, double team, int sum_blocks=0,
                         bint meeting=True) except -1:
        """Choose the team, the blocks and the chunk, and make room for the lists; returns the steps of a piece.

        A pass shorter than `team` seconds is one thread's. Members of a team that is not `meeting` between phases,
        because some may be missing, never take each other's panels (streams of 256 to 512 units took 1.0 to 1.02 of the
        time when panels were taken two by two, 1.05 to 1.06 one by one). BPTT's `sum_blocks`, if any, are the blocks:
        the bits of their sums depend on them, so nothing about them depends on the threads.
        """
        cdef double step = self.cost(w.T, w.B)
        cdef Py_ssize_t room, rows, turn, short_turn, grain
        cdef int blocks, members = threads
        if step * w.T < team:
            members = 1
        if sum_blocks > 0:
            step *= 3  # products
            members = min(members, sum_blocks)
        w.by_units = False
        if members > 1 and sum_blocks == 0 and (w.B < 2 * members or self.padded(w.H) > SHARED_WEIGHTS):
            if step >= SPLIT * members and w.P >= members:
                w.by_units = True
            elif w.B < members:
                members = max(1, <int> w.B)
        w.members = members
        # so few rows to a block that what belongs to them stays in cache from one step to the next
        rows = BLOCK_ROWS if self.padded(w.I + w.H) <= KEPT_WEIGHTS else w.B
        w.blocks = 1 if w.by_units or w.B == 0 else <int> ((w.B + rows - 1) // rows)
        w.turn = max(1, w.T)
        if sum_blocks > 0 or (members > 1 and not w.by_units):
            # with a block more than members there is always one to take
            blocks = sum_blocks or max(w.blocks, members + 1)
            turn = w.T * blocks // (TURNS * members)
            short_turn = max(1, <Py_ssize_t> (SHORT_TURN * blocks / step))
            if sum_blocks > 0 or (w.B >= TURN_ROWS * blocks and turn >= short_turn):
                w.blocks, w.turn = blocks, max(1, min(turn, <Py_ssize_t> (LONG_TURN * blocks / step)))
            else:
                w.blocks = (w.blocks + members - 1) // members * members
        rows = max(1, (w.B + w.blocks - 1) // w.blocks)
        w.chunk = max(CHUNK_ROWS, CHUNK_BYTES // max(1, self.gate_bytes)) // rows
        w.chunk = max(1, min(w.chunk, w.T))
        w.joined = (w.table == NULL and w.kernels.joins(w.cell, w.I + w.H, w.bfloat16)
                    and (rows >= JOINED_ROWS or w.T == 1 or w.I <= JOINED_INPUTS)
                    and (rows >= CHUNK_ROWS or self.padded(w.I + w.H) <= JOINED_WEIGHTS))
        if w.joined:
            w.chunk = 1
        w.sum_steps = max(1, SUM_POINTS // rows) if sum_blocks > 0 else 0
        grain = w.sum_steps if sum_blocks > 0 else w.chunk  # of BPTT's turns, on which the bits of the sums depend
        w.turn = (w.turn + grain - 1) // grain * grain
        self.reserve_rounded(w, memory.rounded, rows * w.chunk, w.I, threads, rows if w.joined else 0)
        self.reserve_rounded(w, memory.rounded, rows, w.H, threads)
        w.list_bytes = sizeof(void *) * (w.B * (2 * w.chunk + 14) + 4 * rows * w.sum_steps)
        room = (members * w.list_bytes + 2 * w.B * sizeof(Py_ssize_t) + sizeof(fr_barrier) + sizeof(fr_turns)
                + w.blocks * sizeof(fr_turn) + 2 * members * sizeof(fr_share))
        w.lists = memory.lists.reserve(room)
        w.lengths = <Py_ssize_t *> (w.lists + members * w.list_bytes)
        w.order = w.lengths + w.B
        w.turns = <fr_turns *> (w.order + w.B)
        memset(w.turns, 0, sizeof(fr_turns))
        w.turns.blocks = w.blocks
        w.turns.block = <fr_turn *> (w.turns + 1)
        w.barrier = <fr_barrier *> (w.turns.block + w.blocks)
        memset(w.barrier, 0, sizeof(fr_barrier))
        w.shares = <fr_share *> (w.barrier + 1)
        w.grain = max(1, 4 // self.cell.gates) * (2 if w.B <= 3 else 1)  # a tile's
        if not w.by_units or not meeting or step * w.grain / w.P < GRAIN:
            w.grain = 0
        if lengths is None:
            w.lengths = w.order = NULL
        else:
            order = np.argsort(-lengths, kind="stable")
            memcpy(w.lengths, data(lengths), w.B * sizeof(Py_ssize_t))
            memcpy(w.order, data(order), w.B * sizeof(Py_ssize_t))
        return max(1, <Py_ssize_t> (PIECE * members / max(step, 1e-12)))

    def forward(self, x, tuple states, lengths, bint reverse, bint time_major, y, bint training, int threads,
                bint of_table=False):
        """Walk the sequence.

        x (B, T, I), or (T, B, I) when time_major, or `of_table` int64 without the last axis, numbers of rows of the
        table that was loaded; states the initial h (and c) (B, H), each C-contiguous or None;
        lengths (B,) int64 or None; y as x but of H columns, or None unless training, which makes it read-only.
        Returns the final states and, when training, the tape BPTT needs.
        """
        cdef Workspace memory = self.take_workspace()
        cdef Py_ssize_t T = cnp.PyArray_DIM(x, 0 if time_major else 1)
        cdef Py_ssize_t B = cnp.PyArray_DIM(x, 1 if time_major else 0)
        cdef Py_ssize_t piece, state = self.state_bytes
        cdef Walk w
        cdef Tape tape = None
        h0 = states[0]
        self.walk(&w, T, B, reverse)
        w.training = training
        w.table = self.projected.data if of_table else NULL
        piece = self.plan(&w, memory, lengths, threads, TEAM)
        self.reserve_states(memory, B)
        w.h, w.c = memory.states.data, memory.states.data + 2 * B * state
        w.x, w.y = as_steps(x, time_major), as_steps(y, time_major)
        if training:
            self.keep_points(&w, memory)
        else:
            w.gates.data = memory.gates.reserve(<double> w.chunk * B * self.gate_bytes)
            w.gates.step, w.gates.row = B * self.gate_bytes, self.gate_bytes
        h_end = matrix(B, self.units, self.type_number)
        ends = (h_end,)
        w.h_end = data(h_end)
        self.load_states(w.h, h0, B)
        memcpy(w.h + B * state, w.h, B * state)
        if self.cell.states == 2:
            c_end = matrix(B, self.units, self.type_number)
            ends = (h_end, c_end)
            w.c_end = data(c_end)
            self.load_states(w.c, states[1], B)
        if lengths is not None or T == 0:  # a row of no steps ends as it begins
            for end, start in zip(ends, states):
                end[...] = 0 if start is None else start
        run_in_pieces(forward_team, &w, T, piece)
        if not training:
            self.spare = memory
            return ends, None
        tape = Tape.__new__(Tape)
        tape.memory, tape.recurrence, tape.reverse, tape.time_major = memory, self, reverse, time_major
        tape.x, tape.y, tape.lengths, tape.table = x, y, lengths, self.table if of_table else None
        tape.h0 = self.reserve_states(memory, B)
        if h0 is None:
            memset(tape.h0, 0, B * self.units * self.kernels.itemsize)
        else:
            memcpy(tape.h0, data(h0), B * self.units * self.kernels.itemsize)
        cnp.PyArray_CLEARFLAGS(y, cnp.NPY_ARRAY_WRITEABLE)
        tape.kernel, tape.recurrent_kernel = self.kernel, self.recurrent_kernel
        return ends, tape

    cdef keep_points(self, Walk *w, Workspace memory):
        """Room for what BPTT needs of every point, in the order of y: batch rows or steps outside.

        The same call finds again what an earlier one has laid out. The gates are computed where they are kept: in a
        buffer of their own that stays in cache, and written here once, they took 4 % longer (LSTM of 256 units, 64
        rows and steps), past the caches 8 %; panels outside the rows, so that a tile's rows are neighbours, gain
        nothing.
        """
        w.gates = points_like(&w.y, w.T, w.B, self.gate_bytes)
        w.gates.data = memory.gates.reserve(max(<double> w.T * w.gates.step, <double> w.B * w.gates.row))
        if self.cell.states == 2:  # the initial cell states stay beside the others
            w.cells = points_like(&w.y, w.T, w.B, self.cell_bytes)
            memory.cells.reserve(max(<double> w.T * w.cells.step, <double> w.B * w.cells.row)
                                 + <double> w.B * self.state_bytes)
            w.cells.data = memory.cells.data
            w.c = w.cells.data + max(w.T * w.cells.step, w.B * w.cells.row)

    cdef char *reserve_states(self, Workspace memory, Py_ssize_t B) except NULL:
        """Room for the states of either walk, and behind them, which is returned, for the initial h (B, H)."""
        memory.states.reserve((<double> 3 * B + 2) * self.state_bytes + <double> B * self.units * self.kernels.itemsize)
        return memory.states.data + (3 * B + 2) * self.state_bytes

    cdef load_states(self, char *to, states, Py_ssize_t B):
        cdef Py_ssize_t b, row = self.units * self.kernels.itemsize
        cdef char *source = data(states)
        memset(to, 0, B * self.state_bytes)
        if source != NULL:
            for b in range(B):
                memcpy(to + b * self.state_bytes, source + b * row, row)

    cdef stored_states(self, char *source, Py_ssize_t B):
        """(B, H) from padded rows."""
        cdef Py_ssize_t b, row = self.units * self.kernels.itemsize
        states = matrix(B, self.units, self.type_number)
        cdef char *to = data(states)
        for b in range(B):
            memcpy(to + b * row, source + b * self.state_bytes, row)
        return states

    def backward(self, Tape tape, dy, tuple dends, dx, int threads):
        """BPTT, once for each tape: it overwrites the gates.

        dy as y, or None; dends the gradients by the final states (B, H), C-contiguous or None; dx as x (or as the
        table), or None, is written. Returns the gradients of kernel, recurrent_kernel, the input and recurrent biases
        as (2, G.H), and a tuple of those of the initial states.
        """
        cdef Workspace memory = tape.memory
        cdef Walk w
        cdef Py_ssize_t B = cnp.PyArray_DIM(tape.x, 1 if tape.time_major else 0), I = self.inputs, H = self.units
        cdef Py_ssize_t vector = self.kernels.vector, real = self.kernels.itemsize, state = self.state_bytes
        cdef Py_ssize_t piece, table_rows, input_panels = (I + vector - 1) // vector
        cdef Py_ssize_t depth = self.P * self.cell.gates * vector, transposed, rows
        cdef const fr_cell *cell = self.cell
        cdef int G = cell.gates, packers, blocks = 0
        cdef bint of_table = tape.table is not None
        cdef Pack pack = self.packing(tape.kernel, tape.recurrent_kernel)
        tape.memory = None
        self.walk(&w, cnp.PyArray_DIM(tape.x, 0 if tape.time_major else 1), B, tape.reverse)
        w.sum_bytes = (I + H) * depth * real + self.gate_bytes
        if not of_table:
            blocks = self.sum_blocks(&w)
        piece = self.plan(&w, memory, tape.lengths, threads, TEAM, blocks)
        rows = (B + w.blocks - 1) // w.blocks * max(1, w.sum_steps)
        self.reserve_rounded(&w, memory.rounded, max(dx_block(&w), rows), depth, threads)
        w.dh, w.dc = memory.states.data, memory.states.data + B * state
        w.x, w.y = as_steps(tape.x, tape.time_major), as_steps(tape.y, tape.time_major)
        w.dy = as_steps(dy, tape.time_major)
        if tape.table is None:
            w.dx = as_steps(dx, tape.time_major)
        else:
            table_rows = tape.table.shape[0]
            memory.table.reserve(<double> table_rows * self.gate_bytes)
            w.table = memory.table.data
            memset(w.table, 0, table_rows * self.gate_bytes)
        self.keep_points(&w, memory)
        w.h0 = tape.h0
        self.load_states(w.dh, dends[0], B)
        if cell.states == 2:
            self.load_states(w.dc, dends[1], B)

        # pack the transposes
        transposed = packed_rows(&w, depth) * vector * real
        memory.transposed.reserve(<double> (self.P + input_panels) * transposed)
        pack.transposed = True
        pack.packed_R = w.RT = memory.transposed.data
        w.WT = w.RT + self.P * transposed
        pack.packed_W = NULL if dx is None else w.WT
        packers = self.packers(threads)
        with nogil:
            run_team(pack_team, &pack, packers)

        w.scratch_bytes = FR_OUTER_ROWS * ((4 * vector + I + H) * real + 2 * FR_OUTER_PADDING)
        memory.gradients.reserve(<double> w.sum_bytes * max(1, blocks) + <double> threads * w.scratch_bytes
                                 + input_panels * vector * real)
        w.dW = memory.gradients.data
        w.dR = w.dW + I * depth * real
        w.db = w.dR + H * depth * real
        w.scratch = w.dW + w.sum_bytes * max(1, blocks)
        w.zeros = w.scratch + threads * w.scratch_bytes
        memset(w.zeros, 0, input_panels * vector * real)
        memset(w.dW, 0, w.sum_bytes * blocks)
        run_in_pieces(bptt_team, &w, -w.T, piece, max(1, w.sum_steps))
        dstart = (self.stored_states(w.dh, B),)
        if cell.states == 2:
            dstart = (dstart[0], self.stored_states(w.dc, B))

        if blocks > 0:
            with nogil:
                run_team(blocks_team, &w, packers)
        else:
            w.points = w.T * B
            if w.lengths != NULL:
                w.points = np.sum(tape.lengths)
            if of_table:
                self.products(&w, threads)
                self.walk_table(&w, tape.table, w.table)
                w.dx = as_steps(None if dx is None else dx[np.newaxis], True)
            self.products(&w, threads)
        dW, dR = matrix(I, G * H, self.type_number), matrix(H, G * H, self.type_number)
        db = matrix(2, G * H, self.type_number)
        pack.W, pack.packed_W, pack.R, pack.packed_R = data(dW), w.dW, data(dR), w.dR
        with nogil:
            run_team(unpack_team, &pack, packers)
        self.kernels.unpack(data(db), G * H, w.db, 1, H, G, cell.input_order, cell.slots, cell.input_first, 0, 1)
        self.kernels.unpack(data(db) + G * H * real, G * H, w.db, 1, H, G, cell.recurrent_order, cell.slots,
                            cell.recurrent_first, 0, 1)
        self.spare = memory
        return dW, dR, db, dstart

    cdef int sum_blocks(self, const Walk *w):
        """Blocks of rows that sum weight gradients of their own; 0: it does not pay."""
        cdef Py_ssize_t blocks = max((w.B + BLOCK_ROWS - 1) // BLOCK_ROWS, min(LEAST_BLOCKS, w.B // TURN_ROWS))
        blocks = min(blocks, MOST_BLOCKS)
        return <int> blocks if 1 < blocks <= w.T * w.B // SUM_POINTS and w.sum_bytes <= SUM_BYTES else 0

    cdef products(self, Walk *w, int threads):
        """What the points add to dW, dR and db, and their dX."""
        cdef double point = 2.0 * w.cell.gates * w.H * (w.I + w.H) / RATE
        w.members = 1 if w.points * point < TEAM else threads
        w.grain = 0
        if w.dx.data != NULL:
            point += 2.0 * w.cell.gates * w.H * w.I / RATE
        cdef double pace = w.members * self.kernels.vector / 16.0 / max(point, 1e-9)  # RATE is of vectors of 16
        run_in_pieces(points_team, w, w.points, <Py_ssize_t> (POINTS_PIECE * pace), FR_OUTER_ROWS, POINTS_PIECE)

    cdef walk_table(self, Walk *w, table, char *gates):
        """Let the points be the rows of the table, at one step, and their gate rows these."""
        w.T, w.B = 1, table.shape[0]
        w.points, w.lengths, w.table = w.B, NULL, NULL
        w.x = as_steps(table[np.newaxis], True)
        w.y = as_steps(None, True)
        w.gates.data, w.gates.step, w.gates.row = gates, w.B * self.gate_bytes, self.gate_bytes


cdef bint apart(cnp.ndarray a, cnp.ndarray b):
    """Do two C-contiguous arrays share no byte?"""
    cdef char *first = <char *> cnp.PyArray_DATA(a)
    cdef char *second = <char *> cnp.PyArray_DATA(b)
    return first + cnp.PyArray_NBYTES(a) <= second or second + cnp.PyArray_NBYTES(b) <= first


cdef class StepWalk:
    """S independent streams, one step a call: the forward walk of T = 1 whose states stay where they are."""
    cdef Recurrence recurrence
    cdef Workspace memory
    cdef Walk w
    cdef cnp.npy_intp shape[2]
    cdef int type_number
    cdef readonly Py_ssize_t streams
    cdef readonly object h, c

    def __init__(self, Recurrence recurrence, Py_ssize_t streams, int threads):
        cdef Py_ssize_t state = recurrence.state_bytes
        self.recurrence, self.streams, self.memory = recurrence, streams, Workspace()
        recurrence.walk(&self.w, 1, streams, False)
        recurrence.plan(&self.w, self.memory, None, threads, HELPERS, 0, False)  # a helper may be missing
        self.w.h = self.memory.states.reserve(3 * streams * state)
        self.w.c = self.w.h + 2 * streams * state
        memset(self.w.h, 0, 3 * streams * state)
        self.w.gates.data = self.memory.gates.reserve(streams * recurrence.gate_bytes)
        self.w.gates.row = recurrence.gate_bytes
        self.h = np.zeros((streams, recurrence.units), recurrence.dtype)
        self.c = np.zeros_like(self.h) if recurrence.cell.states == 2 else None
        self.w.h_end, self.w.c_end = data(self.h), data(self.c)
        self.shape[0], self.shape[1] = streams, recurrence.units
        self.type_number = cnp.PyArray_TYPE(self.h)

    @property
    def inputs(self):
        """I"""
        return self.w.I

    def set_state(self, h, c, rows):
        """Overwrite the states of the given rows (an index array, or None for all)."""
        cdef Py_ssize_t state = self.recurrence.state_bytes
        rows = slice(None) if rows is None else rows
        self.h[rows] = h
        if self.c is not None:
            self.c[rows] = c
            self.recurrence.load_states(self.w.c, self.c, self.streams)
        self.recurrence.load_states(self.w.h + (self.w.first & 1) * self.streams * state, self.h, self.streams)

    cdef void advance(self, char *x, Py_ssize_t x_row, char *y, Py_ssize_t y_row):
        """x (S, I) -> y (S, H), rows so many bytes apart."""
        cdef Walk *w = &self.w
        w.W, w.R, w.bias = self.recurrence.W, self.recurrence.R, self.recurrence.bias
        w.x.data, w.x.row, w.y.data, w.y.row = x, x_row, y, y_row
        w.last = w.first + 1
        if w.members == 1:
            call_member(forward_team, w, 0, 1)
        else:
            with nogil:
                deal_turns(w)
                run_helped(forward_team, w, w.members)  # whose members have one step: there is no other to wait for
        w.first ^= 1  # only its parity matters: which half of h is the newest

    def step(self, x, out=None):
        """One step of every stream; see fastrnn.layers.Stream.step."""
        cdef cnp.ndarray source, target
        cdef int axes
        if not (self.fits(x, self.w.I, False) and (out is None or self.fits(out, self.w.H, True) and apart(x, out))):
            x, out = validate.step(x, out, self.streams, self.w.I, self.w.H, self.recurrence.dtype)
        source = x
        axes = source.ndim
        if out is None:
            out = cnp.PyArray_EMPTY(axes, self.shape + 2 - axes, self.type_number, 0)
        target = out
        self.advance(<char *> cnp.PyArray_DATA(source), cnp.PyArray_STRIDES(source)[0] if axes == 2 else 0,
                     <char *> cnp.PyArray_DATA(target), cnp.PyArray_STRIDES(target)[0] if axes == 2 else 0)
        return out

    cdef bint fits(self, array, Py_ssize_t size, bint written):
        """The quick look at an array that is exactly as it should be: (S, size) C-contiguous, or (size,) for S = 1."""
        cdef cnp.ndarray a
        if type(array) is not cnp.ndarray:
            return False
        a = array
        return (cnp.PyArray_TYPE(a) == self.type_number and cnp.PyArray_ISCARRAY_RO(a)
                and (not written or cnp.PyArray_ISWRITEABLE(a))
                and ((a.ndim == 2 and a.shape[0] == self.streams and a.shape[1] == size)
                     or (a.ndim == 1 and self.streams == 1 and a.shape[0] == size)))
