"""What every layer is: named variables, a forward pass and its backward pass.

A layer is written by subclassing `Layer`:

    class Scale(Layer):
        def build(self, input_shape):
            self.factor = self.add_weight("factor", (input_shape[-1],), "ones")
            self.built = True

        def forward(self, x, training=False):
            if training:
                self.remember(x)
            return x * self.factor.value

        def backward(self, dy, *, need_dx=True):
            (x,) = self.recall()
            self.factor.grad = (dy * x).reshape(-1, x.shape[-1]).sum(axis=0)
            return dy * self.factor.value if need_dx else None

        def compute_output_shape(self, input_shape):
            return input_shape

and is made known to saved models by an entry in `fastrnn.layers.LAYERS`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from fastrnn import initializers, validate

Shape = tuple[int | None, ...]  # None: known only when data come, as the batch


class Variable:
    """A trainable array that cannot change unseen.

    Recurrent layers keep packed copies of their weights and know by `version` when to pack again. So `value` is
    a read-only view, and the two ways to change it, `assign` and `writing`, both raise the version.

    Parameters
    ----------
    value : array_like
        Initial value; copied.
    name : str
        Its name within the layer, as "kernel".

    Attributes
    ----------
    grad : ndarray or None
        Gradient of the loss, of the same shape, left by the layer's last backward pass.
    version : int
        Number of changes so far.
    """

    def __init__(self, value: Any, name: str) -> None:
        self.name = name
        self.grad: np.ndarray | None = None
        self.version = 0
        self._array: np.ndarray = np.array(value, order="C")
        self._array.flags.writeable = False

    @property
    def value(self) -> np.ndarray:
        """Read-only view of the present value."""
        view = self._array.view()
        view.flags.writeable = False
        return view

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the value."""
        return self._array.dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size

    @contextlib.contextmanager
    def writing(self) -> Iterator[np.ndarray]:
        """The array itself, contiguous and writeable inside the `with` block, to be updated in place.

        Examples
        --------
        >>> with variable.writing() as array:
        ...     array -= 0.1 * variable.grad
        """
        self._array.flags.writeable = True
        try:
            yield self._array
        finally:
            self._array.flags.writeable = False
            self.version += 1

    def assign(self, new: Any) -> None:
        """Copy new values in.

        Parameters
        ----------
        new : array_like
            Real numbers of the variable's shape.

        Raises
        ------
        TypeError, ValueError
            Not real numbers, or another shape.
        """
        checked = validate.array(self.name, new, self.dtype, self.shape, unit_stride=False)
        with self.writing() as array:
            array[...] = checked

    def __repr__(self) -> str:
        return f"<Variable {self.name}: {self.dtype} {self.shape}, version {self.version}>"


