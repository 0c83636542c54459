"""The products on AMX's tile registers, with plain C in the place of the instructions: on any processor, if it has a C
compiler. The processors that have the instructions run tests/test_bfloat16.py with FASTRNN_ISA=amx.
"""

from __future__ import annotations

import ctypes
import itertools
from typing import Any

import numpy as np
import pytest
from c_programs import build

from fastrnn._core import isa
from fastrnn.reference import round_bfloat16

PROGRAM = """
#include "kernels.c"

ptrdiff_t lanes_of(void) { return V; }
ptrdiff_t room(ptrdiff_t rows, ptrdiff_t K) { return bfloat16_room(rows, K); }

static unsigned char *seen; /* how often a tile of a row and panel was handed over, (rows, P) */
static ptrdiff_t panels_of_all;
static void finish(const fr_step *step, const real *sums, ptrdiff_t r0, ptrdiff_t r1, ptrdiff_t p0, ptrdiff_t p1)
{
    const fr_product *d = &step->product;
    for (ptrdiff_t r = r0; r < r1; r++)
        for (ptrdiff_t p = p0; p < p1; p++) {
            const real *sum = sums + (r - r0) * SUMS_ROW + (p - p0) * d->gates * V;
            const real *c = (const real *)d->c[r] + p * d->c_panel + d->c_first;
            /* tiles handed over aside are what c holds */
            if (!sums || memcmp(sum, c, d->gates * sizeof(vec)) == 0) seen[r * panels_of_all + p]++;
        }
}

/* c (rows, P, S, V) from a (rows, K), w (K, G.H); the product reaches the slots [first, first + G) */
void multiply(ptrdiff_t rows, ptrdiff_t K, ptrdiff_t H, int G, int S, int first, const void *const *a, const float *w,
              float *packed, char *scratch, const float *seed, void *const *c, ptrdiff_t columns, int from_end,
              unsigned char *counts)
{
    static const int order[] = {0, 1, 2, 3};
    const ptrdiff_t P = (H + V - 1) / V;
    fr_step step = {0};
    fr_product d = {.rows = rows, .p1 = P, .gates = G, .a = a, .segments = 1, .length = K, .b = packed,
                    .b_panel = (K + 1) / 2 * G * V, .c = c, .c_panel = S * V, .c_first = first * V, .seed = seed,
                    .columns = columns, .from_end = from_end, .scratch = scratch};
    pack_bfloat16(packed, w, G * H, K, H, G, order, 0, P);
    seen = counts;
    panels_of_all = P;
    step.product = d;
    product_walk(&d, finish, from_end && columns == P * V, &step);
}
"""


FLAGS = {"baseline": [], "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"]}


