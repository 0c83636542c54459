/* The two register tiles everything else is made of, and their loops; pack.h lays out their operands.
 *
 * product   rows times packed weights (x.W, h.R, dG.R^T, dG.W^T): a tile of R rows x N vectors stays in registers
 *           over all of K; per k it reads N vectors and R broadcasts for R . N multiply-adds.
 * outer     the sum over k of row^T row (weight gradients): the same tile, its left operand read along the row.
 *
 * Sizes of the tiles: R . N + N + 1 registers at most (of 16: R . N + R + 1 where R < N), and 8 or more independent
 * chains to hide the latency of an FMA; a few rows therefore take several panels at once.
 */
#ifndef FASTRNN_GEMM_H
#define FASTRNN_GEMM_H

#include "amx.h"
#include "bfloat16.h"
#include "fastrnn.h"
#include "vector.h"

enum { MAX_ROWS = 8, MAX_VECTORS = 8, LINE = 64, SUMS_ROW = MAX_VECTORS * V };
/* Of a second-level cache, for the gradient being summed, and the rows of it that are summed at a time; the part of a
 * packed operand that tiles share, for products with several gates, which a step of training surrounds with much else
 * that wants the caches, and for those with one. Alone a product is 2 to 4 % faster with 160 KiB, which stay in the
 * second level, and so were SimpleRNNs of 300 units, by 3 to 5 %; amid a step of several gates 64 KiB are 3 % faster
 * than 32 with 256 units, 128 were 6 to 20 % slower with 650. Nothing was gained by asking for the next tile's first 24
 * vectors of c or of its seeds, nor by tiles of up to 12 rows and half of a panel's gates, which read the weights half
 * as often, nor by 7 rows x 4 vectors, one of these an operand in memory (10 to 64 rows 0.95 to 1.03 of the rate; 14
 * rows, which are then two tiles instead of three, 1.07).
 * Tiles of up to 28 rows x 1 vector, whose multiply-adds broadcast from memory themselves, have 1.13 to 1.2 of the rate
 * alone where the core's other thread is busy and none where not. Whole layers took 0.98 to 1.05 of the time, and with
 * each vector's weights in one run, (P, G, K, V), large ones 0.93 to 1.02 forward, those of 32 to 256 units 1.03 to
 * 1.14. Tiles of 9 to 14 rows x 2 vectors have 0.8 to 1.0 of the rate.
 * Zen 4, with 1 MB of second level and half of the first, wants the same sizes: of STRETCH_GATES 24 KiB take 1.04 to
 * 1.1 of the time (256 to 1024 units), 128 KiB 0.98 to 1.0. */
enum { OUTER_CACHE = 640 * 1024, OUTER_HEIGHT = 512, STRETCH_GATES = 64 * 1024, STRETCH_ALONE = 160 * 1024 };

/* rows a tile of n vectors can take without spilling */
INLINE int tile_rows(int n)
{
#if REGISTERS == 32
    return n <= 3 ? 8 : n <= 4 ? 6 : n <= 6 ? 4 : 3;
#else
    return n <= 1 ? 8 : n <= 2 ? 6 : n <= 3 ? 4 : n <= 4 ? 3 : n <= 6 ? 2 : 1;
#endif
}

/* slots of a unit that x.W and h.R reach together, the one its first G, the other its last: a GRU's share two */
INLINE int joined_slots(int gates) { return gates == 3 ? 4 : gates; }

/* A tile's loop counts and branches once for four k: where another program has the core's other thread, a tile gets
 * half of the instructions a cycle, and these 3 of 39 cost 3 to 8 % of a product; a quiet core does not tell. Of 16
 * registers none is left for what the compiler would load for a k to come: it spilled, and lost 20 to 30 %; made to
 * forget at each k what is in memory it does not. With AVX2 four k a turn gain 2 to 14 %, with 2 rows 30 to 47 %; two
 * gain less, eight no more. Written out instead, with fewer additions to addresses, they spilled again. */
#define FOUR_A_TURN _Pragma("GCC unroll 4")
#if REGISTERS == 32
#define FORGET_MEMORY
#else
#define FORGET_MEMORY __asm__ volatile("" ::: "memory")
#endif

/* With 16 registers a tile of few rows keeps a k's broadcasts and takes its vectors one by one: 3 rows x 4 vectors fit,
 * which the other way round spill (25 to 30 % slower). 6 rows x 2 vectors, the shape of books, are no faster over
 * two panels (3840 rows 6 to 9 % slower: twice the passes over them), nor as two halves of a tile of 4 vectors (up to
 * 9 % slower); 3 x 4 with two of the vectors read again for each row, as operands in memory, gained nothing. */
#define BY_VECTOR(R, N) (REGISTERS == 16 && (R) < (N))

/* so many k, or PAIRS of them, added to a tile of SLOTS vectors a panel, of which the weights reach G from FIRST on;
 * with each it asks for one more line from `ahead` on */
