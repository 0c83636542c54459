"""Activations against Keras and PyTorch, in place, and at the ends of their range."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastrnn import activations
from fastrnn.activations import ACTIVATIONS

# y, and dx for dy = 1 ... 7, at KERAS_X; by Keras 3.15 in float64
KERAS_X = np.array([[-4, -2, -0.5, 0, 0.25, 2, 4]])
KERAS = {
    "relu": (
        [0.0, 0.0, 0.0, 0.0, 0.25, 2.0, 4.0],
        [0.0, 0.0, 0.0, 0.0, 5.0, 6.0, 7.0],
    ),
    "tanh": (
        [-0.9993293, -0.96402758, -0.462117157, 0.0, 0.244918662, 0.96402758, 0.9993293],
        [0.00134095068, 0.14130165, 2.3593432, 4.0, 4.70007424, 0.423904949, 0.00938665478],
    ),
    "sigmoid": (
        [0.01798621, 0.119202922, 0.377540669, 0.5, 0.562176501, 0.880797078, 0.98201379],
        [0.0176627062, 0.209987171, 0.705011137, 1.0, 1.23067041, 0.629961512, 0.123638943],
    ),
    "hard_sigmoid": (
        [0.0, 0.166666667, 0.416666667, 0.5, 0.541666667, 0.833333333, 1.0],
        [0.0, 0.333333333, 0.5, 0.666666667, 0.833333333, 1.0, 0.0],
    ),
    "softplus": (
        [0.0181499279, 0.126928011, 0.474076984, 0.693147181, 0.82593942, 2.12692801, 4.01814993],
        [0.01798621, 0.238405844, 1.13262201, 2.0, 2.8108825, 5.28478247, 6.87409653],
    ),
    "softmax": (
        [0.000281642948, 0.00208107554, 0.0093267335, 0.0153771839, 0.019744695, 0.113622875, 0.839565795],
        [-0.0016198283, -0.00988792662, -0.0349878792, -0.0423080767, -0.0345799508, -0.0853710029, 0.208754665],
    ),
    "elu": (
        [-0.981684361, -0.864664717, -0.39346934, 0.0, 0.25, 2.0, 4.0],
        [0.0183156389, 0.270670566, 1.81959198, 4.0, 5.0, 6.0, 7.0],
    ),
    "selu": (
        [-1.72589863, -1.52016647, -0.691758188, 0.0, 0.262675247, 2.10140197, 4.20280395],
        [0.0322007127, 0.475865745, 3.19902346, 4.20280395, 5.25350494, 6.30420592, 7.35490691],
    ),
    "gelu": (
        [-0.000126685004, -0.0455002676, -0.154268771, 0.0, 0.149676581, 1.95449973, 3.99987331],
        [-0.000503649789, -0.17046361, 0.397514642, 2.0, 3.47686676, 6.51139083, 7.00352555],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KERAS)
def test_against_keras(name: str) -> None:
    activation = ACTIVATIONS[name]
    y = activation(KERAS_X)
    kept = KERAS_X if activation.of_input else y
    rtol = 1e-6 if name == "gelu" else 1e-8  # the root of 2 is float32 there
    np.testing.assert_allclose(y[0], KERAS[name][0], rtol=rtol)
    np.testing.assert_allclose(activation.backward(np.arange(1.0, 8)[np.newaxis], kept)[0], KERAS[name][1], rtol=rtol)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_against_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    functions = {"linear": lambda z: z, "softmax": lambda z: torch.softmax(z, -1)}
    functions["hard_sigmoid"] = torch.nn.functional.hardsigmoid
    rng = np.random.default_rng(1)
    x, dy = 3 * rng.standard_normal((4, 5, 6)), rng.standard_normal((4, 5, 6))
    tx = torch.tensor(x, requires_grad=True)
    function = functions.get(name) or getattr(torch, name, None) or getattr(torch.nn.functional, name)
    ty = function(tx)
    ty.backward(torch.tensor(dy))
    activation = ACTIVATIONS[name]
    y = activation(x)
    rtol = 1e-7 if name == "hard_sigmoid" else 1e-10  # 1/6 is float32 there
    # 1 + erf, there, keeps no relative precision on the left
    np.testing.assert_allclose(y, ty.detach(), rtol=1e-13, atol=1e-15 if name == "gelu" else 0)
    np.testing.assert_allclose(activation.backward(dy, x if activation.of_input else y), tx.grad, rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_by_central_differences(name: str) -> None:
    rng, activation = np.random.default_rng(4), ACTIVATIONS[name]
    x, dy = 2 * rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    dx = activation.backward(dy, x if activation.of_input else activation(x))
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        numerical = ((activation(x + step) - activation(x - step)) * dy).sum() / 2e-6
        assert dx[place] == pytest.approx(numerical, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 27.0), ("float32", 9.0)])
def test_erfc_to_a_few_units_in_the_last_place(dtype: str, limit: float) -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.uniform(-limit, limit, 3000), rng.uniform(-5, 5, 3000), rng.uniform(-0.5, 0.5, 1000)])
    x = np.concatenate([x, [0.46875, 4, -4, 0]]).astype(dtype)
    exact = np.array([math.erfc(float(each)) for each in x])
    normal = exact > np.finfo(dtype).tiny
    error = np.abs(activations.erfc(x)[normal] - exact[normal]) / exact[normal]
    assert error.max() < 8 * np.finfo(dtype).eps
    assert activations.erfc(np.array([-np.inf, np.inf, np.nan], dtype)).tolist()[:2] == [2, 0]
    assert np.isnan(activations.erfc(np.array([np.nan], dtype)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_in_place_or_not_the_bits_are_the_same(name: str) -> None:
    rng, activation = np.random.default_rng(2), activations.get(name)
    x, dy = rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 5, 6))
    kept = x.copy(), dy.copy()
    y = activation(x)
    kept_for_backward = x.copy() if activation.of_input else y
    dx = activation.backward(dy, kept_for_backward)
    assert (x.tobytes(), dy.tobytes()) == (kept[0].tobytes(), kept[1].tobytes())
    assert not np.may_share_memory(y, x) and not np.may_share_memory(dx, dy)

    out = x.copy()
    assert activation(out, out) is out
    assert out.tobytes() == y.tobytes()
    out = dy.copy()
    assert activation.backward(out, kept_for_backward, out) is out
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
    assert activations.hard_sigmoid(ends).tolist() == [[0, 0, 0.5, 1, 1]]
    assert activations.elu(ends).tolist() == [[-1, -1, 0, 1e4, np.inf]]
    assert activations.gelu(ends).tolist() == [[0, 0, 0, 1e4, np.inf]]
    assert activations.gelu_backward(np.ones_like(ends), ends).tolist() == [[0, 0, 0.5, 1, 1]]
    np.testing.assert_allclose(activations.softplus(ends), [[0, 0, np.log(2), 1e4, np.inf]], rtol=1e-6)
    low = -activations.SELU_SCALE * activations.SELU_ALPHA
    np.testing.assert_allclose(activations.selu(ends), [[low, low, 0, 1e4 * activations.SELU_SCALE, np.inf]], rtol=1e-6)
    for name in ("relu", "tanh", "sigmoid", "hard_sigmoid", "softplus", "elu", "selu", "gelu"):
        assert np.isnan(ACTIVATIONS[name](np.array([np.nan], dtype)))


@pytest.mark.parametrize("name", ["softplus", "gelu", "elu", "selu"])
def test_small_values_keep_their_digits(name: str) -> None:
    """float32 against float64 to a few roundings, where 1 + exp(x) or 1 + erf(x) would have lost them."""
    x = np.array([-12, -9, -6, -1, -1e-4, 1e-4], np.float32)
    wanted = ACTIVATIONS[name](x.astype(float))
    assert (wanted != 0).all()
    # for gelu the exponent x^2 / 2 multiplies the rounding of x / sqrt(2)
    np.testing.assert_allclose(ACTIVATIONS[name](x), wanted, rtol=2e-5 if name == "gelu" else 5e-7)


def test_sigmoid_keeps_its_digits_where_it_is_small() -> None:
    x = np.array([-80.0, -30.0, -5.0], np.float32)
    np.testing.assert_allclose(
        activations.sigmoid(x), np.exp(x.astype(float)) / (1 + np.exp(x.astype(float))), rtol=1e-6
    )


def test_names() -> None:
    assert activations.get(None) is activations.get("linear")
    assert activations.get(ACTIVATIONS["relu"]) is ACTIVATIONS["relu"]
    assert activations.get(activations.gelu) is ACTIVATIONS["gelu"]
    assert all(activation.name == name for name, activation in ACTIVATIONS.items())
    with pytest.raises(ValueError, match="did you mean 'softmax'"):
        activations.get("softmx")
