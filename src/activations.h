/* sigmoid and tanh, and their derivatives from their outputs; at most 4 ulp from the exact value for every input.
 *
 * Both rest on e^x for x <= 0, so that nothing overflows and the one division has a denominator in [1, 2].
 * NaN stays NaN, +-Inf saturates. A vector's lanes never meet, so a tail gives the bits of a body.
 */
#ifndef FASTRNN_ACTIVATIONS_H
#define FASTRNN_ACTIVATIONS_H

#include "fastrnn.h"
#include "vector.h"

/* x = n ln 2 + f, |f| <= ln 2 / 2; returns e^f - 1 */
INLINE vec reduce_expm1(vec x, vec *n)
{
    *n = nearest(x * all((real)1.4426950408889634));
#ifdef FR_DOUBLE
    vec f = fma_(*n, all(-6.93147180369123816490e-01), x);
    f = fma_(*n, all(-1.90821492927058770002e-10), f);
    /* Taylor to f^13: the rest is below 2^-56 of the result */
    static const double q[] = {1 / 6227020800.0, 1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0,
                               1 / 362880.0,     1 / 40320.0,     1 / 5040.0,     1 / 720.0,
                               1 / 120.0,        1 / 24.0,        1 / 6.0,        1 / 2.0};
    enum { TERMS = 12 };
#else
    vec f = fma_(*n, all(-0.693145751953125f), x);
    f = fma_(*n, all(-1.428606765330187e-06f), f);
    /* minimax over +-0.34675: 0.2 ulp of the result */
    static const float q[] = {1.38825143e-3f, 8.36654752e-3f, 4.16672006e-2f, 1.66665435e-1f, 4.99999970e-1f};
    enum { TERMS = 5 };
#endif
    vec p = all(q[0]);
    EACH(i, TERMS - 1) p = fma_(p, f, all(q[i + 1]));
    return fma_(f * f, p, f);
}

/* 1 / (1 + e^-x) = (x < 0 ? z : 1) / (1 + z), z = e^-|x| */
INLINE vec sigmoid(vec x)
{
#ifdef FR_DOUBLE
    const real low = -746.0;
#else
    const real low = -104.0f; /* e^x is zero below */
#endif
    vec n;
    const vec p = reduce_expm1(at_least(minus_magnitude(x), low), &n);
    const vec z = scale(p + all(1), n);
    return if_negative(x, z, all(1)) * reciprocal(z + all(1));
}

/* -(e^u - 1) / (e^u + 1), u = -2 |x|, with the sign of x: no cancellation near zero */
INLINE vec tanh_(vec x)
{
    vec n;
    const vec p = reduce_expm1(at_least(minus_magnitude(x) * all(2), (real)-44), &n); /* tanh is 1 long before 22 */
    const vec s = scale(all(1), n);
    const vec e = fma_(s, p, s - all(1));
    return with_sign_of(e * reciprocal(e + all(2)), x);
}

INLINE vec dsigmoid(vec y) { return y * (all(1) - y); }
INLINE vec dtanh(vec y) { return fma_(-y, y, all(1)); }

INLINE vec activate(int kind, vec x)
{
    switch (kind) {
    case FR_TANH:
        return tanh_(x);
    case FR_RELU:
        return select(x < all(0), all(0), x); /* NaN stays NaN */
    default:
        return x;
    }
}

/* the derivative at x, from y = activate(x) */
INLINE vec dactivate(int kind, vec y)
{
    switch (kind) {
    case FR_TANH:
        return dtanh(y);
    case FR_RELU:
        return select(y > all(0), all(1), all(0));
    default:
        return all(1);
    }
}

#endif
