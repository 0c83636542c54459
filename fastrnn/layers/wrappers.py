"""Layers around layers: both directions of a recurrent layer, and one layer at every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from fastrnn import validate
from fastrnn.layers.base import Fixed, Layer, Shape
from fastrnn.layers.recurrent import Recurrent


class Wrapper(Layer):
    """Base of layers that hold others.

    The variables are those of the layers inside, named after them: "forward_layer/kernel". So are the carried states.

    Parameters
    ----------
    dtype, seed
        Those of the layers inside, and given to them: here they can only be the same.
    **common
        name, input_shape and the other arguments of `Layer`.
    """

    inside: ClassVar[tuple[str, ...]]  # the attributes that hold the layers

    def __init__(self, layer: Layer, *, dtype: Any = None, seed: int | None = None, **common: Any) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"layer must be a Layer, got {layer!r}")
        for name, given, own in (("dtype", dtype, layer.dtype), ("seed", seed, layer.seed)):
            if given is not None and given != own:
                raise ValueError(f"{name} must be that of the layer inside, {own}, got {given!r}; give it to that one")
        super().__init__(dtype=layer.dtype, seed=layer.seed, **common)

    def _layers(self) -> dict[str, Layer]:
        return {name: getattr(self, name) for name in self.inside}

    def _build_inside(self, shape: Shape) -> None:
        """Build the layers inside, or restore them from a file; what is built already stays as it is."""
        for name, layer in self._layers().items():
            if self._restored is not None:
                layer.restore(shape, _taken(self._restored, f"{name}/"))
            elif not layer.built:
                layer.build(shape)
            for variable in layer.variables:
                variable.name = f"{name}/{variable.name}"
            self.variables += layer.variables
        self.built = True

    def reset_states(self) -> None:
        """Let the layers inside begin anew."""
        for layer in self._layers().values():
            layer.reset_states()

    def get_state(self) -> dict[str, np.ndarray]:
        """What the layers inside carry."""
        return {
            f"{name}/{key}": value for name, layer in self._layers().items() for key, value in layer.get_state().items()
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Carry on from `get_state`."""
        rest = dict(state)
        parts = {name: _taken(rest, f"{name}/") for name in self.inside}
        if rest:
            raise ValueError(f"{self.name} cannot carry on from {', '.join(sorted(rest))}")
        for name, layer in self._layers().items():
            layer.set_state(parts[name])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; a layer is {"class": name, "config": {...}}."""
        return {name: describe(layer) for name, layer in self._layers().items()} | super().get_config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new layer, not built, from `get_config`."""
        from fastrnn import layers

        inside = {
            name: layers.get(value["class"], **value["config"])
            for name, value in config.items()
            if name in ("layer", *cls.inside) and isinstance(value, Mapping)
        }
        return cls(**{**config, **inside})


def describe(layer: Layer) -> dict[str, Any]:
    """What a configuration says of a layer: its name in the registry, and its own configuration."""
    from fastrnn import layers

    name = type(layer).__name__
    if layers.LAYERS.get(name) is not type(layer):
        raise ValueError(f"{name} is not in fastrnn.layers.LAYERS, so that no configuration could bring it back")
    return {"class": name, "config": layer.get_config()}


