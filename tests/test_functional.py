"""Every kernel against the reference, over sizes that cross every edge of a tile and every way to call it."""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from helpers import (
    CELLS,
    Problem,
    assert_close,
    assert_same_bits,
    case_id,
    expect,
    infer,
    pairwise,
    solve,
)

from fastrnn import functional

cells = pytest.mark.parametrize(("cell", "activation"), CELLS)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

# sizes around 8, 16, 32 and 64: the vectors and tiles of every ISA
CASES = pairwise(
    seed=1,
    H=[1, 3, 8, 15, 16, 17, 33, 48, 65],
    B=[1, 2, 3, 5, 7, 13, 29],
    I=[1, 2, 5, 16, 31],
    T=[1, 2, 7, 19],
    bias=[None, 1, 2],
    num_threads=[1, 2],
    reverse=[False, True],
    ragged=[False, True],
    state=[False, True],
    time_major=[False, True],
)


@pytest.mark.parametrize("case", CASES, ids=case_id)
@dtypes
@cells
def test_against_the_reference(cell: str, activation: str, dtype: str, case: dict[str, Any]) -> None:
    how = {name: case[name] for name in ("num_threads", "time_major")}
    what = {name: value for name, value in case.items() if name not in how}
    problem = Problem.random(cell, activation=activation, dtype=dtype, **what)
    expected = expect(problem)
    assert_close(infer(problem, **how), expected, problem)
    assert_close(solve(problem, **how), expected, problem)


@pytest.mark.parametrize(
    ("T", "B", "I", "H"),
    [
        (130, 37, 70, 130),
        (50, 1, 20, 300),
        (9, 3, 8, 520),
        (3, 200, 300, 40),
        (400, 3, 2, 5),
        (2, 12, 9, 1040),
        (70, 2, 700, 35),
        (61, 45, 5, 19),
        (30, 100, 40, 70),
    ],
    ids=[
        "chunks",
        "one-row",
        "few-rows-wide",
        "many-rows",
        "many-steps",
        "stretches-of-k",
        "slices",
        "sums-of-blocks",
        "sums-of-wide-blocks",
    ],
)
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@dtypes
@cells
def test_large(cell: str, activation: str, dtype: str, reverse: bool, T: int, B: int, I: int, H: int) -> None:
    """Past the sizes where time is cut into chunks, K into blocks, and rows or units are shared among threads."""
    problem = Problem.random(
        cell, T=T, B=B, I=I, H=H, activation=activation, dtype=dtype, ragged=B > 1, reverse=reverse
    )
    expected = expect(problem)
    for num_threads in (1, 2):
        assert_close(infer(problem, num_threads=num_threads), expected, problem)
        assert_close(solve(problem, num_threads=num_threads), expected, problem)


@dtypes
@cells
def test_gradients_that_are_absent_are_zero(cell: str, activation: str, dtype: str) -> None:
    problem = Problem.random(cell, T=6, B=5, I=3, H=17, activation=activation, dtype=dtype)
    for absent in ({"dy": None}, {"dstate": None}, {"dy": None, "dstate": None}):
        without = problem.replace(**absent)
        assert_close(solve(without), expect(without), problem)


