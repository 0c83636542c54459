"""Metrics: figures that are gathered batch by batch and never trained on.

    metric = metrics.get("acc", loss)
    metric.update(y_true, y_pred)        # any number of batches
    metric.result()

A metric looks at positions as a loss does: the axes of y_pred before the last one. Means are weighted as Keras's:

    result = sum(weight * value) / sum(weight)          over the positions that the masks keep

Sums are in float64. A new metric is a subclass of `Metric`, or of `Mean` if it is a mean over positions, and an entry
in `METRICS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn import losses, validate
from fastrnn.activations import sigmoid
from fastrnn.losses import Loss


class Metric:
    """Base of all metrics.

    Parameters
    ----------
    name : str, optional
        Its key in a history; by default `kind`. All metrics take it.

    Attributes
    ----------
    kind : str
        Key in `METRICS`.
    totals : ndarray of float64
        What has been gathered.
    """

    kind = "metric"

    def __init__(self, name: str | None = None) -> None:
        self.name = self.kind if name is None else validate.layer_name("name", name)
        self.totals = self.nothing()

    # ---- what a subclass writes

    def nothing(self) -> np.ndarray:
        """The totals before any batch, in float64."""
        raise NotImplementedError(f"{type(self).__name__} gathers nothing")

    def add(self, y_true: Any, y_pred: np.ndarray, weight: np.ndarray | None) -> None:
        """Add a batch to the totals.

        Parameters
        ----------
        y_true : array_like
            As it came, but for what a mask leaves out.
        y_pred : ndarray, (..., C)
        weight : ndarray, (...), or None
        """
        raise NotImplementedError(f"{type(self).__name__} gathers nothing")

    def result(self) -> float:
        """The figure over all batches since the last `reset`; 0 where there were none."""
        raise NotImplementedError(f"{type(self).__name__} has no result")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"name": self.name}

    # ---- what everyone calls

    def update(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> None:
        """Take in a batch.

        Parameters
        ----------
        y_true : array_like
            Targets; their shape is in the metric's own docstring.
        y_pred : array_like, (..., C)
            Predictions, as (B, C) or (B, T, C); (B,) is (B, 1).
        sample_weight : array_like, optional
            A weight for every position, (...), or for the leading axes of it: (B,) for (B, T) positions.
        mask : array_like of bool, optional
            Positions that count, shaped like a sample_weight. Nothing that stands at the others matters.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, the rule and what came. Nothing has been added then.
        """
        y_pred = validate.array("y_pred", y_pred)
        if y_pred.ndim == 1:
            y_pred = y_pred[:, np.newaxis]
        y_true, y_pred, weight, kept = losses.arguments(y_true, y_pred, sample_weight, mask)
        if kept is not None:
            y_true, y_pred, weight = y_true[kept], y_pred[kept], None if weight is None else weight[kept]
        self.add(y_true, y_pred, weight)

    def reset(self) -> None:
        """Forget all batches."""
        self.totals = self.nothing()

    def get_state(self) -> dict[str, np.ndarray]:
        """A copy of what has been gathered, by name."""
        return {"totals": self.totals.copy()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Carry on from `get_state`.

        Raises
        ------
        ValueError
            It is not a state of such a metric.
        """
        if set(state) != {"totals"}:
            raise ValueError(f"{self.name} cannot carry on from {', '.join(sorted(state)) or 'nothing'}")
        self.totals = np.array(validate.array("totals", state["totals"], np.float64, self.nothing().shape))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.get_config().items())})"


