"""The plain product: every transposition against NumPy, own tiles and BLAS alike, the same bits for any team."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import functional
from fastrnn._core import isa, matmul

SHAPES = [(1, 1, 1), (3, 5, 7), (16, 16, 16), (17, 33, 65), (70, 130, 31), (200, 3, 1), (1, 300, 40)]
SHAPES += [(5, 0, 4), (0, 3, 2), (4, 3, 0), (20, 5000, 37)]


def operands(shape: tuple[int, int, int], dtype: str, ta: bool, tb: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(sum(shape))
    m, k, n = shape
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    want = a.astype(np.float64) @ b.astype(np.float64)
    return (np.ascontiguousarray(a.T) if ta else a), (np.ascontiguousarray(b.T) if tb else b), want


@pytest.mark.parametrize("backend", ["own", "blas"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("ta", [False, True])
def test_equals_numpy(ta: bool, tb: bool, dtype: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRNN_MATMUL", backend)
    for shape in SHAPES:
        a, b, want = operands(shape, dtype, ta, tb)
        got = functional.matmul(a, b, transpose_a=ta, transpose_b=tb)
        assert got.dtype == dtype
        # the bound of a sum of k products, each of size 1: k eps, far from reached
        np.testing.assert_allclose(got, want, rtol=0, atol=4 * max(1, shape[1]) * np.finfo(dtype).eps)


@pytest.mark.parametrize(("ta", "tb"), [(False, False), (True, False), (False, True)])
def test_same_bits_for_any_team(ta: bool, tb: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRNN_MATMUL", "own")
    a, b, _ = operands((150, 170, 190), "float32", ta, tb)
    results = [functional.matmul(a, b, transpose_a=ta, transpose_b=tb, num_threads=n) for n in (1, 2, 3)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_out_strides_and_overlap() -> None:
    a, b, want = operands((6, 6, 6), "float64", False, False)
    wide = np.full((6, 9), 7.0)
    assert functional.matmul(a, b, out=wide[:, :6]) is not None
    np.testing.assert_allclose(wide[:, :6], want, atol=1e-14)
    assert (wide[:, 6:] == 7).all()
    functional.matmul(a, b, out=a)
    np.testing.assert_allclose(a, want, atol=1e-14)


def test_size_and_isa_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTRNN_MATMUL", raising=False)
    assert matmul.choose(1e6) == "own"
    assert matmul.choose(matmul.BLAS_FROM) == ("blas" if isa.active() == "baseline" else "own")
    monkeypatch.setenv("FASTRNN_MATMUL", "blas")
    assert matmul.choose(1) == "blas"
    monkeypatch.setenv("FASTRNN_MATMUL", "mkl")
    with pytest.raises(ValueError, match="FASTRNN_MATMUL must be one of auto, own, blas, got 'mkl'"):
        matmul.choose(1)


def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match=r"b must have shape \(3, N\), got \(4, 2\)"):
        functional.matmul(np.zeros((2, 3)), np.zeros((4, 2)))


@pytest.mark.parametrize("backend", ["own", "blas"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_is_added_to_every_row(dtype: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRNN_MATMUL", backend)
    for shape in ((17, 33, 65), (3, 0, 5), (1, 9, 1)):
        a, b, want = operands(shape, dtype, False, False)
        row, out = np.arange(1, shape[2] + 1, dtype=dtype), np.empty((shape[0], shape[2]), dtype)
        matmul.matmul(a, b, False, False, out, 2, row)
        # as above, the row's elements being up to 65
        np.testing.assert_allclose(out, want + row, rtol=0, atol=80 * max(1, shape[1]) * np.finfo(dtype).eps)


# a batch of any size times what has few columns, few rows, one of either, or a last panel that is almost empty
NARROW = [(64, 3000, 1), (7, 300, 2), (50, 257, 5), (40, 1, 56), (9, 2, 700), (33, 256, 65), (70, 40, 17), (300, 3, 3)]
NARROW += [(1, 1000, 1), (0, 9, 1), (5, 2100, 3), (256, 70, 9), (65, 500, 34), (2, 500, 100), (3, 64, 2000)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("ta", "tb"), [(False, False), (True, False), (False, True)])
def test_narrow_products(ta: bool, tb: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRNN_MATMUL", "own")
    for shape in NARROW:
        a, b, want = operands(shape, dtype, ta, tb)
        got = [functional.matmul(a, b, transpose_a=ta, transpose_b=tb, num_threads=n) for n in (1, 2, 3)]
        bound = 4 * shape[1] * np.finfo(dtype).eps
        np.testing.assert_allclose(got[0], want, rtol=0, atol=bound)
        assert got[0].tobytes() == got[1].tobytes() == got[2].tobytes()
        # rows that lie apart, on every side
        wide, wide_a, wide_b = (np.full((x.shape[0], x.shape[1] + 3), 7, dtype) for x in (got[0], a, b))
        wide_a[:, :-3], wide_b[:, :-3], out = a, b, wide[:, :-3]
        functional.matmul(wide_a[:, :-3], wide_b[:, :-3], transpose_a=ta, transpose_b=tb, out=out)
        np.testing.assert_array_equal(out, got[0])
        assert (wide[:, -3:] == 7).all()
        if not ta and shape[0] > 1:  # nor does a row know its neighbours
            alone = functional.matmul(a[1:2], b, transpose_b=tb)
            np.testing.assert_array_equal(alone[0], got[0][1])
        if not ta:
            row = np.linspace(-1, 1, shape[2]).astype(dtype)
            matmul.matmul(a, b, ta, tb, out, 2, row)
            np.testing.assert_allclose(out, want + row, rtol=0, atol=2 * bound)
