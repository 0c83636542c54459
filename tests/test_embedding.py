"""Embedding against PyTorch, and its gradient row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn.gradients import RowGradient
from fastrnn.layers import Embedding


def gradient(layer: Embedding) -> np.ndarray:
    """The gradient of the table, dense."""
    grad = layer.embeddings.grad
    assert grad is not None and grad.shape == layer.embeddings.shape and grad.dtype == layer.dtype
    return grad.dense() if isinstance(grad, RowGradient) else grad


def built(dtype: str = "float64") -> Embedding:
    layer = Embedding(7, 3, "normal", seed=1, dtype=dtype)
    layer.build((None, None))
    return layer


@pytest.mark.parametrize("shape", [(4,), (2, 5), (1, 1), (2, 3, 4), (0, 5), (3, 0)], ids=str)
def test_against_torch(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    rng, layer = np.random.default_rng(2), built()
    x, dy = rng.integers(0, 7, shape), rng.standard_normal((*shape, 3))
    table = torch.tensor(layer.get_weights()[0], requires_grad=True)
    y = torch.nn.functional.embedding(torch.tensor(x), table)
    y.backward(torch.tensor(dy))

    assert layer(x, training=True).tobytes() == y.detach().numpy().tobytes()
    assert layer.backward(dy) is None
    np.testing.assert_allclose(gradient(layer), table.grad, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_taken_twice_sum_their_gradients(dtype: str) -> None:
    layer = built(dtype)
    layer(np.array([[2, 5, 2]]), training=True)
    layer.backward(np.array([[[1, 2, 3], [4, 5, 6], [10, 20, 30]]]))
    wanted = np.zeros((7, 3))
    wanted[2], wanted[5] = [11, 22, 33], [4, 5, 6]
    np.testing.assert_array_equal(gradient(layer), wanted)


@pytest.mark.parametrize("rows", [[], [4], [9, 0, 4, 0], [3, 1, 8, 5], [0, 1, 2, 3, 4], list(range(10))], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_rows_have_a_gradient_of_rows(dtype: str, rows: list[int]) -> None:
    layer = Embedding(10, 3, dtype=dtype)
    dy = np.random.default_rng(4).standard_normal((1, len(rows), 3)).astype(dtype)
    layer(np.array([rows], int), training=True)
    layer.backward(dy)
    grad = layer.embeddings.grad
    assert isinstance(grad, RowGradient) == (len(set(rows)) < 5)
    wanted = np.zeros((10, 3), dtype)
    for row, each in zip(rows, dy[0], strict=True):
        wanted[row] += each
    assert gradient(layer).tobytes() == wanted.tobytes()
    if isinstance(grad, RowGradient):
        assert grad.index.tolist() == sorted(set(rows))


def test_mask_zero() -> None:
    x = np.array([[0, 3, 0], [1, 2, 0]])
    np.testing.assert_array_equal(Embedding(7, 3, mask_zero=True).compute_mask(x, None), x != 0)
    np.testing.assert_array_equal(Embedding(7, 3, mask_zero=True).compute_mask(x.tolist(), x == 0), x != 0)
    assert Embedding(7, 3).compute_mask(x, x != 0) is None


def test_weights_from_elsewhere() -> None:
    table = np.random.default_rng(5).standard_normal((7, 3)).astype(np.float32)
    for weights in (table, [table]):
        layer = Embedding(7, 3, weights=weights)
        np.testing.assert_array_equal(layer([[2]])[0, 0], table[2])
    with pytest.raises(ValueError, match=r"weights must have shape \(7, 3\), got \(3, 7\)"):
        Embedding(7, 3, weights=table.T)


def test_declared_input() -> None:
    assert Embedding(7, 3, input_length=5).declared_shape == (None, 5)
    assert Embedding(7, 3, input_shape=(5,)).declared_shape == (None, 5)
    assert Embedding(7, 3).declared_shape is None
    with pytest.raises(ValueError, match="only one of input_shape and input_length"):
        Embedding(7, 3, input_length=5, input_shape=(5,))


def test_a_regularizer_goes_with_the_table() -> None:
    layer = Embedding(7, 3, embeddings_regularizer="l2")
    layer.build((None, None))
    assert repr(layer.embeddings.regularizer) == "L2(l2=0.01)"
    assert Embedding.from_config(layer.get_config()).get_config() == layer.get_config()


def test_any_whole_numbers_will_do() -> None:
    layer, numbers = built(), [[0, 6], [3, 1]]
    wanted = layer.get_weights()[0][np.array(numbers)]
    for x in (numbers, np.array(numbers, np.uint8), np.array(numbers, ">i2"), np.array(numbers, float)):
        np.testing.assert_array_equal(layer(x), wanted)


def test_x_may_be_refilled_before_backward() -> None:
    layer, x = built(), np.array([[1, 2]])
    layer(x, training=True)
    x[...] = 10**9
    layer.backward(np.ones((1, 2, 3)))
    assert gradient(layer)[:, 0].tolist() == [0, 1, 1, 0, 0, 0, 0]


def test_strided_gradients() -> None:
    layer, x = built(), np.array([[1, 2], [2, 1]])
    wide = np.random.default_rng(3).standard_normal((2, 4, 6))
    layer(x, training=True)
    layer.backward(wide[:, ::2, ::-2])
    strided = gradient(layer)
    layer(x, training=True)
    layer.backward(wide[:, ::2, ::-2].copy())
    np.testing.assert_array_equal(strided, gradient(layer))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[7]], ValueError, r"x must be in \[0, 7\), got 7"),
        ([[-1]], ValueError, r"x must be in \[0, 7\), got -1"),
        ([[0.5]], TypeError, "x must be whole numbers"),
        ([["a"]], TypeError, "x must be whole numbers"),
    ],
)
def test_bad_input(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        built()(x)


def test_a_bad_gradient() -> None:
    layer = built()
    layer([[1, 2]], training=True)
    with pytest.raises(ValueError, match=r"dy must have shape \(1, 2, 3\), got \(2, 3\)"):
        layer.backward(np.ones((2, 3)))


def test_backward_needs_a_training_forward() -> None:
    with pytest.raises(RuntimeError, match="embedding: backward needs a forward"):
        built().backward(np.ones((1, 2, 3)))


@pytest.mark.parametrize("arguments", [(0, 3), (3, 0), (3, 3, "unifrom")])
def test_bad_arguments(arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"must be at least 1|did you mean 'uniform'"):
        Embedding(*arguments)


def test_shapes() -> None:
    assert Embedding(7, 3).compute_output_shape((None, None)) == (None, None, 3)