INLINE void tile_run(const int PAIRS, const int R, const int G, const int PANELS, const int SLOTS, const int FIRST,
                     const real *const *a, ptrdiff_t length, const real *b, ptrdiff_t panel_size, const char *ahead,
                     vec acc[MAX_ROWS][MAX_VECTORS])
{
    const int N = G * PANELS;
    FOUR_A_TURN for (ptrdiff_t k = 0; k < length; k++)
    {
        FORGET_MEMORY;
        vec w[MAX_VECTORS], x[MAX_ROWS];
        if (BY_VECTOR(R, N)) {
            EACH(r, R) x[r] = all(a[r][k]);
            EACH(v, N) {
                const int to = v / G * SLOTS + FIRST + v % G;
                w[v] = load(b + v / G * panel_size + v % G * V);
                EACH(r, R) acc[r][to] = fma_(x[r], w[v], acc[r][to]);
            }
        } else {
            EACH(v, N) w[v] = load(b + v / G * panel_size + v % G * V);
            EACH(r, R) {
                x[r] = all(a[r][k]);
                EACH(v, N) {
                    const int to = v / G * SLOTS + FIRST + v % G;
                    acc[r][to] = PAIRS ? dot_pairs(x[r], w[v], acc[r][to]) : fma_(x[r], w[v], acc[r][to]);
                }
            }
        }
        __builtin_prefetch(ahead, 0, 2);
        ahead += LINE;
        b += G * V;
    }
}

/* one tile: rows [r0, r0 + R), panels [p, p + PANELS), which begin at b, panel_size apart, reals or PAIRS of bfloat16:
 * these it leaves in `kept`, if any, as reals. With each k it asks for one more line from `ahead` on, with each pair
 * where G = 1: there are no more. The sums go to c or, if there are any, to rows of `sums`. */
INLINE void product_tile(const int PAIRS, const int R, const int G, const int PANELS, const fr_product *d, ptrdiff_t r0,
                         ptrdiff_t p, const real *b, ptrdiff_t panel_size, const char *ahead, real *kept, real *sums)
{
    const int N = G * PANELS;
    const ptrdiff_t length = d->length, kept_size = kept_panel(PANELS);
    const int again = R * N + 2 * N + 2 > REGISTERS; /* no room to keep pairs in registers: they are loaded twice */
    const ptrdiff_t tail = d->columns - (p + PANELS - 1) * V; /* valid columns of the last panel, when G = 1 */
    const real *a[MAX_ROWS];
    vec acc[MAX_ROWS][MAX_VECTORS];

    EACH(r, R) {
        const void *row = d->seeds ? d->seeds[r0 + r] : d->seed ? d->seed : d->c[r0 + r];
        const real *seed = (const real *)row + p * d->c_panel + d->c_first;
        a[r] = (const real *)d->a[r0 + r] + d->a_first;
        EACH(v, N) {
            if (G == 1 && v == N - 1 && tail < V)
                acc[r][v] = load_tail(seed + v * d->c_panel, tail);
            else
                acc[r][v] = load(seed + v / G * d->c_panel + v % G * V);
        }
    }
    for (ptrdiff_t s = 0; s < d->segments; s++) {
        ptrdiff_t k = 0;
        for (; PAIRS && DOTS && k < length; k += PAIR) {
            vec w[MAX_VECTORS];
            EACH(v, N) w[v] = load(b + v / G * panel_size + v % G * V);
            __builtin_prefetch(ahead, 0, 2);
            if (G > 1) __builtin_prefetch(ahead + LINE, 0, 2);
            ahead += (G > 1 ? PAIR : 1) * LINE;
            EACH(r, R) {
                const vec x = all(a[r][k / PAIR]);
                EACH(v, N) acc[r][v] = dot_pairs(x, w[v], acc[r][v]);
            }
            b += G * V;
        }
        for (; PAIRS && k + PAIR <= length; k += PAIR) {
            vec pair[MAX_VECTORS];
            EACH(half, PAIR) {
                vec w[MAX_VECTORS];
                if (G > 1 || half == 0) {
                    __builtin_prefetch(ahead, 0, 2);
                    ahead += LINE;
                }
                EACH(v, N) {
                    if (half == 0 || again) pair[v] = load_again(b + v / G * panel_size + v % G * V);
                    w[v] = half ? high_half(pair[v]) : low_half(pair[v]);
                    if (kept) store(kept + half * G * V + v / G * kept_size + v % G * V, w[v]);
                }
                EACH(r, R) {
                    const vec x = all(a[r][k + half]);
                    EACH(v, N) acc[r][v] = fma_(x, w[v], acc[r][v]);
                }
            }
            if (kept) kept += PAIR * G * V;
            b += G * V;
        }
        if (PAIRS && k < length) { /* an odd one */
            vec w[MAX_VECTORS];
            EACH(v, N) {
                w[v] = low_half(load(b + v / G * panel_size + v % G * V));
                if (kept) store(kept + v / G * kept_size + v % G * V, w[v]);
            }
            EACH(r, R) {
                const vec x = all(a[r][k]);
                EACH(v, N) acc[r][v] = fma_(x, w[v], acc[r][v]);
            }
            b += G * V;
        }
        if (!PAIRS) {
            tile_run(0, R, G, PANELS, G, 0, a, length, b, panel_size, ahead, acc);
            b += length * G * V;
            ahead += length * LINE;
        }
        EACH(r, R) a[r] += d->stride;
    }
    EACH(r, R) {
        real *c = (real *)d->c[r0 + r] + p * d->c_panel + d->c_first;
        if (sums) {
            EACH(v, N) store(sums + r * SUMS_ROW + v * V, acc[r][v]);
            continue;
        }
        EACH(v, N) {
            if (G == 1 && v == N - 1 && tail < V)
                store_tail(c + v * d->c_panel, acc[r][v], tail);
            else
                store(c + v / G * d->c_panel + v % G * V, acc[r][v]);
        }
    }
}