@pytest.fixture(scope="module", params=FLAGS)
def tiles(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """With tiles of 4 units a row, and of 16 as the processors have them."""
    if request.param not in isa.available():
        pytest.skip(f"this processor has no {request.param}")
    flags = ["-std=c11", "-ffp-contract=off", "-Wno-psabi", "-w", *FLAGS[request.param]]
    folder = tmp_path_factory.mktemp("tiles")
    library = build(folder, PROGRAM, *flags, "-DFR_EMULATE_TILES", "-DFR_TABLE=table")
    library.lanes_of.restype = library.room.restype = ctypes.c_ssize_t
    return library


def pointers(rows: np.ndarray) -> Any:
    return (ctypes.c_void_p * max(1, len(rows)))(*(row.ctypes.data for row in rows))


def multiply(tiles: Any, a: np.ndarray, w: np.ndarray, gates: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    """The kernels' c (rows, G, H) and what stands there besides, untouched."""
    (rows, K), H, V = a.shape, w.shape[1] // gates, tiles.lanes_of()
    P = -(-H // V)
    slots, first = how.get("slots", gates), how.get("first", 0)
    plain = gates == slots == 1 and how.get("plain", False)  # rows of H numbers, not padded
    seed = how["seed"]
    c = np.full((rows, P * slots * V + 8), 7, np.float32)
    one = np.zeros(P * slots * V, np.float32)
    for g, h in itertools.product(range(gates), range(H)):
        one[(h // V * slots + first + g) * V + h % V] = seed[g, h]
    if not how.get("shared", True):
        c[:, : P * slots * V] = one
    packed = np.full(P * ((K + 1) // 2) * gates * V + 16, np.nan, np.float32)  # what lies behind must not matter
    scratch = np.full(tiles.room(ctypes.c_ssize_t(rows), ctypes.c_ssize_t(K)) + 64, 0xFF, np.uint8)
    counts = np.zeros((rows, P), np.uint8)
    begin = -scratch.ctypes.data % 64
    size = ctypes.c_ssize_t
    tiles.multiply(
        size(rows), size(K), size(H), gates, slots, first, pointers(a), ctypes.c_void_p(w.ctypes.data),
        ctypes.c_void_p(packed.ctypes.data), ctypes.c_void_p(scratch.ctypes.data + begin),
        ctypes.c_void_p(one.ctypes.data) if how.get("shared", True) else None, pointers(c),
        size(H if plain else P * V), int(how.get("from_end", False)), ctypes.c_void_p(counts.ctypes.data),
    )  # fmt: skip
    assert (counts == 1).all()
    if plain:
        return c[:, :H].reshape(rows, 1, H), c[:, H:]
    whole = c[:, : P * slots * V].reshape(rows, P, slots, V)
    units = whole.transpose(0, 2, 1, 3).reshape(rows, slots, P * V)
    others = [slot for slot in range(slots) if not first <= slot < first + gates]
    return units[:, first : first + gates, :H], np.concatenate([units[:, others].reshape(rows, -1), c[:, -8:]], axis=1)


SIZES = [(1, 1, 1), (1, 33, 70), (2, 2, 17), (5, 0, 4), (8, 31, 16), (9, 32, 33), (16, 64, 8), (17, 65, 40),
         (33, 511, 5), (40, 512, 7), (3, 513, 9), (64, 1100, 3)]  # fmt: skip


@pytest.mark.parametrize(("rows", "K", "H"), SIZES)
@pytest.mark.parametrize(("gates", "slots", "first"), [(4, 4, 0), (3, 4, 0), (3, 4, 1), (1, 1, 0)])
def test_products(tiles: Any, rows: int, K: int, H: int, gates: int, slots: int, first: int) -> None:
    rng = np.random.default_rng([rows, K, H, gates])
    a = rng.standard_normal((rows, K)).astype(np.float32)
    w = rng.standard_normal((K, gates * H)).astype(np.float32)
    seed = rng.standard_normal((gates, H)).astype(np.float32)
    want = seed + (round_bfloat16(a.astype(np.float64)) @ round_bfloat16(w.astype(np.float64))).reshape(rows, gates, H)
    bound = 4e-7 * (K + 4) * (1 + np.abs(a).max(initial=0) * np.abs(w).max(initial=0))
    found = []
    for shared, from_end in ((True, False), (False, True)):
        how = {"slots": slots, "first": first, "seed": seed, "shared": shared, "from_end": from_end}
        got, others = multiply(tiles, a, w, gates, **how)
        assert np.abs(got - want).max(initial=0) <= bound
        assert shared is False or (others == 7).all()
        found.append(got)
    np.testing.assert_array_equal(*found)
    for some in (slice(0, 1), slice(rows // 2, rows)):  # the bits of a row do not depend on its neighbours
        alone, _ = multiply(tiles, np.ascontiguousarray(a[some]), w, gates, slots=slots, first=first, seed=seed)
        np.testing.assert_array_equal(alone, found[0][some])


@pytest.mark.parametrize("H", [1, 3, 4, 17, 63])
def test_rows_that_are_not_padded(tiles: Any, H: int) -> None:
    rng = np.random.default_rng(H)
    a, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 40), (40, H)))
    got, others = multiply(tiles, a, w, 1, plain=True, seed=np.zeros((1, H), np.float32))
    want = round_bfloat16(a.astype(np.float64)) @ round_bfloat16(w.astype(np.float64))
    np.testing.assert_allclose(got[:, 0], want, atol=1e-4)
    assert (others == 7).all()
