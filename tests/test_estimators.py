"""RNNClassifier and RNNRegressor by themselves; what scikit-learn asks of them is in test_estimators_sklearn.py."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.estimators import CELLS, NotFittedError, RNNClassifier, RNNEstimator, RNNRegressor
from fastrnn.layers.core import Masking
from fastrnn.optimizers import SGD

# enough for the signs of sums
QUICK: dict[str, Any] = {"units": 8, "epochs": 25, "learning_rate": 0.02, "random_state": 0}


def table(rows: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Rows of numbers and whether the first three outweigh the others."""
    X = np.random.default_rng(1).standard_normal((rows, 6))
    return X, np.where(X[:, :3].sum(axis=1) > X[:, 3:].sum(axis=1), "front", "back")


def ragged(rows: int = 80, features: int | None = 2) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences of 1 to 7 steps, some of them with zeros, and whether they end above where they begin."""
    rng = np.random.default_rng(2)
    X = [rng.standard_normal((length, features or 1)) for length in rng.integers(1, 8, rows)]
    y = np.array([int(row[-1, 0] > row[0, 0]) for row in X])
    X[3][0] = 0
    return ([row[:, 0] for row in X] if features is None else X), y


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True, "dropout": 0.1}], ids=["plain", "all"]
)
def test_learns_a_table(cell: str, options: dict[str, Any]) -> None:
    X, y = table()
    classifier = RNNClassifier(cell, **QUICK, **options)
    assert classifier.fit(X, y) is classifier
    assert classifier.score(X, y) > 0.85
    assert classifier.classes_.tolist() == ["back", "front"] and classifier.n_features_in_ == 6
    proba = classifier.predict_proba(X)
    assert proba.shape == (80, 2) and proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_array_equal(classifier.classes_[proba.argmax(axis=1)], classifier.predict(X))
    layer = classifier.model_.layers[-2]
    assert type(layer) is CELLS[cell] and layer.num_layers == options.get("num_layers", 1)
    assert set(classifier.history_) == {"loss", "accuracy"}
    assert len(classifier.history_["loss"]) == 25 and classifier.history_["loss"][-1] < classifier.history_["loss"][0]


def test_probabilities_are_those_of_the_model() -> None:
    X, _ = table()
    y = np.arange(80) % 3
    classifier = RNNClassifier("gru", **QUICK).fit(X, y)
    logits = classifier.model_.predict(X[..., np.newaxis].astype(np.float32), verbose=0).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(X), expected, rtol=1e-12)
    assert classifier.history_["loss"][0] == pytest.approx(np.log(3), rel=0.2)


@pytest.mark.parametrize("outputs", [None, 1, 3])
def test_learns_numbers(outputs: int | None) -> None:
    X, _ = table()
    y = X.mean(axis=1) if outputs is None else np.stack([X[:, i : i + 3].mean(axis=1) for i in range(outputs)], axis=1)
    regressor = RNNRegressor("gru", **QUICK).fit(X, y)
    predicted = regressor.predict(X)
    assert predicted.shape == y.shape and predicted.dtype == np.float64
    residual, spread = ((y - predicted) ** 2).sum(axis=0), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    assert regressor.score(X, y) == pytest.approx(np.mean(1 - residual / spread)) and regressor.score(X, y) > 0.8


@pytest.mark.parametrize("features", [None, 2])
def test_sequences_of_different_lengths(features: int | None) -> None:
    """The padding does not matter: each sequence alone gives the bits that it gives among longer ones."""
    X, y = ragged(features=features)
    classifier = RNNClassifier("gru", **QUICK).fit(X, y)
    assert classifier.score(X, y) > 0.85
    assert classifier.n_features_in_ == (features or 1)
    proba = classifier.predict_proba(X)
    for row, each in zip(X, proba, strict=True):
        alone = np.asarray(row)[np.newaxis]
        np.testing.assert_array_equal(classifier.predict_proba(alone)[0], each)
    empty, long = (np.zeros((length, features) if features else length) for length in (0, 30))
    more = classifier.predict_proba([*X, empty, long])
    np.testing.assert_array_equal(more[:-2], proba)
    assert np.isfinite(more).all() and RNNClassifier(**QUICK | {"epochs": 1}).fit([empty, *X], [0, *y]).score(X, y) > 0
    lists = [np.asarray(row).tolist() for row in X]
    np.testing.assert_array_equal(classifier.predict_proba(lists), proba)
    objects = np.array([*X, None], object)[:-1]
    np.testing.assert_array_equal(classifier.predict_proba(objects), proba)


def test_a_cube_is_sequences_of_one_length() -> None:
    """(N, T, F) and a list of (T, F) train to the same bits, and predict other lengths."""
    X = np.random.default_rng(3).standard_normal((40, 5, 2))
    y = X.sum(axis=(1, 2))
    one, other = (RNNRegressor(**QUICK).fit(each, y) for each in (X, list(X)))
    assert isinstance(one.model_.layers[0], Masking)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert one.predict(X[:, :3]).shape == (40,)
    assert one.predict([X[0], X[1, :2]])[0] == one.predict(X)[0]
    table_like = RNNRegressor(**QUICK).fit(X[:, :, 0], y)
    assert not isinstance(table_like.model_.layers[0], Masking)


def test_random_state() -> None:
    X, y = table(30)
    options = QUICK | {"epochs": 2, "dropout": 0.3, "validation_split": 0.2}

    def fitted(random_state: Any) -> np.ndarray:
        return RNNClassifier(**options | {"random_state": random_state}).fit(X, y).predict_proba(X)

    np.testing.assert_array_equal(fitted(5), fitted(5))
    np.testing.assert_array_equal(fitted(np.random.RandomState(5)), fitted(np.random.RandomState(5)))
    np.testing.assert_array_equal(fitted(np.random.default_rng(5)), fitted(5))
    states = [5, 6, None, None, np.random.RandomState(5)]
    assert len({fitted(state).tobytes() for state in states}) == len(states)
    going_on = np.random.RandomState(5)
    assert not np.array_equal(fitted(going_on), fitted(going_on))


def test_validation_part_is_drawn_at_random() -> None:
    """Of sorted classes the last rows would be of one class alone."""
    X = np.concatenate([np.full((40, 3), -1.0), np.full((40, 3), 1.0)])
    y = np.repeat([0, 1], 40)
    classifier = RNNClassifier(**QUICK | {"validation_split": 0.5}).fit(X, y)
    assert set(classifier.history_) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert classifier.history_["val_accuracy"][-1] == 1.0


def test_weights() -> None:
    """A weight of 0 is as if the row were not there; others pull."""
    X, y = table(40)
    weight = np.arange(40) % 3
    options = QUICK | {"epochs": 3}
    weighted = RNNClassifier(**options).fit(X, y, sample_weight=weight)
    without = RNNClassifier(**options).fit(X[weight > 0], y[weight > 0], weight[weight > 0])
    np.testing.assert_array_equal(weighted.predict_proba(X), without.predict_proba(X))
    X, target = np.zeros((20, 3)), np.repeat([0.0, 1.0], 10)
    pulled = RNNRegressor(**QUICK | {"epochs": 200}).fit(X, target, sample_weight=np.repeat([3.0, 1.0], 10))
    np.testing.assert_allclose(pulled.predict(X), 0.25, atol=0.02)


def test_optimizers() -> None:
    X, y = table(30)
    options = QUICK | {"epochs": 2}
    by_name = RNNClassifier(**options | {"optimizer": "sgd", "learning_rate": 0.5}).fit(X, y)
    mine = SGD(0.5)
    given = RNNClassifier(**options | {"optimizer": mine})
    for _ in range(2):  # each fit begins anew
        np.testing.assert_array_equal(given.fit(X, y).predict_proba(X), by_name.predict_proba(X))
    assert mine.iterations == 0 and given.model_.optimizer is not mine
    assert by_name.model_.optimizer is not None and by_name.model_.optimizer.iterations == 2


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy], ids=["pickle", "deepcopy"])
@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor])
def test_copies(again: Any, kind: type[Any]) -> None:
    """To the same bits, also of what training makes of them."""
    X, y = ragged(30)
    fitted = kind(**QUICK | {"dropout": 0.2}).fit(X, y)
    copied = again(fitted)
    assert copied.model_ is not fitted.model_
    np.testing.assert_array_equal(copied.predict(X), fitted.predict(X))
    assert copied.get_params() == fitted.get_params() and copied.history_ == fitted.history_
    batch, target = np.stack(X[:1]), np.asarray(y[:1]).reshape(1, -1)[:, 0]
    for each in (copied, fitted):
        each.model_.train_on_batch(batch.astype(np.float32), target)
    np.testing.assert_array_equal(copied.predict(X), fitted.predict(X))
    assert again(kind(cell="gru")).cell == "gru"


def test_nothing_is_written_to() -> None:
    X, y = table(20)
    weight = np.ones(20)
    kept = X.copy(), y.copy(), weight.copy()
    for array in (X, y, weight):
        array.flags.writeable = False
    RNNClassifier(**QUICK | {"epochs": 1}).fit(X, y, weight).predict(X)
    for array, before in zip((X, y, weight), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_a_failed_fit_leaves_the_last_one() -> None:
    X, y = table(30)
    classifier = RNNClassifier(**QUICK | {"epochs": 1}).fit(X, y)
    before = classifier.predict_proba(X)
    for bad in (X[:5], X * np.nan, X[:, :0]):
        with pytest.raises(ValueError):
            classifier.fit(bad, y)
    with pytest.raises(ValueError, match="units must be at least 1"):
        classifier.set_params(units=0).fit(X, np.arange(30))
    np.testing.assert_array_equal(classifier.predict_proba(X), before)


X2, X3 = np.ones((4, 3)), np.ones((4, 3, 2))
Y = np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("X", "y", "weight", "error", "message"),
    [
        (X2[0], Y, None, ValueError, r"X must have shape \(N, T\).* got shape \(3,\). Reshape your data"),
        (X3[None], Y, None, ValueError, r"X must have shape .* got shape \(1, 4, 3, 2\)"),
        (X2[:3], Y, None, ValueError, "X and y must have one length, got 3 and 4"),
        (X2[:0], Y[:0], None, ValueError, "y must hold two classes at least, got no class"),
        (X2[:, :0], Y, None, ValueError, r"Found array with 0 feature\(s\) \(shape=\(4, 0\)\)"),
        (X2 * np.nan, Y, None, ValueError, "X must be finite, got NaN"),
        (X2 * np.inf, Y, None, ValueError, "X must be finite, got infinity"),
        (X2 * 1e39, Y, None, ValueError, r"X must be below 3e\+38 in size, got 1e\+39"),
        (X2 * 1j, Y, None, ValueError, "Complex data not supported: X"),
        ([["a", "b"]] * 4, Y, None, TypeError, "X must hold real numbers"),
        ([[1.0], [1.0, 2.0], 3.0, [4.0]], Y, None, TypeError, "X must hold sequences, got 3.0 at 2"),
        ([[1.0], [[1.0, 2.0]], [], [4.0]], Y, None, ValueError, r"X\[1\] must have shape \(T,\), got \(1, 2\)"),
        (
            [X3[0], X3[1, :, :1], X3[2, :1], X3[3]],
            Y,
            None,
            ValueError,
            r"X\[1\] must have shape \(T, 2\), got \(3, 1\)",
        ),
        ([[1.0], [1.0, np.nan], [], [1.0]], Y, None, ValueError, r"X\[1\] must be finite, got NaN"),
        (X2, None, None, ValueError, "requires y to be passed, but the target y is None"),
        (X2, 3, None, ValueError, "y should be a 1d array"),
        (X2, np.ones((4, 2)), None, ValueError, r"y should be a 1d array, \(N,\), got shape \(4, 2\)"),
        (X2, [0.5, 1.0, 2.0, 3.0], None, ValueError, "Unknown label type: y must hold classes, got continuous numbers"),
        (X2, [0.0, np.nan, 1.0, 1.0], None, ValueError, "y must be finite, got NaN"),
        (
            X2,
            np.array([0, "a", None, 1], object),
            None,
            ValueError,
            "Unknown label type: y must hold labels of one kind",
        ),
        (X2, [1, 1, 1, 1], None, ValueError, "y must hold two classes at least, got one class, .*1"),
        (X2, Y, [1, 0, 1, 0], ValueError, "y must hold two classes at least, got one class, .*0"),
        (X2, Y, [1, 1, 1], ValueError, "X and sample_weight must have one length, got 4 and 3"),
        (X2, Y, [[1], [1], [1], [1]], ValueError, r"sample_weight must have shape \(N,\), got \(4, 1\)"),
        (X2, Y, [1, -1, 1, 1], ValueError, "sample_weight must be at least 0, got -1"),
        (X2, Y, [0, 0, 0, 0], ValueError, "sample_weight must hold a weight above zero, got none"),
        (X2, Y, [1, np.inf, 1, 1], ValueError, "sample_weight must be finite, got infinity"),
    ],
)
def test_bad_data(X: Any, y: Any, weight: Any, error: type[Exception], message: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        RNNClassifier(**QUICK).fit(X, y, weight)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"cell": "lstn"}, ValueError, "cell must be one of simple_rnn, lstm, gru, got 'lstn'; did you mean 'lstm'"),
        ({"units": 0}, ValueError, "units must be at least 1, got 0"),
        ({"num_layers": 1.5}, TypeError, "num_layers must be a whole number, got 1.5"),
        ({"dropout": 1.0}, ValueError, r"dropout must be in \[0, 1\), got 1.0"),
        ({"epochs": -1}, ValueError, "epochs must be at least"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"optimizer": "adan"}, ValueError, "optimizer must be one of .*did you mean 'adam'"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate must be a number"),
        ({"validation_split": 1.0}, ValueError, "validation_split must be in"),
        ({"random_state": "seed"}, TypeError, "random_state must be a whole number, got 'seed'"),
        ({"random_state": -1}, ValueError, "random_state must be at least 0, got -1"),
    ],
)
def test_bad_parameters(params: dict[str, Any], error: type[Exception], message: str) -> None:
    """Kept as they are until fit, as scikit-learn has it."""
    regressor = RNNRegressor(**QUICK | params)
    with pytest.raises(error, match=message):
        regressor.fit(X2, Y)


def test_bad_targets_of_a_regressor() -> None:
    with pytest.raises(ValueError, match=r"y must have shape \(N,\) or \(N, K\), got \(4, 2, 2\)"):
        RNNRegressor(**QUICK).fit(X2, np.ones((4, 2, 2)))
    with pytest.raises(ValueError, match="y must be finite, got infinity"):
        RNNRegressor(**QUICK).fit(X2, [1, 2, 3, np.inf])
    with pytest.raises(TypeError, match="y must hold real numbers"):
        RNNRegressor(**QUICK).fit(X2, list("abcd"))


def test_what_predict_refuses() -> None:
    for kind in (RNNClassifier, RNNRegressor):
        with pytest.raises(NotFittedError, match=f"this {kind.__name__} is not fitted: call fit first"):
            kind().predict(X2)
    options = QUICK | {"epochs": 1}
    of_table, of_sequences = RNNRegressor(**options).fit(X2, Y), RNNRegressor(**options).fit(X3, Y)
    with pytest.raises(ValueError, match="X has 2 features, but RNNRegressor is expecting 3 features as input"):
        of_table.predict(X2[:, :2])
    with pytest.raises(ValueError, match="X has 1 features, but RNNRegressor is expecting 2 features as input"):
        of_sequences.predict(X3[:, :, :1])
    with pytest.raises(ValueError, match=r"X must be a table \(N, T\), as in fit, got sequences"):
        of_table.predict([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match=r"X must be sequences, as in fit, got a table \(N, T\)"):
        of_sequences.predict(X2)
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        of_table.predict(X2[:0])


# ---- without scikit-learn

ALONE = """
import json, sys
import numpy as np
import fastrnn
assert "sklearn" not in sys.modules
sys.modules["sklearn"] = None                       # as if it were not installed
import pickle, warnings
from fastrnn import estimators
from fastrnn.estimators import NotFittedError, RNNClassifier, RNNRegressor

