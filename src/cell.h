/* What the cells share: a step is a product whose tiles are finished, while still in cache, by the cell's own
 * equations. */
#ifndef FASTRNN_CELL_H
#define FASTRNN_CELL_H

#include "activations.h"
#include "gemm.h"

INLINE void forward_step(const fr_step *s, finish_fn finish) { product_walk(&s->product, finish, s); }

/* Rows whose sequence ends here have no following step: their product is left out. */
INLINE void backward_step(const fr_step *s, finish_fn finish)
{
    product_walk(&s->product, finish, s);
    finish(s, s->product.rows, s->rows, s->product.p0, s->product.p1);
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
