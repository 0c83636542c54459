/* Optimizers: one pass over the weights, their slots and the gradient, each read once and written once.
 *
 * A formula is a function of one vector of each; what is common to all, clipping, the decay of weights and the rows
 * that have no gradient, is written once around it. No multiply-add is fused, and root and quotient are the exact ones:
 * the memory is what takes the time, and every ISA gives the bits of the same formula in NumPy.
 */
#ifndef FASTRNN_UPDATE_H
#define FASTRNN_UPDATE_H

#include "fastrnn.h"
#include "vector.h"

/* the numbers of an fr_update, in every element of a vector */
typedef struct {
    vec k[FR_NUMBERS], scale, decay;
    real limit;
    int decays;
} update_terms;

/* k, gradient, weights, slots */
typedef void update_formula(const vec *k, vec g, vec *w, vec *s);

/* k: rate */
INLINE void sgd(const vec *k, vec g, vec *w, vec *s)
{
    (void)s;
    *w -= g * k[0];
}

/* k: rate, momentum; s: velocity */
INLINE void momentum(const vec *k, vec g, vec *w, vec *s)
{
    s[0] = s[0] * k[1] - g * k[0];
    *w += s[0];
}

INLINE void nesterov(const vec *k, vec g, vec *w, vec *s)
{
    const vec step = g * k[0];
    s[0] = s[0] * k[1] - step;
    *w = *w - step + s[0] * k[1];
}

/* k: rate, epsilon; s: accumulator */
INLINE void adagrad(const vec *k, vec g, vec *w, vec *s)
{
    s[0] += g * g;
    *w -= g / sqrt_(s[0] + k[1]) * k[0];
}

/* k: rate, epsilon, rho, 1 - rho, momentum; s: velocity, momentum if there is one, average gradient if centered */
INLINE void rmsprop_of(const int moves, const int centered, const vec *k, vec g, vec *w, vec *s)
{
    s[0] = s[0] * k[2] + g * g * k[3];
    vec square = s[0];
    if (centered) {
        vec *a = s + 1 + moves;
        *a = *a * k[2] + g * k[3];
        square = at_least(square - *a * *a, 0); /* rounding can bring it below */
    }
    const vec step = g / sqrt_(square + k[1]) * k[0];
    if (moves) {
        s[1] = s[1] * k[4] + step;
        *w -= s[1];
    } else {
        *w -= step;
    }
}
INLINE void rmsprop(const vec *k, vec g, vec *w, vec *s) { rmsprop_of(0, 0, k, g, w, s); }
INLINE void rmsprop_centered(const vec *k, vec g, vec *w, vec *s) { rmsprop_of(0, 1, k, g, w, s); }
INLINE void rmsprop_momentum(const vec *k, vec g, vec *w, vec *s) { rmsprop_of(1, 0, k, g, w, s); }
INLINE void rmsprop_both(const vec *k, vec g, vec *w, vec *s) { rmsprop_of(1, 1, k, g, w, s); }

/* k: step, epsilon, beta_1, beta_2; s: m / (1 - beta_1), v / (1 - beta_2) */
INLINE void adam(const vec *k, vec g, vec *w, vec *s)
{
    s[0] = s[0] * k[2] + g;
    s[1] = s[1] * k[3] + g * g;
    *w -= s[0] / (sqrt_(s[1]) + k[1]) * k[0];
}

/* Elements with a gradient; with one of zero; and those of which only the slots change, by the factor k[2]. */
enum { GIVEN, ZERO, FADING };

INLINE vec update_load(const real *p, ptrdiff_t n, const int whole) { return whole ? load(p) : load_tail(p, n); }
INLINE void update_store(real *p, vec x, ptrdiff_t n, const int whole)
{
    if (whole)
        store(p, x);
    else
        store_tail(p, x, n);
}

/* n <= V elements from i on; n is V when `whole` */
INLINE void update_vector(const fr_update *u, const update_terms *t, update_formula f, const int slots, const int kind,
                          ptrdiff_t i, const real *gradient, ptrdiff_t n, const int whole)
{
    real *weights = (real *)u->w + i;
    vec s[FR_UPDATE_SLOTS];
    EACH(j, slots) s[j] = update_load((const real *)u->slot[j] + i, n, whole);
    if (kind == FADING) {
        EACH(j, slots) s[j] *= t->k[2];
    } else {
        vec g = all(0), w = update_load(weights, n, whole);
        if (kind == GIVEN) {
            g = at_least(update_load(gradient, n, whole) * t->scale, -t->limit);
            g = -at_least(-g, -t->limit);
        }
        if (t->decays) w -= w * t->decay; /* not w *= 1 - decay: in float32 that factor keeps two digits of it */
        f(t->k, g, &w, s);
        update_store(weights, w, n, whole);
    }
    EACH(j, slots) update_store((real *)u->slot[j] + i, s[j], n, whole);
}

INLINE void update_span(const fr_update *u, const update_terms *t, update_formula f, const int slots, const int kind,
                        ptrdiff_t i, ptrdiff_t end, const real *g)
{
    for (; i + V <= end; i += V, g += kind == GIVEN ? V : 0) update_vector(u, t, f, slots, kind, i, g, V, 1);
    if (i < end) update_vector(u, t, f, slots, kind, i, g, end - i, 0);
}

