"""Columns brought into a range or to mean 0 and variance 1, and back; attributes as scikit-learn's.

A scaler reads an array (N, ..., F) as rows of F columns, all axes but the last counting as rows. It computes in
float64 and returns float32 for float32. NaN means a missing value: `fit` leaves it out and `transform` leaves it in.
Infinity is an error.

A column whose values are all the same has no width to divide by: it is only moved (scale 1), so that `transform` gives
0, or the lower end of the range, and `inverse_transform` its value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from fastrnn import validate


class Scaler:
    """What both scalers share: the check of X, and being kept as JSON."""

    # what fit leaves, each (F,)
    fitted: ClassVar[tuple[str, ...]] = ()

    n_features_in_: int
    n_samples_seen_: np.ndarray

    def _learn(self, x: np.ndarray, mask: np.ndarray) -> None:
        """Set what fit leaves, from rows (N, F) in their own dtype and where they hold numbers."""
        raise NotImplementedError(f"{type(self).__name__} does not learn")

    def _forward(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} does not transform")

    def _back(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} does not transform back")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the columns' figures, from the training part only.

        Parameters
        ----------
        X : array_like, (N, ..., F)
        y
            Not looked at.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            Not real numbers, fewer than two axes, infinite, or a column without any number.
        """
        x = _rows(X)
        rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))  # whatever the strides, sums have one order
        mask = ~np.isnan(rows)
        counts = mask.sum(axis=0)
        if not counts.all():
            raise ValueError(f"X must hold a number in every column, got none in column {int(counts.argmin())}")
        self._learn(rows, mask)
        self.n_samples_seen_ = counts
        self.n_features_in_ = x.shape[-1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """X scaled, (N, ..., F); X itself is left alone.

        Raises
        ------
        RuntimeError
            There was no `fit`.
        TypeError, ValueError
            As in `fit`, or another number of columns.
        """
        x = self._columns(X)
        return self._forward(x).astype(x.dtype, copy=False)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """X back in its own units, (N, ..., F); the errors are those of `transform`."""
        x = self._columns(X)
        return self._back(x).astype(x.dtype, copy=False)

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """`fit`, then `transform` of the same X."""
        return self.fit(X).transform(X)

    def _columns(self, X: Any) -> np.ndarray:
        if not hasattr(self, "n_features_in_"):
            raise RuntimeError(f"this {type(self).__name__} is not fitted: call fit first")
        x = _rows(X)
        if x.shape[-1] != self.n_features_in_:
            raise ValueError(f"X must have the {self.n_features_in_} columns of fit, got shape {x.shape}")
        return x

    def _options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments and what was fitted, as JSON can hold them to the last bit."""
        if not hasattr(self, "n_features_in_"):
            return {**self._options(), "fitted": None}
        return {**self._options(), "fitted": {name: getattr(self, name).tolist() for name in self._names()}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The scaler whose `get_config` this is.

        Raises
        ------
        TypeError, ValueError
            The config has other entries, or columns of other lengths.
        """
        options = validate.config(config)
        scaler = cls(**{name: value for name, value in options.items() if name != "fitted"})
        fitted = config.get("fitted")
        if fitted is None:
            return scaler
        names = cls._names()
        if not isinstance(fitted, Mapping) or set(fitted) != set(names):
            raise ValueError(f"config['fitted'] must hold {', '.join(names)}, got {fitted!r}")
        for name in cls.fitted:
            setattr(scaler, name, validate.array(name, fitted[name], np.float64, (len(fitted[names[0]]),)))
        scaler.n_samples_seen_ = validate.integers("n_samples_seen_", fitted["n_samples_seen_"], 0, 2**62)
        scaler.n_features_in_ = len(fitted[names[0]])
        return scaler

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return (*cls.fitted, "n_samples_seen_")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._options().items())})"


