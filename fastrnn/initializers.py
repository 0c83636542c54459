"""How weights begin: functions of (shape, dtype, rng), looked up by name.

A new one is a function here and an entry in `INITIALIZERS`. All draw in float64 and round once, so that a float32
and a float64 layer with the same seed begin with the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn import validate

Initializer = Callable[[tuple[int, ...], Any, "np.random.Generator"], np.ndarray]  # quoted: random is imported late


def zeros(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """All 0."""
    return np.zeros(shape, dtype)


def ones(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """All 1."""
    return np.ones(shape, dtype)


def uniform(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """Uniform in [-0.05, 0.05), as Keras's RandomUniform."""
    return rng.uniform(-0.05, 0.05, shape).astype(dtype)


def normal(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """Normal of mean 0 and standard deviation 0.05, as Keras's RandomNormal."""
    return (0.05 * rng.standard_normal(shape)).astype(dtype)


def glorot_uniform(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """Uniform in [-a, a), a = sqrt(6 / (fan_in + fan_out)), the fans being the two last axes.

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
    """
    fans = sum(shape[-2:]) if len(shape) > 1 else 2 * sum(shape)
    limit = math.sqrt(6 / max(fans, 1))
    return rng.uniform(-limit, limit, shape).astype(dtype)


def orthogonal(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
    """A random matrix with orthonormal rows or columns, whichever are fewer; earlier axes count as rows.

    The Q of a normal matrix's QR decomposition, its signs such that R's diagonal is positive, which makes it
    uniform over the orthogonal matrices. Saxe, McClelland & Ganguli, arXiv:1312.6120.

    Raises
    ------
    ValueError
        If the shape has fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"orthogonal needs a shape of at least two axes, got {shape}")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(q if rows >= columns else q.T, dtype).reshape(shape)


INITIALIZERS: dict[str, Initializer] = {
    "zeros": zeros,
    "ones": ones,
    "uniform": uniform,
    "normal": normal,
    "glorot_uniform": glorot_uniform,
    "orthogonal": orthogonal,
}


def check(argument: str, name: str) -> str:
    """The name itself if there is such an initializer; the error names the argument and suggests the nearest."""
    return validate.choice(argument, name, list(INITIALIZERS))


def get(name: str) -> Initializer:
    """The initializer of this name.

    Raises
    ------
    ValueError
        Unknown name; the message suggests the nearest one.
    """
    return INITIALIZERS[check("initializer", name)]
