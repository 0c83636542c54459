"""Encoder and decoder: gradients through the state, training, files; and how symbols are written."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import saving
from fastrnn.callbacks import BackupAndRestore, Callback, EarlyStopping, ModelCheckpoint
from fastrnn.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Dense,
    Embedding,
    Flatten,
    Layer,
    Masking,
    RepeatVector,
    SimpleRNN,
    TimeDistributed,
    Variable,
)
from fastrnn.losses import SparseCategoricalCrossentropy
from fastrnn.models import Sequential, load_model
from fastrnn.optimizers import SGD, Adam
from fastrnn.seq2seq import Seq2Seq, Steps, beam_search, choose, generate, largest, log_softmax
from fastrnn.utils import to_categorical

# ---- writing


class Table:
    """A reader whose logits are those of a table, by the last two symbols that a stream has read."""

    def __init__(self, table: np.ndarray, streams: int) -> None:
        self.table, self.before = table, np.zeros(streams, int)

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        logits = self.table[self.before, ids]
        self.before = ids
        return logits

    def take(self, rows: np.ndarray) -> None:
        self.before = self.before[rows]


def table(symbols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((symbols, symbols, symbols)) * 2


def log_probability(logits: np.ndarray, first: int, ids: tuple[int, ...]) -> float:
    """Of a sequence, by the table alone."""
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    read = (0, first, *ids)
    return float(sum(np.log(p[a, b, c]) for a, b, c in zip(read, read[1:], read[2:], strict=False)))


def sequences(symbols: int, length: int, end: int, never: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All that can be written: those that end, and those of full length that do not."""
    others = [symbol for symbol in range(symbols) if symbol not in (end, *never)]
    heads = [head for size in range(length) for head in itertools.product(others, repeat=size)]
    return [(*head, end) for head in heads] + list(itertools.product(others, repeat=length))


@pytest.mark.parametrize("penalty", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("never", [(), (0,), (0, 3)])
def test_a_wide_beam_finds_the_best_of_all(never: tuple[int, ...], penalty: float) -> None:
    symbols, length, end = 5, 4, 2
    logits, first = table(symbols), np.array([1, 4, 3])
    never = (0, *never)  # padding cannot be told from a symbol when it is one
    every = sequences(symbols, length, end, never)
    width = len(every) + 3
    ids, scores = beam_search(
        Table(logits, 3 * width), first, length, width, end=end, never=never, length_penalty=penalty
    )
    assert ids.shape == (3, width, length) and ids.dtype == np.int64 and scores.shape == (3, width)
    for row, start in enumerate(first):
        wanted = sorted(((log_probability(logits, start, s) / len(s) ** penalty, s) for s in every), reverse=True)
        np.testing.assert_allclose(scores[row, :-3], [score for score, _ in wanted], rtol=1e-12)
        padded = [(*s, *[0] * (length - len(s))) for _, s in wanted]
        np.testing.assert_array_equal(ids[row, :-3], padded)
        assert (scores[row, -3:] == -np.inf).all() and not ids[row, -3:].any()


def test_padding_need_not_be_a_symbol() -> None:
    for logits in (table(6, seed=2), table(6, seed=4)):
        for end in (0, 2):
            ids, _ = beam_search(Table(logits, 12), [1, 3, 5], 6, 4, end=end, padding=-1)
            ended = ids == end
            assert ended.any()
            np.testing.assert_array_equal(ids == -1, ended.cumsum(axis=-1) - ended > 0)
            ids, _ = generate(Table(logits, 6), np.arange(6), 6, end=end, padding=-1, temperature=1.0, rng=1)
            np.testing.assert_array_equal(ids == -1, (ids == end).cumsum(axis=-1) - (ids == end) > 0)


@pytest.mark.parametrize("end", [None, 2])
@pytest.mark.parametrize("length", [0, 1, 9])
def test_a_beam_of_one_is_the_likeliest_symbol_at_every_step(length: int, end: int | None) -> None:
    logits, first = table(7, seed=3), np.arange(7)
    ids, scores = generate(Table(logits, 7), first, length, end=end, never=(0,))
    beam, beam_scores = beam_search(Table(logits, 7), first, length, 1, end=end, never=(0,))
    np.testing.assert_array_equal(beam[:, 0], ids)
    np.testing.assert_allclose(beam_scores[:, 0], scores, rtol=1e-12)
    written = [[*row, end][: [*row, end].index(end) + 1] if end else row for row in ids.tolist()]
    if length == 9:
        assert any(len(row) < 9 for row in written) == (end is not None)
        for start, row, score in zip(first, written, scores, strict=True):
            row = row[:9]
            assert score == pytest.approx(log_probability(logits, start, tuple(row)) / len(row))


def test_a_wider_beam_is_never_worse_here() -> None:
    """Not a law, but with these tables: the widest beam finds better sequences than the likeliest symbols make."""
    logits, first = table(12, seed=5), np.arange(12)
    best = [beam_search(Table(logits, 12 * w), first, 6, w, length_penalty=0.0)[1][:, 0].mean() for w in (1, 3, 30)]
    assert best[0] < best[1] < best[2]


def test_largest_is_a_stable_sort(rng: np.random.Generator) -> None:
    values = rng.integers(0, 6, (3, 4, 20)).astype(np.float64)
    values[0, 0] = -np.inf
    values[1, 1, 3:] = -np.inf
    for count in (1, 2, 7, 20):
        wanted = np.argsort(-values, axis=-1, kind="stable")[..., :count]
        np.testing.assert_array_equal(largest(values, count), wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, 3), (0.7, 100), (1e-310, 4)])
def test_symbols_are_drawn_from_the_distribution(temperature: float, top_k: int | None, dtype: str) -> None:
    rows = np.array([[0.3, -1.0, 1.2, 0.3, 0.9, -np.inf], [50, 49.5, 49, 10, 51, 0]], dtype)
    n = 20_000
    logits = np.broadcast_to(rows[:, np.newaxis], (2, n, 6))
    ids = choose(logits, temperature, top_k, rng=1)
    assert ids.shape == (2, n) and ids.dtype == np.int64
    for row, drawn in zip(rows.astype(np.float64), ids, strict=True):
        allowed = np.argsort(-row, kind="stable")[:top_k]
        expected = np.zeros(6)
        with np.errstate(over="ignore"):
            expected[allowed] = np.exp((row[allowed] - row.max()) / temperature)
        expected /= expected.sum()
        shares = np.bincount(drawn, minlength=6) / n
        # five standard deviations of a share
        assert np.all(np.abs(shares - expected) <= 5 * np.sqrt(expected * (1 - expected) / n))


