"""What initial weights are distributed like."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastrnn import initializers
from fastrnn.initializers import INITIALIZERS


def draw(name: str, shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return initializers.get(name)(shape, np.dtype(dtype), np.random.default_rng(seed))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_shape_dtype_and_seed(name: str) -> None:
    for dtype in ("float32", "float64"):
        value = draw(name, (4, 6), dtype, seed=1)
        assert value.shape == (4, 6) and value.dtype == dtype and value.flags.c_contiguous
        assert value.tobytes() == draw(name, (4, 6), dtype, seed=1).tobytes()
        np.testing.assert_array_equal(draw(name, (4, 6), seed=1).astype(dtype), value)  # rounded once
    if name not in ("zeros", "ones"):
        assert (draw(name, (4, 6), seed=1) != draw(name, (4, 6), seed=2)).any()


def test_constants() -> None:
    assert not draw("zeros", (3,)).any() and (draw("ones", (3,)) == 1).all()


@pytest.mark.parametrize(
    ("name", "shape", "limit"),
    [
        ("uniform", (300, 300), 0.05),
        ("glorot_uniform", (100, 300), math.sqrt(6 / 400)),
        ("glorot_uniform", (2, 100, 300), math.sqrt(6 / 400)),
        ("glorot_uniform", (3000,), math.sqrt(6 / 6000)),
    ],
)
def test_uniform_laws(name: str, shape: tuple[int, ...], limit: float) -> None:
    value = draw(name, shape)
    assert 0.99 * limit < np.abs(value).max() <= limit
    assert value.std() == pytest.approx(limit / math.sqrt(3), rel=0.03)
    assert abs(value.mean()) < 0.05 * limit


def test_normal_law() -> None:
    value = draw("normal", (300, 300))
    assert value.std() == pytest.approx(0.05, rel=0.02) and abs(value.mean()) < 0.001


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (2, 4, 3), (1, 1)], ids=str)
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    value = draw("orthogonal", shape)
    assert value.shape == shape
    flat = value.reshape(-1, shape[-1])
    product = flat.T @ flat if flat.shape[0] >= flat.shape[1] else flat @ flat.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-14)


def test_orthogonal_is_uniform() -> None:
    """Without the choice of signs the diagonal of Q would be negative on average."""
    diagonals = [np.diagonal(draw("orthogonal", (3, 3), seed=seed)) for seed in range(400)]
    assert np.abs(np.mean(diagonals, axis=0)).max() < 0.12


def test_orthogonal_needs_a_matrix() -> None:
    with pytest.raises(ValueError, match="at least two axes"):
        draw("orthogonal", (3,))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_empty_shapes(name: str) -> None:
    assert draw(name, (0, 3)).shape == (0, 3)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"initializer must be one of .*did you mean 'glorot_uniform'"):
        initializers.get("glorot_unifrm")
