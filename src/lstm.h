/* LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000):
 *   i, f, o = sigmoid(x_t.W + h_{t-1}.R + b), g = tanh(...);  c_t = f c_{t-1} + i g;  h_t = o tanh(c_t).
 * Gate row: i f g o, activated; tanh(c_t) is computed again backward, which saves H numbers a step and row. */
#ifndef FASTRNN_LSTM_H
#define FASTRNN_LSTM_H

#include "cell.h"

static void lstm_forward_finish(const fr_step *s, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0, ptrdiff_t p1)
{
    for (ptrdiff_t r = r0; r < r1; r++)
        for (ptrdiff_t p = p0; p < p1; p++) {
            real *gates = (real *)s->gates[r] + p * 4 * V;
            const vec i = sigmoid(load(gates));
            const vec f = sigmoid(load(gates + V));
            const vec g = tanh_(load(gates + 2 * V));
            const vec o = sigmoid(load(gates + 3 * V));
            const vec c = fma_(f, load((const real *)s->c_prev[r] + p * V), i * g);
            if (s->training) {
                store(gates, i);
                store(gates + V, f);
                store(gates + 2 * V, g);
                store(gates + 3 * V, o);
            }
            store((real *)s->c[r] + p * V, c);
            output(s, r, p, o * tanh_(c));
        }
}

static void lstm_backward_finish(const fr_step *s, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0, ptrdiff_t p1)
{
    for (ptrdiff_t r = r0; r < r1; r++)
        for (ptrdiff_t p = p0; p < p1; p++) {
            real *gates = (real *)s->gates[r] + p * 4 * V;
            const vec i = load(gates), f = load(gates + V), g = load(gates + 2 * V), o = load(gates + 3 * V);
            const vec tanh_c = tanh_(load((const real *)s->c[r] + p * V));
            const vec c_prev = load((const real *)s->c_prev[r] + p * V);
            const vec dh = take_dh(s, r, p);
            real *dc_row = (real *)s->dc[r] + p * V;
            const vec dc = fma_(dh * o, dtanh(tanh_c), load(dc_row));
            store(gates, dc * g * dsigmoid(i));
            store(gates + V, dc * c_prev * dsigmoid(f));
            store(gates + 2 * V, dc * i * dtanh(g));
            store(gates + 3 * V, dh * tanh_c * dsigmoid(o));
            store(dc_row, dc * f);
            carry_dh(s, r, p, all(0));
        }
}

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
