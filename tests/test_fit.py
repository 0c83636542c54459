"""fit, evaluate and predict: against loops written out, against Keras, over all kinds of data, and when they stop."""

from __future__ import annotations

import math
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import batches, metrics, saving
from fastrnn.callbacks import BackupAndRestore, Callback, LambdaCallback, ReduceLROnPlateau, TerminateOnNaN
from fastrnn.layers import GRU, LSTM, Dense, Dropout, Embedding
from fastrnn.models import Sequential, load_model
from fastrnn.optimizers import SGD, Adam, RMSprop
from fastrnn.regularizers import L2
from fastrnn.schedules import ExponentialDecay

BATCH = 16


def problem(rows: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and sample weights of a small classification; the generator's first numbers, so that Keras can have them."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((rows, 4))
    y = (x[:, 0] * x[:, 1] + 0.3 * x[:, 2] > 0).astype(int)
    return x.astype(np.float32), y, (rng.random(rows) + 0.5).astype(np.float32)


def weights() -> list[np.ndarray]:
    """Those that follow the problem's numbers."""
    rng = np.random.default_rng(7)
    rng.standard_normal((50, 4)), rng.random(50)
    return [rng.standard_normal(shape) * 0.7 for shape in ((4, 3), (3,), (3, 1), (1,))]


def dense_model(optimizer: Any = "sgd", regularizer: Any = None, dtype: str = "float32", **compiled: Any) -> Sequential:
    """A small network that begins with `weights()`."""
    model = Sequential(
        [
            Dense(3, "tanh", kernel_regularizer=regularizer, input_shape=(4,), dtype=dtype),
            Dense(1, "sigmoid", dtype=dtype),
        ]
    )
    model.set_weights(weights())
    model.compile(optimizer, "binary_crossentropy", **compiled)
    return model


def sequences() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Numbers padded with 0 in front, a class for every step, and weights of `masked_model`."""
    rng = np.random.default_rng(8)
    ids, lengths = rng.integers(1, 6, (12, 7)), rng.integers(1, 8, 12)
    ids[np.arange(7) < 7 - lengths[:, np.newaxis]] = 0
    classes = rng.integers(0, 3, (12, 7))
    shapes = ((6, 4), (4, 20), (5, 20), (20,), (5, 3), (3,))
    return ids, classes, [rng.standard_normal(shape) * 0.5 for shape in shapes]


def masked_model(start: list[np.ndarray], return_sequences: bool) -> Sequential:
    model = Sequential(
        [
            Embedding(6, 4, mask_zero=True),
            LSTM(5, return_sequences=return_sequences),
            Dense(3, activation="softmax"),
        ]
    )
    model.build((None, 7))
    model.set_weights(start)
    # Keras's Adam and RMSprop on TensorFlow take the squares of a table's rows for each use, not for their sum
    model.compile(SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def same_bits(one: Sequential, other: Sequential) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(a.tobytes() == b.tobytes() and a.dtype == b.dtype for a, b in pairs)


# ---- the loop


def test_fit_is_a_loop_of_train_on_batch() -> None:
    """Over the rows in an order that seed and epoch alone decide; the loss is the mean by rows."""
    x, y, weight = problem()
    model, other = dense_model("adam"), dense_model("adam")
    history = model.fit(x, y, BATCH, 3, 0, sample_weight=weight, seed=5)
    for epoch in range(3):
        order = batches.shuffled(50, 5, epoch)
        assert sorted(order) == list(range(50))
        losses = []
        for start in range(0, 50, BATCH):
            rows = order[start : start + BATCH]
            losses.append(other.train_on_batch(x[rows], y[rows], weight[rows]) * len(rows))
        assert history.history["loss"][epoch] == sum(losses) / 50
    assert same_bits(model, other)
    assert history.epoch == [0, 1, 2]
    assert model.history is history
    orders = [batches.shuffled(50, seed, epoch).tolist() for seed in (5, 6) for epoch in (0, 1)]
    assert all(orders[i] != orders[j] for i in range(4) for j in range(i))


def test_fit_leaves_the_data_alone_and_shuffles_nothing_unasked() -> None:
    x, y, weight = problem()
    before = [each.copy() for each in (x, y, weight)]
    for each in (x, y, weight):
        each.flags.writeable = False
    model, other = dense_model(), dense_model()
    model.fit(x, y, BATCH, 2, 0, sample_weight=weight, shuffle=False)
    for _ in range(2):
        for start in range(0, 50, BATCH):
            part = slice(start, start + BATCH)
            other.train_on_batch(x[part], y[part], weight[part])
    assert same_bits(model, other)
    for each, old in zip((x, y, weight), before, strict=True):
        np.testing.assert_array_equal(each, old)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_runs_with_one_seed_are_the_same_bits(dtype: str) -> None:
    x, y, _ = problem()
    runs = []
    for seed in (1, 1, 2):
        model = dense_model(dtype=dtype)
        runs.append((model.fit(x, y, BATCH, 2, 0, seed=seed).history, model))
    assert runs[0][0] == runs[1][0] and same_bits(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]
    unseeded = [dense_model(dtype=dtype).fit(x, y, BATCH, 2, 0).history["loss"] for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def near(history: dict[str, list[float]], wanted: dict[str, list[float]]) -> None:
    """Within float32's rounding over a few steps; Keras prints seven digits."""
    assert set(history) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(history[name], values, rtol=2e-5, atol=1e-6, err_msg=name)


def test_figures_of_keras() -> None:
    """Keras 3.15 on TensorFlow 2.21, from the same weights and data, not shuffled."""
    x, y, weight = problem()
    model = dense_model(SGD(0.3, momentum=0.9), metrics=["acc"])
    history = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, validation_split=0.2, verbose=0)
    wanted = {
        "loss": [0.8280112, 0.5214514, 0.4308614],
        "acc": [0.5, 0.75, 0.8],
        "val_loss": [0.632259, 0.5896894, 0.5141169],
        "val_acc": [0.6, 0.7, 0.8],
    }
    near(history.history, wanted)
    assert list(history.history) == list(wanted)
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), [0.36133507, 0.84], rtol=2e-5)

    compiled = {"metrics": ["acc", "mse"], "weighted_metrics": ["mae"]}
    model = dense_model(RMSprop(0.01), "l2", **compiled)
    data = {"sample_weight": weight, "validation_data": (x[:10], y[:10], weight[:10])}
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, **data)
    wanted = {
        "loss": [0.9807973, 0.8981341],
        "acc": [0.48, 0.48],
        "mse": [0.3096132, 0.2815414],
        "mae": [0.5191342, 0.5024661],
        "val_loss": [0.9343969, 0.896497],
        "val_acc": [0.5, 0.5],
        "val_mse": [0.3028275, 0.2884127],
        "val_mae": [0.5277771, 0.5205279],
    }
    near(history.history, wanted)

    model = dense_model("adam", metrics=["AUC", "Precision"])
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, class_weight={0: 1.0, 1: 3.0}, verbose=0)
    wanted = {"loss": [2.390722, 2.3753333], "AUC": [0.5913461, 0.5969551], "Precision": [0.0, 0.0]}
    near(history.history, wanted)


