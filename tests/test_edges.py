"""Input at the edges: what is valid gives the obvious result, what is not gives one error that names it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from helpers import CELLS, Problem, assert_close, assert_same_bits, expect, infer, solve

from fastrnn import functional

cells = pytest.mark.parametrize(("cell", "activation"), CELLS)
saturating = pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
walks = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])


# --- empty axes and lengths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("T", "B", "I", "H"),
    [(0, 2, 3, 4), (2, 0, 3, 4), (2, 3, 0, 4), (2, 3, 4, 0), (0, 0, 3, 4), (0, 0, 0, 0), (2, 3, 0, 0)],
)
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("time_major", [False, True], ids=["batch-major", "time-major"])
@dtypes
@cells
def test_empty_axes(
    cell: str, activation: str, dtype: str, time_major: bool, ragged: bool, T: int, B: int, I: int, H: int
) -> None:  # fmt: skip
    for state in (False, True):
        problem = Problem.random(
            cell, T=T, B=B, I=I, H=H, activation=activation, dtype=dtype, ragged=ragged, state=state
        )
        expected = expect(problem)
        for num_threads in (1, 2):
            assert_close(infer(problem, time_major=time_major, num_threads=num_threads), expected, problem)
            assert_close(solve(problem, time_major=time_major, num_threads=num_threads), expected, problem)


@walks
@dtypes
@cells
def test_rows_of_length_zero_keep_their_state(cell: str, activation: str, dtype: str, reverse: bool) -> None:
    problem = Problem.random(cell, T=4, B=3, I=2, H=17, activation=activation, dtype=dtype, reverse=reverse)
    problem = problem.replace(lengths=np.zeros(3, int))
    results = solve(problem)
    for name, value in zip(["h", "c"], problem.initial_state, strict=False):
        np.testing.assert_array_equal(results[name], value)
    for name, value in zip(["dh", "dc"], problem.dstate, strict=False):
        np.testing.assert_array_equal(results[name], value)
    for name in ("y", "dx", "dkernel", "drecurrent_kernel", "dbias"):
        assert not results[name].any()


@walks
@dtypes
@cells
def test_padding_is_never_read(cell: str, activation: str, dtype: str, reverse: bool) -> None:
    problem = Problem.random(
        cell, T=9, B=7, I=5, H=17, activation=activation, dtype=dtype, reverse=reverse, ragged=True
    )
    padding = np.arange(9) >= problem.lengths[:, None]
    spoilt = problem.replace(x=problem.x.copy(), dy=problem.dy.copy())
    spoilt.x[padding] = spoilt.dy[padding] = np.nan
    assert_same_bits(infer(spoilt), infer(problem))
    assert_same_bits(solve(spoilt), solve(problem))


# --- NaN, Inf, denormals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@dtypes
@cells
def test_a_bad_number_stays_within_its_row(cell: str, activation: str, dtype: str, bad: float) -> None:
    problem = Problem.random(cell, T=5, B=9, I=3, H=17, activation=activation, dtype=dtype)
    whole = solve(problem)
    rows = np.arange(9)
    for row in (0, 4, 8):
        x = problem.x.copy()
        x[row, 2, 1] = bad
        spoilt, others = solve(problem.replace(x=x)), rows != row
        for name in {"y", "h", "c", "dx", "dh", "dc"} & set(whole):
            assert_same_bits({name: spoilt[name][others]}, {name: whole[name][others]})
        np.testing.assert_array_equal(spoilt["y"][row, :2], whole["y"][row, :2])
        if np.isnan(bad):
            assert np.isnan(spoilt["h"][row]).any()


@pytest.mark.parametrize("huge", [np.inf, 1e30, "largest"])
@dtypes
@saturating
def test_activations_saturate(cell: str, dtype: str, huge: float | str) -> None:
    """An infinite pre-activation is a gate wide open or shut, not a NaN."""
    problem = Problem.random(cell, T=5, B=6, I=3, H=17, dtype=dtype)
    x = problem.x.copy()
    x[::2, 2, 1] = np.finfo(dtype).max if huge == "largest" else huge
    x[1::2, 2, 1] = -x[0, 2, 1]
    problem = problem.replace(x=x)
    with np.errstate(all="ignore"):  # only the forward half is compared: 0 * inf is no gradient
        expected = expect(problem)
    results = infer(problem)
    assert all(np.isfinite(value).all() for value in results.values())
    assert_close(results, expected, problem)


@dtypes
@saturating
def test_infinite_biases_shut_and_open_every_gate(cell: str, dtype: str) -> None:
    problem = Problem.random(cell, T=3, B=4, I=3, H=17, dtype=dtype, bias=1)
    problem = problem.replace(bias=np.copysign(np.array(np.inf, dtype), problem.bias))
    assert_close(solve(problem), expect(problem), problem)


@dtypes
@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_count_as_zero(threads: int, dtype: str) -> None:
    """In the loops alone: nobody else on any thread notices."""
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.arange(1, 18, dtype=dtype)[None, None] * tiny * np.ones((64, 40, 1), dtype)
    eye, zero = np.eye(17, dtype=dtype), np.zeros((17, 17), dtype)
    options = {"activation": "linear", "num_threads": threads}
    y, _, tape = functional.forward_train("simple_rnn", x, eye, zero, **options)
    assert not y.any() and (x * 1 == x).all() and x.all()
    assert not functional.backward(tape, x).x.any()
    _, (h,) = functional.forward("simple_rnn", 0 * x, zero, eye, initial_state=x[:, 0], **options)
    assert not h.any() and (x * 1 == x).all()


def test_fading_gradients_are_no_slower() -> None:
    """A gradient at the last output alone fades to denormals over 500 steps (an LSTM: 20 times the time with them)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 500, 8), np.float32)
    W, R = 0.1 * rng.standard_normal((8, 128), np.float32), 0.1 * rng.standard_normal((32, 128), np.float32)

    def seconds(dy: np.ndarray) -> float:
        best = np.inf
        for _ in range(5):
            tape = functional.forward_train("lstm", x, W, R, num_threads=1)[2]
            began = time.perf_counter()
            functional.backward(tape, dy)
            best = min(best, time.perf_counter() - began)
        return best

    everywhere = np.ones((16, 500, 32), np.float32)
    last = np.zeros_like(everywhere)
    last[:, -1] = 1
    assert seconds(last) < 2 * seconds(everywhere)