/* What becomes of a row without a gradient, unless weights decay: the formula with g = 0; its slots fade; nothing.
 * To note when each row was last used and let its slots fade then would save, before the cost of the notes, what the
 * slots of all rows cost. ms, RMSprop's and Adagrad's, which leaves them alone: 4900 rows of (10000, 32) 0.15 and 0.11,
 * 1000 of them 0.07 and 0.03; 5000 of (100000, 100) 1.7 and 0.7, of (1000000, 64) 13 and 0.5. */
enum { MOVE = ZERO, FADE = FADING, STAY };

INLINE void update_pass(const fr_update *u, ptrdiff_t begin, ptrdiff_t end, update_formula f, const int slots,
                        const int rest)
{
    update_terms t = {.scale = all((real)u->scale), .decay = all((real)u->decay), .limit = (real)u->limit};
    EACH(j, FR_NUMBERS) t.k[j] = all((real)u->numbers[j]);
    t.decays = u->decay != 0;
    const real *g = (const real *)u->g;
    if (!u->index) {
        update_span(u, &t, f, slots, GIVEN, begin, end, g + begin);
        return;
    }
    const ptrdiff_t columns = u->columns;
    ptrdiff_t p = 0, row = begin;
    for (ptrdiff_t above = u->count; p < above;) { /* the first row at or after `begin` */
        const ptrdiff_t middle = p + (above - p) / 2;
        if (u->index[middle] < begin)
            p = middle + 1;
        else
            above = middle;
    }
    for (;; p++) {
        const ptrdiff_t next = p < u->count && u->index[p] < end ? (ptrdiff_t)u->index[p] : end;
        if (row < next) {
            if (t.decays || rest == MOVE)
                update_span(u, &t, f, slots, ZERO, row * columns, next * columns, NULL);
            else if (rest == FADE)
                update_span(u, &t, f, slots, FADING, row * columns, next * columns, NULL);
        }
        if (next == end || next < row) return;
        update_span(u, &t, f, slots, GIVEN, next * columns, (next + 1) * columns, g + p * columns);
        row = next + 1;
    }
}

#define UPDATE(name, slots, rest) \
    static void update_##name(const fr_update *u, ptrdiff_t begin, ptrdiff_t end) \
    { update_pass(u, begin, end, name, slots, rest); }
UPDATE(sgd, 0, STAY)
UPDATE(momentum, 1, MOVE)
UPDATE(nesterov, 1, MOVE)
UPDATE(adagrad, 1, STAY)
UPDATE(rmsprop, 1, FADE)
UPDATE(rmsprop_centered, 2, FADE)
UPDATE(rmsprop_momentum, 2, MOVE)
UPDATE(rmsprop_both, 3, MOVE)
UPDATE(adam, 2, MOVE)
#undef UPDATE

static void update(const fr_update *u, ptrdiff_t begin, ptrdiff_t end)
{
    static void (*const passes[FR_FORMULAS])(const fr_update *, ptrdiff_t, ptrdiff_t) = {
        [FR_SGD] = update_sgd,
        [FR_MOMENTUM] = update_momentum,
        [FR_NESTEROV] = update_nesterov,
        [FR_ADAGRAD] = update_adagrad,
        [FR_RMSPROP] = update_rmsprop,
        [FR_RMSPROP_CENTERED] = update_rmsprop_centered,
        [FR_RMSPROP_MOMENTUM] = update_rmsprop_momentum,
        [FR_RMSPROP_BOTH] = update_rmsprop_both,
        [FR_ADAM] = update_adam,
    };
    passes[u->formula](u, begin, end);
}

/* the sum of squares, in float64: a number for each of CHAINS . WIDE places, and these in order */
static double squares(const void *x, ptrdiff_t n)
{
    enum { WIDE = VECTOR_BYTES / sizeof(double), CHAINS = 4 };
    typedef double wide __attribute__((vector_size(VECTOR_BYTES)));
    typedef real narrow __attribute__((vector_size(WIDE * sizeof(real)), aligned(sizeof(real)), may_alias));
    const real *p = x;
    wide sums[CHAINS] = {{0}};
    ptrdiff_t i = 0;
    for (; i + CHAINS * WIDE <= n; i += CHAINS * WIDE)
        EACH(c, CHAINS) {
            const wide v = __builtin_convertvector(*(const narrow *)(p + i + c * WIDE), wide);
            sums[c] += v * v;
        }
    double total = 0;
    EACH(c, CHAINS)
        EACH(j, WIDE) total += sums[c][j];
    for (; i < n; i++) total += (double)p[i] * p[i];
    return total;
}

/* out[index[m]] += rows[m] for m in ascending order */
static void add_rows(void *out, const int64_t *index, const void *rows, ptrdiff_t count, ptrdiff_t columns)
{
    const real *from = rows;
    for (ptrdiff_t m = 0; m < count; m++, from += columns) {
        real *to = (real *)out + index[m] * columns;
        ptrdiff_t c = 0;
        for (; c + V <= columns; c += V) store(to + c, load(to + c) + load(from + c));
        const ptrdiff_t left = columns - c;
        if (left) store_tail(to + c, load_tail(to + c, left) + load_tail(from + c, left), left);
    }
}

#endif
