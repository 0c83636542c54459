"""Metrics against figures from Keras, scikit-learn where it is installed, and plain NumPy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastrnn import losses, metrics
from fastrnn.metrics import (
    AUC,
    METRICS,
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    Hinge,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Metric,
    Perplexity,
    Precision,
    Recall,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
)

RNG = np.random.default_rng(7)
P = RNG.random((2, 40))[..., np.newaxis]  # two batches
TRUE = (RNG.random((2, 40))[..., np.newaxis] < P).astype(float)
WEIGHTS = RNG.uniform(0.1, 2, (2, 40))
Z = RNG.standard_normal((2, 40, 4))
NUMBERS = RNG.integers(0, 4, (2, 40))
ONE_HOT = np.eye(4)[NUMBERS]

# y_true, y_pred; by Keras 3.15 in float64: after both batches, and the same with the weights
KERAS: list[tuple[Metric, np.ndarray, np.ndarray, float, float]] = [
    (AUC(), TRUE, P, 0.8465625, 0.813464797),
    (AUC(20), TRUE, P, 0.840625, 0.807757953),
    (AUC(from_logits=True), TRUE, 6 * P - 3, 0.845625, 0.812365146),
    (Precision(), TRUE, P, 0.761904762, 0.709220662),
    (Recall(), TRUE, P, 0.8, 0.744832435),
    (Precision(0.7), TRUE, P, 0.857142857, 0.828899115),
    (Recall(0.7), TRUE, P, 0.45, 0.432195612),
    (BinaryAccuracy(), TRUE, P, 0.775, 0.727609259),
    (BinaryAccuracy(threshold=0.7), TRUE, P, 0.6875, 0.680730797),
    (CategoricalAccuracy(), ONE_HOT, Z, 0.15, 0.107035814),
    (SparseCategoricalAccuracy(), NUMBERS, Z, 0.15, 0.107035814),
    (MeanAbsoluteError(), ONE_HOT, Z, 0.896510018, 0.904118588),
    (MeanSquaredError(), ONE_HOT, Z, 1.24426784, 1.22516727),
    (RootMeanSquaredError(), ONE_HOT, Z, 1.11546754, 1.10687275),
    (MeanAbsolutePercentageError(), ONE_HOT + 1, Z, 122.086092, 121.92388),
    (MeanSquaredLogarithmicError(), ONE_HOT, Z, 0.20652075, 0.211299907),
    (Hinge(), ONE_HOT, Z, 1.02987711, 1.03772162),
    (SparseCategoricalCrossentropy(from_logits=True), NUMBERS, Z, 1.74736676, 1.78407163),
    (CategoricalCrossentropy(from_logits=True, label_smoothing=0.25), ONE_HOT, Z, 1.73694287, 1.76105438),
    (BinaryCrossentropy(from_logits=True), ONE_HOT, Z, 0.768552581, 0.772807557),
]  # fmt: skip
each_metric = pytest.mark.parametrize(
    ("metric", "y_true", "y_pred", "plain", "weighted"),
    KERAS,
    ids=[f"{n}-{row[0].kind}" for n, row in enumerate(KERAS)],
)


@each_metric
def test_against_keras(metric: Metric, y_true: np.ndarray, y_pred: np.ndarray, plain: float, weighted: float) -> None:
    for weights, wanted in [(None, plain), (WEIGHTS, weighted)]:
        metric.reset()
        for batch in range(2):
            metric.update(y_true[batch], y_pred[batch], None if weights is None else weights[batch])
        # Keras counts in float32
        assert metric.result() == pytest.approx(wanted, rel=1e-6)
        assert isinstance(metric.result(), float)


def test_every_metric_is_tested() -> None:
    assert {type(row[0]) for row in KERAS} | {Accuracy, Perplexity} == set(METRICS.values())


@each_metric
def test_masked_positions_do_not_count(
    metric: Metric, y_true: np.ndarray, y_pred: np.ndarray, plain: float, weighted: float
) -> None:
    mask = np.random.default_rng(1).random((2, 40)) < 0.6
    metric.reset()
    metric.update(y_true[mask], y_pred[mask], WEIGHTS[mask])
    wanted = metric.result()
    y_true, y_pred = np.array(y_true), np.array(y_pred)
    y_true[~mask], y_pred[~mask] = -1, np.nan
    metric.reset()
    metric.update(y_true, y_pred, WEIGHTS, mask)
    assert metric.result() == pytest.approx(wanted, rel=1e-12)
    assert wanted != pytest.approx(weighted, rel=1e-3)
    metric.reset()
    metric.update(y_true, y_pred, None, np.zeros((2, 40), bool))
    assert metric.result() == 0


@each_metric
def test_batches_and_layouts_do_not_matter(
    metric: Metric, y_true: np.ndarray, y_pred: np.ndarray, plain: float, weighted: float
) -> None:
    results = []
    for chop in (1, 3, 40):
        metric.reset()
        for start in range(0, 40, chop):
            part = slice(start, start + chop)
            metric.update(y_true[:, part], y_pred[:, part].astype(np.float32), WEIGHTS[:, part])
        results.append(metric.result())
    assert results == pytest.approx([weighted] * 3, rel=2e-6)


@each_metric
def test_a_state_carries_on(
    metric: Metric, y_true: np.ndarray, y_pred: np.ndarray, plain: float, weighted: float
) -> None:
    metric.reset()
    assert metric.result() == 0
    metric.update(y_true[0], y_pred[0])
    again = type(metric)(**json.loads(json.dumps(metric.get_config())))
    again.set_state(metric.get_state())
    assert again.get_config() == metric.get_config() and again.name == metric.name == metric.kind
    metric.update(y_true[1], y_pred[1])
    halfway = again.result()
    again.update(y_true[1], y_pred[1])
    assert again.result() == metric.result() == pytest.approx(plain, rel=1e-6) != halfway
    with pytest.raises(ValueError, match="cannot carry on from sums"):
        again.set_state({"sums": np.zeros(2)})
    with pytest.raises(ValueError, match="totals must have shape"):
        again.set_state({"totals": np.zeros(7)})
    again.get_state()["totals"][...] = 9
    assert again.result() == metric.result()


@pytest.mark.parametrize(("metric", "y_true", "y_pred"), [row[:3] for row in KERAS if row[2] is P])
def test_one_output_without_its_axis(metric: Metric, y_true: np.ndarray, y_pred: np.ndarray) -> None:
    for shapes in [(40, 40), (40, (40, 1)), ((40, 1), 40)]:
        metric.reset()
        metric.update(y_true[0].reshape(shapes[0]), y_pred[0].reshape(shapes[1]), WEIGHTS[0])
        result = metric.result()
        metric.reset()
        metric.update(y_true[0], y_pred[0], WEIGHTS[0])
        assert result == metric.result() > 0


@pytest.mark.parametrize("ties", [False, True])
def test_auc_against_scikit_learn(ties: bool) -> None:
    """With as many thresholds as there are ranks the trapezoids are exact."""
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(9)
    p = rng.permutation(np.arange(1, 1000))[:300] / 1000
    p = np.round(p, 1) if ties else p
    true, weight = rng.random(300) < p, rng.uniform(0.5, 1, 300)
    metric = AUC(1001)
    metric.update(true, p, weight)
    assert metric.result() == pytest.approx(sklearn.roc_auc_score(true, p, sample_weight=weight), rel=1e-6)


def test_precision_and_recall_against_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    for metric, name in [(Precision(0.6), "precision_score"), (Recall(0.6), "recall_score")]:
        metric.update(TRUE[0], P[0], WEIGHTS[0])
        wanted = getattr(sklearn, name)(TRUE[0, :, 0], P[0, :, 0] > 0.6, sample_weight=WEIGHTS[0])
        assert metric.result() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "y_true", "y_pred"),
    [(Precision(), [1, 0], [0.1, 0.2]), (Recall(), [0, 0], [0.9, 0.2]), (AUC(), [1, 1], [0.5, 0.7])],
)
def test_where_there_is_nothing_to_share(metric: Metric, y_true: Any, y_pred: Any) -> None:
    metric.update(y_true, y_pred)
    assert metric.result() == 0


def test_auc_at_the_ends_and_of_nan() -> None:
    metric = AUC()
    metric.update([0, 1, 0, 1], [0.0, 1.0, -0.5, 1.5])
    assert metric.result() == 1
    metric.update([1], [np.nan])
    assert math.isnan(metric.result())


def test_perplexity() -> None:
    log_p = Z - np.log(np.exp(Z).sum(axis=-1, keepdims=True))
    losses_ = -np.take_along_axis(log_p, NUMBERS[..., np.newaxis], -1)[..., 0]
    for crossentropy, from_logits, y_true, y_pred in [
        ("sparse_categorical_crossentropy", True, NUMBERS, Z),
        ("sparse_categorical_crossentropy", False, NUMBERS, np.exp(log_p)),
        ("categorical_crossentropy", True, ONE_HOT, Z),
    ]:
        metric = Perplexity(crossentropy=crossentropy, from_logits=from_logits)
        for batch in range(2):
            metric.update(y_true[batch], y_pred[batch], WEIGHTS[batch])
        assert metric.result() == pytest.approx(math.exp((losses_ * WEIGHTS).sum() / WEIGHTS.sum()), rel=1e-12)
        again = type(metric)(**metric.get_config())
        assert again.get_config() == metric.get_config()
    metric = Perplexity(from_logits=True)
    metric.update([0], [[-1000.0, 1000.0]])
    assert metric.result() == math.inf
    metric.update([0], [[math.nan, 1.0]])
    assert math.isnan(metric.result())


@pytest.mark.parametrize(
    ("loss", "name", "cls", "config"),
    [
        ("binary_crossentropy", "acc", BinaryAccuracy, {"threshold": 0.5, "from_logits": False}),
        ("categorical_crossentropy", "accuracy", CategoricalAccuracy, {}),
        ("sparse_categorical_crossentropy", "acc", SparseCategoricalAccuracy, {}),
        ("mse", "accuracy", Accuracy, {}),
        (None, "acc", Accuracy, {}),
        ("mse", "mae", MeanAbsoluteError, {}),
        ("mse", "MSE", MeanSquaredError, {}),
        ("mse", "RootMeanSquaredError", RootMeanSquaredError, {}),
        ("binary_crossentropy", "AUC", AUC, {"num_thresholds": 200, "from_logits": False}),
        ("categorical_crossentropy", "perplexity", Perplexity, {"crossentropy": "categorical_crossentropy"}),
        (None, "perplexity", Perplexity, {"crossentropy": "sparse_categorical_crossentropy"}),
    ],
)
def test_names(loss: str | None, name: str, cls: type[Metric], config: dict[str, Any]) -> None:
    metric = metrics.get(name, None if loss is None else losses.get(loss))
    assert type(metric) is cls and metric.name == name
    assert config.items() <= metric.get_config().items()
    assert metrics.get(metric, losses.get("mae")) is metric
    assert METRICS[metric.kind] is cls


@pytest.mark.parametrize("name", ["acc", "precision", "recall", "auc", "binary_crossentropy", "perplexity"])
def test_beside_a_loss_of_logits_metrics_take_logits(name: str) -> None:
    of_logits = metrics.get(name, losses.BinaryCrossentropy(from_logits=True))
    of_shares = metrics.get(name, losses.BinaryCrossentropy())
    z = Z[0, :, :1]
    of_logits.update(TRUE[0], z)
    of_shares.update(TRUE[0], 1 / (1 + np.exp(-z)))
    assert of_logits.result() == pytest.approx(of_shares.result(), rel=1e-12)
    assert of_logits.result() > 0


@pytest.mark.parametrize(
    ("y_true", "y_pred", "like"),
    [(TRUE, P, BinaryAccuracy()), (ONE_HOT, Z, CategoricalAccuracy()), (NUMBERS, Z, SparseCategoricalAccuracy())],
)
def test_accuracy_by_shapes(y_true: np.ndarray, y_pred: np.ndarray, like: Metric) -> None:
    metric = Accuracy()
    for each in (metric, like):
        each.update(y_true, y_pred)
    assert metric.result() == like.result() > 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: metrics.get("acuracy"), ValueError, "metric must be one of .*did you mean 'accuracy'"),
        (
            lambda: metrics.get("perplexity", losses.get("mse")),
            ValueError,
            "perplexity needs a crossentropy loss, got m",
        ),
        (lambda: metrics.get(3), TypeError, "metric must be one of"),
        (lambda: Perplexity(crossentropy="mse"), ValueError, "crossentropy must be one of"),
        (lambda: AUC(1), ValueError, "num_thresholds must be at least 2"),
        (lambda: Precision("high"), TypeError, "thresholds must be a number"),
        (lambda: MeanAbsoluteError(name=""), ValueError, "name must be letters"),
        (lambda: MeanAbsoluteError().update(np.zeros((3, 2)), np.zeros((3, 4))), ValueError, r"y_true must have shape"),
        (lambda: SparseCategoricalAccuracy().update([4], np.zeros((1, 4))), ValueError, r"y_true must be in \[0, 4\)"),
        (lambda: BinaryAccuracy().update([1], [0.5], [1, 2]), ValueError, "sample_weight must have shape"),
        (lambda: BinaryAccuracy().update([1], [0.5], mask=[1]), TypeError, "mask must hold bools"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_bad_batch_adds_nothing() -> None:
    for metric in (SparseCategoricalAccuracy(), AUC(), Precision()):
        with pytest.raises(ValueError):
            metric.update(np.array([[9]]), np.zeros((1, 4)))
        assert not metric.totals.any()


def test_the_sums_are_in_float64() -> None:
    metric = MeanAbsoluteError()
    metric.update(np.full((1 << 17, 1), 0.1, np.float32), np.zeros((1 << 17, 1), np.float32))
    assert metric.result() == pytest.approx(float(np.float32(0.1)), rel=1e-14)
