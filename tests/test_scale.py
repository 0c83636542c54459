"""MinMaxScaler and StandardScaler against scikit-learn's, by plain formulas, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fastrnn.preprocessing import MinMaxScaler, StandardScaler
from fastrnn.preprocessing.scale import Scaler

OPTIONS: list[tuple[type[Any], dict[str, Any]]] = [
    (MinMaxScaler, {}),
    (MinMaxScaler, {"feature_range": (-1.5, 4)}),
    (MinMaxScaler, {"feature_range": (0.25, 0.5), "clip": True}),
    (StandardScaler, {}),
    (StandardScaler, {"with_mean": False}),
    (StandardScaler, {"with_std": False}),
]
each_scaler = pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=[f"{k.__name__}-{o}" for k, o in OPTIONS])
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def data(dtype: str = "float64", rows: int = 40) -> np.ndarray:
    """Columns of different widths and places, a constant one, one of missing values, and one of prices."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((rows, 6)) * [1, 1e-3, 50, 0, 2, 9000] + [0, 5, -20, 7.3, 1, 30000]
    x[::7, 4] = np.nan
    return x.astype(dtype)


def tolerance(x: np.ndarray) -> float:
    """Relative to the largest value: some units in the last place of the shifted column."""
    return 20 * float(np.finfo(x.dtype).eps)


@each_scaler
@each_dtype
def test_against_scikit_learn(kind: type[Scaler], options: dict[str, Any], dtype: str) -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x, new = data(dtype), data(dtype)[::-1] * np.array(1.5, dtype)
    ours = kind(**options).fit(x)
    # in float64 for both: of float32 columns theirs keeps min and max, and so all figures, in float32
    theirs = getattr(preprocessing, kind.__name__)(**options).fit(x.astype(np.float64))
    for name in kind.fitted:
        wanted = getattr(theirs, name)
        if wanted is not None and not (name == "mean_" and not options.get("with_std", True)):
            np.testing.assert_allclose(getattr(ours, name), wanted, rtol=1e-10, err_msg=name)
    np.testing.assert_array_equal(np.broadcast_to(theirs.n_samples_seen_, 6)[:4], ours.n_samples_seen_[:4])
    for given in (x, new):
        y = ours.transform(given)
        assert y.dtype == dtype
        wanted = theirs.transform(given.astype(np.float64))
        # theirs is x * scale + min, whose rounding is that of x * scale, and has a mean one rounding further off
        steep = 1 / ours.scale_ if kind is StandardScaler else ours.scale_
        atol = tolerance(given) * (np.nanmax(np.abs(given), axis=0) * np.maximum(steep, 1) + np.nanmax(np.abs(y)))
        assert np.all((np.abs(y - wanted) <= atol) | (np.isnan(y) & np.isnan(wanted)))
        back = ours.inverse_transform(y)
        wanted = theirs.inverse_transform(y.astype(np.float64))
        gap = np.nanmax(np.abs(back - wanted), axis=0)
        assert np.all(gap <= tolerance(given) * np.nanmax(np.abs(wanted), axis=0))


@each_scaler
@each_dtype
def test_back_again(kind: type[Scaler], options: dict[str, Any], dtype: str) -> None:
    x = data(dtype)
    scaler = kind(**options)
    y = scaler.fit_transform(x)
    np.testing.assert_array_equal(y, scaler.transform(x))
    gap = np.nanmax(np.abs(scaler.inverse_transform(y) - x), axis=0)
    assert np.all(gap <= tolerance(x) * np.nanmax(np.abs(x), axis=0))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))


def test_ranges_and_moments() -> None:
    x = data()
    y = MinMaxScaler((-1, 3)).fit_transform(x)
    others = [0, 1, 2, 4, 5]
    np.testing.assert_allclose(np.nanmin(y, axis=0)[others], -1, rtol=0, atol=0)
    np.testing.assert_allclose(np.nanmax(y, axis=0)[others], 3, rtol=1e-15)
    np.testing.assert_array_equal(y[:, 3], -1)
    z = StandardScaler().fit_transform(x)
    np.testing.assert_allclose(np.nanmean(z, axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(np.nanvar(z, axis=0)[others], 1, rtol=1e-12)
    np.testing.assert_array_equal(z[:, 3], 0)


@each_scaler
def test_constant_columns_come_back(kind: type[Scaler], options: dict[str, Any]) -> None:
    """A value that no binary number is, whose mean is rounded; new values are moved with scale 1."""
    x = np.full((30, 2), 0.1) * [1, 1e9]
    scaler = kind(**options).fit(x)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(x)), x, rtol=1e-15)
    if "clip" not in options:
        moved = scaler.transform(x + 2.0) - scaler.transform(x)
        width = np.subtract(*options.get("feature_range", (0, 1))[::-1])
        np.testing.assert_allclose(moved, 2.0 * width, rtol=1e-6)


