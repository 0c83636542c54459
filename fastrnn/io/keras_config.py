"""What Keras's JSON says of a model, in our terms and back.

Classes, arguments, losses and the like have Keras's names here, so that a configuration mostly is what the class of
that name takes. What this module knows is the difference: how an object is written down,

    Keras    {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.01}, "registered_name": null}
    here     {"class": "l2", "config": {"l2": 0.01}}

the arguments that only one side has, and where in a file each weight stands. A class of Keras's is looked up in our own
registries and nowhere else: nothing that a file names is imported, and a layer that holds code (Lambda) is unknown.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn import initializers, layers, losses, metrics, optimizers, regularizers, schedules, validate
from fastrnn.layers.base import Layer, Shape, Variable, snake_case
from fastrnn.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from fastrnn.models import Sequential

RECURRENT = ("GRU", "LSTM", "SimpleRNN")

# layers that both have, by the same names
LAYERS = (
    *RECURRENT,
    "Activation",
    "Bidirectional",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "LayerNormalization",
    "Masking",
    "RepeatVector",
    "Reshape",
    "SpatialDropout1D",
    "TimeDistributed",
)

# Keras 2's layers for graphics processors: the same mathematics, other layouts
CUDNN = {"CuDNNGRU": "GRU", "CuDNNLSTM": "LSTM"}

# arguments of ours that Keras does not have: neither written nor taken from a file
OURS = frozenset({"bidirectional", "compute_dtype", "num_layers", "num_threads"})

# arguments of Keras's that say nothing here: names, shapes that the model tells, and how Keras is to compute
SILENT = frozenset(
    "batch_input_shape batch_shape ema_momentum ema_overwrite_frequency fn implementation input_dtype input_length "
    "is_legacy_optimizer jit_compile name unroll use_cudnn".split()
)

# arguments of losses, metrics and optimizers that say nothing with these values
HARMLESS: dict[str, tuple[Any, ...]] = {
    "axis": (-1,),
    "curve": ("ROC",),
    "dtype": ("float32", "float64"),
    "reduction": ("auto", "sum_over_batch_size"),
    "summation_method": ("interpolation",),
}

# packages whose classes are Keras's own
KERAS = ("builtins", "keras", "tf_keras")

# names by which Keras means the accuracy that suits the loss
ACCURACIES = ("acc", "accuracy")

# what Keras 2 had another formula for
CHANGED = {"hard_sigmoid": "0.2 x + 0.5, not x / 6 + 0.5"}


class Named(NamedTuple):
    """An object as Keras writes it: its class, and the constructor's arguments."""

    class_name: str
    config: dict[str, Any]


