"""Losses: the value, and the gradient with respect to the prediction.

A loss looks at positions: the axes of y_pred before the last one, (B,) or (B, T). Its subclass knows the loss of each
position and that loss's gradient; the mean over the positions, with weights and masks, is written once, in `Loss`.

    value = sum(weight * loss) / n                  n: the number of positions, or of those that the mask keeps

which are Keras's rules: a weight scales a position and is not divided out again, a masked position does not count.
Everything is computed in y_pred's dtype, but the last sum, which is in float64.
A new loss is a subclass with `positions`, and an entry in `LOSSES`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import validate
from fastrnn.activations import sigmoid

# Keras's epsilon: probabilities are clipped to [EPSILON, 1 - EPSILON] before a logarithm
EPSILON = 1e-7


class Loss:
    """Base of all losses.

    Attributes
    ----------
    name : str
        Key in `LOSSES`.
    """

    name = "loss"

    def positions(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The loss of each position, and its gradient.

        Parameters
        ----------
        y_true : ndarray
            As `targets` left it.
        y_pred : ndarray, (..., C)
            Not to be written to.

        Returns
        -------
        losses : ndarray, (...)
        gradients : ndarray, (..., C)
            Of each position's own loss; a new array.
        """
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def targets(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """y_true, checked: by default real numbers of y_pred's shape and dtype."""
        return validate.array("y_true", y_true, y_pred.dtype, y_pred.shape, unit_stride=False)

    def value_and_grad(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None
    ) -> tuple[float, np.ndarray]:
        """The mean loss, and its gradient.

        Parameters
        ----------
        y_true : array_like
            Targets; their shape is in the loss's own docstring.
        y_pred : array_like, (..., C)
            Predictions, as (B, C) or (B, T, C).
        sample_weight : array_like, optional
            A factor for every position, (...), or for the leading axes of it: (B,) for (B, T) positions.
        mask : array_like of bool, optional
            Positions that count, shaped like a sample_weight. Nothing that stands at the others matters, not even NaN.

        Returns
        -------
        value : float
            The mean; 0 without any position.
        dy : ndarray, (..., C)
            Gradient with respect to y_pred.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, the rule and what came.
        """
        y_pred = validate.array("y_pred", y_pred)
        if y_pred.ndim < 2:
            raise ValueError(f"y_pred must have shape (..., C) of at least two axes, got {y_pred.shape}")
        axes = y_pred.shape[:-1]
        weight = None
        if sample_weight is not None:
            weight = validate.per_position("sample_weight", sample_weight, y_pred.dtype, axes)
        if mask is not None:
            kept = validate.per_position("mask", mask, np.bool_, axes)
            y_true = np.asarray(y_true)
            if y_true.shape[: len(axes)] != axes:
                raise ValueError(f"y_true must have a shape that begins with {axes}, got {y_true.shape}")
            dy = np.zeros_like(y_pred)
            value, dy[kept] = self.value_and_grad(y_true[kept], y_pred[kept], None if weight is None else weight[kept])
            return value, dy
        losses, dy = self.positions(self.targets(y_true, y_pred), y_pred)
        if weight is not None:
            losses = losses * weight
            dy *= weight[..., np.newaxis]
        if losses.size == 0:
            return 0.0, dy
        dy *= 1 / losses.size
        return float(losses.sum(dtype=np.float64)) / losses.size, dy

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> float:
        """The mean loss alone; the arguments are those of `value_and_grad`."""
        return self.value_and_grad(y_true, y_pred, sample_weight, mask)[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.get_config().items())})"


