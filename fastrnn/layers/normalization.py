"""Layer normalization."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from fastrnn import initializers, regularizers, validate
from fastrnn.layers.base import Fixed, Layer, Shape, Variable, no_constraint


class LayerNormalization(Layer):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over the features of each sample.

    Ba, Kiros & Hinton, 2016, arXiv:1607.06450.

    Parameters
    ----------
    axis : int or sequence of int
        The axes of the features; gamma and beta have their sizes.
    epsilon : float
    center, scale : bool
        False leaves out beta, or gamma.
    beta_initializer, gamma_initializer : str or Initializer
        Of `fastrnn.initializers`.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        Of `fastrnn.regularizers`.
    **common
        dtype, seed, name, input_shape and the other arguments of `Layer`.

    Notes
    -----
    Weights, in Keras's order: gamma, beta.

    Examples
    --------
    >>> layer = LayerNormalization()
    >>> y = layer(np.random.default_rng(0).standard_normal((32, 100, 64)))    # each y[b, t] of mean 0, variance 1
    """

    fixed: ClassVar[Fixed] = {**Layer.fixed, **no_constraint("beta", "gamma"), "rms_scaling": (False,)}

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        axes = axis if isinstance(axis, (list, tuple)) else (axis,)
        if not axes:
            raise ValueError("axis must be at least one axis, got none")
        self.axis = tuple(validate.count("axis", each, minimum=-64) for each in axes)
        self.epsilon = validate.number("epsilon", epsilon, minimum=0.0)
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = initializers.check("beta_initializer", beta_initializer)
        self.gamma_initializer = initializers.check("gamma_initializer", gamma_initializer)
        self.beta_regularizer = regularizers.check("beta_regularizer", beta_regularizer)
        self.gamma_regularizer = regularizers.check("gamma_regularizer", gamma_regularizer)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        """Create gamma and beta, of the sizes of the normalised axes."""
        shape = validate.input_shape(input_shape)
        sizes = tuple(size for axis in self._axes(len(shape)) if (size := shape[axis]))
        if len(sizes) < len(self.axis):
            raise ValueError(f"input_shape must have the axes {self.axis} known and not empty, got {shape}")
        if self.scale:
            self.gamma = self.add_weight("gamma", sizes, self.gamma_initializer, self.gamma_regularizer)
        if self.center:
            self.beta = self.add_weight("beta", sizes, self.beta_initializer, self.beta_regularizer)
        self.built = True

    def _axes(self, rank: int) -> tuple[int, ...]:
        """The normalised axes of an array of this rank, counted from the first, in their order."""
        axes = sorted({axis % rank for axis in self.axis if -rank <= axis < rank})
        if len(axes) < len(self.axis) or 0 in axes:
            raise ValueError(
                f"{self.name} takes an input with the axes {self.axis}, each once and none the batch, got one of "
                f"{rank} axes"
            )
        return tuple(axes)

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """Normalise.

        Parameters
        ----------
        x : array_like
            Of the rank, and in the normalised axes of the sizes, that the layer was built for.
        training : bool
            Keep what backward needs.

        Returns
        -------
        y : ndarray
            Of x's shape.
        """
        x = validate.array("x", x, self.dtype)
        axes = self._axes(x.ndim)
        sizes = tuple(x.shape[axis] for axis in axes)
        for variable in self.variables:
            if variable.shape != sizes:
                raise ValueError(f"x must have the sizes {variable.shape} in the axes {self.axis}, got {x.shape}")
        rows = self._rows(x, axes)
        normal = rows - rows.mean(axis=1, keepdims=True)
        inverse = np.einsum("rn,rn->r", normal, normal)[:, np.newaxis]
        inverse /= rows.shape[1]
        inverse += self.epsilon
        np.sqrt(inverse, out=inverse)
        np.reciprocal(inverse, out=inverse)
        normal *= inverse
        y: np.ndarray = normal.copy() if self.gamma is None else normal * self.gamma.value.reshape(-1)
        if self.beta is not None:
            y += self.beta.value.reshape(-1)
        if training:
            self.remember(normal, inverse, axes, x.shape)
        return self._whole(y, axes, x.shape)

    def backward(self, dy: Any, *, need_dx: bool = True) -> np.ndarray | None:
        """Gradients of gamma and beta, and that of x.

        With n = (x - mean) / sqrt(variance + epsilon) and dn = gamma dy,
        dx = (dn - mean(dn) - n mean(dn n)) / sqrt(variance + epsilon).
        """
        normal, inverse, axes, shape = self.recall()
        rows = self._rows(validate.array("dy", dy, self.dtype, shape), axes)
        # in float64: these sums run over all samples, one after the other
        if self.gamma is not None:
            total = (rows * normal).sum(axis=0, dtype=np.float64)
            self.gamma.grad = total.astype(self.dtype).reshape(self.gamma.shape)
        if self.beta is not None:
            self.beta.grad = rows.sum(axis=0, dtype=np.float64).astype(self.dtype).reshape(self.beta.shape)
        if not need_dx:
            return None
        dn = rows if self.gamma is None else rows * self.gamma.value.reshape(-1)
        share = np.einsum("rn,rn->r", dn, normal)[:, np.newaxis]
        share /= -rows.shape[1]
        dx = normal * share
        dx += dn
        dx -= dn.mean(axis=1, keepdims=True)
        dx *= inverse
        return self._whole(dx, axes, shape)

    @staticmethod
    def _rows(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        """x as (R, N): a row for every sample, the N features that are normalised together in it."""
        features = math.prod(x.shape[axis] for axis in axes)
        last = np.moveaxis(x, axes, range(-len(axes), 0))
        return last.reshape(math.prod(last.shape[: -len(axes)]), features)

    @staticmethod
    def _whole(rows: np.ndarray, axes: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
        """What `_rows` made, in x's shape again."""
        others = [size for axis, size in enumerate(shape) if axis not in axes]
        last = rows.reshape(*others, *(shape[axis] for axis in axes))
        return np.moveaxis(last, range(-len(axes), 0), axes)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """That of the input."""
        return validate.input_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": self.beta_initializer,
            "gamma_initializer": self.gamma_initializer,
            "beta_regularizer": self.beta_regularizer,
            "gamma_regularizer": self.gamma_regularizer,
            **super().get_config(),
        }
