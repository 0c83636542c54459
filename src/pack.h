/* The layouts of operands: of packed weights, which the tiles of gemm.h read, and of their gradients. fastrnn.h, at the
 * table of kernels, tells each. */
#ifndef FASTRNN_PACK_H
#define FASTRNN_PACK_H

#include "bfloat16.h"
#include "fastrnn.h"
#include "vector.h"

/* The weights are read row by row, or gate by gate of a block of rows, each run of a row in one go: so the processor
 * foresees it, where panel by panel it did not (1024 units: half the time; 256: the same). */
static void pack(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t H, int G, const int *order,
                 ptrdiff_t p0, ptrdiff_t p1)
{
    for (ptrdiff_t k = 0; k < K; k++)
        for (ptrdiff_t p = p0; p < p1; p++) {
            const ptrdiff_t units = H - p * V;
            real *to = (real *)packed + (p * K + k) * G * V;
            for (int g = 0; g < G; g++, to += V) {
                const real *from = (const real *)w + k * ld + order[g] * H + p * V;
                store(to, units >= V ? load(from) : load_tail(from, units));
            }
        }
}

/* `units` columns of some rows, ld apart, as so many vectors, one for each column, of up to `padded`, which are 0.
 * Each line of the rows is read once: where ld is a multiple of 4096 bytes they share a cache set, which is small, and
 * number by number 256 rows of 1024 took 330 us of a Zen 4, now 39; 200 of 800 took 73, now 20. Vectors of gates
 * written in their order, or asked for ahead, gained nothing (training 0.97 to 1.04 of the time). */
INLINE void turn(real *to, const real *from, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t units, ptrdiff_t padded)
{
    vec x[V];
    if (rows == V && units == V) {
        EACH(r, V) x[r] = load(from + r * ld);
    } else {
        EACH(r, V) x[r] = r < rows ? load_tail(from + r * ld, units) : all(0);
    }
    transpose(x);
    if (padded == V) {
        EACH(u, V) store(to + u * V, x[u]);
    } else {
        EACH(u, V)
            if (u < padded) store(to + u * V, x[u]);
    }
}

static void pack_transposed(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t N, ptrdiff_t H, int G,
                            const int *order, ptrdiff_t depth, ptrdiff_t p0, ptrdiff_t p1)
{
    const ptrdiff_t P = (H + V - 1) / V;
    for (ptrdiff_t n = p0; n < p1; n++) {
        const ptrdiff_t rows = N - n * V < V ? N - n * V : V;
        for (int g = 0; g < G; g++)
            for (ptrdiff_t p = 0; p < P; p++) {
                const ptrdiff_t units = H - p * V < V ? H - p * V : V;
                const ptrdiff_t k = (p * G + g) * V, padded = depth - k < V ? depth - k : V;
                turn((real *)packed + (n * depth + k) * V, (const real *)w + n * V * ld + order[g] * H + p * V, ld,
                     rows, units, padded);
            }
    }
}

static void pack_bfloat16(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t H, int G, const int *order,
                          ptrdiff_t p0, ptrdiff_t p1)
{
    for (ptrdiff_t k = 0; k < K; k += PAIR)
        for (ptrdiff_t p = p0; p < p1; p++) {
            const ptrdiff_t units = H - p * V;
            real *to = (real *)packed + (p * ((K + 1) / PAIR) + k / PAIR) * G * V;
            for (int g = 0; g < G; g++, to += V) {
                const real *from = (const real *)w + k * ld + order[g] * H + p * V;
                const vec low = units >= V ? load(from) : load_tail(from, units);
                vec high = all(0);
                if (k + 1 < K) high = units >= V ? load(from + ld) : load_tail(from + ld, units);
                store(to, rounded_pair(low, high));
            }
        }
}

/* V is even, so is each run of units: no pair reaches from one gate into the next */
static void pack_transposed_bfloat16(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t N, ptrdiff_t H, int G,
                                     const int *order, ptrdiff_t depth, ptrdiff_t p0, ptrdiff_t p1)
{
    const ptrdiff_t P = (H + V - 1) / V;
    for (ptrdiff_t n = p0; n < p1; n++) {
        const ptrdiff_t rows = N - n * V < V ? N - n * V : V;
        for (int g = 0; g < G; g++)
            for (ptrdiff_t p = 0; p < P; p++) {
                const ptrdiff_t units = H - p * V < V ? H - p * V : V;
                real *to = (real *)packed + (n * depth + (p * G + g) * V) / PAIR * V;
                real turned[V * V];
                turn(turned, (const real *)w + n * V * ld + order[g] * H + p * V, ld, rows, units, V);
                for (ptrdiff_t u = 0; u < V; u += PAIR, to += V)
                    store(to, rounded_pair(load(turned + u * V), load(turned + u * V + V)));
            }
    }
}

static void unpack(void *w, ptrdiff_t ld, const void *packed, ptrdiff_t M, ptrdiff_t H, int G, const int *order,
                   int slots, int first, ptrdiff_t m0, ptrdiff_t m1)
{
    const ptrdiff_t P = (H + V - 1) / V;
    for (ptrdiff_t m = m0; m < m1; m++)
        for (ptrdiff_t p = 0; p < P; p++) {
            const real *from = (const real *)packed + ((p * M + m) * slots + first) * V;
            const ptrdiff_t units = H - p * V;
            for (int g = 0; g < G; g++) {
                real *to = (real *)w + m * ld + order[g] * H + p * V;
                if (units >= V)
                    store(to, load(from + g * V));
                else
                    store_tail(to, load(from + g * V), units);
            }
        }
}

#endif
