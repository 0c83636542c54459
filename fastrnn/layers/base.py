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

A layer that treats some steps as padding sets `takes_mask` and gives its forward a `mask`; one that makes padding, or
drops the time axis, says so in `compute_mask`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from fastrnn import initializers, regularizers, validate
from fastrnn._core.dropout import drop
from fastrnn.gradients import RowGradient

Shape = tuple[int | None, ...]  # None: known only when data come, as the batch
Fixed = Mapping[str, tuple[Any, ...]]  # arguments, and the values that each can be given


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
    regularizer : Regularizer, optional
        What training adds to the loss for it.

    Attributes
    ----------
    grad : ndarray, RowGradient or None
        Gradient of the loss, of the same shape, left by the layer's last backward pass; a `RowGradient` when few rows
        of a table were used.
    version : int
        Number of changes so far.
    """

    def __init__(self, value: Any, name: str, regularizer: regularizers.Regularizer | None = None) -> None:
        self.name = name
        self.regularizer = regularizer
        self.grad: np.ndarray | RowGradient | None = None
        self.version = 0
        self._array: np.ndarray = np.array(value, order="C")
        self._array.setflags(write=False)
        self._view: np.ndarray = self._array  # until `value` is asked for

    @property
    def value(self) -> np.ndarray:
        """Read-only view of the present value."""
        if self._view.base is not self._array:  # none yet, or that of the variable which this one is a copy of
            self._view = self._array.view()
            self._view.setflags(write=False)
        return self._view

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
        with writing([self]) as (array,):
            yield array

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
        with writing([self]) as (array,):
            array[...] = checked

    def __repr__(self) -> str:
        return f"<Variable {self.name}: {self.dtype} {self.shape}, version {self.version}>"


@contextlib.contextmanager
def writing(variables: Sequence[Variable]) -> Iterator[list[np.ndarray]]:
    """The arrays of several variables, as `Variable.writing` gives that of one."""
    arrays = [variable._array for variable in variables]
    try:
        for array in arrays:
            array.setflags(write=True)
        yield arrays
    finally:
        for variable in variables:
            variable._array.setflags(write=False)
            variable.version += 1


class RandomMasks:
    """What a layer drops in training: every mask is a function of a key and of the number of passes before it.

    So a run that is resumed from `get_state` drops what the uninterrupted one would have, and a pass that fails draws
    nothing away from the next.

    Parameters
    ----------
    key : int
        Tells the layers of all seeds apart.
    passes : int
        Training passes so far; the layer adds one when a pass has succeeded.
    """

    def __init__(self, key: int, passes: int = 0) -> None:
        self.key, self.passes = key, passes

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Self:
        """With a key that this generator draws."""
        return cls(rng.bit_generator.random_raw() >> 1)  # rng.integers(2**63), whose first call takes 22 us more

    def draw(self, shape: tuple[int, ...], rate: float, dtype: Any, number: int = 0) -> np.ndarray:
        """Zeros with probability `rate`, to a 65536th, and 1 / (1 - rate) elsewhere.

        Parameters
        ----------
        shape : tuple of int
        rate : float
            In [0, 1).
        dtype : dtype
        number : int
            Tells the masks of one pass apart.
        """
        mask = np.empty(shape, dtype)
        return drop(None, mask, self.key, self.passes, number, rate, validate.threads(None))

    def get_state(self) -> dict[str, np.ndarray]:
        """Key and passes, by the name "dropout"."""
        return {"dropout": np.array([self.key, self.passes], np.int64)}

    @classmethod
    def from_state(cls, name: str, state: Mapping[str, np.ndarray]) -> Self:
        """Those that carry on from `get_state`; the name is the layer's, for the message."""
        if "dropout" not in state:
            raise ValueError(f"{name} cannot carry on from {', '.join(sorted(state)) or 'nothing'}")
        stands = validate.integers("dropout", state["dropout"], 0, 2**63 - 1)
        if stands.shape != (2,):
            raise ValueError(f"{name}: dropout must be two numbers, got {stands.shape}")
        return cls(int(stands[0]), int(stands[1]))


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
    input_shape : tuple of int or None, optional
        What a first layer will be fed with, without the batch: the model can then be built before data come.
    batch_input_shape : tuple of int or None, optional
        The same with the batch first.
    input_dim : int, optional
        The same as `input_shape=(input_dim,)`.
    **fixed
        Arguments of Keras that have one meaning here, with a value that is this meaning; see `fixed` of the class.

    Attributes
    ----------
    fixed : mapping of str to tuple
        Keras's arguments that only these values can be given to.
    takes_mask : bool
        Whether `forward` takes `mask`, bool (B, T), True where a step is valid.
    declared_shape : tuple of int or None, or None
        The input shape that was given, the batch first.
    built : bool
        Whether the variables exist. The first call builds the layer from its input's shape.
    variables : list of Variable
        In Keras's order of weights.
    """

    fixed: ClassVar[Fixed] = {"trainable": (True,), "activity_regularizer": (None,)}
    takes_mask: ClassVar[bool] = False
    takes_lookup: ClassVar[bool] = False

    _class_name: ClassVar[str] = "layer"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._class_name = snake_case(cls.__name__)

    def __init__(
        self,
        *,
        dtype: Any = "float32",
        seed: int | None = None,
        name: str | None = None,
        input_shape: Any = None,
        batch_input_shape: Any = None,
        input_dim: int | None = None,
        **fixed: Any,
    ) -> None:
        if fixed:
            self._check_fixed(fixed)
        self.declared_shape = declared(input_shape, batch_input_shape, input_dim)
        self.dtype = validate.dtype("dtype", dtype)
        self.seed = None if seed is None else validate.count("seed", seed)
        self.named = name is not None  # otherwise the first model that holds it may count it
        self.name = self._class_name if name is None else validate.layer_name("name", name)
        self.built = False
        self.variables: list[Variable] = []
        self._restored: dict[str, np.ndarray] | None = None
        self._remembered: tuple[Any, ...] | None = None

    @functools.cached_property
    def _rng(self) -> np.random.Generator:
        """Made when first drawn from: a process that runs models from files need not import numpy.random, for 14 ms."""
        return np.random.default_rng(self.seed)

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

    def compute_mask(self, x: Any, mask: np.ndarray | None) -> np.ndarray | None:
        """The mask of the output, from the input and its mask: the same one, unless the class says otherwise.

        Parameters
        ----------
        x : array_like
            The input.
        mask : ndarray of bool, (B, T), or None
            True where a step of x is valid.

        Returns
        -------
        mask : ndarray of bool, (B, T), or None
            None where the output has no steps.
        """
        return mask

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {
            "dtype": self.dtype.name,
            "seed": self.seed,
            "name": self.name,
            "batch_input_shape": self.declared_shape,
        }

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

    def add_weight(self, name: str, shape: tuple[int, ...], initializer: Any, regularizer: Any = None) -> Variable:
        """A new variable, drawn by the initializer with the layer's seed, or taken from the file being loaded.

        Parameters
        ----------
        name : str
            Unique within the layer.
        shape : tuple of int
        initializer : str or Initializer
            Of `fastrnn.initializers`.
        regularizer : str or Regularizer, optional
            Of `fastrnn.regularizers`; the variable keeps it.
        """
        if self.built:
            raise RuntimeError(f"{self.name} is built already")
        if self._restored is None:
            if any(variable.name == name for variable in self.variables):
                raise ValueError(f"{self.name} has two variables named {name!r}")
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
        variable = Variable(value, name, regularizers.get(regularizer))
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

    def _check_fixed(self, given: Mapping[str, Any]) -> None:
        """Arguments that no constructor names must be in `fixed`, with one of the values there."""
        for name, value in given.items():
            if name not in self.fixed:
                raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {name!r}")
            allowed = self.fixed[name]
            if not isinstance(value, (str, float, int, type(None))) or value not in allowed:
                raise ValueError(
                    f"{name} of {type(self).__name__} must be {' or '.join(map(repr, allowed))}, got {value!r}"
                )

    # ---- what everyone calls

    def __call__(self, x: Any, training: bool = False, **options: Any) -> Any:
        """The layer's output; the first call builds the layer. Options are those of the class's `forward`."""
        if not self.built:
            self.build((None, *np.shape(x)[1:]))
        if not options:  # a call with a dictionary takes 0.15 us more
            return self.forward(x, training=training)
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
    weights = list(validate.rows("weights", weights))
    if len(weights) != len(variables):
        raise ValueError(f"weights must be {len(variables)} arrays, got {len(weights)}")
    checked = [
        validate.array(f"weights[{i}] ({v.name})", w, v.dtype, v.shape, unit_stride=False)
        for i, (v, w) in enumerate(zip(variables, weights, strict=True))
    ]
    with writing(variables) as arrays:
        for array, weight in zip(arrays, checked, strict=True):
            array[...] = weight


def no_constraint(*names: str) -> dict[str, tuple[None]]:
    """Entries of `Layer.fixed`: constraints, which are not offered."""
    return {f"{name}_constraint": (None,) for name in names}


def declared(input_shape: Any, batch_input_shape: Any, input_dim: Any) -> Shape | None:
    """The one of the three ways to declare an input that was taken, the batch first."""
    if input_shape is None and batch_input_shape is None and input_dim is None:
        return None
    if sum(value is not None for value in (input_shape, batch_input_shape, input_dim)) > 1:
        raise ValueError("only one of input_shape, batch_input_shape and input_dim can be given")
    if batch_input_shape is not None:
        return validate.input_shape(batch_input_shape)
    if input_dim is not None:
        return (None, validate.count("input_dim", input_dim))
    return (None, *validate.input_shape(input_shape))


def snake_case(name: str) -> str:
    """SimpleRNN -> simple_rnn, SpatialDropout1D -> spatial_dropout1d: Keras's default names.

    A capital begins a word after or before a small letter. Two regular expressions say the same, but compiling them
    takes 0.3 ms.
    """
    parts = [name[:1]]
    for before, letter, after in zip(name, name[1:], name[2:] + " ", strict=False):
        if "A" <= letter <= "Z" and ("a" <= before <= "z" or "a" <= after <= "z"):
            parts.append("_")
        parts.append(letter)
    return "".join(parts).lower()
