"""Compiled activations and their way back against the NumPy ones, whatever the sizes, the strides and the team."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn._core import elementwise
from fastrnn.activations import ACTIVATIONS

SHAPES = [(1, 1), (3, 5), (257, 33), (600, 1), (4000, 65), (0, 4), (4, 0)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", elementwise.KINDS)
def test_equals_numpy(name: str, dtype: str, rng: np.random.Generator) -> None:
    ours = ACTIVATIONS[name]
    for shape in SHAPES:
        x, wide = 4 * rng.standard_normal(shape), rng.standard_normal((shape[0], shape[1] + 2)).astype(dtype)
        y, dy = x.astype(dtype), wide[:, :-2]
        want = ours.forward(y)
        got = elementwise.activate(name, y.copy(), 1)
        np.testing.assert_allclose(got, want, rtol=8 * np.finfo(dtype).eps, atol=0)
        for threads in (2, 3):
            assert elementwise.activate(name, y.copy(), threads).tobytes() == got.tobytes()
        da, sums = elementwise.slope(name, dy, got, 1)
        assert da.dtype == sums.dtype == dtype and sums.shape == shape[1:]
        np.testing.assert_allclose(da, ours.backward(dy, got), rtol=0, atol=4 * np.finfo(dtype).eps)
        # added up in float64: what is left is the rounding of the result
        exact = da.sum(axis=0, dtype=np.float64)
        np.testing.assert_allclose(sums, exact, rtol=np.finfo(dtype).eps, atol=1e-12)
        for threads in (2, 3):
            again, again_sums = elementwise.slope(name, dy, got, threads)
            assert again.tobytes() == da.tobytes() and again_sums.tobytes() == sums.tobytes()


def test_nan_and_infinity_pass_as_in_numpy() -> None:
    for name in elementwise.KINDS:
        y = elementwise.activate(name, np.array([np.nan, np.inf, -np.inf, 0]), 1)
        np.testing.assert_array_equal(y, ACTIVATIONS[name].forward(np.array([np.nan, np.inf, -np.inf, 0])))
