"""Activations of whole arrays, each above its backward pass, which needs only the activation's output.

    forward   y = f(x)                      backward   dx = dy * f'(x), written in y

All compute in the dtype they are given. `out` is where the result goes, and may be an argument's own array.
A new activation is two functions and an entry in `ACTIVATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastrnn import validate


class Activation(NamedTuple):
    """An activation function with its backward pass.

    Attributes
    ----------
    name : str
        As layers are given it, and as files store it.
    forward : callable
        (x, out=None) -> y.
    backward : callable
        (dy, y, out=None) -> dx.
    """

    name: str
    forward: Callable[..., np.ndarray]
    backward: Callable[..., np.ndarray]

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


def softmax(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """y = exp(x) / sum(exp(x)) over the last axis; x is shifted by its maximum, so that no exp overflows"""
    y: np.ndarray = np.subtract(x, x.max(axis=-1, keepdims=True, initial=-np.inf), out=out)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y


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
    "softmax": Activation("softmax", softmax, softmax_backward),
}


def get(name: str | Activation | None) -> Activation:
    """The activation of this name; None is linear, and an Activation is itself.

    Raises
    ------
    ValueError
        Unknown name; the message suggests the nearest one.
    """
    if isinstance(name, Activation):
        return name
    return ACTIVATIONS[validate.choice("activation", "linear" if name is None else name, list(ACTIVATIONS))]
