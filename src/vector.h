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

#define INLINE static inline __attribute__((always_inline))
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
/* yes where the sign bit of x is set */
INLINE vec if_negative(vec x, vec yes, vec no)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    return _mm512_mask_blend_pd(_mm512_movepi64_mask((__m512i)x), no, yes);
#elif defined(__AVX512F__)
    return _mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)x), no, yes);
#elif defined(__AVX2__) && defined(FR_DOUBLE)
    return _mm256_blendv_pd(no, yes, x);
#elif defined(__AVX2__)
    return _mm256_blendv_ps(no, yes, x);
#else
    return select((ivec)x >> (8 * sizeof(real) - 1), yes, no);
#endif
}
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

/* 1 / d for 1 <= d <= 2, to an ulp: an estimate and one Newton step instead of a division */
INLINE vec reciprocal(vec d)
{
#if defined(__AVX512F__) && !defined(FR_DOUBLE)
    const vec r = _mm512_rcp14_ps(d);
    return fma_(r, fma_(-d, r, all(1)), r);
#else
    return all(1) / d;
#endif
}

/* x . 2^n for a whole-numbered n <= 0, down to the denormals */
INLINE vec scale(vec x, vec n)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    return _mm512_scalef_pd(x, n);
#elif defined(__AVX512F__)
    return _mm512_scalef_ps(x, n);
#else
    const ivec whole = (ivec)(n + all(ROUND_MAGIC)) - (ivec)all(ROUND_MAGIC);
    const ivec half = whole >> 1; /* two factors, because 2^n alone can be too small to be normal */
    const vec first = (vec)((half + EXPONENT_BIAS) << MANTISSA);
    const vec second = (vec)((whole - half + EXPONENT_BIAS) << MANTISSA);
    return x * first * second;
#endif
}

INLINE vec nearest(vec x)
{
#if defined(__AVX512F__) && defined(FR_DOUBLE)
    return _mm512_roundscale_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX512F__)
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    return (x + all(ROUND_MAGIC)) - all(ROUND_MAGIC); /* |x| < 2^(MANTISSA - 1) */
#endif
}

#endif