def test_masks_reach_loss_and_metrics_as_in_keras() -> None:
    """Keras 3.15, padding in front."""
    ids, classes, start = sequences()
    model = masked_model(start, True)
    history = model.fit(ids, classes, 5, 3, 0, shuffle=False, validation_data=(ids[:4], classes[:4]))
    wanted = {
        "loss": [1.3092351, 1.1643461, 1.1176835],
        "accuracy": [0.2888889, 0.2888889, 0.3555556],
        "val_loss": [1.1093522, 1.0800425, 1.0777683],
        "val_accuracy": [0.3157895, 0.4210527, 0.4210527],
    }
    near(history.history, wanted)
    model = masked_model(start, False)
    history = model.fit(ids, classes[:, 0], 5, 3, 0, shuffle=False)
    near(history.history, {"loss": [1.1741323, 1.1614624, 1.1503097], "accuracy": [5 / 12] * 3})


def test_what_is_masked_does_not_matter() -> None:
    ids, classes, start = sequences()
    garbage = np.where(ids == 0, -7, classes)
    one, other = masked_model(start, True), masked_model(start, True)
    assert one.fit(ids, classes, 5, 2, 0, seed=1).history == other.fit(ids, garbage, 5, 2, 0, seed=1).history
    assert same_bits(one, other)
    explicit = masked_model(start, True)
    assert explicit.test_on_batch(ids, garbage) == explicit.test_on_batch(ids, garbage, mask=ids != 0)


@pytest.mark.parametrize("regularizer", ["l1", "l2", "l1_l2"])
def test_regularizers_are_in_the_loss_and_in_its_gradient(regularizer: str) -> None:
    x, y, _ = problem()
    model = dense_model(SGD(1.0), regularizer, "float64")
    before = model.get_weights()
    model.train_on_batch(x, y)
    steps = [old - new for old, new in zip(before, model.get_weights(), strict=True)]  # the gradient, as the rate is 1
    for number, step in enumerate(steps):
        for place in np.ndindex(step.shape):
            values = []
            for shift in (1e-6, -1e-6):
                moved = [each.copy() for each in before]
                moved[number][place] += shift
                model.set_weights(moved)
                values.append(model.evaluate(x, y, BATCH, 0))
            assert step[place] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_a_sparse_gradient_and_a_regularizer() -> None:
    """Few of a table's rows are used, and all of them are shrunk."""
    models = []
    for penalty in (None, L2(0.1)):
        model = Sequential([Embedding(40, 3, embeddings_regularizer=penalty, seed=1), GRU(2, seed=2), Dense(1, seed=3)])
        model.compile(SGD(0.5), "mse")
        model.fit(np.array([[1, 2]]), np.ones(1), verbose=0)
        models.append(model.get_weights()[0])
    start = Embedding(40, 3, seed=1)
    start.build((None, 2))
    shrunk = start.get_weights()[0] * (1 - 0.5 * 2 * 0.1)
    np.testing.assert_allclose(models[1][3:], shrunk[3:], rtol=1e-6)
    np.testing.assert_allclose(models[1] - shrunk, models[0] - start.get_weights()[0], atol=1e-6)


# ---- weights of rows and classes


def test_class_weights_are_sample_weights() -> None:
    x, y, weight = problem()
    by_class = np.where(y == 1, 2.5, 1.0)
    losses = []
    for options in ({"class_weight": {1: 2.5}}, {"sample_weight": by_class}):
        losses.append(dense_model().fit(x, y, BATCH, 2, 0, seed=1, **options).history["loss"])
    both = dense_model().fit(x, y, BATCH, 2, 0, seed=1, class_weight={1: 2.5}, sample_weight=weight)
    product = dense_model().fit(x, y, BATCH, 2, 0, seed=1, sample_weight=weight * by_class)
    assert losses[0] == losses[1]
    assert both.history == product.history
    ready = [(x[:20], y[:20], weight[:20]), (x[20:], y[20:], weight[20:])]
    of_batches = dense_model().fit(ready, class_weight={1: 2.5}, verbose=0, shuffle=False)
    arrays = [(part[0], part[1], part[2] * np.where(part[1] == 1, 2.5, 1.0)) for part in ready]
    assert of_batches.history == dense_model().fit(arrays, verbose=0, shuffle=False).history
    one, two = dense_model(), dense_model()
    assert one.train_on_batch(x, y, class_weight={1: 2.5}) == two.train_on_batch(x, y, by_class)


