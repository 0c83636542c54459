"""The gradient of a table of which some rows were used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn.gradients import RowGradient


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense(dtype: str) -> None:
    rows = np.random.default_rng(1).standard_normal((2, 3)).astype(dtype)
    gradient = RowGradient(np.array([1, 3]), rows, (5, 3))
    dense = gradient.dense()
    assert (gradient.dtype, gradient.shape, dense.dtype, dense.shape) == (np.dtype(dtype), (5, 3), dtype, (5, 3))
    np.testing.assert_array_equal(dense[[1, 3]], rows)
    assert not dense[[0, 2, 4]].any()
    dense[...] = 7
    np.testing.assert_array_equal(gradient.rows, rows)
    assert repr(gradient) == f"<RowGradient of 2 of 5 rows: {dtype} (5, 3)>"


def test_no_rows() -> None:
    assert not RowGradient(np.zeros(0, int), np.zeros((0, 3)), (5, 3)).dense().any()


@pytest.mark.parametrize(
    ("index", "rows", "shape", "error", "message"),
    [
        ([0, 5], np.ones((2, 3)), (5, 3), ValueError, r"index must be in \[0, 5\), got 5"),
        ([1, 1], np.ones((2, 3)), (5, 3), ValueError, "index must be of one axis, ascending, each row but once"),
        ([2, 1], np.ones((2, 3)), (5, 3), ValueError, "index must be of one axis, ascending, each row but once"),
        ([[1], [2]], np.ones((2, 3)), (5, 3), ValueError, "index must be of one axis"),
        ([0.5], np.ones((1, 3)), (5, 3), TypeError, "index must be whole numbers"),
        ([0, 1], np.ones((1, 3)), (5, 3), ValueError, r"rows must have shape \(2, 3\), got \(1, 3\)"),
        ([0, 1], np.ones((2, 4)), (5, 3), ValueError, r"rows must have shape \(2, 3\), got \(2, 4\)"),
        ([0], np.ones((1, 3)), (5,), ValueError, r"shape must be \(N, D\), got \(5,\)"),
    ],
)
def test_bad_arguments(index: Any, rows: Any, shape: tuple[int, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RowGradient(index, rows, shape)
