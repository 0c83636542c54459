"""Data in batches: what `fit`, `evaluate` and `predict` run over.

    Rows      arrays, cut into batches
    Ready     anything with a length that hands out batches by number, as a list of them
    Stream    any other iterable of batches, or a function that returns one: batches as they come

A batch is (x, y) or (x, y, sample_weight). The batches of an epoch are a function of a seed, the epoch and the step,
except in a `Stream`, whose position is the number of batches drawn from it; so a run can go on from any step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fastrnn import validate

NAMES = ("x", "y", "sample_weight")
Batch = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]  # of these names
END = object()


class Batches:
    """Base of the three kinds.

    Parameters
    ----------
    steps : int, optional
        Batches of an epoch; None runs through the data once.
    weigh : callable, optional
        Sample weights from y, for the batches that come ready made.
    with_targets : bool
        Whether a batch has a y.

    Attributes
    ----------
    steps : int or None
        None when it is known only at the end of an epoch.
    ended : bool
        Whether the data ran out where more were needed.
    rows : int or None
        Of all batches of an epoch together, where that is known.
    drawn : int
        Of a `Stream`: batches taken since the last beginning.
    """

    def __init__(self, steps: int | None, weigh: Callable[[np.ndarray], np.ndarray] | None, with_targets: bool) -> None:
        self.steps = steps
        self.ended = False
        self.rows: int | None = None
        self.drawn = 0
        self._weigh, self._with_targets = weigh, with_targets

    def epoch(self, number: int = 0, step: int = 0, seed: int | None = None) -> Iterator[Batch]:
        """The batches of an epoch from a step on, in an order of their own if there is a seed."""
        raise NotImplementedError(f"{type(self).__name__} has no batches")

    def first(self) -> Batch:
        """A batch to look at, which is not used up.

        Raises
        ------
        ValueError
            There is none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no batches")

    def go_on(self, step: int, drawn: int) -> None:
        """Drop what was drawn before a run was interrupted, if epochs cannot begin at any step by themselves."""

    def rewind(self) -> None:
        """Begin anew with the next epoch, where the data can."""

    def _unpack(self, batch: Any) -> Batch:
        """Arrays from what an iterable gave."""
        parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
        if not (2 if self._with_targets else 1) <= len(parts) <= 3 or parts[0] is None:
            came = f"{len(parts)} of them" if isinstance(batch, (tuple, list)) else type(batch).__name__
            raise ValueError(f"a batch must be (x, y) or (x, y, sample_weight), got {came}")
        padded = (*parts, None, None)[:3]
        x, y, weight = [None if part is None else _array(name, part) for name, part in zip(NAMES, padded, strict=True)]
        if y is None and self._with_targets:
            raise ValueError("a batch must be (x, y) or (x, y, sample_weight), got y None")
        assert x is not None
        _same_rows(x, y, weight)
        if self._weigh is not None and y is not None:
            weight = product(self._weigh(y), weight)
        return x, y, weight


class Numbered(Batches):
    """Batches that can be had by number: laps through the data, cut into epochs wherever `steps` wants it.

    Attributes
    ----------
    lap : int
        Batches of a lap.
    """

    def __init__(self, items: int, lap: int, steps: int | None, *options: Any) -> None:
        super().__init__(lap if steps is None else steps, *options)
        self._items, self.lap = items, lap

    def epoch(self, number: int = 0, step: int = 0, seed: int | None = None) -> Iterator[Batch]:
        """The batches of an epoch; every lap through the data has an order of its own if there is a seed."""
        steps = self.steps or 0
        known, order = -1, None
        for position in range(number * steps + step, (number + 1) * steps):
            lap, place = divmod(position, self.lap)
            if seed is not None and lap != known:
                known, order = lap, shuffled(self._items, seed, lap)
            yield self._batch(place, order)
            if place == self.lap - 1:
                self._lap_done()

    def first(self) -> Batch:
        """The first batch of the first lap, in the order of the data."""
        return self._batch(0, None)

    def _batch(self, place: int, order: np.ndarray | None) -> Batch:
        raise NotImplementedError

    def _lap_done(self) -> None:
        pass