def named(what: str, value: Any) -> Named:
    """The class and the arguments of an object that is Keras's own.

    Raises
    ------
    ValueError
        It is none.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("class_name"), str):
        raise ValueError(f"{what} must be an object with a class, got {value!r}")
    class_name, config = value["class_name"], value.get("config", {})
    module, registered = value.get("module", "keras"), value.get("registered_name")
    if not isinstance(module, str) or module.split(".")[0] not in KERAS or registered not in (None, class_name):
        raise ValueError(f"{what} is of class {class_name} of {module}, which is not Keras's own")
    if not isinstance(config, dict):
        raise ValueError(f"{what} of class {class_name} must have arguments by name, got {config!r}")
    return Named(class_name, config)


def written(module: str, class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """An object as Keras writes it."""
    return {"module": module, "class_name": class_name, "config": dict(config), "registered_name": None}


# ---- weights


class Weight(NamedTuple):
    """Where a weight of a layer stands.

    Attributes
    ----------
    variable : str
        Name of our variable: "kernel", in a wrapper "forward_layer/kernel".
    path : str
        Below the layer in a legacy file: "lstm_cell/kernel".
    place : str
        Below the layer in a .keras file: "cell/vars/0".
    """

    variable: str
    path: str
    place: str


def weights(class_name: str, config: Mapping[str, Any]) -> list[Weight]:
    """The weights of a layer, in Keras's order, which is ours.

    Parameters
    ----------
    class_name : str
        One of `LAYERS`, or of `CUDNN`.
    config : mapping
        As Keras writes it.
    """
    class_name = CUDNN.get(class_name, class_name)
    if class_name == "Bidirectional":
        inner = named("layer", config["layer"])
        name = str(inner.config.get("name", "")).removeprefix("forward_")
        return [
            Weight(f"{way}_layer/{each.variable}", f"{way}_{name}/{each.path}", f"{way}_layer/{each.place}")
            for way in ("forward", "backward")
            for each in weights(*inner)
        ]
    if class_name == "TimeDistributed":
        inner = named("layer", config["layer"])
        name = inner.config.get("name", "")
        return [
            Weight(f"layer/{each.variable}", f"{name}/{each.path}", f"layer/{each.place}") for each in weights(*inner)
        ]
    bias = ("bias",) if config.get("use_bias", True) else ()
    if class_name in RECURRENT:
        names: tuple[str, ...] = ("kernel", "recurrent_kernel", *bias)
        path, place = f"{snake_case(class_name)}_cell/", "cell/"
        return [Weight(name, path + name, f"{place}vars/{number}") for number, name in enumerate(names)]
    scales = [name for name, there in (("gamma", "scale"), ("beta", "center")) if config.get(there, True)]
    own = {"Dense": ("kernel", *bias), "Embedding": ("embeddings",), "LayerNormalization": tuple(scales)}
    return [Weight(name, name, f"vars/{number}") for number, name in enumerate(own.get(class_name, ()))]


def arranged(class_name: str, config: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """The weights of a layer as ours has them; only those of the layers in `CUDNN` are laid out otherwise."""
    if class_name == "Bidirectional":
        inner, half = named("layer", config["layer"]), len(arrays) // 2
        return [*arranged(*inner, arrays[:half]), *arranged(*inner, arrays[half:])]
    if class_name not in CUDNN or len(arrays) != 3:
        return arrays
    kernel, recurrent_kernel, bias = arrays
    gates = 4 if class_name == "CuDNNLSTM" else 3
    # of each gate W is (H, I) in memory, but kept in the shape (I, H)
    of_gates = [gate.T.reshape(gate.shape, order="F") for gate in np.hsplit(kernel, gates)]
    halves = bias.reshape(2, -1)  # the input's bias and the recurrent one
    return [
        np.hstack(of_gates),
        np.hstack([gate.T for gate in np.hsplit(recurrent_kernel, gates)]),
        halves.sum(axis=0) if gates == 4 else halves,
    ]


# ---- layers, from Keras


def layer(value: Any, version: int, shape: Shape | None = None) -> Layer:
    """A layer of Keras's as one of ours.

    Parameters
    ----------
    value : mapping
        As Keras writes it.
    version : int
        The first figure of Keras's version.
    shape : tuple of int or None, optional
        What the layer declares of its input, the batch first.

    Raises
    ------
    ValueError
        Naming the layer, and what of it there is not here.
    """
    class_name, config = named("a layer", value)
    name = config.get("name", class_name)
    if class_name not in (*LAYERS, *CUDNN):
        raise ValueError(f"layer {name!r} is of class {class_name}, which is none of {', '.join(sorted(LAYERS))}")
    try:
        return _layer(class_name, config, version, shape)
    except (TypeError, ValueError) as error:
        raise ValueError(f"layer {name!r} of class {class_name}: {error}") from error


def _layer(class_name: str, config: Mapping[str, Any], version: int, shape: Shape | None) -> Layer:
    cls = layers.LAYERS[CUDNN.get(class_name, class_name)]
    if class_name == "GRU":
        config = {"reset_after": False, **config}  # as it was before Keras could do otherwise
    taken: dict[str, Any] = {}
    for argument, item in config.items():
        if argument in ("layer", "backward_layer") and item is not None:
            item = layer(item, version)
        elif argument == "activation":
            item = _activation(item, version)
        elif argument == "dtype":
            item = _dtype(item)
        elif argument.endswith("_regularizer"):
            item = _ours(argument, item, regularizers.REGULARIZERS)
        elif argument.endswith("_initializer"):
            item = _initializer(item)
        if item is not None or argument == "merge_mode":
            taken[argument] = item
    if not isinstance(taken.get("seed", 0), int) or taken.get("seed", 0) < 0:
        del taken["seed"]  # the same numbers would not be drawn here in any case
    taken = _known(cls, taken)
    return cls(name=plain_name(config.get("name", class_name)), batch_input_shape=shape, **taken)


def plain_name(name: Any) -> str:
    """A name of Keras's, in the letters that names have here."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", str(name)) or "_"