@pytest.mark.parametrize(
    ("y", "sparse", "wanted"),
    [
        ([2, 0, 1], False, [5, 1, 3]),
        ([[2], [0], [1]], False, [5, 1, 3]),
        ([[0, 0, 1], [1, 0, 0]], False, [5, 1]),
        ([[2, 0], [1, 1]], True, [[5, 1], [3, 3]]),
        ([2.0, 0.0], False, [5, 1]),
    ],
)
def test_classes_of_every_form(y: Any, sparse: bool, wanted: Any) -> None:
    found = batches.weights_by_class(np.array(y), {1: 3.0, 2: 5.0}, sparse)
    np.testing.assert_array_equal(found, wanted)


# ---- validation


def test_the_last_part_is_for_validation() -> None:
    x, y, weight = problem()
    model, other = dense_model(metrics=["acc"]), dense_model(metrics=["acc"])
    history = model.fit(x, y, BATCH, 1, 0, validation_split=0.3, sample_weight=weight, seed=1).history
    data = (x[35:], y[35:], weight[35:])
    wanted = other.fit(x[:35], y[:35], BATCH, 1, 0, validation_data=data, sample_weight=weight[:35], seed=1).history
    assert history == wanted
    found = model.evaluate(*data[:2], BATCH, 0, weight[35:])
    assert [history["val_loss"][0], history["val_acc"][0]] == found


@pytest.mark.parametrize("kind", ["tuple", "lists", "batches", "iterable", "generator", "function"])
def test_validation_data_of_every_kind(kind: str) -> None:
    x, y, _ = problem()
    parts = [(x[:16], y[:16]), (x[16:20], y[16:20])]
    data: Any = {
        "tuple": (x[:20], y[:20]),
        "lists": [x[:20], y[:20]],
        "batches": parts,
        "iterable": Endless(parts, 2),
        "generator": iter(parts * 3),
        "function": lambda: iter(parts),
    }[kind]
    steps = 2 if kind == "generator" else None
    history = dense_model().fit(x, y, BATCH, 3, 0, validation_data=data, validation_steps=steps, seed=1).history
    wanted = dense_model().fit(x, y, BATCH, 3, 0, validation_data=(x[:20], y[:20]), seed=1).history
    assert history == wanted


def test_validation_steps_and_batch_size() -> None:
    x, y, _ = problem()
    history = dense_model().fit(
        x, y, BATCH, 2, 0, validation_data=(x, y), validation_steps=2, validation_batch_size=5, seed=1
    )
    wanted = dense_model().fit(x, y, BATCH, 2, 0, validation_data=(x[:10], y[:10]), validation_batch_size=5, seed=1)
    assert history.history == wanted.history


def stateful_model(dropout: float = 0.0) -> Sequential:
    model = Sequential(
        [
            Embedding(6, 3, seed=1),
            LSTM(4, return_sequences=True, stateful=True, dropout=dropout, seed=2),
            Dropout(dropout, seed=3),
            GRU(3, return_sequences=True, stateful=True, seed=4),
            Dense(6, seed=5),
        ]
    )
    model.compile(Adam(ExponentialDecay(0.02, 5, 0.9)), "mse", metrics=["mae"])
    return model


