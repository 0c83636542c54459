"""Rows of a table as a recurrent layer's input: the same outputs, bit for bit, and the same gradients as gathered."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastrnn._core.recurrence import Recurrence
from fastrnn.layers import GRU, LSTM, Dense, Embedding, SimpleRNN
from fastrnn.layers.embedding import Lookup
from fastrnn.models import Sequential

GATES = {"simple_rnn": 1, "gru": 3, "lstm": 4}
# rows of the table, batch, steps, inputs, units: one row, more rows than points, odd units, no inputs
SIZES = [(1, 3, 7, 4, 10), (65, 8, 20, 16, 40), (200, 1, 50, 3, 33), (3, 6, 11, 0, 5)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", GATES)
def test_a_table_is_its_gathered_rows(cell: str, dtype: str) -> None:
    options = itertools.product(SIZES, (1, 2), (False, True), (False, True), (False, True))
    for (rows, batch, steps, inputs, units), threads, reverse, ragged, time_major in options:
        rng = np.random.default_rng(rows + units)

        def normal(*shape: int, rng: np.random.Generator = rng) -> np.ndarray:
            return (0.4 * rng.standard_normal(shape)).astype(dtype)

        columns = GATES[cell] * units
        table, kernel, recurrent_kernel = normal(rows, inputs), normal(inputs, columns), normal(units, columns)
        bias = normal(*((2, columns) if cell == "gru" else (columns,)))
        index = rng.integers(0, rows, (steps, batch) if time_major else (batch, steps))
        lengths = rng.integers(0, steps + 1, batch) if ragged else None
        states = tuple(normal(batch, units) for _ in range(2 if cell == "lstm" else 1))
        dy = normal(*index.shape, units)
        results = []
        for of_table in (False, True):
            recurrence = Recurrence(cell, inputs, units, np.dtype(dtype))
            recurrence.load(kernel, recurrent_kernel, bias, threads)
            x = np.ascontiguousarray(table[index])
            if of_table:
                recurrence.load_table(table, threads)
                x = index
            inferred, y = np.empty_like(dy), np.empty_like(dy)
            recurrence.forward(x, states, lengths, reverse, time_major, inferred, False, threads, of_table)
            ends, tape = recurrence.forward(x, states, lengths, reverse, time_major, y, True, threads, of_table)
            assert tape is not None
            np.testing.assert_array_equal(inferred, y)
            dx = np.zeros((rows, inputs) if of_table else (*index.shape, inputs), dtype)
            *gradients, dstart = recurrence.backward(tape, dy, (None,) * len(states), dx, threads)
            if not of_table:
                summed = np.zeros_like(table)
                np.add.at(summed, index.reshape(-1), dx.reshape(index.size, inputs))
                dx = summed
            results.append(([y, *ends], [dx, *gradients, *dstart]))
        for gathered, read in zip(results[0][0], results[1][0], strict=True):
            np.testing.assert_array_equal(read, gathered)
        for gathered, read in zip(results[0][1], results[1][1], strict=True):
            # two orders of the same sums
            scale = max(1.0, float(np.abs(gathered).max(initial=0)))
            np.testing.assert_allclose(read, gathered, rtol=0, atol=64 * scale * np.finfo(dtype).eps)


@pytest.mark.parametrize("layer", [SimpleRNN, LSTM, GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_model_reads_the_table_itself(layer: type, bidirectional: bool) -> None:
    """Finite differences of the embeddings, and the outputs of the same model called layer by layer."""
    model = Sequential([
        Embedding(7, 5, dtype="float64", seed=1),
        layer(6, num_layers=2, bidirectional=bidirectional, dtype="float64", seed=2, return_sequences=True),
        Dense(3, dtype="float64", seed=3),
    ])  # fmt: skip
    rng = np.random.default_rng(4)
    x = rng.integers(0, 6, (4, 9))  # 36 points; row 6 is never taken
    y = model(x, training=True)
    by_hand = x
    for each in model.layers:
        by_hand = each(by_hand)
    np.testing.assert_array_equal(y, by_hand)
    dy = rng.standard_normal(y.shape)
    model(x, training=True)
    model.backward(dy)
    embeddings = model.layers[0].variables[0]
    gradient = embeddings.grad
    assert isinstance(gradient, np.ndarray) and not gradient[6].any()
    for place in [(0, 0), (3, 4), (5, 2)]:
        sides = []
        for step in (1e-6, -1e-6):
            moved = embeddings.value.copy()
            moved[place] += step
            before = embeddings.value.copy()
            embeddings.assign(moved)
            sides.append((model(x) * dy).sum())
            embeddings.assign(before)
        assert gradient[place] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6, abs=1e-8)


def test_a_large_table_is_gathered() -> None:
    """Reading the table itself pays from four points a row on."""
    model = Sequential([Embedding(50, 4, seed=1), LSTM(8, seed=2)])
    embedding = model.layers[0]
    for steps, gathered in ((100, False), (20, True)):
        x = np.random.default_rng(steps).integers(0, 50, (2, steps))
        model(x, training=True)
        (lookup,) = embedding.recall()
        assert isinstance(lookup, Lookup) and lookup.gathered == gathered
        assert lookup.shape == (2, steps, 4)