class MeanSquaredError(Loss):
    """mean over C of (y_pred - y_true)^2; y_true is shaped like y_pred."""

    name = "mean_squared_error"

    def positions(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each position: e = y_pred - y_true; mean(e^2); 2 e / C."""
        error = y_pred - y_true
        classes = max(y_pred.shape[-1], 1)
        losses = np.einsum("...c,...c->...", error, error)
        losses /= classes
        error *= 2 / classes
        return losses, error


class _FromLogits(Loss):
    """A loss of probabilities that can be told to take them as logits, before softmax or sigmoid."""

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = bool(from_logits)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"from_logits": self.from_logits}


class BinaryCrossentropy(_FromLogits):
    """mean over C of -(t log p + (1 - t) log(1 - p)); t = y_true in [0, 1] is shaped like y_pred.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z with p = sigmoid(z), which is exact where a probability has no digits left. Otherwise it holds
        p, clipped to [1e-7, 1 - 1e-7] as in Keras: beyond these bounds the gradient is zero.
    """

    name = "binary_crossentropy"

    def positions(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each position: from logits max(z, 0) - z t + log(1 + exp(-|z|)), sigmoid(z) - t; else by p."""
        classes = max(y_pred.shape[-1], 1)
        if self.from_logits:
            losses = np.log1p(np.exp(-np.abs(y_pred)))
            losses += np.maximum(y_pred, 0)
            losses -= y_pred * y_true
            gradients = sigmoid(y_pred)
            gradients -= y_true
        else:
            p = np.clip(y_pred, EPSILON, 1 - EPSILON)
            losses = -(y_true * np.log(p) + (1 - y_true) * np.log1p(-p))
            gradients = (p - y_true) / (p * (1 - p))
            gradients *= p == y_pred
        gradients *= 1 / classes
        return losses.sum(axis=-1) / classes, gradients


class CategoricalCrossentropy(_FromLogits):
    """-sum over the C classes of t log p; t = y_true, one-hot or any distribution, is shaped like y_pred.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z with p = softmax(z). Otherwise it holds probabilities, which are divided by their sum and then
        clipped to [1e-7, 1 - 1e-7] as in Keras: beyond these bounds the gradient is zero.
    """

    name = "categorical_crossentropy"

    def positions(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each position: from logits sum(t) log(sum(exp(z))) - sum(t z), sum(t) p - t; else by p."""
        if self.from_logits:
            shifted, exponentials, sums = _softmax_parts(y_pred)
            total = y_true.sum(axis=-1)
            losses = total * np.log(sums) - np.einsum("...c,...c->...", y_true, shifted)
            exponentials *= (total / sums)[..., np.newaxis]
            exponentials -= y_true
            return losses, exponentials
        sums = y_pred.sum(axis=-1, keepdims=True)
        share = y_pred / sums
        p = np.clip(share, EPSILON, 1 - EPSILON)
        losses = -np.einsum("...c,...c->...", y_true, np.log(p))
        dshare = np.where(p == share, -y_true / p, 0)
        gradients = dshare - np.einsum("...c,...c->...", dshare, share)[..., np.newaxis]
        gradients /= sums
        return losses, gradients


class SparseCategoricalCrossentropy(_FromLogits):
    """-log p of the true class; y_true holds its number in [0, C), shaped like y_pred without its last axis.

    Parameters
    ----------
    from_logits : bool
        As in `CategoricalCrossentropy`, whose value and gradient it has without a one-hot array.
    """

    name = "sparse_categorical_crossentropy"

    def targets(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """Class numbers."""
        axes, classes = y_pred.shape[:-1], y_pred.shape[-1]
        if np.shape(y_true) != axes:
            raise ValueError(f"y_true must have shape {axes}, y_pred's without its last axis, got {np.shape(y_true)}")
        return validate.integers("y_true", y_true, 0, classes)

    def positions(self, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each position: from logits log(sum(exp(z))) - z of the class, p - 1 at the class; else by p."""
        true = y_true[..., np.newaxis]
        if self.from_logits:
            shifted, gradients, sums = _softmax_parts(y_pred)
            losses = np.log(sums) - np.take_along_axis(shifted, true, -1)[..., 0]
            gradients /= sums[..., np.newaxis]
            np.put_along_axis(gradients, true, np.take_along_axis(gradients, true, -1) - 1, -1)
            return losses, gradients
        sums = y_pred.sum(axis=-1, keepdims=True)
        share = np.take_along_axis(y_pred, true, -1) / sums
        p = np.clip(share, EPSILON, 1 - EPSILON)
        dshare = np.where(p == share, -1 / p, 0)
        # share_c = y_c / sum(y): every class moves the sum, the true one its numerator as well
        gradients = np.broadcast_to(-dshare * share / sums, y_pred.shape).copy()
        np.put_along_axis(gradients, true, dshare * (1 - share) / sums, -1)
        return -np.log(p[..., 0]), gradients


def _softmax_parts(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z - max(z), its exponential, and the sums of that, (...): shifted so that no exp overflows."""
    shifted = z - z.max(axis=-1, keepdims=True, initial=-np.inf)
    exponentials = np.exp(shifted)
    return shifted, exponentials, exponentials.sum(axis=-1)


LOSSES: dict[str, type[Loss]] = {
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get(loss: str | Loss, /, **config: Any) -> Loss:
    """The loss of this name, with these constructor arguments; a Loss is itself.

    Raises
    ------
    ValueError
        Unknown name; the message suggests the nearest one.
    """
    if isinstance(loss, Loss):
        return loss
    return LOSSES[validate.choice("loss", loss, list(LOSSES))](**config)