def stretches(steps: int = 6, count: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Rows that belong together: the first of every four, then the next stretch of the same four."""
    rng = np.random.default_rng(3)
    return rng.integers(0, 6, (4 * count, steps)), rng.standard_normal((4 * count, steps, 6))


def test_states_are_carried_in_training_and_set_aside_in_validation() -> None:
    x, y = stretches()
    model, other = stateful_model(), stateful_model()
    history = model.fit(x, y, 4, 1, 0, shuffle=False, validation_data=(x[:7], y[:7]), validation_batch_size=7)
    for start in range(0, len(x), 4):
        other.train_on_batch(x[start : start + 4], y[start : start + 4])
    assert same_bits(model, other)
    after = model.predict_on_batch(x[:4])
    assert after.tobytes() == other.predict_on_batch(x[:4]).tobytes()  # with the states that training left
    other.reset_states()
    assert history.history["val_loss"][0] == other.evaluate(x[:7], y[:7], verbose=0)[0]


# ---- kinds of data


class Endless:
    """An iterable without a length: a list's batches, so many times over."""

    def __init__(self, parts: list[Any], count: int) -> None:
        self.parts, self.count = parts, count
        self.begun = 0

    def __iter__(self) -> Iterator[Any]:
        self.begun += 1
        return iter([self.parts[number % len(self.parts)] for number in range(self.count)])


class Numbered:
    """As Keras's PyDataset: a length, batches by number, and no end to an iteration."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts
        self.ends = 0

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> Any:
        return self.parts[number % len(self.parts)]

    def on_epoch_end(self) -> None:
        self.ends += 1


def cut(x: np.ndarray, y: np.ndarray, size: int = BATCH) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x[start : start + size], y[start : start + size]) for start in range(0, len(x), size)]


KINDS: dict[str, Callable[[list[Any]], tuple[Any, int | None]]] = {
    "list": lambda parts: (parts, None),
    "numbered": lambda parts: (Numbered(parts), None),
    "iterable": lambda parts: (Endless(parts, len(parts)), None),
    "function": lambda parts: (lambda: iter(parts), None),
    "generator": lambda parts: ((part for part in parts * 3), len(parts)),
    "iterable by steps": lambda parts: (Endless(parts, len(parts)), len(parts)),
    "batches as lists": lambda parts: ([list(part) for part in parts], None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_every_kind_are_as_arrays(kind: str) -> None:
    x, y, _ = problem()
    wanted, model = dense_model(metrics=["acc"]), dense_model(metrics=["acc"])
    history = wanted.fit(x, y, BATCH, 3, 0, shuffle=False).history
    data, steps = KINDS[kind](cut(x, y))
    assert model.fit(data, epochs=3, verbose=0, shuffle=False, steps_per_epoch=steps).history == history
    assert same_bits(model, wanted)
    data, _ = KINDS[kind](cut(x, y))
    found = model.evaluate(data, verbose=0, steps=4)
    assert found == wanted.evaluate(x, y, BATCH, 0)


def test_torch_loaders_are_iterables() -> None:
    torch = pytest.importorskip("torch")
    x, y, _ = problem()
    data = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = dense_model().fit(torch.utils.data.DataLoader(data, BATCH), epochs=2, verbose=0).history
    assert history == dense_model().fit(x, y, BATCH, 2, 0, shuffle=False).history


def test_ready_batches_are_shuffled_whole() -> None:
    x, y, _ = problem(64)
    parts, model, other = Numbered(cut(x, y)), dense_model(), dense_model()
    model.fit(parts, epochs=2, verbose=0, seed=9)
    for epoch in range(2):
        for number in batches.shuffled(4, 9, epoch):
            other.train_on_batch(*parts[int(number)])
    assert same_bits(model, other)
    assert parts.ends == 2


def test_epochs_of_few_steps_go_on_in_the_data() -> None:
    """And every lap has an order of its own."""
    x, y, _ = problem(60)
    model, other = dense_model(), dense_model()
    model.fit(x, y, 10, 5, 0, steps_per_epoch=4, seed=3)
    for step in range(20):
        lap, place = divmod(step, 6)
        rows = batches.shuffled(60, 3, lap)[place * 10 : (place + 1) * 10]
        other.train_on_batch(x[rows], y[rows])
    assert same_bits(model, other)
    data = Endless(cut(x, y, 10), 6)
    dense_model().fit(data, epochs=3, verbose=0, steps_per_epoch=4)
    assert data.begun == 2


def test_no_more_is_drawn_than_is_trained_on() -> None:
    x, y, _ = problem()
    drawn = []

    def parts() -> Iterator[Any]:
        while True:
            drawn.append(1)
            yield x, y

    dense_model().fit(parts(), epochs=3, steps_per_epoch=4, verbose=0)
    assert len(drawn) == 12


def test_data_that_end_early_end_the_run_with_a_warning() -> None:
    x, y, _ = problem()
    model = dense_model()
    parts = cut(x, y)
    with pytest.warns(UserWarning, match="x ran out of batches in epoch 2, after 1 of 3: training ends"):
        history = model.fit(iter(parts), epochs=5, steps_per_epoch=3, verbose=0)
    assert history.epoch == [0, 1]
    other = dense_model()
    other.fit(x, y, BATCH, 1, 0, shuffle=False)
    assert same_bits(model, other)
    with pytest.warns(UserWarning, match="x ran out of batches before epoch 2: training ends"):
        assert model.fit(iter(parts), epochs=5, steps_per_epoch=4, verbose=0).epoch == [0]
    with pytest.warns(UserWarning, match="x ran out of batches after 4 of 9"):
        model.evaluate(iter(parts), steps=9, verbose=0)


def test_a_prediction_is_the_same_in_batches_of_any_size() -> None:
    x, _, _ = problem()
    ids, _, start = sequences()
    model = dense_model()
    whole = model.predict_on_batch(x)
    for size in (1, 7, 50, None):
        assert model.predict(x, size, 0).tobytes() == whole.tobytes()
    model = masked_model(start, True)
    assert model.predict(ids, 5, verbose=0).tobytes() == model.predict_on_batch(ids).tobytes()
    assert model.predict(ids.tolist(), 5, verbose=0).tobytes() == model.predict_on_batch(ids).tobytes()


def test_predictions_of_batches_and_of_some_steps() -> None:
    x, y, _ = problem()
    model = dense_model()
    whole = model.predict(x, verbose=0)
    for data in (Endless([x[:30], x[30:]], 2), iter([(x[:30],), (x[30:],)]), Numbered(cut(x, y)), lambda: [x]):
        assert model.predict(data, verbose=0).tobytes() == whole.tobytes()
    assert model.predict(x, 16, 0, steps=2).tobytes() == whole[:32].tobytes()
    assert model.predict(iter([x, x, x]), steps=2, verbose=0).shape == (100, 1)
    with pytest.raises(ValueError, match="steps must be at most the 4 batches there are, got 5"):
        model.predict(x, 16, 0, steps=5)


# ---- figures of one batch


def test_figures_of_a_batch() -> None:
    x, y, weight = problem()
    model = dense_model()
    loss = model.test_on_batch(x, y)
    assert type(loss) is float and type(model.train_on_batch(x, y)) is float
    assert model.test_on_batch(x, y, return_dict=True).keys() == {"loss"}
    model = dense_model(metrics=["acc", metrics.AUC(name="area")], weighted_metrics=["mae"])
    assert model.metrics_names == ["loss", "acc", "area", "mae"]
    named = model.test_on_batch(x, y, weight, return_dict=True)
    assert list(named) == model.metrics_names
    first = model.train_on_batch(x, y, weight)
    assert type(first) is list and first == list(named.values())
    again = model.train_on_batch(x, y, weight)
    assert again[0] < first[0], "the figures are those of the batch alone"
    assert again == dense_model_after_one(x, y, weight)
    prediction = dense_model().predict(x, verbose=0)[:, 0]
    assert named["acc"] == pytest.approx(np.mean((prediction > 0.5) == y))
    assert named["mae"] == pytest.approx(np.average(np.abs(prediction - y), weights=weight), rel=1e-6)
    assert model.evaluate(x, y, verbose=0, sample_weight=weight, return_dict=True).keys() == named.keys()


def dense_model_after_one(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Any:
    model = dense_model(metrics=["acc", metrics.AUC(name="area")], weighted_metrics=["mae"])
    model.train_on_batch(x, y, weight)
    return model.test_on_batch(x, y, weight)


def test_an_evaluation_is_the_mean_over_all_rows() -> None:
    x, y, weight = problem()
    model = dense_model(metrics=["acc"], regularizer="l2")
    for size in (50, 16, 1):
        np.testing.assert_allclose(model.evaluate(x, y, size, 0, weight), model.test_on_batch(x, y, weight), rtol=1e-6)
    assert type(dense_model().evaluate(x, y, verbose=0)) is float


# ---- when it stops


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(value: float) -> None:
    x, y, _ = problem()
    x[40] = value
    model, other = dense_model("adam", metrics=["acc"]), dense_model("adam")
    with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError) as caught:
        model.fit(x, y * np.nan if value == np.inf else y, BATCH, 2, 0, shuffle=False)
    step = 1 if value == np.inf else 3
    assert str(caught.value).startswith(f"the loss is nan in epoch 1 of 2, step {step} of 4; the weights are those")
    for start in range(0, 16 * (step - 1), 16):
        other.train_on_batch(x[start : start + 16], y[start : start + 16])
    assert same_bits(model, other)
    assert model.optimizer is not None and model.optimizer.iterations == step - 1
    assert math.isnan(model.train_on_batch(x, y)[0])
    assert same_bits(model, other)


def test_terminate_on_nan_stops_without_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    x, y, _ = problem()
    x[40] = np.nan
    model = dense_model("adam", metrics=["acc", "AUC"])
    history = model.fit(x, y, BATCH, 3, 0, callbacks=TerminateOnNaN(), shuffle=False)
    assert capsys.readouterr().out == "Batch 2: Invalid loss, terminating training\n"
    assert history.epoch == [0] and math.isnan(history.history["loss"][0])
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    with pytest.raises(RuntimeError, match="the loss is nan at batch 2"):
        dense_model().fit(x, y, BATCH, 3, 0, callbacks=[TerminateOnNaN(raise_error=True)], shuffle=False)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to itself")
@pytest.mark.parametrize("when", ["update", "forward", "callback"])
def test_ctrl_c_leaves_whole_steps(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, _ = problem()
    model, other = dense_model("adam"), dense_model("adam")
    optimizer = model.optimizer
    assert optimizer is not None
    calls = [0]
    # a suite that runs in the background of a shell has a SIGINT that is ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press(real: Callable[..., Any]) -> Callable[..., Any]:
        def pressed(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == 7:
                os.kill(os.getpid(), signal.SIGINT)
            return real(*arguments, **options)

        return pressed

    listeners = []
    if when == "update":  # in the middle of it
        monkeypatch.setattr(optimizer, "formula", press(optimizer.formula))
    elif when == "forward":
        monkeypatch.setattr(model, "forward", press(model.forward))
    else:
        listeners.append(LambdaCallback(on_train_batch_end=press(lambda batch, logs: None)))
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, BATCH, 9, 0, callbacks=listeners, seed=1)
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    done = optimizer.iterations
    assert done == {"update": 7, "forward": 6, "callback": 7}[when]  # the rehearsal is a forward pass too
    other.fit(x, y, BATCH, 9, 0, seed=1, callbacks=StopAfter(done))
    assert same_bits(model, other)
    assert model.history is not None and len(model.history.epoch) == done // 4
    monkeypatch.undo()
    model.fit(x, y, BATCH, 1, 0)


class StopAfter(Callback):
    """Stops a run after so many steps, without or with an error."""

    def __init__(self, steps: int, error: Exception | None = None) -> None:
        self.left, self.error = steps, error

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left == 0:
            if self.error is not None:
                raise self.error
            self.model.stop_training = True


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_handler_of_the_callers_own_is_left_alone() -> None:
    x, y, _ = problem()
    heard = []

    def handler(number: int, frame: Any) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        press = LambdaCallback(on_train_batch_end=lambda batch, logs: os.kill(os.getpid(), signal.SIGINT))
        dense_model().fit(x, y, BATCH, 1, 0, callbacks=press)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(heard) == 4


def test_stop_training_ends_the_epoch_at_once_but_whole() -> None:
    x, y, _ = problem()
    history = dense_model().fit(x, y, BATCH, 9, 0, validation_data=(x, y), callbacks=StopAfter(6))
    assert history.epoch == [0, 1] and len(history.history["val_loss"]) == 2


# ---- going on


def resumable(dropout: float = 0.3) -> Sequential:
    """Everything that a step depends on: dropout, carried states, momentum, a schedule, sparse updates, metrics."""
    model = Sequential(
        [
            Embedding(30, 4, mask_zero=True, seed=1),
            LSTM(5, return_sequences=True, dropout=dropout, stateful=True, seed=2),
            Dropout(dropout, seed=3),
            GRU(4, dropout=dropout, kernel_regularizer="l2", seed=4),
            Dense(3, "softmax", seed=5),
        ]
    )
    optimizer = RMSprop(ExponentialDecay(0.02, 4, 0.9), momentum=0.8)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["acc"])
    return model


def resumable_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    return rng.integers(0, 30, (40, 6)), rng.integers(0, 3, 40)


@pytest.mark.parametrize("seed", [11, None])
def test_a_loaded_model_goes_on_to_the_same_bits(tmp_path: Path, seed: int | None) -> None:
    """From the end of an epoch, by initial_epoch; the order of the data goes on without a seed too."""
    x, y = resumable_data()
    split = {"validation_split": 0.2, "verbose": 0, "batch_size": 8}
    whole = resumable()
    whole.fit(x, y, epochs=2, seed=seed, **split)
    whole.save(tmp_path / "model")
    wanted = whole.fit(x, y, epochs=5, initial_epoch=2, seed=seed, **split)
    model = load_model(tmp_path / "model")
    assert model.metrics_names == ["loss", "acc"]
    history = model.fit(x, y, epochs=5, initial_epoch=2, seed=seed, **split)
    assert history.history == wanted.history and history.epoch == [2, 3, 4]
    assert same_bits(model, whole)
    if seed is not None:
        at_once = resumable()
        figures = at_once.fit(x, y, epochs=5, seed=seed, **split).history
        assert figures["loss"][2:] == history.history["loss"]
        assert same_bits(model, at_once)


DATA: dict[str, Callable[[np.ndarray, np.ndarray], dict[str, Any]]] = {
    "arrays": lambda x, y: {"x": x, "y": y, "seed": 7},
    "arrays without a seed": lambda x, y: {"x": x, "y": y},
    "in order": lambda x, y: {"x": x, "y": y, "shuffle": False},
    "few steps": lambda x, y: {"x": x, "y": y, "seed": 7, "steps_per_epoch": 3},
    "ready": lambda x, y: {"x": Numbered(cut(x, y, 8)), "seed": 7},
    "iterable": lambda x, y: {"x": Endless(cut(x, y, 8), 5)},
    "iterable by steps": lambda x, y: {"x": Endless(cut(x, y, 8), 5), "steps_per_epoch": 3},
    "generator": lambda x, y: {"x": iter(cut(x, y, 8) * 9), "steps_per_epoch": 5},
}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("step", [2, 5, 6, 9])
def test_a_run_taken_up_again_ends_in_the_same_bits(tmp_path: Path, kind: str, step: int) -> None:
    """Weights and every figure, wherever the run was interrupted, in the middle of an epoch or between two."""
    x, y = resumable_data()
    whole = resumable()
    backup = BackupAndRestore(tmp_path / "whole", save_freq=1, delete_checkpoint=False)
    options = {"batch_size": 8, "epochs": 3, "verbose": 0, "validation_data": (x[:8], y[:8])}
    if "seed" in kind:  # the one that is drawn is in the backup
        stopped = resumable()
        with pytest.raises(RuntimeError, match="crash"):
            crash = StopAfter(step, RuntimeError("crash"))
            stopped.fit(**DATA[kind](x, y), **options, callbacks=[backup, crash])
        drawn = stopped._order_seed
        wanted = whole.fit(x=x, y=y, seed=drawn, **options)
    else:
        wanted = whole.fit(**DATA[kind](x, y), **options)
        with pytest.raises(RuntimeError, match="crash"):
            crash = StopAfter(step, RuntimeError("crash"))
            resumable().fit(**DATA[kind](x, y), **options, callbacks=[backup, crash])
    again = resumable()
    with pytest.raises(ValueError, match="callbacks must be those of the run that it is to go on with"):
        again.fit(**DATA[kind](x, y), **options, callbacks=[backup])
    history = again.fit(**DATA[kind](x, y), **options, callbacks=[StopAfter(-1), backup])
    assert history.history == wanted.history
    assert history.epoch == [0, 1, 2]
    assert same_bits(again, whole)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to itself")
@pytest.mark.parametrize("where", ["forward", "data", "validation"])
@pytest.mark.parametrize("count", [5, 9, 13])  # the rehearsal is one, or two forward passes
def test_ctrl_c_loses_no_step(tmp_path: Path, where: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backup of a run that was interrupted anywhere, between those of its epochs, has its last whole step."""
    x, y = stretches()
    calls = [-1000]  # of the uninterrupted run

    def press(here: str) -> None:
        calls[0] += here == where
        if here == where and calls[0] == count:
            os.kill(os.getpid(), signal.SIGINT)

    class Data:
        def __init__(self, place: str) -> None:
            self.place = place

        def __len__(self) -> int:
            return 4

        def __getitem__(self, number: int) -> Any:
            press(self.place)
            return x[number * 4 : number * 4 + 4], y[number * 4 : number * 4 + 4]

    whole, stopped, again = stateful_model(0.2), stateful_model(0.2), stateful_model(0.2)
    forward = stopped.forward
    monkeypatch.setattr(stopped, "forward", lambda *arguments: (press("forward"), forward(*arguments))[1])
    options = {"epochs": 3, "verbose": 0, "shuffle": False, "validation_data": Data("validation")}
    wanted = whole.fit(Data("data"), **options)
    calls[0] = 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(Data("data"), **options, callbacks=BackupAndRestore(tmp_path))
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert stopped.optimizer is not None
    steps = saving.read(tmp_path / BackupAndRestore.FILE)[1]["optimizer/iterations"]
    assert steps == stopped.optimizer.iterations > 0
    assert again.fit(Data("data"), **options, callbacks=BackupAndRestore(tmp_path)).history == wanted.history
    assert same_bits(again, whole)


def test_what_a_backup_remembers(tmp_path: Path) -> None:
    x, y, _ = problem()
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    with pytest.raises(FileNotFoundError):
        backup.remembered()
    history = dense_model().fit(x, y, epochs=2, verbose=0, callbacks=[backup, ReduceLROnPlateau("loss")])
    assert list(backup.remembered()) == ["ReduceLROnPlateau", "History"]
    assert backup.remembered()["History"] == {"history": history.history, "epoch": [0, 1]}
    dense_model().save(backup.path)
    with pytest.raises(ValueError, match=r"cannot load .*'callbacks' is missing"):
        backup.remembered()


def test_states_go_on_too(tmp_path: Path) -> None:
    """What stateful layers carry from step to step, in the middle of an epoch."""
    x, y = stretches()
    whole, stopped, again = stateful_model(0.2), stateful_model(0.2), stateful_model(0.2)
    options = {"batch_size": 4, "epochs": 2, "verbose": 0, "shuffle": False}
    wanted = whole.fit(x, y, **options)
    backup = BackupAndRestore(tmp_path / "backup", save_freq=3)
    with pytest.raises(RuntimeError, match="crash"):
        stopped.fit(x, y, **options, callbacks=[StopAfter(5, RuntimeError("crash")), backup])
    assert os.listdir(tmp_path / "backup") == [BackupAndRestore.FILE]
    history = again.fit(x, y, **options, callbacks=[StopAfter(-1), backup])
    assert history.history == wanted.history
    assert same_bits(again, whole)
    assert whole.predict_on_batch(x[:4]).tobytes() == again.predict_on_batch(x[:4]).tobytes()
    assert not (tmp_path / "backup").exists()


def test_nothing_is_left_to_do() -> None:
    x, y, _ = problem()
    model = dense_model()
    history = model.fit(x, y, epochs=3, initial_epoch=3, verbose=0)
    assert history.history == {} and history.epoch == []
    assert all(np.array_equal(a, np.float32(b)) for a, b in zip(model.get_weights(), weights(), strict=True))


# ---- what is printed


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    x, y, _ = problem()
    model = dense_model(metrics=["acc"])

    def printed() -> list[str]:
        captured = capsys.readouterr()
        assert captured.err == ""  # no terminal: lines only after ten seconds
        lines = captured.out.splitlines()
        return [" - ".join(part for part in line.split(" - ") if not part.endswith(("s", "/step"))) for line in lines]

    model.fit(x, y, 16, 2, validation_split=0.2, shuffle=False)
    header, line, second, _ = printed()
    assert (header, second) == ("Epoch 1/2", "Epoch 2/2")
    assert [part.split(":")[0] for part in line.split(" - ")] == ["3/3", "loss", "acc", "val_loss", "val_acc"]
    model.fit(x, y, 16, verbose=2)
    assert len(printed()) == 1
    model.fit(iter(cut(x, y)))
    assert printed()[0].startswith("4/4 - loss: ")
    model.evaluate(x, y)
    assert printed()[0].startswith("2/2 - loss: ")
    model.predict(x)
    assert printed() == []
    model.predict(x, verbose=1)
    assert printed() == ["2/2"]
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    assert printed() == []


# ---- errors


def test_what_fit_refuses_before_anything_has_changed() -> None:
    x, y, weight = problem()

    def once() -> Iterator[Any]:
        yield x, y

    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (ValueError, "x must be an array or an iterable of batches, got None", {}),
        (TypeError, "x must be an array or an iterable of batches, got float", {"x": 3.0}),
        (TypeError, "got str", {"x": "data"}),
        (TypeError, "got dict", {"x": {"a": x}}),
        (ValueError, "y must be given with an array x", {"x": x}),
        (ValueError, r"x must have at least one row, got shape \(0, 4\)", {"x": x[:0], "y": y[:0]}),
        (ValueError, "x and y must have the same number of rows, got 50 and 49", {"x": x, "y": y[1:]}),
        (ValueError, "x and sample_weight must have .* got 50 and 3", {"x": x, "y": y, "sample_weight": weight[:3]}),
        (ValueError, "x must be an array, its rows of one length", {"x": [[1, 2], [3]], "y": [1, 2]}),
        (TypeError, "x must hold real numbers, got dtype <U1", {"x": np.array(["a"]), "y": [1]}),
        (TypeError, "y must hold real numbers, got dtype object", {"x": x, "y": np.array([None] * 50)}),
        (TypeError, "x must be a plain array", {"x": np.ma.masked_array(x), "y": y}),
        (ValueError, r"x must have shape \(..., 4\), got \(32, 3\)", {"x": x[:, :3], "y": y}),
        (ValueError, r"y must have shape \(32, 1\), got \(32, 2\)", {"x": x, "y": np.ones((50, 2))}),
        (ValueError, "validation_split|must be in", {"x": x, "y": y, "validation_split": 1.0}),
        (ValueError, "must be in", {"x": x, "y": y, "validation_split": -0.1}),
        (ValueError, "must leave rows on both sides, got 0.5 of 1", {"x": x[:1], "y": y[:1], "validation_split": 0.5}),
        (ValueError, "validation_split needs arrays", {"x": cut(x, y), "validation_split": 0.5}),
        (ValueError, "validation_data must be .* got an array", {"x": x, "y": y, "validation_data": x}),
        (ValueError, "validation_data: .* 50 and 49", {"x": x, "y": y, "validation_data": (x, y[1:])}),
        (ValueError, "validation_data: .*y must have", {"x": x, "y": y, "validation_data": (x, np.ones((50, 3)))}),
        (ValueError, "validation_data: x must have shape", {"x": x, "y": y, "validation_data": (x[:, 1:], y)}),
        (
            ValueError,
            "validation_steps must be at most",
            {"x": x, "y": y, "validation_data": (x, y), "validation_steps": 9},
        ),
        (ValueError, "validation_data can be run through only once", {"x": x, "y": y, "validation_data": once()}),
        (ValueError, "x can be run through only once", {"x": once()}),
        (ValueError, "y must be None where x is no array", {"x": once(), "y": y, "epochs": 1}),
        (ValueError, "sample_weight must be None where", {"x": cut(x, y), "sample_weight": weight}),
        (ValueError, r"a batch must be \(x, y\) or", {"x": [x, x]}),
        (ValueError, "got 4 of them", {"x": [(x, y, y, y)]}),
        (ValueError, "must have the same number of rows, got 50 and 49", {"x": [(x, y[1:])]}),
        (ValueError, "x must hold at least one batch, got none", {"x": []}),
        (ValueError, "x must give at least one batch, got none", {"x": Endless([], 0)}),
        (ValueError, "batch_size must be at least 1", {"x": x, "y": y, "batch_size": 0}),
        (TypeError, "epochs must be a whole number", {"x": x, "y": y, "epochs": 1.5}),
        (ValueError, "verbose must be 'auto', 0, 1 or 2, got 3", {"x": x, "y": y, "verbose": 3}),
        (TypeError, "callbacks must be of class Callback", {"x": x, "y": y, "callbacks": [print]}),
        (TypeError, "class_weight must be a mapping", {"x": x, "y": y, "class_weight": [1, 2]}),
        (TypeError, "a class of class_weight must be a whole number", {"x": x, "y": y, "class_weight": {"a": 2}}),
        (TypeError, r"class_weight\[1\] must be a number", {"x": x, "y": y, "class_weight": {1: None}}),
        (ValueError, "seed must be at least 0", {"x": x, "y": y, "seed": -1}),
        (ValueError, r"seed must be below 2\*\*64", {"x": x, "y": y, "seed": 2**64}),
        (ValueError, "steps_per_epoch must be at least 1", {"x": x, "y": y, "steps_per_epoch": 0}),
    ]
    for error, message, arguments in cases:
        model = dense_model("adam")
        with pytest.raises(error, match=message):
            model.fit(**({"epochs": 2, "verbose": 0} | arguments))
        assert model.optimizer is not None and model.optimizer.iterations == 0
        assert same_bits(model, dense_model())


