"""Activations against PyTorch, in place, and at the ends of their range."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn import activations
from fastrnn.activations import ACTIVATIONS


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_against_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    functions = {"linear": lambda z: z, "softmax": lambda z: torch.softmax(z, -1)}
    rng = np.random.default_rng(1)
    x, dy = 3 * rng.standard_normal((4, 5, 6)), rng.standard_normal((4, 5, 6))
    tx = torch.tensor(x, requires_grad=True)
    ty = functions.get(name, getattr(torch, name, None))(tx)
    ty.backward(torch.tensor(dy))
    y = ACTIVATIONS[name](x)
    np.testing.assert_allclose(y, ty.detach(), rtol=1e-13, atol=0)
    np.testing.assert_allclose(ACTIVATIONS[name].backward(dy, y), tx.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_in_place_or_not_the_bits_are_the_same(name: str) -> None:
    rng, activation = np.random.default_rng(2), activations.get(name)
    x, dy = rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 5, 6))
    kept = x.copy(), dy.copy()
    y = activation(x)
    dx = activation.backward(dy, y)
    assert (x.tobytes(), dy.tobytes()) == (kept[0].tobytes(), kept[1].tobytes())
    assert not np.may_share_memory(y, x) and not np.may_share_memory(dx, dy)

    out = x.copy()
    assert activation(out, out) is out
    assert out.tobytes() == y.tobytes()
    out = dy.copy()
    assert activation.backward(out, y, out) is out
    assert out.tobytes() == dx.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dtypes_and_empty_arrays(name: str, dtype: str) -> None:
    activation = activations.get(name)
    for shape in [(2, 3), (0, 3), (2, 0)]:
        y = activation(np.ones(shape, dtype))
        dx = activation.backward(np.ones(shape, dtype), y)
        assert y.shape == dx.shape == shape and y.dtype == dx.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturation_makes_no_nan_and_no_warning(dtype: str) -> None:
    ends = np.array([[-np.inf, -1e4, 0, 1e4, np.inf]], dtype)
    assert activations.sigmoid(ends).tolist() == [[0, 0, 0.5, 1, 1]]
    assert activations.tanh(ends).tolist() == [[-1, -1, 0, 1, 1]]
    assert activations.relu(ends).tolist() == [[0, 0, 0, 1e4, np.inf]]
    assert activations.softmax(ends[:, :4]).tolist() == [[0, 0, 0, 1]]


def test_sigmoid_keeps_its_digits_where_it_is_small() -> None:
    x = np.array([-80.0, -30.0, -5.0], np.float32)
    np.testing.assert_allclose(
        activations.sigmoid(x), np.exp(x.astype(float)) / (1 + np.exp(x.astype(float))), rtol=1e-6
    )


def test_names() -> None:
    assert activations.get(None) is activations.get("linear")
    assert activations.get(ACTIVATIONS["relu"]) is ACTIVATIONS["relu"]
    assert all(activation.name == name for name, activation in ACTIVATIONS.items())
    with pytest.raises(ValueError, match="did you mean 'softmax'"):
        activations.get("softmx")