# --- dtypes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "computed"),
    [("i1", "f4"), ("i8", "f4"), ("u2", "f4"), ("?", "f4"), ("f2", "f4"), ("f4", "f4"), (">f4", "f4"), ("f8", "f8"),
     (">f8", "f8")],
)  # fmt: skip
def test_dtype_of_x_decides(given: str, computed: str) -> None:
    problem = Problem.random("lstm", T=4, B=3, I=2, H=9)
    problem = problem.replace(x=(3 * problem.x).astype(given))
    wanted = problem.map(lambda a: a.astype(computed))
    assert solve(problem)["y"].dtype == np.dtype(computed)
    assert_same_bits(solve(problem), solve(wanted))


def test_lists_are_arrays() -> None:
    problem = Problem.random("gru", T=4, B=3, I=2, H=9)
    y, _ = functional.forward("gru", problem.x.tolist(), problem.kernel.tolist(), problem.recurrent_kernel.tolist())
    wanted, _ = functional.forward("gru", problem.x, problem.kernel, problem.recurrent_kernel)
    np.testing.assert_array_equal(y, wanted)


NOT_NUMBERS = {
    "object": lambda a: a.astype(object),
    "complex": lambda a: a.astype(complex),
    "text": lambda a: a.astype(str),
    "dates": lambda a: a.astype("M8[s]"),
    "masked": lambda a: np.ma.masked_array(a),
}


@pytest.mark.parametrize("name", ["x", "kernel", "recurrent_kernel", "bias", "initial_state"])
@pytest.mark.parametrize("kind", NOT_NUMBERS)
def test_what_is_no_real_array_is_a_type_error(kind: str, name: str) -> None:
    problem = Problem.random("simple_rnn", T=4, B=3, I=2, H=9)
    value = getattr(problem, name)
    value = value[0] if isinstance(value, tuple) else value
    args, kwargs = problem.replace(**{name: NOT_NUMBERS[kind](value)}).arguments
    with pytest.raises(TypeError, match=name):
        functional.forward(*args, **kwargs)