class Rows(Numbered):
    """Arrays, cut into batches of `size` rows; the last one of a lap has what is left."""

    def __init__(
        self, x: np.ndarray, y: np.ndarray | None, weight: np.ndarray | None, size: int, steps: int | None
    ) -> None:
        super().__init__(len(x), -(-len(x) // size), steps, None, y is not None)
        self.arrays, self.size = (x, y, weight), size
        self.rows = min(len(x), (self.steps or 0) * size)

    def _batch(self, place: int, order: np.ndarray | None) -> Batch:
        part = slice(place * self.size, (place + 1) * self.size)
        x, y, weight = self.arrays
        if order is None:
            return x[part], None if y is None else y[part], None if weight is None else weight[part]
        rows = order[part]
        # not x[rows], which takes twice the time: 39 us for 128 rows of 500 int32, 20 so
        return x.take(rows, 0), None if y is None else y.take(rows, 0), None if weight is None else weight.take(rows, 0)


class Ready(Numbered):
    """Batches ready made, by number; an order of their own shuffles whole batches."""

    def __init__(self, data: Any, steps: int | None, *options: Any) -> None:
        if not len(data):
            raise ValueError("x must hold at least one batch, got none")
        super().__init__(len(data), len(data), steps, *options)
        self._data = data

    def _batch(self, place: int, order: np.ndarray | None) -> Batch:
        return self._unpack(self._data[place if order is None else int(order[place])])

    def _lap_done(self) -> None:
        done = getattr(self._data, "on_epoch_end", None)  # Keras's PyDataset
        if callable(done):
            done()


class Stream(Batches):
    """Batches as they come, in their own order.

    Without `steps` an epoch is one run through the data, and every epoch begins anew. With `steps` an epoch takes up
    where the last one ended, and what can begin anew does so when it has run out.

    Attributes
    ----------
    again : bool
        Whether the data can be run through more than once.
    """

    def __init__(self, begin: Callable[[], Iterator[Any]], again: bool, steps: int | None, *options: Any) -> None:
        super().__init__(steps, *options)
        self.again = again
        self._begin, self._limit = begin, steps
        self._iterator: Iterator[Any] | None = None
        self._held: list[Batch] = []  # looked at by `first`

    def epoch(self, number: int = 0, step: int = 0, seed: int | None = None) -> Iterator[Batch]:
        """The batches of an epoch; a step above 0 only says how many of them were taken before."""
        if self._iterator is None or (self._limit is None and step == 0 and not self._held):
            self._start()
        while self._limit is None or step < self._limit:
            batch = self._next()
            if batch is None:
                if self._limit is None:
                    return
                if not self.again or self.drawn == 0:
                    self.ended = True
                    return
                self._start()
                continue
            self.drawn += 1
            step += 1
            yield batch

    def first(self) -> Batch:
        """The next batch, which the next epoch will begin with."""
        if not self._held:
            self._start()
            batch = self._next()
            if batch is None:
                raise ValueError("x must give at least one batch, got none")
            self._held.append(batch)
        return self._held[0]

    def go_on(self, step: int, drawn: int) -> None:
        """Drop what was drawn before a run was interrupted; the batches must be the same as then."""
        if self._limit is None and step == 0:
            return  # an epoch begins, and with it the data
        if not self._held:
            self._start()
        while self.drawn < drawn:
            if self._next() is None:
                raise ValueError(f"x gave {self.drawn} batches, and the run to go on with had drawn {drawn}")
            self.drawn += 1

    def rewind(self) -> None:
        """Begin anew with the next epoch, if the data can."""
        if self.again and not self._held:
            self._iterator = None

    def _start(self) -> None:
        self._iterator, self.drawn = self._begin(), 0

    def _next(self) -> Batch | None:
        if self._held:
            return self._held.pop()
        assert self._iterator is not None
        batch = next(self._iterator, END)
        return None if batch is END else self._unpack(batch)


def of(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int = 32,
    steps: int | None = None,
    weigh: Callable[[np.ndarray], np.ndarray] | None = None,
    with_targets: bool = True,
) -> Batches:
    """The batches of what a user gave.

    Parameters
    ----------
    x : array_like, (N, ...), or data that hand out batches
        The latter without y and sample_weight: a list of batches, an object with a length that hands them out by
        number, an iterable, or a function without arguments that returns an iterable.
    y, sample_weight : array_like, (N, ...), optional
    batch_size : int
        Of arrays.
    steps : int, optional
        Batches of an epoch; None: all.
    weigh : callable, optional
        Further sample weights, as a function of y.
    with_targets : bool
        False for a prediction: batches of x alone will do, and a list is an array_like.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the rule and what came.
    """
    if x is None:
        raise ValueError("x must be an array or an iterable of batches, got None")
    by_number = hasattr(x, "__getitem__") and hasattr(x, "__len__")
    known = by_number or hasattr(x, "__array__") or hasattr(x, "__iter__") or callable(x)
    if not known or isinstance(x, (str, bytes, Mapping)):
        raise TypeError(f"x must be an array or an iterable of batches, got {type(x).__name__}")
    if are_arrays(x, y) or (isinstance(x, (list, tuple)) and not with_targets):
        if y is None and with_targets:
            raise ValueError("y must be given with an array x, got None")
        x, y, sample_weight = arrays(x, y, sample_weight)
        if weigh is not None and y is not None:
            sample_weight = product(weigh(y), sample_weight)
        return Rows(x, y, sample_weight, batch_size, steps)
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(f"{name} must be None where x is no array: x hands out batches of (x, y, sample_weight)")
    options = (weigh, with_targets)
    if by_number:
        return Ready(x, steps, *options)
    if hasattr(x, "__iter__"):
        stream = Stream(lambda: iter(x), not hasattr(x, "__next__"), steps, *options)
        if steps is None and hasattr(x, "__len__"):
            stream.steps = len(x)
        return stream
    return Stream(lambda: iter(validate.rows("what x returns", x())), True, steps, *options)


def are_arrays(x: Any, y: Any) -> bool:
    """Whether x holds rows, and not batches."""
    return hasattr(x, "__array__") or (isinstance(x, (list, tuple)) and y is not None)


def arrays(x: Any, y: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Arrays of real numbers with one number of rows, at least one; None stays None."""
    x = _array("x", x)
    y = None if y is None else _array("y", y)
    weight = None if sample_weight is None else _array("sample_weight", sample_weight)
    if not len(x):
        raise ValueError(f"x must have at least one row, got shape {x.shape}")
    _same_rows(x, y, weight)
    return x, y, weight


def split(
    x: np.ndarray, y: np.ndarray | None, sample_weight: np.ndarray | None, share: float
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Cut off the last part of the rows, of this share, for validation.

    Raises
    ------
    ValueError
        One of the parts would be empty.
    """
    at = int(len(x) * (1 - share))
    if not 0 < at < len(x):
        raise ValueError(f"validation_split must leave rows on both sides, got {share} of {len(x)} rows")
    parts = [(None, None) if part is None else (part[:at], part[at:]) for part in (x, y, sample_weight)]
    return tuple(part[0] for part in parts), tuple(part[1] for part in parts)


def shuffled(items: int, seed: int, lap: int) -> np.ndarray:
    """The numbers below `items` in an order that is a function of seed and lap."""
    # a counter-based generator: no lap depends on those before it
    return np.random.Generator(np.random.Philox(key=[seed, lap])).permutation(items)


def class_weights(value: Any) -> dict[int, float]:
    """A mapping of class numbers to weights, checked."""
    if not isinstance(value, Mapping):
        raise TypeError(f"class_weight must be a mapping of class numbers to weights, got {value!r}")
    return {
        validate.count("a class of class_weight", key): validate.number(f"class_weight[{key}]", weight, minimum=0.0)
        for key, weight in value.items()
    }


def weights_by_class(y: np.ndarray, weights: Mapping[int, float], sparse: bool) -> np.ndarray:
    """The weight of each position's class, 1 for classes that are not mentioned.

    Parameters
    ----------
    y : ndarray
        Class numbers, (N,) or (N, 1), or their one-hot codes, (N, C).
    weights : mapping of int to float
    sparse : bool
        y holds class numbers for all of its axes, as (N, T).
    """
    if y.ndim > 1 and y.shape[-1] == 1:
        y = y[..., 0]
    elif y.ndim > 1 and not sparse:
        y = y.argmax(axis=-1)
    classes, inverse = np.unique(validate.integers("y", y, -(2**63), 2**63), return_inverse=True)
    table = np.array([weights.get(int(each), 1.0) for each in classes])
    return table[inverse].reshape(y.shape)


def _array(name: str, value: Any) -> np.ndarray:
    """Real numbers with at least one axis, in their own dtype."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array")
    if type(value) is not np.ndarray:
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{name} must be an array, its rows of one length: {error}") from None
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {value.dtype}")
    if value.ndim == 0:
        raise ValueError(f"{name} must have rows, got the number {value}")
    array: np.ndarray = value
    return array


def _same_rows(x: np.ndarray, *others: np.ndarray | None) -> None:
    for name, other in zip(NAMES[1:], others, strict=True):
        if other is not None and len(other) != len(x):
            raise ValueError(f"x and {name} must have the same number of rows, got {len(x)} and {len(other)}")


def product(weight: np.ndarray, other: np.ndarray | None) -> np.ndarray:
    """Of two weights, one of which may have fewer axes."""
    if other is None:
        return weight
    axes = max(weight.ndim, other.ndim)
    one, two = (each.reshape(each.shape + (1,) * (axes - each.ndim)) for each in (weight, other))
    product: np.ndarray = one * two
    return product
