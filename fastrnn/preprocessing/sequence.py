"""Sequences of different lengths in one array."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn import validate


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Cut and fill sequences to one length, as Keras's function of this name.

    Parameters
    ----------
    sequences : sequence of sequences
        N of them, lists or arrays, each (T_n,) or (T_n, *rest) with one `rest` for all.
    maxlen : int, optional
        T; by default the longest length.
    dtype : dtype
        Of the result. As in Keras, real numbers lose their fraction in the default: give "float32" for those.
        `object` or a string type for texts.
    padding : {"pre", "post"}
        Where a shorter sequence is filled.
    truncating : {"pre", "post"}
        Where a longer sequence loses what is too much.
    value : number or str
        The filling.

    Returns
    -------
    x : ndarray, (N, T, *rest)

    Raises
    ------
    TypeError, ValueError
        Not sequences, elements that the dtype cannot hold, shapes that differ, or neither `maxlen` nor a sequence.

    Examples
    --------
    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
    array([[0, 1],
           [2, 3],
           [5, 6]], dtype=int32)
    """
    padding = validate.choice("padding", padding, ("pre", "post"))
    truncating = validate.choice("truncating", truncating, ("pre", "post"))
    kind = validate.any_dtype("dtype", dtype)
    filling = _filling(value, kind)
    if isinstance(sequences, (str, bytes)) or not hasattr(sequences, "__len__"):
        raise TypeError(f"sequences must be a sequence of sequences, got {type(sequences).__name__}")
    rows = [_row(number, sequence) for number, sequence in enumerate(sequences)]
    if maxlen is not None:
        steps = validate.count("maxlen", maxlen)
    elif rows:
        steps = max(map(len, rows))
    else:
        raise ValueError("maxlen must be given when there is no sequence")
    rest = _rest(rows)
    if truncating == "pre":
        rows = [row if len(row) <= steps else row[len(row) - steps :] for row in rows]
    else:
        rows = [row if len(row) <= steps else row[:steps] for row in rows]
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    x = np.full((len(rows), steps, *rest), filling, kind)
    # all rows at once: 25,000 reviews take as long as in a loop over the rows, short rows half as long
    step = np.arange(steps)
    taken = step < lengths[:, np.newaxis] if padding == "post" else step >= steps - lengths[:, np.newaxis]
    x[taken] = _flat(rows, kind, rest, int(lengths.sum()))
    return x


def _filling(value: Any, dtype: np.dtype[Any]) -> Any:
    """The value, if the dtype can hold it."""
    if dtype.kind in "OSU":
        return value
    if isinstance(value, (str, bytes)):
        raise ValueError(f"value must be a number for dtype {dtype}, got {value!r}; give dtype=object for texts")
    try:
        with np.errstate(all="ignore"):
            held = np.asarray(value).astype(dtype)
    except (TypeError, ValueError):
        held = np.empty(0, dtype)
    if held.ndim or (dtype.kind in "iub" and held != value):
        raise ValueError(f"value must be a number that dtype {dtype} holds, got {value!r}")
    return held


def _row(number: int, sequence: Any) -> Sequence[Any] | np.ndarray:
    """A list, tuple or array."""
    if isinstance(sequence, (list, tuple)) or (isinstance(sequence, np.ndarray) and sequence.ndim):
        return sequence
    if isinstance(sequence, (str, bytes, dict, set)) or not np.ndim(sequence):
        raise TypeError(f"sequences must hold sequences, got {sequence!r} at {number}")
    return np.asarray(sequence)


def _rest(rows: Sequence[Any]) -> tuple[int, ...]:
    """The shape of an element, from the first there is."""
    for number, row in enumerate(rows):
        if len(row):
            try:
                return np.shape(row[0])
            except ValueError as error:
                raise ValueError(f"sequences[{number}] must hold elements of one shape: {error}") from None
    return ()


def _flat(rows: Sequence[Any], dtype: np.dtype[Any], rest: tuple[int, ...], count: int) -> np.ndarray:
    """The elements of all rows, one after the other: (count, *rest)."""
    if not rest and dtype.kind in "iuf" and all(isinstance(row, (list, tuple)) for row in rows):
        # without an array for every list, whose making would be most of the time; what does not go is told below
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return np.fromiter(itertools.chain.from_iterable(rows), dtype, count)
    parts = [np.empty((0, *rest), dtype)]
    for number, row in enumerate(rows):
        if not len(row):
            continue
        try:
            part = np.asarray(row, dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"sequences[{number}] must hold elements that dtype {dtype} holds: {error}") from None
        if part.shape != (len(row), *rest):
            raise ValueError(f"sequences[{number}] must hold elements of shape {rest}, got {part.shape[1:]}")
        parts.append(part)
    return np.concatenate(parts)
