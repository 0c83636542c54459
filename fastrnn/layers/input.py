"""What a model is fed with, said at its head."""

from __future__ import annotations

from typing import Any

from fastrnn import validate
from fastrnn.layers.base import declared


class InputLayer:
    """The shape of what a `Sequential` is fed with, so that it can be built before data come; also called `Input`.

    It stands first among the layers, is none of them, and says the same as their first one's `input_shape`.

    Parameters
    ----------
    shape : tuple of int or None
        Of a row: (T, I) for sequences, None for an axis that varies.
    batch_size : int, optional
        For stateful layers.
    dtype : dtype, optional
        Of the data. Layers tell by what they are given, so that it makes no difference.
    batch_shape : tuple of int or None, optional
        The shape with the batch first, instead of the two.
    name : str
    input_shape, batch_input_shape
        Keras 2's names of `shape` and `batch_shape`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the rule and what came; or none of the shapes is given, or several are.

    Examples
    --------
    >>> model = Sequential([Input(shape=(28, 28)), LSTM(64), Dense(10)])
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        batch_shape: Any = None,
        name: str = "input_layer",
        *,
        input_shape: Any = None,
        batch_input_shape: Any = None,
    ) -> None:
        given = [each for each in (shape, input_shape, batch_shape, batch_input_shape) if each is not None]
        if len(given) != 1:
            raise ValueError(f"one of shape and batch_shape must be given, got {len(given)} of them")
        whole = batch_shape if batch_shape is not None else batch_input_shape
        found = declared(None if whole is not None else given[0], whole, None)
        assert found is not None
        if batch_size is not None:
            if whole is not None:
                raise ValueError(f"batch_size must be None with a batch_shape, which says it, got {batch_size!r}")
            found = (validate.count("batch_size", batch_size, minimum=1), *found[1:])
        self.batch_shape = found
        self.dtype = None if dtype is None else validate.any_dtype("dtype", dtype)
        self.name = validate.layer_name("name", name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.batch_shape}>"


Input = InputLayer
