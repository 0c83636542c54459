"""Bidirectional and TimeDistributed: what they make of the layers inside, files, and gradients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layer_checks import arrays, check_gradients, randomized

from fastrnn import Sequential, load_model
from fastrnn.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    LayerNormalization,
    SimpleRNN,
    TimeDistributed,
)

CELLS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
MODES = ["concat", "sum", "mul", "ave", None]
B, T, I, H = 3, 5, 4, 6
MASK = np.array([[0, 1, 0, 1, 1], [1, 1, 1, 0, 0], [0] * 5], bool)


@pytest.fixture(params=CELLS)
def cell(request: pytest.FixtureRequest) -> Any:
    return CELLS[request.param]


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape or (B, T, I))


def both(cell: Any, merge_mode: str | None = "concat", **options: Any) -> Any:
    layer = Bidirectional(cell(H, dtype="float64", seed=1, **options), merge_mode)
    return randomized(layer, (None, None, I))


# --- Bidirectional ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("merge_mode", MODES)
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequence"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_outputs_are_the_layers_merged(cell: Any, merge_mode: str | None, sequences: bool, masked: bool) -> None:
    layer, x, mask = both(cell, merge_mode, return_sequences=sequences), data(), MASK if masked else None
    weights = layer.get_weights()
    single = cell(H, dtype="float64", return_sequences=sequences, zero_output_for_mask=sequences)
    single.build((None, None, I))
    single.set_weights(weights[:3])
    ahead = single(x, mask=mask)
    single.set_weights(weights[3:])
    back = single(x[:, ::-1], mask=None if mask is None else mask[:, ::-1])
    back = back[:, ::-1] if sequences else back
    want = {
        "concat": np.concatenate([ahead, back], axis=-1),
        "sum": ahead + back,
        "mul": ahead * back,
        "ave": (ahead + back) / 2,
        None: (ahead, back),
    }[merge_mode]
    for training in (False, True):
        y = layer(x, training=training, mask=mask)
        for got, wanted in zip(arrays(y), arrays(want), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-13)
    shapes = layer.compute_output_shape((None, T, I))
    wanted_shapes = [(None, *each.shape[1:]) for each in arrays(want)]
    assert (list(shapes) if merge_mode is None else [shapes]) == wanted_shapes


@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequence"])
@pytest.mark.parametrize("cell", [SimpleRNN, LSTM])
def test_against_torch(cell: Any, sequences: bool) -> None:
    torch = pytest.importorskip("torch")
    layer, x = both(cell, return_sequences=sequences), data()
    module = (torch.nn.RNN if cell is SimpleRNN else torch.nn.LSTM)(I, H, batch_first=True, bidirectional=True)
    module.double()
    names = [f"{name}_l0{way}" for way in ("", "_reverse") for name in ("weight_ih", "weight_hh", "bias_ih")]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        for name, weight in zip(names, layer.get_weights(), strict=True):
            getattr(module, name).copy_(torch.from_numpy(np.ascontiguousarray(weight.T)))
    tx = torch.tensor(x, requires_grad=True)
    sequence, state = module(tx)
    h = state if cell is SimpleRNN else state[0]
    ty = sequence if sequences else torch.cat([h[0], h[1]], dim=-1)
    dy = np.random.default_rng(5).standard_normal(ty.shape)
    ty.backward(torch.from_numpy(dy))

    np.testing.assert_allclose(layer(x, training=True), ty.detach(), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(layer.backward(dy), tx.grad, rtol=1e-10, atol=1e-12)
    for name, variable in zip(names, layer.variables, strict=True):
        np.testing.assert_allclose(variable.grad.T, getattr(module, name).grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("merge_mode", MODES)
@pytest.mark.parametrize("sequences", [False, True], ids=["last", "sequence"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_gradients_by_central_differences(cell: Any, merge_mode: str | None, sequences: bool, masked: bool) -> None:
    layer = both(cell, merge_mode, return_sequences=sequences, return_state=True)
    start = [data(B, H) * (k + 1) / 4 for k in range(4 if cell is LSTM else 2)]
    check_gradients(layer, data(), initial_state=start, mask=MASK if masked else None, places=4)


def test_states_are_those_of_the_layers_in_turn(cell: Any) -> None:
    layer, x = both(cell, return_sequences=True, return_state=True), data()
    y, *ends = layer(x)
    assert y.shape == (B, T, 2 * H) and len(ends) == (4 if cell is LSTM else 2)
    (_, *ahead), (_, *back) = layer.forward_layer(x), layer.backward_layer(x)
    for got, want in zip(ends, [*ahead, *back], strict=True):
        np.testing.assert_array_equal(got, want)
    pair = both(cell, None, return_state=True)(x)
    assert len(pair) == 2 + len(ends)


def test_lengths_go_to_both(cell: Any) -> None:
    layer, x, lengths = both(cell, return_sequences=True), data(), np.array([5, 3, 0])
    alone = [layer(x[b : b + 1, : lengths[b]]) for b in range(B)]
    y = layer(x, lengths=lengths)
    for b in range(B):
        np.testing.assert_allclose(y[b, : lengths[b]], alone[b][0], atol=1e-13)
        assert not y[b, lengths[b] :].any()


def test_stateful_carries_both_states_and_resets(cell: Any) -> None:
    x, layer = data(), both(cell, stateful=True)
    first = layer(x)
    kept, second = layer.get_state(), layer(x)
    assert (first != second).any() and layer.states is not None and len(layer.states) == len(kept) - 2
    layer.set_state(kept)
    np.testing.assert_array_equal(layer(x), second)
    layer.reset_states()
    np.testing.assert_array_equal(layer(x), first)
    with pytest.raises(ValueError, match="bidirectional cannot carry on from sideways"):
        layer.set_state({"sideways": np.zeros(3)})


def test_the_layers_inside_are_new_ones(cell: Any) -> None:
    model = cell(H, seed=7)
    layer = Bidirectional(model)
    layer.build((None, None, I))
    assert not model.built and layer.forward_layer is not model
    assert (layer.forward_layer.name, layer.backward_layer.name) == (f"forward_{model.name}", f"backward_{model.name}")
    kernels = [w for w in layer.get_weights() if w.shape[0] == I]
    assert (kernels[0] != kernels[1]).any()
    again = Bidirectional(cell(H, seed=7))
    again.build((None, None, I))
    for a, b in zip(layer.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(kernels[0], _built(cell(H, seed=7)).get_weights()[0])


def _built(layer: Any) -> Any:
    layer.build((None, None, I))
    return layer


def test_weights_are_in_keras_order(cell: Any) -> None:
    names = [variable.name for variable in both(cell).variables]
    inside = ["kernel", "recurrent_kernel", "bias"]
    assert names == [f"{way}_layer/{name}" for way in ("forward", "backward") for name in inside]


def test_another_layer_may_walk_backwards() -> None:
    layer = Bidirectional(
        LSTM(H, return_sequences=True, dtype="float64"),
        backward_layer=GRU(2, return_sequences=True, go_backwards=True, dtype="float64"),
    )
    randomized(layer, (None, None, I))
    assert layer(data()).shape == (B, T, H + 2)
    assert layer.compute_output_shape((None, T, I)) == (None, T, H + 2)
    check_gradients(layer, data(), mask=MASK, places=3)


def test_dropout_inside_draws_for_each_direction() -> None:
    layer = Bidirectional(SimpleRNN(H, dropout=0.5, seed=3, dtype="float64"))
    randomized(layer, (None, None, I))

    def before() -> None:
        for inner in (layer.forward_layer, layer.backward_layer):
            inner._drops.passes = 0

    check_gradients(layer, data(), before=before, places=3)
    before()
    first, second = layer(data(), training=True), layer(data(), training=True)
    assert (first != second).any()
    assert layer.forward_layer._drops.key != layer.backward_layer._drops.key


def test_float32_stays_float32(cell: Any) -> None:
    for mode in MODES:
        layer = Bidirectional(cell(H, return_sequences=True), mode)
        y = layer(data(), training=True, mask=MASK)
        assert {a.dtype for a in arrays(y)} == {np.dtype(np.float32)}
        dx = layer.backward(y)
        assert dx is not None and dx.dtype == np.float32
        assert {variable.grad.dtype for variable in layer.variables} == {np.dtype(np.float32)}


def test_dx_is_left_out_on_request(cell: Any) -> None:
    layer = both(cell)
    y = layer(data(), training=True)
    assert layer.backward(y, need_dx=False) is None
    with pytest.raises(RuntimeError, match="bidirectional: backward needs a forward"):
        layer.backward(y)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Bidirectional(Dense(3)), TypeError, "layer must be a SimpleRNN, LSTM or GRU, got <Dense"),  # type: ignore[arg-type]
        (lambda: Bidirectional(LSTM(3), "cat"), ValueError, "merge_mode must be one of .*did you mean 'concat'"),
        (lambda: Bidirectional(LSTM(3, bidirectional=True)), ValueError, "must walk one direction"),
        (lambda: Bidirectional(LSTM(3, go_backwards=True)), ValueError, "backward_layer must walk the other way"),
        (lambda: Bidirectional(LSTM(3), backward_layer=LSTM(3)), ValueError, "backward_layer must walk the other way"),
        (
            lambda: Bidirectional(LSTM(3), "sum", backward_layer=LSTM(4, go_backwards=True)),
            ValueError,
            "backward_layer must have the units of the layer, 3, got 4",
        ),
        (
            lambda: Bidirectional(LSTM(3), backward_layer=LSTM(3, go_backwards=True, stateful=True)),
            ValueError,
            "the stateful of the layer, False, got True",
        ),
        (lambda: Bidirectional(LSTM(3), dtype="float64"), ValueError, "dtype must be that of the layer inside"),
        (lambda: TimeDistributed(LSTM), TypeError, "layer must be a Layer"),  # type: ignore[arg-type]
        (lambda: TimeDistributed(LSTM(3, stateful=True)), ValueError, "layer must have stateful=False"),
        (lambda: TimeDistributed(Dense(3), seed=5), ValueError, "seed must be that of the layer inside, None, got 5"),
    ],
)
def test_bad_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_bad_calls(cell: Any) -> None:
    layer, x = both(cell, return_sequences=True), data()
    with pytest.raises(ValueError, match=r"initial_state must be [24] arrays, half of them for each direction, got 3"):
        layer(x, initial_state=[x] * 3)
    with pytest.raises(ValueError, match=r"x must have shape \(B, T, 4\), got \(3, 5, 3\)"):
        layer(x[:, :, :3])
    layer(x, training=True)
    with pytest.raises(ValueError, match=r"dy must have shape \(3, 5, 12\), got \(3, 5, 6\)"):
        layer.backward(np.zeros((B, T, H)))
    pair = both(cell, None)
    pair(x, training=True)
    with pytest.raises(ValueError, match="dy must be a pair of arrays, got ndarray"):
        pair.backward(np.zeros((B, H)))


def test_the_mask_goes_on_where_steps_do(cell: Any) -> None:
    assert both(cell, return_sequences=True).compute_mask(data(), MASK) is MASK
    assert both(cell).compute_mask(data(), MASK) is None


# --- TimeDistributed --------------------------------------------------------------------------------------------

INSIDE = {
    "dense": (lambda: Dense(3, "tanh", dtype="float64"), (I,)),
    "normalization": (lambda: LayerNormalization(dtype="float64"), (I,)),
    "lstm": (lambda: LSTM(3, return_sequences=True, dtype="float64"), (2, I)),
    "both": (lambda: Bidirectional(GRU(3, dtype="float64")), (2, I)),
}


@pytest.mark.parametrize("name", INSIDE)
def test_every_step_alone(name: str) -> None:
    make, row = INSIDE[name]
    layer, x = TimeDistributed(make()), data(B, T, *row)
    randomized(layer, (None, T, *row))
    alone = np.stack([layer.layer(x[:, t]) for t in range(T)], axis=1)
    np.testing.assert_allclose(layer(x), alone, rtol=1e-13, atol=1e-14)
    assert layer.compute_output_shape((None, T, *row)) == (None, T, *alone.shape[2:])
    check_gradients(layer, x, places=5)


def test_numbers_at_every_step() -> None:
    layer, x = TimeDistributed(Embedding(9, 2)), np.random.default_rng(1).integers(0, 9, (B, T, 4))
    y = layer(x, training=True)
    np.testing.assert_array_equal(y, layer.layer(x))
    assert layer.backward(y) is None


def test_a_built_layer_keeps_its_weights() -> None:
    inner = Dense(3)
    inner.build((None, I))
    before = inner.get_weights()
    layer = TimeDistributed(inner)
    layer.build((None, T, I))
    assert layer.layer is inner
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])


def test_time_distributed_needs_steps() -> None:
    with pytest.raises(ValueError, match=r"takes an input of shape \(B, T, ...\)"):
        TimeDistributed(Dense(3))(data(B, I))


# --- both in files ----------------------------------------------------------------------------------------------


def models() -> dict[str, Any]:
    return {
        "bidirectional": [Bidirectional(LSTM(3, return_sequences=True, seed=4), "mul"), GRU(2)],
        "pair": [Bidirectional(LSTM(3, dropout=0.2), backward_layer=GRU(2, go_backwards=True)), Dense(1)],
        "distributed": [TimeDistributed(Dense(3, "relu")), TimeDistributed(Dropout(0.5)), GRU(2)],
        "nested": [TimeDistributed(Bidirectional(SimpleRNN(3)), name="outer"), LSTM(2, stateful=True)],
        "stateful": [Bidirectional(LSTM(3, stateful=True), batch_input_shape=(B, None, I))],
    }


@pytest.mark.parametrize("name", models())
def test_a_saved_model_comes_back_to_the_same_bits(name: str, tmp_path: Path) -> None:
    model = Sequential(models()[name])
    x = data(B, T, 2, I) if name == "nested" else data()
    model(x)
    model.save(tmp_path / "model.fastrnn")
    again = load_model(tmp_path / "model.fastrnn")
    assert again.get_config() == model.get_config()
    for layer, other in zip(model.layers, again.layers, strict=True):
        assert [v.name for v in layer.variables] == [v.name for v in other.variables]
    assert again(x).tobytes() == model(x).tobytes()
    assert again(x, training=True).tobytes() == model(x, training=True).tobytes()  # dropout goes on as well


def test_configurations_are_json_and_come_back() -> None:
    for layer in (
        Bidirectional(LSTM(3, seed=1), None, name="mine", input_shape=(5, 2)),
        TimeDistributed(Bidirectional(GRU(3)), input_shape=(None, 4, 2)),
    ):
        again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
        assert again.get_config() == layer.get_config()
        assert again.declared_shape == layer.declared_shape is not None


def test_a_declared_input_may_stand_inside() -> None:
    assert Bidirectional(LSTM(3, input_shape=(5, 2))).declared_shape == (None, 5, 2)


def test_a_layer_of_ones_own_inside_must_be_registered() -> None:
    class Mine(Dense):
        pass

    with pytest.raises(ValueError, match=r"Mine is not in fastrnn.layers.LAYERS"):
        TimeDistributed(Mine(3)).get_config()
