"""Streams: a layer stepped sample by sample gives the bits of the layer run over the whole sequence."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from helpers import CELLS, Problem, assert_same_bits, infer

from fastrnn.layers import GRU, LSTM, SimpleRNN

cells = pytest.mark.parametrize(("cell", "activation"), CELLS)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

LAYERS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


def make(cell: str, units: int = 17, inputs: int = 5, *, activation: str = "tanh", **options: Any) -> Any:
    """A built layer with random weights everywhere, biases too."""
    layer = LAYERS[cell](units, activation=activation, return_sequences=True, return_state=True, seed=1, **options)
    layer.build((None, None, inputs))
    rng = np.random.default_rng(2)
    layer.set_weights([w + 0.1 * rng.standard_normal(w.shape).astype(w.dtype) for w in layer.get_weights()])
    return layer


def sequence(layer: Any, T: int = 9, B: int = 1) -> np.ndarray:
    inputs = layer.get_weights()[0].shape[0]
    return np.random.default_rng(3).standard_normal((B, T, inputs)).astype(layer.dtype)


def in_steps(stream: Any, x: np.ndarray) -> np.ndarray:
    return np.stack([stream.step(x[:, t]) for t in range(x.shape[1])], axis=1)


def same_state(stream: Any, state: Any) -> None:
    assert len(stream.state) == len(state)
    for mine, other in zip(stream.state, state, strict=True):
        assert_same_bits({"state": mine}, {"state": other})


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("B", [1, 2, 7])
@dtypes
@cells
def test_steps_give_the_bits_of_the_sequence(cell: str, activation: str, dtype: str, B: int, levels: int) -> None:
    layer = make(cell, activation=activation, dtype=dtype, num_layers=levels)
    x = sequence(layer, B=B)
    y, *state = layer.forward(x)
    stream = layer.stream(B)
    assert_same_bits({"y": in_steps(stream, x)}, {"y": y})
    same_state(stream, state)


@pytest.mark.parametrize(("I", "H", "B"), [(1, 1, 1), (64, 64, 1), (3, 300, 1), (40, 520, 2), (1, 33, 40)])
@dtypes
@cells
def test_steps_of_any_size(cell: str, activation: str, dtype: str, I: int, H: int, B: int) -> None:
    problem = Problem.random(cell, T=4, B=B, I=I, H=H, activation=activation, dtype=dtype, state=False)
    if cell != "gru":
        problem = problem.replace(bias=problem.bias[0])
    layer = LAYERS[cell](H, activation=activation, dtype=dtype)
    layer.build((None, None, I))
    layer.set_weights([problem.kernel, problem.recurrent_kernel, problem.bias])
    assert_same_bits({"y": in_steps(layer.stream(B), problem.x)}, {"y": infer(problem)["y"]})


@pytest.mark.parametrize("options", [{}, {"compute_dtype": "bfloat16"}])
@pytest.mark.parametrize("B", [1, 3, 40])
@pytest.mark.parametrize("members", [2, 3, 8])
@cells
def test_steps_with_helpers(cell: str, activation: str, members: int, B: int, options: dict[str, str]) -> None:
    """Awake, asleep or too many for the cores: whoever does a member's share, the bits are those of one thread."""
    one, many = (make(cell, 260, 70, activation=activation, num_threads=n, **options) for n in (1, members))
    x = sequence(one, 40, B)
    y, *state = one.forward(x)
    stream = many.stream(B)
    found = []
    for t in range(x.shape[1]):
        found.append(stream.step(x[:, t]))
        if t in (20, 30, 31):
            time.sleep(0.002)
    assert_same_bits({"y": np.stack(found, axis=1)}, {"y": y})
    same_state(stream, state)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_long_steps_with_helpers(cell: str) -> None:
    """In a walk the members of steps so long take panels from each other, and meet: those of a stream must not."""
    one, many = (make(cell, 1040, 30, num_threads=n) for n in (1, 2))
    x = sequence(one, 8)
    y = one.forward(x)[0]
    stream = many.stream()
    found = []
    for t in range(x.shape[1]):
        found.append(stream.step(x[:, t]))
        if t in (2, 5):
            time.sleep(0.002)
    assert_same_bits({"y": np.stack(found, axis=1)}, {"y": y})


def test_helpers_are_one_callers_at_a_time() -> None:
    """The others do without."""
    layer = make("lstm", 200, 30, num_threads=2)
    x = sequence(layer, 300)
    y = layer.forward(x)[0]

    def walk(stream: Any) -> np.ndarray:
        return in_steps(stream, x)

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(walk, [layer.stream() for _ in range(8)]):
            assert_same_bits({"y": found}, {"y": y})


