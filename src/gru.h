/* GRU (Cho et al. 2014), the reset gate applied after the recurrent product, as Keras (reset_after) and cuDNN have it:
 *   z, r = sigmoid(x_t.W + h_{t-1}.R + b);  q = h_{t-1}.R_n + b_q;  n = tanh(x_t.W_n + b_n + r q);
 *   h_t = z h_{t-1} + (1 - z) n.
 * Gate row: n z r q, so that what x.W reaches (n z r) and what h.R reaches (z r q) are each one run of three. */
#ifndef FASTRNN_GRU_H
#define FASTRNN_GRU_H

#include "cell.h"

INLINE void gru_forward_rows(const int rows, const fr_step *s, const real *sums, ptrdiff_t at, ptrdiff_t r, ptrdiff_t p)
{
    vec zr[2 * ROWS_ABREAST], n[ROWS_ABREAST], q[ROWS_ABREAST];
    EACH(k, rows) {
        const real *sum = sums + at + k * SUMS_ROW; /* z r q, behind n when they are joined */
        n[k] = load(s->product.joined ? sum : (const real *)s->gates[r + k] + p * 4 * V);
        if (s->product.joined) sum += V;
        zr[2 * k] = load(sum);
        zr[2 * k + 1] = load(sum + V);
        q[k] = load(sum + 2 * V);
    }
    sigmoids(2 * rows, zr);
    EACH(k, rows) n[k] = fma_(zr[2 * k + 1], q[k], n[k]);
    tanhs(rows, n);
    EACH(k, rows) {
        const vec z = zr[2 * k], reset = zr[2 * k + 1];
        const vec h_prev = load((const real *)(s->product.joined ? s->product.joined->a : s->product.a)[r + k] + p * V);
        if (s->training) {
            real *gates = (real *)s->gates[r + k] + p * 4 * V;
            store(gates, n[k]);
            store(gates + V, z);
            store(gates + 2 * V, reset);
            store(gates + 3 * V, q[k]);
        }
        output(s, r + k, p, fma_(z, h_prev - n[k], n[k]));
    }
}

static void gru_forward_finish(const fr_step *s, const real *sums, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0,
                               ptrdiff_t p1)
{ by_rows(gru_forward_rows, s, sums, r0, r1, p0, p1); }

static void gru_backward_finish(const fr_step *s, const real *sums, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0,
                                ptrdiff_t p1)
{
    for (ptrdiff_t r = r0; r < r1; r++)
        for (ptrdiff_t p = p0; p < p1; p++) {
            real *gates = (real *)s->gates[r] + p * 4 * V;
            const vec n = load(gates), z = load(gates + V), reset = load(gates + 2 * V), q = load(gates + 3 * V);
            const vec h_prev = load_units(s, s->h_prev[r], p);
            const vec dh = take_dh(s, r, p);
            const vec dn = dh * (all(1) - z) * dtanh(n);
            store(gates, dn);
            store(gates + V, dh * (h_prev - n) * dsigmoid(z));
            store(gates + 2 * V, dn * q * dsigmoid(reset));
            store(gates + 3 * V, dn * reset);
            carry_dh(s, r, p, dh * z);
        }
}

static void gru_forward(const fr_step *s) { forward_step(s, gru_forward_finish); }
static void gru_backward(const fr_step *s) { backward_step(s, gru_backward_finish); }

static const fr_cell gru_cell = {
    .name = "gru",
    .gates = 3,
    .slots = 4,
    .states = 1,
    .input_first = 0,
    .recurrent_first = 1,
    .input_order = {2, 0, 1},
    .recurrent_order = {0, 1, 2},
    .forward = gru_forward,
    .backward = gru_backward,
};

#endif
