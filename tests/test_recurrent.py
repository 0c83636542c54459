"""The recurrent layers: Keras's meaning of their arguments, stacks, both directions, carried state, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn import functional, reference
from fastrnn.layers import GRU, LSTM, Embedding, SimpleRNN
from fastrnn.regularizers import L2

CELLS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
B, T, I, H = 3, 7, 5, 6


@pytest.fixture(params=CELLS)
def cell(request: pytest.FixtureRequest) -> str:
    return request.param


def make(cell: str, **options: Any) -> Any:
    """A float64 layer with random weights, biases included."""
    layer = CELLS[cell](H, dtype="float64", seed=1, **options)
    layer.build((None, None, I))
    rng = np.random.default_rng(2)
    layer.set_weights([rng.standard_normal(w.shape) * 0.5 for w in layer.get_weights()])
    return layer


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape or (B, T, I))


def by_reference(cell: str, weights: list[np.ndarray], x: np.ndarray, **options: Any) -> tuple[np.ndarray, Any, Any]:
    return reference.forward(cell, x, *weights, **options)


def test_outputs_and_states(cell: str) -> None:
    x = data()
    layer = make(cell, return_sequences=True, return_state=True)
    want, state, _ = by_reference(cell, layer.get_weights(), x)
    y, *ends = layer(x)
    np.testing.assert_allclose(y, want, atol=1e-12)
    for got, end in zip(ends, state, strict=True):
        np.testing.assert_allclose(got, end, atol=1e-12)
    np.testing.assert_allclose(make(cell)(x), want[:, -1], atol=1e-12)
    np.testing.assert_allclose(make(cell, return_state=True)(x)[0], want[:, -1], atol=1e-12)


def test_go_backwards_leaves_the_output_in_the_order_of_the_walk(cell: str) -> None:
    x = data()
    forward = make(cell, return_sequences=True)(np.ascontiguousarray(x[:, ::-1]))
    np.testing.assert_array_equal(make(cell, return_sequences=True, go_backwards=True)(x), forward)
    np.testing.assert_array_equal(make(cell, go_backwards=True)(x), forward[:, -1])


def test_bidirectional_is_both_directions_side_by_side(cell: str) -> None:
    x, lengths = data(), np.array([7, 0, 4])
    layer = make(cell, return_sequences=True, return_state=True, bidirectional=True)
    weights = layer.get_weights()
    ahead, state, _ = by_reference(cell, weights[:3], x, lengths=lengths)
    back, state_back, _ = by_reference(cell, weights[3:], x, lengths=lengths, reverse=True)
    y, *ends = layer(x, lengths=lengths)
    np.testing.assert_allclose(y, np.concatenate([ahead, back], axis=2), atol=1e-12)
    for got, want in zip(ends, (*state, *state_back), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-12)
    last = make(cell, bidirectional=True)(x, lengths=lengths)
    np.testing.assert_allclose(last, np.concatenate([state[0], state_back[0]], axis=1), atol=1e-12)


def test_a_stack_is_its_levels_in_turn(cell: str) -> None:
    x = data()
    layer = make(cell, return_sequences=True, num_layers=3, bidirectional=True)
    weights, want = layer.get_weights(), x
    assert len(weights) == 18
    for level in range(3):
        w = weights[6 * level : 6 * level + 6]
        halves = [by_reference(cell, w[:3], want)[0], by_reference(cell, w[3:], want, reverse=True)[0]]
        want = np.concatenate(halves, axis=2)
    np.testing.assert_allclose(layer(x), want, atol=1e-11)


@pytest.mark.parametrize("options", [
    {},
    {"return_sequences": True},
    {"return_sequences": True, "go_backwards": True},
    {"num_layers": 2, "bidirectional": True},
    {"return_sequences": True, "num_layers": 2, "bidirectional": True},
    {"return_sequences": True, "num_layers": 2, "dropout": 0.4},
    {"use_bias": False},
], ids=str)  # fmt: skip
def test_gradients_by_central_differences(cell: str, options: dict[str, Any]) -> None:
    layer = make(cell, return_state=True, **options)
    x, lengths = data(), np.array([7, 3, 5])
    count = len(layer(x)) - 1
    start = [np.random.default_rng(9 + i).standard_normal((B, H)) for i in range(count)]
    y, *ends = layer(x, initial_state=start)
    rng = np.random.default_rng(4)
    dy, dends = rng.standard_normal(y.shape), [rng.standard_normal(end.shape) for end in ends]

    def loss() -> float:
        layer._drops.passes = 0  # the same dropout masks each time
        y, *ends = layer(x, training=True, initial_state=start, lengths=lengths)
        return float((y * dy).sum() + sum((end * d).sum() for end, d in zip(ends, dends, strict=True)))

    loss()
    dx = layer.backward(dy, dends)
    gradients = {"x": (x, dx)}
    gradients |= {f"start{i}": (s, d) for i, (s, d) in enumerate(zip(start, layer.dstate, strict=True))}
    for name, (array, gradient) in gradients.items():
        for index in rng.choice(array.size, 12, replace=False):
            at, step = np.unravel_index(index, array.shape), 1e-6
            kept = array[at]
            array[at] = kept + step
            up = loss()
            array[at] = kept - step
            down = loss()
            array[at] = kept
            np.testing.assert_allclose(gradient[at], (up - down) / (2 * step), rtol=1e-5, atol=1e-7, err_msg=name)
    for variable in layer.variables:
        gradient = variable.grad
        for index in rng.choice(variable.size, 6, replace=False):
            at, step = np.unravel_index(index, variable.shape), 1e-6
            with variable.writing() as array:
                array[at] += step
            up = loss()
            with variable.writing() as array:
                array[at] -= 2 * step
            down = loss()
            with variable.writing() as array:
                array[at] += step
            want = (up - down) / (2 * step)
            np.testing.assert_allclose(gradient[at], want, rtol=1e-5, atol=1e-7, err_msg=variable.name)


def test_stateful_carries_its_state_and_resets(cell: str) -> None:
    x = data()
    whole = make(cell, return_sequences=True)(x)
    layer = make(cell, return_sequences=True, stateful=True)
    np.testing.assert_array_equal(np.concatenate([layer(x[:, :3]), layer(x[:, 3:])], axis=1), whole)
    kept = layer.get_state()
    after = layer(x)
    with pytest.raises(ValueError, match=r"batch of the state that .* carries, 3, got 2"):
        layer(x[:2])
    layer.set_state(kept)
    np.testing.assert_array_equal(layer(x), after)
    layer.reset_states()
    np.testing.assert_array_equal(layer(x), whole)


def test_a_returned_state_is_the_callers_own(cell: str) -> None:
    x = data()
    layer = make(cell, stateful=True, return_state=True)
    for array in layer(x):
        array[...] = np.nan
    assert np.isfinite(layer(x)[0]).all()


def test_weights_are_packed_again_after_a_change(cell: str) -> None:
    x, layer = data(), make(cell, return_sequences=True)
    before = layer(x)
    weights = layer.get_weights()
    layer.set_weights([w * 0.5 for w in weights])
    want, _, _ = by_reference(cell, layer.get_weights(), x)
    np.testing.assert_allclose(layer(x), want, atol=1e-12)
    layer.set_weights(weights)
    np.testing.assert_array_equal(layer(x), before)


def test_dropout_is_one_mask_a_sequence_and_only_in_training(cell: str) -> None:
    x = np.ones((64, T, 10), np.float32)
    layer = CELLS[cell](H, dropout=0.25, return_sequences=True, seed=5)
    plain = CELLS[cell](H, return_sequences=True, seed=5)
    np.testing.assert_array_equal(layer(x), plain(x))
    layer(x, training=True)
    (mask,) = layer.recall()[3]
    assert mask.shape == (64, 1, 10)
    np.testing.assert_allclose(np.unique(mask), [0, 1 / 0.75], rtol=1e-6)
    # 640 draws at 0.25: the share dropped is within 5 standard deviations
    assert abs((mask == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 640)
    layer(x, training=True)
    assert (layer.recall()[3][0] != mask).any()


def test_lstm_begins_with_a_forget_bias_of_one() -> None:
    layer = LSTM(4)
    layer.build((None, None, 2))
    np.testing.assert_array_equal(layer.get_weights()[2], [0] * 4 + [1] * 4 + [0] * 8)
    layer = LSTM(4, unit_forget_bias=False)
    layer.build((None, None, 2))
    assert not layer.get_weights()[2].any()


def test_keras_shapes_of_weights() -> None:
    shapes = {name: [w.shape for w in make(name).get_weights()] for name in CELLS}
    assert shapes == {
        "simple_rnn": [(I, H), (H, H), (H,)],
        "lstm": [(I, 4 * H), (H, 4 * H), (4 * H,)],
        "gru": [(I, 3 * H), (H, 3 * H), (2, 3 * H)],
    }


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_activations_of_a_simple_rnn(activation: str) -> None:
    layer, x = make("simple_rnn", activation=activation, return_sequences=True), data()
    want, _, _ = by_reference("simple_rnn", layer.get_weights(), x, activation=activation)
    np.testing.assert_allclose(layer(x), want, rtol=1e-12, atol=1e-12)


def test_config_makes_the_same_layer(cell: str) -> None:
    layer = make(cell, return_sequences=True, num_layers=2, bidirectional=True, dropout=0.1)
    again = CELLS[cell].from_config(layer.get_config())
    again.build((None, None, I))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(data()), layer(data()))
    assert again.compute_output_shape((None, T, I)) == (None, T, 2 * H)


def test_arguments_of_keras_that_mean_what_is_done(cell: str) -> None:
    same = {
        "implementation": 2,
        "unroll": True,
        "time_major": False,
        "recurrent_dropout": 0.0,
        "kernel_constraint": None,
    }
    gated = {"recurrent_activation": "sigmoid", "use_cudnn": "auto"} if cell != "simple_rnn" else {}
    after = {"reset_after": True} if cell == "gru" else {}
    CELLS[cell](H, **same, **gated, **after)
    wrong = {"recurrent_dropout": 0.5, "time_major": True, "bias_constraint": "max_norm", "trainable": False}
    wrong |= {"recurrent_activation": "hard_sigmoid", "use_cudnn": True} if gated else {}
    wrong |= {"reset_after": False} if after else {}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=f"{name} of {CELLS[cell].__name__} must be .*, got {value!r}"):
            CELLS[cell](H, **{name: value})
    with pytest.raises(TypeError, match="unexpected keyword argument 'return_sequence'"):
        CELLS[cell](H, return_sequence=True)


def test_declared_input(cell: str) -> None:
    assert CELLS[cell](H, input_shape=(T, I)).declared_shape == (None, T, I)
    assert CELLS[cell](H, input_dim=I).declared_shape == (None, None, I)
    assert CELLS[cell](H, input_dim=I, input_length=T).declared_shape == (None, T, I)
    assert CELLS[cell](H, batch_input_shape=(B, T, I), stateful=True).declared_shape == (B, T, I)


def test_regularizers_go_with_the_weights(cell: str) -> None:
    layer = CELLS[cell](H, kernel_regularizer="l1", recurrent_regularizer=L2(0.5), bias_regularizer="l2", num_layers=2)
    layer.build((None, None, I))
    wanted = ["L1(l1=0.01)", "L2(l2=0.5)", "L2(l2=0.01)"] * 2
    assert [repr(variable.regularizer) for variable in layer.variables] == wanted
    again = CELLS[cell].from_config(layer.get_config())
    again.build((None, None, I))
    assert [repr(variable.regularizer) for variable in again.variables] == wanted
    with pytest.raises(ValueError, match="kernel_regularizer must be one of l1, l2"):
        CELLS[cell](H, kernel_regularizer="l3")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_table_of_another_dtype_or_width_is_gathered(cell: str, dtype: str) -> None:
    ids = np.random.default_rng(6).integers(0, 4, (B, 40))
    layer = make(cell)
    for width in (I, I + 1):
        embedding = Embedding(4, width, "normal", seed=7, dtype=dtype)
        y = embedding(ids)
        if width == I:
            want = layer(y)
            np.testing.assert_allclose(layer(embedding(ids, gather=False)), want, atol=1e-12)
            layer(embedding(ids, training=True, gather=False), training=True)
            dx = layer.backward(np.ones_like(want))
            assert embedding.backward(dx) is None
        else:
            with pytest.raises(ValueError, match=r"x must have shape \(B, T, 5\), got \(3, 40, 6\)"):
                layer(embedding(ids, gather=False))


def test_gradients_of_a_table_below_many_units(cell: str) -> None:
    """The gradients of the table's rows are summed once, however many slices those of the weights are summed in."""
    ids = np.random.default_rng(6).integers(0, 4, (2, 70))
    grads = []
    for gather in (True, False):
        embedding = Embedding(4, 3, "normal", seed=7, dtype="float64")
        layer = CELLS[cell](600, dtype="float64", seed=1)
        y = layer(embedding(ids, training=True, gather=gather), training=True)
        embedding.backward(layer.backward(np.ones_like(y)))
        grads.append([variable.grad for variable in (*embedding.variables, *layer.variables)])
    for got, want in zip(*grads, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


def test_no_activation_is_linear() -> None:
    assert SimpleRNN(H, activation=None).activation == "linear"
    with pytest.raises(ValueError, match="activation must be one of tanh, got 'linear'"):
        LSTM(H, activation=None)


def test_training_output_is_read_only_and_backward_runs_once(cell: str) -> None:
    layer = make(cell, return_sequences=True)
    y = layer(data(), training=True)
    with pytest.raises(ValueError, match="read-only"):
        y += 1
    assert layer.backward(np.ones_like(y), need_dx=False) is None
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        layer.backward(np.ones_like(y))


def test_errors_name_the_argument_the_rule_and_what_came(cell: str) -> None:
    layer, x = make(cell, return_sequences=True), data()
    with pytest.raises(ValueError, match=r"x must have shape \(B, T, 5\), got \(3, 7, 4\)"):
        layer(x[:, :, :4])
    with pytest.raises(ValueError, match=r"initial_state must be \d arrays? of shape \(3, 6\)"):
        layer(x, initial_state=[x] * 7)
    with pytest.raises(ValueError, match="lengths must be between 0 and the 7 steps of x, got 8"):
        layer(x, lengths=[1, 8, 2])
    layer(x, training=True)
    with pytest.raises(ValueError, match=r"dy must have shape \(3, 7, 6\), got \(3, 6\)"):
        layer.backward(np.zeros((3, 6)))
    with pytest.raises(ValueError, match="units must be at least 1, got 0"):
        CELLS[cell](0)
    with pytest.raises(ValueError, match="did you mean 'tanh'"):
        CELLS[cell](3, activation="tahn")
    with pytest.raises(RuntimeError, match="has no weights yet"):
        CELLS[cell](3).forward(x)
    with pytest.raises(ValueError, match="cannot be streamed"):
        make(cell, bidirectional=True).stream()


def test_memory_kept_for_bptt_is_the_formula(cell: str) -> None:
    """S.H numbers in gate rows a point, and H cell states of an LSTM; padding and cache offsets are the rest."""
    batch, steps, units = 32, 100, 64
    layer = CELLS[cell](units, return_sequences=True)
    x = data(batch, steps, 16).astype(np.float32)
    layer(x, training=True)
    kept = layer.recall()[2][0].nbytes
    slots = {"simple_rnn": 1, "lstm": 5, "gru": 4}[cell]
    formula = slots * steps * batch * units * 4
    # a state row has one vector more than H; rows of a batch are offset by less than 4096 bytes, twice for an LSTM
    assert formula <= kept <= formula * (1 + 16 / units / slots) + 2 * (batch + 1) * 4096
    assert functional.states[cell] == len(layer._initial_state(None, batch))
