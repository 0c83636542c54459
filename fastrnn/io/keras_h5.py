"""Models in Keras's files: legacy HDF5 (.h5, .hdf5) and .keras archives. Needs h5py: `pip install "fastrnn[hdf5]"`.

    model.save("rnn.h5")              # keras.models.load_model("rnn.h5") reads it
    model = load_model("keras.h5")    # and the other way round: what Keras 2 and Keras 3 wrote

An .h5 file has the text of the model and of how it was compiled in the attributes model_config and training_config, the
weights under model_weights/<layer>, where the attributes layer_names and weight_names name them, and the optimizer's
slots under optimizer_weights. A .keras file is a ZIP archive of config.json, metadata.json and model.weights.h5, in
which the place of a weight follows from the classes of the layers.

Reading trusts nothing: `hdf5` tells what is refused, `keras_config` what is looked up. Nothing of a file is imported,
evaluated or unpickled.
"""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastrnn import optimizers, saving, validate
from fastrnn.io import hdf5, keras_config
from fastrnn.layers.base import Shape, Variable, snake_case
from fastrnn.models import Sequential
from fastrnn.optimizers import Optimizer

# Keras's version that the files are written for; the last releases of Keras 2 read the HDF5 files as well
VERSION = "3.0.0"

# how an archive begins
ZIP = b"PK\x03\x04"

# its members
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

# where model.weights.h5 has the layers; Keras 2.12 had another name for it
PLACES = ("layers", "_layer_checkpoint_dependencies")

# far above what models have
MOST_LAYERS = 10_000

# to an attribute, which must stay below 64 kB: a name takes 16 bytes
MOST_NAMES = 4_000

# what damaged files raise below
DAMAGE = (*saving.DAMAGE, TypeError, AttributeError)


class Part(NamedTuple):
    """One of Keras's layers, with its weights.

    Attributes
    ----------
    value : dict
        The layer as Keras writes it.
    weights : list of Weight
        Where its weights stand.
    variables : list of Variable
        The weights.
    """

    value: dict[str, Any]
    weights: list[keras_config.Weight]
    variables: list[Variable]

    @property
    def name(self) -> str:
        """The layer's."""
        name: str = self.value["config"]["name"]
        return name


# ---- writing


def save(model: Sequential, path: str | os.PathLike[str]) -> None:
    """Write a model as Keras does: a .keras archive if the path ends so, HDF5 otherwise.

    The folder is made if it is not there.

    Parameters
    ----------
    model : Sequential
        Built. A stack (`num_layers`, `bidirectional`) becomes several layers of Keras's.
    path : path-like
        A file there is replaced when the new one is complete and on the disk, and otherwise left as it was.

    Raises
    ------
    ValueError
        The model is not built, or has something that Keras does not have.
    ImportError
        h5py is not installed.
    OSError
        From the file system.
    """
    h5py, path = hdf5.require(), validate.path("path", path)
    if not model.built:
        raise ValueError(f"{model.name} is not built: call it once before it is saved for Keras")
    parts = [
        Part(value, keras_config.weights(value["class_name"], value["config"]), variables)
        for layer in model.layers
        for value, variables in keras_config.described(layer)
    ]
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise ValueError(f"the layers of {model.name} must have names of their own in Keras, got {', '.join(names)}")
    buffer = io.BytesIO()
    if path.lower().endswith(".keras"):
        with h5py.File(buffer, "w") as file:
            _write_places(file, model, parts)
        weights, buffer = buffer.getvalue(), io.BytesIO()
        _write_archive(buffer, model, parts, weights)
    else:
        with h5py.File(buffer, "w") as file:
            _write_legacy(file, model, parts)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with saving.replacing(path) as target:
        target.write(buffer.getbuffer())


def _model_config(model: Sequential, parts: Sequence[Part]) -> dict[str, Any]:
    """The model as Keras writes it."""
    shape = _input_shape(model)
    dtype = model.layers[0].dtype.name
    first = keras_config.written(
        "keras.layers", "InputLayer", {"name": "input_layer", "dtype": dtype, "batch_input_shape": shape}
    )
    return keras_config.written(
        "keras",
        "Sequential",
        {"name": model.name, "layers": [first, *(part.value for part in parts)], "build_input_shape": shape},
    )


