"""Activations of whole arrays, each above its backward pass, which needs only the activation's output.

    forward   y = f(x)                      backward   dx = dy * f'(x), written in y

Where no inverse leads from y back to x (gelu), the backward pass is given x in y's place: `Activation.of_input`.
All compute in the dtype they are given. `out` is where the result goes, and may be an argument's own array.
A new activation is two functions and an entry in `ACTIVATIONS`. Formulas and names are those of Keras 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastrnn import validate
from fastrnn._core import crossentropy as kernels

# of selu, such that mean 0 and variance 1 are a fixed point
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

# beyond it on the left the normal distribution's share is 0 in float64
GELU_END = 40.0

# Cody's coefficients, P and Q, highest power first: of erf(x) / x, in x^2; of erfc(x) exp(x^2), in x; of what the last
# differs by from 1 / (x sqrt(pi)), in 1 / x^2
ERF_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
ERFC_BETWEEN = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
ERFC_FAR = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip


class Activation(NamedTuple):
    """An activation function with its backward pass.

    Attributes
    ----------
    name : str
        As layers are given it, and as files store it.
    forward : callable
        (x, out=None) -> y.
    backward : callable
        (dy, y, out=None) -> dx; (dy, x, out=None) -> dx if `of_input`.
    of_input : bool
        The backward pass needs x, so that a training forward must not overwrite it.
    """

    name: str
    forward: Callable[..., np.ndarray]
    backward: Callable[..., np.ndarray]
    of_input: bool = False

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The forward pass."""
        return self.forward(x, out)


