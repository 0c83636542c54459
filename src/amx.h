/* Products with weights in bfloat16 on the tile registers of AMX: a tile of up to 16 rows times 16 pairs of k of the
 * left operand, one of 16 pairs times V units of the weights as they are packed, and sums of both.
 *
 * FR_EMULATE_TILES puts plain C in the place of the instructions, on any processor: so the tests see what surrounds
 * them. Not yet run on a processor that has them.
 */
#ifndef FASTRNN_AMX_H
#define FASTRNN_AMX_H

#include "bfloat16.h"
#include "fastrnn.h"
#include "vector.h"

/* the tiles: sums of up to 4 vectors of units, both operands, and these for what is left of K at the end */
enum { TILE_SUMS = 4, TILE_LEFT = 4, TILE_RIGHT, TILE_LEFT_END, TILE_RIGHT_END, TILE_NUMBERS };
enum { TILE_ROWS = 16, TILE_PAIRS = 16, TILE_BYTES = 64 };
/* Pairs of k between two visits of c. They do not depend on the rows: each stretch has sums of its own. */
enum { TILE_STRETCH = 256 };

typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} tile_shapes;

#if defined(__AMX_BF16__) && !defined(FR_DOUBLE)
enum { TILES = 1 };
/* the instructions want numbers that are written out, and the compiler is not told what they read */
#define WRITTEN() __asm__ volatile("" ::: "memory")
#define EACH_TILE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
INLINE void tiles_begin(const tile_shapes *shapes)
{
    __asm__ volatile("" ::"r"(shapes) : "memory");
    _tile_loadconfig(shapes);
}
INLINE void tiles_end(void) { _tile_release(); }
INLINE void tile_zero(int tile)
{
#define CASE(N) \
    if (tile == N) _tile_zero(N);
    EACH_TILE(CASE)
#undef CASE
}
INLINE void tile_load(int tile, const void *from, ptrdiff_t apart)
{
    WRITTEN();
#define CASE(N) \
    if (tile == N) _tile_loadd(N, from, apart);
    EACH_TILE(CASE)
#undef CASE
}
INLINE void tile_store(int tile, void *to, ptrdiff_t apart)
{
#define CASE(N) \
    if (tile == N) _tile_stored(N, to, apart);
    EACH_TILE(CASE)
#undef CASE
}
INLINE void tile_dot(int sum, int end)
{
#define CASE(N) \
    if (sum == N && end) _tile_dpbf16ps(N, 6, 7); \
    if (sum == N && !end) _tile_dpbf16ps(N, 4, 5);
    CASE(0) CASE(1) CASE(2) CASE(3)
#undef CASE
}
#elif defined(FR_EMULATE_TILES) && !defined(FR_DOUBLE)
enum { TILES = 1 };
static _Thread_local tile_shapes tile_shape;
static _Thread_local uint32_t tile_data[TILE_NUMBERS][TILE_ROWS][TILE_BYTES / 4];
INLINE void tiles_begin(const tile_shapes *shapes)
{
    tile_shape = *shapes;
    memset(tile_data, 0xFF, sizeof tile_data); /* NaN: what is read before it is written shows */
}
INLINE void tiles_end(void) { memset(&tile_shape, 0, sizeof tile_shape); }
INLINE void tile_zero(int tile) { memset(tile_data[tile], 0, sizeof tile_data[tile]); }
INLINE void tile_load(int tile, const void *from, ptrdiff_t apart)
{
    for (int r = 0; r < tile_shape.rows[tile]; r++)
        memcpy(tile_data[tile][r], (const char *)from + r * apart, tile_shape.bytes[tile]);
}
INLINE void tile_store(int tile, void *to, ptrdiff_t apart)
{
    for (int r = 0; r < tile_shape.rows[tile]; r++)
        memcpy((char *)to + r * apart, tile_data[tile][r], tile_shape.bytes[tile]);
}
INLINE float half_of(uint32_t pair, int high)
{
    const uint32_t bits = high ? pair & 0xFFFF0000u : pair << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
INLINE void tile_dot(int sum, int end)
{
    const int left = end ? TILE_LEFT_END : TILE_LEFT, right = end ? TILE_RIGHT_END : TILE_RIGHT;
    for (int r = 0; r < tile_shape.rows[sum]; r++)
        for (int k = 0; k < tile_shape.rows[right]; k++)
            for (int u = 0; u < tile_shape.bytes[sum] / 4; u++) {
                float value;
                memcpy(&value, &tile_data[sum][r][u], sizeof value);
                for (int high = 0; high < PAIR; high++)
                    value += half_of(tile_data[left][r][k], high) * half_of(tile_data[right][k][u], high);
                memcpy(&tile_data[sum][r][u], &value, sizeof value);
            }
}
#else
enum { TILES = 0 };
INLINE void tiles_begin(const tile_shapes *shapes) { (void)shapes; }
INLINE void tiles_end(void) {}
INLINE void tile_zero(int tile) { (void)tile; }
INLINE void tile_load(int tile, const void *from, ptrdiff_t apart) { (void)tile, (void)from, (void)apart; }
INLINE void tile_store(int tile, void *to, ptrdiff_t apart) { (void)tile, (void)to, (void)apart; }
INLINE void tile_dot(int sum, int end) { (void)sum, (void)end; }
#endif

/* shapes for so many rows, and so many pairs left at the end */
INLINE void tiles_shape(ptrdiff_t rows, ptrdiff_t end)
{
    tile_shapes shapes = {.palette = 1};
    for (int tile = 0; tile < TILE_NUMBERS; tile++) {
        const int ends = tile == TILE_LEFT_END || tile == TILE_RIGHT_END;
        const ptrdiff_t pairs = ends ? end : TILE_PAIRS;
        const int left = tile == TILE_LEFT || tile == TILE_LEFT_END;
        const int right = tile == TILE_RIGHT || tile == TILE_RIGHT_END;
        if (pairs == 0) continue;
        shapes.rows[tile] = (uint8_t)(right ? pairs : rows);
        shapes.bytes[tile] = (uint16_t)(left ? pairs * 4 : V * 4);
    }
    tiles_begin(&shapes);
}

/* c = seed + a stretch of a . b for rows [r0, r0 + rows) and N vectors of units from panel p on */
INLINE void tile_stretch(const int N, const fr_product *d, ptrdiff_t r0, ptrdiff_t rows, ptrdiff_t p)
{
    const int G = d->gates;
    const ptrdiff_t pairs = (d->length + 1) / PAIR,
                    apart = rows > 1 ? (const char *)d->a[r0 + 1] - (const char *)d->a[r0] : 64;
    const ptrdiff_t tail = d->columns - (p + N / G - 1) * V; /* valid columns of the last panel, when G = 1 */
    const real *a = (const real *)d->a[r0] + d->a_first;
    const real *b = (const real *)d->b + p * d->b_panel;
    real sums[TILE_SUMS][TILE_ROWS][V];

    EACH(v, N) tile_zero(v);
    for (ptrdiff_t k = 0; k < pairs; k += TILE_PAIRS) {
        const int end = pairs - k < TILE_PAIRS;
        if (end)
            tile_load(TILE_LEFT_END, a + k, apart);
        else
            tile_load(TILE_LEFT, a + k, apart);
        EACH(v, N) {
            const real *w = b + k * G * V + v / G * d->b_panel + v % G * V;
            if (end)
                tile_load(TILE_RIGHT_END, w, (ptrdiff_t)sizeof(real) * G * V), tile_dot(v, 1);
            else
                tile_load(TILE_RIGHT, w, (ptrdiff_t)sizeof(real) * G * V), tile_dot(v, 0);
        }
    }
    EACH(v, N) tile_store(v, sums[v], sizeof sums[v][0]);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const void *row = d->seeds ? d->seeds[r0 + r] : d->seed ? d->seed : d->c[r0 + r];
        const ptrdiff_t first = p * d->c_panel + d->c_first;
        EACH(v, N) {
            const ptrdiff_t at = first + v / G * d->c_panel + v % G * V;
            const real *seed = (const real *)row + at;
            real *c = (real *)d->c[r0 + r] + at;
            if (G == 1 && v == N - 1 && tail < V)
                store_tail(c, load_tail(seed, tail) + load(sums[v][r]), tail);
            else
                store(c, load(seed) + load(sums[v][r]));
        }
    }
}

/* the vectors of a group of panels: 1 to 4 of one gate, or one panel of 3 or 4 */
INLINE ptrdiff_t tiled_panels(int gates, ptrdiff_t left)
{
    const ptrdiff_t most = TILE_SUMS / gates;
    return left < most ? left : most;
}

INLINE void tile_group(const fr_product *d, ptrdiff_t r, ptrdiff_t rows, ptrdiff_t p, ptrdiff_t panels)
{
    switch (d->gates * panels) {
    case 1:
        tile_stretch(1, d, r, rows, p);
        break;
    case 2:
        tile_stretch(2, d, r, rows, p);
        break;
    case 3:
        tile_stretch(3, d, r, rows, p);
        break;
    default:
        tile_stretch(4, d, r, rows, p);
    }
}

#endif
