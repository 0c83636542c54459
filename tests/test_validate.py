"""The one door: what passes is ready for a kernel, what does not gives one error that names it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn import validate

# --- scalars ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["float32", np.float32, np.dtype("f4"), "float64", float])
def test_dtype_accepts_both_floats(value: Any) -> None:
    assert validate.dtype("dtype", value) == np.dtype(value)


@pytest.mark.parametrize("value", ["float16", int, complex, object, ">f4", "nonsense", 3, None])
def test_dtype_refuses_all_others(value: Any) -> None:
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got"):
        validate.dtype("dtype", value)


@pytest.mark.parametrize("value", [0, 3, np.int64(3), np.uint8(3), np.array(3)])
def test_count_accepts_whole_numbers(value: Any) -> None:
    result = validate.count("units", value)
    assert type(result) is int
    assert result == value


@pytest.mark.parametrize("value", [1.0, "3", None, True, np.True_, [3], np.float64(3)])
def test_count_refuses_other_types(value: Any) -> None:
    with pytest.raises(TypeError, match="units must be a whole number, got"):
        validate.count("units", value)


def test_count_has_a_minimum() -> None:
    assert validate.count("units", 1, minimum=1) == 1
    with pytest.raises(ValueError, match="units must be at least 1, got 0"):
        validate.count("units", 0, minimum=1)
    with pytest.raises(ValueError, match="units must be at least 0, got -1"):
        validate.count("units", -1)


@pytest.mark.parametrize("value", [0, 0.0, 0.5, np.float32(0.25), 0.999])
def test_fraction_accepts_the_half_open_interval(value: Any) -> None:
    assert validate.fraction("dropout", value) == value


@pytest.mark.parametrize("value", [1, 1.5, -0.1, np.nan, np.inf])
def test_fraction_refuses_what_lies_outside(value: Any) -> None:
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got"):
        validate.fraction("dropout", value)


@pytest.mark.parametrize("value", [None, "half", [0.5, 0.5]])
def test_fraction_refuses_other_types(value: Any) -> None:
    with pytest.raises(TypeError, match="dropout must be a number, got"):
        validate.fraction("dropout", value)


def test_choice() -> None:
    assert validate.choice("activation", "tanh", ("tanh", "relu")) == "tanh"
    with pytest.raises(ValueError, match="activation must be one of tanh, relu, got 'tahn'; did you mean 'tanh'"):
        validate.choice("activation", "tahn", ("tanh", "relu"))
    for value, error in ((None, TypeError), (3, TypeError), (["tanh"], TypeError), ("x", ValueError)):
        with pytest.raises(error, match="activation must be one of tanh, relu, got"):
            validate.choice("activation", value, ("tanh", "relu"))


@pytest.mark.parametrize("value", [1, 2, 64, np.int32(4)])
def test_threads_accepts_an_argument(value: Any) -> None:
    assert validate.threads(value) == value


def test_threads_has_a_default() -> None:
    assert validate.threads(None) >= 1


@pytest.mark.parametrize("value", [0, 1025, 10**9])
def test_threads_has_bounds(value: int) -> None:
    with pytest.raises(ValueError, match=f"num_threads must be at (least 1|most 1024), got {value}"):
        validate.threads(value)


# --- arrays ----------------------------------------------------------------------------------------------------


def test_an_array_ready_for_a_kernel_passes_as_it_is() -> None:
    for dtype in ("f4", "f8"):
        a = np.zeros((3, 4), dtype)
        assert validate.array("x", a) is a
        assert validate.array("x", a, dtype, (3, "I")) is a
    rows = np.zeros((6, 4))[::2]
    assert validate.array("x", rows) is rows
    turned = np.zeros((2, 3, 4)).transpose(1, 0, 2)
    assert validate.array("x", turned) is turned


@pytest.mark.parametrize(
    ("given", "kept"),
    [("i4", "f4"), ("u1", "f4"), ("?", "f4"), ("f2", "f4"), (">f4", "f4"), (">f8", "f8"), ("g", "f8"), ("i8", "f4")],
)
def test_other_real_dtypes_are_converted(given: str, kept: str) -> None:
    result = validate.array("x", np.arange(3).astype(given))
    assert result.dtype == np.dtype(kept)
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, np.arange(3).astype(given))


def test_a_dtype_asked_for_wins() -> None:
    assert validate.array("kernel", np.zeros(3), np.float32).dtype == np.float32
    assert validate.array("kernel", [1, 2, 3], np.float64).dtype == np.float64


@pytest.mark.parametrize("dtype", ["O", "c8", "U3", "S3", "M8[s]", "m8[s]", "V4"])
@pytest.mark.parametrize("asked", [None, np.float32])
def test_dtypes_that_are_no_real_numbers(dtype: str, asked: Any) -> None:
    with pytest.raises(TypeError, match="x must hold real numbers, got dtype"):
        validate.array("x", np.zeros(3, dtype), asked)


def test_masked_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="x must be a plain array, got a masked array; pass lengths= for padding"):
        validate.array("x", np.ma.masked_array([1.0, 2.0], [0, 1]))


def test_rows_of_unequal_length_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="x must"):
        validate.array("x", [[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 5), r"x must have shape \(3, 5\), got \(3, 4\)"),
        (("B", "T", "I"), r"x must have shape \(B, T, I\), got \(3, 4\)"),
        ((None, 5), r"x must have shape \(any, 5\), got \(3, 4\)"),
        ((4,), r"x must have shape \(4,\), got \(3, 4\)"),
    ],
)
def test_wrong_shapes(shape: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate.array("x", np.zeros((3, 4)), shape=shape)
    validate.array("x", np.zeros((3, 4)), shape=("B", None))


def misaligned(shape: tuple[int, ...]) -> np.ndarray:
    size = 8 * int(np.prod(shape))
    return np.zeros(size + 1, np.uint8)[1:].view(np.float64).reshape(shape)


@pytest.mark.parametrize(
    "odd",
    [np.ones((3, 8))[:, ::2], np.ones((4, 3)).T, np.ones((3, 4))[:, ::-1], misaligned((3, 4))],
    ids=["sliced", "transposed", "negative", "misaligned"],
)
def test_last_axis_becomes_contiguous_and_aligned(odd: np.ndarray) -> None:
    result = validate.array("x", odd)
    assert result.flags.aligned
    assert result.strides[-1] == result.itemsize
    np.testing.assert_array_equal(result, odd)
    assert validate.array("x", odd, unit_stride=False) is odd


def test_subclasses_and_scalars_become_plain_arrays() -> None:
    class Tagged(np.ndarray):
        pass

    assert type(validate.array("x", np.zeros(3).view(Tagged))) is np.ndarray
    assert validate.array("x", 1.5).shape == ()
    assert validate.array("x", np.zeros((0, 4))[:, ::2]).shape == (0, 2)


def locked(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a


def test_output() -> None:
    out = np.zeros((3, 8), np.float32)[:, 2:6]
    assert validate.output("out", out, np.float32, (3, 4)) is out
    for empty in (np.zeros((0, 4)), np.zeros((0, 8))[:, ::2], np.full_like(np.zeros((0, 4)), 1.0)):
        assert validate.output("out", empty, np.float64, (0, 4)) is empty


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([0.0] * 4, TypeError, "out must be a numpy array, got list"),
        (np.ma.zeros(4), TypeError, "out must be a numpy array, got MaskedArray"),
        (np.zeros(4, "f4"), TypeError, "out must have dtype float64, got float32"),
        (np.zeros(5), ValueError, r"out must have shape \(4,\), got \(5,\)"),
        (np.zeros((1, 4)), ValueError, r"out must have shape \(4,\), got \(1, 4\)"),
        (locked(np.zeros(4)), ValueError, "out must be writeable, got a read-only array"),
        (np.zeros(8)[::2], ValueError, "out must be aligned and contiguous along its last axis, got strides"),
        (misaligned((4,)), ValueError, "out must be aligned and contiguous along its last axis"),
    ],
)
def test_output_errors(out: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        validate.output("out", out, np.float64, (4,))


# --- lengths, integers, states, steps --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["i1", "i4", "i8", "u2", "u8", ">i4"])
def test_lengths_of_any_integer_type(dtype: str) -> None:
    result = validate.lengths(np.array([0, 9, 3, 9], dtype)[::2], 2, 5)
    assert result.dtype == np.int64
    assert result.flags.c_contiguous
    assert result.tolist() == [0, 3]


def test_lengths_at_the_edges() -> None:
    assert validate.lengths(None, 3, 5) is None
    assert validate.lengths([], 0, 5).shape == (0,)
    assert validate.lengths([0, 5], 2, 5).tolist() == [0, 5]
    assert validate.lengths([0], 1, 0).tolist() == [0]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([1, 2, 3], ValueError, r"lengths must have shape \(2,\), got \(3,\)"),
        ([[1, 2]], ValueError, r"lengths must have shape \(2,\), got \(1, 2\)"),
        ([1, 6], ValueError, "lengths must be between 0 and the 5 steps of x, got 6"),
        ([-1, 5], ValueError, "lengths must be between 0 and the 5 steps of x, got -1"),
        ([1.0, 2.0], TypeError, "lengths must be whole numbers, got dtype float64"),
        ([np.nan, 2], TypeError, "lengths must be whole numbers"),
        (["1", "2"], TypeError, "lengths must be whole numbers"),
        ([True, False], TypeError, "lengths must be whole numbers, got dtype bool"),
        ([None, 2], TypeError, "lengths must be whole numbers, got dtype object"),
    ],
)
def test_lengths_errors(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        validate.lengths(value, 2, 5)


def test_integers() -> None:
    for value in ([[0, 4], [2, 3]], np.array([[0, 4], [2, 3]], "u1"), [[0.0, 4.0], [2.0, 3.0]]):
        result = validate.integers("token", value, 0, 5)
        assert result.dtype == np.int64
        assert result.tolist() == [[0, 4], [2, 3]]
    assert validate.integers("token", [], 0, 5).shape == (0,)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([0, 5], ValueError, r"token must be in \[0, 5\), got 5"),
        ([-1, 2], ValueError, r"token must be in \[0, 5\), got -1"),
        ([0.5], TypeError, "token must be whole numbers, got dtype float64"),
        ([np.nan], TypeError, "token must be whole numbers"),
        (["a"], TypeError, "token must be whole numbers"),
        ([True], TypeError, "token must be whole numbers, got dtype bool"),
        ([np.inf], (TypeError, ValueError), "token must be"),
        (np.array([2**63], "u8"), ValueError, r"token must be in \[0, 5\), got 9223372036854775808"),
    ],
)
def test_integers_errors(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        validate.integers("token", value, 0, 5)


def test_states() -> None:
    h, c = np.ones((4, 3)).T, np.zeros((3, 4), "f4")
    assert validate.states("initial_state", None, 2, 3, 4, np.float64) == (None, None)
    for value in ((h,), [h], h):
        (result,) = validate.states("initial_state", value, 1, 3, 4, np.float64)
        np.testing.assert_array_equal(result, h)
        assert result.flags.c_contiguous
    first, second = validate.states("initial_state", [h, c], 2, 3, 4, np.float32)
    assert (first.dtype, second.dtype) == (np.float32, np.float32)
    assert validate.states("initial_state", (None, c), 2, 3, 4, np.float32)[0] is None


@pytest.mark.parametrize(
    ("value", "parts", "message"),
    [
        (np.zeros((2, 3, 4)), 2, r"initial_state must be 2 arrays of shape \(3, 4\), got ndarray"),
        ((np.zeros((3, 4)),), 2, r"initial_state must be 2 arrays of shape \(3, 4\), got 1 of them"),
        ((np.zeros((3, 4)),) * 2, 1, r"initial_state must be 1 array of shape \(3, 4\), got 2 of them"),
        (np.zeros((1, 4)), 1, r"initial_state\[0\] must have shape \(3, 4\), got \(1, 4\)"),
        (np.zeros(4), 1, r"initial_state\[0\] must have shape \(3, 4\), got \(4,\)"),
        ((np.zeros((3, 4)), np.zeros((3, 5))), 2, r"initial_state\[1\] must have shape \(3, 4\), got \(3, 5\)"),
    ],
)
def test_states_errors(value: Any, parts: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate.states("initial_state", value, parts, 3, 4, np.float64)


def test_step() -> None:
    x, out = validate.step(np.ones(3), np.zeros(4), 1, 3, 4, np.float64)
    assert (x.shape, out.shape) == ((3,), (4,))
    x, out = validate.step(np.ones((3, 2)).T, None, 2, 3, 4, np.float32)
    assert x.flags.c_contiguous
    assert (x.dtype, out) == (np.float32, None)
    both = np.ones((2, 3))
    x, out = validate.step(both, both, 2, 3, 3, np.float64)
    assert not np.shares_memory(x, out)


@pytest.mark.parametrize(
    ("x", "out", "message"),
    [
        (np.ones((3, 3)), None, r"x must have shape \(2, 3\), got \(3, 3\)"),
        (np.ones(3), None, r"x must have shape \(2, 3\), got \(3,\)"),
        (np.ones((2, 3)), np.ones((2, 3)), r"out must have shape \(2, 4\), got \(2, 3\)"),
        (np.ones((2, 3)), locked(np.ones((2, 4))), "out must be writeable"),
    ],
)
def test_step_errors(x: Any, out: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate.step(x, out, 2, 3, 4, np.float64)
