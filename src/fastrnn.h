/* The border between the kernels (C, one text for every ISA and dtype) and the time loops (Cython).
 *
 * Legend of dimensions, used everywhere:
 *   T steps   B batch rows   I inputs   H hidden units   G gates in a product (RNN 1, GRU 3, LSTM 4)
 *   V units per vector       P = ceil(H / V) panels      S slots: numbers kept per unit and step (RNN 1, GRU 4, LSTM 4)
 *
 * A *row* is one batch row at one step, always reached through a pointer: strides, ragged lengths, reversed
 * time and sorted batches are then the caller's business, and a kernel has one form.
 * A *gate row* is (P, S, V): the S numbers of V neighbouring units side by side, padded units zero.
 * A *packed* operand is (P, K, G, V): the weights one register tile reads, in the order it reads them; in bfloat16,
 * two k to a lane of 32 bits, it is (P, ceil(K / 2), G, V), see bfloat16.h.
 *
 * Reals are void here because float and double share the border; kernels.c gives them their type.
 * Nothing in src/ allocates, knows Python or knows threads.
 */
#ifndef FASTRNN_H
#define FASTRNN_H

#include <stddef.h>
#include <stdint.h>

enum { FR_SIMPLE_RNN, FR_LSTM, FR_GRU, FR_CELLS };
enum { FR_TANH, FR_RELU, FR_LINEAR, FR_SIGMOID }; /* the last one is no cell's */
enum { FR_MAX_GATES = 4 };

/* The h.R of a product that begins with x.W: rows of `length` reals and the panels they are multiplied by. */
typedef struct {
    const void *const *a;
    ptrdiff_t length;
    const void *b;
    ptrdiff_t b_panel;
} fr_joined;

/* C[row][p][first..first+G) = seed + A[row][0..K) . B, for rows [0, rows) and panels [p0, p1).
 * Every element is one chain of fused multiply-adds in ascending k, whatever the tile: the same bits for
 * any position in the batch and any thread count. */
typedef struct {
    ptrdiff_t rows, p0, p1;
    int gates;            /* G of the packed operand: 1, 3 or 4 */
    const void *const *a; /* rows: `segments` runs of `length` reals, `stride` apart; K = segments . length */
    ptrdiff_t segments, length, stride;
    ptrdiff_t a_first; /* reals before the first run */
    const void *b;     /* packed (P, K, G, V), or bfloat16 */
    ptrdiff_t b_panel; /* K . G . V, or ceil(K / 2) . G . V */
    void *const *c;    /* rows: panel p starts at p . c_panel + c_first */
    ptrdiff_t c_panel, c_first;
    const void *seed;         /* one row laid out like c, shared by all rows; NULL: c itself */
    const void *const *seeds; /* a seed for each row, or NULL */
    ptrdiff_t columns;        /* G = 1: valid columns of c, which may be unpadded */
    int from_end;             /* the last panels first: of b, what the product before has left in cache */
    const void *after;        /* what is read after the last panel, or NULL */
    void *scratch; /* b is bfloat16: fr_kernels.bfloat16_room for the rows of a, rounded to it; NULL: b is reals */
    int rounded;   /* they are there already, from a product of the same rows */
    /* A step's product of x, which is `a`, of one run, and of h, or NULL: each reaches its own of a gate row's slots,
     * all of which begin with the seed and are handed to the cell; c is left alone. Of bfloat16 the scratch has room
     * for the rows of x and beside it for those of h. */
    const fr_joined *joined;
} fr_product;

/* Weight gradients of a whole sequence, k in ascending order:
 *   sum[p][s] = sum over k of B[k][p][s], and for each part, which has its own left operand,
 *   C[m][p][g] = sum over k of A[k][m] . B[k][p][first + g].
 * Both parts of a layer, x and h_{t-1}, are done while a block of FR_OUTER_ROWS rows of B is in the first-level cache.
 */
typedef struct {
    const void *const *a; /* k rows of at least m1 reals */
    ptrdiff_t m0, m1;
    int first;      /* slot of B */
    void *c;        /* (P, rows, G, V): the rows a tile adds to are neighbours, whatever power of two H is */
    ptrdiff_t rows; /* at least m1 */
} fr_outer_part;

typedef struct {
    ptrdiff_t k, p0, p1;
    int begins;           /* these are the first k: c and sum are overwritten, not continued */
    const void *const *b; /* k rows (P, S, V) */
    int slots, gates;     /* S, G */
    ptrdiff_t columns;    /* S = 1: valid columns of b, which may be unpadded */
    void *sum;            /* (P, S, V) or NULL */
    void *const *into;    /* k rows (P, S, V) that the rows of B are added to, the same one many times; or NULL */
    int parts;
    fr_outer_part part[2];
    int bfloat16;  /* what is multiplied is rounded to it; `sum` and `into` are of B as it is */
    void *scratch; /* FR_OUTER_ROWS times (4 vectors, the left rows of all parts, and 2 lines of 64 bytes a part) */
} fr_outer;
/* 80 to 128 rows gain up to 10 % on a quiet Xeon and lose as much when its core's other thread is busy. */
enum { FR_OUTER_ROWS = 64, FR_OUTER_PADDING = 128 };