@cells
def test_dx_can_be_declined(cell: str, activation: str) -> None:
    problem = Problem.random(cell, T=6, B=5, I=3, H=17, activation=activation)
    args, kwargs = problem.arguments
    every, some = (
        functional.backward(functional.forward_train(*args, **kwargs)[2], problem.dy, problem.dstate, need_dx=need_dx)
        for need_dx in (True, False)
    )
    assert some.x is None
    for one, other in zip(every[1:4], some[1:4], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(every.initial_state, some.initial_state)


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("time_major", [False, True], ids=["batch-major", "time-major"])
@dtypes
@cells
def test_last_output_alone(cell: str, activation: str, dtype: str, time_major: bool, reverse: bool) -> None:
    """Without the sequence, y is the output of the last step walked: the final h."""
    problem = Problem.random(cell, T=7, B=5, I=3, H=17, activation=activation, dtype=dtype, reverse=reverse)
    args, kwargs = problem.arguments
    whole = infer(problem)
    last = whole["y"][:, 0 if reverse else -1]
    if time_major:
        args = (cell, problem.x.swapaxes(0, 1), *args[2:])
    y, state = functional.forward(*args, **kwargs, time_major=time_major, return_sequences=False)
    assert_same_bits({"y": y, "h": state[0]}, {"y": last, "h": whole["h"]})


@dtypes
@cells
def test_gradient_of_the_last_output_alone(cell: str, activation: str, dtype: str) -> None:
    problem = Problem.random(cell, T=7, B=5, I=3, H=17, activation=activation, dtype=dtype, ragged=True)
    problem = problem.replace(dstate=None)
    args, kwargs = problem.arguments
    y, state, tape = functional.forward_train(*args, **kwargs, return_sequences=False)
    np.testing.assert_array_equal(y, state[0])
    dlast = problem.dy[:, 0]
    gradients = functional.backward(tape, dlast)
    zero = np.zeros_like(dlast)
    same = problem.replace(dy=None, dstate=(dlast, zero) if cell == "lstm" else (dlast,))
    expected = expect(same)
    results = {"dx": gradients.x, "dkernel": gradients.kernel, "dbias": gradients.bias}
    assert_close(results | {"dh": gradients.initial_state[0]}, expected, same)


@pytest.mark.parametrize("return_sequences", [True, False])
@cells
def test_out_receives_the_output(cell: str, activation: str, return_sequences: bool) -> None:
    problem = Problem.random(cell, T=7, B=5, I=3, H=17, activation=activation, ragged=True)
    args, kwargs = problem.arguments
    wanted, _ = functional.forward(*args, **kwargs, return_sequences=return_sequences)
    # rows apart from each other, so that a write beside the array would show
    room = np.full((*wanted.shape[:-1], 30), 7.0)
    out = room[..., 5:22]
    y, _ = functional.forward(*args, **kwargs, return_sequences=return_sequences, out=out)
    assert y is out
    np.testing.assert_array_equal(out, wanted)
    assert (room[..., :5] == 7).all()
    assert (room[..., 22:] == 7).all()


@dtypes
@cells
def test_neighbours_of_out_are_never_touched(cell: str, activation: str, dtype: str) -> None:
    """One output array between canaries, over every width of the last vector."""
    for H in range(1, 36):
        problem = Problem.random(cell, T=3, B=2, I=2, H=H, activation=activation, dtype=dtype)
        args, kwargs = problem.arguments
        room = np.full(3 * 2 * H + 128, 7, dtype)
        functional.forward(*args, **kwargs, out=room[64 : 64 + 6 * H].reshape(2, 3, H))
        assert (room[:64] == 7).all()
        assert (room[64 + 6 * H :] == 7).all()


@cells
def test_a_tape_is_spent_by_one_backward(cell: str, activation: str) -> None:
    """BPTT overwrites the gates with their gradients, and reads y again: nobody else may write to it."""
    args, kwargs = Problem.random(cell, T=4, B=3, I=2, H=9, activation=activation).arguments
    y, _, tape = functional.forward_train(*args, **kwargs)
    assert not y.flags.writeable
    functional.backward(tape, np.ones_like(y))
    with pytest.raises(RuntimeError, match="tape has been used"):
        functional.backward(tape, np.ones_like(y))


@cells
def test_bias_rows_are_the_input_and_the_recurrent_one(cell: str, activation: str) -> None:
    """One row is the input bias, with the recurrent one zero; only a GRU tells them apart."""
    problem = Problem.random(cell, T=4, B=3, I=2, H=9, activation=activation)
    one = solve(problem.replace(bias=problem.bias[0]))
    two = solve(problem.replace(bias=np.stack([problem.bias[0], np.zeros_like(problem.bias[0])])))
    np.testing.assert_allclose(one["y"], two["y"], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(one["dbias"], two["dbias"][0], rtol=1e-12, atol=1e-13)
    swapped = infer(problem.replace(bias=problem.bias[::-1].copy()))
    same = np.allclose(swapped["y"], infer(problem)["y"], rtol=1e-12)
    assert same == (cell != "gru")


# --- memory layouts: the values are what counts ---------------------------------------------------------------


def as_negative(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a[tuple([slice(None, None, -1)] * a.ndim)])[tuple([slice(None, None, -1)] * a.ndim)]


def as_sliced(a: np.ndarray) -> np.ndarray:
    """Every other element of a larger array, whose other elements are NaN."""
    room = np.full([2 * n + 1 for n in a.shape], np.nan, a.dtype)
    view = room[tuple([slice(1, None, 2)] * a.ndim)]
    view[...] = a
    return view


def as_window(a: np.ndarray) -> np.ndarray:
    """Contiguous rows in the middle of a larger array, whose other elements are NaN."""
    room = np.full([n + 3 for n in a.shape], np.nan, a.dtype)
    view = room[tuple(slice(1, n + 1) for n in a.shape)]
    view[...] = a
    return view


def as_transposed(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.T).T


def as_leading_axes_swapped(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1) if a.ndim > 1 else a


def as_read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def as_byteswapped(a: np.ndarray) -> np.ndarray:
    return a.astype(a.dtype.newbyteorder())


def as_misaligned(a: np.ndarray) -> np.ndarray:
    room = np.zeros(a.nbytes + 1, np.uint8)
    view = room[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def as_packed_field(a: np.ndarray) -> np.ndarray:
    """A field of packed records: strides that are no multiple of the item's size."""
    room = np.zeros(a.shape, np.dtype([("tag", "i1"), ("value", a.dtype)]))
    room["value"] = a
    return room["value"]


LAYOUTS = [as_negative, as_sliced, as_window, as_transposed, as_leading_axes_swapped, as_read_only, as_byteswapped,
           as_misaligned, as_packed_field]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__[3:])
@dtypes
@cells
def test_every_layout_of_every_array(cell: str, activation: str, dtype: str, layout: Any) -> None:
    problem = Problem.random(cell, T=5, B=6, I=7, H=9, activation=activation, dtype=dtype, ragged=True)
    other = problem.map(layout)
    assert_same_bits(solve(other), solve(problem))
    assert_same_bits(infer(other), infer(problem))


@st.composite
def dressed_problems(draw: st.DrawFn) -> tuple[Problem, Problem]:
    """A small problem of any shape, and the same one with each array in a memory layout of its own."""
    cell, activation = draw(st.sampled_from(CELLS))
    T, B = draw(st.integers(0, 6)), draw(st.integers(0, 9))
    problem = Problem.random(
        cell,
        T=T,
        B=B,
        I=draw(st.integers(0, 20)),
        H=draw(st.integers(0, 40)),
        activation=activation,
        dtype=draw(st.sampled_from(["float32", "float64"])),
        bias=draw(st.sampled_from([None, 1, 2])),
        state=draw(st.booleans()),
        reverse=draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
    )
    if draw(st.booleans()):
        lengths = draw(st.lists(st.integers(0, T), min_size=B, max_size=B))
        problem = problem.replace(lengths=np.array(lengths, draw(st.sampled_from(["i4", "u1", ">i8"]))))
    return problem, problem.map(lambda a: draw(st.sampled_from([np.copy, *LAYOUTS]))(a))


@hypothesis.given(problems=dressed_problems(), num_threads=st.integers(1, 3), time_major=st.booleans())
@hypothesis.settings(max_examples=150)
def test_any_shape_in_any_layout(problems: tuple[Problem, Problem], num_threads: int, time_major: bool) -> None:
    plain, dressed = problems
    results = solve(plain, time_major=time_major)
    assert_close(results, expect(plain), plain)
    assert_same_bits(solve(dressed, num_threads=num_threads, time_major=time_major), results)