@dtypes
@cells
def test_one_stream_takes_vectors(cell: str, activation: str, dtype: str) -> None:
    layer = make(cell, activation=activation, dtype=dtype)
    x = sequence(layer)
    flat, rows = layer.stream(), layer.stream()
    for t in range(x.shape[1]):
        y = flat.step(x[0, t])
        assert y.shape == (17,)
        assert_same_bits({"y": rows.step(x[:, t])}, {"y": y[None]})


@cells
def test_out_receives_the_output(cell: str, activation: str) -> None:
    layer = make(cell, inputs=17, activation=activation)
    x = sequence(layer, B=3)
    wanted = in_steps(layer.stream(3), x)
    stream, room = layer.stream(3), np.full((3, 40), 7, np.float32)
    for t in range(9):
        out = room[:, 10:27]
        assert stream.step(x[:, t], out) is out
        np.testing.assert_array_equal(out, wanted[:, t])
        assert (room[:, :10] == 7).all()
        assert (room[:, 27:] == 7).all()


@cells
@pytest.mark.parametrize(("units", "streams"), [(17, 3), (300, 1), (300, 13)])
def test_the_output_may_go_where_the_input_came_from(cell: str, activation: str, units: int, streams: int) -> None:
    layer = make(cell, units, units, activation=activation)
    x = sequence(layer, B=streams)
    wanted = in_steps(layer.stream(streams), x)
    stream, room = layer.stream(streams), np.empty((streams + 1) * units, np.float32)
    lower, upper = room[: streams * units].reshape(streams, units), room[-streams * units :].reshape(streams, units)
    for t in range(9):
        source, out = ((lower, lower), (lower, upper), (upper, lower))[t % 3]
        source[...] = x[:, t]
        stream.step(source, out)
        np.testing.assert_array_equal(out, wanted[:, t])


@cells
def test_outputs_are_fresh_arrays(cell: str, activation: str) -> None:
    layer = make(cell, activation=activation)
    x = sequence(layer)
    stream = layer.stream()
    first = stream.step(x[:, 0])
    kept, state = first.copy(), stream.state
    kept_state = [s.copy() for s in state]
    stream.step(x[:, 1])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(state, kept_state)
    for part in stream.state:  # a copy: writing to it changes nothing
        part[...] = 9
    assert not np.array_equal(stream.state[0], np.full((1, 17), 9, np.float32))


@cells
def test_any_layout_of_a_sample(cell: str, activation: str) -> None:
    layer = make(cell, activation=activation)
    x = sequence(layer, B=3).astype(np.float64)
    wanted = in_steps(layer.stream(3), x.astype(np.float32))
    for dress in (
        lambda a: a,  # another dtype
        lambda a: a.astype(np.float32)[:, ::-1].copy()[:, ::-1],
        lambda a: np.asfortranarray(a.astype(np.float32)),
        lambda a: a.astype(">f4"),
        lambda a: a.astype(np.float32).tolist(),
    ):
        stream = layer.stream(3)
        for t in range(9):
            np.testing.assert_array_equal(stream.step(dress(x[:, t])), wanted[:, t])


@cells
def test_streams_are_independent(cell: str, activation: str) -> None:
    """Of each other, of the layer's own calls, of a neighbour's NaN, and of later changes to the weights."""
    layer = make(cell, activation=activation)
    x = sequence(layer, B=4)
    wanted = in_steps(layer.stream(4), x)
    one, other = layer.stream(4), layer.stream(4)
    spoilt = x.copy()
    spoilt[2, 3] = np.nan
    rest = [0, 1, 3]
    for t in range(9):
        np.testing.assert_array_equal(one.step(x[:, t]), wanted[:, t])
        layer.forward(2 * x)
        np.testing.assert_array_equal(other.step(spoilt[:, t])[rest], wanted[rest, t])
        layer.set_weights([1.01 * w for w in layer.get_weights()])
    assert np.isnan(other.state[0][2]).all()
    assert not np.array_equal(in_steps(layer.stream(4), x), wanted)