/* Rows that a step to come will touch: each tile asks the caches for its share of them, `panel` bytes a panel. */
typedef struct {
    const void *const *rows; /* or NULL */
    ptrdiff_t panel;
} fr_ahead;
enum { FR_AHEAD = 4 };

/* One step of one cell for the rows [0, rows).
 * forward:  product.a is h_{t-1} and product.c the gate rows, which x.W + b is in unless the product has seeds of its
 *           own; or product.a is x_t and product.joined->a is h_{t-1}.
 * backward: product.a is dG of the step that followed, product.c the rows dh (carry in, carry out); only the first
 *           product.rows rows have such a step.
 * What later variants need finds its place here: peepholes, zoneout and recurrent-dropout masks and per-step masks are
 * further row pointers read by a cell's epilogue; projection and layer norm replace `h_next` by a scratch row that a
 * second product or a normalisation reads; reset-before GRU runs two products a step; hard_sigmoid and others are
 * further activation codes. */
typedef struct {
    fr_product product;
    ptrdiff_t rows, units; /* units = H */
    int activation, training;
    void *const *gates;        /* (P, S, V): forward keeps the activations when training; backward overwrites with dG */
    const void *const *c_prev; /* LSTM: c_{t-1}, padded */
    void *const *c;            /* LSTM: c_t, padded */
    void *const *h_next;       /* forward: h_t, padded: the next step's h_{t-1} */
    void *const *y;            /* forward: h_t, H reals, or NULL */
    const void *const *dy;     /* backward: H reals, or NULL */
    const void *const *h, *const *h_prev; /* backward: h_t and h_{t-1}, H reals */
    void *const *dc;                      /* backward, LSTM: dc_t in, dc_{t-1} out, padded */
    fr_ahead ahead[FR_AHEAD];
} fr_step;

/* A cell: its sizes, where its products land in a gate row, and its two steps. */
typedef struct {
    const char *name;
    int gates, slots, states;
    int input_first, recurrent_first;                             /* first slot of the G slots that x.W, h.R land in */
    int input_order[FR_MAX_GATES], recurrent_order[FR_MAX_GATES]; /* slot -> gate in Keras's order */
    void (*forward)(const fr_step *);
    void (*backward)(const fr_step *);
} fr_cell;

/* An optimizer's update of one variable; update.h tells each formula's slots and numbers. */
enum {
    FR_SGD,
    FR_MOMENTUM,
    FR_NESTEROV,
    FR_ADAGRAD,
    FR_RMSPROP,
    FR_RMSPROP_CENTERED,
    FR_RMSPROP_MOMENTUM,
    FR_RMSPROP_BOTH,
    FR_ADAM,
    FR_FORMULAS
};
enum { FR_UPDATE_SLOTS = 3, FR_NUMBERS = 5 };
typedef struct {
    int formula;
    double numbers[FR_NUMBERS];
    double scale, limit; /* a gradient is multiplied by the one, then brought into [-limit, limit] */
    double decay;        /* before it, w -= decay . w */
    void *w, *slot[FR_UPDATE_SLOTS];
    const void *g;        /* of every element; or, with an index, of `count` rows of a table of that many columns */
    const int64_t *index; /* ascending; the gradient of the other rows is zero */
    ptrdiff_t count, columns;
} fr_update;

/* C[r][n] = seed[n] + A[r][0..K) . B[n][0..K) for rows [r0, r1) and few columns n < N; rows are *_row reals apart. */
typedef struct {
    ptrdiff_t r0, r1, K, N;
    const void *a, *b;
    ptrdiff_t a_row, b_row, c_row;
    void *c;
    const void *seed; /* N reals; NULL: 0 */
} fr_dots;

/* C[r][j] = seed[j] + sum over k in ascending order of A(k, r) B[k][j], for rows [r0, r1) and columns [j0, j1), where
 * rows or k are few and K >= 1. A(k, r) is at a[k . a_k + r . a_row]. */
typedef struct {
    ptrdiff_t r0, r1, j0, j1, K;
    const void *a, *b;
    ptrdiff_t a_k, a_row, b_row, c_row;
    void *c;
    const void *seed;
} fr_spread;