def _input_shape(model: Sequential) -> Shape:
    """The model's input, with the batch if a layer carries a state: Keras must know it then."""
    assert model.input_shape is not None
    batch, *row = model.input_shape
    stateful = [layer for layer in model.layers if getattr(layer, "stateful", False)]
    for layer in stateful:
        declared = model.layers[0].declared_shape
        batch = batch or (declared or (None,))[0]
        if batch is None:
            states = getattr(layer, "states", None)
            if not states:
                raise ValueError(
                    f"{layer.name} is stateful, so that Keras must know the batch: give the first layer a "
                    "batch_input_shape, or call the model before it is saved"
                )
            batch = states[0].shape[0]
    return (batch if stateful else None, *row)


def _write_legacy(file: Any, model: Sequential, parts: Sequence[Part]) -> None:
    file.attrs["keras_version"] = VERSION
    file.attrs["backend"] = "numpy"
    config = _model_config(model, parts)
    file.attrs["model_config"] = json.dumps(config)
    group = file.create_group("model_weights")
    group.attrs["keras_version"] = VERSION
    group.attrs["backend"] = "numpy"
    _write_names(group, "layer_names", [part.name for part in parts])
    for part in parts:
        within = group.create_group(part.name)
        prefix = f"{model.name}/{part.name}/"
        _write_names(within, "weight_names", [prefix + weight.path for weight in part.weights])
        for weight, variable in zip(part.weights, part.variables, strict=True):
            within.create_dataset(prefix + weight.path, data=variable.value)
    _write_names(group.create_group("top_level_model_weights"), "weight_names", [])
    compiled = keras_config.compilation(model)
    if compiled is None or model.optimizer is None:
        return
    optimizer = compiled.pop("optimizer")
    compiled["optimizer_config"] = {"class_name": optimizer["class_name"], "config": optimizer["config"]}
    file.attrs["training_config"] = json.dumps(compiled)
    group = file.create_group("optimizer_weights")
    slots = list(_optimizer_weights(model.optimizer, parts))
    _write_names(group, "weight_names", [f"{model.optimizer.name}/{name}" for name, _ in slots])
    for name, value in slots:
        group.create_dataset(f"{model.optimizer.name}/{name}", data=value)


def _write_names(group: Any, name: str, values: list[str]) -> None:
    if len(values) <= MOST_NAMES:
        group.attrs[name] = values
        return
    for number, start in enumerate(range(0, len(values), MOST_NAMES)):
        group.attrs[f"{name}{number}"] = values[start : start + MOST_NAMES]


def _write_places(file: Any, model: Sequential, parts: Sequence[Part]) -> None:
    """What model.weights.h5 has."""
    for prefix, part in zip(_places(part.value["class_name"] for part in parts), parts, strict=True):
        file.create_group(f"{PLACES[0]}/{prefix}/vars").attrs["name"] = part.name
        for weight, variable in zip(part.weights, part.variables, strict=True):
            file.create_dataset(f"{PLACES[0]}/{prefix}/{weight.place}", data=variable.value)
    if model.optimizer is not None:
        group = file.create_group("optimizer/vars")
        group.attrs["name"] = model.optimizer.name
        for number, (_, value) in enumerate(_optimizer_weights(model.optimizer, parts)):
            group.create_dataset(str(number), data=value)


def _places(classes: Iterator[str]) -> Iterator[str]:
    """Of each layer in its order: lstm, dense, lstm_1. These are counts, not the layers' names."""
    seen: dict[str, int] = {}
    for class_name in classes:
        name = snake_case(class_name)
        number = seen[name] = seen.get(name, -1) + 1
        yield f"{name}_{number}" if number else name


def _write_archive(buffer: io.BytesIO, model: Sequential, parts: Sequence[Part], weights: bytes) -> None:
    config = _model_config(model, parts)
    config["build_config"] = {"input_shape": config["config"]["build_input_shape"]}
    config["compile_config"] = keras_config.compilation(model)
    members = {
        METADATA: json.dumps({"keras_version": VERSION}).encode(),
        CONFIG: json.dumps(config).encode(),
        WEIGHTS: weights,
    }
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            # ZipInfo's own date, 1980, stays: the same model gives the same bytes
            archive.writestr(zipfile.ZipInfo(name), content)