def test_choosing_without_temperature_is_the_likeliest_and_the_first_of_equals(rng: np.random.Generator) -> None:
    logits = rng.integers(0, 4, (50, 9)).astype(np.float32)
    np.testing.assert_array_equal(choose(logits), logits.argmax(axis=-1))
    np.testing.assert_array_equal(choose(logits, 1.0, 1), logits.argmax(axis=-1))
    assert choose(logits[0]).shape == () and choose(logits[0], 1.0).shape == ()


def test_one_seed_draws_the_same(rng: np.random.Generator) -> None:
    logits = rng.standard_normal((40, 9))
    drawn = [choose(logits, 1.0, None, seed) for seed in (1, 1, np.random.default_rng(1), 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert (drawn[0] != drawn[3]).any()
    written = [generate(Table(table(9), 3), [1, 2, 3], 20, temperature=1.0, rng=seed)[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(written[0], written[1])
    assert (written[0] != written[2]).any()


def test_the_score_is_the_models_own_whatever_draws() -> None:
    logits = table(6, seed=9)
    ids, scores = generate(Table(logits, 4), [1, 2, 3, 4], 8, end=5, never=(0,), temperature=3.0, top_k=4, rng=2)
    for first, row, score in zip([1, 2, 3, 4], ids.tolist(), scores, strict=True):
        row = row[: row.index(5) + 1] if 5 in row else row
        assert 0 not in row
        assert score == pytest.approx(log_probability(logits, first, tuple(row)) / len(row))


def test_log_softmax(rng: np.random.Generator) -> None:
    logits = rng.standard_normal((3, 5)).astype(np.float32) + 800
    wide = logits.astype(np.float64)
    wanted = wide - 800 - np.log(np.exp(wide - 800).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(log_softmax(logits), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[0.0, np.nan]],), ValueError, "logits must have a finite maximum in every row, got nan"),
        (([[0.0, np.inf]],), ValueError, "logits must have a finite maximum in every row, got inf"),
        (([[-np.inf, -np.inf]],), ValueError, "logits must have a finite maximum in every row, got -inf"),
        (([[]],), ValueError, r"logits must have shape \(..., V\) with at least one symbol, got \(1, 0\)"),
        ((3.0,), ValueError, r"logits must have shape \(..., V\)"),
        (("a",), TypeError, "logits must hold real numbers"),
        (([1.0], -1.0), ValueError, "temperature must be a finite number of at least 0"),
        (([1.0], "hot"), TypeError, "temperature must be a number, got 'hot'"),
        (([1.0], 1.0, 0), ValueError, "top_k must be at least 1, got 0"),
        (([1.0], 1.0, 2.5), TypeError, r"top_k must be a whole number, got 2\.5"),
    ],
)
def test_errors_of_choosing(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        choose(*arguments)


# ---- layers read step by step


def language_model(dtype: str = "float32", softmax: bool = False) -> Sequential:
    model = Sequential(
        [
            Embedding(11, 5, seed=1, dtype=dtype, embeddings_initializer="glorot_uniform"),
            LSTM(7, return_sequences=True, num_layers=2, seed=2, dtype=dtype),
            SimpleRNN(6, return_sequences=True, seed=3, dtype=dtype),
            GRU(8, return_sequences=True, seed=4, dtype=dtype),
            Dense(11, "softmax" if softmax else None, seed=5, dtype=dtype),
        ]
    )
    model.build((None, None))
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("streams", [1, 3])
def test_steps_give_the_bits_of_the_sequence(streams: int, dtype: str, rng: np.random.Generator) -> None:
    model, ids = language_model(dtype), rng.integers(0, 11, (streams, 9))
    wanted, steps = model(ids), Steps(model.layers, streams)
    logits = np.stack([steps(ids[:, t]) for t in range(9)], axis=1)
    assert logits.dtype == dtype and logits.tobytes() == wanted.tobytes()


def test_steps_of_probabilities_are_logits_too(rng: np.random.Generator) -> None:
    model, ids = language_model(softmax=True), rng.integers(0, 11, (3, 4))
    steps = Steps(model.layers, 3)
    logits = np.stack([steps(ids[:, t]) for t in range(4)], axis=1)
    np.testing.assert_array_equal(logits, np.log(model(ids)))
    last = model.layers[-1]
    last.set_weights([last.get_weights()[0], np.array([-1e4] + [0] * 10)])
    assert np.isneginf(Steps(model.layers, 3)(ids[:, 0])[:, 0]).all()


def test_streams_can_go_on_from_each_other(rng: np.random.Generator) -> None:
    model, ids = language_model(), rng.integers(0, 11, (3, 5))
    steps, rows = Steps(model.layers, 3), np.array([2, 0, 2])
    for t in range(4):
        steps(ids[:, t])
    steps.take(rows)
    wanted = model(np.concatenate([ids[rows, :4], ids[:, 4:]], axis=1))[:, -1]
    state = steps.state
    assert steps(ids[:, 4]).tobytes() == wanted.tobytes()
    assert Steps(model.layers, 3, state)(ids[:, 4]).tobytes() == wanted.tobytes()
    assert [part.shape for part in state] == [(3, 7)] * 4 + [(3, 6), (3, 8)]


def test_a_language_model_writes_the_best_there_is(rng: np.random.Generator) -> None:
    """No encoder needed: all sequences of three symbols, scored by the model run over them whole."""
    model = language_model()
    every = np.array(list(itertools.product(range(11), repeat=3)))
    ids, scores = beam_search(Steps(model.layers, 121 * 2), [4, 5], 3, 121, length_penalty=0.0)
    for first, row, score in zip([4, 5], ids, scores, strict=True):
        gains = log_softmax(model(np.concatenate([np.full((len(every), 1), first), every[:, :-1]], axis=1)))
        total = np.take_along_axis(gains, every[..., np.newaxis], -1)[..., 0].sum(axis=1)
        best = largest(total, 3)
        np.testing.assert_array_equal(row[:3], every[best])
        np.testing.assert_allclose(score[:3], total[best], rtol=1e-6)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([1, 2], ValueError, r"ids must have shape \(3,\), got \(2,\)"),
        ([[1], [2], [3]], ValueError, r"ids must have shape \(3,\), got \(3, 1\)"),
        ([1, 2, 11], ValueError, r"must be in \[0, 11\), got 11"),
        ([1, 2, -1], ValueError, "ids must be in"),
        ([1, 2, 0.5], TypeError, "ids must be whole numbers"),
    ],
)
def test_errors_of_steps(ids: Any, error: type[Exception], message: str) -> None:
    steps = Steps(language_model().layers, 3)
    with pytest.raises(error, match=message):
        steps(ids)


