"""Losses: the value, and the gradient with respect to the prediction.

A loss looks at positions: the axes of y_pred before the last one, (B,) or (B, T). Its subclass knows the loss of each
position and that loss's gradient; the mean over the positions, with weights and masks, is written once, in `Loss`.

    value = sum(weight * loss) / n                  n: the number of positions, or of those that the mask keeps

which are Keras's rules: a weight scales a position and is not divided out again, a masked position does not count.
Everything is computed in y_pred's dtype, but the last sum, which is in float64.
A new loss is a subclass with `positions`, and an entry in `LOSSES`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastrnn import validate
from fastrnn._core.crossentropy import crossentropy
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

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The loss of each position, and its gradient.

        Parameters
        ----------
        y_true : ndarray
            As `targets` left it.
        y_pred : ndarray, (..., C)
            Not to be written to.
        factor : float, ndarray (..., 1) or None
            What each position's gradient is multiplied with. None: no gradient is needed.

        Returns
        -------
        losses : ndarray, (...)
        gradients : ndarray, (..., C), or None
            Of each position's own loss, times the factor; a new array.
        """
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def targets(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """y_true, checked: by default real numbers of y_pred's shape and dtype; (B,) will do for (B, 1)."""
        return dense_targets(y_true, y_pred)

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
        y_true, y_pred, weight, kept = arguments(y_true, y_pred, sample_weight, mask)
        if kept is None:
            return self._mean(y_true, y_pred, weight)
        dy = np.zeros_like(y_pred)
        value, dy[kept] = self._mean(y_true[kept], y_pred[kept], None if weight is None else weight[kept])
        return value, dy

    def _mean(self, y_true: Any, y_pred: np.ndarray, weight: np.ndarray | None) -> tuple[float, np.ndarray]:
        """The mean over all positions, and its gradient."""
        y_true = self.targets(y_true, y_pred)
        count = math.prod(y_pred.shape[:-1])
        if count == 0:
            return 0.0, np.zeros_like(y_pred)
        losses, dy = self.positions(y_true, y_pred, 1 / count if weight is None else weight[..., np.newaxis] / count)
        assert dy is not None
        if weight is not None:
            losses = losses * weight
        return float(losses.sum(dtype=np.float64)) / count, dy

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> float:
        """The mean loss alone; the arguments are those of `value_and_grad`."""
        losses, weight = self.each(y_true, y_pred, sample_weight, mask)
        if weight is not None:
            losses = losses * weight
        return float(losses.sum(dtype=np.float64)) / max(losses.size, 1)

    def each(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The loss of each position that the mask keeps, and their weights; the arguments are those of the mean.

        Returns
        -------
        losses : ndarray
            (...), or of one axis with a mask.
        weights : ndarray or None
            Of the same shape.
        """
        y_true, y_pred, weight, kept = arguments(y_true, y_pred, sample_weight, mask)
        if kept is not None:
            y_true, y_pred, weight = y_true[kept], y_pred[kept], None if weight is None else weight[kept]
        return self.positions(self.targets(y_true, y_pred), y_pred, None)[0], weight

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.get_config().items())})"


def arguments(
    y_true: Any, y_pred: Any, sample_weight: Any, mask: Any
) -> tuple[Any, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The arguments of a loss or metric, checked as far as they do not depend on it.

    Returns
    -------
    y_true : array_like
        An array that can be indexed by `kept`, if there is one.
    y_pred : ndarray, (..., C)
    weight : ndarray, (...), or None
    kept : ndarray of bool, (...), or None
        None if there is no mask, or it keeps everything.
    """
    y_pred = validate.array("y_pred", y_pred)
    if y_pred.ndim < 2:
        raise ValueError(f"y_pred must have shape (..., C) of at least two axes, got {y_pred.shape}")
    axes = y_pred.shape[:-1]
    weight = kept = None
    if sample_weight is not None:
        weight = validate.per_position("sample_weight", sample_weight, y_pred.dtype, axes)
    if mask is not None:
        kept = validate.per_position("mask", mask, np.bool_, axes)
        if kept.all():
            return y_true, y_pred, weight, None
        y_true = np.asarray(y_true)
        if y_true.shape[: len(axes)] != axes:
            raise ValueError(f"y_true must have a shape that begins with {axes}, got {y_true.shape}")
    return y_true, y_pred, weight, kept


def dense_targets(y_true: Any, y_pred: np.ndarray) -> np.ndarray:
    """Real numbers of y_pred's shape and dtype; (B,) is (B, 1) where that is the shape."""
    if y_pred.shape[-1] == 1 and np.shape(y_true) == y_pred.shape[:-1]:
        y_true = np.asarray(y_true)[..., np.newaxis]
    return validate.array("y_true", y_true, y_pred.dtype, y_pred.shape, unit_stride=False)


def class_numbers(y_true: Any, y_pred: np.ndarray) -> np.ndarray:
    """Whole numbers in [0, C), of y_pred's shape without the last axis, which may stand there as 1."""
    axes, classes = y_pred.shape[:-1], y_pred.shape[-1]
    shape = np.shape(y_true)
    if shape not in (axes, (*axes, 1)):
        hint = "; one-hot rows are for categorical_crossentropy" if shape == y_pred.shape else ""
        raise ValueError(f"y_true must have shape {axes}, y_pred's without its last axis, got {shape}{hint}")
    return validate.integers("y_true", y_true, 0, classes).reshape(axes)


class MeanSquaredError(Loss):
    """mean over C of (y_pred - y_true)^2; y_true is shaped like y_pred."""

    name = "mean_squared_error"

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of each position: e = y_pred - y_true; mean(e^2); 2 e / C."""
        error = y_pred - y_true
        classes = max(y_pred.shape[-1], 1)
        losses = np.einsum("...c,...c->...", error, error)
        losses /= classes
        if factor is None:
            return losses, None
        error *= factor * (2 / classes)
        return losses, error


class MeanAbsoluteError(Loss):
    """mean over C of |y_pred - y_true|; y_true is shaped like y_pred."""

    name = "mean_absolute_error"

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of each position: e = y_pred - y_true; mean(|e|); sign(e) / C."""
        error = y_pred - y_true
        classes = max(y_pred.shape[-1], 1)
        losses = np.abs(error).sum(axis=-1) / classes
        if factor is None:
            return losses, None
        np.sign(error, out=error)
        error *= factor * (1 / classes)
        return losses, error


class MeanAbsolutePercentageError(Loss):
    """100 * mean over C of |y_pred - y_true| / max(|y_true|, 1e-7); y_true is shaped like y_pred."""

    name = "mean_absolute_percentage_error"

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of each position: s = 100 / max(|y_true|, 1e-7), e = s (y_pred - y_true); mean(|e|); s sign(e) / C."""
        scale = np.maximum(np.abs(y_true), EPSILON)
        np.divide(100, scale, out=scale)
        error = y_pred - y_true
        error *= scale
        classes = max(y_pred.shape[-1], 1)
        losses = np.abs(error).sum(axis=-1) / classes
        if factor is None:
            return losses, None
        np.sign(error, out=error)
        error *= scale
        error *= factor * (1 / classes)
        return losses, error


class MeanSquaredLogarithmicError(Loss):
    """mean over C of (log(1 + y_pred) - log(1 + y_true))^2; y_true is shaped like y_pred.

    Both are raised to 1e-7 where they are below, as in Keras: the gradient is zero there.
    """

    name = "mean_squared_logarithmic_error"

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of each position: e = log(1 + y_pred) - log(1 + y_true); mean(e^2); 2 e / (1 + y_pred) / C."""
        raised = np.maximum(y_pred, EPSILON)
        error = np.log1p(raised)
        error -= np.log1p(np.maximum(y_true, EPSILON))
        classes = max(y_pred.shape[-1], 1)
        losses = np.einsum("...c,...c->...", error, error)
        losses /= classes
        if factor is None:
            return losses, None
        error *= factor * (2 / classes)
        error *= raised == y_pred
        raised += 1
        error /= raised
        return losses, error


class Hinge(Loss):
    """mean over C of max(0, 1 - y_true * y_pred); y_true, shaped like y_pred, holds -1 and 1, or 0 and 1 for these."""

    name = "hinge"

    def targets(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """-1 and 1 for 0 and 1; anything else stays."""
        t = super().targets(y_true, y_pred)
        return 2 * t - 1 if ((t == 0) | (t == 1)).all() else t

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of each position: m = max(0, 1 - y_true y_pred); mean(m); -y_true / C where m > 0."""
        margin = y_true * y_pred
        np.subtract(1, margin, out=margin)
        np.maximum(margin, 0, out=margin)
        classes = max(y_pred.shape[-1], 1)
        losses = margin.sum(axis=-1) / classes
        if factor is None:
            return losses, None
        gradients = y_true * (margin > 0)
        gradients *= factor * (-1 / classes)
        return losses, gradients


class Huber(Loss):
    """mean over C of e^2 / 2 where |e| <= delta, else delta * (|e| - delta / 2); e = y_pred - y_true, shaped alike.

    Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Parameters
    ----------
    delta : float
        Above 0: where the parabola becomes a straight line.
    """

    name = "huber"

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = validate.positive("delta", delta)

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of each position: e = y_pred - y_true, c = e cut off at -delta and delta; mean(c (e - c / 2)); c / C."""
        error = y_pred - y_true
        cut = np.clip(error, -self.delta, self.delta)
        error -= cut / 2
        classes = max(y_pred.shape[-1], 1)
        losses = np.einsum("...c,...c->...", cut, error)
        losses /= classes
        if factor is None:
            return losses, None
        cut *= factor * (1 / classes)
        return losses, cut

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"delta": self.delta}


class _FromLogits(Loss):
    """A loss of probabilities that can be told to take them as logits, before softmax or sigmoid."""

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = bool(from_logits)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"from_logits": self.from_logits}


class _Smoothing(_FromLogits):
    """One of them whose targets are probabilities, which can be drawn towards the middle."""

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        super().__init__(from_logits)
        self.label_smoothing = validate.fraction("label_smoothing", label_smoothing)

    def middle(self, classes: int) -> float:
        """What a smoothed target is drawn to."""
        raise NotImplementedError

    def targets(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """Probabilities of y_pred's shape, smoothed."""
        t = super().targets(y_true, y_pred)
        if not self.label_smoothing:
            return t
        return t * (1 - self.label_smoothing) + self.label_smoothing * self.middle(y_pred.shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


class BinaryCrossentropy(_Smoothing):
    """mean over C of -(t log p + (1 - t) log(1 - p)); t = y_true in [0, 1] is shaped like y_pred.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z with p = sigmoid(z), which is exact where a probability has no digits left. Otherwise it holds
        p, clipped to [1e-7, 1 - 1e-7] as in Keras: beyond these bounds the gradient is zero.
    label_smoothing : float
        s in [0, 1): t becomes (1 - s) t + s / 2.
    """

    name = "binary_crossentropy"

    def middle(self, classes: int) -> float:
        """1/2."""
        return 0.5

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of each position: from logits max(z, 0) - z t + log(1 + exp(-|z|)), sigmoid(z) - t; else by p."""
        classes = max(y_pred.shape[-1], 1)
        if self.from_logits:
            losses = np.log1p(np.exp(-np.abs(y_pred)))
            losses += np.maximum(y_pred, 0)
            losses -= y_pred * y_true
        else:
            p = np.minimum(np.maximum(y_pred, EPSILON), 1 - EPSILON)
            losses = y_true * np.log(p)
            losses += (1 - y_true) * np.log1p(-p)
            np.negative(losses, out=losses)
        losses = losses[..., 0] if y_pred.shape[-1] == 1 else losses.sum(axis=-1) / classes
        if factor is None:
            return losses, None
        if self.from_logits:
            gradients = sigmoid(y_pred)
            gradients -= y_true
        else:
            gradients = p - y_true
            gradients /= p * (1 - p)
            gradients *= p == y_pred
        gradients *= factor * (1 / classes)
        return losses, gradients


class CategoricalCrossentropy(_Smoothing):
    """-sum over the C classes of t log p; t = y_true, one-hot or any distribution, is shaped like y_pred.

    Parameters
    ----------
    from_logits : bool
        y_pred holds z with p = softmax(z). Otherwise it holds probabilities, which are divided by their sum and then
        clipped to [1e-7, 1 - 1e-7] as in Keras: beyond these bounds the gradient is zero.
    label_smoothing : float
        s in [0, 1): t becomes (1 - s) t + s / C.
    """

    name = "categorical_crossentropy"

    def middle(self, classes: int) -> float:
        """1/C."""
        return 1 / max(classes, 1)

    def targets(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """Distributions; class numbers are told where they belong."""
        if y_pred.shape[-1] != 1 and np.shape(y_true) == y_pred.shape[:-1]:
            raise ValueError(
                f"y_true must have shape {y_pred.shape}, got {np.shape(y_true)}; "
                "class numbers are for sparse_categorical_crossentropy"
            )
        return super().targets(y_true, y_pred)

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of each position: from logits sum(t) log(sum(exp(z))) - sum(t z), sum(t) p - t; else by p."""
        if self.from_logits:
            return _softmax_crossentropy(y_true, y_pred, factor)
        sums = y_pred.sum(axis=-1, keepdims=True)
        share = y_pred / sums
        p = np.clip(share, EPSILON, 1 - EPSILON)
        losses = -np.einsum("...c,...c->...", y_true, np.log(p))
        if factor is None:
            return losses, None
        dshare = np.where(p == share, -y_true / p, 0)
        gradients = dshare - np.einsum("...c,...c->...", dshare, share)[..., np.newaxis]
        gradients *= factor / sums
        return losses, gradients


class SparseCategoricalCrossentropy(_FromLogits):
    """-log p of the true class; y_true holds its number in [0, C), shaped like y_pred without its last axis.

    That axis may stand there as 1: (B, 1) for (B, C).

    Parameters
    ----------
    from_logits : bool
        As in `CategoricalCrossentropy`, whose value and gradient it has without a one-hot array.
    """

    name = "sparse_categorical_crossentropy"

    def targets(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """Class numbers."""
        return class_numbers(y_true, y_pred)

    def positions(
        self, y_true: np.ndarray, y_pred: np.ndarray, factor: float | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of each position: from logits log(sum(exp(z))) - z of the class, p - 1 at the class; else by p."""
        if self.from_logits:
            return _softmax_crossentropy(y_true, y_pred, factor)
        true = y_true[..., np.newaxis]
        sums = y_pred.sum(axis=-1, keepdims=True)
        share = np.take_along_axis(y_pred, true, -1) / sums
        p = np.clip(share, EPSILON, 1 - EPSILON)
        losses = -np.log(p[..., 0])
        if factor is None:
            return losses, None
        dshare = np.where(p == share, -1 / p, 0)
        dshare *= factor / sums
        # share_c = y_c / sum(y): every class moves the sum, the true one its numerator as well
        gradients = np.empty_like(y_pred)
        gradients[...] = -dshare * share
        np.put_along_axis(gradients, true, dshare * (1 - share), -1)
        return losses, gradients


def _softmax_crossentropy(
    true: np.ndarray, z: np.ndarray, factor: float | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """`Loss.positions` of logits z (..., C); true holds class numbers (...) or distributions (..., C).

    t being one-hot or the distribution: sum(t) log(sum(exp(z))) - sum(t z); sum(t) exp(z) / sum(exp(z)) - t.
    """
    axes, classes = z.shape[:-1], z.shape[-1]
    count = math.prod(axes)
    rows = np.ascontiguousarray(z).reshape(count, classes)
    true = np.ascontiguousarray(true).reshape((count,) if true.shape == axes else (count, classes))
    factors = None if factor is None else np.asarray(factor, z.dtype).reshape(-1)
    losses, gradients = crossentropy(rows, true, factors, validate.threads(None))
    return losses.reshape(axes), None if gradients is None else gradients.reshape(z.shape)


LOSSES: dict[str, type[Loss]] = {
    cls.name: cls
    for cls in (
        MeanSquaredError,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanSquaredLogarithmicError,
        Hinge,
        Huber,
        BinaryCrossentropy,
        CategoricalCrossentropy,
        SparseCategoricalCrossentropy,
    )
}
LOSSES |= {
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "bce": BinaryCrossentropy,
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
    made: Loss = validate.registered("loss", loss, LOSSES)(**config)
    return made
