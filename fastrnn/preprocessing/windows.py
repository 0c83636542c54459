"""A series as pairs to learn from, in the order of time. Legend: N points, T steps of a window, W windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import validate


def sliding_windows(
    series: Any, length: int, horizon: int = 1, *, stride: int = 1, targets: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Every window of a series, with what follows it.

        x[w] = series[w s : w s + T],   y[w] = targets[w s + T : w s + T + horizon]

    Parameters
    ----------
    series : array_like, (N,) or (N, F)
        One value, or F, of each point in time.
    length : int
        T.
    horizon : int
        Points after the window that are to be foretold.
    stride : int
        s, points from one window's begin to the next one's.
    targets : array_like, (N,) or (N, K), optional
        What is foretold; by default the series itself.

    Returns
    -------
    x : ndarray, (W, T, F)
        As recurrent layers take it: F is 1 for a series (N,).
    y : ndarray, (W, horizon), or (W, horizon, K) for targets of two axes
        Every window that is followed by `horizon` points has its pair: W = 1 + (N - T - horizon) // s.
        Both are read-only views: windows that overlap share their memory.

    Raises
    ------
    TypeError, ValueError
        Not numbers, not one or two axes, other lengths, or no window fits.

    Examples
    --------
    >>> x, y = sliding_windows(np.arange(6.0), 3)
    >>> x[:, :, 0]
    array([[0., 1., 2.],
           [1., 2., 3.],
           [2., 3., 4.]])
    >>> y
    array([[3.],
           [4.],
           [5.]])
    """
    length = validate.count("length", length, minimum=1)
    horizon = validate.count("horizon", horizon, minimum=1)
    stride = validate.count("stride", stride, minimum=1)
    series = _points("series", series)
    aim = series if targets is None else _points("targets", targets)
    if len(aim) != len(series):
        raise ValueError(f"targets must have the {len(series)} points of series, got {len(aim)}")
    if len(series) < length + horizon:
        raise ValueError(
            f"series must have at least length + horizon = {length + horizon} points for a window, got {len(series)}"
        )
    last = len(series) - horizon
    x = _windows(series[:last], length, stride)
    return x if series.ndim > 1 else x[..., np.newaxis], _windows(aim[length:], horizon, stride)


def _points(name: str, value: Any) -> np.ndarray:
    """Numbers of one or two axes, of their own dtype, not copied."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array")
    try:
        result = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array: {error}") from None
    if result.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {result.dtype}")
    if result.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (N,) or (N, F), got {result.shape}")
    return result


def _windows(points: np.ndarray, length: int, stride: int) -> np.ndarray:
    """(W, length, ...), a view."""
    view = np.lib.stride_tricks.sliding_window_view(points, length, axis=0)  # the window's axis comes last
    return np.moveaxis(view, -1, 1)[::stride]


def split_in_time(*arrays: Any, validation: float = 0.0, test: float = 0.0, gap: int = 0) -> tuple[Any, ...]:
    """The beginning to train on, the end to test on, and what is between them to validate on.

    Parameters
    ----------
    *arrays : array_like, (N, ...)
        Entries in the order of time, N the same for all.
    validation, test : float or int
        A share in [0, 1), rounded down to entries, or (a whole number) that many entries.
    gap : int
        Entries left out between two parts. Neighbouring windows of a horizon above 1 have targets in common: with a gap
        of horizon - 1 (at stride 1) the parts have none.

    Returns
    -------
    train, validation, test
        Views, of one array; of several arrays each is a tuple of their parts:
        `(x_train, y_train), (x_val, y_val), (x_test, y_test) = split_in_time(x, y, validation=0.2, test=60)`.

    Raises
    ------
    TypeError, ValueError
        No array, other lengths, or nothing left to train on.

    Examples
    --------
    >>> split_in_time(np.arange(10), validation=0.2, test=1)
    (array([0, 1, 2, 3, 4, 5, 6]), array([7, 8]), array([9]))
    """
    if not arrays:
        raise TypeError("split_in_time takes one array at least, got none")
    try:
        series = [np.asarray(array) for array in arrays]
    except ValueError as error:
        raise ValueError(f"arrays must have entries of one shape: {error}") from None
    for number, array in enumerate(series):
        if not array.ndim or len(array) != len(series[0]):
            raise ValueError(
                f"arrays must have one length, got shape {array.shape} at {number} and {series[0].shape} at 0"
            )
    total = len(series[0])
    held_out = {name: _entries(name, part, total) for name, part in (("validation", validation), ("test", test))}
    gap = validate.count("gap", gap)
    bounds, end = {}, total
    for name in ("test", "validation"):
        begin = end - held_out[name]
        bounds[name] = slice(max(begin, 0), max(end, 0))
        end = begin - gap * (held_out[name] > 0)
    if end < 1:
        raise ValueError(
            f"validation, test and gap must leave an entry to train on, got {held_out['validation']}, "
            f"{held_out['test']} and {gap} of {total}"
        )
    parts = [tuple(array[part] for array in series) for part in (slice(end), bounds["validation"], bounds["test"])]
    return tuple(parts) if len(series) > 1 else tuple(part for (part,) in parts)


def _entries(name: str, part: Any, total: int) -> int:
    """A share or a number of entries as the latter."""
    if isinstance(part, (float, np.floating)):
        return int(validate.fraction(name, part) * total)
    return validate.count(name, part)
