"""Variables that cannot change unseen, and what every layer has in common."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from fastrnn import layers
from fastrnn.layers.base import Layer, RandomMasks, Shape, Variable, snake_case


class Scale(Layer):
    """The example of the module's docstring."""

    def build(self, input_shape: Shape) -> None:
        assert input_shape[-1] is not None
        self.factor = self.add_weight("factor", (input_shape[-1],), "normal")
        self.built = True

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        if training:
            self.remember(x)
        y: np.ndarray = x * self.factor.value
        return y

    def backward(self, dy: Any, *, need_dx: bool = True) -> np.ndarray | None:
        (x,) = self.recall()
        self.factor.grad = (dy * x).reshape(-1, x.shape[-1]).sum(axis=0)
        return dy * self.factor.value if need_dx else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def test_a_variable_owns_its_array() -> None:
    source = np.ones((2, 3), np.float32)
    variable = Variable(source, "kernel")
    source[...] = 7
    assert variable.value.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert (variable.name, variable.shape, variable.dtype, variable.size) == ("kernel", (2, 3), np.float32, 6)
    assert variable.grad is None


def test_a_value_is_read_only_for_good() -> None:
    value = Variable(np.zeros(3), "bias").value
    with pytest.raises(ValueError, match="read-only"):
        value[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        value.flags.writeable = True


def test_a_copied_variable_is_whole() -> None:
    variable = Variable(np.zeros(3), "bias")
    other = copy.deepcopy(variable)
    other.assign([1, 2, 3])
    assert other.value.tolist() == [1, 2, 3] and not other.value.flags.writeable
    assert not variable.value.any()


def test_every_change_raises_the_version() -> None:
    variable = Variable(np.zeros(3), "bias")
    value, version = variable.value, variable.version
    variable.assign([1, 2, 3])
    assert variable.version == version + 1
    with variable.writing() as array:
        array *= 2
    assert variable.version == version + 2
    assert value.tolist() == [2, 4, 6]  # the view sees it
    with pytest.raises(ValueError, match="read-only"):
        array *= 2  # the block is over


def test_an_interrupted_change_raises_the_version() -> None:
    variable = Variable(np.zeros(3), "bias")
    with pytest.raises(KeyboardInterrupt), variable.writing() as array:
        array[0] = 1
        raise KeyboardInterrupt
    assert variable.version == 1
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 2


def test_assign_checks_shape_and_kind() -> None:
    variable = Variable(np.zeros((2, 3)), "kernel")
    with pytest.raises(ValueError, match=r"kernel must have shape \(2, 3\), got \(3, 2\)"):
        variable.assign(np.ones((3, 2)))
    with pytest.raises(TypeError, match="kernel must hold real numbers"):
        variable.assign(np.ones((2, 3), complex))
    assert variable.version == 0


def test_the_first_call_builds() -> None:
    layer = Scale(seed=1)
    assert not layer.built and layer.parameters == 0
    y = layer(np.ones((2, 5), np.float32))
    assert layer.built and layer.parameters == 5 and y.shape == (2, 5)


def test_weights_are_copies() -> None:
    layer = Scale()
    layer.build((None, 3))
    (weights,) = layer.get_weights()
    weights[...] = 7
    assert not (layer.factor.value == 7).any()
    layer.set_weights([weights])
    weights[...] = 8
    assert layer.get_weights()[0].tolist() == [7, 7, 7]


def test_set_weights_changes_all_or_nothing() -> None:
    layer = layers.Dense(3, seed=1)
    with pytest.raises(ValueError, match="not built"):
        layer.set_weights([])
    layer.build((None, 2))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=r"weights\[1\] \(bias\) must have shape \(3,\), got \(4,\)"):
        layer.set_weights([np.ones((2, 3)), np.ones(4)])
    with pytest.raises(ValueError, match="weights must be 2 arrays, got 1"):
        layer.set_weights([np.ones((2, 3))])
    for weight, kept in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_a_seed_decides_the_weights() -> None:
    def weights(seed: int | None) -> np.ndarray:
        layer = Scale(seed=seed)
        layer.build((None, 4))
        return layer.get_weights()[0]

    np.testing.assert_array_equal(weights(3), weights(3))
    assert (weights(3) != weights(4)).any()
    assert (weights(None) != weights(None)).any()