def test_labels_are_looked_at_before_the_first_step() -> None:
    ids, classes, start = sequences()
    classes[-1, -1] = 3
    model = masked_model(start, False)
    with pytest.raises(ValueError, match=r"must be in \[0, 3\), got 3"):
        model.fit(np.ones_like(ids), classes[:, -1], 5, verbose=0)
    with pytest.raises(ValueError, match=r"validation_data: .* must be in \[0, 3\), got 3"):
        model.fit(ids, ids[:, 0] % 3, 5, verbose=0, validation_data=(ids, classes[:, -1]))
    assert same_bits(model, masked_model(start, False))


def test_what_evaluate_and_predict_refuse() -> None:
    x, y, _ = problem()
    model = dense_model()
    for call in (lambda: model.evaluate(x[:0], y[:0]), lambda: model.predict(x[:0])):
        with pytest.raises(ValueError, match="x must have at least one row"):
            call()
    for data in (iter([]), Endless([], 0)):
        with pytest.raises(ValueError, match="x must give at least one batch, got none"):
            model.predict(data)
        with pytest.raises(ValueError, match="x must give at least one batch, got none"):
            model.evaluate(data)
    with pytest.raises(ValueError, match="x and y must have the same number of rows"):
        model.evaluate(x, y[1:])
    with pytest.raises(ValueError, match="steps must be at most the 2 batches"):
        model.evaluate(x, y, steps=3)
    with pytest.raises(ValueError, match="verbose must be"):
        model.predict(x, verbose="loud")


