/* The cells, compiled once per ISA and dtype (setup.py): FR_TABLE names the one symbol that leaves this file. */
#include "fastrnn.h"
#include "gru.h"
#include "lstm.h"
#include "rnn.h"
#include "update.h"

#ifndef FR_TABLE
#error "FR_TABLE must name the table, e.g. fr_f32_avx2"
#endif

static void activate_array(int kind, ptrdiff_t n, const void *x, void *y)
{
    for (ptrdiff_t i = 0; i < n; i += V) {
        const ptrdiff_t left = n - i < V ? n - i : V;
        vec v = load_tail((const real *)x + i, left);
        if (kind == 0)
            sigmoids(1, &v);
        else
            tanhs(1, &v);
        store_tail((real *)y + i, v, left);
    }
}

extern const fr_kernels FR_TABLE;
const fr_kernels FR_TABLE = {
    .vector = V,
    .itemsize = sizeof(real),
    .cells = {[FR_SIMPLE_RNN] = &rnn_cell, [FR_LSTM] = &lstm_cell, [FR_GRU] = &gru_cell},
    .product = product,
    .outer = outer,
    .pack = pack,
    .pack_transposed = pack_transposed,
    .unpack = unpack,
    .activate = activate_array,
    .update = update,
    .squares = squares,
    .add_rows = add_rows,
};
