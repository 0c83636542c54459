"""Layers without weights: what drops, turns and masks numbers on their way from one layer to the next."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastrnn import activations, validate
from fastrnn._core.dropout import drop
from fastrnn._core.memory import empty_sequence
from fastrnn.layers.base import Fixed, Layer, RandomMasks, Shape


class Dropout(Layer):
    """y = x m / (1 - rate) in training, each m being 0 with probability `rate` and 1 otherwise; y = x in use.

    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, JMLR 15, 2014, divided in training instead of in use.

    Parameters
    ----------
    rate : float
        In [0, 1).
    noise_shape : tuple of int or None, optional
        Shape of m, the batch first; None is the size that x has, and 1 gives one m to a whole axis: (None, 1, None)
        drops the same features at every step of (B, T, I).
    seed : int, optional
        Of m. Passes count on from it, so that a resumed run drops what the uninterrupted one would have.
    **common
        dtype, name, input_shape and the other arguments of `Layer`.

    Examples
    --------
    >>> layer = Dropout(0.5, seed=1)
    >>> y = layer(np.ones((2, 3), np.float32), training=True)    # zeros and twos
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **common: Any) -> None:
        super().__init__(seed=seed, **common)
        self.rate = validate.fraction("rate", rate)
        self.noise_shape: Shape | None = None
        if noise_shape is not None:
            if not isinstance(noise_shape, (tuple, list)):
                raise TypeError(f"noise_shape must be a tuple, got {noise_shape!r}")
            self.noise_shape = tuple(
                None if size is None else validate.count("noise_shape", size, minimum=1) for size in noise_shape
            )

    @functools.cached_property
    def _drops(self) -> RandomMasks:
        return RandomMasks.drawn(self._rng)

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """x, with some of its numbers dropped when training; x itself when not.

        Parameters
        ----------
        x : array_like, any shape
        training : bool

        Returns
        -------
        y : ndarray
            Of x's shape.
        """
        y = validate.array("x", x, self.dtype)
        if training:
            shape, mask, stand = y.shape, None, (self._drops.key, self._drops.passes)
            if self.rate and self._mask_shape(shape) == shape:
                y = self._dropped(y, stand)
            elif self.rate:
                mask = self._drops.draw(self._mask_shape(shape), self.rate, self.dtype)
                y = y * mask
            self.remember(shape, mask, stand)
            self._drops.passes += 1
        return y

    def _dropped(self, x: np.ndarray, stand: tuple[int, int]) -> np.ndarray:
        """x m / (1 - rate), each place with an m of its own: that of this key and pass."""
        y = empty_sequence(x.shape, x.dtype)
        return drop(np.ascontiguousarray(x), y, *stand, 0, self.rate, validate.threads(None))

    def _mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`noise_shape` for an x of this shape."""
        if self.noise_shape is None:
            return shape
        sizes = tuple(own if size is None else size for size, own in zip(self.noise_shape, shape, strict=False))
        if len(self.noise_shape) != len(shape) or any(a not in (1, b) for a, b in zip(sizes, shape, strict=True)):
            raise ValueError(f"x must have a shape that noise_shape {self.noise_shape} can drop, got {shape}")
        return sizes

    def backward(self, dy: Any, *, need_dx: bool = True) -> np.ndarray | None:
        """dx = dy m / (1 - rate)."""
        shape, mask, stand = self.recall()
        dx = validate.array("dy", dy, self.dtype, shape)
        if not need_dx:
            return None
        if mask is not None:
            dx = dx * mask
        elif self.rate:
            dx = self._dropped(dx, stand)
        return dx

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """That of the input."""
        return validate.input_shape(input_shape)

    def get_state(self) -> dict[str, np.ndarray]:
        """Where the masks stand."""
        return self._drops.get_state()

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Carry on from `get_state`."""
        self._drops = RandomMasks.from_state(self.name, state)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"rate": self.rate, "noise_shape": self.noise_shape, **super().get_config()}