def test_backward_needs_a_training_forward() -> None:
    layer, x = Scale(), np.ones((2, 3), np.float32)
    layer(x)
    with pytest.raises(RuntimeError, match="scale: backward needs a forward with training=True"):
        layer.backward(x)
    layer(x, training=True)
    layer(x)  # inference in between changes nothing
    layer.backward(x)
    with pytest.raises(RuntimeError, match="one for each"):
        layer.backward(x)


def test_a_layer_without_a_formula_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Layer has no forward pass"):
        Layer()(np.zeros((1, 1)))


def test_weight_names_are_unique_and_made_once() -> None:
    layer = Scale()
    layer.add_weight("factor", (3,), "zeros")
    with pytest.raises(ValueError, match="two variables named 'factor'"):
        layer.add_weight("factor", (3,), "zeros")
    layer.built = True
    with pytest.raises(RuntimeError, match="built already"):
        layer.add_weight("other", (3,), "zeros")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "needs the weight 'factor', which is missing"),
        ({"factor": np.zeros(4, np.float32)}, r"float32 of shape \(3,\), got float32 \(4,\)"),
        ({"factor": np.zeros(3, np.float64)}, r"float32 of shape \(3,\), got float64 \(3,\)"),
        ({"factor": np.zeros(3, np.float32), "other": np.zeros(3, np.float32)}, "no weight named other"),
    ],
)
def test_restore_takes_exactly_its_weights(weights: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scale().restore((None, 3), weights)


def test_restore_builds() -> None:
    layer = Scale()
    layer.restore((None, 3), {"factor": np.array([1, 2, 3], np.float32)})
    assert layer.built and layer.factor.value.tolist() == [1, 2, 3]


def test_a_stateless_layer_refuses_a_state() -> None:
    layer = Scale()
    assert layer.get_state() == {}
    layer.set_state({})
    with pytest.raises(ValueError, match="scale carries no state, got h"):
        layer.set_state({"h": np.zeros(3)})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dtype": "float16"}, TypeError, "dtype must be float32 or float64"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 0.5}, TypeError, "seed must be a whole number"),
        ({"name": 3}, TypeError, "name must be a string"),
        ({"name": "../a"}, ValueError, "name must be letters"),
        ({"name": ""}, ValueError, "name must be letters"),
        ({"input_shape": 5}, TypeError, "input_shape must be a tuple, got 5"),
        ({"input_shape": (-5,)}, ValueError, "input_shape must be at least 0"),
        ({"input_shape": (5,), "input_dim": 5}, ValueError, "only one of input_shape, batch_input_shape and input_dim"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Scale(**arguments)


# what keras.src.utils.naming.to_snake_case of Keras 3 makes of the classes
KERAS_NAMES = {
    "Activation": "activation",
    "Bidirectional": "bidirectional",
    "Dense": "dense",
    "Dropout": "dropout",
    "Embedding": "embedding",
    "Flatten": "flatten",
    "GRU": "gru",
    "LSTM": "lstm",
    "LayerNormalization": "layer_normalization",
    "Masking": "masking",
    "RepeatVector": "repeat_vector",
    "Reshape": "reshape",
    "SimpleRNN": "simple_rnn",
    "SpatialDropout1D": "spatial_dropout1d",
    "TimeDistributed": "time_distributed",
}


ARGUMENTS: dict[str, Any] = {
    "Activation": {"activation": "gelu"},
    "Bidirectional": {"layer": layers.GRU(3, seed=5, dtype="float64"), "merge_mode": "sum"},
    "Dense": {"units": 3, "kernel_regularizer": "l2", "activation": "selu"},
    "Dropout": {"rate": 0.25, "noise_shape": (None, 1, 3)},
    "Embedding": {"input_dim": 5, "output_dim": 2, "mask_zero": True},
    "Flatten": {},
    "LayerNormalization": {"axis": [1, 2], "center": False, "gamma_regularizer": "l1_l2"},
    "Masking": {"mask_value": -1.0},
    "RepeatVector": {"n": 3},
    "Reshape": {"target_shape": (3, -1)},
    "SpatialDropout1D": {"rate": 0.5},
    "TimeDistributed": {"layer": layers.Dense(3, seed=5, dtype="float64")},
}


@pytest.mark.parametrize("name", sorted(layers.LAYERS))
def test_configurations_are_json_and_come_back(name: str) -> None:
    import json

    arguments = ARGUMENTS.get(name, {"units": 3, "recurrent_regularizer": "l1", "zero_output_for_mask": True})
    layer = layers.get(name, **arguments, seed=5, dtype="float64", name="mine", input_shape=(4, 3))
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert type(layer) is layers.LAYERS[name]
    assert again.get_config() == layer.get_config()
    assert (again.name, again.seed, again.dtype) == ("mine", 5, np.float64)
    assert again.declared_shape == (None, 4, 3)


@pytest.mark.parametrize("name", sorted(layers.LAYERS))
def test_default_names_are_those_of_keras(name: str) -> None:
    assert layers.get(name, **ARGUMENTS.get(name, {"units": 3})).name == KERAS_NAMES[name]


@pytest.mark.parametrize(("name", "expected"), [("BatchNorm2", "batch_norm2"), ("RNN2DCell", "rnn2d_cell")])
def test_names_of_other_classes_follow_the_same_rule(name: str, expected: str) -> None:
    assert snake_case(name) == expected


def test_layers_are_where_keras_has_them() -> None:
    assert set(layers.LAYERS) <= set(layers.__all__)
    assert all(layers.LAYERS[name] is getattr(layers, name) for name in layers.LAYERS)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({}, None),
        ({"input_shape": (5, None)}, (None, 5, None)),
        ({"input_shape": [np.int64(5)]}, (None, 5)),
        ({"batch_input_shape": (8, 5, 2)}, (8, 5, 2)),
        ({"input_dim": 7}, (None, 7)),
    ],
)
def test_a_declared_input_has_its_batch_first(arguments: dict[str, Any], shape: Shape | None) -> None:
    layer = Scale(**arguments)
    assert layer.declared_shape == shape and not layer.built
    assert Scale.from_config(layer.get_config()).declared_shape == shape