class MinMaxScaler(Scaler):
    """y = (x - min) scale + low, which brings each column from [min, max] to [low, high].

    Parameters
    ----------
    feature_range : tuple of float
        low < high.
    clip : bool
        Keep what `transform` gives within the range, also for values beyond those of `fit`.

    Attributes
    ----------
    data_min_, data_max_, data_range_ : ndarray, (F,)
    scale_ : ndarray, (F,)
        (high - low) / (max - min); (high - low) / 1 for a constant column: one whose range is below 10 units in the
        last place of its values.
    min_ : ndarray, (F,)
        low - min scale, as scikit-learn's.
    n_samples_seen_ : ndarray of int, (F,)
        Numbers in each column.
    n_features_in_ : int

    Examples
    --------
    >>> scaler = MinMaxScaler()
    >>> scaler.fit_transform([[10.0], [20.0], [30.0]]).ravel()
    array([0. , 0.5, 1. ])
    >>> scaler.inverse_transform([[0.25]])
    array([[15.]])
    """

    fitted = ("data_min_", "data_max_", "data_range_", "scale_", "min_")

    def __init__(self, feature_range: tuple[float, float] = (0, 1), *, clip: bool = False) -> None:
        if not isinstance(feature_range, (tuple, list)) or len(feature_range) != 2:
            raise TypeError(f"feature_range must be (low, high), got {feature_range!r}")
        low, high = (validate.number("feature_range", bound) for bound in feature_range)
        if not low < high:
            raise ValueError(f"feature_range must be (low, high) with low < high, got {feature_range!r}")
        self.feature_range = (low, high)
        self.clip = bool(clip)

    def _learn(self, x: np.ndarray, mask: np.ndarray) -> None:
        low, high = self.feature_range
        self.data_min_ = np.nanmin(x, axis=0).astype(np.float64)
        self.data_max_ = np.nanmax(x, axis=0).astype(np.float64)
        self.data_range_ = self.data_max_ - self.data_min_
        size = np.maximum(np.abs(self.data_min_), np.abs(self.data_max_))
        constant = self.data_range_ <= 10 * np.finfo(x.dtype).eps * size
        self.scale_ = (high - low) / np.where(constant, 1.0, self.data_range_)
        self.min_ = low - self.data_min_ * self.scale_

    def _forward(self, x: np.ndarray) -> np.ndarray:
        low, high = self.feature_range
        y: np.ndarray = x - self.data_min_
        y *= self.scale_
        y += low
        if self.clip:
            np.clip(y, low, high, out=y)
        return y

    def _back(self, x: np.ndarray) -> np.ndarray:
        y = x - np.float64(self.feature_range[0])
        y /= self.scale_
        y += self.data_min_
        return y

    def _options(self) -> dict[str, Any]:
        return {"feature_range": self.feature_range, "clip": self.clip}


class StandardScaler(Scaler):
    """y = (x - mean) / scale, which gives each column mean 0 and variance 1.

    Parameters
    ----------
    with_mean, with_std : bool
        False leaves out the mean, or the scale.

    Attributes
    ----------
    mean_, var_ : ndarray, (F,)
        The variance is that of the N numbers, not of a sample (division by N).
    scale_ : ndarray, (F,)
        The root of var_; 1 for a constant column: one whose variance is what rounding alone would make of it.
    n_samples_seen_ : ndarray of int, (F,)
        Numbers in each column.
    n_features_in_ : int

    Examples
    --------
    >>> scaler = StandardScaler().fit([[1.0], [3.0]])
    >>> scaler.transform([[5.0]])
    array([[3.]])
    """

    fitted = ("mean_", "var_", "scale_")

    def __init__(self, *, with_mean: bool = True, with_std: bool = True) -> None:
        self.with_mean, self.with_std = bool(with_mean), bool(with_std)

    def _learn(self, x: np.ndarray, mask: np.ndarray) -> None:
        counts = mask.sum(axis=0)
        mean = x.sum(axis=0, dtype=np.float64, where=mask) / counts
        error = x - mean
        rest = error.sum(axis=0, where=mask) / counts  # what rounding left of the mean: Chan, Golub & LeVeque 1983
        self.mean_ = mean + rest
        self.var_ = np.square(error).sum(axis=0, where=mask) / counts - rest**2
        eps = np.finfo(np.float64).eps
        constant = self.var_ <= counts * eps * self.var_ + (counts * self.mean_ * eps) ** 2  # their bound
        self.scale_ = np.sqrt(np.where(constant, 1.0, self.var_))

    def _forward(self, x: np.ndarray) -> np.ndarray:
        y = x - self.mean_ if self.with_mean else x.astype(np.float64)
        if self.with_std:
            y /= self.scale_
        return y

    def _back(self, x: np.ndarray) -> np.ndarray:
        y = x * self.scale_ if self.with_std else x.astype(np.float64)
        if self.with_mean:
            y += self.mean_
        return y

    def _options(self) -> dict[str, Any]:
        return {"with_mean": self.with_mean, "with_std": self.with_std}


def _rows(X: Any) -> np.ndarray:
    """(N, ..., F), float32 or float64, finite or NaN."""
    try:
        x = np.asarray(X) if not isinstance(X, np.ma.MaskedArray) else X
    except ValueError as error:
        raise ValueError(f"X must be an array: {error}") from None
    # whole numbers become float64, not float32: a price in cents needs its digits
    x = validate.array("X", x, np.float64 if x.dtype.kind in "iub" else None, unit_stride=False)
    if x.ndim < 2:
        raise ValueError(f"X must have shape (N, ..., F), got {x.shape}; for one column use X.reshape(-1, 1)")
    if not math.prod(x.shape):
        raise ValueError(f"X must hold at least one number, got shape {x.shape}")
    if np.isinf(x).any():
        raise ValueError("X must be finite or NaN, got infinity")
    return x
