"""pad_sequences: Keras's figures, a second computation row by row, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn.preprocessing import pad_sequences, sequence

ROWS = [[1], [2, 3], [], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[0, 0, 0, 1], [0, 0, 2, 3], [0, 0, 0, 0], [4, 5, 6, 7]]),
        ({"maxlen": 2}, [[0, 1], [2, 3], [0, 0], [6, 7]]),
        ({"maxlen": 3, "padding": "post"}, [[1, 0, 0], [2, 3, 0], [0, 0, 0], [5, 6, 7]]),
        ({"maxlen": 3, "truncating": "post"}, [[0, 0, 1], [0, 2, 3], [0, 0, 0], [4, 5, 6]]),
        (
            {"maxlen": 6, "padding": "post", "truncating": "post", "value": -1},
            [[1, -1, -1, -1, -1, -1], [2, 3, -1, -1, -1, -1], [-1] * 6, [4, 5, 6, 7, -1, -1]],
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["lists", "tuples", "arrays", "an array of objects", "mixed", "readonly"])
def test_figures_of_keras(options: dict[str, Any], expected: list[list[int]], kind: str) -> None:
    """From Keras 3.15; every kind of sequence gives the same."""
    rows: Any = ROWS
    if kind == "tuples":
        rows = tuple(map(tuple, ROWS))
    elif kind != "lists":
        rows = [np.array(row, np.int64) for row in ROWS]
    if kind == "an array of objects":
        rows = np.array([*rows, None], object)[:-1]
    if kind == "mixed":
        rows[1] = ROWS[1]
    if kind == "readonly":
        for row in rows:
            row.flags.writeable = False
    x = pad_sequences(rows, **options)
    assert x.dtype == np.int32
    np.testing.assert_array_equal(x, expected)
    assert sequence.pad_sequences is pad_sequences


def test_sequences_of_vectors_and_of_words() -> None:
    """From Keras 3.15."""
    rows = [[[1.5, 2.5]], [[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]]
    x = pad_sequences(rows, dtype="float32", value=-1.5, maxlen=2)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [[[-1.5, -1.5], [1.5, 2.5]], [[5, 6], [7, 8]]])
    np.testing.assert_array_equal(pad_sequences([[], *map(np.array, rows)], dtype="float32", value=-1.5)[1:, 1:], x)
    np.testing.assert_array_equal(pad_sequences([[1.7, -2.7], [3.2]]), [[1, -2], [0, 3]])
    words = pad_sequences([["a", "b"], ["c"]], dtype=object, value="<pad>")
    assert words.tolist() == [["a", "b"], ["<pad>", "c"]]
    assert pad_sequences([["ab"], []], dtype="U3", value="no", padding="post").tolist() == [["ab"], ["no"]]


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("as_lists", [True, False])
def test_random_lengths_row_by_row(padding: str, truncating: str, as_lists: bool, rng: np.random.Generator) -> None:
    rows = [rng.standard_normal(length) for length in rng.integers(0, 12, 50)]
    x = pad_sequences(
        [row.tolist() for row in rows] if as_lists else rows, 7, "float64", padding, truncating, value=0.25
    )
    for row, padded in zip(rows, x, strict=True):
        kept = row[:7] if truncating == "post" else row[max(len(row) - 7, 0) :]
        filling = [0.25] * (7 - len(kept))
        np.testing.assert_array_equal(padded, [*kept, *filling] if padding == "post" else [*filling, *kept])


def test_sizes_at_the_edge() -> None:
    assert pad_sequences([], maxlen=3).shape == (0, 3)
    assert pad_sequences([[], []]).shape == (2, 0)
    assert pad_sequences([[1, 2], []], maxlen=0).shape == (2, 0)
    np.testing.assert_array_equal(pad_sequences(np.arange(6).reshape(2, 3), maxlen=2), [[1, 2], [4, 5]])
    np.testing.assert_array_equal(pad_sequences([range(3)], maxlen=4), [[0, 0, 1, 2]])
    assert np.isnan(pad_sequences([[1.0]], 2, "float32", value=np.nan)[0, 0])


def test_the_arguments_are_left_alone() -> None:
    rows = [[1, 2, 3], [4]]
    x = pad_sequences(rows, maxlen=2)
    x[...] = 9
    assert rows == [[1, 2, 3], [4]]
    array = np.arange(4).reshape(2, 2)
    pad_sequences(array)[...] = 9
    np.testing.assert_array_equal(array, [[0, 1], [2, 3]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((5,), TypeError, "sequences must be a sequence of sequences, got int"),
        (("abc",), TypeError, "sequences must be a sequence of sequences, got str"),
        (((row for row in ROWS),), TypeError, "got generator"),
        (([1, 2],), TypeError, "sequences must hold sequences, got 1 at 0"),
        (([[1], "ab"],), TypeError, "sequences must hold sequences, got 'ab' at 1"),
        (([],), ValueError, "maxlen must be given when there is no sequence"),
        ((ROWS, -1), ValueError, "maxlen must be at least 0, got -1"),
        ((ROWS, 2.5), TypeError, "maxlen must be a whole number"),
        ((ROWS, 2, "int33"), TypeError, "dtype must be a NumPy dtype, got 'int33'"),
        ((ROWS, 2, "int32", "pest"), ValueError, "padding must be one of pre, post, got 'pest'; did you mean 'post'"),
        ((ROWS, 2, "int32", "pre", "left"), ValueError, "truncating must be one of pre, post"),
        ((ROWS, 2, "int32", "pre", "pre", "no"), ValueError, "value must be a number for dtype int32, got 'no'"),
        ((ROWS, 2, "int32", "pre", "pre", 0.5), ValueError, "value must be a number that dtype int32 holds, got 0.5"),
        ((ROWS, 2, "int32", "pre", "pre", np.nan), ValueError, "value must be a number that dtype int32 holds"),
        ((ROWS, 2, "int32", "pre", "pre", [1, 2]), ValueError, "value must be a number that dtype int32 holds"),
        (([[1], ["a"]],), ValueError, r"sequences\[1\] must hold elements that dtype int32 holds"),
        (([[1], [None]],), ValueError, r"sequences\[1\] must hold elements that dtype int32 holds"),
        (([[1], [2**40]],), ValueError, r"sequences\[1\] must hold elements that dtype int32 holds"),
        (([[1, 2], [[3]]],), ValueError, r"sequences\[1\] must hold elements of shape \(\), got \(1,\)"),
        (([np.ones((2, 3)), np.ones((2, 4))],), ValueError, r"sequences\[1\] must hold elements of shape \(3,\)"),
        (([[], [[1, [2]]]],), ValueError, r"sequences\[1\] must hold elements of one shape"),
    ],
)
def test_bad_arguments(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pad_sequences(*arguments)
