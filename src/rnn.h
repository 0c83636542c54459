/* SimpleRNN (Elman 1990): h_t = act(x_t.W + h_{t-1}.R + b).
 * Gate row: one slot, the pre-activation; what the backward step needs of it is h_t, so only dG is ever kept there. */
#ifndef FASTRNN_RNN_H
#define FASTRNN_RNN_H

#include "cell.h"

INLINE void rnn_forward_rows(const int n, const fr_step *s, const real *sums, ptrdiff_t at, ptrdiff_t r, ptrdiff_t p)
{
    vec h[ROWS_ABREAST];
    EACH(k, n) h[k] = load(sums + at + k * SUMS_ROW);
    activate(s->activation, n, h);
    EACH(k, n) output(s, r + k, p, h[k]);
}

static void rnn_forward_finish(const fr_step *s, const real *sums, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0,
                               ptrdiff_t p1)
{ by_rows(rnn_forward_rows, s, sums, r0, r1, p0, p1); }

static void rnn_backward_finish(const fr_step *s, const real *sums, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0,
                                ptrdiff_t p1)
{
    for (ptrdiff_t r = r0; r < r1; r++)
        for (ptrdiff_t p = p0; p < p1; p++) {
            const vec h = load_units(s, s->h[r], p);
            const vec dh = take_dh(s, r, p);
            store((real *)s->gates[r] + p * V, dh * dactivate(s->activation, h));
            carry_dh(s, r, p, all(0));
        }
}

static void rnn_forward(const fr_step *s) { forward_step(s, rnn_forward_finish); }
static void rnn_backward(const fr_step *s) { backward_step(s, rnn_backward_finish); }

static const fr_cell rnn_cell = {
    .name = "simple_rnn",
    .gates = 1,
    .slots = 1,
    .states = 1,
    .input_first = 0,
    .recurrent_first = 0,
    .input_order = {0},
    .recurrent_order = {0},
    .forward = rnn_forward,
    .backward = rnn_backward,
};

#endif
