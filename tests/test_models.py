"""Sequential: structure, whole-model gradients, training, and resuming to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import models
from fastrnn.layers import GRU, LSTM, Dense, Embedding, SimpleRNN
from fastrnn.losses import SparseCategoricalCrossentropy
from fastrnn.models import Sequential, load_checkpoint, load_model
from fastrnn.optimizers import SGD, Adam

SYMBOLS = 7


def char_model(dtype: str = "float32", dropout: float = 0.0, **clip: float) -> Sequential:
    """The first thing that fastrnn is for, small."""
    model = Sequential(
        [
            Embedding(SYMBOLS, 4, seed=1, dtype=dtype),
            LSTM(9, return_sequences=True, stateful=True, dropout=dropout, seed=2, dtype=dtype),
            Dense(SYMBOLS, seed=3, dtype=dtype),
        ]
    )
    model.compile(Adam(0.02, **clip), SparseCategoricalCrossentropy(from_logits=True))
    return model


def text(batch: int = 4, steps: int = 61) -> np.ndarray:
    """Rows of a language that is easy to learn: every symbol says what follows, but for a few slips."""
    rng = np.random.default_rng(5)
    rows = (np.arange(steps) * 3 + rng.integers(0, SYMBOLS, (batch, 1))) % SYMBOLS
    return np.where(rng.random(rows.shape) < 0.05, rng.integers(0, SYMBOLS, rows.shape), rows)


def train(model: Sequential, rows: np.ndarray, chunks: range, steps: int = 10) -> list[float]:
    """Truncated BPTT: consecutive chunks, the state carried from one to the next."""
    return [
        model.train_on_batch(rows[:, c * steps : (c + 1) * steps], rows[:, c * steps + 1 : (c + 1) * steps + 1])
        for c in chunks
    ]


def same_bits(one: Sequential, other: Sequential) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(a.tobytes() == b.tobytes() and a.dtype == b.dtype for a, b in pairs)


# ---- structure


def test_default_names_count_within_the_model() -> None:
    model = Sequential([LSTM(2), LSTM(2), Dense(1, name="lstm_2"), LSTM(2), Dense(1)])
    assert [layer.name for layer in model.layers] == ["lstm", "lstm_1", "lstm_2", "lstm_3", "dense"]
    assert [layer.name for layer in Sequential([LSTM(2), Dense(1)]).layers] == ["lstm", "dense"]  # every model anew


def test_names_and_layers_are_unique() -> None:
    layer = Dense(1)
    model = Sequential([layer])
    with pytest.raises(ValueError, match="dense is in sequential already"):
        model.add(layer)
    with pytest.raises(ValueError, match="has a layer named 'dense' already"):
        model.add(Dense(1, name="dense"))
    with pytest.raises(TypeError, match="layer must be a Layer, got 3"):
        model.add(3)  # type: ignore[arg-type]
    model.build((None, 2))
    with pytest.raises(ValueError, match="sequential is built"):
        model.add(Dense(1))


def test_a_layer_can_be_in_two_models() -> None:
    """As a sampler that shares the trained weights."""
    shared = Dense(1, seed=1)
    one, two = Sequential([shared]), Sequential([shared, Dense(2)])
    assert [layer.name for layer in two.layers] == ["dense", "dense_1"]
    x = np.ones((3, 2), np.float32)
    two(x)
    assert one(x).shape == (3, 1) and one.variables[0] is two.variables[0]


def test_the_first_call_builds() -> None:
    model = char_model()
    assert not model.built and model.variables == []
    y = model(np.zeros((2, 5), int))
    assert model.built and model.input_shape == (None, 5) and y.shape == (2, 5, SYMBOLS)
    with pytest.raises(ValueError, match="built already"):
        model.build((None, 5))
    assert model(np.zeros((2, 8), int)).shape == (2, 8, SYMBOLS)  # the number of steps is free


def test_an_empty_model_says_so() -> None:
    with pytest.raises(ValueError, match="sequential has no layers"):
        Sequential()(np.zeros((1, 1)))


def test_weights_in_order() -> None:
    model = char_model()
    with pytest.raises(ValueError, match="not built"):
        model.set_weights([])
    model.build((None, None))
    weights = model.get_weights()
    assert [w.shape for w in weights] == [(7, 4), (4, 36), (9, 36), (36,), (9, 7), (7,)]
    assert model.parameters == sum(w.size for w in weights)
    with pytest.raises(ValueError, match=r"weights\[5\] \(bias\)"):
        model.set_weights([w + 1 for w in weights[:-1]] + [np.zeros(3)])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(model.get_weights(), weights, strict=True))
    model.set_weights([w + 1 for w in weights])
    np.testing.assert_array_equal(model.get_weights()[4], weights[4] + 1)


def test_summary() -> None:
    lines: list[str] = []
    model = char_model()
    model.summary(lines.append)
    assert "?" in lines[0]
    model.build((None, None))
    model.summary(lines.append)
    table = [line.split() for line in lines[1].splitlines()]
    assert table[4] == ["embedding", "(Embedding)", "(None,", "None,", "4)", "28"]
    assert table[5] == ["lstm", "(LSTM)", "(None,", "None,", "9)", "504"]
    assert table[6] == ["dense", "(Dense)", "(None,", "None,", "7)", "70"]
    assert table[-1] == ["total", "602"]


def test_several_outputs_do_not_fit_a_row() -> None:
    with pytest.raises(TypeError, match="lstm gives several arrays"):
        Sequential([LSTM(2, return_state=True), Dense(1)])(np.zeros((1, 2, 3), np.float32))


def test_mistakes_of_use() -> None:
    model, x = Sequential([Dense(2)]), np.zeros((3, 4), np.float32)
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(RuntimeError, match="sequential is not compiled"):
            call(x, x)
    model(x)
    with pytest.raises(RuntimeError, match="dense: backward needs a forward with training=True"):
        model.backward(np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        model.compile("adm", "mse")
    with pytest.raises(ValueError, match="loss must be one of"):
        model.compile("adam", "nothing of that kind")
    assert model.optimizer is None


# ---- training


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [LSTM(3, return_sequences=True, dtype="float64", seed=1), Dense(4, "softmax", dtype="float64", seed=2)],
        lambda: [
            GRU(3, return_sequences=True, dtype="float64", seed=1),
            Dense(3, "tanh", dtype="float64", seed=2),
            SimpleRNN(3, dtype="float64", seed=3),
            Dense(4, "softmax", dtype="float64", seed=4),
        ],
    ],
    ids=["lstm", "deep"],
)
def test_whole_gradients_by_central_differences(layers: Any) -> None:
    rng = np.random.default_rng(1)
    model, x = Sequential(layers()), rng.standard_normal((2, 3, 2))
    y_true = rng.integers(0, 4, model(x).shape[:-1])
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.loss is not None
    _, dy = model.loss.value_and_grad(y_true, model(x, training=True))
    dx = model.backward(dy, need_dx=True)
    gradients = [dx, *(variable.grad for variable in model.variables)]
    arguments = [x, *model.get_weights()]
    for k, gradient in enumerate(gradients):
        assert gradient is not None
        for place in np.ndindex(gradient.shape):
            values = []
            for shift in (1e-6, -1e-6):
                moved = [a.copy() for a in arguments]
                moved[k][place] += shift
                model.set_weights(moved[1:])
                values.append(model.test_on_batch(moved[0], y_true))
            assert gradient[place] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_the_first_layer_is_spared_its_dx() -> None:
    model, asked = Sequential([Dense(2), Dense(3)]), []
    for layer in model.layers:

        def backward(dy: Any, *, need_dx: bool = True, real: Any = layer.backward) -> Any:
            asked.append(need_dx)
            return real(dy, need_dx=need_dx)

        layer.backward = backward  # type: ignore[method-assign]
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((2, 2)), np.ones((2, 3)))
    assert asked == [True, False]


def test_the_char_model_learns_with_carried_state() -> None:
    model, rows = char_model(global_clipnorm=5.0), text(8, 601)
    losses = train(model, rows, range(60))
    assert losses[0] == pytest.approx(np.log(SYMBOLS), rel=0.1)
    assert np.mean(losses[-5:]) < 0.7
    model.reset_states()
    assert model.test_on_batch(rows[:, :50], rows[:, 1:51]) < 0.8


def test_the_state_is_carried_and_reset() -> None:
    model, rows = char_model(), text()
    whole = model.predict_on_batch(rows[:, :20])
    model.reset_states()
    halves = [model.predict_on_batch(rows[:, :10]), model.predict_on_batch(rows[:, 10:20])]
    assert np.concatenate(halves, axis=1).tobytes() == whole.tobytes()
    model.reset_states()
    assert model.predict_on_batch(rows[:, :10]).tobytes() == halves[0].tobytes()


def test_train_on_batch_is_forward_loss_backward_update() -> None:
    rng = np.random.default_rng(2)
    x, y, weight = rng.standard_normal((5, 3)), rng.standard_normal((5, 2)), rng.uniform(0, 1, 5)
    model = Sequential([Dense(2, dtype="float64", seed=1)])
    model.compile(SGD(0.1), "mse")
    before = model(x)
    kernel, bias = model.get_weights()
    mask = np.array([True, True, False, True, True])
    value = model.train_on_batch(x, y, weight, mask)
    factor = (weight * mask)[:, np.newaxis]
    assert value == pytest.approx(np.sum(factor * (before - y) ** 2) / 2 / 4)
    dy = factor * (before - y) / 4
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.1 * x.T @ dy, rtol=1e-12)
    np.testing.assert_allclose(model.get_weights()[1], bias - 0.1 * dy.sum(axis=0), rtol=1e-12)
    assert model.test_on_batch(x, y, weight, mask) < value


def test_runs_with_one_seed_are_the_same_bits() -> None:
    one, two = char_model(dropout=0.3), char_model(dropout=0.3)
    assert train(one, text(), range(5)) == train(two, text(), range(5))
    assert same_bits(one, two)


# ---- files


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, dtype: str) -> None:
    """Weights, moments, clipping, carried state, dropout masks and a changed learning rate all come back."""
    path, rows = tmp_path / "model.fastrnn", text()
    model = char_model(dtype, dropout=0.2, global_clipnorm=0.5)
    train(model, rows, range(3))
    assert model.optimizer is not None
    model.optimizer.learning_rate = 0.01 / 3
    model.save(path, state={"chunk": 3})

    resumed, state = load_checkpoint(path)
    assert same_bits(model, resumed)
    assert state == {"chunk": 3}
    assert train(model, rows, range(3, 6)) == train(resumed, rows, range(state["chunk"], 6))
    assert same_bits(model, resumed)


def test_a_loaded_model_predicts_the_same_bits(tmp_path: Path) -> None:
    path, rows = tmp_path / "model.fastrnn", text()
    model = char_model()
    train(model, rows, range(2))
    model.save(path)
    model.reset_states()
    wanted = model.predict_on_batch(rows)
    loaded = load_model(path)
    loaded.reset_states()
    assert loaded.predict_on_batch(rows).tobytes() == wanted.tobytes()
    assert loaded.get_config() == model.get_config()
    assert load_checkpoint(path)[1] is None


@pytest.mark.parametrize("built", [False, True], ids=["unbuilt", "built"])
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_models_in_any_state_come_back(tmp_path: Path, built: bool, compiled: bool) -> None:
    model = Sequential([GRU(3, bidirectional=True, num_layers=2), Dense(2, "relu", name="last")], name="mine")
    if built:
        model.build((None, None, 4))
    if compiled:
        model.compile(SGD(0.1, 0.9, nesterov=True, clipnorm=2.0), "binary_crossentropy")
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.get_config() == model.get_config() and loaded.built == built
    assert same_bits(model, loaded)
    assert repr((loaded.optimizer, loaded.loss)) == repr((model.optimizer, model.loss))


def test_configurations_make_new_models() -> None:
    model = char_model()
    model.build((None, None))
    again = Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert same_bits(model, again)  # the seeds are part of it


def test_what_no_file_could_bring_back_is_not_saved(tmp_path: Path) -> None:
    class Mine(Dense):
        pass

    class MyAdam(Adam):
        pass

    with pytest.raises(ValueError, match=r"Mine is not in fastrnn.layers.LAYERS"):
        Sequential([Mine(3)]).save(tmp_path / "model")
    model = Sequential([Dense(3)])
    model.compile(MyAdam(), "mse")
    with pytest.raises(ValueError, match=r"MyAdam is not in fastrnn.optimizers.OPTIMIZERS"):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_built_layers_of_an_unbuilt_model_are_not_lost(tmp_path: Path) -> None:
    layer = Dense(3)
    layer.build((None, 2))
    with pytest.raises(ValueError, match="sequential is not built, but some of its layers are"):
        Sequential([layer, Dense(1)]).save(tmp_path / "model")


def test_a_registered_layer_of_ones_own_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Dense):
        pass

    monkeypatch.setitem(models.registry.LAYERS, "Mine", Mine)
    model = Sequential([Mine(3)])
    model.build((None, 2))
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert type(loaded.layers[0]) is Mine and loaded.layers[0].name == "mine"
    assert same_bits(model, loaded)
