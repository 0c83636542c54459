/* LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000):
 *   i, f, o = sigmoid(x_t.W + h_{t-1}.R + b), g = tanh(...);  c_t = f c_{t-1} + i g;  h_t = o tanh(c_t).
 * Gate row: i f g o, activated; tanh(c_t) is computed again backward, which saves H numbers a step and row. */
#ifndef FASTRNN_LSTM_H
#define FASTRNN_LSTM_H

#include "cell.h"

INLINE void lstm_forward_rows(const int n, const fr_step *s, const real *sums, ptrdiff_t at, ptrdiff_t r, ptrdiff_t p)
{
    vec ifo[3 * ROWS_ABREAST], g[ROWS_ABREAST], c[ROWS_ABREAST];
    EACH(k, n) {
        const real *sum = sums + at + k * SUMS_ROW;
        ifo[3 * k] = load(sum);
        ifo[3 * k + 1] = load(sum + V);
        g[k] = load(sum + 2 * V);
        ifo[3 * k + 2] = load(sum + 3 * V);
    }
    tanhs(n, g);
    sigmoids(3 * n, ifo);
    EACH(k, n) {
        const vec i = ifo[3 * k], f = ifo[3 * k + 1], o = ifo[3 * k + 2];
        c[k] = fma_(f, load((const real *)s->c_prev[r + k] + p * V), i * g[k]);
        if (s->training) {
            real *gates = (real *)s->gates[r + k] + p * 4 * V;
            store(gates, i);
            store(gates + V, f);
            store(gates + 2 * V, g[k]);
            store(gates + 3 * V, o);
        }
        store((real *)s->c[r + k] + p * V, c[k]);
    }
    tanhs(n, c);
    EACH(k, n) output(s, r + k, p, ifo[3 * k + 2] * c[k]);
}

INLINE void lstm_backward_rows(const int n, const fr_step *s, const real *sums, ptrdiff_t at, ptrdiff_t r, ptrdiff_t p)
{
    vec tanh_c[ROWS_ABREAST];
    EACH(k, n) tanh_c[k] = load((const real *)s->c[r + k] + p * V);
    tanhs(n, tanh_c);
    EACH(k, n) {
        real *gates = (real *)s->gates[r + k] + p * 4 * V;
        const vec i = load(gates), f = load(gates + V), g = load(gates + 2 * V), o = load(gates + 3 * V);
        const vec c_prev = load((const real *)s->c_prev[r + k] + p * V);
        const vec dh = take_dh(s, r + k, p);
        real *dc_row = (real *)s->dc[r + k] + p * V;
        const vec dc = fma_(dh * o, dtanh(tanh_c[k]), load(dc_row));
        store(gates, dc * g * dsigmoid(i));
        store(gates + V, dc * c_prev * dsigmoid(f));
        store(gates + 2 * V, dc * i * dtanh(g));
        store(gates + 3 * V, dh * tanh_c[k] * dsigmoid(o));
        store(dc_row, dc * f);
        carry_dh(s, r + k, p, all(0));
    }
}

static void lstm_forward_finish(const fr_step *s, const real *sums, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0,
                                ptrdiff_t p1)
{ by_rows(lstm_forward_rows, s, sums, r0, r1, p0, p1); }

static void lstm_backward_finish(const fr_step *s, const real *sums, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0,
                                 ptrdiff_t p1)
{ by_rows(lstm_backward_rows, s, sums, r0, r1, p0, p1); }

static void lstm_forward(const fr_step *s) { forward_step(s, lstm_forward_finish); }
static void lstm_backward(const fr_step *s) { backward_step(s, lstm_backward_finish); }

static const fr_cell lstm_cell = {
    .name = "lstm",
    .gates = 4,
    .slots = 4,
    .states = 2,
    .input_first = 0,
    .recurrent_first = 0,
    .input_order = {0, 1, 2, 3},
    .recurrent_order = {0, 1, 2, 3},
    .forward = lstm_forward,
    .backward = lstm_backward,
};

#endif