def test_errors_of_steps_state() -> None:
    layers = language_model().layers
    with pytest.raises(ValueError, match="state must be 6 arrays, got 1"):
        Steps(layers, 3, [np.zeros((3, 7))])
    with pytest.raises(ValueError, match=r"state\[0\] must have shape \(3, 7\), got \(2, 7\)"):
        Steps(layers, 3, [np.zeros((2, 7))] * 6)
    with pytest.raises(ValueError, match="streams must be at least 1"):
        Steps(layers, 0)


# ---- the model: gradients

Wiring = tuple[list[Layer], list[Layer]]
Cell = type[SimpleRNN] | type[LSTM] | type[GRU]

SYMBOLS, WORDS = 9, 7  # of source and target


def embedding(rows: int, seed: int, dtype: str = "float64") -> Embedding:
    return Embedding(rows, 3, seed=seed, dtype=dtype, embeddings_initializer="glorot_uniform")


def plain(cell: Cell, dtype: str = "float64", **options: Any) -> Wiring:
    return (
        [embedding(SYMBOLS, 1, dtype), cell(5, return_state=True, seed=2, dtype=dtype, **options)],
        [
            embedding(WORDS, 3, dtype),
            cell(5, return_sequences=True, seed=4, dtype=dtype, **options),
            Dense(WORDS, seed=5, dtype=dtype),
        ],
    )


def stacked(cell: Cell, dtype: str = "float64") -> Wiring:
    """A layer of two levels gives to two layers, one of which returns its state, which nobody takes."""
    encoder, decoder = plain(cell, dtype, num_layers=2)
    levels = [
        cell(5, return_sequences=True, seed=6, dtype=dtype),
        cell(5, return_sequences=True, return_state=True, seed=7, dtype=dtype),
    ]
    return encoder, [decoder[0], *levels, TimeDistributed(decoder[2])]


def both_ways(cell: Cell, dtype: str = "float64") -> Wiring:
    """Two levels in both directions."""
    encoder, decoder = plain(cell, dtype)
    encoder[1] = cell(2, return_state=True, num_layers=2, bidirectional=True, seed=6, dtype=dtype)
    decoder[1] = cell(4, return_sequences=True, num_layers=2, seed=7, dtype=dtype)
    return encoder, decoder


def wrapped(cell: Cell, dtype: str = "float64") -> Wiring:
    """Both directions by the wrapper give to the first layer, and what stands on them to the second."""
    encoder, decoder = plain(cell, dtype)
    below = cell(2, return_state=True, return_sequences=True, num_layers=2, seed=6, dtype=dtype)
    encoder.insert(1, Bidirectional(below, merge_mode="mul"))
    decoder.insert(1, cell(4, return_sequences=True, num_layers=2, seed=7, dtype=dtype))
    return encoder, decoder


WIRINGS = [plain, stacked, both_ways, wrapped]
wirings = pytest.mark.parametrize("wiring", WIRINGS)
cells = pytest.mark.parametrize("cell", [SimpleRNN, LSTM, GRU])


