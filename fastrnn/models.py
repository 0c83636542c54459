"""Models: layers put together, trained step by step or epoch by epoch, and kept in files.

>>> model = Sequential([Embedding(10000, 32), LSTM(32), Dense(1, activation="sigmoid")])
>>> model.compile("rmsprop", "binary_crossentropy", metrics=["acc"])
>>> history = model.fit(x, y, epochs=10, batch_size=128, validation_split=0.2)      # x (N, T) whole numbers, y (N,)
>>> history.history["val_acc"]
>>> model.save("model.fastrnn")
>>> model = load_model("model.fastrnn")     # and training goes on, to the same bits

How a model is trained and used is written in `fastrnn.training`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from fastrnn import layers as registry
from fastrnn import validate
from fastrnn.layers.base import Layer, Shape, Variable
from fastrnn.layers.embedding import Embedding, Lookup
from fastrnn.layers.input import InputLayer
from fastrnn.training import Trainable, describe, taken

# files of Keras's, which `fastrnn.io.keras_h5` writes and reads
KERAS_ENDINGS = (".h5", ".hdf5", ".keras")


class Sequential(Trainable):
    """Layers in a row, each fed with the output of the one before.

    Parameters
    ----------
    layers : sequence of Layer
        More can follow by `add`. An `Input` may stand before them.
    name : str

    Attributes
    ----------
    layers : list of Layer
    built : bool
        Whether all variables exist. The first call builds the model from its input's shape; if the first layer declares
        an `input_shape`, whatever wants weights does.
    input_shape : tuple of int or None
        What it was built for, the batch being None.
    optimizer, loss, metrics, weighted_metrics, history
        As in `Trainable`.
    """

    def __init__(self, layers: Sequence[Layer | InputLayer] = (), name: str = "sequential") -> None:
        super().__init__()
        self.name = validate.layer_name("name", name)
        self.layers: list[Layer] = []
        self.input_shape: Shape | None = None
        self._wanted_shape: Shape | None = None  # what it was built for before a layer was added
        self._input: InputLayer | None = None
        self._used = False
        self._variables: list[Variable] | None = None
        if not isinstance(layers, Iterable):
            raise TypeError(f"layers must be a list of layers, got {layers!r}")
        for layer in layers:
            self.add(layer)

    # ---- structure

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name, or at this place.

        Raises
        ------
        ValueError
            There is none, or not just one of the two is given.
        """
        if (name is None) == (index is None):
            raise ValueError(f"either name or index must be given, got {name!r} and {index!r}")
        if index is None:
            return {layer.name: layer for layer in self.layers}[
                validate.choice("name", name, [layer.name for layer in self.layers])
            ]
        place = validate.count("index", index)
        if place >= len(self.layers):
            raise ValueError(f"index must be below the {len(self.layers)} layers, got {place}")
        return self.layers[place]

    def add(self, layer: Layer | InputLayer) -> None:
        """Put a layer at the end, as long as no data have been through the model.

        A layer without a name of its own is counted: lstm, lstm_1, lstm_2. An `Input` tells the first layer's
        `input_shape`.

        Raises
        ------
        TypeError
            Not a layer.
        ValueError
            The layer, or its name, is in the model already, or the model has been used. Or an Input is not the first,
            or the first layer has another input_shape.
        """
        if isinstance(layer, InputLayer):
            if self.layers or self._input is not None:
                raise ValueError(f"{layer.name} must be the first of {self.name}")
            self._input = layer
            return
        if not isinstance(layer, Layer):
            raise TypeError(f"layer must be a Layer, got {layer!r}")
        if self.built and self._used:
            raise ValueError(
                f"{self.name} is built and in use: no layer can be added, but Sequential([*model.layers, layer]) is a "
                "new model"
            )
        if layer in self.layers:
            raise ValueError(f"{layer.name} is in {self.name} already: a layer remembers one forward pass, not two")
        taken_names = {other.name for other in self.layers}
        base, number = layer.name, 0
        while layer.name in taken_names:
            if layer.named:
                raise ValueError(f"{self.name} has a layer named {layer.name!r} already")
            number += 1
            layer.name = f"{base}_{number}"
        if self._input is not None and not self.layers:
            shape = self._input.batch_shape
            if layer.declared_shape not in (None, shape):
                raise ValueError(
                    f"input_shape of {layer.name} must be that of {self._input.name}, {shape}, "
                    f"got {layer.declared_shape}"
                )
            layer.declared_shape = shape
        layer.named = True
        self.layers.append(layer)
        if self.built:
            self._wanted_shape, self.input_shape = self.input_shape, None
            self._variables = None

    @property
    def built(self) -> bool:
        """Whether all variables exist."""
        return self.input_shape is not None

    @property
    def output_shape(self) -> Shape | None:
        """Shape of the output, the batch being None; None before the model is built."""
        self._build_if_declared()
        shape = self.input_shape
        for layer in self.layers:
            shape = None if shape is None else layer.compute_output_shape(shape)
        return shape

    def build(self, input_shape: Shape | None = None) -> None:
        """Create all variables; calling the model does it by itself.

        Parameters
        ----------
        input_shape : tuple of int or None, optional
            None for the batch, and for any axis that varies: (None, None) for whole numbers (B, T). May be left out if
            the first layer declares it.

        Raises
        ------
        ValueError
            A layer cannot take what the one before gives, or there is no layer, or no shape.
        """
        if input_shape is None:
            input_shape = self._declared_shape()
            if input_shape is None:
                raise ValueError("input_shape must be given, for the first layer does not declare it")
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

    def _declared_shape(self) -> Shape | None:
        """The input's shape as far as it is known before data come."""
        if self._wanted_shape is not None or not self.layers:
            return self._wanted_shape
        return self.layers[0].declared_shape

    def _build_if_declared(self) -> None:
        if not self.built and self._declared_shape() is not None:
            self.build()

    @property
    def variables(self) -> list[Variable]:
        """Those of all layers, in order."""
        self._build_if_declared()
        if not self.built:
            return super().variables
        if self._variables is None:
            self._variables = super().variables
        return self._variables

    @property
    def parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(variable.size for variable in self.variables)

    def count_params(self) -> int:
        """Keras's name of `parameters`."""
        return self.parameters

    def summary(self, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the layers with their output shapes and numbers of parameters, as Keras does.

        Parameters
        ----------
        line_length : int, optional
            Width of the table, which is wider if a name is long. Default: that of the terminal, at most 88.
        print_fn : callable, optional
            Is given the whole text.
        """
        if print_fn is not None:
            validate.function("print_fn", print_fn)
        if line_length is None:
            import shutil

            line_length = min(shutil.get_terminal_size().columns - 4, 88)
        line_length = validate.count("line_length", line_length)
        self._build_if_declared()
        shape = self.input_shape
        rows = [("Layer (type)", "Output Shape", "Param #")]
        for layer in self.layers:
            shape = None if shape is None else layer.compute_output_shape(shape)
            size = f"{layer.parameters:,}" if self.built else "0 (unbuilt)"
            rows.append((f"{layer.name} ({type(layer).__name__})", "?" if shape is None else _shape_text(shape), size))
        variables = self.variables if self.built else []
        total = f"{sum(v.size for v in variables):,} ({_memory(sum(v.size * v.dtype.itemsize for v in variables))})"
        lines = [f'Model: "{self.name}"', *_table(rows, line_length), f" Total params: {total}"]
        lines += [f" Trainable params: {total}", " Non-trainable params: 0 (0.00 B)"]
        text = "\n".join(lines) + "\n"
        if print_fn is not None:
            print_fn(text)
            return
        try:
            text.encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            text = text.translate(PLAIN)
        print(text)

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
        return self.forward(x, training)[0]

    def forward(self, x: Any, training: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """The output, and its mask: bool, (B, T), where a layer makes one and none drops the steps; else None."""
        if not self.built:
            self._build_if_declared()
            if not self.built:
                self.build((None, *np.shape(x)[1:]))
        self._used = True
        mask: np.ndarray | None = None
        for layer, following in zip(self.layers, [*self.layers[1:], None], strict=True):
            if isinstance(layer, Embedding) and following is not None and following.takes_lookup:
                y = layer(x, training, gather=False)
            else:
                y = layer(x, training) if mask is None or not layer.takes_mask else layer(x, training, mask=mask)
            if not isinstance(y, (np.ndarray, Lookup)):
                raise TypeError(f"{layer.name} gives several arrays, but a Sequential passes on one")
            x, mask = y, layer.compute_mask(x, mask)
        output: np.ndarray = x
        return output, mask

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

    # ---- files

    def get_config(self) -> dict[str, Any]:
        """Name, layers with their configurations, and the input shape if built, as JSON can hold them."""
        return {
            "name": self.name,
            "layers": [
                describe(layer, type(layer).__name__, registry.LAYERS, "fastrnn.layers.LAYERS") for layer in self.layers
            ],
            "input_shape": self.input_shape,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new model with new weights, built if the one was whose `get_config` this is."""
        model = cls._from_layers(validate.config(config, "name", "layers", "input_shape"))
        if config["input_shape"] is not None:
            model.build(tuple(config["input_shape"]))
        return model

    @classmethod
    def _from_layers(cls, config: Mapping[str, Any]) -> Self:
        return cls([registry.get(each["class"], **each["config"]) for each in config["layers"]], config["name"])

    def save(
        self,
        path: str | os.PathLike[str],
        state: Any = None,
        *,
        overwrite: bool = True,
        include_optimizer: bool = True,
    ) -> None:
        """Write the model to one file: its layers, weights and carried states, and its optimizer, loss and metrics.

        Parameters
        ----------
        path : path-like
            Replaced only when the new file is complete. A path that ends in .h5, .hdf5 or .keras becomes a file of
            Keras's, without carried states; that takes h5py.
        state : optional
            Anything else that JSON can hold, as the position of a training run; see `load_checkpoint`.
        overwrite : bool
            False raises FileExistsError if there is a file.
        include_optimizer : bool
            False leaves out optimizer, loss and metrics.

        Raises
        ------
        ValueError
            A layer, optimizer, loss or metric is not in its registry, so that no file could bring it back; or layers
            are built, but not the model; or a file of Keras's should hold a state.
        TypeError
            JSON cannot hold the state.
        ImportError
            A file of Keras's is to be written, and h5py is not installed.
        OSError
            From the file system.
        """
        from fastrnn import saving  # not above: zipfile and json would be 8 ms of every `import fastrnn`

        path = validate.path("path", path)
        self._build_if_declared()
        if not self.built and any(layer.built for layer in self.layers):
            raise ValueError(f"{self.name} is not built, but some of its layers are: call it once before save")
        if not overwrite and os.path.exists(path):
            raise FileExistsError(f"there is a file {path!r} already")
        model = self if include_optimizer else self._uncompiled()
        if is_keras(path):
            if state is not None:
                raise ValueError(f"state must be None for a file of Keras's, {path!r}")
            from fastrnn.io import keras_h5

            keras_h5.save(model, path)
            return
        content: dict[str, Any] = {"model": model.get_config(), "state": state, "compiled": model._compilation()}
        saving.write(path, content, model._state())

    def restore(self, input_shape: Any, arrays: dict[str, np.ndarray]) -> None:
        """Build with the weights of a file, which are taken out of its arrays."""
        self.input_shape = shape = self._check_shape(input_shape)
        for layer in self.layers:
            layer.restore(shape, taken(arrays, f"weights/{layer.name}/"))
            shape = layer.compute_output_shape(shape)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a file that `save` or `save_weights` wrote; on an error none has changed.

        Raises
        ------
        ValueError
            The file is no model's, or number or shapes of its weights differ.
        OSError
            From the file system.
        """
        other = load_model(path, compile=False)
        if not self.built and other.input_shape is not None:
            self.build(self._declared_shape() or other.input_shape)
        self.set_weights([variable.value for variable in other.variables])


def load_model(path: str | os.PathLike[str], compile: bool = True) -> Sequential:
    """The model that `Sequential.save` wrote, or Keras, ready to predict, or to be trained further to the same bits.

    Parameters
    ----------
    path : path-like
        Taken as a file of Keras's if it ends in .h5, .hdf5 or .keras.
    compile : bool
        False leaves out optimizer, loss and metrics, which then may be such as there are not here.

    Raises
    ------
    ValueError
        Naming the file and what is wrong with it. Loading executes nothing of the file and takes no more memory than
        its size accounts for.
    OSError
        From the file system.
    """
    return load_checkpoint(path, compile)[0]


def load_checkpoint(path: str | os.PathLike[str], compile: bool = True) -> tuple[Sequential, Any]:
    """The model, as by `load_model`, and the `state` that was saved with it (None if none was)."""
    from fastrnn import saving

    path = validate.path("path", path)
    if is_keras(path):
        from fastrnn.io import keras_h5

        return keras_h5.load(path, compile), None
    content, arrays = saving.read(path)
    with saving.refusing(path):
        model = _restore(content, arrays, compile)
    return model, content.get("state")


def _restore(content: Mapping[str, Any], arrays: dict[str, np.ndarray], compile: bool) -> Sequential:
    """The model of a file's content."""
    if "layers" not in content["model"]:
        raise ValueError("it holds no Sequential; Seq2Seq.load reads those of a Seq2Seq")
    model = Sequential._from_layers(content["model"])
    if content["model"]["input_shape"] is not None:
        model.restore(content["model"]["input_shape"], arrays)
    elif model._declared_shape() is not None:
        raise ValueError("its first layer declares an input, but it is not built")  # building it takes memory
    model._take_up(content["compiled"], arrays, compile)
    model._used = True
    return model


def is_keras(path: str | os.PathLike[str]) -> bool:
    """Whether a path ends as a file of Keras's."""
    return os.fspath(path).lower().endswith(KERAS_ENDINGS)


# ---- the summary's table


def _shape_text(shape: Shape) -> str:
    return "(" + ", ".join("None" if size is None else str(size) for size in shape) + ")"


def _memory(size: int) -> str:
    """1313412 -> '1.25 MB'."""
    power = min(max(size.bit_length() - 1, 0) // 10, 3)
    return f"{size / 1024**power:.2f} {('B', 'KB', 'MB', 'GB')[power]}"


# for terminals without the characters of `_table`
PLAIN = str.maketrans(dict.fromkeys("━─", "-") | dict.fromkeys("┃│", "|") | dict.fromkeys("┏┳┓┡╇┩├┼┤└┴┘", "+"))


def _table(rows: Sequence[Sequence[str]], length: int) -> list[str]:
    """Lines of a table of three columns, the first row its head; 45, 35 and 20 % wide, but never too narrow."""
    left, right = round((length - 4) * 0.45), round((length - 4) * 0.2)
    least = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    widths = [max(pair) for pair in zip(least, (left, length - 4 - left - right, right), strict=True)]

    def rule(begin: str, line: str, cross: str, end: str) -> str:
        return begin + cross.join(line * width for width in widths) + end

    def cells(row: Sequence[str], bar: str) -> str:
        name, shape, size = row
        texts = (f" {name:<{widths[0] - 2}} ", f" {shape:<{widths[1] - 2}} ", f" {size:>{widths[2] - 2}} ")
        return bar + bar.join(texts) + bar

    lines = [rule("┏", "━", "┳", "┓"), cells(rows[0], "┃"), rule("┡", "━", "╇", "┩")]
    for number, row in enumerate(rows[1:]):
        lines += [rule("├", "─", "┼", "┤")] * (number > 0) + [cells(row, "│")]
    return [*lines, rule("└", "─", "┴", "┘")]