/* one tile of a joined product; of the panel `ahead` it asks for a part */
INLINE void joined_tile(const int PAIRS, const int R, const int G, const int PANELS, const fr_product *d, ptrdiff_t r0,
                        ptrdiff_t p, ptrdiff_t ahead, ptrdiff_t part, real *sums)
{
    const int S = joined_slots(G), N = S * PANELS, RUN = PAIRS ? PAIR : 1;
    const ptrdiff_t x_length = (d->length + RUN - 1) / RUN, h_length = (d->joined->length + RUN - 1) / RUN;
    const fr_joined *j = d->joined;
    const real *seed = (const real *)d->seed + p * S * V, *x_b = d->b, *h_b = j->b, *x[MAX_ROWS], *h[MAX_ROWS];
    const char *x_ahead = (const char *)(x_b + ahead * d->b_panel) + part * x_length * LINE;
    const char *h_ahead = (const char *)(h_b + ahead * j->b_panel) + part * h_length * LINE;
    vec acc[MAX_ROWS][MAX_VECTORS];

    EACH(r, R) {
        x[r] = d->a[r0 + r];
        h[r] = j->a[r0 + r];
        EACH(v, N) acc[r][v] = load(seed + v * V);
    }
    tile_run(PAIRS, R, G, PANELS, S, 0, x, x_length, x_b + p * d->b_panel, d->b_panel, x_ahead, acc);
    tile_run(PAIRS, R, G, PANELS, S, S - G, h, h_length, h_b + p * j->b_panel, j->b_panel, h_ahead, acc);
    EACH(r, R) {
        EACH(v, N) store(sums + r * SUMS_ROW + v * V, acc[r][v]);
    }
}

/* Joined products, and weight gradients, of operands in bfloat16: two k to a lane where multiply-adds take them so and
 * gain by it; else weight gradients take one, as a float, and no product is joined. */
enum { GAINING_DOTS = DOTS && !TILES };

/* one tile of a weight gradient: R rows of c, from blocks of k rows, or PAIRS of them, a_row and b_row apart */
INLINE void outer_tile(const int PAIRS, const int R, const int G, const int PANELS, ptrdiff_t k, const real *a,
                       ptrdiff_t a_row, const real *b, ptrdiff_t b_row, real *c, ptrdiff_t c_panel, int first)
{
    const int N = G * PANELS;
    vec acc[MAX_ROWS][MAX_VECTORS];

    EACH(r, R) {
        EACH(v, N) {
            real *at = c + v / G * c_panel + (r * G + v % G) * V;
            acc[r][v] = first ? all(0) : load(at);
            __builtin_prefetch(at + R * G * V, 1, 3); /* what the next tile begins with */
        }
    }
    FOUR_A_TURN for (ptrdiff_t i = 0; i < k; i++, a += a_row, b += b_row)
    {
        FORGET_MEMORY;
        vec w[MAX_VECTORS], x[MAX_ROWS];
        if (BY_VECTOR(R, N)) {
            EACH(r, R) x[r] = all(a[r]);
            EACH(v, N) {
                w[v] = load(b + v * V);
                EACH(r, R) acc[r][v] = fma_(x[r], w[v], acc[r][v]);
            }
            continue;
        }
        EACH(v, N) w[v] = load(b + v * V);
        EACH(r, R) {
            x[r] = all(a[r]);
            EACH(v, N) acc[r][v] = PAIRS ? dot_pairs(x[r], w[v], acc[r][v]) : fma_(x[r], w[v], acc[r][v]);
        }
    }
    EACH(r, R) {
        EACH(v, N) store(c + v / G * c_panel + (r * G + v % G) * V, acc[r][v]);
    }
}

/* The shapes of tile that are compiled: G gates x PANELS, each for every number of rows. */
#define EACH_ROWS(X, G, PANELS) \
    X(1, G, PANELS) \
    X(2, G, PANELS) X(3, G, PANELS) X(4, G, PANELS) X(5, G, PANELS) X(6, G, PANELS) X(7, G, PANELS) X(8, G, PANELS)
#define EACH_SHAPE(X) \
    EACH_ROWS(X, 1, 1) \
    EACH_ROWS(X, 1, 2) \
    EACH_ROWS(X, 1, 4) EACH_ROWS(X, 1, 8) EACH_ROWS(X, 3, 1) EACH_ROWS(X, 3, 2) EACH_ROWS(X, 4, 1) EACH_ROWS(X, 4, 2)

typedef void (*product_fn)(const fr_product *, ptrdiff_t, ptrdiff_t, const real *, ptrdiff_t, const char *, real *,
                           real *);
typedef void (*joined_fn)(const fr_product *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t, real *);
typedef void (*outer_fn)(ptrdiff_t, const real *, ptrdiff_t, const real *, ptrdiff_t, real *, ptrdiff_t, int);

