/* What the cells share: a step is a product whose tiles are finished, while still in cache, by the cell's own
 * equations. */
#ifndef FASTRNN_CELL_H
#define FASTRNN_CELL_H

#include "activations.h"
#include "gemm.h"

/* The sums of a tile stay in the first-level cache, and what training keeps of a step is written once: 8 % of a forward
 * step of an LSTM of 32 units. */
INLINE void forward_step(const fr_step *s, finish_fn finish) { product_walk(&s->product, finish, 1, s); }

/* Rows whose sequence ends here have no following step: their product is left out. */
INLINE void backward_step(const fr_step *s, finish_fn finish)
{
    product_walk(&s->product, finish, 0, s);
    finish(s, NULL, s->product.rows, s->rows, s->product.p0, s->product.p1);
}

/* A cell's equations for the rows [r, r + n), units of panel p, forward from the sums of their products, from `at` on;
 * n is known where they are compiled. */
typedef void (*rows_fn)(const int n, const fr_step *, const real *sums, ptrdiff_t at, ptrdiff_t r, ptrdiff_t p);

/* Two rows at a time, side by side. Cycles a row and panel on a Xeon with AVX-512, for 1, 2, 3, 4 rows: LSTM forward
 * 73, 64, 60, 67, GRU forward 49, 44, 45, 46, LSTM backward 31, 29, 29, 33; with AVX2 and SSE2 two are best too. */
enum { ROWS_ABREAST = 2 };

INLINE void by_rows(const rows_fn rows, const fr_step *s, const real *sums, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0,
                    ptrdiff_t p1)
{
    const int slots = s->product.joined ? joined_slots(s->product.gates) : s->product.gates;
    for (ptrdiff_t p = p0; p < p1; p++) {
        ptrdiff_t r = r0, at = (p - p0) * slots * V;
        for (; r + ROWS_ABREAST <= r1; r += ROWS_ABREAST, at += ROWS_ABREAST * SUMS_ROW)
            rows(ROWS_ABREAST, s, sums, at, r, p);
        for (; r < r1; r++, at += SUMS_ROW) rows(1, s, sums, at, r, p);
    }
}

/* the V units of panel p in an unpadded row of H */
INLINE vec load_units(const fr_step *s, const void *row, ptrdiff_t p)
{
    const ptrdiff_t left = s->units - p * V;
    const real *from = (const real *)row + p * V;
    return left >= V ? load(from) : load_tail(from, left);
}

/* h_t goes to the next step's product and, if anybody reads the sequence, to y */
INLINE void output(const fr_step *s, ptrdiff_t r, ptrdiff_t p, vec h)
{
    store((real *)s->h_next[r] + p * V, h);
    if (s->y) {
        const ptrdiff_t left = s->units - p * V;
        real *to = (real *)s->y[r] + p * V;
        if (left >= V)
            store(to, h);
        else
            store_tail(to, h, left);
    }
}

/* dh_t: what came back through time, plus what arrived at the output */
INLINE vec take_dh(const fr_step *s, ptrdiff_t r, ptrdiff_t p)
{
    const vec dh = load((const real *)s->product.c[r] + p * V);
    return s->dy ? dh + load_units(s, s->dy[r], p) : dh;
}

/* the part of dh_{t-1} that does not pass through R; the next product is added to it */
INLINE void carry_dh(const fr_step *s, ptrdiff_t r, ptrdiff_t p, vec dh) { store((real *)s->product.c[r] + p * V, dh); }

#endif
