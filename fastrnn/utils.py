"""Small helpers with Keras's names: class numbers as rows of zeros and a one; sequences in one array."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import validate
from fastrnn.preprocessing.sequence import pad_sequences

__all__ = ["one_hot", "pad_sequences", "to_categorical"]


def one_hot(x: Any, num_classes: int, dtype: Any = "float32") -> np.ndarray:
    """Every class number as a row of zeros with a one at its place.

    Parameters
    ----------
    x : array_like of int, any shape
        In [0, num_classes).
    num_classes : int
        C.
    dtype : dtype

    Returns
    -------
    y : ndarray, (*x.shape, C)

    Raises
    ------
    TypeError, ValueError
        x is not whole numbers in that range.

    Examples
    --------
    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    classes = validate.count("num_classes", num_classes, minimum=1)
    index = validate.integers("x", x, 0, classes).reshape(np.shape(x))
    y = np.zeros((*index.shape, classes), validate.any_dtype("dtype", dtype))
    np.put_along_axis(y, index[..., np.newaxis], 1, -1)
    return y


def to_categorical(x: Any, num_classes: int | None = None, dtype: Any = "float32") -> np.ndarray:
    """Class numbers as what `categorical_crossentropy` takes: `one_hot`, with Keras's rules for the shape.

    Parameters
    ----------
    x : array_like of int, any shape
        In [0, num_classes). A last axis of size 1 is dropped: (B, 1) counts as (B,).
    num_classes : int, optional
        C; by default the largest number and one.
    dtype : dtype
        float32, as in Keras 2, which is what the layers compute in; Keras 3 gives float64.

    Returns
    -------
    y : ndarray, (*x.shape, C)

    Raises
    ------
    TypeError, ValueError
        x is not whole numbers in that range (Keras counts negative ones from the end), or empty without `num_classes`.

    Examples
    --------
    >>> to_categorical([[2], [0]])
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    x = np.asarray(x)
    if x.ndim > 1 and x.shape[-1] == 1:
        x = x[..., 0]
    if num_classes is None:
        if not x.size:
            raise ValueError("num_classes must be given when x is empty")
        num_classes = int(validate.integers("x", x, 0, 2**31).max()) + 1
    return one_hot(x, num_classes, dtype)