class SpatialDropout1D(Dropout):
    """Dropout of whole features: the same at every step of (B, T, I). Tompson et al., CVPR 2015, arXiv:1411.4280.

    Parameters
    ----------
    rate : float
        In [0, 1).
    seed : int, optional
    **common
        As in `Dropout`.
    """

    def __init__(self, rate: float, seed: int | None = None, **common: Any) -> None:
        super().__init__(rate, None, seed, **common)

    def _mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) != 3:
            raise ValueError(f"x must have shape (B, T, I), got {shape}")
        return (shape[0], 1, shape[2])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["noise_shape"]
        return config


class Activation(Layer):
    """y = f(x).

    Parameters
    ----------
    activation : str or Activation
        f: one of `fastrnn.activations.ACTIVATIONS`.
    **common
        dtype, name, input_shape and the other arguments of `Layer`.
    """

    def __init__(self, activation: Any, **common: Any) -> None:
        super().__init__(**common)
        self.activation = activations.get(activation)

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """f(x), of x's shape; read-only when training, if backward reads it again."""
        x = validate.array("x", x, self.dtype)
        y = self.activation.forward(x)
        if training and self.activation.of_input:
            self.remember(x)
        elif training:
            self.remember(y)
            y.flags.writeable = False
        return y

    def backward(self, dy: Any, *, need_dx: bool = True) -> np.ndarray | None:
        """dx = dy f'(x)."""
        (kept,) = self.recall()
        dy = validate.array("dy", dy, self.dtype, kept.shape)
        return self.activation.backward(dy, kept) if need_dx else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """That of the input."""
        return validate.input_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"activation": self.activation.name, **super().get_config()}


class Reshape(Layer):
    """The same numbers in the same order, each row of the batch in another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Of one row, without the batch; one size may be -1: what the others leave.
    **common
        dtype, name, input_shape and the other arguments of `Layer`.

    Examples
    --------
    >>> Reshape((2, -1))(np.zeros((8, 12), np.float32)).shape
    (8, 2, 6)
    """

    def __init__(self, target_shape: Any, **common: Any) -> None:
        super().__init__(**common)
        if not isinstance(target_shape, (tuple, list)):
            raise TypeError(f"target_shape must be a tuple, got {target_shape!r}")
        self.target_shape = tuple(validate.count("target_shape", size, minimum=-1) for size in target_shape)
        if self.target_shape.count(-1) > 1:
            raise ValueError(f"target_shape can leave one size open with -1, got {self.target_shape}")

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """x in the other shape: a view of it, unless its strides forbid."""
        x = _plain("x", x)
        y: np.ndarray = x.reshape(x.shape[:1] + self._row_shape(x.shape[1:]))
        if training:
            self.remember(x.shape, y.shape)
        return y

    def _row_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a row, from that of the input's."""
        known, size = math.prod(n for n in self.target_shape if n != -1), math.prod(shape)
        rest = size // known if -1 in self.target_shape and known else 1
        if known * rest != size:
            raise ValueError(f"x must have rows that fit into {self.target_shape}, got rows of shape {shape}")
        return tuple(rest if n == -1 else n for n in self.target_shape)

    def backward(self, dy: Any, *, need_dx: bool = True) -> np.ndarray | None:
        """dy in the input's shape."""
        before, after = self.recall()
        dy = validate.array("dy", dy, self.dtype, after)
        return dy.reshape(before) if need_dx else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, ...) -> (B, *target_shape)."""
        batch, *row = validate.input_shape(input_shape)
        sizes = [size for size in row if size is not None]
        if len(sizes) == len(row):
            return (batch, *self._row_shape(tuple(sizes)))
        return (batch, *(None if size == -1 else size for size in self.target_shape))

    def compute_mask(self, x: Any, mask: np.ndarray | None) -> None:
        """None: the steps are others now."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"target_shape": self.target_shape, **super().get_config()}


