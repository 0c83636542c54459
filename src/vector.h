/* One ISA's vector, for the dtype being compiled: everything that differs between ISAs is in this file.
 *
 * GNU vector types give + - * / on any target; what they lack (fused multiply-add, rounding, power-of-two
 * scaling, masked tails) is below, by intrinsics where the ISA has an instruction and by plain C elsewhere.
 * Compiled with -ffp-contract=off, so a fused multiply-add happens where it is written and nowhere else.
 */
#ifndef FASTRNN_VECTOR_H
#define FASTRNN_VECTOR_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define REGISTERS 32
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#define REGISTERS 16
#else
#define VECTOR_BYTES 16
#if defined(__aarch64__)
#define REGISTERS 32
#else
#define REGISTERS 16
#endif
#endif

#ifdef FR_DOUBLE
typedef double real;
typedef int64_t integer;
#define MANTISSA 52
#define EXPONENT_BIAS 1023
#define ROUND_MAGIC 6755399441055744.0 /* 1.5 . 2^52: adding it leaves round(x) in the low bits */
#else
typedef float real;
typedef int32_t integer;
#define MANTISSA 23
#define EXPONENT_BIAS 127
#define ROUND_MAGIC 12582912.0f /* 1.5 . 2^23 */
#endif

enum { V = VECTOR_BYTES / sizeof(real) };
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef real vec_unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef integer ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef uint64_t words __attribute__((vector_size(VECTOR_BYTES)));

#define INLINE static inline __attribute__((always_inline))
#define OUT_OF_LINE static __attribute__((noinline))
/* a loop over a few registers, unrolled whole */
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

INLINE vec load(const real *p) { return *(const vec_unaligned *)p; }
INLINE void store(real *p, vec x) { *(vec_unaligned *)p = x; }
INLINE vec all(real x) { return x - (vec){0}; }

/* 0 <= n <= V elements */
INLINE vec load_tail(const real *p, ptrdiff_t n)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    return _mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#elif defined(__AVX512F__)
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    real t[V] = {0};
    memcpy(t, p, (size_t)n * sizeof(real));
    return load(t);
#endif
}

INLINE void store_tail(real *p, vec x, ptrdiff_t n)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), x);
#elif defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
#else
    memcpy(p, &x, (size_t)n * sizeof(real));
#endif
}

/* a . b + c, one rounding where the ISA has it */
INLINE vec fma_(vec a, vec b, vec c)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    return _mm512_fmadd_pd(a, b, c);
#elif defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(FR_DOUBLE)
    return _mm256_fmadd_pd(a, b, c);
#elif defined(__AVX2__)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_NEON) && defined(__aarch64__) && defined(FR_DOUBLE)
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

INLINE vec select(ivec mask, vec yes, vec no) { return (vec)((mask & (ivec)yes) | (~mask & (ivec)no)); }
INLINE ivec sign_bit(vec x) { return (ivec)x & (ivec)all((real)-0.0); }
INLINE vec minus_magnitude(vec x) { return (vec)((ivec)x | (ivec)all((real)-0.0)); }
INLINE vec with_sign_of(vec x, vec sign) { return (vec)(((ivec)x & ~(ivec)all((real)-0.0)) | sign_bit(sign)); }

/* the larger of x and a number; NaN stays NaN */
INLINE vec at_least(vec x, real low)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    return _mm512_max_pd(all(low), x); /* max returns its second operand when either is NaN */
#elif defined(__AVX512F__)
    return _mm512_max_ps(all(low), x);
#elif defined(__AVX2__) && defined(FR_DOUBLE)
    return _mm256_max_pd(all(low), x);
#elif defined(__AVX2__)
    return _mm256_max_ps(all(low), x);
#else
    return select(x < all(low), all(low), x);
#endif
}

/* the smaller of x and a number; NaN stays NaN */
INLINE vec at_most(vec x, real high)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    return _mm512_min_pd(all(high), x); /* min returns its second operand when either is NaN */
#elif defined(__AVX512F__)
    return _mm512_min_ps(all(high), x);
#elif defined(__AVX2__) && defined(FR_DOUBLE)
    return _mm256_min_pd(all(high), x);
#elif defined(__AVX2__)
    return _mm256_min_ps(all(high), x);
#else
    return select(x > all(high), all(high), x);
#endif
}

/* y, but zero where x < low */
INLINE vec zero_below(vec x, real low, vec y)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(x, all(low), _CMP_NLT_UQ), y);
#elif defined(__AVX512F__)
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, all(low), _CMP_NLT_UQ), y);
#else
    return select(x < all(low), all(0), y);
#endif
}

/* 1 / d to an ulp, where both are normal numbers: an estimate and one Newton step instead of a division */
INLINE void reciprocals(const int n, vec *d)
{
#if defined(__AVX512F__) && !defined(FR_DOUBLE)
    vec r[16], e[16];
    EACH(i, n) r[i] = _mm512_rcp14_ps(d[i]);
    EACH(i, n) e[i] = fma_(-d[i], r[i], all(1));
    EACH(i, n) d[i] = fma_(r[i], e[i], r[i]);
#else
    EACH(i, n) d[i] = all(1) / d[i];
#endif
}

/* a0 b0 a1 b1 ... of the lower halves of two vectors, and of the upper ones */
#if defined(__clang__)
#define SHUFFLED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLED(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif
#if defined(FR_DOUBLE)
#define LANES (VECTOR_BYTES / 8)
#else
#define LANES (VECTOR_BYTES / 4)
#endif
#if LANES == 16
#define ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif LANES == 4
#define ZIP_LOW 0, 4, 1, 5
#define ZIP_HIGH 2, 6, 3, 7
#else
#define ZIP_LOW 0, 2
#define ZIP_HIGH 1, 3
#endif

/* V vectors of V lanes: lane i of vector j becomes lane j of vector i */
INLINE void transpose(vec *x)
{
    EACH(stage, 4)
        if (V >> stage > 1) {
            vec zipped[V];
            EACH(i, V / 2) {
                zipped[2 * i] = SHUFFLED(x[i], x[i + V / 2], ZIP_LOW);
                zipped[2 * i + 1] = SHUFFLED(x[i], x[i + V / 2], ZIP_HIGH);
            }
            EACH(i, V) x[i] = zipped[i];
        }
}

/* halves on each other until one lane is left */
INLINE real sum_lanes(vec x)
{
    real lanes[V];
    store(lanes, x);
    EACH(step, 5)
        for (int i = 0, n = V >> step >> 1; i < n; i++) lanes[i] += lanes[i + n];
    return lanes[0];
}

/* the 64 bits of a . b, of the low halves of each lane */
INLINE words multiply_halves(words a, words b)
{
#if defined(__AVX512F__)
    return (words)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (words)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    return (words)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#elif defined(__SSE2__)
    return (words)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
#endif
}

INLINE vec sqrt_(vec x)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    return _mm512_sqrt_pd(x);
#elif defined(__AVX512F__)
    return _mm512_sqrt_ps(x);
#elif defined(__AVX2__) && defined(FR_DOUBLE)
    return _mm256_sqrt_pd(x);
#elif defined(__AVX2__)
    return _mm256_sqrt_ps(x);
#else
    vec root;
    EACH(i, V)
        root[i] = sizeof(real) == sizeof(double) ? (real)__builtin_sqrt(x[i]) : (real)__builtin_sqrtf((float)x[i]);
    return root;
#endif
}

#endif