def test_what_compile_refuses() -> None:
    model = dense_model()
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (ValueError, "did you mean 'mean_squared_error'", {"loss": "mean_squared_eror"}),
        (ValueError, "loss must be a name or a Loss, got None", {"loss": None}),
        (ValueError, "did you mean 'adam'", {"optimizer": "adm"}),
        (ValueError, "metric must be one of .* did you mean 'accuracy'", {"metrics": ["acuracy"]}),
        (TypeError, "metrics must be a list of names or metrics, got {'a': 'acc'}", {"metrics": {"a": "acc"}}),
        (
            ValueError,
            "metrics must have names of their own, other than loss, got acc, acc",
            {"metrics": ["acc", "acc"]},
        ),
        (ValueError, "names of their own", {"metrics": ["acc"], "weighted_metrics": ["acc"]}),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error, match=message):
            model.compile(**({"optimizer": "sgd", "loss": "mse"} | arguments))
        assert model.loss is not None and model.loss.name == "binary_crossentropy"
    for call in (model.fit, model.evaluate):
        model.loss = None
        with pytest.raises(RuntimeError, match="sequential is not compiled"):
            call(*problem()[:2])
    model.compile(loss="mse", metrics="acc")
    assert model.optimizer is not None and model.optimizer.name == "rmsprop" and model.metrics_names == ["loss", "acc"]


def test_validation_after_some_epochs() -> None:
    x, y, _ = problem()
    for frequency, count in ((2, 2), ([1, 2, 5], 3), (9, 0)):
        history = dense_model().fit(x, y, BATCH, 5, 0, validation_data=(x, y), validation_freq=frequency).history
        assert len(history["loss"]) == 5 and len(history.get("val_loss", ())) == count
    for wrong, error in ((0, ValueError), ("a", TypeError), ([0], ValueError)):
        with pytest.raises(error, match="validation_freq must be"):
            dense_model().fit(x, y, validation_freq=wrong, verbose=0)
