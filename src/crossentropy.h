/* Softmax of rows, and its cross-entropy with what they should have been.
 *
 * A row is shifted by its maximum, so that no exp overflows and one of them is 1. NaN fills its row and no other.
 */
#ifndef FASTRNN_CROSSENTROPY_H
#define FASTRNN_CROSSENTROPY_H

#include "activations.h"

enum { SUMS = 4 };

INLINE real largest(const real *z, ptrdiff_t n)
{
    real lanes[V], most = -(real)__builtin_inf();
    vec v = all(most);
    ptrdiff_t j = 0;
    for (; j + V <= n; j += V) v = select(load(z + j) > v, load(z + j), v);
    store(lanes, v);
    for (int i = 0; i < V; i++) most = lanes[i] > most ? lanes[i] : most;
    for (; j < n; j++) most = z[j] > most ? z[j] : most;
    return most;
}

/* the sum of e^(z - top), and the terms themselves in e */
INLINE real exponentials(const real *z, ptrdiff_t n, real top, real *e)
{
    vec sum[SUMS] = {{0}};
    ptrdiff_t j = 0;
    for (; j + SUMS * V <= n; j += SUMS * V) {
        vec x[SUMS];
        EACH(i, SUMS) x[i] = load(z + j + i * V) - all(top);
        exps(SUMS, x);
        EACH(i, SUMS) {
            store(e + j + i * V, x[i]);
            sum[i] += x[i];
        }
    }
    for (; j < n; j += V) {
        const ptrdiff_t left = n - j < V ? n - j : V;
        vec x = load_tail(z + j, left) - all(top);
        exps(1, &x);
        store_tail(e + j, x, left);
        sum[0] += load_tail(e + j, left); /* zero beyond the row */
    }
    return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* sum(t) and sum(t (z - top)) */
INLINE void expected(const real *t, const real *z, ptrdiff_t n, real top, real *total, real *picked)
{
    vec all_of = all(0), of_z = all(0);
    for (ptrdiff_t j = 0; j < n; j += V) {
        const ptrdiff_t left = n - j < V ? n - j : V;
        const vec share = left == V ? load(t + j) : load_tail(t + j, left);
        vec x = (left == V ? load(z + j) : load_tail(z + j, left)) - all(top);
        if (left < V) { /* 0 (0 - inf) is not 0 */
            real lanes[V] = {0};
            store_tail(lanes, x, left);
            x = load(lanes);
        }
        all_of += share;
        of_z = fma_(share, x, of_z);
    }
    *total = sum_lanes(all_of);
    *picked = sum_lanes(of_z);
}

static void crossentropy(const fr_crossentropy *d)
{
    const ptrdiff_t n = d->classes;
    for (ptrdiff_t r = d->r0; r < d->r1; r++) {
        const real *z = (const real *)d->z + r * n, *t = d->target ? (const real *)d->target + r * n : NULL;
        real *dz = (real *)d->dz + r * d->dz_row, total = 1, picked = 0;
        const real top = largest(z, n), sum = exponentials(z, n, top, dz);
        if (t)
            expected(t, z, n, top, &total, &picked);
        else if (d->number)
            picked = z[d->number[r]] - top;
        if (d->sums) {
            ((real *)d->sums)[r] = sum;
            ((real *)d->totals)[r] = total;
            ((real *)d->picked)[r] = picked;
        }
        if (!d->factor) continue;
        const real f = ((const real *)d->factor)[r * d->factor_step];
        const vec share = all(f * total / sum), minus = all(-f);
        ptrdiff_t j = 0;
        for (; j + V <= n; j += V) {
            const vec g = load(dz + j) * share;
            store(dz + j, t ? fma_(minus, load(t + j), g) : g);
        }
        if (j < n) {
            const vec g = load_tail(dz + j, n - j) * share;
            store_tail(dz + j, t ? fma_(minus, load_tail(t + j, n - j), g) : g, n - j);
        }
        if (d->number) dz[d->number[r]] -= f;
    }
}

#endif