rng = np.random.default_rng(4)
X, y = rng.standard_normal((40, 5)), np.arange(40) % 2
weight = rng.random(40)
options = {"units": 4, "epochs": 3, "random_state": 0}
classifier = RNNClassifier("gru", **options).fit(X, y)
regressor = RNNRegressor("gru", **options).fit(X, X[:, :2])
assert estimators.validate_data is None
print(json.dumps([
    classifier.score(X, y), classifier.score(X, y, weight), regressor.score(X, X[:, :2]),
    regressor.score(X, X[:, :2], weight), regressor.score(X, X[:, :2] * 0 + 7.0), classifier.predict_proba(X).tolist(),
]))
assert np.array_equal(pickle.loads(pickle.dumps(classifier)).predict_proba(X), classifier.predict_proba(X))
assert repr(classifier) == "RNNClassifier(cell='gru', units=4, epochs=3, random_state=0)", repr(classifier)
assert classifier.get_params()["units"] == 4 and len(classifier.get_params()) == 12
assert classifier.set_params(units=7, cell="lstm") is classifier and (classifier.units, classifier.cell) == (7, "lstm")
try:
    classifier.set_params(cell="gru", unit=3)
except ValueError as error:
    assert "did you mean 'units'" in str(error) and classifier.cell == "lstm", error
else:
    raise AssertionError("no error")
try:
    RNNClassifier().predict(X)
except NotFittedError:
    pass
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    RNNClassifier(**options).fit(X, y[:, np.newaxis])
assert caught[0].category is estimators.DataConversionWarning
"""


def test_without_scikit_learn() -> None:
    """The same figures as with it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(fastrnn.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", ALONE], env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    *scores, proba = json.loads(run.stdout)
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((40, 5)), np.arange(40) % 2
    weight = rng.random(40)
    options: dict[str, Any] = {"units": 4, "epochs": 3, "random_state": 0}
    classifier = RNNClassifier("gru", **options).fit(X, y)
    regressor = RNNRegressor("gru", **options).fit(X, X[:, :2])
    np.testing.assert_array_equal(classifier.predict_proba(X), proba)
    expected = [classifier.score(X, y), classifier.score(X, y, weight), regressor.score(X, X[:, :2])]
    expected += [regressor.score(X, X[:, :2], weight), regressor.score(X, X[:, :2] * 0 + 7.0)]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)
    assert issubclass(RNNClassifier, RNNEstimator)
