"""The oracle itself: its gradients by central differences, its semantics on cases one can check by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import CELLS, Problem, central_differences, expect

from fastrnn import reference

cells = pytest.mark.parametrize(("cell", "activation"), CELLS)
walks = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])


def run(problem: Problem) -> tuple[np.ndarray, tuple[np.ndarray, ...], reference.Tape]:
    args, kwargs = problem.arguments
    return reference.forward(*args, **kwargs)


@cells
@walks
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("bias", [None, 1, 2])
def test_gradients_by_central_differences(
    cell: str, activation: str, reverse: bool, ragged: bool, bias: int | None
) -> None:
    problem = Problem.random(cell, T=4, B=3, I=2, H=3, activation=activation, bias=bias, ragged=ragged, reverse=reverse)
    results = expect(problem)
    for name, numerical in central_differences(problem, reference.forward):
        np.testing.assert_allclose(results[name], numerical, rtol=1e-6, atol=1e-8, err_msg=name)


def test_sigmoid_keeps_its_relative_precision() -> None:
    x = np.linspace(-700, 700, 2801)
    with np.errstate(all="raise"):
        s = reference.sigmoid(x)
    with np.errstate(over="ignore"):
        textbook = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(s, textbook, rtol=5e-16)
    np.testing.assert_array_equal(reference.sigmoid(np.array([-np.inf, np.inf, np.nan])), [0, 1, np.nan])
    assert reference.sigmoid(np.zeros(1, np.float32)).dtype == np.float32


def test_simple_rnn_by_hand() -> None:
    x = [[[1.0], [2.0]]]
    y, (h,), _ = reference.forward("simple_rnn", x, [[0.5]], [[-1.0]], [0.25], activation="linear")
    np.testing.assert_array_equal(y, [[[0.75], [0.5]]])  # 0.5 + 0.25, then 1 + 0.25 - 0.75
    np.testing.assert_array_equal(h, [[0.5]])


def test_lstm_gates_stand_in_keras_order() -> None:
    """Each gate is pinned by its bias alone: i = s(1), f = s(2), g = tanh(3), o = s(4)."""
    zero = np.zeros((1, 4))
    _, (h, c), _ = reference.forward(
        "lstm", np.zeros((1, 1, 1)), zero, zero, [1.0, 2.0, 3.0, 4.0], initial_state=([[0.7]], [[0.9]])
    )
    i, f, o = reference.sigmoid(np.array([1.0, 2.0, 4.0]))
    g = np.tanh(3.0)
    np.testing.assert_allclose(c[0, 0], f * 0.9 + i * g, rtol=1e-15)
    np.testing.assert_allclose(h[0, 0], o * np.tanh(c[0, 0]), rtol=1e-15)


def test_gru_resets_after_the_product() -> None:
    """z = s(1), r = s(2), n = tanh(3 + r * (0.5 h + 4)): the recurrent bias lies inside the reset."""
    x, W, R, bias = np.zeros((1, 1, 1)), np.zeros((1, 3)), [[0.0, 0.0, 0.5]], [[1.0, 2.0, 3.0], [0.0, 0.0, 4.0]]
    _, (h,), _ = reference.forward("gru", x, W, R, bias, initial_state=np.array([[0.7]]))
    z, r = reference.sigmoid(np.array([1.0, 2.0]))
    n = np.tanh(3 + r * (0.5 * 0.7 + 4))
    np.testing.assert_allclose(h[0, 0], z * 0.7 + (1 - z) * n, rtol=1e-15)


@cells
def test_reverse_is_forward_on_reversed_time(cell: str, activation: str) -> None:
    problem = Problem.random(cell, T=5, B=3, I=2, H=4, activation=activation, reverse=True)
    y, state, _ = run(problem)
    turned, turned_state, _ = run(problem.replace(x=problem.x[:, ::-1], reverse=False))
    np.testing.assert_allclose(y, turned[:, ::-1], rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(state, turned_state, rtol=1e-14, atol=1e-15)


@cells
@walks
def test_a_ragged_row_is_the_row_cut_to_its_length(cell: str, activation: str, reverse: bool) -> None:
    problem = Problem.random(cell, T=6, B=5, I=2, H=4, activation=activation, reverse=reverse, ragged=True)
    results = expect(problem)
    for row, length in enumerate(problem.lengths):
        alone = expect(problem.rows([row]).steps(0, length).replace(lengths=None))
        for name in {"h", "c", "dh", "dc"} & set(results):
            np.testing.assert_allclose(results[name][row], alone[name][0], rtol=1e-12, atol=1e-14)
        for name in ("y", "dx"):
            np.testing.assert_allclose(results[name][row, :length], alone[name][0], rtol=1e-12, atol=1e-14)
            assert not results[name][row, length:].any()


@cells
def test_length_zero_keeps_the_initial_state(cell: str, activation: str) -> None:
    problem = Problem.random(cell, T=3, B=2, I=2, H=4, activation=activation).replace(lengths=np.array([0, 0]))
    results = expect(problem)
    np.testing.assert_array_equal(results["h"], problem.initial_state[0])
    np.testing.assert_array_equal(results["dh"], problem.dstate[0])
    assert not any(results[name].any() for name in ("y", "dx", "dkernel", "drecurrent_kernel", "dbias"))


@cells
def test_padding_is_never_read(cell: str, activation: str) -> None:
    problem = Problem.random(cell, T=5, B=4, I=2, H=3, activation=activation, ragged=True)
    padding = np.arange(5) >= problem.lengths[:, None]
    spoilt = problem.replace(x=problem.x.copy(), dy=problem.dy.copy())
    spoilt.x[padding] = spoilt.dy[padding] = np.nan
    for name, value in expect(problem).items():
        np.testing.assert_array_equal(expect(spoilt)[name], value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@cells
def test_dtype_of_x_is_that_of_all_results(cell: str, activation: str, dtype: Any) -> None:
    problem = Problem.random(cell, T=2, B=3, I=2, H=4, activation=activation)
    y, state, tape = run(problem.replace(x=problem.x.astype(dtype)))
    gradients = reference.backward(tape, problem.dy, problem.dstate)
    assert {a.dtype for a in (y, *state, *gradients[:4], *gradients.initial_state)} == {np.dtype(dtype)}


@cells
@pytest.mark.parametrize(
    "sizes", [(0, 2, 3, 4), (2, 0, 3, 4), (2, 3, 0, 4), (2, 3, 4, 0)], ids=["T0", "B0", "I0", "H0"]
)
def test_empty_axes(cell: str, activation: str, sizes: tuple[int, int, int, int]) -> None:
    T, B, I, H = sizes
    problem = Problem.random(cell, T=T, B=B, I=I, H=H, activation=activation)
    results = expect(problem)
    assert results["y"].shape == (B, T, H)
    assert results["dx"].shape == problem.x.shape
    assert results["dkernel"].shape == problem.kernel.shape
    if T == 0:
        np.testing.assert_array_equal(results["h"], problem.initial_state[0])
        np.testing.assert_array_equal(results["dh"], problem.dstate[0])


@cells
def test_nothing_of_the_callers_is_changed(cell: str, activation: str) -> None:
    problem = Problem.random(cell, T=3, B=2, I=2, H=4, activation=activation)

    def lock(a: np.ndarray) -> np.ndarray:
        a = a.copy()
        a.flags.writeable = False
        return a

    expect(problem.map(lock))
    y, state, tape = run(problem)
    kept = y.copy(), [s.copy() for s in state]
    first, second = (reference.backward(tape, problem.dy, problem.dstate) for _ in range(2))
    np.testing.assert_array_equal(y, kept[0])
    np.testing.assert_array_equal(state, kept[1])
    np.testing.assert_array_equal(first.recurrent_kernel, second.recurrent_kernel)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"cell": "lstn"}, ValueError, "cell must be one of .*'lstn'; did you mean 'lstm'"),
        ({"activation": "relu"}, ValueError, "activation must be one of tanh, got 'relu'"),
        ({"x": np.zeros((3, 2))}, ValueError, r"x must have shape \(B, T, I\), got \(3, 2\)"),
        ({"kernel": np.zeros((2, 15))}, ValueError, r"kernel must have shape \(2, 16\), got \(2, 15\)"),
        ({"recurrent_kernel": np.zeros((4, 12))}, ValueError, r"recurrent_kernel must have shape \(4, 16\)"),
        ({"bias": np.zeros((3, 16))}, ValueError, r"bias must have shape \(2, 16\), got \(3, 16\)"),
        ({"initial_state": np.zeros((3, 4))}, ValueError, "initial_state must be 2 arrays of .*got ndarray"),
        ({"initial_state": (np.zeros((1, 4)),) * 2}, ValueError, r"initial_state\[0\] must have shape \(3, 4\)"),
        ({"lengths": [1, 2, 9]}, ValueError, "lengths must be between 0 and the 5 steps of x, got 9"),
    ],
)  # fmt: skip
def test_errors_name_argument_rule_and_value(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    problem = Problem.random("lstm", T=5, B=3, I=2, H=4)
    with pytest.raises(error, match=message):
        run(problem.replace(**changes))


def test_gradients_have_the_shapes_of_their_arguments() -> None:
    problem = Problem.random("gru", T=3, B=2, I=5, H=4, state=False, bias=None)
    _, _, tape = run(problem)
    gradients = reference.backward(tape)
    assert gradients.bias is None
    assert [h.shape for h in gradients.initial_state] == [(2, 4)]
    assert [gradients[i].shape for i in range(3)] == [(2, 3, 5), (5, 12), (4, 12)]
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 3, 4\), got \(2, 3, 5\)"):
        reference.backward(tape, np.zeros((2, 3, 5)))
    with pytest.raises(ValueError, match=r"dstate\[0\] must have shape \(2, 4\), got \(1, 4\)"):
        reference.backward(tape, None, np.zeros((1, 4)))
