"""What scikit-learn asks of its estimators: its own checks, pipelines, grid searches, cross validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, StratifiedKFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastrnn.estimators import RNNClassifier, RNNRegressor
from fastrnn.preprocessing import MinMaxScaler, sliding_windows

# of all checks; everything else must pass
NOT_MET = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a weight of 2 is not the row twice: rows are drawn into batches, and the mean over a batch divides by its "
        "rows and not by its weights, as in Keras"
    )
}


@parametrize_with_checks(
    [RNNClassifier(), RNNRegressor()], expected_failed_checks=lambda estimator: NOT_MET, xfail_strict=True
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


QUICK: dict[str, Any] = {"units": 8, "epochs": 15, "learning_rate": 0.02, "random_state": 0}


def table(rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(1).standard_normal((rows, 6)) * 100 + 50
    return X, np.where(X[:, :3].sum(axis=1) > X[:, 3:].sum(axis=1), "front", "back")


def test_pipeline() -> None:
    X, y = table()
    pipeline = make_pipeline(StandardScaler(), RNNClassifier(**QUICK))
    assert pipeline.fit(X, y).score(X, y) > 0.8
    by_hand = RNNClassifier(**QUICK).fit(StandardScaler().fit_transform(X), y)
    np.testing.assert_array_equal(pipeline.predict(X), by_hand.predict(StandardScaler().fit_transform(X)))
    scores = cross_val_score(pipeline, X, y, cv=StratifiedKFold(3))
    assert scores.shape == (3,) and scores.min() > 0.6
    assert pipeline[-1].n_features_in_ == 6 and list(pipeline.classes_) == ["back", "front"]


def test_grid_search() -> None:
    """Over cells, units and optimizers; the best one is refitted."""
    X, y = table(60)
    grid = {"rnnclassifier__cell": ["gru", "simple_rnn"], "rnnclassifier__epochs": [1, 12]}
    search = GridSearchCV(make_pipeline(StandardScaler(), RNNClassifier(**QUICK)), grid, cv=2, error_score="raise")
    search.fit(X, y)
    assert search.best_params_["rnnclassifier__epochs"] == 12
    assert search.best_score_ > 0.7 and search.score(X, y) > 0.8
    assert len(search.cv_results_["params"]) == 4 and np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_grid_search_over_sequences_of_different_lengths() -> None:
    rng = np.random.default_rng(2)
    X = [rng.standard_normal((length, 2)) for length in rng.integers(1, 7, 60)]
    y = [row[-1, 0] - row[0, 1] for row in X]
    search = GridSearchCV(RNNRegressor(**QUICK), {"units": [1, 12], "bidirectional": [True]}, cv=3, error_score="raise")
    search.fit(X, y)
    assert search.best_params_ == {"units": 12, "bidirectional": True}
    assert search.best_score_ > 0.5


def test_forecast_in_the_order_of_time() -> None:
    """Windows of a series, scaled by this package's scaler, and targets scaled around the regressor."""
    series = 1000 + 100 * np.sin(np.arange(150) / 3)
    x, y = sliding_windows(series, 12)
    model = TransformedTargetRegressor(RNNRegressor("gru", **QUICK), transformer=StandardScaler())
    scaled = MinMaxScaler((-1, 1)).fit(series[:100, np.newaxis]).transform(x)
    scores = cross_val_score(model, scaled, y[:, 0], cv=TimeSeriesSplit(2))
    assert scores.min() > 0.9


def test_clone_and_tags() -> None:
    classifier, regressor = RNNClassifier("gru", units=3), RNNRegressor(dropout=0.5)
    for estimator in (classifier, regressor):
        copied = clone(estimator)
        assert copied is not estimator and copied.get_params() == estimator.get_params()
        assert get_tags(estimator).input_tags.three_d_array and not get_tags(estimator).input_tags.sparse
    assert repr(classifier) == "RNNClassifier(cell='gru', units=3)"
    assert is_classifier(classifier) and not is_regressor(classifier)
    assert is_regressor(regressor) and get_tags(regressor).target_tags.multi_output
    with pytest.raises(ValueError, match="Invalid parameter 'unit'"):
        classifier.set_params(unit=3)


def test_columns_of_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    X, y = table(30)
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    regressor = RNNRegressor(**QUICK | {"epochs": 1}).fit(frame, pandas.Series(X[:, 0]))
    assert regressor.feature_names_in_.tolist() == list("abcdef")
    np.testing.assert_array_equal(
        regressor.predict(frame), RNNRegressor(**QUICK | {"epochs": 1}).fit(X, X[:, 0]).predict(X)
    )
    with pytest.raises(ValueError, match="feature names should match"):
        regressor.predict(frame[list("fedcba")])
    sequences = pandas.Series([row[: 1 + number % 6] for number, row in enumerate(X)])
    classifier = RNNClassifier(**QUICK | {"epochs": 1}).fit(frame, y)
    assert hasattr(classifier, "feature_names_in_")
    assert classifier.fit(sequences, y).predict(sequences).shape == (30,)
    assert not hasattr(classifier, "feature_names_in_")