@pytest.mark.parametrize("levels", [1, 2])
@cells
def test_reset(cell: str, activation: str, levels: int) -> None:
    layer = make(cell, activation=activation, num_layers=levels)
    x = sequence(layer, B=4)
    stream = layer.stream(4)
    whole = in_steps(stream, x)
    stream.reset()
    assert not any(part.any() for part in stream.state)
    np.testing.assert_array_equal(in_steps(stream, x), whole)
    before = stream.state
    stream.reset([1, 3])
    for part, kept in zip(stream.state, before, strict=True):
        assert not part[[1, 3]].any()
        np.testing.assert_array_equal(part[[0, 2]], kept[[0, 2]])
    again = in_steps(stream, x)
    np.testing.assert_array_equal(again[[1, 3]], whole[[1, 3]])
    assert not np.array_equal(again[[0, 2]], whole[[0, 2]])


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("steps", [3, 4])
@cells
def test_state_can_be_carried(cell: str, activation: str, steps: int, levels: int) -> None:
    """From a sequence to a stream, from a stream to another, and from a stream to a sequence."""
    layer = make(cell, activation=activation, num_layers=levels)
    x = sequence(layer, B=3)
    whole, *final = layer.forward(x)
    _, *state = layer.forward(x[:, :steps])
    stream = layer.stream(3)
    stream.step(x[:, 8])
    stream.state = tuple(state)
    np.testing.assert_array_equal(in_steps(stream, x[:, steps:6]), whole[:, steps:6])
    other = layer.stream(3)
    other.state = stream.state
    np.testing.assert_array_equal(in_steps(other, x[:, 6:]), whole[:, 6:])
    same_state(other, final)
    y, *end = layer.forward(x[:, 6:], initial_state=stream.state)
    np.testing.assert_array_equal(y, whole[:, 6:])
    same_state(other, end)


def locked(shape: tuple[int, ...]) -> np.ndarray:
    a = np.zeros(shape, np.float32)
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    ("x", "out", "error", "message"),
    [
        (np.zeros((3, 5)), None, ValueError, r"x must have shape \(2, 5\), got \(3, 5\)"),
        (np.zeros((2, 4)), None, ValueError, r"x must have shape \(2, 5\), got \(2, 4\)"),
        (np.zeros(5), None, ValueError, r"x must have shape \(2, 5\), got \(5,\)"),
        (np.zeros((2, 1, 5)), None, ValueError, r"x must have shape \(2, 5\), got \(2, 1, 5\)"),
        (np.zeros((2, 5), complex), None, TypeError, "x must hold real numbers, got dtype complex128"),
        (None, None, TypeError, "x must hold real numbers"),
        (np.zeros((2, 5)), np.zeros((2, 17)), TypeError, "out must have dtype float32, got float64"),
        (np.zeros((2, 5)), np.zeros((2, 16), "f4"), ValueError, r"out must have shape \(2, 17\), got \(2, 16\)"),
        (np.zeros((2, 5)), locked((2, 17)), ValueError, "out must be writeable"),
        (np.zeros((2, 5)), [[0.0] * 17] * 2, TypeError, "out must be a numpy array, got list"),
    ],
)
@pytest.mark.parametrize("levels", [1, 2])
def test_errors_leave_the_state_unchanged(x: Any, out: Any, error: type[Exception], message: str, levels: int) -> None:
    layer = make("lstm", num_layers=levels)
    stream = layer.stream(2)
    stream.step(np.ones((2, 5)))
    state = stream.state
    with pytest.raises(error, match=message):
        stream.step(x, out)
    same_state(stream, state)


def test_errors_of_state_and_reset() -> None:
    stream = make("lstm").stream(2)
    with pytest.raises(ValueError, match=r"state must be 2 arrays of shape \(2, 17\), got ndarray"):
        stream.state = np.zeros((2, 17))
    with pytest.raises(ValueError, match=r"state\[1\] must have shape \(2, 17\), got \(1, 17\)"):
        stream.state = (np.zeros((2, 17)), np.zeros((1, 17)))
    with pytest.raises(ValueError, match=r"rows must be in \[0, 2\), got 2"):
        stream.reset([0, 2])
    with pytest.raises(TypeError, match="rows must be whole numbers"):
        stream.reset([0.5])


def test_what_cannot_be_streamed() -> None:
    with pytest.raises(RuntimeError, match="has no weights yet"):
        LSTM(3).stream()
    with pytest.raises(ValueError, match="reads its input from the end"):
        make("lstm", bidirectional=True).stream()
    with pytest.raises(ValueError, match="reads its input from the end"):
        make("lstm", go_backwards=True).stream()
    for size in (0, -1):
        with pytest.raises(ValueError, match="batch_size must be at least 1"):
            make("lstm").stream(size)
    with pytest.raises(TypeError, match=r"batch_size must be a whole number, got 1\.5"):
        make("lstm").stream(1.5)