class Layer:
    """Base of all layers; see the module's docstring for how to write one.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of the weights, the outputs and the gradients.
    seed : int, optional
        Seed of the initial weights; None draws them from the operating system's entropy.
    name : str, optional
        Letters, digits, "_", "-" and "."; by default the class in snake case, and a model that holds several
        layers of a class counts them: lstm, lstm_1, lstm_2.

    Attributes
    ----------
    built : bool
        Whether the variables exist. The first call builds the layer from its input's shape.
    variables : list of Variable
        In Keras's order of weights.
    """

    def __init__(self, *, dtype: Any = "float32", seed: int | None = None, name: str | None = None) -> None:
        self.dtype = validate.dtype("dtype", dtype)
        self.seed = None if seed is None else validate.count("seed", seed)
        self.named = name is not None  # otherwise the first model that holds it may count it
        self.name = snake_case(type(self).__name__) if name is None else validate.layer_name("name", name)
        self.built = False
        self.variables: list[Variable] = []
        self._rng = np.random.default_rng(self.seed)
        self._restored: dict[str, np.ndarray] | None = None
        self._remembered: tuple[Any, ...] | None = None

    # ---- what a subclass writes

    def build(self, input_shape: Shape) -> None:
        """Create the variables with `add_weight`, and set `built`.

        Parameters
        ----------
        input_shape : tuple of int or None
            None for the batch, and for any other axis that may change from call to call.
        """
        self.built = True

    def forward(self, x: Any, training: bool = False) -> Any:
        """The layer's output; when training, `remember` what backward needs (and only then)."""
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")

    def backward(self, dy: Any, *, need_dx: bool = True) -> Any:
        """Gradient with respect to the input of the last training forward; None if not `need_dx`.

        Writes every variable's `grad` anew: nothing accumulates.

        Raises
        ------
        RuntimeError
            If no forward with training=True came before.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward pass")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output, with None where the input's shape has None."""
        raise NotImplementedError(f"{type(self).__name__} does not tell its output's shape")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"dtype": self.dtype.name, "seed": self.seed, "name": self.name}

    def reset_states(self) -> None:
        """Forget what is carried from one call to the next; nothing, unless the layer is stateful."""

    def get_state(self) -> dict[str, np.ndarray]:
        """What is carried from one call to the next, by name: with the weights, all that a resumed run needs."""
        return {}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Carry on from a state that `get_state` gave.

        Raises
        ------
        ValueError
            If it is not a state of this layer.
        """
        if state:
            raise ValueError(f"{self.name} carries no state, got {', '.join(sorted(state))}")

    # ---- what a subclass uses

    def add_weight(self, name: str, shape: tuple[int, ...], initializer: str) -> Variable:
        """A new variable, drawn by the initializer with the layer's seed, or taken from the file being loaded.

        Parameters
        ----------
        name : str
            Unique within the layer.
        shape : tuple of int
        initializer : str
            A name in `fastrnn.initializers.INITIALIZERS`.
        """
        if self.built:
            raise RuntimeError(f"{self.name} is built already")
        if any(variable.name == name for variable in self.variables):
            raise ValueError(f"{self.name} has two variables named {name!r}")
        if self._restored is None:
            value = initializers.get(initializer)(shape, self.dtype, self._rng)
        else:
            # compared before anything is allocated: a file cannot ask for more memory than it fills
            if name not in self._restored:
                raise ValueError(f"{self.name} needs the weight {name!r}, which is missing")
            value = self._restored.pop(name)
            if (value.shape, value.dtype) != (tuple(shape), self.dtype):
                raise ValueError(
                    f"{self.name}: {name} must be {self.dtype} of shape {tuple(shape)}, got {value.dtype} {value.shape}"
                )
        variable = Variable(value, name)
        self.variables.append(variable)
        return variable

    def remember(self, *values: Any) -> None:
        """Keep what backward needs."""
        self._remembered = values

    def recall(self) -> tuple[Any, ...]:
        """What the last training forward remembered, once: its memory is free again after the backward pass."""
        if self._remembered is None:
            raise RuntimeError(f"{self.name}: backward needs a forward with training=True before it, one for each")
        values, self._remembered = self._remembered, None
        return values

    # ---- what everyone calls

    def __call__(self, x: Any, training: bool = False, **options: Any) -> Any:
        """The layer's output; the first call builds the layer. Options are those of the class's `forward`."""
        if not self.built:
            self.build((None, *np.shape(x)[1:]))
        return self.forward(x, training=training, **options)

    def restore(self, input_shape: Shape, weights: Mapping[str, np.ndarray]) -> None:
        """Build with these weights, by variable name, instead of fresh ones.

        Raises
        ------
        ValueError
            A weight is missing, left over, or has another shape or dtype.
        """
        self._restored = dict(weights)
        try:
            self.build(input_shape)
            if self._restored:
                raise ValueError(f"{self.name} has no weight named {', '.join(sorted(self._restored))}")
        finally:
            self._restored = None

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, in Keras's order and layout."""
        return [variable.value.copy() for variable in self.variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights; on an error none has changed.

        Parameters
        ----------
        weights : sequence of array_like
            In the order, and of the shapes, of `get_weights`.

        Raises
        ------
        ValueError
            The layer is not built, or number or shapes differ.
        """
        if not self.built:
            raise ValueError(f"{self.name} is not built: call it once, or build(input_shape), before set_weights")
        assign_all(self.variables, weights)

    @property
    def parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(variable.size for variable in self.variables)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new layer, not built, from `get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.parameters if self.built else 'not built'}>"


def assign_all(variables: Sequence[Variable], weights: Sequence[Any]) -> None:
    """Assign each variable its weight, after all of them were checked."""
    if len(weights) != len(variables):
        raise ValueError(f"weights must be {len(variables)} arrays, got {len(weights)}")
    checked = [
        validate.array(f"weights[{i}] ({v.name})", w, v.dtype, v.shape, unit_stride=False)
        for i, (v, w) in enumerate(zip(variables, weights, strict=True))
    ]
    for variable, weight in zip(variables, checked, strict=True):
        variable.assign(weight)


def snake_case(name: str) -> str:
    """SimpleRNN -> simple_rnn, LSTM -> lstm: Keras's default names."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
