/* Products with a narrow side, which would leave most lanes of a register tile's panel empty.
 *
 * dots     rows times few columns: dot products along K, which is contiguous in both operands.
 * spread   few rows, or few k: each row is a sum of whole rows.
 *
 * Every element has one order of summation, whatever the rows beside it and whatever the team.
 */
#ifndef FASTRNN_NARROW_H
#define FASTRNN_NARROW_H

#include "fastrnn.h"
#include "vector.h"

enum { CHAINS = 4, DEPTH = 8, SPREAD_BYTES = 4096 };

/* one row times C columns: vector i of K belongs to chain i mod CHAINS, and so does the tail */
INLINE void dots_tile(const int C, const fr_dots *d, ptrdiff_t r, ptrdiff_t n)
{
    const real *a = (const real *)d->a + r * d->a_row, *b = (const real *)d->b + n * d->b_row;
    real *c = (real *)d->c + r * d->c_row + n;
    vec acc[4][CHAINS] = {{{0}}};
    ptrdiff_t k = 0;

    for (; k + CHAINS * V <= d->K; k += CHAINS * V) {
        EACH(i, CHAINS) {
            const vec x = load(a + k + i * V);
            EACH(v, C) acc[v][i] = fma_(x, load(b + v * d->b_row + k + i * V), acc[v][i]);
        }
    }
    EACH(i, CHAINS) {
        const ptrdiff_t left = d->K - k - i * V;
        if (left > 0) {
            const ptrdiff_t lanes = left < V ? left : V;
            const vec x = load_tail(a + k + i * V, lanes);
            EACH(v, C) acc[v][i] = fma_(x, load_tail(b + v * d->b_row + k + i * V, lanes), acc[v][i]);
        }
    }
    EACH(v, C) {
        const real total = sum_lanes((acc[v][0] + acc[v][1]) + (acc[v][2] + acc[v][3]));
        c[v] = d->seed ? ((const real *)d->seed)[n + v] + total : total;
    }
}

static void dots(const fr_dots *d)
{
    for (ptrdiff_t r = d->r0; r < d->r1; r++) {
        ptrdiff_t n = 0;
#if REGISTERS == 32
        for (; n + 4 <= d->N; n += 4) dots_tile(4, d, r, n);
#endif
        for (; n + 2 <= d->N; n += 2) dots_tile(2, d, r, n);
        if (n < d->N) dots_tile(1, d, r, n);
    }
}

/* columns [j, j1) of one row of c and K neighbouring k: a chain of multiply-adds in ascending k */
INLINE void spread_tile(const int K, const fr_spread *d, ptrdiff_t k, ptrdiff_t r, ptrdiff_t j, ptrdiff_t j1)
{
    const real *a = (const real *)d->a + k * d->a_k + r * d->a_row, *b = (const real *)d->b + k * d->b_row;
    real *c = (real *)d->c + r * d->c_row;
    const real *from = k > 0 ? c : d->seed;
    vec x[DEPTH];

    EACH(i, K) x[i] = all(a[i * d->a_k]);
    for (; j + V <= j1; j += V) {
        vec acc = from ? load(from + j) : all(0);
        EACH(i, K) acc = fma_(x[i], load(b + i * d->b_row + j), acc);
        store(c + j, acc);
    }
    if (j < j1) {
        vec acc = from ? load_tail(from + j, j1 - j) : all(0);
        EACH(i, K) acc = fma_(x[i], load_tail(b + i * d->b_row + j, j1 - j), acc);
        store_tail(c + j, acc, j1 - j);
    }
}

/* DEPTH rows of b at a time, in pieces that stay in the first-level cache while every row of c reads them */
static void spread(const fr_spread *d)
{
    enum { PIECE = SPREAD_BYTES / sizeof(real) };
    for (ptrdiff_t j = d->j0; j < d->j1; j += PIECE) {
        const ptrdiff_t j1 = d->j1 - j < PIECE ? d->j1 : j + PIECE;
        for (ptrdiff_t k = 0; k < d->K; k += DEPTH)
            for (ptrdiff_t r = d->r0; r < d->r1; r++) switch (d->K - k) {
                case 1:
                    spread_tile(1, d, k, r, j, j1);
                    break;
                case 2:
                    spread_tile(2, d, k, r, j, j1);
                    break;
                case 3:
                    spread_tile(3, d, k, r, j, j1);
                    break;
                case 4:
                    spread_tile(4, d, k, r, j, j1);
                    break;
                case 5:
                    spread_tile(5, d, k, r, j, j1);
                    break;
                case 6:
                    spread_tile(6, d, k, r, j, j1);
                    break;
                case 7:
                    spread_tile(7, d, k, r, j, j1);
                    break;
                default:
                    spread_tile(DEPTH, d, k, r, j, j1);
                }
    }
}

#endif