def _optimizer_weights(optimizer: Optimizer, parts: Sequence[Part]) -> Iterator[tuple[str, np.ndarray]]:
    """Names and values, in the order in which Keras takes them."""
    state = optimizer.get_state()
    if len(state) == 2:  # no update was done: the slots are what they begin with
        fresh = optimizers.get(optimizer.name, **optimizer.get_config())
        fresh.build([variable for part in parts for variable in part.variables])
        state = fresh.get_state() | state
    yield "iteration", state["iterations"]
    if not isinstance(optimizer.get_config()["learning_rate"], dict):  # a schedule has no variable
        yield "learning_rate", state["learning_rate"].astype(np.float32)
    places = [
        (f"{part.name}/{weight.path}", variable)
        for part in parts
        for weight, variable in zip(part.weights, part.variables, strict=True)
    ]
    for i, slot in keras_config.slot_order(optimizer, len(places)):
        path, variable = places[i]
        value = state[f"{i}/{slot}"].reshape(variable.shape)
        value *= keras_config.slot_factor(optimizer, slot)
        yield f"{path}/{keras_config.slot_name(optimizer, slot)}", value


# ---- reading


def load(path: str | os.PathLike[str], compile: bool = True) -> Sequential:
    """The model that Keras 2, Keras 3 or `save` wrote, of either kind.

    Parameters
    ----------
    path : path-like
    compile : bool
        False leaves out optimizer, loss and metrics, which then may be such as there are not here.

    Raises
    ------
    ValueError
        Naming the file, and what is wrong with it or what of it there is not here.
    ImportError
        h5py is not installed.
    OSError
        From the file system.
    """
    hdf5.require()
    path = validate.path("path", path)
    with open(path, "rb") as file:
        data = file.read()
    try:
        return _from_archive(data, compile) if data.startswith(ZIP) else _from_legacy(data, compile)
    except KeyError as error:
        key = str(error.args[0])  # of JSON; of an archive or of HDF5 a sentence
        raise saving.refusal(path, f"{key!r} is missing" if key.isidentifier() else key) from error
    except DAMAGE as error:
        raise saving.refusal(path, str(error) or type(error).__name__) from error


def _from_legacy(data: bytes, compile: bool) -> Sequential:
    with hdf5.reading(data) as tree:
        text = tree.text("", "model_config")
        if text is None:
            raise ValueError("it has no model_config: it may hold weights alone")
        version = _version(tree.text("model_weights", "keras_version") or tree.text("", "keras_version"))
        model, items, shape = _model(json.loads(text), version)
        names = tree.names("model_weights", "layer_names")
        of_layers = [
            [
                tree.array(f"model_weights/{name}/{weight}")
                for weight in tree.names(f"model_weights/{name}", "weight_names")
            ]
            for name in names
        ]
        _restore(model, items, shape, [arrays for arrays in of_layers if arrays])
        training = tree.text("", "training_config")
        if compile and training is not None:
            config = json.loads(training)
            config["optimizer"] = config.pop("optimizer_config")
            slots: list[np.ndarray] = []
            if "optimizer_weights" in tree.groups:
                slots = [
                    tree.array(f"optimizer_weights/{name}") for name in tree.names("optimizer_weights", "weight_names")
                ]
            _compile(model, config, version, slots)
    return model


def _from_archive(data: bytes, compile: bool) -> Sequential:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        # members that overlap, or are compressed, could add up to more than the file
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("its members are larger than the file")
        members = {}
        for name in (CONFIG, METADATA, WEIGHTS):
            if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its member {name} is compressed")
            members[name] = archive.read(name)
    version = _version(json.loads(members[METADATA])["keras_version"])
    config = json.loads(members[CONFIG])
    model, items, shape = _model(config, version)
    with hdf5.reading(members[WEIGHTS]) as tree:
        root = next((root for root in PLACES if any(path.startswith(f"{root}/") for path in tree.arrays)), PLACES[0])
        of_layers = [
            [tree.array(f"{root}/{prefix}/{weight.place}") for weight in keras_config.weights(*item)]
            for prefix, item in zip(_places(item.class_name for item in items), items, strict=True)
        ]
        _restore(model, items, shape, [arrays for arrays in of_layers if arrays])
        compiled = config.get("compile_config")
        if compile and compiled and compiled.get("optimizer"):
            numbers = range(len(tree.arrays))
            paths = [path for number in numbers if (path := f"optimizer/vars/{number}") in tree.arrays]
            _compile(model, compiled, version, [tree.array(path) for path in paths])
    return model