class Flatten(Reshape):
    """(B, ...) -> (B, the product of the others).

    Parameters
    ----------
    **common
        dtype, name, input_shape and the other arguments of `Layer`.
    """

    fixed: ClassVar[Fixed] = {**Layer.fixed, "data_format": (None, "channels_last")}

    def __init__(self, **common: Any) -> None:
        super().__init__((-1,), **common)

    def _row_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (math.prod(shape),)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        del config["target_shape"]
        return config


class RepeatVector(Layer):
    """(B, I) -> (B, n, I): the same vector at each of n steps.

    Parameters
    ----------
    n : int
    **common
        dtype, name, input_shape and the other arguments of `Layer`.
    """

    def __init__(self, n: int, **common: Any) -> None:
        super().__init__(**common)
        self.n = validate.count("n", n, minimum=1)

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """x (B, I) at every step."""
        x = validate.array("x", x, self.dtype, ("B", "I"))
        if training:
            self.remember(x.shape)
        return np.repeat(x[:, np.newaxis], self.n, axis=1)

    def backward(self, dy: Any, *, need_dx: bool = True) -> np.ndarray | None:
        """dx (B, I): the sum of dy (B, n, I) over the steps."""
        ((batch, inputs),) = self.recall()
        dy = validate.array("dy", dy, self.dtype, (batch, self.n, inputs))
        return dy.sum(axis=1) if need_dx else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, I) -> (B, n, I)."""
        shape = validate.input_shape(input_shape)
        if len(shape) != 2:
            raise ValueError(f"{self.name} takes an input of shape (B, I), got {shape}")
        return (shape[0], self.n, shape[1])

    def compute_mask(self, x: Any, mask: np.ndarray | None) -> None:
        """None: all steps are valid."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"n": self.n, **super().get_config()}


class Masking(Layer):
    """Steps of (B, T, I) where every feature is `mask_value` are padding: zeros, and masked for the layers above.

    Parameters
    ----------
    mask_value : float
    **common
        dtype, name, input_shape and the other arguments of `Layer`.
    """

    def __init__(self, mask_value: float = 0.0, **common: Any) -> None:
        super().__init__(**common)
        self.mask_value = validate.number("mask_value", mask_value)

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """x with zeros at masked steps."""
        x = validate.array("x", x, self.dtype)
        mask = self._valid(x)
        if training:
            self.remember(x.shape, mask)
        return _kept(x, mask)

    def backward(self, dy: Any, *, need_dx: bool = True) -> np.ndarray | None:
        """dy with zeros at masked steps."""
        shape, mask = self.recall()
        dy = validate.array("dy", dy, self.dtype, shape)
        return _kept(dy, mask) if need_dx else None

    def _valid(self, x: np.ndarray) -> np.ndarray:
        if x.ndim < 2:
            raise ValueError(f"x must have shape (B, ..., I), got {x.shape}")
        # compared in x's dtype: 0.1 in float32 is not 0.1
        valid: np.ndarray = (x != x.dtype.type(self.mask_value)).any(axis=-1)
        return valid

    def compute_mask(self, x: Any, mask: np.ndarray | None) -> np.ndarray:
        """True where a feature is not `mask_value`; an earlier mask is forgotten."""
        return self._valid(validate.array("x", x, self.dtype))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """That of the input."""
        return validate.input_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"mask_value": self.mask_value, **super().get_config()}


def _kept(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """x where the mask is True, 0 elsewhere, whatever x is there."""
    y: np.ndarray = np.where(mask[..., np.newaxis], x, x.dtype.type(0))
    return y


def _plain(name: str, value: Any) -> np.ndarray:
    """An array of real numbers, which keeps its dtype: a layer that turns shapes turns whole numbers as well."""
    if type(value) is not np.ndarray or value.dtype.kind not in "fiub":
        value = validate.array(name, value, unit_stride=False)
    if not value.ndim:
        raise ValueError(f"{name} must have a batch axis, got a number")
    result: np.ndarray = value
    return result