/* da = dy f'(y) for rows [r0, r1), and sums[j] = sum over these of da[r][j]; f is linear: dy itself, and no da. */
typedef struct {
    int kind;
    ptrdiff_t r0, r1, columns;
    const void *dy, *y; /* rows: dy's dy_row reals apart, the others' columns */
    ptrdiff_t dy_row;
    void *da;
    double *sums; /* columns */
} fr_slope;

/* dz[r] = factor (total e^(z - top) / sum - t): sum of the e^(z - top), total of t, for rows [r0, r1) of z; t is 1 at a
 * class, or a distribution, or, for a plain softmax, missing. */
typedef struct {
    ptrdiff_t r0, r1, classes;
    const void *z;
    const long long *number; /* the class of each row, or NULL */
    const void *target;      /* rows of t, or NULL */
    const void *factor;      /* of each row, factor_step apart; NULL: dz is scratch */
    ptrdiff_t factor_step;
    void *sums, *totals, *picked; /* of each row: sum, total, and that of t (z - top); or NULL */
    void *dz;                     /* rows dz_row apart: 0 where it is scratch */
    ptrdiff_t dz_row;
} fr_crossentropy;

/* y = x m for the tiles [first, last) of FR_DROP_TILE places; m: dropout.h. */
typedef struct {
    ptrdiff_t first, last, count; /* count: places of the whole array */
    unsigned long long key, passes;
    unsigned number;    /* tells the masks of one pass apart */
    unsigned threshold; /* of 65536: what is dropped */
    double scale;       /* 1 / (1 - rate) */
    const void *x;      /* the whole array; NULL: y = m */
    void *y;
} fr_drop;
enum { FR_DROP_TILE = 64 };

/* Everything one ISA offers for one dtype. */
typedef struct {
    ptrdiff_t vector, itemsize; /* V, bytes of a real */
    const fr_cell *cells[FR_CELLS];
    void (*product)(const fr_product *);
    /* is a step's product, with so many k of x and h together, better joined? */
    int (*joins)(const fr_cell *, ptrdiff_t k, int bfloat16);
    void (*outer)(const fr_outer *);
    /* (K, G.H) row-major, rows ld apart -> panels [p0, p1) of a packed (P, K, G, V) */
    void (*pack)(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t H, int G, const int *order,
                 ptrdiff_t p0, ptrdiff_t p1);
    /* the transpose: (N, G.H) -> panels [p0, p1) of a packed (ceil(N / V), depth, 1, V); depth is P.G.V for the product
     * with gate rows, which are padded, and H for one with plain rows (G = 1), which are not */
    void (*pack_transposed)(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t N, ptrdiff_t H, int G,
                            const int *order, ptrdiff_t depth, ptrdiff_t p0, ptrdiff_t p1);
    /* the same in bfloat16, and the bytes that a product of so many rows and k with it wants for scratch; NULL where
     * the reals are double */
    void (*pack_bfloat16)(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t K, ptrdiff_t H, int G, const int *order,
                          ptrdiff_t p0, ptrdiff_t p1);
    void (*pack_transposed_bfloat16)(void *packed, const void *w, ptrdiff_t ld, ptrdiff_t N, ptrdiff_t H, int G,
                                     const int *order, ptrdiff_t depth, ptrdiff_t p0, ptrdiff_t p1);
    ptrdiff_t (*bfloat16_room)(ptrdiff_t rows, ptrdiff_t K);
    /* slots [first, first + G) of (P, M, S, V) -> rows [m0, m1) of (M, G.H), ld apart */
    void (*unpack)(void *w, ptrdiff_t ld, const void *packed, ptrdiff_t M, ptrdiff_t H, int G, const int *order,
                   int slots, int first, ptrdiff_t m0, ptrdiff_t m1);
    /* elements [begin, end) of a variable, with an index rows [begin, end) */
    void (*update)(const fr_update *, ptrdiff_t begin, ptrdiff_t end);
    double (*squares)(const void *x, ptrdiff_t n);
    void (*add_rows)(void *out, const int64_t *index, const void *rows, ptrdiff_t count, ptrdiff_t columns);

    void (*activate)(int kind, ptrdiff_t n, const void *x, void *y); /* y may be x */
    void (*slope)(const fr_slope *);
    void (*crossentropy)(const fr_crossentropy *);
    void (*dots)(const fr_dots *);
    void (*spread)(const fr_spread *);
    void (*drop)(const fr_drop *);
} fr_kernels;

/* dispatch.c: the only place that knows the names of ISAs. */
typedef struct {
    const char *name;
    const fr_kernels *f32, *f64;
} fr_isa;
extern const fr_isa fr_isas[];          /* lowest first, ends with name NULL; only those compiled in */
int fr_isa_supported(const char *name); /* does this processor have it? */
int fr_isa_pays(const char *name);      /* is it then the better for being higher? */

#endif