def test_an_argument_of_keras_is_taken_if_its_value_means_what_is_done() -> None:
    Scale(trainable=True, activity_regularizer=None)
    with pytest.raises(ValueError, match="trainable of Scale must be True, got False"):
        Scale(trainable=False)
    with pytest.raises(ValueError, match="activity_regularizer of Scale must be None, got 'l2'"):
        Scale(activity_regularizer="l2")
    with pytest.raises(TypeError, match="unexpected keyword argument 'unit'"):
        Scale(unit=3)


def test_a_mask_passes_on() -> None:
    mask = np.ones((2, 3), bool)
    assert not Scale.takes_mask
    assert Scale().compute_mask(np.zeros((2, 3, 4)), mask) is mask
    assert Scale().compute_mask(np.zeros((2, 3, 4)), None) is None


def test_a_weight_keeps_its_regularizer() -> None:
    layer = Scale()
    assert layer.add_weight("a", (3,), "zeros").regularizer is None
    regularizer = layer.add_weight("b", (3,), "zeros", "l1").regularizer
    assert regularizer is not None and regularizer.value(np.array([1.0, -2.0])) == pytest.approx(0.03)


# --- what is dropped ---------------------------------------------------------------------------------------------


def masks(seed: int = 1) -> RandomMasks:
    return RandomMasks.drawn(np.random.default_rng(seed))


def test_a_mask_is_a_function_of_key_pass_and_number() -> None:
    drops = masks()
    first = drops.draw((5, 7), 0.5, np.float32)
    assert drops.draw((5, 7), 0.5, np.float32).tobytes() == first.tobytes()
    assert drops.draw((5, 7), 0.5, np.float32, number=1).tobytes() != first.tobytes()
    drops.passes += 1
    assert drops.draw((5, 7), 0.5, np.float32).tobytes() != first.tobytes()
    assert masks(2).draw((5, 7), 0.5, np.float32).tobytes() != first.tobytes()
    again = RandomMasks.from_state("name", drops.get_state())
    assert (again.key, again.passes) == (drops.key, drops.passes)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 1001])
@pytest.mark.parametrize("rate", [1e-6, 0.3, 0.999999])
def test_masks_of_any_size_and_rate(size: int, rate: float) -> None:
    mask = masks().draw((size,), rate, np.float64)
    assert mask.shape == (size,)
    assert np.isin(mask, [0, 1 / (1 - rate)]).all()


def test_an_unknown_layer_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="did you mean 'LSTM'"):
        layers.get("LTSM", units=3)