/* a tile that would spill is never chosen: its body is left empty */
#define DEFINE(R, G, PANELS) \
    static void product_##R##_##G##_##PANELS(const fr_product *d, ptrdiff_t r0, ptrdiff_t p, const real *b, \
                                             ptrdiff_t panel_size, const char *ahead, real *kept, real *sums) \
    { \
        if (R <= tile_rows(G * PANELS)) product_tile(0, R, G, PANELS, d, r0, p, b, panel_size, ahead, kept, sums); \
    } \
    static void pairs_##R##_##G##_##PANELS(const fr_product *d, ptrdiff_t r0, ptrdiff_t p, const real *b, \
                                           ptrdiff_t panel_size, const char *ahead, real *kept, real *sums) \
    { \
        if (HAS_BFLOAT16 && R <= tile_rows(G * PANELS)) \
            product_tile(1, R, G, PANELS, d, r0, p, b, panel_size, ahead, kept, sums); \
    } \
    static void joined_##R##_##G##_##PANELS(const fr_product *d, ptrdiff_t r0, ptrdiff_t p, ptrdiff_t ahead, \
                                            ptrdiff_t part, real *sums) \
    { \
        if (R <= tile_rows(joined_slots(G) * PANELS)) joined_tile(0, R, G, PANELS, d, r0, p, ahead, part, sums); \
    } \
    static void joined_pairs_##R##_##G##_##PANELS(const fr_product *d, ptrdiff_t r0, ptrdiff_t p, ptrdiff_t ahead, \
                                                  ptrdiff_t part, real *sums) \
    { \
        if (GAINING_DOTS && R <= tile_rows(joined_slots(G) * PANELS)) \
            joined_tile(1, R, G, PANELS, d, r0, p, ahead, part, sums); \
    } \
    static void outer_##R##_##G##_##PANELS(ptrdiff_t k, const real *a, ptrdiff_t a_row, const real *b, \
                                           ptrdiff_t b_row, real *c, ptrdiff_t c_panel, int first) \
    { \
        if (R <= tile_rows(G * PANELS)) outer_tile(0, R, G, PANELS, k, a, a_row, b, b_row, c, c_panel, first); \
    } \
    static void outer_pairs_##R##_##G##_##PANELS(ptrdiff_t k, const real *a, ptrdiff_t a_row, const real *b, \
                                                 ptrdiff_t b_row, real *c, ptrdiff_t c_panel, int first) \
    { \
        if (GAINING_DOTS && R <= tile_rows(G * PANELS)) \
            outer_tile(1, R, G, PANELS, k, a, a_row, b, b_row, c, c_panel, first); \
    }
EACH_SHAPE(DEFINE)
#undef DEFINE

#define ENTRY(R, G, PANELS) [G][PANELS][R] = product_##R##_##G##_##PANELS,
static const product_fn product_tiles[FR_MAX_GATES + 1][MAX_VECTORS + 1][MAX_ROWS + 1] = {EACH_SHAPE(ENTRY)};
#undef ENTRY
#define ENTRY(R, G, PANELS) [G][PANELS][R] = pairs_##R##_##G##_##PANELS,
static const product_fn pair_tiles[FR_MAX_GATES + 1][MAX_VECTORS + 1][MAX_ROWS + 1] = {EACH_SHAPE(ENTRY)};
#undef ENTRY
#define ENTRY(R, G, PANELS) [G][PANELS][R] = joined_##R##_##G##_##PANELS,
static const joined_fn joined_tiles[FR_MAX_GATES + 1][MAX_VECTORS + 1][MAX_ROWS + 1] = {EACH_SHAPE(ENTRY)};
#undef ENTRY
#define ENTRY(R, G, PANELS) [G][PANELS][R] = joined_pairs_##R##_##G##_##PANELS,
static const joined_fn joined_pair_tiles[FR_MAX_GATES + 1][MAX_VECTORS + 1][MAX_ROWS + 1] = {EACH_SHAPE(ENTRY)};
#undef ENTRY
#define ENTRY(R, G, PANELS) [G][PANELS][R] = outer_##R##_##G##_##PANELS,
static const outer_fn outer_tiles[FR_MAX_GATES + 1][MAX_VECTORS + 1][MAX_ROWS + 1] = {EACH_SHAPE(ENTRY)};
#undef ENTRY
#define ENTRY(R, G, PANELS) [G][PANELS][R] = outer_pairs_##R##_##G##_##PANELS,
static const outer_fn outer_pair_tiles[FR_MAX_GATES + 1][MAX_VECTORS + 1][MAX_ROWS + 1] = {EACH_SHAPE(ENTRY)};
#undef ENTRY

/* Panels of one tile for `rows` rows when `left` panels are left, of each of which it has as many vectors as `slots`:
 * as many as the registers take; with AVX2 two that 4 to 6 rows read once, not four that they read twice (6 rows, 4 MB
 * of weights: 19 % faster; SSE2, 5 rows: 5 % slower). */
static int tile_panels(int gates, int slots, ptrdiff_t rows, ptrdiff_t left)
{
    const int once = REGISTERS == 16 && VECTOR_BYTES == 32 && rows <= tile_rows(2);
    for (int panels = MAX_VECTORS; panels > 1; panels /= 2)
        if (panels <= left && product_tiles[gates][panels][1] &&
            (rows <= tile_rows(slots * panels) || (slots * panels <= FR_MAX_GATES && !once)))
            return panels;
    return 1;
}

/* what a cell does with a tile: rows [r0, r1), panels [p0, p1); forward `sums` has a row of SUMS_ROW for each */
typedef void (*finish_fn)(const fr_step *, const real *sums, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0, ptrdiff_t p1);

/* The processor foresees one long run, not dozens of short ones that lie far apart, and what training keeps of a step
 * is at home beyond the second-level cache. */
INLINE void ask_ahead(const fr_step *s, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0, ptrdiff_t p1)
{
    for (int i = 0; i < FR_AHEAD; i++)
        for (ptrdiff_t r = r0; s->ahead[i].rows && r < r1; r++) {
            const char *row = s->ahead[i].rows[r];
            for (ptrdiff_t at = p0 * s->ahead[i].panel; at < p1 * s->ahead[i].panel; at += LINE)
                __builtin_prefetch(row + at, 1, 2);
        }
}

