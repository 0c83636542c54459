"""sliding_windows and split_in_time, pair by pair, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn.preprocessing import sliding_windows, split_in_time


@pytest.mark.parametrize("points", [8, 9, 20])
@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("stride", [1, 2, 5, 100])
@pytest.mark.parametrize("axes", [1, 2])
def test_every_pair(points: int, horizon: int, stride: int, axes: int, rng: np.random.Generator) -> None:
    series = rng.standard_normal((points, 3)[:axes])
    targets = rng.standard_normal((points, 2))
    begins = [begin for begin in range(0, points, stride) if begin + 5 + horizon <= points]
    x, y = sliding_windows(series, 5, horizon, stride=stride)
    _, aimed = sliding_windows(series, 5, horizon, stride=stride, targets=targets)
    assert x.shape == (len(begins), 5, 3 if axes == 2 else 1)
    assert y.shape == (len(begins), horizon, *series.shape[1:])
    assert aimed.shape == (len(begins), horizon, 2)
    for row, begin in enumerate(begins):
        np.testing.assert_array_equal(x[row], series[begin : begin + 5].reshape(5, -1))
        np.testing.assert_array_equal(y[row], series[begin + 5 : begin + 5 + horizon])
        np.testing.assert_array_equal(aimed[row], targets[begin + 5 : begin + 5 + horizon])


def test_the_loop_of_the_tutorials() -> None:
    """The windows that people make by hand, for prices (N, 1)."""
    prices = np.random.default_rng(0).random((80, 1))
    x_loop = np.array([prices[i - 60 : i, 0] for i in range(60, 80)]).reshape(-1, 60, 1)
    y_loop = np.array([prices[i, 0] for i in range(60, 80)])
    x, y = sliding_windows(prices, 60, targets=prices[:, 0])
    np.testing.assert_array_equal(x, x_loop)
    np.testing.assert_array_equal(y[:, 0], y_loop)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_windows_are_read_only_views(dtype: str) -> None:
    series = np.arange(60).reshape(20, 3).astype(dtype)
    for x, y in (sliding_windows(series, 4, 2, stride=3), sliding_windows(series[:, 1], 4, 2)):
        for part in (x, y):
            assert part.dtype == dtype
            assert np.shares_memory(part, series) and not part.flags.writeable
    assert sliding_windows([1, 2, 3], 2)[0].tolist() == [[[1], [2]]]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([1.0, 2.0], 2), {}, ValueError, r"series must have at least length \+ horizon = 3 points .* got 2"),
        (([1.0, 2.0], 0), {}, ValueError, "length must be at least 1, got 0"),
        (([1.0, 2.0], 1, 0), {}, ValueError, "horizon must be at least 1, got 0"),
        (([1.0, 2.0], 1), {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
        (([1.0, 2.0], 1.5), {}, TypeError, "length must be a whole number"),
        ((np.zeros((2, 2, 2)), 1), {}, ValueError, r"series must have shape \(N,\) or \(N, F\), got \(2, 2, 2\)"),
        ((["a", "b"], 1), {}, TypeError, "series must hold real numbers"),
        (([[1], [1, 2]], 1), {}, ValueError, "series must be an array"),
        ((np.ma.masked_array([1.0, 2.0]), 1), {}, TypeError, "series must be a plain array, got a masked array"),
        (([1.0, 2.0], 1), {"targets": [1.0]}, ValueError, "targets must have the 2 points of series, got 1"),
        (([1.0, 2.0], 1), {"targets": ["a", "b"]}, TypeError, "targets must hold real numbers"),
    ],
)
def test_bad_windows(arguments: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sliding_windows(*arguments, **options)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, (10, 0, 0)),
        ({"test": 3}, (7, 0, 3)),
        ({"validation": 0.25, "test": 0.19}, (7, 2, 1)),
        ({"validation": 2, "test": 0.5}, (3, 2, 5)),
        ({"validation": 2, "test": 2, "gap": 1}, (4, 2, 2)),
        ({"test": 2, "gap": 3}, (5, 0, 2)),
        ({"validation": 4, "gap": 5}, (1, 4, 0)),
    ],
    ids=str,
)
def test_parts_in_the_order_of_time(options: dict[str, Any], sizes: tuple[int, int, int]) -> None:
    series = np.arange(10)
    train, validation, test = split_in_time(series, **options)
    gap = options.get("gap", 0)
    assert (len(train), len(validation), len(test)) == sizes
    np.testing.assert_array_equal(train, series[: sizes[0]])
    np.testing.assert_array_equal(test, series[10 - sizes[2] :])
    end = 10 - sizes[2] - (gap if sizes[2] else 0)
    np.testing.assert_array_equal(validation, series[end - sizes[1] : end] if sizes[1] else [])
    assert all(np.shares_memory(part, series) for part in (train, validation, test) if len(part))


def test_several_arrays_are_split_alike() -> None:
    x, y = sliding_windows(np.arange(20.0), 4, 3)
    parts = split_in_time(x, y, validation=3, test=3, gap=2)
    assert [len(part) for part in parts] == [2, 2, 2]
    for x_part, y_part in parts:
        np.testing.assert_array_equal(x_part[:, -1, 0] + 1, y_part[:, 0])
    targets = [set(y_part.ravel().tolist()) for _, y_part in parts]
    assert not targets[0] & targets[1] and not targets[1] & targets[2]
    (train, labels), *_ = split_in_time([1, 2, 3], ["a", "b", "c"], test=1)
    assert train.tolist() == [1, 2] and labels.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ((), {}, TypeError, "split_in_time takes one array at least, got none"),
        (([1, 2], [1]), {}, ValueError, r"arrays must have one length, got shape \(1,\) at 1 and \(2,\) at 0"),
        ((3,), {}, ValueError, r"arrays must have one length, got shape \(\) at 0"),
        (([1, 2],), {"test": 2}, ValueError, "must leave an entry to train on, got 0, 2 and 0 of 2"),
        (([1, 2, 3],), {"test": 1, "gap": 2}, ValueError, "must leave an entry to train on, got 0, 1 and 2 of 3"),
        (([],), {}, ValueError, "must leave an entry to train on"),
        (([1, 2],), {"test": 1.0}, ValueError, r"test must be in \[0, 1\), got 1.0"),
        (([1, 2],), {"validation": -1}, ValueError, "validation must be at least 0, got -1"),
        (([1, 2],), {"validation": "a"}, TypeError, "validation must be a whole number, got 'a'"),
        (([1, 2],), {"gap": 0.5}, TypeError, "gap must be a whole number"),
    ],
)
def test_bad_splits(arrays: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        split_in_time(*arrays, **options)