def _known(cls: type[Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the class knows.

    Raises
    ------
    ValueError
        Others that are not idle; it names all of them.
    """
    classes = [*cls.__mro__[:-1], *getattr(cls, "loss_class", object).__mro__[:-1]]  # a loss as a metric has both's
    makers = [vars(base)["__init__"] for base in classes if "__init__" in vars(base)]
    names = {name for maker in makers for name in inspect.signature(maker).parameters}
    names |= set(getattr(cls, "fixed", ()))
    names -= OURS | {"self", "args", "kwargs", "common", "options", "fixed", "lr"}
    left = {name: value for name, value in config.items() if name not in names and not _idle(name, value)}
    if left:
        raise ValueError(f"fastrnn has nothing for {', '.join(f'{name}={value!r}' for name, value in left.items())}")
    return {name: value for name, value in config.items() if name in names and name not in SILENT}


def _idle(name: str, value: Any) -> bool:
    """Whether an argument that there is not here says nothing: it switches something off, or is of no account."""
    return name in SILENT or value in HARMLESS.get(name, ()) or value is None or value in (False, 0, "", [], {})


def _activation(value: Any, version: int) -> Any:
    if isinstance(value, Mapping) and value.get("class_name") == "function":
        value = value.get("config")
    if value is not None and not isinstance(value, str):
        raise ValueError(f"activation must be a name, got {value!r}")
    if version < 3 and value in CHANGED:
        raise ValueError(f"{value} was {CHANGED[value]}, in Keras {version}")
    return value


def _dtype(value: Any) -> Any:
    """The name of a dtype, or of a policy."""
    if isinstance(value, Mapping):
        value = named("dtype", value).config.get("name")
    return value


def _ours(argument: str, value: Any, registry: Mapping[str, type[Any]]) -> Any:
    """An object of Keras's, or its name, as ours."""
    if value is None or isinstance(value, str):
        return value
    class_name, config = named(argument, value)
    cls = next((cls for cls in registry.values() if cls.__name__ == class_name), None)
    if cls is None:
        raise ValueError(f"{argument} is of class {class_name}, which there is not here")
    return cls(**_known(cls, {name: item for name, item in config.items() if item is not None}))


def _initializer(value: Any) -> Any:
    """An initializer, or None for the class's own: a layer of a file has its weights, and draws none."""
    try:
        return initializers.check("initializer", _ours("initializer", value, initializers.INITIALIZERS))
    except (TypeError, ValueError):
        return None


# ---- layers, to Keras


def described(one: Layer) -> list[tuple[dict[str, Any], list[Variable]]]:
    """A layer of ours as Keras writes it, with its weights in Keras's order; a stack is several layers.

    Raises
    ------
    ValueError
        Keras has no such layer.
    """
    class_name = type(one).__name__
    if class_name not in LAYERS or layers.LAYERS[class_name] is not type(one):
        raise ValueError(f"{one.name} is of class {class_name}, which Keras does not have")
    if isinstance(one, Recurrent) and (one.num_layers > 1 or one.bidirectional):
        return _described_stack(one)
    value = written("keras.layers", class_name, _config(one))
    return [(value, one.variables)]


def _config(one: Layer) -> dict[str, Any]:
    """A layer's arguments as Keras has them."""
    config: dict[str, Any] = {}
    for name, value in one.get_config().items():
        if name in ("layer", "backward_layer"):
            inner = getattr(one, "forward_layer" if name == "layer" and hasattr(one, "forward_layer") else name)
            ((value, _),) = described(inner)
        elif name.endswith("_initializer"):
            value = _as_keras("initializers", initializers.get(value))
        elif name.endswith("_regularizer") and value is not None:
            value = _as_keras("regularizers", regularizers.get(value))
        # of Keras's layers only these take a seed in all versions
        if name not in OURS and name != "batch_input_shape" and (name != "seed" or isinstance(one, layers.Dropout)):
            config[name] = value
    if isinstance(one, layers.LSTM | layers.GRU):
        config["recurrent_activation"] = "sigmoid"
    if isinstance(one, layers.GRU):
        config["reset_after"] = True
    return config


def _as_keras(module: str, thing: Any) -> dict[str, Any]:
    return written(f"keras.{module}", type(thing).__name__, thing.get_config())


def _described_stack(one: Recurrent) -> list[tuple[dict[str, Any], list[Variable]]]:
    """Layer upon layer, each in both directions if the stack is."""
    if one.bidirectional and one.go_backwards:
        raise ValueError(f"{one.name} walks both directions, backwards first: Keras has no such layer")
    if one.return_state:
        raise ValueError(f"{one.name} is several layers in Keras, which cannot return one state")
    class_name, own = type(one).__name__, _config(one)
    parts = []
    for level, directions in enumerate(one.levels):
        name = f"{one.name}_level{level}" if one.num_layers > 1 else one.name
        config = {
            **own,
            "name": name,
            "return_sequences": one.return_sequences or level + 1 < one.num_layers,
            "go_backwards": one.go_backwards and level == 0,  # what the first one gives is in the order of its walk
        }
        value = written("keras.layers", class_name, config)
        if one.bidirectional:
            ahead = {**config, "name": f"forward_{name}", "zero_output_for_mask": config["return_sequences"]}
            back = {**ahead, "name": f"backward_{name}", "go_backwards": True}
            both = {
                "name": name,
                "dtype": one.dtype.name,
                "merge_mode": "concat",
                "layer": written("keras.layers", class_name, ahead),
                "backward_layer": written("keras.layers", class_name, back),
            }
            value = written("keras.layers", "Bidirectional", both)
        parts.append((value, [variable for direction in directions for variable in direction.variables]))
    return parts


# ---- how a model was compiled


def compilation(model: Sequential) -> dict[str, Any] | None:
    """Optimizer, loss and metrics of a model as Keras writes them; None if it is not compiled.

    Raises
    ------
    ValueError
        Keras has no such optimizer, loss or metric.
    """
    if model.optimizer is None or model.loss is None:
        return None
    return {
        "optimizer": _written_optimizer(model.optimizer),
        "loss": _written_loss(model.loss),
        "loss_weights": None,
        "metrics": [_written_metric(metric, model.loss) for metric in model.metrics],
        "weighted_metrics": [_written_metric(metric, model.loss) for metric in model.weighted_metrics],
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }


def _written_optimizer(optimizer: optimizers.Optimizer) -> dict[str, Any]:
    _check_registered(optimizer, optimizers.OPTIMIZERS)
    value = _as_keras("optimizers", optimizer)
    # without what is None: the optimizers of Keras 2 do not know all of it
    value["config"] = {name: item for name, item in value["config"].items() if item is not None}
    rate = value["config"]["learning_rate"]
    if isinstance(rate, Mapping):
        cls = schedules.SCHEDULES[rate["class"]]
        value["config"]["learning_rate"] = written("keras.optimizers.schedules", cls.__name__, rate["config"])
    return value


def _written_loss(loss: losses.Loss) -> Any:
    """Its name, where that says it all."""
    _check_registered(loss, losses.LOSSES)
    return loss.name if loss.get_config() == type(loss)().get_config() else _as_keras("losses", loss)


def _written_metric(metric: metrics.Metric, loss: losses.Loss) -> Any:
    """The accuracy that suits the loss by its name, all else as an object."""
    _check_registered(metric, metrics.METRICS)
    config = metric.get_config()
    if metric.name in ACCURACIES:
        named_so = metrics.get(metric.name, loss)
        if type(named_so) is type(metric) and named_so.get_config() == config:
            return metric.name
    cls = type(metric)
    if cls in (metrics.Accuracy, metrics.Perplexity):
        raise ValueError(f"the metric {metric.name} is of class {cls.__name__}, which Keras does not have")
    if config.get("from_logits") and isinstance(metric, metrics.Detection):
        raise ValueError(f"the metric {metric.name} is {cls.__name__} of logits, which Keras does not have")
    if isinstance(metric, metrics.BinaryAccuracy):
        if config.pop("from_logits"):  # Keras's does not know of logits: its threshold is one
            if not 0 < metric.threshold < 1:
                raise ValueError(f"the threshold of {metric.name} must be between 0 and 1, got {metric.threshold}")
            config["threshold"] = math.log(metric.threshold / (1 - metric.threshold))
    elif isinstance(metric, metrics.Detection):
        del config["from_logits"]
    return written("keras.metrics", cls.__name__, config)


def _check_registered(thing: Any, registry: Mapping[str, type[Any]]) -> None:
    if type(thing) not in registry.values():
        raise ValueError(f"{type(thing).__name__} is not one of {', '.join(sorted(registry))}, which Keras has as well")


def compiled(value: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The arguments of `compile` from what Keras writes of them.

    Raises
    ------
    ValueError
        Naming what there is not here.
    """
    class_name, config = named("optimizer", value["optimizer"])
    config = {name: item for name, item in config.items() if item is not None}
    if "lr" in config:  # until Keras 2.3
        config["learning_rate"] = config.pop("lr")
    if isinstance(config.get("learning_rate"), Mapping):
        config["learning_rate"] = _ours("learning_rate", config["learning_rate"], schedules.SCHEDULES)
    # Keras 2 registered its own optimizers as if they were a user's
    cls = validate.registered("optimizer", class_name.removeprefix("Custom>"), optimizers.OPTIMIZERS)
    if _only("loss_weights", value.get("loss_weights")) not in (None, 1.0):
        raise ValueError(f"loss_weights must be none, got {value['loss_weights']!r}")
    return {
        "optimizer": cls(**_known(cls, config)),
        "loss": losses.get(_ours("loss", _only("loss", value.get("loss")), losses.LOSSES)),
        **{kind: [_metric(each) for each in _flat(value.get(kind))] for kind in ("metrics", "weighted_metrics")},
    }


def _flat(value: Any) -> list[Any]:
    """Metrics of a model with one output, however they are nested."""
    if isinstance(value, Mapping) and "class_name" not in value:
        value = list(value.values())
    if not isinstance(value, list):
        return [] if value is None else [value]
    return [each for part in value for each in _flat(part)]


def _metric(value: Any) -> Any:
    value = _only("metric", value)
    if isinstance(value, Mapping) and value.get("class_name") == "MeanMetricWrapper":  # a function, in Keras 2
        _, config = named("metric", value)
        if config.get("name") in ACCURACIES:
            return config["name"]
        return metrics.get(config["fn"], name=plain_name(config.get("name", config["fn"])))
    if isinstance(value, str):
        return value
    class_name, config = named("metric", value)
    if class_name == "Accuracy":
        raise ValueError("the metric Accuracy of Keras compares for equality, which there is not here")
    kept = {**value, "config": {name: item for name, item in config.items() if name != "name"}}
    metric: metrics.Metric = _ours("metric", kept, metrics.METRICS)
    metric.name = plain_name(config.get("name", metric.name))
    return metric


def _only(what: str, value: Any) -> Any:
    """Of a model with one output: that one's."""
    if isinstance(value, Mapping) and "class_name" not in value:
        value = list(value.values())
    if isinstance(value, list):
        if len(value) != 1:
            raise ValueError(f"{what} must be of one output, got {value!r}")
        value = value[0]
    if isinstance(value, Mapping) and value.get("class_name") == "function":
        value = value.get("config")
    return value


def slot_order(optimizer: optimizers.Optimizer, count: int, old: bool = False) -> list[tuple[int, str]]:
    """Number of the variable and name of its slot, in the order in which Keras keeps them.

    Parameters
    ----------
    optimizer : Optimizer
    count : int
        Of variables.
    old : bool
        The order of the optimizers before Keras 2.11.
    """
    if isinstance(optimizer, optimizers.Adam) and not old:
        return [(i, slot) for i in range(count) for slot in optimizer.slots]
    return [(i, slot) for slot in optimizer.slots for i in range(count)]


def slot_name(optimizer: optimizers.Optimizer, slot: str) -> str:
    """As Keras calls it."""
    return "momentum" if isinstance(optimizer, optimizers.SGD) else slot


def slot_factor(optimizer: optimizers.Optimizer, slot: str) -> float:
    """What a slot of ours is to be multiplied by to be Keras's."""
    if isinstance(optimizer, optimizers.Adam):
        return 1 - {"momentum": optimizer.beta_1, "velocity": optimizer.beta_2}[slot]
    return 1.0
