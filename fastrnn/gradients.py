"""The gradient of a table of which only some rows were used, as that of an embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import validate


class RowGradient:
    """Rows of a gradient that is zero everywhere else.

    Parameters
    ----------
    index : ndarray of int64, (n,)
        Numbers of the rows, ascending and each but once.
    rows : ndarray, (n, D)
        Gradient of each of them.
    shape : tuple of int
        (N, D), of the whole table.

    Raises
    ------
    TypeError, ValueError
        The index is not whole numbers in [0, N), ascending and unique, or the shapes do not fit together.

    Examples
    --------
    >>> RowGradient([1, 3], [[1.0, 2.0], [3.0, 4.0]], (4, 2)).dense().tolist()
    [[0.0, 0.0], [1.0, 2.0], [0.0, 0.0], [3.0, 4.0]]
    """

    def __init__(self, index: Any, rows: Any, shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            raise ValueError(f"shape must be (N, D), got {tuple(shape)}")
        self.shape = (int(shape[0]), int(shape[1]))
        self.index = validate.integers("index", index, 0, self.shape[0])
        if self.index.ndim != 1 or (self.index[1:] <= self.index[:-1]).any():
            raise ValueError("index must be of one axis, ascending, each row but once")
        self.rows = validate.array("rows", rows, None, (self.index.size, self.shape[1]))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the rows."""
        return self.rows.dtype

    def dense(self) -> np.ndarray:
        """The whole gradient, (N, D); a new array."""
        whole = np.zeros(self.shape, self.dtype)
        whole[self.index] = self.rows
        return whole

    def __repr__(self) -> str:
        return f"<RowGradient of {self.index.size} of {self.shape[0]} rows: {self.dtype} {self.shape}>"
