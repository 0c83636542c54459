"""Sequential: structure, whole-model gradients, training, and resuming to the same bits."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import metrics, models, saving
from fastrnn.layers import GRU, LSTM, Dense, Embedding, SimpleRNN
from fastrnn.losses import BinaryCrossentropy, SparseCategoricalCrossentropy
from fastrnn.models import Sequential, load_checkpoint, load_model
from fastrnn.optimizers import SGD, Adam
from fastrnn.schedules import ExponentialDecay
from fastrnn.seq2seq import Steps

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
    model(np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"sequential is built and in use: .* Sequential\(\[\*model.layers, layer\]\)"):
        model.add(Dense(1))
    assert Sequential([*model.layers, Dense(4)])(np.ones((3, 2))).shape == (3, 4)


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


def summary_of(model: Sequential, length: int | None = None) -> list[str]:
    """The lines of the table."""
    texts: list[str] = []
    assert model.summary(length, texts.append) is None  # type: ignore[func-returns-value]
    return texts[0].splitlines()


def test_summary_is_that_of_keras() -> None:
    """Word for word what Keras 3.15 prints for these layers (on an 88 columns wide terminal)."""
    model = Sequential([Embedding(10000, 32), LSTM(32), Dense(1, activation="sigmoid")])
    lines = [line.split() for line in summary_of(model, 88)]
    assert lines[4] == ["│", "embedding", "(Embedding)", "│", "?", "│", "0", "(unbuilt)", "│"]
    model.build((None, 500))
    assert summary_of(model, 88) == [
        'Model: "sequential"',
        "┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┓",
        "┃ Layer (type)                         ┃ Output Shape                ┃         Param # ┃",
        "┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━┩",
        "│ embedding (Embedding)                │ (None, 500, 32)             │         320,000 │",
        "├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤",
        "│ lstm (LSTM)                          │ (None, 32)                  │           8,320 │",
        "├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤",
        "│ dense (Dense)                        │ (None, 1)                   │              33 │",
        "└──────────────────────────────────────┴─────────────────────────────┴─────────────────┘",
        " Total params: 328,353 (1.25 MB)",
        " Trainable params: 328,353 (1.25 MB)",
        " Non-trainable params: 0 (0.00 B)",
    ]


def test_a_summary_shows_long_names_and_asks_no_unicode(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Sequential([Dense(3, name="x" * 70, input_shape=(2,))])
    assert {len(line) for line in summary_of(model, 40)[1:-3]} == {4 + 80 + 14 + 9}
    model.summary()
    assert "┏" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream := io.TextIOWrapper(io.BytesIO(), "latin-1"))
        model.summary()
        stream.flush()
        text = stream.buffer.getvalue().decode("latin-1")  # type: ignore[attr-defined]
    assert text.splitlines()[1].startswith("+----") and "| Layer (type)" in text


def test_a_declared_input_builds_when_weights_are_wanted() -> None:
    """And layers can still be added, until data come."""
    model = Sequential([LSTM(4, input_shape=(5, 3), seed=1)])
    assert not model.built
    assert [weight.shape for weight in model.get_weights()] == [(3, 16), (4, 16), (16,)]
    assert model.built and model.input_shape == (None, 5, 3) and model.output_shape == (None, 4)
    before = model.get_weights()
    model.add(Dense(2, seed=2))
    assert not model.built
    assert model.count_params() == model.parameters == 3 * 16 + 4 * 16 + 16 + 4 * 2 + 2
    assert model.get_weights()[0].tobytes() == before[0].tobytes()
    model.compile("sgd", "mse")
    model.add(Dense(6))
    assert model.predict(np.ones((2, 5, 3)), verbose=0).shape == (2, 6)
    with pytest.raises(ValueError, match="in use"):
        model.add(Dense(1))


def test_compile_builds_a_declared_model_and_tells_what_does_not_fit() -> None:
    model = Sequential([SimpleRNN(3, input_shape=(5, 2)), SimpleRNN(3)])
    with pytest.raises(ValueError, match=r"simple_rnn_1 takes an input of shape \(B, T, I\)"):
        model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="input_shape must be given, for the first layer does not declare it"):
        Sequential([Dense(1)]).build()


def test_several_outputs_do_not_fit_a_row() -> None:
    with pytest.raises(TypeError, match="lstm gives several arrays"):
        Sequential([LSTM(2, return_state=True), Dense(1)])(np.zeros((1, 2, 3), np.float32))


def test_what_is_no_list() -> None:
    with pytest.raises(TypeError, match="layers must be a list of layers, got <"):
        Sequential(Dense(1))  # type: ignore[arg-type]
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="callbacks must be a Callback or a list of them, got 3"):
        model.fit(np.ones((2, 3)), np.ones(2), verbose=0, callbacks=3)
    with pytest.raises(ValueError, match="layers must be at least one layer, got none"):
        Steps([])


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
    value = model.train_on_batch(x, y, weight, mask=mask)
    factor = (weight * mask)[:, np.newaxis]
    assert value == pytest.approx(np.sum(factor * (before - y) ** 2) / 2 / 4)
    dy = factor * (before - y) / 4
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.1 * x.T @ dy, rtol=1e-12)
    np.testing.assert_allclose(model.get_weights()[1], bias - 0.1 * dy.sum(axis=0), rtol=1e-12)
    assert model.test_on_batch(x, y, weight, mask=mask) < value


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


def test_everything_compiled_comes_back(tmp_path: Path) -> None:
    """The schedule and where it stands, the loss's options, the metrics under the names that they were given."""
    model = Sequential([Dense(1, input_shape=(3,), kernel_regularizer="l2", seed=1)])
    plain = ["acc", metrics.AUC(num_thresholds=50, name="area")]
    optimizer = SGD(ExponentialDecay(0.1, 2, 0.5), momentum=0.9, clipnorm=1.0)
    model.compile(optimizer, BinaryCrossentropy(from_logits=True, label_smoothing=0.1), plain, ["mae"])
    rng = np.random.default_rng(0)
    x, y, weight = rng.standard_normal((20, 3)), rng.integers(0, 2, 20), rng.uniform(0, 1, 20)
    model.fit(x, y, 4, 1, 0)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.metrics_names == model.metrics_names == ["loss", "acc", "area", "mae"]
    assert [repr(each) for each in loaded.metrics] == [repr(each) for each in model.metrics]
    assert repr((loaded.optimizer, loaded.loss)) == repr((model.optimizer, model.loss))
    assert loaded.optimizer is not None and loaded.optimizer.learning_rate == 0.1 * 0.5 ** (5 / 2)
    options = {"sample_weight": weight, "verbose": 0, "epochs": 2, "initial_epoch": 1}
    assert model.fit(x, y, 4, **options).history == loaded.fit(x, y, 4, **options).history
    assert same_bits(model, loaded)
    assert model.evaluate(x, y, 4, 0, weight) == loaded.evaluate(x, y, 4, 0, weight)

    model.save(tmp_path / "plain", include_optimizer=False)
    assert load_model(tmp_path / "plain").optimizer is None and model.optimizer is optimizer
    with pytest.raises(FileExistsError, match="there is a file"):
        model.save(tmp_path / "model", overwrite=False)
    loaded.metrics.append(type("Mine", (metrics.AUC,), {})())
    with pytest.raises(ValueError, match=r"Mine is not in fastrnn.metrics.METRICS"):
        loaded.save(tmp_path / "model")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c["metrics"][0].update({"class": "eval"}), "metric must be one of"),
        (lambda c: c["metrics"][0].update({"class": ["auc"]}), "metric must be one of"),
        (lambda c: c["metrics"][0]["config"].update(path="/etc/passwd"), "unexpected keyword"),
        (lambda c: c["metrics"][0]["config"].update(num_thresholds=10**12), "num_thresholds must be at most"),
        (lambda c: c["metrics"][0]["config"].update(name="../../x"), "name must be letters"),
        (lambda c: c["metrics"][0]["config"].update(name="loss"), "names of their own"),
        (lambda c: c.update(metrics=3), "not iterable"),
        (lambda c: c.update(order="a"), "order must be a whole number"),
        (lambda c: c["optimizer"]["config"].update(learning_rate={"class": "eval", "config": {}}), "must be one of"),
    ],
)
def test_what_a_file_says_of_compile_is_not_trusted(tmp_path: Path, edit: Any, message: str) -> None:
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "binary_crossentropy", ["auc"])
    model.save(tmp_path / "model")
    content, arrays = saving.read(tmp_path / "model")
    edit(content["compiled"])
    saving.write(tmp_path / "model", content, arrays)
    with pytest.raises(ValueError, match=f"cannot load '.*model': .*{message}"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", ["rnn.fastrnn", "rnn.h5", "rnn.keras"])
def test_a_model_can_be_loaded_without_its_compilation(tmp_path: Path, name: str) -> None:
    if name != "rnn.fastrnn":
        pytest.importorskip("h5py")
    path, x = tmp_path / name, np.random.default_rng(0).standard_normal((6, 5, 3))
    model = Sequential([LSTM(4, input_shape=(5, 3), seed=1), Dense(2, activation="softmax", seed=2)])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(x, np.eye(2)[[0, 1, 0, 1, 0, 1]])
    model.save(path)
    loaded = load_model(path, compile=False)
    assert loaded.optimizer is None and loaded.loss is None and loaded.metrics == [] and same_bits(loaded, model)
    with pytest.raises(RuntimeError, match="is not compiled"):
        loaded.fit(x, x)
    loaded.compile("sgd", "mse")
    assert load_model(path).optimizer is not None


def test_without_its_compilation_what_is_not_registered_here_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "model"
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 3)), np.ones(2))
    model.save(path)
    content, arrays = saving.read(path)
    content["compiled"]["optimizer"]["class"] = content["compiled"]["loss"]["class"] = "theirs"
    saving.write(path, content, arrays)
    with pytest.raises(ValueError, match=r"cannot load .*must be one of"):
        load_model(path)
    assert same_bits(load_model(path, compile=False), model)
    model.load_weights(path)
    saving.write(path, content, {**arrays, "other": np.zeros(3)})
    with pytest.raises(ValueError, match="nothing in the model takes other"):
        load_model(path, compile=False)


