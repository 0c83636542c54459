"""The same bits for every thread count, batch, position in the batch, chunking of time and memory layout."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from helpers import CELLS, Problem, Results, assert_same_bits, infer, solve

cells = pytest.mark.parametrize(("cell", "activation"), CELLS)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
walks = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])

OF_ROWS = ("y", "h", "c", "dx", "dh", "dc")  # results whose first axis is the batch

SIZES = {
    "small": {"T": 7, "B": 5, "I": 3, "H": 17},
    "many-rows": {"T": 19, "B": 29, "I": 16, "H": 33},
    "one-row-wide": {"T": 20, "B": 1, "I": 20, "H": 300},
    "two-rows-wide": {"T": 9, "B": 2, "I": 8, "H": 520},
    "three-rows-wide": {"T": 5, "B": 3, "I": 40, "H": 257},
    "chunked": {"T": 130, "B": 37, "I": 70, "H": 130},
    "panels-of-teammates": {"T": 6, "B": 13, "I": 24, "H": 740},
    "panels-of-teammates-two-rows": {"T": 3, "B": 2, "I": 8, "H": 1040},
    "panels-of-teammates-no-inputs": {"T": 3, "B": 13, "I": 0, "H": 740},
    "summed-by-blocks-of-few-units": {"T": 400, "B": 50, "I": 2, "H": 2},
    "summed-by-blocks": {"T": 40, "B": 50, "I": 5, "H": 19},
}
sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())


def of_rows(results: Results, index: Iterable[int]) -> Results:
    return {name: value[list(index)] for name, value in results.items() if name in OF_ROWS}


@sizes
@dtypes
@cells
def test_thread_counts(cell: str, activation: str, dtype: str, size: dict[str, int]) -> None:
    problem = Problem.random(cell, activation=activation, dtype=dtype, **size)
    one = solve(problem, num_threads=1)
    for num_threads in (2, 3):
        assert_same_bits(solve(problem, num_threads=num_threads), one)
        assert_same_bits(infer(problem, num_threads=num_threads), infer(problem, num_threads=1))


@walks
@sizes
@dtypes
@cells
def test_thread_counts_with_ragged_rows(
    cell: str, activation: str, dtype: str, size: dict[str, int], reverse: bool
) -> None:
    problem = Problem.random(cell, activation=activation, dtype=dtype, ragged=True, reverse=reverse, **size)
    one, inferred = solve(problem, num_threads=1), infer(problem, num_threads=1)
    for num_threads in (2, 3):
        assert_same_bits(solve(problem, num_threads=num_threads), one)
        assert_same_bits(infer(problem, num_threads=num_threads), inferred)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_thread_counts_where_a_blas_could_take_over(cell: str) -> None:
    """Products of more than a GFLOP: the choice of who multiplies must not depend on the thread count."""
    problem = Problem.random(cell, T=60, B=64, I=256, H=256, dtype="float32")
    assert_same_bits(solve(problem, num_threads=2), solve(problem, num_threads=1))
    assert_same_bits(infer(problem, num_threads=2), infer(problem, num_threads=1))


def test_thread_counts_where_a_pass_is_cut_into_pieces() -> None:
    """By the clock, for Ctrl-C: what is summed must not depend on where."""
    problem = Problem.random("lstm", T=600, B=128, I=8, H=33, dtype="float32", ragged=True)
    assert_same_bits(solve(problem, num_threads=2), solve(problem, num_threads=1))


@dtypes
@cells
def test_runs(cell: str, activation: str, dtype: str) -> None:
    problem = Problem.random(cell, activation=activation, dtype=dtype, **SIZES["many-rows"])
    first = solve(problem, num_threads=2)
    for _ in range(3):
        assert_same_bits(solve(problem, num_threads=2), first)


@sizes
@dtypes
@cells
def test_a_row_alone_and_in_the_batch(cell: str, activation: str, dtype: str, size: dict[str, int]) -> None:
    problem = Problem.random(cell, activation=activation, dtype=dtype, **size)
    whole, inferred = solve(problem), infer(problem)
    for row in sorted({0, size["B"] // 2, size["B"] - 1}):
        assert_same_bits(of_rows(solve(problem.rows([row])), [0]), of_rows(whole, [row]))
        assert_same_bits(infer(problem.rows([row])), of_rows(inferred, [row]))


@walks
@dtypes
@cells
def test_a_row_anywhere_in_the_batch(cell: str, activation: str, dtype: str, reverse: bool) -> None:
    """Every batch size from 1 to 16, in another order, with rows ending at different steps."""
    problem = Problem.random(
        cell, T=6, B=16, I=5, H=19, activation=activation, dtype=dtype, reverse=reverse, ragged=True
    )
    whole, inferred = solve(problem), infer(problem)
    rng = np.random.default_rng(0)
    for count in range(1, 17):
        some = rng.permutation(16)[:count]
        assert_same_bits(of_rows(solve(problem.rows(some)), range(count)), of_rows(whole, some))
        assert_same_bits(infer(problem.rows(some)), of_rows(inferred, some))


def infer_in_chunks(problem: Problem, cuts: list[int]) -> Results:
    """Inference of the pieces between cuts, each from the state the one before left."""
    T = problem.sizes[0]
    edges = sorted({0, *cuts, T})
    pieces = list(pairwise(edges))
    state = problem.initial_state
    y = {}
    for start, stop in reversed(pieces) if problem.reverse else pieces:
        results = infer(problem.steps(start, stop).replace(initial_state=state))
        y[start] = results.pop("y")
        state = tuple(results.values())
    return {"y": np.concatenate([y[start] for start, _ in pieces], axis=1), **dict(zip("hc", state, strict=False))}


@walks
@sizes
@dtypes
@cells
def test_a_sequence_whole_in_chunks_and_step_by_step(
    cell: str, activation: str, dtype: str, size: dict[str, int], reverse: bool
) -> None:
    problem = Problem.random(cell, activation=activation, dtype=dtype, reverse=reverse, **size)
    whole = infer(problem)
    T = size["T"]
    for cuts in ([1], [T // 2], [T // 3, T // 3 + 1], list(range(T))):
        assert_same_bits(infer_in_chunks(problem, cuts), whole)


@walks
@cells
def test_ragged_rows_in_chunks(cell: str, activation: str, reverse: bool) -> None:
    problem = Problem.random(cell, T=9, B=7, I=3, H=17, activation=activation, ragged=True, reverse=reverse)
    for cuts in ([4], list(range(9))):
        assert_same_bits(infer_in_chunks(problem, cuts), infer(problem))


@walks
@dtypes
@cells
def test_a_ragged_row_and_the_row_cut_to_its_length(cell: str, activation: str, dtype: str, reverse: bool) -> None:
    problem = Problem.random(
        cell, T=11, B=13, I=5, H=33, activation=activation, dtype=dtype, reverse=reverse, ragged=True
    )
    whole, inferred = solve(problem), infer(problem)
    for row, length in enumerate(problem.lengths):
        cut = problem.rows([row]).steps(0, length).replace(lengths=None)
        for alone, batch in ((solve(cut), whole), (infer(cut), inferred)):
            mine = of_rows(batch, [row])
            for name in {"y", "dx"} & set(mine):
                assert not mine[name][:, length:].any()
                mine[name] = mine[name][:, :length]
            assert_same_bits(of_rows(alone, [0]), mine)


@sizes
@dtypes
@cells
def test_lengths_that_are_all_full_change_nothing(cell: str, activation: str, dtype: str, size: dict[str, int]) -> None:
    problem = Problem.random(cell, activation=activation, dtype=dtype, **size)
    assert_same_bits(solve(problem.replace(lengths=np.full(size["B"], size["T"]))), solve(problem))


@walks
@sizes
@dtypes
@cells
def test_batch_major_and_time_major(
    cell: str, activation: str, dtype: str, size: dict[str, int], reverse: bool
) -> None:
    """The same bits but for the gradients of the weights, whose sums go through the steps in the order of memory."""
    problem = Problem.random(cell, activation=activation, dtype=dtype, reverse=reverse, **size)
    rows = range(size["B"])
    assert_same_bits(of_rows(solve(problem, time_major=True), rows), of_rows(solve(problem), rows))
    assert_same_bits(infer(problem, time_major=True), infer(problem))


@dtypes
@cells
def test_a_zero_state_and_no_state(cell: str, activation: str, dtype: str) -> None:
    problem = Problem.random(cell, T=7, B=5, I=3, H=17, activation=activation, dtype=dtype, state=False)
    zeros = tuple(np.zeros((5, 17), dtype) for _ in problem.dstate)
    assert_same_bits(solve(problem.replace(initial_state=zeros)), solve(problem))


@hypothesis.given(
    cell=st.sampled_from(CELLS),
    dtype=st.sampled_from(["float32", "float64"]),
    T=st.integers(1, 12),
    B=st.integers(1, 20),
    I=st.integers(1, 40),
    H=st.integers(1, 70),
    reverse=st.booleans(),
    ragged=st.booleans(),
    data=st.data(),
)
@hypothesis.settings(max_examples=100)
def test_any_rows_in_any_chunks(
    cell: tuple[str, str],
    dtype: str,
    T: int,
    B: int,
    I: int,
    H: int,
    reverse: bool,
    ragged: bool,
    data: st.DataObject,
) -> None:
    name, activation = cell
    problem = Problem.random(
        name, T=T, B=B, I=I, H=H, activation=activation, dtype=dtype, reverse=reverse, ragged=ragged
    )
    rows = data.draw(st.lists(st.integers(0, B - 1), min_size=1, max_size=20))
    cuts = data.draw(st.lists(st.integers(0, T), max_size=3))
    assert_same_bits(infer_in_chunks(problem.rows(rows), cuts), of_rows(infer(problem), rows))
    threads = data.draw(st.integers(2, 4))
    some = solve(problem.rows(rows), num_threads=threads)
    assert_same_bits(of_rows(some, range(len(rows))), of_rows(solve(problem), rows))