def test_small_numbers_are_not_constant() -> None:
    x = np.array([[1e-20], [3e-20], [2e-20]])
    np.testing.assert_allclose(MinMaxScaler().fit_transform(x), [[0], [1], [0.5]], rtol=1e-12)
    np.testing.assert_allclose(StandardScaler().fit_transform(x).std(), 1, rtol=1e-12)


def test_clip_and_values_beyond() -> None:
    new = [[-1.0], [0.5], [3.0]]
    np.testing.assert_array_equal(MinMaxScaler().fit([[0.0], [1.0]]).transform(new), new)
    np.testing.assert_array_equal(MinMaxScaler(clip=True).fit([[0.0], [1.0]]).transform(new), [[0], [0.5], [1]])


@each_scaler
def test_more_axes_count_as_rows(kind: type[Scaler], options: dict[str, Any]) -> None:
    x = data()
    flat, deep = kind(**options).fit(x), kind(**options).fit(x.reshape(8, 5, 6))
    np.testing.assert_array_equal(flat.transform(x).reshape(8, 5, 6), deep.transform(x.reshape(8, 5, 6)))
    assert deep.n_features_in_ == 6


def test_whole_numbers_and_odd_arrays() -> None:
    x = np.array([[30_000_001], [30_000_003], [30_000_002]])
    y = MinMaxScaler().fit_transform(x)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, [[0], [1], [0.5]])
    z = data()
    z.flags.writeable = False
    for each in (z[::-1], z[:, ::-1], np.asfortranarray(z), z.astype(">f8")):
        same = np.ascontiguousarray(each.astype(np.float64))
        np.testing.assert_array_equal(StandardScaler().fit_transform(each), StandardScaler().fit_transform(same))


@each_scaler
@each_dtype
def test_kept_as_json(kind: type[Scaler], options: dict[str, Any], dtype: str) -> None:
    x = data(dtype)
    scaler = kind(**options).fit(x)
    again = kind.from_config(json.loads(json.dumps(scaler.get_config())))
    np.testing.assert_array_equal(again.transform(x), scaler.transform(x))
    np.testing.assert_array_equal(again.inverse_transform(x), scaler.inverse_transform(x))
    assert again.get_config() == scaler.get_config()
    assert repr(again) == repr(scaler)
    fresh = kind.from_config(kind(**options).get_config())
    with pytest.raises(RuntimeError, match=f"this {kind.__name__} is not fitted: call fit first"):
        fresh.transform(x)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0, 2.0], ValueError, r"X must have shape \(N, ..., F\), got \(2,\); for one column use"),
        (np.zeros((0, 3)), ValueError, r"X must hold at least one number, got shape \(0, 3\)"),
        ([[1.0, np.inf]], ValueError, "X must be finite or NaN, got infinity"),
        ([[1.0, np.nan], [2.0, np.nan]], ValueError, "X must hold a number in every column, got none in column 1"),
        ([["a"]], TypeError, "X must hold real numbers"),
        ([[1j]], TypeError, "X must hold real numbers"),
        (np.ma.masked_array([[1.0]]), TypeError, "X must be a plain array, got a masked array"),
    ],
)
@pytest.mark.parametrize("kind", [MinMaxScaler, StandardScaler])
def test_bad_data(kind: type[Scaler], x: Any, error: type[Exception], message: str) -> None:
    scaler = kind().fit([[1.0], [2.0]])
    with pytest.raises(error, match=message):
        scaler.fit(x)
    np.testing.assert_array_equal(scaler.inverse_transform(scaler.transform([[1.5]])), [[1.5]])  # as before


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"feature_range must be \(low, high\) with low < high, got \(1, 1\)"):
        MinMaxScaler((1, 1))
    with pytest.raises(TypeError, match=r"feature_range must be \(low, high\), got 3"):
        MinMaxScaler(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="feature_range must be a number, got 'a'"):
        MinMaxScaler(("a", 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"X must have the 2 columns of fit, got shape \(1, 3\)"):
        StandardScaler().fit([[1.0, 2.0]]).transform([[1.0, 2.0, 3.0]])
    config = StandardScaler().fit([[1.0, 2.0]]).get_config()
    with pytest.raises(ValueError, match=r"var_ must have shape \(2,\), got \(1,\)"):
        StandardScaler.from_config(config | {"fitted": config["fitted"] | {"var_": [1.0]}})
    with pytest.raises(ValueError, match=r"config\['fitted'\] must hold mean_, var_, scale_, n_samples_seen_"):
        StandardScaler.from_config(config | {"fitted": {"mean_": [0.0]}})
    with pytest.raises(TypeError, match="feature_range"):
        StandardScaler.from_config(config | {"feature_range": (0, 1)})