def test_a_declared_model_that_is_not_built_takes_no_memory(tmp_path: Path) -> None:
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse")
    model.save(tmp_path / "model")
    content, arrays = saving.read(tmp_path / "model")
    content["model"]["input_shape"] = None
    content["model"]["layers"][0]["config"]["units"] = 10**12
    saving.write(tmp_path / "model", content, {name: arrays[name] for name in arrays if "weights" not in name})
    with pytest.raises(ValueError, match="its first layer declares an input, but it is not built"):
        load_model(tmp_path / "model")


def test_files_of_keras_by_their_ending(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    model = Sequential([LSTM(4, input_shape=(5, 3), seed=1), Dense(2, activation="softmax", seed=2)])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    x = np.random.default_rng(0).standard_normal((6, 5, 3))
    for ending in ("h5", "hdf5", "keras"):
        model.save(tmp_path / f"rnn.{ending}")
        loaded = load_model(tmp_path / f"rnn.{ending}")
        assert loaded.predict(x, verbose=0).tobytes() == model.predict(x, verbose=0).tobytes()
        assert type(loaded.loss) is type(model.loss) and type(loaded.optimizer) is type(model.optimizer)
        with pytest.raises(ValueError, match="state must be None for a file of Keras's"):
            model.save(tmp_path / f"rnn.{ending}", state={"epoch": 3})
    model.save_weights(tmp_path / "weights.h5")
    other = Sequential([LSTM(4), Dense(2)])
    other.load_weights(tmp_path / "weights.h5")
    assert same_bits(model, other)


def test_layers_by_name_and_place() -> None:
    model = Sequential([LSTM(2, name="reader"), Dense(1)])
    assert model.get_layer("reader") is model.get_layer(index=0) is model.layers[0]
    with pytest.raises(ValueError, match="name must be one of reader, dense, got 'read'; did you mean 'reader'"):
        model.get_layer("read")
    with pytest.raises(ValueError, match="index must be below the 2 layers, got 2"):
        model.get_layer(index=2)
    with pytest.raises(ValueError, match="either name or index must be given, got None and None"):
        model.get_layer()