def pairs(rows: int = 4, source: int = 5, target: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random ids, 0 being padding, 1 the start and 2 the end of a target; padding behind, before and within."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(1, SYMBOLS, (rows, source)), rng.integers(3, WORDS, (rows, target))
    x[0, 3:] = x[1, :2] = x[2, 2] = x[3, 1:3] = 0
    y[0, 3:] = [2, 0, 0]
    y[1, 0] = y[2, 2] = 0
    return x, y


def seq2seq(wiring: Wiring, **options: Any) -> Seq2Seq:
    model = Seq2Seq(*wiring, **{"start": 1, "end": 2} | options)
    model.compile(SGD(0.5), SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def gradients(model: Seq2Seq, x: Any, y: np.ndarray) -> list[np.ndarray]:
    """Of every variable, by one backward pass."""
    assert model.loss is not None
    y_pred, mask = model.taught(x, y, training=True)
    model.backward(model.loss.value_and_grad(y, y_pred, None, mask)[1])
    return [np.array(v.grad if isinstance(v.grad, np.ndarray) else v.grad.dense()) for v in model.variables]


def loss_of(model: Seq2Seq, x: Any, y: Any, **options: Any) -> float:
    return float(model.test_on_batch(x, y, **options)[0])


@cells
@wirings
def test_gradients_of_every_parameter(wiring: Callable[[Cell], Wiring], cell: Cell) -> None:
    model, (x, y) = seq2seq(wiring(cell)), pairs()
    found = gradients(model, x, y)
    for variable, gradient in zip(model.variables, found, strict=True):
        numeric = np.empty(variable.shape)
        for place in np.ndindex(variable.shape):
            values = []
            for shift in (1e-6, -2e-6):
                with variable.writing() as array:
                    array[place] += shift
                values.append(loss_of(model, x, y))
            with variable.writing() as array:
                array[place] += 1e-6
            numeric[place] = (values[0] - values[1]) / 2e-6
        assert np.abs(gradient).max() > 1e-6, f"nothing comes back to {variable.name}"
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8, err_msg=variable.name)


def test_gradient_of_a_source_of_numbers(rng: np.random.Generator) -> None:
    encoder, decoder = plain(GRU)
    model, (_, y) = seq2seq(([Masking(dtype="float64"), *encoder[1:]], decoder)), pairs()
    x = rng.standard_normal((4, 5, 3))
    x[1, 3:] = x[2, 0] = 0  # masked by the first layer
    y_pred, mask = model.taught(x, y, training=True)
    assert model.loss is not None
    dx = model.backward(model.loss.value_and_grad(y, y_pred, None, mask)[1], need_dx=True)
    assert dx is not None and dx.shape == x.shape and not dx[1, 3:].any() and not dx[2, 0].any()
    for place in np.ndindex(x.shape):
        if x[place]:
            above, below = x.copy(), x.copy()
            above[place] += 1e-6
            below[place] -= 1e-6
            numeric = (loss_of(model, above, y) - loss_of(model, below, y)) / 2e-6
            assert dx[place] == pytest.approx(numeric, rel=1e-5, abs=1e-8)


def to_torch(cell: Cell, weight: np.ndarray) -> np.ndarray:
    """(..., G*H) in Keras's order of gates -> PyTorch's (G*H, ...): GRU z r n -> r z n, the others are the same."""
    if cell is GRU:
        z, r, n = np.split(weight, 3, axis=-1)
        weight = np.concatenate([r, z, n], axis=-1)
    return np.ascontiguousarray(weight.T)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@cells
def test_a_step_of_training_is_that_of_torch(cell: Cell, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    nn = torch.nn
    model, (x, y) = seq2seq(plain(cell, dtype)), pairs()
    x.sort(axis=1)  # PyTorch packs rows that are padded behind
    x = x[:, ::-1].copy()
    model.build((None, None))
    rng = np.random.default_rng(1)
    model.set_weights([w + 0.1 * rng.standard_normal(w.shape) for w in model.get_weights()])

    def parameters(variables: Sequence[Variable]) -> dict[str, np.ndarray]:
        """Of one recurrent layer, as PyTorch has them."""
        kernel, recurrent, bias = (variable.value for variable in variables)
        first, second = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        named = {"weight_ih_l0": kernel, "weight_hh_l0": recurrent, "bias_ih_l0": first, "bias_hh_l0": second}
        return {name: to_torch(cell, weight) for name, weight in named.items()}

    kind = {SimpleRNN: nn.RNN, LSTM: nn.LSTM, GRU: nn.GRU}[cell]
    of = getattr(torch, dtype)
    theirs = [kind(3, 5, batch_first=True, dtype=of), kind(3, 5, batch_first=True, dtype=of)]
    mine = [model.layers[1], model.layers[3]]
    dense = nn.Linear(5, WORDS, dtype=of)
    with torch.no_grad():
        for module, layer in zip(theirs, mine, strict=True):
            module.load_state_dict({k: torch.tensor(v) for k, v in parameters(layer.variables).items()})
        kernel, bias = (torch.tensor(v.value) for v in model.layers[4].variables)
        dense.load_state_dict({"weight": kernel.T, "bias": bias})
    tables = [nn.Embedding.from_pretrained(torch.tensor(model.layers[i].get_weights()[0]), False) for i in (0, 2)]
    modules = nn.ModuleList([*theirs, dense, *tables])
    late = np.concatenate([np.ones((4, 1), int), y[:, :-1]], axis=1)
    keep = [0, 3]  # rows whose target has its padding behind: PyTorch carries no state over what stands within
    lengths = (x[keep] > 0).sum(axis=1)
    packed = nn.utils.rnn.pack_padded_sequence(
        tables[0](torch.tensor(x[keep])), lengths, batch_first=True, enforce_sorted=False
    )
    logits = dense(theirs[1](tables[1](torch.tensor(late[keep])), theirs[0](packed)[1])[0])
    loss = nn.functional.cross_entropy(logits.transpose(1, 2), torch.tensor(y[keep]), ignore_index=0)
    loss.backward()
    torch.optim.SGD(modules.parameters(), lr=0.5).step()

    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-6}
    before = model.get_weights()
    value, accuracy = model.train_on_batch(x[keep], y[keep])
    np.testing.assert_allclose(value, float(loss.detach()), **close)
    hits = (logits.detach().numpy().argmax(axis=-1) == y[keep])[y[keep] > 0]
    assert accuracy == pytest.approx(hits.mean())
    for module, layer in zip(theirs, mine, strict=True):
        state = {name: value.detach().numpy() for name, value in module.state_dict().items()}
        if layer.variables[2].value.ndim == 1:  # one bias, which moved once
            own = parameters(layer.variables)
            np.testing.assert_allclose(own.pop("bias_ih_l0"), state.pop("bias_ih_l0"), **close)
            del own["bias_hh_l0"], state["bias_hh_l0"]
        else:
            own = parameters(layer.variables)
        for name in own:
            np.testing.assert_allclose(own[name], state[name], **close, err_msg=name)
    for table, layer in zip(tables, (model.layers[0], model.layers[2]), strict=True):
        np.testing.assert_allclose(layer.get_weights()[0], table.weight.detach().numpy(), **close)
    np.testing.assert_allclose(model.layers[4].get_weights()[0].T, dense.weight.detach().numpy(), **close)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


# ---- the model: padding


def test_padding_can_stand_anywhere() -> None:
    model = seq2seq(both_ways(GRU))
    x, y = np.array([[3, 4, 5], [6, 7, 8]]), np.array([[3, 4, 2], [5, 6, 2]])
    wanted, written = loss_of(model, x, y), model.generate(x, 4)
    for front, behind, within in [(0, 2, 0), (3, 0, 0), (1, 2, 2)]:
        wide_x, wide_y = (
            np.concatenate(
                [
                    np.zeros((2, front), int),
                    ids[:, :1],
                    np.zeros((2, within), int),
                    ids[:, 1:],
                    np.zeros((2, behind), int),
                ],
                axis=1,
            )
            for ids in (x, y)
        )
        assert loss_of(model, wide_x, wide_y) == pytest.approx(wanted, rel=1e-12)
        ids, scores = model.generate(wide_x, 4)
        np.testing.assert_array_equal(ids, written[0])
        np.testing.assert_allclose(scores, written[1], rtol=1e-12)


@pytest.mark.parametrize("mask_zero", [False, True])
def test_what_stands_for_padding_does_not_matter(mask_zero: bool) -> None:
    """The embedding of the padding: loss and gradients are the same whatever it is, and its own gradient is 0."""
    x, y = pairs()
    found = []
    for seed in (1, 2):
        encoder, decoder = plain(LSTM)
        encoder[0] = Embedding(SYMBOLS, 3, mask_zero=mask_zero, seed=1, dtype="float64")
        model = seq2seq((encoder, decoder))
        model.build((None, None))
        weights = model.get_weights()
        for number in (0, 4):
            weights[number][0] = 10 * np.random.default_rng(seed).standard_normal(3)
        model.set_weights(weights)
        found.append((loss_of(model, x, y), gradients(model, x, y)))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)
    for number in (0, 4):
        assert not found[0][1][number][0].any()


@pytest.mark.parametrize("mask_zero", [False, True])
def test_any_id_can_be_the_padding(mask_zero: bool) -> None:
    x, y = pairs()
    one = seq2seq(plain(GRU))
    wanted, written = loss_of(one, x, y), one.generate(x, 5)
    encoder, decoder = plain(GRU)
    encoder[0] = Embedding(SYMBOLS, 3, mask_zero=mask_zero, dtype="float64")
    other = seq2seq((encoder, decoder), padding=5)
    other.build((None, None))
    weights = one.get_weights()
    swapped = [5, 1, 2, 3, 4, 0]
    for number in (0, 4):
        weights[number][:6] = weights[number][swapped]
    for number in (8, 9):
        weights[number][..., :6] = weights[number][..., swapped]
    other.set_weights(weights)
    swap = np.array([*swapped, 6, 7, 8])
    assert loss_of(other, swap[x], swap[y]) == pytest.approx(wanted, rel=1e-12)
    ids, scores = other.generate(swap[x], 5)
    np.testing.assert_array_equal(swap[ids], written[0])
    np.testing.assert_allclose(scores, written[1], rtol=1e-12)