/* The rows of a product over some panels, or over a stretch of their K; `finish`, if any, takes each tile over while it
 * is in the first-level cache: where it is kept `aside`, from rows that stay there, and c is not touched. Rows are
 * dealt evenly, so that no tile is left with a single row. Meanwhile the first tiles ask for the stretch that is read
 * `next`, if any, each for a part of it. Of weights in bfloat16 the first tile leaves reals in `kept`, if any, which
 * the others read. */
INLINE void product_rows(const fr_product *d, ptrdiff_t p, ptrdiff_t panels, finish_fn finish, const int aside,
                         const fr_step *step, const real *next, real *kept)
{
    real rows_aside[MAX_ROWS * SUMS_ROW] __attribute__((aligned(LINE)));
    real *const sums = finish && aside ? rows_aside : NULL;
    const ptrdiff_t pair = HAS_BFLOAT16 && d->scratch ? PAIR : 1;
    const product_fn *tile = pair > 1 ? pair_tiles[d->gates][panels] : product_tiles[d->gates][panels];
    const real *b = (const real *)d->b + p * d->b_panel;
    ptrdiff_t panel_size = d->b_panel;
    const ptrdiff_t most = tile_rows(d->gates * (int)panels);
    const ptrdiff_t tiles = (d->rows + most - 1) / most;
    const ptrdiff_t asked = d->segments * d->length * LINE; /* by a tile: one of the parts of a panel's stretch */
    const ptrdiff_t parts = (d->gates * (ptrdiff_t)sizeof(vec) / pair + LINE - 1) / LINE;
    ptrdiff_t part = 0, panel = 0;
    for (ptrdiff_t t = 0, r = 0; t < tiles; t++) {
        const ptrdiff_t rows = (d->rows - r) / (tiles - t);
        const char *ahead = (const char *)b; /* is there already */
        if (next && panel < panels) {
            ahead = (const char *)(next + panel * d->b_panel) + part * asked;
            if (++part == parts) part = 0, panel++;
        }
        tile[rows](d, r, p, b, panel_size, ahead, kept, sums);
        if (kept) {
            tile = product_tiles[d->gates][panels];
            b = kept;
            panel_size = kept_panel(panels);
            kept = NULL;
        }
        if (finish) {
            ask_ahead(step, r, r + rows, p, p + panels);
            finish(step, sums, r, r + rows, p, p + panels);
        }
        r += rows;
    }
}

/* the sums of a tile as `finish` takes them */
INLINE void copy_sums(real *sums, const fr_product *d, ptrdiff_t r0, ptrdiff_t rows, ptrdiff_t p, ptrdiff_t panels)
{
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t q = 0; q < panels; q++) {
            const real *c = (const real *)d->c[r0 + r] + (p + q) * d->c_panel + d->c_first;
            for (int g = 0; g < d->gates; g++) store(sums + r * SUMS_ROW + (q * d->gates + g) * V, load(c + g * V));
        }
}

/* All tiles of a product with weights in bfloat16 on AMX. Of rows dealt evenly the first may be one fewer than the
 * tiles are shaped for: they read a row of the next one then, and leave its sums alone. */
INLINE void tiled_walk(const fr_product *d, finish_fn finish, const int aside, const fr_step *step)
{
    const ptrdiff_t tiles = (d->rows + TILE_ROWS - 1) / TILE_ROWS, pairs = (d->length + 1) / PAIR;
    real sums[TILE_ROWS * SUMS_ROW] __attribute__((aligned(LINE)));
    if (tiles == 0) return;
    tiles_shape((d->rows + tiles - 1) / tiles, pairs % TILE_PAIRS);
    for (ptrdiff_t left = d->p1 - d->p0, panels; left > 0; left -= panels) {
        panels = tiled_panels(d->gates, left);
        const ptrdiff_t p = d->from_end ? d->p0 + left - panels : d->p1 - left;
        fr_product part = *d;
        ptrdiff_t done = 0;
        do {
            const int last = pairs - done <= TILE_STRETCH;
            part.length = last ? d->length - done * PAIR : TILE_STRETCH * PAIR;
            part.a_first = done;
            part.b = (const real *)d->b + done * d->gates * V;
            if (done > 0) part.seed = NULL, part.seeds = NULL;
            for (ptrdiff_t t = 0, r = 0, rows; t < tiles; t++, r += rows) {
                rows = (d->rows - r) / (tiles - t);
                tile_group(&part, r, rows, p, panels);
                if (last && finish) {
                    ask_ahead(step, r, r + rows, p, p + panels);
                    if (aside) copy_sums(sums, &part, r, rows, p, panels);
                    finish(step, aside ? sums : NULL, r, r + rows, p, p + panels);
                }
            }
            done += TILE_STRETCH;
        } while (done < pairs);
    }
    tiles_end();
}

/* Is a step's one product of x and h, of so many k together, the better, or are chunks of x projected beforehand, whose
 * pre-activations take a way out of the registers and back?
 * On Zen 4 one product takes, forward, 0.87 to 0.92 of the time of layers of 32 units, 0.94 of 128, 0.93 to 1.0 of 200
 * to 1024; in bfloat16 0.85 to 0.97; with AVX2 0.86 to 0.96, once 1.01; in float64 0.86 to 1.0; with SSE2 1.0 to 1.06.
 * With 16 registers a GRU's tile is one row shorter: 0.9 to 1.02 where its panels stay in the first level, 1.17 with
 * 256 units. A Xeon of the fifth generation, which multiplies twice as fast but does not read the second level so, took
 * 0.95 to 0.98 with 32 and 128 units, 1.05 to 1.13 with 256 and 300; by default it does not run the ISA that multiplies
 * pairs of bfloat16, which stands for Zen 4 here. float64 has no such ISA and keeps the limit, although on Zen 4 layers
 * of 200 to 300 units would take 0.96 to 1.0 of the time. AVX2 on Intel's processors and NEON have not been measured.
 */
