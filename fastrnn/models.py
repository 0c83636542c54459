"""Models: layers put together, trained step by step, and kept in files.

>>> model = Sequential([Embedding(65, 64), LSTM(256, return_sequences=True, stateful=True), Dense(65)])
>>> model.compile(Adam(0.002, global_clipnorm=5.0), SparseCategoricalCrossentropy(from_logits=True))
>>> for x, y in batches:                    # (B, T) whole numbers
...     loss = model.train_on_batch(x, y)
>>> model.save("model.fastrnn")
>>> model = load_model("model.fastrnn")     # and training goes on, to the same bits
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from fastrnn import layers as registry
from fastrnn import losses, optimizers, validate
from fastrnn.layers.base import Layer, Shape, Variable, assign_all


class Sequential:
    """Layers in a row, each fed with the output of the one before.

    Parameters
    ----------
    layers : sequence of Layer
        More can follow by `add`.
    name : str

    Attributes
    ----------
    layers : list of Layer
    built : bool
        Whether all variables exist. The first call builds the model from its input's shape.
    input_shape : tuple of int or None
        What it was built for, the batch being None.
    optimizer, loss
        As compiled, or None.
    """

    def __init__(self, layers: Sequence[Layer] = (), name: str = "sequential") -> None:
        self.name = validate.layer_name("name", name)
        self.layers: list[Layer] = []
        self.input_shape: Shape | None = None
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        for layer in layers:
            self.add(layer)

    # ---- structure

    def add(self, layer: Layer) -> None:
        """Put a layer at the end.

        A layer without a name of its own is counted: lstm, lstm_1, lstm_2.

        Raises
        ------
        TypeError
            Not a layer.
        ValueError
            The layer, or its name, is in the model already, or the model is built.
        """
        if not isinstance(layer, Layer):
            raise TypeError(f"layer must be a Layer, got {layer!r}")
        if self.built:
            raise ValueError(f"{self.name} is built: no layer can be added")
        if layer in self.layers:
            raise ValueError(f"{layer.name} is in {self.name} already: a layer remembers one forward pass, not two")
        taken = {other.name for other in self.layers}
        base, number = layer.name, 0
        while layer.name in taken:
            if layer.named:
                raise ValueError(f"{self.name} has a layer named {layer.name!r} already")
            number += 1
            layer.name = f"{base}_{number}"
        layer.named = True
        self.layers.append(layer)

    @property
    def built(self) -> bool:
        """Whether all variables exist."""
        return self.input_shape is not None

    def build(self, input_shape: Shape) -> None:
        """Create all variables; calling the model does it by itself.

        Parameters
        ----------
        input_shape : tuple of int or None
            None for the batch, and for any axis that varies: (None, None) for whole numbers (B, T).

        Raises
        ------
        ValueError
            A layer cannot take what the one before gives, or there is no layer.
        """
        shape = self._check_shape(input_shape)
        for layer in self.layers:
            if not layer.built:
                layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.input_shape = tuple(input_shape)

    def _check_shape(self, input_shape: Any) -> Shape:
        if not self.layers:
            raise ValueError(f"{self.name} has no layers")
        if self.built:
            raise ValueError(f"{self.name} is built already")
        return validate.input_shape(input_shape)

    @property
    def variables(self) -> list[Variable]:
        """Those of all layers, in order."""
        return [variable for layer in self.layers for variable in layer.variables]

    @property
    def parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(layer.parameters for layer in self.layers)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, in order."""
        return [weight for layer in self.layers for weight in layer.get_weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights; on an error none has changed.

        Raises
        ------
        ValueError
            The model is not built, or number or shapes differ from those of `get_weights`.
        """
        if not self.built:
            raise ValueError(f"{self.name} is not built: call it once, or build(input_shape), before set_weights")
        assign_all(self.variables, weights)

    def reset_states(self) -> None:
        """Let stateful layers begin anew."""
        for layer in self.layers:
            layer.reset_states()

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers with their output shapes and numbers of parameters.

        Parameters
        ----------
        print_fn : callable
            Is given the whole text.
        """
        shape = self.input_shape
        rows = [("layer", "output shape", "parameters")]
        for layer in self.layers:
            shape = None if shape is None else layer.compute_output_shape(shape)
            size = f"{layer.parameters:,}" if layer.built else "?"
            rows.append((f"{layer.name} ({type(layer).__name__})", "?" if shape is None else _shape_text(shape), size))
        rows.append(("total", "", f"{self.parameters:,}" if self.built else "?"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {size:>{widths[2]}}" for name, shape, size in rows]
        rule = "-" * len(lines[0])
        print_fn("\n".join([f"model {self.name!r}", rule, lines[0], rule, *lines[1:-1], rule, lines[-1]]))

    # ---- passes

    def __call__(self, x: Any, training: bool = False) -> np.ndarray:
        """The output of the last layer; the first call builds the model.

        Parameters
        ----------
        x : array_like
            A batch, of the first layer's kind.
        training : bool
            Keep what `backward` needs.
        """
        if not self.built:
            self.build((None, *np.shape(x)[1:]))
        for layer in self.layers:
            x = layer(x, training=training)
            if not isinstance(x, np.ndarray):
                raise TypeError(f"{layer.name} gives several arrays, but a Sequential passes on one")
        output: np.ndarray = x
        return output

    def backward(self, dy: np.ndarray, *, need_dx: bool = False) -> np.ndarray | None:
        """Write every variable's gradient, from the gradient dy with respect to the last training output.

        Returns
        -------
        dx : ndarray or None
            Gradient with respect to the input, if `need_dx` and the first layer has one.
        """
        gradient: np.ndarray | None = dy
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient, need_dx=need_dx or layer is not self.layers[0])
        return gradient

    # ---- training

    def compile(self, optimizer: str | optimizers.Optimizer, loss: str | losses.Loss) -> None:
        """Choose how the model is trained.

        Parameters
        ----------
        optimizer : str or Optimizer
            A name in `fastrnn.optimizers.OPTIMIZERS`, or an optimizer.
        loss : str or Loss
            A name in `fastrnn.losses.LOSSES`, or a loss.
        """
        optimizer, loss = optimizers.get(optimizer), losses.get(loss)
        self.optimizer, self.loss = optimizer, loss

    def _compiled(self) -> tuple[optimizers.Optimizer, losses.Loss]:
        if self.optimizer is None or self.loss is None:
            raise RuntimeError(f"{self.name} is not compiled: call compile(optimizer, loss) first")
        return self.optimizer, self.loss

    def train_on_batch(self, x: Any, y: Any, sample_weight: Any = None, mask: Any = None) -> float:
        """One update from one batch.

        Parameters
        ----------
        x, y : array_like
            Inputs, and what the loss takes as y_true.
        sample_weight, mask : array_like, optional
            As in `Loss.value_and_grad`.

        Returns
        -------
        loss : float
            Before the update.
        """
        optimizer, loss = self._compiled()
        value, dy = loss.value_and_grad(y, self(x, training=True), sample_weight, mask)
        self.backward(dy)
        optimizer.apply(self.variables)
        return value

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None, mask: Any = None) -> float:
        """The loss of one batch, without training; the arguments are those of `train_on_batch`."""
        _, loss = self._compiled()
        return loss(y, self(x), sample_weight, mask)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """The output for one batch, without training."""
        return self(x)

    # ---- files

    def get_config(self) -> dict[str, Any]:
        """Name, layers with their configurations, and the input shape if built, as JSON can hold them."""
        return {
            "name": self.name,
            "layers": [
                _describe(layer, type(layer).__name__, registry.LAYERS, "fastrnn.layers.LAYERS")
                for layer in self.layers
            ],
            "input_shape": self.input_shape,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new model with new weights, built if the one was whose `get_config` this is."""
        model = cls._from_layers(config)
        if config["input_shape"] is not None:
            model.build(tuple(config["input_shape"]))
        return model

    @classmethod
    def _from_layers(cls, config: Mapping[str, Any]) -> Self:
        return cls([registry.get(each["class"], **each["config"]) for each in config["layers"]], config["name"])

    def save(self, path: str | os.PathLike[str], state: Any = None) -> None:
        """Write the model to one file: its layers, weights and carried states, and its optimizer and loss.

        Parameters
        ----------
        path : path-like
            Replaced only when the new file is complete.
        state : optional
            Anything else that JSON can hold, as the position of a training run; see `load_checkpoint`.

        Raises
        ------
        ValueError
            A layer, optimizer or loss is not in its registry, so that no file could bring it back; or layers are built,
            but not the model.
        TypeError
            JSON cannot hold the state.
        OSError
            From the file system.
        """
        from fastrnn import saving  # not above: zipfile and json would be 8 ms of every `import fastrnn`

        if not self.built and any(layer.built for layer in self.layers):
            raise ValueError(f"{self.name} is not built, but some of its layers are: call it once before save")
        content: dict[str, Any] = {"model": self.get_config(), "state": state, "compiled": None}
        arrays: dict[str, np.ndarray] = {}
        for layer in self.layers:
            if self.built:
                arrays |= {f"weights/{layer.name}/{variable.name}": variable.value for variable in layer.variables}
            arrays |= _prefixed(f"carried/{layer.name}/", layer.get_state())
        if self.optimizer is not None and self.loss is not None:
            content["compiled"] = {
                "optimizer": _describe(
                    self.optimizer,
                    self.optimizer.name,
                    optimizers.OPTIMIZERS,
                    "fastrnn.optimizers.OPTIMIZERS",
                ),
                "loss": _describe(self.loss, self.loss.name, losses.LOSSES, "fastrnn.losses.LOSSES"),
            }
            arrays |= _prefixed("optimizer/", self.optimizer.get_state())
        saving.write(path, content, arrays)


def load_model(path: str | os.PathLike[str]) -> Sequential:
    """The model that `Sequential.save` wrote, ready to predict, or to be trained further to the same bits.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    ValueError
        Naming the file and what is wrong with it. Loading executes nothing of the file and takes no more memory than
        its size accounts for.
    OSError
        From the file system.
    """
    return load_checkpoint(path)[0]


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[Sequential, Any]:
    """The model, as by `load_model`, and the `state` that was saved with it (None if none was)."""
    from fastrnn import saving

    content, arrays = saving.read(path)
    try:
        model = _restore(content, arrays)
    except KeyError as error:
        raise saving.refusal(path, f"{error.args[0]!r} is missing") from error
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError) as error:
        raise saving.refusal(path, str(error)) from error
    return model, content.get("state")


def _restore(content: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> Sequential:
    """The model of a file's content; every array must find its place."""
    model = Sequential._from_layers(content["model"])
    if content["model"]["input_shape"] is not None:
        model.input_shape = shape = model._check_shape(content["model"]["input_shape"])
        for layer in model.layers:
            layer.restore(shape, _taken(arrays, f"weights/{layer.name}/"))
            shape = layer.compute_output_shape(shape)
    for layer in model.layers:
        layer.set_state(_taken(arrays, f"carried/{layer.name}/"))
    if content["compiled"] is not None:
        loss, of_optimizer = content["compiled"]["loss"], content["compiled"]["optimizer"]
        optimizer = optimizers.get(of_optimizer["class"], **of_optimizer["config"])
        optimizer.set_state(_taken(arrays, "optimizer/"))
        optimizer.build(model.variables)
        model.compile(optimizer, losses.get(loss["class"], **loss["config"]))
    if arrays:
        raise ValueError(f"nothing in the model takes {', '.join(sorted(arrays))}")
    return model


def _describe(thing: Any, name: str, registry: Mapping[str, type[Any]], registry_name: str) -> dict[str, Any]:
    """What a file says of a thing: its name in the registry and its configuration."""
    if registry.get(name) is not type(thing):
        raise ValueError(f"{type(thing).__name__} is not in {registry_name}, so that no file could bring it back")
    return {"class": name, "config": thing.get_config()}


def _prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def _taken(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, without that, and no longer among the others."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def _shape_text(shape: Shape) -> str:
    return "(" + ", ".join("None" if size is None else str(size) for size in shape) + ")"
