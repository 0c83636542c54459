/* Activations of whole arrays, and the way back with what a bias is owed. */
#ifndef FASTRNN_ELEMENTWISE_H
#define FASTRNN_ELEMENTWISE_H

#include "activations.h"

INLINE void activate_as(const int kind, ptrdiff_t n, const real *x, real *y)
{
    ptrdiff_t i = 0;
    for (; i + MOST * V <= n; i += MOST * V) {
        vec v[MOST];
        EACH(k, MOST) v[k] = load(x + i + k * V);
        activate(kind, MOST, v);
        EACH(k, MOST) store(y + i + k * V, v[k]);
    }
    for (; i < n; i += V) {
        const ptrdiff_t left = n - i < V ? n - i : V;
        vec v = load_tail(x + i, left);
        activate(kind, 1, &v);
        store_tail(y + i, v, left);
    }
}

static void activate_array(int kind, ptrdiff_t n, const void *x, void *y)
{
    switch (kind) {
    case FR_SIGMOID:
        activate_as(FR_SIGMOID, n, x, y);
        break;
    case FR_TANH:
        activate_as(FR_TANH, n, x, y);
        break;
    case FR_RELU:
        activate_as(FR_RELU, n, x, y);
        break;
    default:
        activate_as(FR_LINEAR, n, x, y);
    }
}

/* Sums in registers, a few columns at a time, are no gain: 3840 rows of 32 with relu take 62 us so and 51 that way, of
 * 56 113 and 175. */
INLINE void slope_as(const int kind, const fr_slope *d)
{
    for (ptrdiff_t j = 0; j < d->columns; j++) d->sums[j] = 0;
    for (ptrdiff_t r = d->r0; r < d->r1; r++) {
        const real *from = (const real *)d->dy + r * d->dy_row;
        if (kind != FR_LINEAR) {
            const real *y = (const real *)d->y + r * d->columns;
            real *da = (real *)d->da + r * d->columns;
            for (ptrdiff_t j = 0; j < d->columns; j += V) {
                const ptrdiff_t left = d->columns - j;
                const vec f = left >= V ? load(y + j) : load_tail(y + j, left);
                const vec slope = dactivate(kind, f);
                if (left >= V)
                    store(da + j, load(from + j) * slope);
                else
                    store_tail(da + j, load_tail(from + j, left) * slope, left);
            }
            from = da;
        }
        double *restrict sums = d->sums;
        for (ptrdiff_t j = 0; j < d->columns; j++) sums[j] += (double)from[j];
    }
}

static void slope(const fr_slope *d)
{
    switch (d->kind) {
    case FR_SIGMOID:
        slope_as(FR_SIGMOID, d);
        break;
    case FR_TANH:
        slope_as(FR_TANH, d);
        break;
    case FR_RELU:
        slope_as(FR_RELU, d);
        break;
    default:
        slope_as(FR_LINEAR, d);
    }
}

#endif