static int joins(const fr_cell *cell, ptrdiff_t k, int bfloat16)
{
    const int gates = cell->gates, slots = joined_slots(gates);
    const ptrdiff_t bytes = k * gates * tile_panels(gates, slots, MAX_ROWS, MAX_VECTORS) * VECTOR_BYTES;
    if (cell->slots != slots || cell->input_first != 0 || cell->recurrent_first != slots - gates) return 0;
    if (bfloat16) return GAINING_DOTS;
    if (slots > gates && REGISTERS == 16) return bytes <= 16 * 1024;
    if (REGISTERS == 16) return VECTOR_BYTES > 16;
    return GAINING_DOTS || bytes <= 64 * 1024;
}

/* All tiles of a joined product. Panels are not cut into stretches: a tile reads them from the second level as fast as
 * it multiplies; but the first tiles ask for the panels that come next. */
INLINE void joined_walk(const fr_product *d, finish_fn finish, const fr_step *step)
{
    const int slots = joined_slots(d->gates), pairs = GAINING_DOTS && d->scratch;
    const ptrdiff_t parts = (d->gates * (ptrdiff_t)sizeof(vec) + LINE - 1) / LINE;
    real sums[MAX_ROWS * SUMS_ROW] __attribute__((aligned(LINE)));
    fr_product of_x, of_h = *d;
    fr_joined joined = *d->joined;
    if (pairs) { /* a scratch for the rows of each */
        of_h.a = joined.a;
        of_h.length = joined.length;
        of_h.scratch = (char *)d->scratch + bfloat16_room(d->rows, d->length);
        joined.a = with_rounded_rows(&of_h).a;
        of_x = with_rounded_rows(d);
        of_x.joined = &joined;
        d = &of_x;
    }
    for (ptrdiff_t left = d->p1 - d->p0, panels; left > 0; left -= panels) {
        panels = tile_panels(d->gates, slots, d->rows, left);
        const ptrdiff_t p = d->from_end ? d->p0 + left - panels : d->p1 - left;
        const ptrdiff_t most = tile_rows(slots * (int)panels), tiles = (d->rows + most - 1) / most;
        const joined_fn *tile = (pairs ? joined_pair_tiles : joined_tiles)[d->gates][panels];
        ptrdiff_t ahead = p, last = p, part = 0; /* itself is there already */
        if (left > panels)
            ahead = d->from_end ? p - panels : p + panels, last = ahead + panels;
        else if (d->after && d->b_panel > 0) /* there may be no inputs */
            ahead = ((const real *)d->after - (const real *)d->b) / d->b_panel, last = ahead + panels;
        for (ptrdiff_t t = 0, r = 0, rows; t < tiles; t++, r += rows) {
            rows = (d->rows - r) / (tiles - t);
            tile[rows](d, r, p, ahead < last ? ahead : p, part, sums);
            if (++part == parts) part = 0, ahead++;
            if (finish) {
                ask_ahead(step, r, r + rows, p, p + panels);
                finish(step, sums, r, r + rows, p, p + panels);
            }
        }
    }
}

/* All tiles of a product. Panels outside, rows inside: a panel is read from far away once, in stretches of K that stay
 * in a near cache while all rows use them, each continuing the one before. The processor foresees too little of them:
 * asked for in time, an operand of 3 MB, for 20 rows, came from the third level with 0.89 instead of 0.70 of the peak
 * of multiply-adds, one of 16 MB, for 64 rows, with 0.88 instead of 0.79. Tiles without a stretch to ask for could ask
 * for the rows to come: 2 to 5 % of a plain product of 4096 rows, not worth a case of its own. */
INLINE void product_walk(const fr_product *d, finish_fn finish, const int aside, const fr_step *step)
{
    fr_product rounded;
    if (d->joined) {
        joined_walk(d, finish, step);
        return;
    }
    if (HAS_BFLOAT16 && d->scratch) {
        rounded = with_rounded_rows(d), d = &rounded;
        if (TILES) {
            tiled_walk(d, finish, aside, step);
            return;
        }
    }
    real *kept = HAS_BFLOAT16 && !DOTS && d->rows > MAX_ROWS ? d->scratch : NULL;
    const ptrdiff_t pair = HAS_BFLOAT16 && d->scratch ? PAIR : 1; /* k in a row of b */
    const ptrdiff_t stretch = kept ? KEPT_BYTES : d->gates > 1 ? STRETCH_GATES : STRETCH_ALONE;
    for (ptrdiff_t left = d->p1 - d->p0, panels; left > 0; left -= panels) {
        panels = tile_panels(d->gates, d->gates, d->rows, left);
        const ptrdiff_t p = d->from_end ? d->p0 + left - panels : d->p1 - left;
        const ptrdiff_t most = stretch / (pair * d->gates * panels * V * (ptrdiff_t)sizeof(real));
        const ptrdiff_t runs = d->segments == 1 ? most : d->length > 0 && most > d->length ? most / d->length : 1;
        const ptrdiff_t total = d->segments == 1 ? (d->length + pair - 1) / pair : d->segments;
        const real *panel_after = d->after;
        if (left > panels) panel_after = (const real *)d->b + (d->from_end ? p - panels : p + panels) * d->b_panel;
        if ((total <= runs && !kept) || d->rows <= MAX_ROWS) {
            product_rows(d, p, panels, finish, aside, step, d->rows <= MAX_ROWS ? NULL : panel_after, NULL);
            continue;
        }
        fr_product part = *d;
        const ptrdiff_t stretches = total > runs ? (total + runs - 1) / runs : 1;
        const ptrdiff_t reals = (d->segments == 1 ? 1 : d->length) * d->gates * V; /* of b, for each of total */
        for (ptrdiff_t i = 0, done = 0, count; i < stretches; i++, done += count) {
            const real *b = (const real *)d->b + done * reals;
            count = (total - done) / (stretches - i);
            const int last = done + count == total;
            if (d->segments == 1) {
                part.length = last ? d->length - done * pair : count * pair;
                part.a_first = d->a_first + (DOTS ? done : done * pair);
            } else {
                part.segments = count;
                part.a_first = d->a_first + done * d->stride;
            }
            part.b = b;
            if (done > 0) part.seed = NULL, part.seeds = NULL;
            product_rows(&part, p, panels, last ? finish : NULL, aside, step,
                         last ? panel_after : b + p * d->b_panel + count * reals, kept);
        }
    }
}

