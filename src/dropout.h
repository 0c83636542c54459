/* Dropout: y = x m, m being 0 with probability rate and 1 / (1 - rate) elsewhere.
 *
 * m is a function of a key and a place, so the way back draws it again instead of keeping it, any team gives the same
 * bits, and every ISA and dtype drops the same places: Philox4x32-7 of Salmon, Moraes, Dror & Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011, which passes their tests of randomness from 7 rounds on; 16 bits a place. ns a
 * place on a Xeon of the 5th generation, AVX-512, AVX2, SSE2: 0.26, 0.45, 0.71; with the usual 10 rounds and the keys
 * of the rounds not prepared 0.45, 0.64, 1.01.
 */
#ifndef FASTRNN_DROPOUT_H
#define FASTRNN_DROPOUT_H

#include "fastrnn.h"
#include "vector.h"

enum { ROUNDS = 7, DROP_COUNTERS = FR_DROP_TILE / 8, WORDS = VECTOR_BYTES / 8 };
typedef uint16_t draws __attribute__((vector_size(2 * V), aligned(2), may_alias));

/* The numbers of one tile: those of the first two words of all its counters, then those of the other two. A word is the
 * low half of a lane; what the upper half holds is never read. */
INLINE void philox(const fr_drop *d, const words (*keys)[2], ptrdiff_t tile, uint16_t *numbers)
{
    static const uint64_t lanes[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const words none = {0}, low = none + 0xFFFFFFFFu;
    words step;
    memcpy(&step, lanes, sizeof step);

    for (int first = 0; first < DROP_COUNTERS; first += WORDS) {
        words c0 = step + (uint64_t)(tile * DROP_COUNTERS + first), c1 = none + d->number;
        words c2 = none + d->passes, c3 = none + (d->passes >> 32);
        EACH(round, ROUNDS) {
            const words p0 = multiply_halves(c0, none + 0xD2511F53u), p1 = multiply_halves(c2, none + 0xCD9E8D57u);
            c0 = p1 >> 32 ^ c1 ^ keys[round][0];
            c1 = p1;
            c2 = p0 >> 32 ^ c3 ^ keys[round][1];
            c3 = p0;
        }
        const words front = (c0 & low) | c1 << 32, back = (c2 & low) | c3 << 32;
        memcpy(numbers + 4 * first, &front, sizeof front);
        memcpy(numbers + 4 * (DROP_COUNTERS + first), &back, sizeof back);
    }
}

static void drop(const fr_drop *d)
{
    const ivec threshold = (ivec){0} + (integer)d->threshold;
    const vec scale_ = all((real)d->scale);
    const real *x = d->x;
    real *y = d->y;
    uint16_t numbers[FR_DROP_TILE];
    words keys[ROUNDS][2];
    for (unsigned round = 0; round < ROUNDS; round++) {
        keys[round][0] = (words){0} + ((uint32_t)d->key + round * 0x9E3779B9u);
        keys[round][1] = (words){0} + ((uint32_t)(d->key >> 32) + round * 0xBB67AE85u);
    }

    for (ptrdiff_t tile = d->first; tile < d->last; tile++) {
        const ptrdiff_t end = d->count < (tile + 1) * FR_DROP_TILE ? d->count : (tile + 1) * FR_DROP_TILE;
        philox(d, keys, tile, numbers);
        const uint16_t *number = numbers;
        for (ptrdiff_t i = tile * FR_DROP_TILE; i < end; i += V, number += V) {
            const ivec kept = __builtin_convertvector(*(const draws *)number, ivec) >= threshold;
            const vec m = (vec)(kept & (ivec)scale_);
            if (end - i >= V)
                store(y + i, x ? load(x + i) * m : m);
            else
                store_tail(y + i, x ? load_tail(x + i, end - i) * m : m, end - i);
        }
    }
}

#endif
