/* sigmoid and tanh, and their derivatives from their outputs; at most 4 ulp from the exact value for every input.
 *
 * NaN stays NaN, +-Inf saturates. A vector's lanes never meet, so a tail gives the bits of a body.
 */
#ifndef FASTRNN_ACTIVATIONS_H
#define FASTRNN_ACTIVATIONS_H

#include "fastrnn.h"
#include "vector.h"

/* SPAN: -ln of the smallest normal number */
#ifdef FR_DOUBLE
#define SPAN 708.39641853226
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
/* Taylor to f^13: the rest is below 2^-56 of the result */
static const double EXP[] = {
    1 / 6227020800.0, 1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0, 1 / 362880.0, 1 / 40320.0, 1 / 5040.0,
    1 / 720.0,        1 / 120.0,       1 / 24.0,       1 / 6.0,       1 / 2.0,      1.0,         1.0};
#define EXPM1 EXP
enum { EXP_TERMS = 14, EXPM1_TERMS = 12 };
#else
#define SPAN 87.33654f
#define LN2_HIGH 0.693145751953125f
#define LN2_LOW 1.428606765330187e-06f
/* minimax over +-0.34675: of e^f 0.8 ulp, of (e^f - 1 - f) / f^2, which is EXPM1, 0.2 ulp of e^f - 1 */
static const float EXP[] = {8.29024e-3f, 4.189811e-2f, 1.6667638e-1f, 4.9999148e-1f, 9.9999971e-1f, 1.0f};
static const float EXPM1[] = {1.38825143e-3f, 8.36654752e-3f, 4.16672006e-2f, 1.66665435e-1f, 4.99999970e-1f};
enum { EXP_TERMS = 6, EXPM1_TERMS = 5 };
#endif

/* Up to MOST vectors go through the same steps side by side: one after the other they would wait for each result of
 * their own chain, and no processor looks enough instructions ahead to begin the next meanwhile. */
enum { MOST = 8 };

/* e^(kx) = 2^n e^(kf), |kf| <= ln 2 / 2, for k = 1, -1 or 2 and |kx| <= SPAN: x becomes f, power 2^n */
INLINE void reduce(const int k, const int n, vec *x, vec *power)
{
    const vec magic = all((real)ROUND_MAGIC + EXPONENT_BIAS); /* leaves n, biased, in the low bits */
    vec whole[MOST];
    EACH(i, n) power[i] = fma_(x[i], all(k * (real)1.4426950408889634), magic);
    EACH(i, n) whole[i] = power[i] - magic;
    EACH(i, n) power[i] = (vec)((ivec)power[i] << MANTISSA);
    EACH(i, n) x[i] = fma_(whole[i], all(-(real)LN2_HIGH / k), x[i]);
    EACH(i, n) x[i] = fma_(whole[i], all(-(real)LN2_LOW / k), x[i]);
}

/* the polynomial in kf with these coefficients, the highest first; k goes into them */
INLINE void polynomial(const real *c, const int terms, const int k, const int n, const vec *f, vec *p)
{
    real powers[16] = {1};
    EACH(j, 15) powers[j + 1] = powers[j] * k;
    EACH(i, n) p[i] = all(c[0] * powers[terms - 1]);
    EACH(j, terms - 1)
        EACH(i, n) p[i] = fma_(p[i], f[i], all(c[j + 1] * powers[terms - 2 - j]));
}

/* 1 / (1 + e^-x); zero where that is less than the smallest normal number */
INLINE void sigmoids(const int n, vec *x)
{
    vec f[MOST], power[MOST], d[MOST];
    EACH(i, n) f[i] = at_least(x[i], -SPAN);
    EACH(i, n) f[i] = at_most(f[i], SPAN);
    reduce(-1, n, f, power);
    polynomial(EXP, EXP_TERMS, -1, n, f, d);
    EACH(i, n) d[i] = fma_(d[i], power[i], all(1));
    reciprocals(n, d);
    EACH(i, n) x[i] = zero_below(x[i], -SPAN, d[i]);
}

/* e^x for x <= 0; zero where that is less than the smallest normal number */
INLINE void exps(const int n, vec *x)
{
    vec f[MOST], power[MOST], e[MOST];
    EACH(i, n) f[i] = at_least(x[i], -SPAN);
    reduce(1, n, f, power);
    polynomial(EXP, EXP_TERMS, 1, n, f, e);
    EACH(i, n) x[i] = zero_below(x[i], -SPAN, e[i] * power[i]);
}

/* -h / (h + 1), h = (e^-2|x| - 1) / 2, with the sign of x: no cancellation near zero. x times a quotient of polynomials
 * of degree 4 in x^2 would be 18 instructions instead of 24, but is 5 to 6 ulp off near 1, and passes it. */
INLINE void tanhs(const int n, vec *x)
{
    vec f[MOST], power[MOST], p[MOST], d[MOST];
    EACH(i, n) f[i] = at_least(minus_magnitude(x[i]), (real)-22); /* tanh is 1 long before 22 */
    reduce(2, n, f, power);
    polynomial(EXPM1, EXPM1_TERMS, 2, n, f, p);
    EACH(i, n) d[i] = all(2) * f[i] * f[i];
    EACH(i, n) p[i] = fma_(d[i], p[i], f[i]); /* (e^2f - 1) / 2 */
    EACH(i, n) d[i] = fma_(power[i], all((real)0.5), all((real)-0.5));
    EACH(i, n) p[i] = fma_(power[i], p[i], d[i]);
    EACH(i, n) d[i] = p[i] + all(1);
    reciprocals(n, d);
    EACH(i, n) x[i] = with_sign_of(p[i] * d[i], x[i]);
}

INLINE vec dsigmoid(vec y) { return y * (all(1) - y); }
INLINE vec dtanh(vec y) { return fma_(-y, y, all(1)); }

INLINE void activate(int kind, const int n, vec *x)
{
    if (kind == FR_SIGMOID) sigmoids(n, x);
    if (kind == FR_TANH) tanhs(n, x);
    if (kind == FR_RELU)
        EACH(i, n) x[i] = select(x[i] < all(0), all(0), x[i]); /* NaN stays NaN */
}

/* the derivative at x, from y = activate(x) */
INLINE vec dactivate(int kind, vec y)
{
    switch (kind) {
    case FR_SIGMOID:
        return dsigmoid(y);
    case FR_TANH:
        return dtanh(y);
    case FR_RELU:
        return select(y > all(0), all(1), all(0));
    default:
        return all(1);
    }
}

#endif