static void product(const fr_product *d) { product_walk(d, NULL, 0, NULL); }

/* what tiles read of one k, or of two of them */
enum { OUTER_RUN = GAINING_DOTS ? PAIR : 1 };
INLINE vec outer_operand(const int ROUND, const vec *x)
{ return !ROUND ? x[0] : GAINING_DOTS ? rounded_pair(x[0], x[1]) : round_bfloat16(x[0]); }

/* rows [k0, k0 + k) of the panels [p, p + panels) of b, N vectors of each side by side, added to their sums; `next` are
 * the rows that will be packed after them, from panel next_p on */
INLINE void outer_pack_of(const int ROUND, const int N, const fr_outer *d, ptrdiff_t k0, ptrdiff_t k, ptrdiff_t p,
                          ptrdiff_t panels, int first, ptrdiff_t next_k, ptrdiff_t next_p)
{
    const int RUN = ROUND ? OUTER_RUN : 1;
    const ptrdiff_t tail = d->columns - (p + panels - 1) * V;
    real *to = d->scratch, *total = (real *)d->sum + p * d->slots * V;
    vec sum[MAX_VECTORS] = {{0}}; /* of these rows alone: thousands, added one by one, would lose digits */

    for (ptrdiff_t i = 0; i < k; i += RUN, to += N * V) {
        vec w[MAX_VECTORS][PAIR];
        EACH(j, RUN) {
            if (i + j == k) { /* an odd one has no other */
                EACH(v, N) w[v][j] = all(0);
                break;
            }
            const real *from = (const real *)d->b[k0 + i + j] + p * d->slots * V;
            real *into = d->into ? (real *)d->into[k0 + i + j] + p * d->slots * V : NULL;
            if (next_k + i + j < d->k) {
                const real *next = (const real *)d->b[next_k + i + j] + next_p * d->slots * V;
                EACH(v, N) __builtin_prefetch(next + v * V, 0, 2);
            }
            EACH(v, N) {
                const int end = v == N - 1 && d->slots == 1 && tail < V;
                w[v][j] = end ? load_tail(from + v * V, tail) : load(from + v * V);
                sum[v] += w[v][j];
                if (into) store(into + v * V, load(into + v * V) + w[v][j]);
            }
        }
        EACH(v, N) store(to + v * V, outer_operand(ROUND, w[v]));
    }
    if (d->sum)
        EACH(v, N) store(total + v * V, first ? sum[v] : sum[v] + load(total + v * V));
}

static void outer_pack(const fr_outer *d, ptrdiff_t k0, ptrdiff_t k, ptrdiff_t p, ptrdiff_t panels, int first,
                       ptrdiff_t next_k, ptrdiff_t next_p)
{
#define CASE(ROUND, N) outer_pack_of(ROUND, N, d, k0, k, p, panels, first, next_k, next_p)
    const int round = HAS_BFLOAT16 && d->bfloat16;
    switch (d->slots * panels) {
    case 1:
        round ? CASE(1, 1) : CASE(0, 1);
        break;
    case 2:
        round ? CASE(1, 2) : CASE(0, 2);
        break;
    default: /* one cell's slots, or as many panels: tile_panels takes no more for a tile of many rows */
        round ? CASE(1, 4) : CASE(0, 4);
    }
#undef CASE
}

/* How far apart the rows of a part's left operand are where outer_gather puts them: neighbours lie on different cache
 * sets; a multiple of 1024 bytes, as h has for H = 256, would leave them a few. */
INLINE ptrdiff_t outer_apart(const fr_outer_part *o)
{
    const ptrdiff_t line = LINE / sizeof(real);
    return (((o->m1 - o->m0 + line - 1) / line) | 1) * line;
}