def _version(text: Any) -> int:
    """The first figure of Keras's version."""
    first = str(text).split(".")[0] if text else "1"
    if first not in ("2", "3"):
        raise ValueError(f"it is of Keras {text or 1}, and those of Keras 2 and 3 are read")
    return int(first)


def _model(value: Any, version: int) -> tuple[Sequential, list[keras_config.Named], Shape]:
    """The model without its weights, its layers as Keras writes them, and the shape of its input."""
    if isinstance(value, dict) and isinstance(value.get("config"), list):  # before Keras 2.2.3
        value = {**value, "config": {"layers": value["config"]}}
    class_name, config = keras_config.named("the model", value)
    if class_name != "Sequential":
        raise ValueError(f"its model is of class {class_name}, and only a Sequential is read")
    values = config["layers"]
    if len(values) > MOST_LAYERS:
        raise ValueError(f"its model has more than {MOST_LAYERS} layers")
    items = [keras_config.named("a layer", each) for each in values]
    if not items:
        raise ValueError("its model has no layers")
    shape = next((items[0].config[key] for key in ("batch_shape", "batch_input_shape") if key in items[0].config), None)
    if items[0].class_name == "InputLayer":
        values, items = values[1:], items[1:]
    shape = shape or config.get("build_input_shape")
    if not isinstance(shape, list):
        raise ValueError(f"its model must say the shape of its input, got {shape!r}")
    built = [
        keras_config.layer(each, version, tuple(shape) if number == 0 else None) for number, each in enumerate(values)
    ]
    return Sequential(built, keras_config.plain_name(config.get("name", "sequential"))), items, tuple(shape)


def _restore(
    model: Sequential, items: Sequence[keras_config.Named], shape: Any, of_layers: Sequence[list[np.ndarray]]
) -> None:
    """Build the model with the weights of its layers, those that have any."""
    weights = [keras_config.weights(*item) for item in items]
    if len(of_layers) != sum(map(bool, weights)):
        raise ValueError(f"it has weights of {len(of_layers)} layers for {sum(map(bool, weights))}")
    rest = iter(of_layers)
    model.input_shape = shape = model._check_shape(shape)
    for layer, item, places in zip(model.layers, items, weights, strict=True):
        arrays = keras_config.arranged(*item, next(rest) if places else [])
        if len(arrays) != len(places):
            raise ValueError(f"it has {len(arrays)} weights for {layer.name}, which has {len(places)}")
        named = {place.variable: array.astype(layer.dtype) for place, array in zip(places, arrays, strict=True)}
        layer.restore(shape, named)
        shape = layer.compute_output_shape(shape)
    model._used = True


def _compile(model: Sequential, config: dict[str, Any], version: int, slots: Sequence[np.ndarray]) -> None:
    """Compile the model as it was, and let its optimizer go on where it stood."""
    try:
        arguments = keras_config.compiled(config, version)
        model.compile(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{error}; keras_h5.load(path, compile=False) leaves out optimizer, loss and metrics"
        ) from error
    if slots:
        _resume(arguments["optimizer"], slots, model.variables)


def _resume(optimizer: Optimizer, arrays: Sequence[np.ndarray], variables: Sequence[Variable]) -> None:
    """Give an optimizer the slots of a file, or warn that it begins anew, as Keras does."""
    rest = [array for array in arrays if array.ndim]
    iterations = [int(array) for array in arrays if not array.ndim and array.dtype.kind in "iu"]
    if len(rest) > len(optimizer.slots) * len(variables):
        # before version 2.3, an SGD had slots that it did not use, and an Adam those of amsgrad with one number each
        rest = rest[: len(optimizer.slots) * len(variables)]
    shapes = [array.shape for array in rest]
    state = {
        "iterations": np.array(iterations[0] if iterations else 0),
        "learning_rate": np.array(optimizer.learning_rate),
    }
    orders = [keras_config.slot_order(optimizer, len(variables), old) for old in (False, True)]
    order = next((order for order in orders if shapes == [variables[i].shape for i, _ in order]), None)
    if order is None:
        warnings.warn(
            f"the arrays of the {optimizer.name} are not those of this model's: its state begins anew", stacklevel=4
        )
        return
    for (i, slot), array in zip(order, rest, strict=True):
        own = array.astype(variables[i].dtype).reshape(-1)
        state[f"{i}/{slot}"] = own / own.dtype.type(keras_config.slot_factor(optimizer, slot))
    optimizer.set_state(state)
    optimizer.build(variables)
