"""Dense against PyTorch, and its gradients by central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn.activations import ACTIVATIONS
from fastrnn.layers import Dense
from fastrnn.regularizers import L1

SHAPES = [(5, 3), (2, 4, 3), (1, 1, 3), (2, 2, 2, 3)]


def random_layer(activation: str, dtype: str = "float64", use_bias: bool = True) -> Dense:
    layer = Dense(4, activation, use_bias, "normal", dtype=dtype)
    layer.build((None, 3))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.standard_normal(variable.shape) for variable in layer.variables])
    return layer


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_against_torch(activation: str, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    more = torch.nn.functional
    functions = {
        "linear": lambda z: z,
        "softmax": lambda z: torch.softmax(z, -1),
        # torch's own has 1/6 in float32 in its backward pass
        "hard_sigmoid": lambda z: torch.clamp(z / 6 + 0.5, 0, 1),
    }
    rng = np.random.default_rng(1)
    layer = random_layer(activation)
    x, dy = rng.standard_normal(shape), rng.standard_normal((*shape[:-1], 4))

    tx, kernel, bias = (torch.tensor(a, requires_grad=True) for a in (x, *layer.get_weights()))
    function = functions.get(activation) or getattr(torch, activation, None) or getattr(more, activation)
    ty = function(tx @ kernel + bias)
    ty.backward(torch.tensor(dy))

    np.testing.assert_allclose(layer(x), ty.detach(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer(x, training=True), ty.detach(), rtol=1e-12, atol=1e-14)
    dx = layer.backward(dy)
    for ours, theirs in [(dx, tx.grad), (layer.kernel.grad, kernel.grad), (layer.bias.grad, bias.grad)]:
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_by_central_differences(activation: str) -> None:
    rng = np.random.default_rng(2)
    layer = random_layer(activation)
    x, dy, epsilon = rng.standard_normal((2, 3, 3)), rng.standard_normal((2, 3, 4)), 1e-6
    layer(x, training=True)
    dx = layer.backward(dy)

    def loss(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> float:
        layer.set_weights([kernel, bias])
        return float(np.sum(layer(x) * dy))

    arguments = [x, *layer.get_weights()]
    for k, gradient in enumerate([dx, *(variable.grad for variable in layer.variables)]):
        for place in np.ndindex(arguments[k].shape):
            above, below = [a.copy() for a in arguments], [a.copy() for a in arguments]
            above[k][place] += epsilon
            below[k][place] -= epsilon
            numerical = (loss(*above) - loss(*below)) / (2 * epsilon)
            assert gradient[place] == pytest.approx(numerical, rel=1e-5, abs=1e-7)


def test_without_bias() -> None:
    layer, x = random_layer("tanh", use_bias=False), np.ones((2, 3))
    assert [variable.name for variable in layer.variables] == ["kernel"]
    np.testing.assert_allclose(layer(x, training=True), np.tanh(x @ layer.kernel.value), rtol=1e-14)
    layer.backward(np.ones((2, 4)))


def test_float32_stays_float32() -> None:
    layer = random_layer("softmax", "float32")
    x = np.random.default_rng(3).standard_normal((700, 3))
    y, dy = layer(x, training=True), np.ones((700, 4), np.float32)
    dx = layer.backward(dy)
    assert {a.dtype for a in (y, dx, *(v.grad for v in layer.variables))} == {np.dtype(np.float32)}
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-6)


def test_a_bias_gradient_over_many_rows_keeps_its_digits() -> None:
    layer = random_layer("linear", "float32")
    dy = np.full((100_000, 4), 0.1, np.float32)
    layer(np.zeros((100_000, 3), np.float32), training=True)
    layer.backward(dy, need_dx=False)
    np.testing.assert_allclose(layer.bias.grad, 100_000 * np.float64(np.float32(0.1)), rtol=1e-7)


@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_strides_do_not_matter(activation: str) -> None:
    layer, rng = random_layer(activation), np.random.default_rng(4)
    wide, dwide = rng.standard_normal((6, 4, 6)), rng.standard_normal((4, 4, 6))
    x, dy = wide[::-2, :, ::2].transpose(1, 0, 2), dwide[:, :, ::-2].transpose(1, 0, 2)[:, :3]
    dy = np.concatenate([dy, dy[..., :1]], axis=-1)
    y, dx = layer(x, training=True), layer.backward(dy)
    kept = [v.grad for v in layer.variables]
    assert y.tobytes() == layer(x.copy(), training=True).tobytes()
    assert dx.tobytes() == layer.backward(dy.copy()).tobytes()
    assert [g.tobytes() for g in kept] == [v.grad.tobytes() for v in layer.variables]


def test_no_rows() -> None:
    layer = random_layer("softmax")
    y = layer(np.zeros((0, 7, 3)), training=True)
    dx = layer.backward(np.zeros((0, 7, 4)))
    assert y.shape == (0, 7, 4) and dx.shape == (0, 7, 3)
    assert not layer.kernel.grad.any() and not layer.bias.grad.any()


def test_dx_is_left_out_on_request() -> None:
    layer, x, dy = random_layer("relu"), np.ones((2, 3)), np.ones((2, 4))
    layer(x, training=True)
    layer.backward(dy)
    kernel = layer.kernel.grad
    layer(x, training=True)
    assert layer.backward(dy, need_dx=False) is None
    np.testing.assert_array_equal(layer.kernel.grad, kernel)  # written anew, not added


def test_an_output_that_backward_reads_is_read_only() -> None:
    x = np.ones((2, 3))
    assert random_layer("tanh")(x).flags.writeable
    assert not random_layer("tanh")(x, training=True).flags.writeable
    for free in ("linear", "gelu"):  # gelu's backward pass reads what it was given
        assert random_layer(free)(x, training=True).flags.writeable


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 4)), ValueError, r"x must have shape \(..., 3\), got \(2, 4\)"),
        (np.zeros(3), ValueError, r"x must have shape \(..., 3\), got \(3,\)"),
        (np.zeros((2, 3), complex), TypeError, "x must hold real numbers"),
    ],
)
def test_bad_input(x: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        random_layer("linear")(x)


def test_a_bad_gradient() -> None:
    layer = random_layer("linear")
    layer(np.zeros((2, 3)), training=True)
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 4\), got \(2, 3\)"):
        layer.backward(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units must be at least 1"),
        ({"units": 3, "activation": "rleu"}, "activation must be one of .*did you mean 'relu'"),
        (
            {"units": 3, "kernel_initializer": "ortogonal"},
            "kernel_initializer must be one of .*did you mean 'orthogonal'",
        ),
        ({"units": 3, "bias_regularizer": "l3"}, "bias_regularizer must be one of l1, l2"),
        ({"units": 3, "kernel_constraint": "max_norm"}, "kernel_constraint of Dense must be None, got 'max_norm'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dense(**arguments)


def test_regularizers_go_with_the_weights() -> None:
    layer = Dense(4, kernel_regularizer=L1(0.5), bias_regularizer="l2")
    layer.build((None, 3))
    assert [repr(variable.regularizer) for variable in layer.variables] == ["L1(l1=0.5)", "L2(l2=0.01)"]
    again = Dense.from_config(layer.get_config())
    again.build((None, 3))
    assert [repr(variable.regularizer) for variable in again.variables] == ["L1(l1=0.5)", "L2(l2=0.01)"]


def test_shapes() -> None:
    layer = Dense(4)
    assert layer.compute_output_shape((None, None, 3)) == (None, None, 4)
    with pytest.raises(ValueError, match="I known"):
        layer.build((None, None))
    with pytest.raises(ValueError, match="I known"):
        layer.build((3,))
