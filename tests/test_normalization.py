"""LayerNormalization against PyTorch, and its gradients by central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_checks import check_gradients, randomized

from fastrnn.layers import LayerNormalization


def data(*shape: int) -> np.ndarray:
    return 3 + 2 * np.random.default_rng(3).standard_normal(shape)


@pytest.mark.parametrize("shape", [(5, 4), (3, 5, 4), (1, 1, 4), (2, 3, 2, 4)], ids=str)
def test_against_torch(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    layer, x = randomized(LayerNormalization(epsilon=0.01, dtype="float64"), (None, *shape[1:])), data(*shape)
    dy = np.random.default_rng(4).standard_normal(shape)
    tx, gamma, beta = (torch.tensor(a, requires_grad=True) for a in (x, *layer.get_weights()))
    ty = torch.nn.functional.layer_norm(tx, (4,), gamma, beta, eps=0.01)
    ty.backward(torch.tensor(dy))

    np.testing.assert_allclose(layer(x), ty.detach(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(layer(x, training=True), ty.detach(), rtol=1e-12, atol=1e-13)
    dx = layer.backward(dy)
    for ours, theirs in [(dx, tx.grad), (layer.gamma.grad, gamma.grad), (layer.beta.grad, beta.grad)]:
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("axis", [-1, 1, 2, (1, 2), (2, 1), [-2]], ids=str)
@pytest.mark.parametrize(("center", "scale"), [(True, True), (True, False), (False, True), (False, False)])
def test_gradients_by_central_differences(axis: Any, center: bool, scale: bool) -> None:
    layer = LayerNormalization(axis, 0.01, center, scale, dtype="float64")
    randomized(layer, (None, 3, 4))
    check_gradients(layer, data(2, 3, 4), places=10)


@pytest.mark.parametrize("axis", [1, (1, 2), -1], ids=str)
def test_other_axes_are_the_last_ones_turned(axis: Any) -> None:
    x = data(2, 3, 4)
    layer = randomized(LayerNormalization(axis, dtype="float64"), (None, 3, 4))
    axes = axis if isinstance(axis, tuple) else (axis,)
    mean, deviation = x.mean(axes, keepdims=True), x.std(axes, keepdims=True)
    shape = [size if k in axes or k - 3 in axes else 1 for k, size in enumerate((2, 3, 4))]
    gamma, beta = (w.reshape(shape) for w in layer.get_weights())
    np.testing.assert_allclose(layer(x), (x - mean) / np.sqrt(deviation**2 + 1e-3) * gamma + beta, rtol=1e-11)


def test_it_begins_with_mean_0_and_variance_1() -> None:
    y = LayerNormalization(epsilon=1e-6)(data(6, 50).astype(np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(y.std(axis=1), 1, rtol=1e-5)


def test_weights_are_in_keras_order() -> None:
    layer = randomized(LayerNormalization(), (None, 3, 4))
    assert [(v.name, v.shape) for v in layer.variables] == [("gamma", (4,)), ("beta", (4,))]
    both = randomized(LayerNormalization((2, 1)), (None, 3, 4))
    assert [v.shape for v in both.variables] == [(3, 4), (3, 4)]


def test_no_rows() -> None:
    layer = LayerNormalization()
    y = layer(np.zeros((0, 7, 3)), training=True)
    assert layer.backward(y).shape == (0, 7, 3) and not layer.gamma.grad.any()


def test_dx_is_left_out_on_request() -> None:
    layer, x = LayerNormalization(), data(2, 3)
    y = layer(x, training=True)
    assert layer.backward(y, need_dx=False) is None
    with pytest.raises(RuntimeError, match="layer_normalization: backward needs a forward"):
        layer.backward(y)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: LayerNormalization(axis=()), ValueError, "axis must be at least one axis"),
        (lambda: LayerNormalization(axis=0.5), TypeError, "axis must be a whole number"),
        (lambda: LayerNormalization(epsilon=-1), ValueError, "epsilon must be a finite number of at least 0"),
        (lambda: LayerNormalization(0)(data(2, 3)), ValueError, r"the axes \(0,\), each once and none the batch"),
        (lambda: LayerNormalization((1, -1))(data(2, 3)), ValueError, r"the axes \(1, -1\), each once"),
        (lambda: LayerNormalization(2)(data(2, 3)), ValueError, r"the axes \(2,\), each once and none the batch"),
        (lambda: LayerNormalization().build((None, None)), ValueError, "known and not empty"),
        (
            lambda: randomized(LayerNormalization(), (None, 3))(data(2, 4)),
            ValueError,
            r"x must have the sizes \(3,\) in the axes \(-1,\), got \(2, 4\)",
        ),
    ],
)
def test_bad_input(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