def _taken(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, without that, and no longer among the others."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


class Bidirectional(Wrapper):
    """A recurrent layer in both directions: one walks the input as it is, the other from its end.

    Schuster & Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on Signal Processing 45, 1997.

    Parameters
    ----------
    layer : SimpleRNN, LSTM or GRU
        A model for both: the layers inside are new ones, made from its configuration, with weights of their own. The
        backward one takes the next seed, if there is one.
    merge_mode : {"concat", "sum", "mul", "ave", None}
        How y and y_backward become one; None returns the pair.
    backward_layer : SimpleRNN, LSTM or GRU, optional
        Another one to walk backwards: with the other `go_backwards`, and the same `return_sequences`, `return_state`
        and `stateful`.
    **common
        name, input_shape and the other arguments of `Layer`.

    Attributes
    ----------
    forward_layer, backward_layer : Recurrent
        The layers inside. With `return_sequences` their outputs at masked steps are 0, as in Keras.

    Notes
    -----
    Weights, in Keras's order: those of the forward layer, then those of the backward layer.

    Examples
    --------
    >>> layer = Bidirectional(LSTM(32, return_sequences=True))
    >>> y = layer(np.zeros((8, 20, 4), np.float32))    # (8, 20, 64)
    """

    inside = ("forward_layer", "backward_layer")
    takes_mask = True
    fixed: ClassVar[Fixed] = {**Layer.fixed, "weights": (None,)}

    def __init__(
        self,
        layer: Recurrent,
        merge_mode: str | None = "concat",
        *,
        backward_layer: Recurrent | None = None,
        **common: Any,
    ) -> None:
        for name, value in (("layer", layer), ("backward_layer", backward_layer)):
            if not isinstance(value, Recurrent) and not (value is None and name == "backward_layer"):
                raise TypeError(f"{name} must be a SimpleRNN, LSTM or GRU, got {value!r}")
            if value is not None and value.bidirectional:
                raise ValueError(f"{name} must walk one direction, got one with bidirectional=True")
        super().__init__(layer, **common)
        if self.declared_shape is None:
            self.declared_shape = layer.declared_shape
        self.merge_mode = merge_mode
        if merge_mode is not None:
            self.merge_mode = validate.choice("merge_mode", merge_mode, ("concat", "sum", "mul", "ave"))
        self.forward_layer = self._copied(layer, "forward_")
        if backward_layer is None:
            seed = None if layer.seed is None else layer.seed + 1
            backward_layer = self._copied(layer, "backward_", go_backwards=True, seed=seed)
        self.backward_layer = backward_layer
        self._check_pair()

    @staticmethod
    def _copied(layer: Recurrent, prefix: str, **changes: Any) -> Recurrent:
        """A new layer of the same configuration."""
        config = {**layer.get_config(), "name": prefix + layer.name.removeprefix(prefix), **changes}
        copied = type(layer).from_config(config)
        # Keras's: what the layers above are given at masked steps
        copied.zero_output_for_mask = copied.return_sequences
        return copied

    def _check_pair(self) -> None:
        ahead, back = self.forward_layer, self.backward_layer
        if ahead.go_backwards == back.go_backwards:
            raise ValueError(f"backward_layer must walk the other way: both have go_backwards={ahead.go_backwards}")
        same = ["return_sequences", "return_state", "stateful", "dtype"]
        for name in same if self.merge_mode in ("concat", None) else [*same, "units"]:
            if getattr(ahead, name) != getattr(back, name):
                raise ValueError(
                    f"backward_layer must have the {name} of the layer, {getattr(ahead, name)}, got "
                    f"{getattr(back, name)}"
                )
        back.zero_output_for_mask = back.return_sequences

    @property
    def return_sequences(self) -> bool:
        """Of the layers inside."""
        return self.forward_layer.return_sequences

    @property
    def return_state(self) -> bool:
        """Of the layers inside."""
        return self.forward_layer.return_state

    @property
    def stateful(self) -> bool:
        """Of the layers inside."""
        return self.forward_layer.stateful

    @property
    def states(self) -> tuple[np.ndarray, ...] | None:
        """What is carried: the forward layer's states, then the backward layer's."""
        ahead, back = self.forward_layer.states, self.backward_layer.states
        return None if ahead is None or back is None else (*ahead, *back)

    @property
    def dstate(self) -> tuple[np.ndarray, ...] | None:
        """Gradients of the initial states, left by `backward`."""
        ahead, back = self.forward_layer.dstate, self.backward_layer.dstate
        return None if ahead is None or back is None else (*ahead, *back)

    def build(self, input_shape: Shape) -> None:
        """Make the weights of both for an input of shape (B, T, I)."""
        self._build_inside(input_shape)

    def forward(
        self, x: Any, training: bool = False, *, initial_state: Any = None, lengths: Any = None, mask: Any = None
    ) -> Any:
        """Run over a batch of sequences, both ways.

        Parameters
        ----------
        x, training, lengths, mask
            As in the layer inside.
        initial_state : sequence of arrays (B, H), optional
            The forward layer's states, then the backward layer's.

        Returns
        -------
        y : ndarray, (B, T, 2.H) or (B, 2.H), or of H columns unless concatenated
            The pair of them if `merge_mode` is None; with `return_state` a tuple (y, *states).
        """
        begin, end = self._halves("initial_state", initial_state)
        options = {"training": training, "lengths": lengths, "mask": mask}
        # validated here for both, and converted at most once
        x = validate.array("x", x, self.dtype)
        ahead = self.forward_layer.forward(x, initial_state=begin, **options)
        back = self.backward_layer.forward(x, initial_state=end, **options)
        states: tuple[np.ndarray, ...] = ()
        if self.return_state:
            (ahead, *of_ahead), (back, *of_back) = ahead, back
            states = (*of_ahead, *of_back)
        if self.return_sequences:
            back = back[:, ::-1]
        if training:
            self.remember(ahead, back)
        y = self._merged(ahead, back)
        if self.return_state:
            return (*y, *states) if self.merge_mode is None else (y, *states)
        return y

    def _merged(self, ahead: np.ndarray, back: np.ndarray) -> Any:
        if self.merge_mode == "concat":
            return np.concatenate([ahead, back], axis=-1)
        if self.merge_mode == "sum":
            return ahead + back
        if self.merge_mode == "mul":
            return ahead * back
        if self.merge_mode == "ave":
            return (ahead + back) * ahead.dtype.type(0.5)
        return ahead, back

    def _halves(self, name: str, value: Any) -> tuple[Any, Any]:
        """States of both directions, those of each."""
        if value is None:
            return None, None
        counts = [self.forward_layer._state_count, self.backward_layer._state_count]
        if not isinstance(value, (tuple, list)) or len(value) != sum(counts):
            came = f"{len(value)} of them" if isinstance(value, (tuple, list)) else type(value).__name__
            raise ValueError(f"{name} must be {sum(counts)} arrays, half of them for each direction, got {came}")
        return tuple(value[: counts[0]]), tuple(value[counts[0] :])

    def backward(self, dy: Any = None, dstate: Any = None, *, need_dx: bool = True) -> np.ndarray | None:
        """Backpropagation through time of both directions.

        Parameters
        ----------
        dy : array_like, optional
            Gradient by y, of y's shape; a pair if `merge_mode` is None.
        dstate : sequence of arrays (B, H), optional
            Gradient by the final states, in the order of `return_state`.
        need_dx : bool
            False leaves out the gradient of x.

        Returns
        -------
        dx : ndarray, (B, T, I), or None
        """
        ahead, back = self.recall()
        begin, end = self._halves("dstate", dstate)
        of_ahead, of_back = (None, None) if dy is None else self._split(dy, ahead, back)
        if of_back is not None and self.return_sequences:
            of_back = of_back[:, ::-1]
        dx = self.forward_layer.backward(of_ahead, begin, need_dx=need_dx)
        other = self.backward_layer.backward(of_back, end, need_dx=need_dx)
        return dx if dx is None or other is None else np.add(dx, other, out=dx)

    def _split(self, dy: Any, ahead: np.ndarray, back: np.ndarray) -> tuple[Any, Any]:
        """The gradients by the outputs of both, from that by what they were merged into."""
        if self.merge_mode is None:
            if not isinstance(dy, (tuple, list)) or len(dy) != 2:
                raise ValueError(f"dy must be a pair of arrays, got {type(dy).__name__}")
            parts = zip(dy, (ahead, back), strict=True)
            checked = [
                None if part is None else validate.array(f"dy[{way}]", part, self.dtype, y.shape)
                for way, (part, y) in enumerate(parts)
            ]
            return checked[0], checked[1]
        if self.merge_mode == "concat":
            width = ahead.shape[-1]
            dy = validate.array("dy", dy, self.dtype, (*ahead.shape[:-1], width + back.shape[-1]))
            return dy[..., :width], dy[..., width:]
        dy = validate.array("dy", dy, self.dtype, ahead.shape)
        if self.merge_mode == "sum":
            return dy, dy
        if self.merge_mode == "mul":
            return dy * back, dy * ahead
        half = dy * dy.dtype.type(0.5)
        return half, half

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """(B, T, ...) or (B, ...); a pair of shapes if `merge_mode` is None."""
        ahead = self.forward_layer.compute_output_shape(input_shape)
        back = self.backward_layer.compute_output_shape(input_shape)
        if self.merge_mode is None:
            return ahead, back
        if self.merge_mode == "concat":
            return (*ahead[:-1], self.forward_layer.units + self.backward_layer.units)
        return ahead

    def compute_mask(self, x: Any, mask: np.ndarray | None) -> np.ndarray | None:
        """The same mask, if all outputs are returned."""
        return mask if self.return_sequences else None

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; a layer is {"class": name, "config": {...}}."""
        config = super().get_config()
        return {"layer": config.pop("forward_layer"), "merge_mode": self.merge_mode, **config}


class TimeDistributed(Wrapper):
    """The same layer at every step: (B, T, ...) -> (B, T, ...).

    Parameters
    ----------
    layer : Layer
        Takes what stands at a step, the batch first; not one that carries a state or returns one. Random numbers are
        drawn for every step anew.
    **common
        name, input_shape and the other arguments of `Layer`.

    Examples
    --------
    >>> layer = TimeDistributed(Dense(10, activation="softmax"))
    >>> y = layer(np.zeros((8, 20, 4), np.float32))    # (8, 20, 10)
    """

    inside = ("layer",)

    def __init__(self, layer: Layer, **common: Any) -> None:
        super().__init__(layer, **common)
        for name in ("stateful", "return_state"):
            if getattr(layer, name, False):
                raise ValueError(f"layer must have {name}=False: a state would pass from step to step")
        self.layer = layer

    def _step_shape(self, shape: Any) -> Shape:
        """The input's shape at one step."""
        shape = validate.input_shape(shape)
        if len(shape) < 3:
            raise ValueError(f"{self.name} takes an input of shape (B, T, ...), with more than two axes, got {shape}")
        return (shape[0], *shape[2:])

    def build(self, input_shape: Shape) -> None:
        """Make the weights for one step of an input of shape (B, T, ...)."""
        self._build_inside(self._step_shape(input_shape))

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """The layer's output at every step.

        Parameters
        ----------
        x : array_like, (B, T, ...)
        training : bool

        Returns
        -------
        y : ndarray, (B, T, ...)
        """
        x = x if isinstance(x, np.ndarray) else np.asarray(x)
        self._step_shape(x.shape)
        batch, steps = x.shape[:2]
        y = self.layer(x.reshape(batch * steps, *x.shape[2:]), training=training)
        if training:
            self.remember(x.shape, y.shape)
        result: np.ndarray = y.reshape(batch, steps, *y.shape[1:])
        return result

    def backward(self, dy: Any, *, need_dx: bool = True) -> np.ndarray | None:
        """The layer's gradients, summed over the steps, and that of x."""
        before, after = self.recall()
        dy = validate.array("dy", dy, self.dtype, (*before[:2], *after[1:]))
        dx = self.layer.backward(dy.reshape(after), need_dx=need_dx)
        return None if dx is None else dx.reshape(before)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T, ...) -> (B, T, ...)."""
        shape = self._step_shape(input_shape)
        batch, *row = self.layer.compute_output_shape(shape)
        return (batch, input_shape[1], *row)