# --- out -------------------------------------------------------------------------------------------------------


@dtypes
@cells
def test_out_may_be_the_input(cell: str, activation: str, dtype: str) -> None:
    problem = Problem.random(cell, T=6, B=5, I=17, H=17, activation=activation, dtype=dtype)
    wanted = infer(problem)["y"]
    for reverse in (slice(None), slice(None, None, -1)):
        x = problem.x.copy()
        args, kwargs = problem.replace(x=x[:, reverse][:, reverse]).arguments
        functional.forward(*args, **kwargs, out=x)
        np.testing.assert_array_equal(x, wanted)
    room = np.zeros((7, 5, 17), dtype).transpose(1, 0, 2)
    room[:, :6] = problem.x
    args, kwargs = problem.replace(x=room[:, :6]).arguments
    functional.forward(*args, **kwargs, out=room[:, 1:])
    np.testing.assert_array_equal(room[:, 1:], wanted)


@dtypes
@cells
def test_out_may_be_a_weight_or_a_state(cell: str, activation: str, dtype: str) -> None:
    problem = Problem.random(cell, T=1, B=9, I=9, H=9, activation=activation, dtype=dtype)
    wanted = infer(problem)["y"]
    for name in ("kernel", "recurrent_kernel", "initial_state"):
        copied = problem.map(np.copy)
        target = getattr(copied, name)
        target = target[0] if name == "initial_state" else target[:, :9]
        args, kwargs = copied.arguments
        functional.forward(*args, **kwargs, out=target[:, None])
        np.testing.assert_array_equal(target[:, None], wanted)


def locked(shape: tuple[int, ...]) -> np.ndarray:
    a = np.zeros(shape)
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.zeros((3, 5, 8)), ValueError, r"out must have shape \(3, 5, 4\), got \(3, 5, 8\)"),
        (np.zeros((3, 5, 4), "f4"), TypeError, "out must have dtype float64, got float32"),
        (locked((3, 5, 4)), ValueError, "out must be writeable, got a read-only array"),
        (np.zeros((3, 5, 8))[..., ::2], ValueError, "out must be aligned and contiguous along its last axis"),
        (np.zeros((3, 5, 4)).tolist(), TypeError, "out must be a numpy array, got list"),
        (np.zeros((3, 5, 4), ">f8"), TypeError, "out must have dtype float64, got >f8"),
    ],
    ids=["shape", "dtype", "read-only", "strides", "list", "byte-order"],
)
def test_out_that_cannot_be_written(out: Any, error: type[Exception], message: str) -> None:
    args, kwargs = Problem.random("gru", T=5, B=3, I=2, H=4).arguments
    with pytest.raises(error, match=message):
        functional.forward(*args, **kwargs, out=out)


# --- errors ----------------------------------------------------------------------------------------------------

