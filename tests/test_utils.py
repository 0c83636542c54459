"""one_hot and to_categorical: Keras's figures, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn import utils
from fastrnn.utils import one_hot, to_categorical


@pytest.mark.parametrize(
    ("x", "classes", "expected"),
    [
        ([0, 2, 1], None, [[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
        ([[1], [0]], 3, [[0, 1, 0], [1, 0, 0]]),
        ([[1, 0], [2, 2]], None, [[[0, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 0, 1]]]),
        (2, None, [0, 0, 1]),
        ([[[1]], [[0]]], None, [[[0, 1]], [[1, 0]]]),
        ([], 2, np.zeros((0, 2))),
        ([[2.0], [1.0]], None, [[0, 0, 1], [0, 1, 0]]),
    ],
)
def test_categorical_figures_of_keras(x: Any, classes: int | None, expected: Any) -> None:
    """From Keras 3.15, but for the dtype."""
    y = to_categorical(x, classes)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, np.array(expected, np.float32), strict=True)
    assert to_categorical(x, classes, "float64").dtype == np.float64


@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (2, 3, 4), (0,)])
def test_one_hot_keeps_the_shape(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.integers(0, 5, shape)
    y = one_hot(x, 5)
    np.testing.assert_array_equal(y, np.eye(5, dtype=np.float32)[x], strict=True)
    assert one_hot(x, 5, bool).dtype == bool


@pytest.mark.parametrize("function", [one_hot, to_categorical])
@pytest.mark.parametrize(
    ("x", "classes", "error", "message"),
    [
        ([0, 3], 3, ValueError, r"x must be in \[0, 3\), got 3"),
        ([0, -1], 3, ValueError, r"x must be in \[0, 3\), got -1"),
        ([0.5], 3, TypeError, "x must be whole numbers"),
        (["a"], 3, TypeError, "x must be whole numbers"),
        ([0], 0, ValueError, "num_classes must be at least 1, got 0"),
        ([0], 1.5, TypeError, "num_classes must be a whole number"),
    ],
)
def test_bad_arguments(function: Any, x: Any, classes: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(x, classes)


def test_without_classes() -> None:
    with pytest.raises(ValueError, match="num_classes must be given when x is empty"):
        to_categorical([])
    with pytest.raises(ValueError, match=r"x must be in \[0, .*got -2"):
        to_categorical([1, -2])


def test_sequences_in_one_array_have_keras_place_too() -> None:
    from fastrnn.preprocessing import sequence

    assert utils.pad_sequences is sequence.pad_sequences