# ---- the model: training


def reversals(rows: int, longest: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits 3 .. 12 and the same backwards; 0 is padding, 1 the start, 2 the end."""
    rng = np.random.default_rng(seed)
    x, y = np.zeros((rows, longest), int), np.zeros((rows, longest + 1), int)
    for source, target, size in zip(x, y, rng.integers(1, longest + 1, rows), strict=True):
        source[:size] = rng.integers(3, 13, size)
        target[: size + 1] = [*source[:size][::-1], 2]
    return x, y


def reverser(cell: Cell = GRU, units: int = 64, dropout: float = 0.0, dtype: str = "float32") -> Seq2Seq:
    tables = [Embedding(13, 16, "glorot_uniform", seed=seed, dtype=dtype) for seed in (1, 2)]
    model = Seq2Seq(
        [tables[0], cell(units, return_state=True, dropout=dropout, seed=3, dtype=dtype)],
        [
            tables[1],
            cell(units, return_sequences=True, dropout=dropout, seed=4, dtype=dtype),
            Dense(13, seed=5, dtype=dtype),
        ],
        start=1,
        end=2,
    )
    model.compile(Adam(0.01), SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def learnt() -> Seq2Seq:
    model = reverser()
    model.fit(*reversals(6000, 5, 1), batch_size=64, epochs=9, verbose=0, seed=1)
    return model


def test_it_learns_to_reverse(learnt: Seq2Seq) -> None:
    x, y = reversals(500, 5, 2)
    assert learnt.history is not None and learnt.history.history["accuracy"][0] < 0.8
    loss, accuracy = learnt.evaluate(x, y, verbose=0)
    assert loss < 0.1 and accuracy > 0.97
    greedy, _ = learnt.generate(x, 6)
    assert (greedy == y).all(axis=1).mean() > 0.95
    beam, _ = learnt.beam_search(x, 6, 4)
    assert (beam[:, 0] == y).all(axis=1).mean() > 0.95
    drawn, _ = learnt.generate(x, 6, temperature=0.5, rng=1)
    assert (drawn == y).all(axis=1).mean() > 0.9
    wild, _ = learnt.generate(x, 6, temperature=50.0, rng=1)
    assert (wild == y).all(axis=1).mean() < 0.1


def test_figures_are_of_what_is_no_padding(learnt: Seq2Seq) -> None:
    x, y = reversals(70, 5, 3)
    y[::7, 0] = 3  # some wrong ones
    gains = log_softmax(learnt(x, y))
    places = y > 0
    right = (gains.argmax(axis=-1) == y)[places].mean()
    loss, accuracy = learnt.test_on_batch(x, y)
    assert loss == pytest.approx(-np.take_along_axis(gains, y[..., np.newaxis], -1)[..., 0][places].mean(), rel=1e-5)
    assert accuracy == pytest.approx(right) and 0.5 < accuracy < 1
    assert learnt.evaluate(x, y, batch_size=16, verbose=0)[1] == pytest.approx(right)
    weight = np.random.default_rng(0).uniform(0, 1, y.shape)
    losses = -np.take_along_axis(gains, y[..., np.newaxis], -1)[..., 0]
    weighted = learnt.test_on_batch(x, y, sample_weight=weight)[0]
    assert weighted == pytest.approx((losses * weight)[places].mean(), rel=1e-5)


def test_it_fits_batches_and_validates() -> None:
    x, y = reversals(64, 4, 1)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((x[i : i + 16], y[i : i + 16]) for i in range(0, 64, 16))

    one, two = reverser(units=8), reverser(units=8)
    of_arrays = one.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, validation_data=(x[:9], y[:9]))
    of_batches = two.fit(batches, epochs=2, verbose=0, validation_data=(x[:9], y[:9]))
    assert list(of_arrays.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert of_arrays.history == of_batches.history
    assert of_arrays.history["val_loss"][-1] == pytest.approx(loss_of(one, x[:9], y[:9]))


def test_a_softmax_at_the_end_is_the_same_model() -> None:
    x, y = pairs()
    logits = seq2seq(plain(LSTM))
    encoder, decoder = plain(LSTM)
    decoder[2] = Dense(WORDS, "softmax", seed=5, dtype="float64")
    probabilities = Seq2Seq(encoder, decoder, start=1, end=2)
    probabilities.compile(SGD(0.5), "sparse_categorical_crossentropy")
    assert probabilities.train_on_batch(x, y) == pytest.approx(logits.train_on_batch(x, y)[0], rel=1e-9)
    for one, other in zip(probabilities.get_weights(), logits.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)
    (ids, scores), (wanted, of_wanted) = probabilities.beam_search(x, 5, 3), logits.beam_search(x, 5, 3)
    np.testing.assert_array_equal(ids, wanted)
    np.testing.assert_allclose(scores, of_wanted, rtol=1e-6)


# ---- the model: writing


@wirings
def test_what_is_written_has_the_score_that_the_model_gives_it(wiring: Callable[..., Wiring]) -> None:
    """Step by step, over states that are sorted and repeated, as in one pass over the whole."""
    model, (x, _) = seq2seq(wiring(LSTM)), pairs(rows=5)
    beam, of_beam = model.beam_search(x, 7, 4, batch_size=2)
    greedy, of_greedy = model.generate(x, 7, batch_size=3)
    drawn, of_drawn = model.generate(x, 7, temperature=2.0, top_k=3, rng=3)
    rows = [greedy, drawn, *np.moveaxis(beam, 1, 0)]
    scores = [of_greedy, of_drawn, *np.moveaxis(of_beam, 1, 0)]
    assert beam.shape == (5, 4, 7) and greedy.shape == drawn.shape == (5, 7)
    for ids, score in zip(rows, scores, strict=True):
        ended = ids == 2
        assert not (ids == 1).any() and (ended.sum(axis=1) <= 1).all()
        np.testing.assert_array_equal(
            ids == 0, ended.cumsum(axis=1) - ended > 0
        )  # padding after the end, and only there
        gains = np.take_along_axis(log_softmax(model(x, ids)), ids[..., np.newaxis], -1)[..., 0]
        mean = (gains * (ids > 0)).sum(axis=1) / (ids > 0).sum(axis=1)
        np.testing.assert_allclose(score, mean, rtol=1e-9)
    assert any((ids == 2).any() for ids in rows)
    assert (np.diff(of_beam, axis=1) <= 0).all()
    assert len({tuple(ids) for ids in beam[0].tolist()}) == 4
    one, of_one = model.beam_search(x, 7, 1)
    np.testing.assert_array_equal(one[:, 0], greedy)
    np.testing.assert_allclose(of_one[:, 0], of_greedy, rtol=1e-12)


def test_a_wide_beam_of_the_model_finds_the_best_target() -> None:
    model, (x, _) = seq2seq(plain(GRU)), pairs(rows=4)
    every = sequences(WORDS, 3, end=2, never=(0, 1))
    padded = np.array([[*s, *[0] * (3 - len(s))] for s in every])
    for penalty in (0.0, 1.0):
        ids, scores = model.beam_search(x, 3, len(every), length_penalty=penalty)
        for source, found, score in zip(x, ids, scores, strict=True):
            logits = model(np.broadcast_to(source, (len(every), 5)), padded)
            gains = np.take_along_axis(log_softmax(logits), padded[..., np.newaxis], -1)[..., 0]
            sizes = (padded > 0).sum(axis=1)
            wanted = (gains * (padded > 0)).sum(axis=1) / sizes**penalty
            best = largest(wanted, len(every))
            np.testing.assert_array_equal(found, padded[best])
            np.testing.assert_allclose(score, wanted[best], rtol=1e-9)


def test_writing_leaves_the_model_alone(learnt: Seq2Seq) -> None:
    before = [w.tobytes() for w in learnt.get_weights()]
    x, _ = reversals(10, 5, 4)
    whole = learnt.generate(x, 6)
    parts = learnt.generate(x, 6, batch_size=3)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(whole, parts, strict=True))
    whole = learnt.beam_search(x, 6, 3)
    parts = learnt.beam_search(x, 6, 3, batch_size=4)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(whole, parts, strict=True))
    assert before == [w.tobytes() for w in learnt.get_weights()]


def test_start_and_end_can_be_one_symbol() -> None:
    encoder, decoder = plain(GRU)
    model = Seq2Seq(encoder, decoder, start=1, end=1)
    model.compile(Adam(0.05), SparseCategoricalCrossentropy(from_logits=True))
    x, y = np.array([[3, 4], [5, 6]]), np.array([[3, 1, 0], [4, 4, 1]])
    for _ in range(60):
        model.train_on_batch(x, y)
    np.testing.assert_array_equal(model.generate(x, 3)[0], y)


def test_writing_nothing() -> None:
    model, (x, _) = seq2seq(plain(GRU)), pairs()
    ids, scores = model.generate(x, 0)
    assert ids.shape == (4, 0) and not scores.any()
    assert model.beam_search(x, 0, 2)[0].shape == (4, 2, 0)


# ---- the other structures: a Sequential is enough


def test_one_to_many() -> None:
    """A label at every step, and the word that belongs to it."""
    rng = np.random.default_rng(1)
    words, labels = rng.integers(0, 5, (6, 7)), np.arange(6)
    layers = [RepeatVector(7), GRU(24, return_sequences=True, seed=2), Dense(5, seed=3)]
    model = Sequential([Dense(8, input_shape=(6,), seed=1), *layers])
    model.compile(Adam(0.02), SparseCategoricalCrossentropy(from_logits=True), metrics=["acc"])
    history = model.fit(to_categorical(labels), words, epochs=150, batch_size=6, verbose=0, seed=1).history
    assert history["acc"][0] < 0.6
    np.testing.assert_array_equal(model.predict(to_categorical(labels), verbose=0).argmax(axis=-1), words)


def test_many_to_one_and_many_to_many() -> None:
    """Which of two symbols comes more often: at the end, and at every step so far."""
    rng = np.random.default_rng(2)
    x = rng.integers(1, 3, (600, 9))
    majority = np.cumsum(2 * x - 3, axis=1) > 0
    x[::3, 5:] = 0  # padding
    final = np.where(x[:, -1] > 0, majority[:, -1], majority[:, 4]).astype(int)
    for y, sequences in ((final, False), (majority.astype(int), True)):
        recurrent = LSTM(16, return_sequences=sequences, seed=2)
        model = Sequential([Embedding(3, 4, mask_zero=True, seed=1), recurrent, Dense(2, "softmax", seed=3)])
        model.compile(Adam(0.02), "sparse_categorical_crossentropy", metrics=["acc"])
        model.fit(x[:500], y[:500], epochs=20, verbose=0, seed=1)
        share = max(y.mean(), 1 - y.mean())
        assert share < 0.7
        assert model.evaluate(x[500:], y[500:], verbose=0)[1] > 0.97


# ---- bad input


def refused(message: str, encoder: Sequence[Layer], decoder: Sequence[Layer], **options: Any) -> None:
    names = [layer.name for layer in (*encoder, *decoder)]
    with pytest.raises(ValueError, match=message):
        Seq2Seq(encoder, decoder, **{"start": 1, "end": 2} | options)
    assert [layer.name for layer in (*encoder, *decoder)] == names


def test_what_cannot_be_wired() -> None:
    states = r"encoder must end in the states that the decoder begins with, h \(B, 5\), c \(B, 5\), got "
    encoder, decoder = plain(LSTM)
    refused("encoder must end in a recurrent layer with return_state=True, got", [], decoder)
    refused(r"with return_state=True, got \[<LSTM lstm: not built>\]", [encoder[0], LSTM(5)], decoder)
    refused(r"with return_state=True, got \[<Dense dense: not built>\]", [*encoder, Dense(5)], decoder)
    refused(states + r"h \(B, 4\), c \(B, 4\)", [encoder[0], LSTM(4, return_state=True)], decoder)
    refused(states + r"h \(B, 5\)$", [encoder[0], GRU(5, return_state=True)], decoder)
    refused(states + r"h \(B, 5\), h \(B, 5\)$", [encoder[0], GRU(5, return_state=True, num_layers=2)], decoder)
    both = LSTM(5, return_state=True, bidirectional=True)
    refused(states + r"h \(B, 10\), c \(B, 10\)$", [encoder[0], both], decoder)
    refused(r"begins with, none, got h \(B, 5\)", plain(GRU)[0], [embedding(WORDS, 1), Dense(WORDS)])
    mixed = Bidirectional(LSTM(5, return_state=True), backward_layer=GRU(5, return_state=True, go_backwards=True))
    refused("bidirectional must have the same states in both directions", [encoder[0], mixed], decoder)
    pair = Bidirectional(LSTM(5, return_state=True), merge_mode=None)
    refused("bidirectional of the encoder must merge its directions", [encoder[0], pair], decoder)
    for option in ({"bidirectional": True}, {"go_backwards": True}):
        layer = LSTM(5, return_sequences=True, **option)
        refused("lstm of the decoder reads from the end", encoder, [decoder[0], layer, decoder[2]])
    layer = Bidirectional(LSTM(5, return_sequences=True))
    refused("bidirectional of the decoder reads from the end", encoder, [decoder[0], layer, decoder[2]])
    rule = "lstm of the decoder must have return_sequences=True, and not be stateful"
    refused(rule, encoder, [decoder[0], LSTM(5), decoder[2]])
    refused(rule, encoder, [decoder[0], LSTM(5, return_sequences=True, stateful=True), decoder[2]])
    layer = LSTM(5, return_state=True, stateful=True)
    refused("lstm of the encoder must not be stateful", [encoder[0], layer], decoder)
    rule = r"decoder must give logits or probabilities \(B, T, V\) of ids \(B, T\), got \(None, None\)"
    refused(rule, encoder, [*decoder, Flatten()])


def test_what_else_a_model_refuses() -> None:
    encoder, decoder = plain(GRU)
    refused("no layer may be in encoder and decoder twice: it remembers one", encoder, [encoder[0], *decoder[1:]])
    refused("no layer may be in encoder and decoder twice", encoder, [decoder[0], decoder[1], *decoder[1:]])
    for start, end in ((0, 2), (1, 0)):
        refused("padding must be neither start nor end, got 0", encoder, decoder, start=start, end=end)
    refused("padding must be neither start nor end, got 2", encoder, decoder, padding=2)
    refused("must be below the 7 symbols of the decoder, got 7, 2, 0", encoder, decoder, start=7)
    small = [embedding(5, 1), *decoder[1:]]
    refused("must be below the 5 symbols of the decoder, got 1, 5, 0", encoder, small, end=5)
    refused("start must be at least 0, got -1", encoder, decoder, start=-1)
    with pytest.raises(TypeError, match=r"end must be a whole number, got 2\.5"):
        Seq2Seq(encoder, decoder, start=1, end=2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="encoder must be a list of layers, got <Embedding"):
        Seq2Seq(encoder[0], decoder, start=1, end=2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"decoder must be a list of layers, got \[.*3\]"):
        Seq2Seq(encoder, [*decoder, 3], start=1, end=2)  # type: ignore[list-item]
    encoder[0], decoder[0] = (Embedding(rows, 3, name="twin") for rows in (SYMBOLS, WORDS))
    with pytest.raises(ValueError, match="layers must have names of their own, got twin, encoder_gru, twin"):
        Seq2Seq(encoder, decoder, start=1, end=2)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (np.ones(4, int), np.full((4, 3), 3), ValueError, r"x must have shape \(B, S\), got \(4,\)"),
        (np.ones((4, 2), int), np.full(4, 3), ValueError, r"y must have shape \(B, T\), got \(4,\)"),
        (np.ones((4, 2), int), np.full((4, 3, 1), 3), ValueError, r"y must have shape \(B, T\), got \(4, 3, 1\)"),
        (
            np.ones((4, 2), int),
            np.full((3, 3), 3),
            ValueError,
            "x and y must have the same number of rows, got 4 and 3",
        ),
        (np.full((4, 2), 9), np.full((4, 3), 3), ValueError, r"x must be in \[0, 9\), got 9"),
        (np.full((4, 2), -1), np.full((4, 3), 3), ValueError, r"x must be in \[0, 9\), got -1"),
        (np.full((4, 2), 0.5), np.full((4, 3), 3), TypeError, "x must be whole numbers, got dtype float64"),
        (np.ones((4, 2), int), np.full((4, 3), 7), ValueError, r"y must be in \[0, 7\), got 7"),
        (np.ones((4, 2), int), np.full((4, 3), 0.5), TypeError, "y must be whole numbers, got dtype float64"),
        (np.ones((4, 2), int), np.full((4, 3), 1), ValueError, "y must not hold start, 1: the decoder is given it"),
        (np.ones((0, 2), int), np.full((0, 3), 3), ValueError, "x must have at least one row"),
    ],
)
def test_bad_data(x: Any, y: Any, error: type[Exception], message: str) -> None:
    model = seq2seq(plain(GRU))
    model.build((None, None))
    before = [w.tobytes() for w in model.get_weights()]
    with pytest.raises(error, match=message):
        model.fit(x, y, verbose=0)
    if len(x):
        with pytest.raises(error, match=message):
            model.train_on_batch(x, y)
    if 0 < len(x) == len(y):  # one bad row among good ones, in the last batch
        good_x, good_y = np.full((8, 2), 3), np.full((8, 3), 4)
        if x.shape[1:] == (2,) and y.shape[1:] == (3,):
            with pytest.raises(error, match=message):
                model.fit(np.concatenate([good_x, x]), np.concatenate([good_y, y]), batch_size=4, verbose=0)
    assert before == [w.tobytes() for w in model.get_weights()]


def test_bad_arguments_of_writing() -> None:
    model, (x, _) = seq2seq(plain(GRU)), pairs()
    for call in (model.generate, lambda x, n: model.beam_search(x, n, 2)):
        with pytest.raises(ValueError, match="max_length must be at least 0, got -1"):
            call(x, -1)
        with pytest.raises(ValueError, match=r"x must have at least one row, got shape \(0, 3\)"):
            call(np.ones((0, 3), int), 5)
        with pytest.raises(ValueError, match=r"x must be in \[0, 9\), got 30"):
            call(np.full((2, 2), 30), 5)
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        model.beam_search(x, 5, 0)
    with pytest.raises(ValueError, match="length_penalty must be a finite number"):
        model.beam_search(x, 5, 2, length_penalty=float("nan"))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        model.generate(x, 5, batch_size=0)
    with pytest.raises(ValueError, match="temperature must be a finite number of at least 0"):
        model.generate(x, 5, temperature=-1.0)
    with pytest.raises(ValueError, match="top_k must be None at temperature 0, which takes the likeliest"):
        model.generate(x, 5, top_k=3)
    with pytest.raises(ValueError, match=r"never must be in \[0, 4\), got 4"):
        generate(Table(table(4), 1), [0], 3, never=[4])
    for call in (model.predict, model.predict_on_batch, model.forward):
        with pytest.raises(TypeError, match="seq2seq predicts a target that it is given; `generate` or `beam_search`"):
            call(x)


def test_what_needs_weights_or_a_loss() -> None:
    encoder, decoder = plain(GRU)
    model = Seq2Seq(encoder, decoder, start=1, end=2)
    with pytest.raises(RuntimeError, match="seq2seq is not compiled"):
        model.fit(*pairs())
    with pytest.raises(ValueError, match="seq2seq is not built"):
        model.set_weights([])
    assert not model.built
    model(*pairs())
    assert model.built and model.parameters == sum(w.size for w in model.get_weights())
    names = ["encoder_embedding", "encoder_gru", "decoder_embedding", "decoder_gru", "decoder_dense"]
    assert [layer.name for layer in model.layers] == names
    text: list[str] = []
    model.summary(print_fn=text.append)
    assert all(name in "".join(text) for name in names)


# ---- files


def same_bits(one: Seq2Seq, other: Seq2Seq) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(a.tobytes() == b.tobytes() and a.dtype == b.dtype for a, b in pairs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@wirings
def test_a_loaded_model_writes_the_same_bits(wiring: Callable[..., Wiring], dtype: str, tmp_path: Path) -> None:
    (x, y), path = pairs(), tmp_path / "model.fastrnn"
    model = seq2seq(wiring(GRU, dtype), padding=0, name="mine")
    model.train_on_batch(x, y)
    model.save(path)
    loaded = Seq2Seq.load(path)
    assert same_bits(model, loaded) and loaded.get_config() == model.get_config() and loaded.name == "mine"
    assert loaded(x, y).tobytes() == model(x, y).tobytes()
    for one, other in zip(loaded.beam_search(x, 5, 3), model.beam_search(x, 5, 3), strict=True):
        assert one.tobytes() == other.tobytes()
    assert loaded.test_on_batch(x, y) == model.test_on_batch(x, y)
    again = Seq2Seq.from_config(model.get_config())
    assert again.built and again.get_config() == model.get_config() and not same_bits(again, model)


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    """Slots, dropout masks and the order of the data come back from a file, and from a backup within an epoch."""
    (x, y), path = reversals(60, 4, 1), tmp_path / "model.fastrnn"
    whole = reverser(LSTM, units=8, dropout=0.3)
    whole.fit(x, y, batch_size=16, epochs=4, verbose=0, seed=7)
    model = reverser(LSTM, units=8, dropout=0.3)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, seed=7)
    model.save(path)
    resumed = Seq2Seq.load(path)
    resumed.fit(x, y, batch_size=16, epochs=4, initial_epoch=2, verbose=0)
    assert same_bits(resumed, whole)

    class Stop(Callback):
        def __init__(self, update: int) -> None:
            self.update = update

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if self.model._compiled()[0].iterations == self.update:
                raise KeyboardInterrupt

    for update in (7, 12, -1):  # in the second epoch, in the third, never
        resumed = reverser(LSTM, units=8, dropout=0.3)
        resumed.build((None, None))
        backup = BackupAndRestore(tmp_path / "backup", save_freq=3)
        with contextlib.suppress(KeyboardInterrupt):
            resumed.fit(x, y, batch_size=16, epochs=4, verbose=0, seed=7, callbacks=[backup, Stop(update)])
            assert update == -1
    assert same_bits(resumed, whole)


def test_callbacks_keep_the_best(tmp_path: Path) -> None:
    x, y = reversals(60, 3, 1)
    model = reverser(units=8)
    callbacks = [
        ModelCheckpoint(tmp_path / "whole", "loss", save_best_only=True),
        ModelCheckpoint(tmp_path / "weights", "loss", save_best_only=True, save_weights_only=True),
        EarlyStopping("loss", patience=1, restore_best_weights=True),
    ]
    model.fit(x, y, epochs=3, verbose=0, callbacks=callbacks, seed=1)
    assert same_bits(Seq2Seq.load(tmp_path / "whole"), model)
    bare = Seq2Seq.load(tmp_path / "whole", compile=False)
    assert same_bits(bare, model) and bare.optimizer is None and bare.loss is None
    other = reverser(units=8)
    other.load_weights(tmp_path / "weights")
    assert same_bits(other, model)
    assert Seq2Seq.load(tmp_path / "weights").optimizer is None


def test_errors_of_files(tmp_path: Path) -> None:
    path, model = tmp_path / "model", seq2seq(plain(GRU))
    with pytest.raises(ValueError, match="seq2seq is not built"):
        model.save(path)
    model.build((None, None))
    with pytest.raises(
        ValueError, match=r"path must not have an ending of Keras's, which has no Seq2Seq, got '.*\.h5'"
    ):
        model.save(tmp_path / "model.h5")
    model.save(path)
    with pytest.raises(FileExistsError, match="there is a file"):
        model.save(path, overwrite=False)
    with pytest.raises(ValueError, match=r"cannot load '.*model': it holds no Sequential; Seq2Seq.load reads"):
        load_model(path)
    sequential = Sequential([Dense(2, input_shape=(3,))])
    sequential.save(tmp_path / "sequential")
    with pytest.raises(ValueError, match="it holds no Seq2Seq; load_model reads"):
        Seq2Seq.load(tmp_path / "sequential")
    content, arrays = saving.read(path)
    spoilt = {
        "'decoder' is missing": ({k: v for k, v in content["model"].items() if k != "decoder"}, arrays),
        "it holds no Seq2Seq": ({k: v for k, v in content["model"].items() if k != "encoder"}, arrays),
        "needs the weight 'kernel', which is missing": (
            content["model"],
            {name: array for name, array in arrays.items() if name != "weights/decoder_gru/kernel"},
        ),
        "nothing in the model takes weights/other/kernel": (
            content["model"],
            {**arrays, "weights/other/kernel": np.zeros(3)},
        ),
        "encoder must end in a recurrent layer": (
            {**content["model"], "encoder": content["model"]["encoder"][:1] + content["model"]["decoder"][1:2]},
            arrays,
        ),
        "padding must be neither start nor end": ({**content["model"], "padding": 1}, arrays),
    }
    for message, (config, kept) in spoilt.items():
        saving.write(path, {**content, "model": config}, kept)
        with pytest.raises(ValueError, match=f"cannot load '.*model': .*({message})"):
            Seq2Seq.load(path)
    other = seq2seq(stacked(GRU))
    other.build((None, None))
    before = [w.tobytes() for w in other.get_weights()]
    model.save(path)
    with pytest.raises(ValueError, match="weights must be"):
        other.load_weights(path)
    assert before == [w.tobytes() for w in other.get_weights()]