ERRORS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"cell": "LSTM"}, ValueError, "cell must be one of .*'LSTM'"),
    ({"cell": "lstn"}, ValueError, "did you mean 'lstm'"),
    ({"cell": None}, TypeError, "cell must be one of .*None"),
    ({"activation": "relu"}, ValueError, "activation must be .*'relu'"),
    ({"activation": "softsign"}, ValueError, "activation must be .*'softsign'"),
    ({"x": np.zeros((3, 2))}, ValueError, r"x must have shape \(B, T, I\), got \(3, 2\)"),
    ({"x": np.zeros((3, 5, 7))}, ValueError, r"kernel must have shape \(7, 16\), got \(2, 16\)"),
    ({"x": [[[1.0, 2.0], [3.0]]]}, ValueError, "x must"),
    ({"kernel": np.zeros((2, 15))}, ValueError, r"kernel must have shape \(2, 16\), got \(2, 15\)"),
    ({"kernel": np.zeros((16, 2))}, ValueError, r"kernel must have shape \(2, 16\), got \(16, 2\)"),
    ({"recurrent_kernel": np.zeros((4, 12))}, ValueError, r"recurrent_kernel must have shape \(4, 16\), got \(4, 12"),
    ({"recurrent_kernel": np.zeros(16)}, ValueError, r"recurrent_kernel must have shape .*got \(16,\)"),
    ({"bias": np.zeros(4)}, ValueError, r"bias must have shape .*\(16,\).*got \(4,\)"),
    ({"bias": np.zeros((3, 16))}, ValueError, r"bias must have shape .*\(2, 16\).*got \(3, 16\)"),
    ({"bias": 0.0}, ValueError, r"bias must have shape .*got \(\)"),
    ({"initial_state": np.zeros((3, 4))}, ValueError, r"initial_state must be 2 arrays of .*got ndarray"),
    ({"initial_state": (np.zeros((3, 4)),)}, ValueError, r"initial_state must be 2 arrays of .*got 1 of them"),
    ({"initial_state": (np.zeros((1, 4)),) * 2}, ValueError, r"initial_state\[0\] must have shape \(3, 4\), got \(1"),
    ({"initial_state": (np.zeros((3, 4)), np.zeros(4))}, ValueError, r"initial_state\[1\] must have .*got \(4"),
    ({"lengths": [1, 2]}, ValueError, r"lengths must have shape \(3,\), got \(2,\)"),
    ({"lengths": 3}, ValueError, r"lengths must have shape \(3,\), got \(\)"),
    ({"lengths": [1, 2, 6]}, ValueError, "lengths must be between 0 and the 5 steps of x, got 6"),
    ({"lengths": [1, -1, 5]}, ValueError, "lengths must be between 0 and the 5 steps of x, got -1"),
    ({"lengths": np.array([1, 2, 2**63], "u8")}, ValueError, "lengths must be between 0 .*got 9223372036854775808"),
    ({"lengths": [1.0, 2.0, 3.0]}, TypeError, "lengths must be whole numbers, got dtype float64"),
    ({"lengths": [1, np.nan, 3]}, TypeError, "lengths must be whole numbers, got dtype float64"),
    ({"lengths": [True, True, False]}, TypeError, "lengths must be whole numbers, got dtype bool"),
    ({"num_threads": 0}, ValueError, "num_threads must be at least 1, got 0"),
    ({"num_threads": -2}, ValueError, "num_threads must be at least 1, got -2"),
    ({"num_threads": 1.5}, TypeError, "num_threads must be a whole number, got 1.5"),
    ({"num_threads": "2"}, TypeError, "num_threads must be a whole number, got '2'"),
    ({"num_threads": True}, TypeError, "num_threads must be a whole number, got True"),
]  # fmt: skip


@pytest.mark.parametrize("train", [False, True], ids=["forward", "forward_train"])
@pytest.mark.parametrize(("changes", "error", "message"), ERRORS)
def test_errors_name_argument_rule_and_value(
    changes: dict[str, Any], error: type[Exception], message: str, train: bool
) -> None:
    problem = Problem.random("lstm", T=5, B=3, I=2, H=4)
    options = {name: value for name, value in changes.items() if name == "num_threads"}
    args, kwargs = problem.replace(**{n: v for n, v in changes.items() if n not in options}).arguments
    with pytest.raises(error, match=message):
        (functional.forward_train if train else functional.forward)(*args, **kwargs, **options)


@pytest.mark.parametrize(
    ("dy", "dstate", "error", "message"),
    [
        (np.zeros((3, 4, 4)), None, ValueError, r"dy must have shape \(3, 5, 4\), got \(3, 4, 4\)"),
        (np.zeros((3, 4)), None, ValueError, r"dy must have shape \(3, 5, 4\), got \(3, 4\)"),
        (np.zeros((3, 5, 4), complex), None, TypeError, "dy must hold real numbers, got dtype complex128"),
        (None, np.zeros((3, 4)), ValueError, r"dstate must be 2 arrays of shape \(3, 4\), got ndarray"),
        (None, (np.zeros((3, 4)), np.zeros((1, 4))), ValueError, r"dstate\[1\] must have shape \(3, 4\), got \(1, 4\)"),
    ],
    ids=["dy-steps", "dy-axes", "dy-dtype", "dstate-parts", "dstate-batch"],
)
def test_errors_of_the_way_back_leave_the_tape_usable(
    dy: Any, dstate: Any, error: type[Exception], message: str
) -> None:
    problem = Problem.random("lstm", T=5, B=3, I=2, H=4)
    args, kwargs = problem.arguments
    _, _, tape = functional.forward_train(*args, **kwargs)
    with pytest.raises(error, match=message):
        functional.backward(tape, dy, dstate)
    gradients = functional.backward(tape, problem.dy, problem.dstate)
    np.testing.assert_array_equal(gradients.kernel, solve(problem)["dkernel"])