def linear(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = x"""
    return _copied(x, out)


def linear_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy"""
    return _copied(dy, out)


def _copied(x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    if out is None:
        return x.copy()
    if out is not x:
        out[...] = x
    return out


def relu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = max(x, 0)"""
    y: np.ndarray = np.maximum(x, 0, out=out)
    return y


def relu_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy where y > 0, else 0"""
    dx: np.ndarray = np.multiply(dy, y > 0, out=out)
    return dx


def tanh(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = tanh(x)"""
    y: np.ndarray = np.tanh(x, out=out)
    return y


def tanh_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy * (1 - y^2)"""
    slope = y * y
    np.subtract(1, slope, out=slope)
    dx: np.ndarray = np.multiply(dy, slope, out=out)
    return dx


def sigmoid(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = 1 / (1 + exp(-x)), to full relative precision on both sides"""
    y: np.ndarray = np.negative(x, out=out)
    with np.errstate(over="ignore"):  # exp(-x) may become inf, and y the 0 that it should be
        np.exp(y, out=y)
    y += 1
    np.reciprocal(y, out=y)
    return y


def sigmoid_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy * y * (1 - y)"""
    slope = np.subtract(1, y)
    slope *= y
    dx: np.ndarray = np.multiply(dy, slope, out=out)
    return dx


def hard_sigmoid(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = x / 6 + 1/2, cut off at 0 and 1"""
    y: np.ndarray = np.multiply(x, 1 / 6, out=out)
    y += 0.5
    return np.clip(y, 0, 1, out=y)


def hard_sigmoid_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy / 6 where 0 < y < 1, else 0"""
    inside = (y > 0) & (y < 1)
    dx: np.ndarray = np.multiply(dy, inside, out=out)
    dx *= 1 / 6
    return dx


def softplus(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))"""
    small = np.abs(x)
    np.negative(small, out=small)
    np.exp(small, out=small)
    np.log1p(small, out=small)
    y: np.ndarray = np.maximum(x, 0, out=out)
    y += small
    return y


def softplus_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy * (1 - exp(-y))"""
    slope = np.negative(y)
    np.expm1(slope, out=slope)
    np.negative(slope, out=slope)
    dx: np.ndarray = np.multiply(dy, slope, out=out)
    return dx


def elu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = x where x > 0, else exp(x) - 1. Clevert, Unterthiner & Hochreiter, ICLR 2016, arXiv:1511.07289."""
    below = np.minimum(x, 0)
    np.expm1(below, out=below)
    y: np.ndarray = np.maximum(x, 0, out=out)
    y += below
    return y


def elu_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy where y > 0, else dy * (y + 1)"""
    slope = np.minimum(y, 0)
    slope += 1
    dx: np.ndarray = np.multiply(dy, slope, out=out)
    return dx


def selu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = scale * x where x > 0, else scale * alpha * (exp(x) - 1).

    Klambauer, Unterthiner, Mayr & Hochreiter, "Self-normalizing neural networks", NIPS 2017, arXiv:1706.02515.
    """
    below = np.minimum(x, 0)
    np.expm1(below, out=below)
    below *= SELU_SCALE * SELU_ALPHA
    y: np.ndarray = np.maximum(x, 0, out=out)
    y *= SELU_SCALE
    y += below
    return y


def selu_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy * scale where y >= 0, else dy * (y + scale * alpha)"""
    slope = np.where(y >= 0, y.dtype.type(SELU_SCALE), y + SELU_SCALE * SELU_ALPHA)
    dx: np.ndarray = np.multiply(dy, slope, out=out)
    return dx


def gelu(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = x * P(Z <= x), Z standard normal: x * erfc(-x / sqrt(2)) / 2. Hendrycks & Gimpel, arXiv:1606.08415."""
    share = _normal_share(x)
    # where the share is 0, -inf would make a NaN of it
    y: np.ndarray = np.maximum(x, -GELU_END, out=out)
    y *= share
    return y


def gelu_backward(dy: np.ndarray, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy * (P(Z <= x) + x * exp(-x^2 / 2) / sqrt(2 pi))"""
    slope = np.clip(x, -GELU_END, GELU_END)
    density = slope * slope
    density *= -0.5
    np.exp(density, out=density)
    slope *= density
    slope *= 1 / math.sqrt(2 * math.pi)
    slope += _normal_share(x)
    dx: np.ndarray = np.multiply(dy, slope, out=out)
    return dx


def _normal_share(x: np.ndarray) -> np.ndarray:
    """P(Z <= x) of a standard normal Z."""
    share = erfc(x * -math.sqrt(0.5))
    share *= 0.5
    return share


def erfc(x: np.ndarray) -> np.ndarray:
    """1 - erf(x), to full relative precision where that is small: a few units in the last place of x's dtype.

    W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23, 1969: three
    quotients of polynomials, whose own error is below 1e-18, for |x| below 0.46875, up to 4, and above.
    """
    y = np.empty_like(x)
    size = np.abs(x)
    near, far = size <= 0.46875, size > 4
    between = ~(near | far)  # NaN as well
    part = x[near]
    y[near] = 1 - part * _quotient(part * part, *ERF_NEAR)
    part = size[between]
    y[between] = _exp_of_square(part) * _quotient(part, *ERFC_BETWEEN)
    part = np.minimum(size[far], 30)  # beyond, the result is 0, and the square of infinity would make NaN
    inverse = 1 / (part * part)
    tail = inverse * _quotient(inverse, *ERFC_FAR)
    y[far] = _exp_of_square(part) * (1 / math.sqrt(math.pi) - tail) / part
    np.subtract(2, y, out=y, where=(x < 0) & ~near)
    return y


def _exp_of_square(x: np.ndarray) -> np.ndarray:
    """exp(-x^2), x >= 0: the square in two parts, the first without rounding, for the exponent must be exact."""
    coarse = np.trunc(x * 16) / 16
    y: np.ndarray = np.exp(-coarse * coarse) * np.exp((coarse - x) * (coarse + x))
    return y


def _quotient(x: np.ndarray, above: tuple[float, ...], below: tuple[float, ...]) -> np.ndarray:
    """Quotient of two polynomials, highest power first."""
    sums = []
    for coefficients in (above, below):
        total = np.full_like(x, coefficients[0])
        for coefficient in coefficients[1:]:
            total *= x
            total += coefficient
        sums.append(total)
    sums[0] /= sums[1]
    return sums[0]


def softmax(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = exp(x) / sum(exp(x)) over the last axis; x is shifted by its maximum, so that no exp overflows"""
    dtype = x.dtype if x.dtype.char in "fd" else np.float64
    rows = np.ascontiguousarray(x, dtype).reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = out if out is not None and out.flags.c_contiguous and out.dtype == dtype else np.empty(x.shape, dtype)
    kernels.softmax(rows, y.reshape(rows.shape), validate.threads(None))
    return y if out is None or y is out else _copied(y, out)


def softmax_backward(dy: np.ndarray, y: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """dx = y * (dy - sum(dy * y)) over the last axis"""
    shift = np.einsum("...i,...i->...", dy, y)[..., np.newaxis]
    dx: np.ndarray = np.subtract(dy, shift, out=out)
    dx *= y
    return dx


ACTIVATIONS = {
    "linear": Activation("linear", linear, linear_backward),
    "relu": Activation("relu", relu, relu_backward),
    "tanh": Activation("tanh", tanh, tanh_backward),
    "sigmoid": Activation("sigmoid", sigmoid, sigmoid_backward),
    "hard_sigmoid": Activation("hard_sigmoid", hard_sigmoid, hard_sigmoid_backward),
    "softplus": Activation("softplus", softplus, softplus_backward),
    "softmax": Activation("softmax", softmax, softmax_backward),
    "elu": Activation("elu", elu, elu_backward),
    "selu": Activation("selu", selu, selu_backward),
    "gelu": Activation("gelu", gelu, gelu_backward, of_input=True),
}


def get(name: str | Activation | Callable[..., np.ndarray] | None) -> Activation:
    """The activation of this name; None is linear, and an Activation, or its forward function, is itself.

    Raises
    ------
    ValueError
        Unknown name; the message suggests the nearest one.
    """
    if isinstance(name, Activation):
        return name
    for activation in ACTIVATIONS.values():
        if name is activation.forward:
            return activation
    return ACTIVATIONS[validate.choice("activation", "linear" if name is None else name, list(ACTIVATIONS))]
