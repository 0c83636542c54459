"""The table that turns whole numbers into vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import initializers, validate
from fastrnn._core import scatter
from fastrnn.layers.base import Layer, Shape


class Embedding(Layer):
    """y = E[x]: for every whole number in x, its row of the table E.

    Parameters
    ----------
    input_dim : int
        Number of rows: x holds numbers in [0, input_dim).
    output_dim : int
        Length of a row.
    embeddings_initializer : str
        A name in `fastrnn.initializers.INITIALIZERS`.
    dtype, seed, name
        As in `Layer`.

    Notes
    -----
    Weights: embeddings E (input_dim, output_dim).

    Examples
    --------
    >>> layer = Embedding(65, 32)
    >>> layer(np.array([[7, 0, 64]])).shape
    (1, 3, 32)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: str = "uniform",
        *,
        dtype: Any = "float32",
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.input_dim = validate.count("input_dim", input_dim, minimum=1)
        self.output_dim = validate.count("output_dim", output_dim, minimum=1)
        self.embeddings_initializer = initializers.check("embeddings_initializer", embeddings_initializer)

    def build(self, input_shape: Shape) -> None:
        """Create E; the input's shape does not matter."""
        self.embeddings = self.add_weight("embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer)
        self.built = True

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """The rows of E.

        Parameters
        ----------
        x : array_like of int, any shape, as (B, T)

        Returns
        -------
        y : ndarray, (*x.shape, output_dim)

        Raises
        ------
        TypeError, ValueError
            x is not whole numbers in [0, input_dim).
        """
        index = validate.integers("x", x, 0, self.input_dim)
        if training:
            # a copy, for backward checks no index again and x is the caller's to refill
            self.remember(index.copy())
        return self.embeddings.value.take(index, axis=0)

    def backward(self, dy: Any, *, need_dx: bool = True) -> None:
        """Gradient of E: each row's sum over the places where it was taken, always in the order of those places.

        Parameters
        ----------
        dy : array_like, (*x.shape, output_dim)
        need_dx : bool
            No difference: whole numbers have no gradient.
        """
        (index,) = self.recall()
        dy = validate.array("dy", dy, self.dtype, (*index.shape, self.output_dim))
        gradient = np.zeros(self.embeddings.shape, self.dtype)
        rows = np.ascontiguousarray(dy.reshape(index.size, self.output_dim))
        scatter.add_rows(gradient, index.reshape(-1), rows)
        self.embeddings.grad = gradient

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(...) -> (..., output_dim)."""
        return (*validate.input_shape(input_shape), self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": self.embeddings_initializer,
            **super().get_config(),
        }