def test_what_is_no_tape_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="tape must come from forward_train, got tuple"):
        functional.backward((1, 2))


def test_half_a_state_may_be_absent() -> None:
    problem = Problem.random("lstm", T=5, B=3, I=2, H=4)
    zero = np.zeros((3, 4))
    h, c = problem.initial_state
    dh, dc = problem.dstate
    for left, right, dleft, dright in ((h, None, None, dc), (None, c, dh, None)):
        some = problem.replace(initial_state=(left, right), dstate=(dleft, dright))
        filled = problem.replace(
            initial_state=tuple(zero if s is None else s for s in (left, right)),
            dstate=tuple(zero if d is None else d for d in (dleft, dright)),
        )
        assert_same_bits(solve(some), solve(filled))


# --- nothing of the caller's is changed ------------------------------------------------------------------------


@walks
@dtypes
@cells
def test_arguments_are_read_only_to_the_kernels(cell: str, activation: str, dtype: str, reverse: bool) -> None:
    problem = Problem.random(
        cell, T=5, B=3, I=2, H=17, activation=activation, dtype=dtype, reverse=reverse, ragged=True
    )
    kept = problem.map(np.copy).replace(lengths=problem.lengths.copy())
    solve(problem)
    infer(problem)
    np.testing.assert_array_equal(problem.lengths, kept.lengths)
    for name in ("x", "kernel", "recurrent_kernel", "bias", "initial_state", "dy", "dstate"):
        np.testing.assert_array_equal(getattr(problem, name), getattr(kept, name), err_msg=name)


@cells
def test_results_are_fresh_arrays(cell: str, activation: str) -> None:
    """No result shares memory with an argument, another result, or the next call's."""
    problem = Problem.random(cell, T=1, B=3, I=9, H=9, activation=activation)
    first = solve(problem) | {"last": functional.forward(*problem.arguments[0], return_sequences=False)[0]}
    kept = {name: value.copy() for name, value in first.items()}
    second = solve(problem.map(lambda a: 2 * a))
    arrays = [*first.values(), *second.values(), problem.x, *problem.initial_state, *problem.dstate]
    for i, one in enumerate(arrays):
        assert not any(np.shares_memory(one, other) for other in arrays[i + 1 :])
    assert_same_bits(first, kept)


# --- sizes -----------------------------------------------------------------------------------------------------


@cells
def test_offsets_beyond_two_gigabytes(cell: str, activation: str) -> None:
    """Rows and steps more than 2^31 bytes apart; pages that nobody touches cost nothing."""
    problem = Problem.random(cell, T=2, B=2, I=3, H=4, activation=activation, dtype="float32")
    try:
        room = np.zeros((2, 2, 2**29 // 2 + 16), np.float32)
    except MemoryError:
        pytest.skip("the system reserves no 2 GB of address space")
    for view in (room, room.swapaxes(0, 1)):
        view[..., :3] = problem.x
        assert_same_bits(infer(problem.replace(x=view[..., :3])), infer(problem))
        assert_same_bits(solve(problem.replace(x=view[..., :3])), solve(problem))


@pytest.mark.parametrize("call", [functional.forward, functional.forward_train])
def test_more_memory_than_there_is_is_a_memory_error(call: Any) -> None:
    problem = Problem.random("lstm", T=2, B=2, I=3, H=4)
    (_, _, *weights), _ = problem.arguments
    x = np.broadcast_to(problem.x[:1, :1], (2**24, 2**24, 3))
    with pytest.raises(MemoryError):
        call("lstm", x, *weights)
    assert_close(solve(problem), expect(problem), problem)