class Mean(Metric):
    """The mean of one value for each position; a subclass writes `values`."""

    kind = "mean"

    def values(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """The value of each position, (...), for y_pred (..., C)."""
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def nothing(self) -> np.ndarray:
        """The sum of the weighted values, and that of the weights."""
        return np.zeros(2)

    def add(self, y_true: Any, y_pred: np.ndarray, weight: np.ndarray | None) -> None:
        """Add both sums of a batch."""
        values = self.values(y_true, y_pred)
        count: float = values.size
        if weight is not None:
            values = values * weight
            count = float(weight.sum(dtype=np.float64))
        self.totals[0] += np.count_nonzero(values) if values.dtype == np.bool_ else values.sum(dtype=np.float64)
        self.totals[1] += count

    def result(self) -> float:
        """Their quotient."""
        return _quotient(*self.totals)


# ------------------------------------------------------------------------------------------------------------ accuracy


class BinaryAccuracy(Mean):
    """Share of the elements that are on the right side of the threshold; y_true, of 0 and 1, is shaped like y_pred.

    Parameters
    ----------
    threshold : float
        A prediction above it is a 1.
    from_logits : bool
        y_pred holds logits: their sigmoid is compared.
    """

    kind = "binary_accuracy"

    def __init__(self, name: str | None = None, threshold: float = 0.5, from_logits: bool = False) -> None:
        super().__init__(name)
        self.threshold, self.from_logits = validate.number("threshold", threshold), bool(from_logits)

    def values(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """The share in each position."""
        right = losses.dense_targets(y_true, y_pred) == _above(y_pred, self.threshold, self.from_logits)
        shares: np.ndarray = right[..., 0] if right.shape[-1] == 1 else right.mean(axis=-1)
        return shares

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "threshold": self.threshold, "from_logits": self.from_logits}


class CategoricalAccuracy(Mean):
    """Share of the positions whose likeliest class is that of y_true, a distribution shaped like y_pred."""

    kind = "categorical_accuracy"

    def values(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """Whether each position is right."""
        true = losses.dense_targets(y_true, y_pred)
        return _right(true.argmax(axis=-1), y_pred)


class SparseCategoricalAccuracy(Mean):
    """Share of the positions whose likeliest class is y_true, its number, shaped like y_pred without its last axis."""

    kind = "sparse_categorical_accuracy"

    def values(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """Whether each position is right."""
        return _right(losses.class_numbers(y_true, y_pred), y_pred)


class Accuracy(Mean):
    """The accuracy that the shapes tell: binary for one output, categorical for y_true like y_pred, sparse otherwise.

    What "accuracy" means beside a loss that does not say of what kind it is, as a mean squared error.
    """

    kind = "accuracy"

    def values(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """Those of the accuracy of that kind."""
        if y_pred.shape[-1] == 1:
            return BinaryAccuracy().values(y_true, y_pred)
        if np.shape(y_true) == y_pred.shape:
            return CategoricalAccuracy().values(y_true, y_pred)
        return SparseCategoricalAccuracy().values(y_true, y_pred)


def _right(true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    right: np.ndarray = true == y_pred.argmax(axis=-1)
    return right


# --------------------------------------------------------------------------------------------------- losses as metrics


class LossMetric(Mean):
    """A loss as a metric; a subclass names it.

    Parameters
    ----------
    **config
        The loss's own arguments.
    """

    kind = "loss"
    loss_class: type[Loss]

    def __init__(self, name: str | None = None, **config: Any) -> None:
        super().__init__(name)
        self.loss = self.loss_class(**config)

    def values(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """The loss of each position."""
        return self.loss.each(y_true, y_pred)[0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), **self.loss.get_config()}


class MeanSquaredError(LossMetric):
    """As the loss of this name."""

    kind, loss_class = "mean_squared_error", losses.MeanSquaredError


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean squared error."""

    kind = "root_mean_squared_error"

    def result(self) -> float:
        """The root of the mean."""
        return math.sqrt(super().result())


class MeanAbsoluteError(LossMetric):
    """As the loss of this name."""

    kind, loss_class = "mean_absolute_error", losses.MeanAbsoluteError


class MeanAbsolutePercentageError(LossMetric):
    """As the loss of this name."""

    kind, loss_class = "mean_absolute_percentage_error", losses.MeanAbsolutePercentageError


class MeanSquaredLogarithmicError(LossMetric):
    """As the loss of this name."""

    kind, loss_class = "mean_squared_logarithmic_error", losses.MeanSquaredLogarithmicError


class Hinge(LossMetric):
    """As the loss of this name."""

    kind, loss_class = "hinge", losses.Hinge


class BinaryCrossentropy(LossMetric):
    """As the loss of this name; from_logits and label_smoothing are its arguments."""

    kind, loss_class = "binary_crossentropy", losses.BinaryCrossentropy


class CategoricalCrossentropy(LossMetric):
    """As the loss of this name; from_logits and label_smoothing are its arguments."""

    kind, loss_class = "categorical_crossentropy", losses.CategoricalCrossentropy


class SparseCategoricalCrossentropy(LossMetric):
    """As the loss of this name; from_logits is its argument."""

    kind, loss_class = "sparse_categorical_crossentropy", losses.SparseCategoricalCrossentropy


class Perplexity(Mean):
    """exp of the mean crossentropy: among how many equally likely classes the model would be as unsure.

    Parameters
    ----------
    crossentropy : {"sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"}
        Which one; it tells the shape of y_true.
    from_logits : bool
        y_pred holds logits.
    """

    kind = "perplexity"

    def __init__(
        self,
        name: str | None = None,
        crossentropy: str = "sparse_categorical_crossentropy",
        from_logits: bool = False,
    ) -> None:
        super().__init__(name)
        self.crossentropy = validate.choice("crossentropy", crossentropy, CROSSENTROPIES)
        self.from_logits = bool(from_logits)

    def values(self, y_true: Any, y_pred: np.ndarray) -> np.ndarray:
        """The crossentropy of each position."""
        return losses.get(self.crossentropy, from_logits=self.from_logits).each(y_true, y_pred)[0]

    def result(self) -> float:
        """exp of the mean; inf where it is beyond the largest number."""
        mean = super().result()
        return math.exp(mean) if mean < 709 or math.isnan(mean) else math.inf

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "crossentropy": self.crossentropy, "from_logits": self.from_logits}


CROSSENTROPIES = ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy")


# ---------------------------------------------------------------------------------------------------- yes or no, ranked


class Detection(Metric):
    """Base of those that compare predictions with a threshold; y_true, shaped like y_pred, is true where it is not 0.

    Parameters
    ----------
    thresholds : float
        A prediction above it is positive. (Keras's name; one threshold.)
    from_logits : bool
        y_pred holds logits: their sigmoid is compared.
    """

    kind = "detection"

    def __init__(self, thresholds: float = 0.5, from_logits: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.thresholds, self.from_logits = validate.number("thresholds", thresholds), bool(from_logits)

    def nothing(self) -> np.ndarray:
        """Weights of what is true and positive, of what is positive, and of what is true."""
        return np.zeros(3)

    def add(self, y_true: Any, y_pred: np.ndarray, weight: np.ndarray | None) -> None:
        """Add the three of a batch."""
        true = losses.dense_targets(y_true, y_pred) != 0
        positive = _above(y_pred, self.thresholds, self.from_logits)
        factor = np.ones(()) if weight is None else weight[..., np.newaxis]
        self.totals += [(factor * case).sum(dtype=np.float64) for case in (true & positive, positive, true)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "thresholds": self.thresholds, "from_logits": self.from_logits}


class Precision(Detection):
    """Share of what is predicted positive that is true: TP / (TP + FP), 0 where nothing is; see `Detection`."""

    kind = "precision"

    def result(self) -> float:
        """The share."""
        return _quotient(self.totals[0], self.totals[1])


class Recall(Detection):
    """Share of what is true that is predicted positive: TP / (TP + FN), 0 where nothing is; see `Detection`."""

    kind = "recall"

    def result(self) -> float:
        """The share."""
        return _quotient(self.totals[0], self.totals[2])


# what a file that is loaded may ask for
MOST_THRESHOLDS = 100_000


class AUC(Metric):
    """Area under the ROC curve: the share of the pairs of a true and a false one that are ranked rightly.

    As Keras's: the curve is drawn through evenly spaced thresholds, for which a histogram of the predictions is enough,
    and the area is that of its trapezoids. y_true, shaped like y_pred, is true where it is not 0.

    Parameters
    ----------
    num_thresholds : int
        At least 2.
    from_logits : bool
        y_pred holds logits: their sigmoid is ranked. Otherwise it holds probabilities.
    """

    kind = "auc"

    def __init__(self, num_thresholds: int = 200, from_logits: bool = False, name: str | None = None) -> None:
        self.num_thresholds = validate.count("num_thresholds", num_thresholds, minimum=2)
        if self.num_thresholds > MOST_THRESHOLDS:
            raise ValueError(f"num_thresholds must be at most {MOST_THRESHOLDS}, got {num_thresholds}")
        self.from_logits = bool(from_logits)
        super().__init__(name)

    def nothing(self) -> np.ndarray:
        """Weights of the false and of the true, (2, num_thresholds), by the last threshold that they are above."""
        return np.zeros((2, self.num_thresholds))

    def add(self, y_true: Any, y_pred: np.ndarray, weight: np.ndarray | None) -> None:
        """Add a batch's histograms."""
        true = losses.dense_targets(y_true, y_pred) != 0
        p = (sigmoid(y_pred) if self.from_logits else y_pred).astype(np.float32)  # Keras's borders are float32's
        if np.isnan(p).any():
            self.totals += np.nan
            return
        # above threshold i / (N - 1), and all above the first one, which lies below 0
        place = np.ceil(np.clip(p, 0, 1) * np.float32(self.num_thresholds - 1)) - 1
        place = np.maximum(place, 0).astype(np.int64) + true * self.num_thresholds
        factor = None if weight is None else np.broadcast_to(weight[..., np.newaxis], p.shape).reshape(-1)
        counts = np.bincount(place.reshape(-1), factor, 2 * self.num_thresholds)
        self.totals += counts.reshape(2, self.num_thresholds)

    def result(self) -> float:
        """The area; 0 where all are true, or all false."""
        above = np.cumsum(self.totals[:, ::-1], axis=1)[:, ::-1]
        if not above[:, 0].all():
            return 0.0
        false, true = above / above[:, :1]
        return float(((false[:-1] - false[1:]) * (true[:-1] + true[1:]) / 2).sum())

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "num_thresholds": self.num_thresholds, "from_logits": self.from_logits}


def _above(y_pred: np.ndarray, threshold: float, from_logits: bool) -> np.ndarray:
    above: np.ndarray = (sigmoid(y_pred) if from_logits else y_pred) > threshold
    return above


def _quotient(above: float, below: float) -> float:
    return float(above / below) if below else 0.0


# -------------------------------------------------------------------------------------------------------------- by name

METRICS: dict[str, type[Metric]] = {
    cls.kind: cls
    for cls in (
        Accuracy,
        BinaryAccuracy,
        CategoricalAccuracy,
        SparseCategoricalAccuracy,
        MeanSquaredError,
        RootMeanSquaredError,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanSquaredLogarithmicError,
        Hinge,
        BinaryCrossentropy,
        CategoricalCrossentropy,
        SparseCategoricalCrossentropy,
        Perplexity,
        Precision,
        Recall,
        AUC,
    )
}
METRICS |= {
    "acc": Accuracy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "bce": BinaryCrossentropy,
}


# the accuracies by the loss
ACCURACIES: dict[str, type[Mean]] = {
    "binary_crossentropy": BinaryAccuracy,
    "categorical_crossentropy": CategoricalAccuracy,
    "sparse_categorical_crossentropy": SparseCategoricalAccuracy,
}


def get(metric: str | Metric, /, loss: Loss | None = None, **config: Any) -> Metric:
    """The metric of this name, which it keeps, with these constructor arguments; a Metric is itself.

    Parameters
    ----------
    metric : str or Metric
        "acc" and "accuracy" are binary, categorical or sparse categorical accuracy by the loss; beside a loss that is
        no crossentropy, by the shapes (`Accuracy`).
    loss : Loss, optional
        That of the model: it tells the kind of accuracy and of perplexity, and whether y_pred holds logits. (Keras goes
        by shapes alone, and takes a logit above 0.5 for a 1.)

    Raises
    ------
    ValueError
        Unknown name; the message suggests the nearest one. Or the perplexity of a loss that is no crossentropy.
    """
    if isinstance(metric, Metric):
        return metric
    cls = validate.registered("metric", metric, METRICS)
    options: dict[str, Any] = {"name": metric}
    kind = None if loss is None else loss.name
    if cls is Accuracy and kind in ACCURACIES:
        cls = ACCURACIES[kind]
    if cls is Perplexity and kind is not None:
        if kind not in CROSSENTROPIES:
            raise ValueError(f"perplexity needs a crossentropy loss, got {kind}")
        options["crossentropy"] = kind
    if getattr(loss, "from_logits", False) and "from_logits" in cls().get_config():
        options["from_logits"] = True
    made: Metric = cls(**(options | config))
    return made
