/* The cells, compiled once per ISA and dtype (setup.py): FR_TABLE names the one symbol that leaves this file. */
#include "crossentropy.h"
#include "dropout.h"
#include "elementwise.h"
#include "fastrnn.h"
#include "gru.h"
#include "lstm.h"
#include "narrow.h"
#include "pack.h"
#include "rnn.h"
#include "update.h"

#ifndef FR_TABLE
#error "FR_TABLE must name the table, e.g. fr_f32_avx2"
#endif

extern const fr_kernels FR_TABLE;
const fr_kernels FR_TABLE = {
    .vector = V,
    .itemsize = sizeof(real),
    .cells = {[FR_SIMPLE_RNN] = &rnn_cell, [FR_LSTM] = &lstm_cell, [FR_GRU] = &gru_cell},
    .product = product,
    .joins = joins,
    .outer = outer,
    .pack = pack,
    .pack_transposed = pack_transposed,
    .pack_bfloat16 = HAS_BFLOAT16 ? pack_bfloat16 : NULL,
    .pack_transposed_bfloat16 = HAS_BFLOAT16 ? pack_transposed_bfloat16 : NULL,
    .bfloat16_room = HAS_BFLOAT16 ? bfloat16_room : NULL,
    .unpack = unpack,
    .activate = activate_array,
    .update = update,
    .squares = squares,
    .add_rows = add_rows,
    .slope = slope,
    .crossentropy = crossentropy,
    .dots = dots,
    .spread = spread,
    .drop = drop,
};