/* Copy the rows [k0, k0 + k) of a part's left operand, only the columns it reads. */
INLINE real *outer_gather(const int ROUND, const fr_outer_part *o, ptrdiff_t whole, ptrdiff_t k0, ptrdiff_t k, real *to)
{
    const int RUN = ROUND ? OUTER_RUN : 1;
    const ptrdiff_t width = o->m1 - o->m0, line = LINE / sizeof(real), apart = outer_apart(o);
    for (ptrdiff_t i = 0; i < k; i += RUN, to += apart) {
        const real *from[PAIR];
        const int runs = k - i < RUN ? 1 : RUN;
        ptrdiff_t m = 0;
        EACH(j, RUN) {
            const ptrdiff_t ahead = k0 + FR_OUTER_ROWS + i + j;
            from[j] = j < runs ? (const real *)o->a[k0 + i + j] + o->m0 : NULL;
            if (ahead < whole)
                for (const real *next = (const real *)o->a[ahead] + o->m0, *end = next + width; next < end;
                     next += line)
                    __builtin_prefetch(next, 0, 2);
        }
        for (; m < width; m += V) {
            const ptrdiff_t left = width - m;
            vec x[PAIR];
            EACH(j, RUN) x[j] = j == runs ? all(0) : left < V ? load_tail(from[j] + m, left) : load(from[j] + m);
            if (left < V)
                store_tail(to + m, outer_operand(ROUND, x), left);
            else
                store(to + m, outer_operand(ROUND, x));
        }
    }
    return to;
}

/* rows of c, of all parts */
INLINE ptrdiff_t outer_height(const fr_outer *d)
{
    ptrdiff_t height = 0;
    for (int part = 0; part < d->parts; part++) height += d->part[part].m1 - d->part[part].m0;
    return height;
}

/* Blocks of k rows, so few that a packed panel of them stays in the first-level cache while every tile of rows reads
 * it, over as many panels as keep their share of c in the second: a panel at a time would read the left operands anew
 * for each, all panels at a time would fetch and write back a large c for each block. Without the copies it
 * would be 6 to 21 % faster (1024, 650, 512 and 256 units); each tile asking for a share of the rows to come, instead
 * of each copy for all of the next, gained none of it (0.94 to 1.02 of the rate). */
OUT_OF_LINE void outer_slice(const fr_outer *d) /* inlined it is 3 % slower */
{
    const ptrdiff_t widest = tile_panels(d->gates, d->gates, MAX_ROWS, d->p1 - d->p0);
    const ptrdiff_t kept = (ptrdiff_t)(OUTER_CACHE / sizeof(real)) / ((1 + outer_height(d)) * d->gates * V);
    const ptrdiff_t group = kept > widest ? kept : widest;
    const int round = HAS_BFLOAT16 && d->bfloat16, run = round ? OUTER_RUN : 1;

    for (ptrdiff_t g0 = d->p0; g0 < d->p1; g0 += group) {
        const ptrdiff_t g1 = d->p1 - g0 < group ? d->p1 : g0 + group;
        for (ptrdiff_t k0 = 0; k0 < d->k || k0 == 0; k0 += FR_OUTER_ROWS) {
            const ptrdiff_t k = d->k - k0 < FR_OUTER_ROWS ? d->k - k0 : FR_OUTER_ROWS;
            const int first = d->begins && k0 == 0;
            real *left[3] = {(real *)d->scratch + FR_OUTER_ROWS * 4 * V};
            for (int part = 0; part < d->parts; part++)
                left[part + 1] = round ? outer_gather(1, &d->part[part], d->k, k0, k, left[part])
                                       : outer_gather(0, &d->part[part], d->k, k0, k, left[part]);
            for (ptrdiff_t p = g0, panels; p < g1; p += panels) {
                panels = tile_panels(d->gates, d->gates, MAX_ROWS, g1 - p);
                const int last = p + panels >= g1;
                outer_pack(d, k0, k, p, panels, first, last ? k0 + FR_OUTER_ROWS : k0, last ? g0 : p + panels);
                for (int part = 0; part < d->parts; part++) {
                    const fr_outer_part *o = &d->part[part];
                    const ptrdiff_t most = tile_rows(d->gates * (int)panels), width = o->m1 - o->m0;
                    const ptrdiff_t tiles = (width + most - 1) / most;
                    const real *b = (const real *)d->scratch + o->first * V;
                    const ptrdiff_t c_panel = o->rows * d->gates * V;
                    real *c = (real *)o->c + p * c_panel + o->m0 * d->gates * V;
                    const outer_fn *tile = (run > 1 ? outer_pair_tiles : outer_tiles)[d->gates][panels];
                    for (ptrdiff_t t = 0, m = 0; t < tiles; t++) {
                        const ptrdiff_t n = (width - m) / (tiles - t);
                        tile[n]((k + run - 1) / run, left[part] + m, outer_apart(o), b, d->slots * panels * V,
                                c + m * d->gates * V, c_panel, first);
                        m += n;
                    }
                }
            }
        }
    }
}

/* Many rows of c are summed in slices: about square blocks of c read the least of both operands. 2048 rows and 64
 * panels of an LSTM went from 0.64 of the peak of multiply-adds to 0.77, 1300 and 41 from 0.69 to 0.80; slices of 256
 * rows are as good, of 1024 not. */
static void outer(const fr_outer *d)
{
    const ptrdiff_t height = outer_height(d);
    const ptrdiff_t slices = height > OUTER_HEIGHT ? (height + OUTER_HEIGHT - 1) / OUTER_HEIGHT : 1;
    for (ptrdiff_t i = 0; i < slices; i++) {
        fr_outer slice = *d;
        for (int part = 0; part < d->parts; part++) {
            const fr_outer_part *o = &d->part[part];
            const ptrdiff_t vectors = (o->m1 - o->m0 + V - 1) / V;
            slice.part[part].m0 = o->m0 + vectors * i / slices * V;
            if (i + 1 < slices) slice.part[part].m1 = o->m0 + vectors * (i + 1) / slices * V;
        }
        if (i > 0) slice.sum = NULL, slice.into = NULL; /* the first has seen to them */
        outer_slice(&slice);
    }
}

#endif
