/* Weights in bfloat16, the upper half of a float: half the bytes, for products that wait for their weights.
 *
 * A packed operand is (P, ceil(K / 2), G, V) lanes of 32 bits, in each the pair k (low half), k + 1 (high half) of one
 * unit, which is also what vdpbf16ps and the tiles of AMX read; where K is odd its last high halves are zero.
 * The left operand is rounded to bfloat16 too, once a product, or once for all panels of a step; so are both operands
 * of weight gradients.
 * Where the processor has an instruction for pairs that gains (fr_isa_pays tells) products take them as they are. Else
 * what is multiplied and added are floats again: a bfloat16 becomes one by a shift or a mask, a product of two is
 * exact, and each element stays one chain of fused multiply-adds in ascending k, so the bits are those of the float
 * kernels on rounded operands.
 *
 * float64 has no such weights: what is here is compiled for it but never called.
 */
#ifndef FASTRNN_BFLOAT16_H
#define FASTRNN_BFLOAT16_H

#include "fastrnn.h"
#include "vector.h"

enum { HAS_BFLOAT16 = sizeof(real) == sizeof(float), PAIR = 2 };

typedef uint32_t lanes __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t halves __attribute__((vector_size(VECTOR_BYTES / 2), aligned(2), may_alias));

INLINE vec low_half(vec pair) { return (vec)((lanes)pair << 16); }
INLINE vec high_half(vec pair) { return (vec)((lanes)pair & 0xFFFF0000u); }
INLINE vec pair_of(vec low, vec high) { return (vec)((lanes)low >> 16 | (lanes)high); }

/* Do multiply-adds take pairs as they are? Their sums are then the instruction's, with roundings of its own. */
enum {
#if (defined(__AVX512BF16__) || defined(FR_EMULATE_TILES)) && !defined(FR_DOUBLE)
    DOTS = 1
#else
    DOTS = 0
#endif
};

/* a . b + c of both halves */
INLINE vec dot_pairs(vec a, vec b, vec c)
{
#if defined(__AVX512BF16__) && !defined(FR_DOUBLE)
    return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
#else
    return fma_(high_half(a), high_half(b), fma_(low_half(a), low_half(b), c));
#endif
}

/* x to the nearest bfloat16, of two the even one; NaN stays NaN, whatever bits make it one */
INLINE vec round_bfloat16(vec x)
{
    const lanes bits = (lanes)x;
    const vec nearest = (vec)((bits + 0x7FFFu + (bits >> 16 & 1u)) & 0xFFFF0000u);
    const vec quiet = (vec)((bits | 0x00400000u) & 0xFFFF0000u);
    return select(x == x, nearest, quiet);
}

/* x as bfloat16; the instruction takes denormals for zero, as what multiplies them does */
INLINE halves bfloat16_of(vec x)
{
#if defined(__AVX512BF16__) && !defined(FR_DOUBLE)
    return (halves)_mm512_cvtneps_pbh(x);
#else
    return __builtin_convertvector((lanes)round_bfloat16(x) >> 16, halves);
#endif
}

/* a pair of each lane */
INLINE vec rounded_pair(vec low, vec high)
{
#if defined(__AVX512BF16__) && !defined(FR_DOUBLE)
    const __m512i turns = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return (vec)_mm512_permutexvar_epi16(turns, (__m512i)_mm512_cvtne2ps_pbh(high, low));
#else
    return pair_of(round_bfloat16(low), round_bfloat16(high));
#endif
}

/* a load that is not to be remembered from the one before */
INLINE vec load_again(const real *p) { return *(const volatile vec_unaligned *)p; }

/* The scratch of a product: a stretch of weights as floats, panel by panel, the rounded rows' addresses, the rows.
 * These begin on different cache sets, as the copies of outer_gather do. The first tile leaves the floats there for the
 * others: 24 KiB stay in the first-level cache beside the pairs; 32 are up to 7 % slower with 12 rows, 16 with 64. A
 * pass over the stretch before the tiles, instead, cost 10 % more with 32 rows. */
enum { KEPT_BYTES = 24 * 1024, KEPT_ROOM = KEPT_BYTES + 8 * 64 };
INLINE ptrdiff_t kept_panel(ptrdiff_t panels) { return (KEPT_BYTES / panels + 64) / (ptrdiff_t)sizeof(real); }
INLINE ptrdiff_t whole_lines(ptrdiff_t bytes) { return (bytes + 63) / 64 * 64; }
INLINE ptrdiff_t rounded_bytes(ptrdiff_t K) { return whole_lines(K * (ptrdiff_t)sizeof(real)) | 64; }

static ptrdiff_t bfloat16_room(ptrdiff_t rows, ptrdiff_t K)
{ return KEPT_ROOM + whole_lines(rows * (ptrdiff_t)sizeof(void *)) + rows * rounded_bytes(K); }

/* the same product with its left operand gathered and rounded, if the scratch does not have it so already */
INLINE fr_product with_rounded_rows(const fr_product *d)
{
    const ptrdiff_t K = d->segments * d->length;
    fr_product rounded = *d;
    const void **rows = (const void **)((char *)d->scratch + KEPT_ROOM);
    char *row = (char *)rows + whole_lines(d->rows * (ptrdiff_t)sizeof(void *));

    for (ptrdiff_t r = 0; r < d->rows; r++, row += rounded_bytes(K)) {
        const real *from = (const real *)d->a[r] + d->a_first;
        ptrdiff_t to = 0;
        rows[r] = row;
        for (ptrdiff_t s = 0; s < d->segments && !d->rounded; s++, from += d->stride, to += d->length)
            for (ptrdiff_t k = 0; k < d->length; k += V) {
                const ptrdiff_t left = d->length - k;
                const vec x = left < V ? load_tail(from + k, left) : load(from + k);
                if (DOTS)
                    *(halves *)((uint16_t *)row + to + k) = bfloat16_of(x);
                else
                    store((real *)row + to + k, round_bfloat16(x));
            }
    }
    rounded.a = rows;
    rounded.a_first = 0;
    rounded.segments = 1;
    rounded.length = K;
    return rounded;
}

#endif
