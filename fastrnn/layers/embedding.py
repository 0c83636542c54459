"""The table that turns whole numbers into vectors."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastrnn import initializers, regularizers, validate
from fastrnn._core import scatter
from fastrnn.gradients import RowGradient
from fastrnn.layers.base import Fixed, Layer, Shape, Variable, no_constraint


class Lookup:
    """Rows of a table that nobody has gathered yet: what an Embedding gives to a layer that reads the table itself.

    Attributes
    ----------
    index : ndarray of int64, (...)
    table : Variable, (N, D)
    gathered : bool
        Whether the rows were asked for after all: the gradient to come is then theirs, else the table's.
    """

    def __init__(self, index: np.ndarray, table: Variable) -> None:
        self.index, self.table, self.gathered = index, table, False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the rows, (..., D)."""
        return (*self.index.shape, self.table.shape[1])

    def gather(self) -> np.ndarray:
        """The rows."""
        self.gathered = True
        return self.table.value.take(self.index, axis=0)


class Embedding(Layer):
    """y = E[x]: for every whole number in x, its row of the table E.

    Parameters
    ----------
    input_dim : int
        Number of rows: x holds numbers in [0, input_dim).
    output_dim : int
        Length of a row.
    embeddings_initializer : str or Initializer
        Of `fastrnn.initializers`.
    embeddings_regularizer : str or Regularizer, optional
        What training adds to the loss for E; of `fastrnn.regularizers`.
    mask_zero : bool
        Steps where x is 0 are padding: the layers above are given a mask.
    weights : array_like, (input_dim, output_dim), optional
        What E is at first, as vectors of words learnt elsewhere; a list of that one array will do as well.
    input_length : int, optional
        The same as `input_shape=(input_length,)`.
    **common
        dtype, seed, name, input_shape and the other arguments of `Layer`.

    Notes
    -----
    Weights: embeddings E (input_dim, output_dim).

    Examples
    --------
    >>> layer = Embedding(65, 32)
    >>> layer(np.array([[7, 0, 64]])).shape
    (1, 3, 32)
    """

    fixed: ClassVar[Fixed] = {**Layer.fixed, **no_constraint("embeddings"), "lora_rank": (None,)}

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        *,
        input_length: int | None = None,
        **common: Any,
    ) -> None:
        if input_length is not None:
            if common.get("input_shape") is not None:
                raise ValueError("only one of input_shape and input_length can be given")
            common["input_shape"] = (validate.count("input_length", input_length),)
        super().__init__(**common)
        self.input_dim = validate.count("input_dim", input_dim, minimum=1)
        self.output_dim = validate.count("output_dim", output_dim, minimum=1)
        self.embeddings_initializer = initializers.check("embeddings_initializer", embeddings_initializer)
        self.embeddings_regularizer = regularizers.check("embeddings_regularizer", embeddings_regularizer)
        self.mask_zero = bool(mask_zero)
        self._first: np.ndarray | None = None
        if weights is not None:
            table = weights[0] if isinstance(weights, (list, tuple)) and len(weights) == 1 else weights
            self._first = validate.array("weights", table, self.dtype, (self.input_dim, self.output_dim))

    def build(self, input_shape: Shape) -> None:
        """Create E; the input's shape does not matter."""
        fresh, shape = self._restored is None, (self.input_dim, self.output_dim)
        self.embeddings = self.add_weight("embeddings", shape, self.embeddings_initializer, self.embeddings_regularizer)
        if fresh and self._first is not None:
            self.embeddings.assign(self._first)
        self._first = None
        self.built = True

    def forward(self, x: Any, training: bool = False, *, gather: bool = True) -> Any:
        """The rows of E.

        Parameters
        ----------
        x : array_like of int, any shape, as (B, T)
        gather : bool
            False leaves that to a layer that `takes_lookup`.

        Returns
        -------
        y : ndarray, (*x.shape, output_dim), or a Lookup of that shape

        Raises
        ------
        TypeError, ValueError
            x is not whole numbers in [0, input_dim).
        """
        index = validate.integers("x", x, 0, self.input_dim)
        if training and np.may_share_memory(index, x):
            index = index.copy()  # backward checks no index again, and x is the caller's to refill
        lookup = Lookup(index, self.embeddings)
        if training:
            self.remember(lookup)
        return lookup.gather() if gather else lookup

    def backward(self, dy: Any, *, need_dx: bool = True) -> None:
        """Gradient of E: each row's sum over the places where it was taken, always in the order of those places.

        It is a `RowGradient` where fewer than half of the rows were taken.

        Parameters
        ----------
        dy : array_like, (*x.shape, output_dim)
            Of a Lookup that was not gathered the gradient by E itself, (input_dim, output_dim).
        need_dx : bool
            No difference: whole numbers have no gradient.
        """
        (lookup,) = self.recall()
        index = lookup.index
        if not lookup.gathered:
            self.embeddings.grad = validate.array("dy", dy, self.dtype, self.embeddings.shape)
            return
        dy = validate.array("dy", dy, self.dtype, (*index.shape, self.output_dim))
        rows = np.ascontiguousarray(dy.reshape(index.size, self.output_dim))
        index = index.reshape(-1)
        used = np.zeros(self.input_dim, np.bool_)
        used[index] = True
        taken = np.flatnonzero(used)
        sparse = 2 * taken.size < self.input_dim
        if sparse:  # from here on the rows of the gradient are those taken alone
            place = np.empty(self.input_dim, np.int64)
            place[taken] = np.arange(taken.size)
            index = place[index]
        gradient = np.zeros((taken.size if sparse else self.input_dim, self.output_dim), self.dtype)
        scatter.add_rows(gradient, index, rows)
        self.embeddings.grad = RowGradient(taken, gradient, self.embeddings.shape) if sparse else gradient

    def compute_mask(self, x: Any, mask: np.ndarray | None) -> np.ndarray | None:
        """True where x is not 0, with `mask_zero`; None without."""
        return np.not_equal(x, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(...) -> (..., output_dim)."""
        return (*validate.input_shape(input_shape), self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": self.embeddings_initializer,
            "embeddings_regularizer": self.embeddings_regularizer,
            "mask_zero": self.mask_zero,
            **super().get_config(),
        }
