"""Keras's files: what Keras wrote is read to its own figures, what is written is what Keras writes, hostile ones raise.

The models in data/keras_files.tar.xz are Keras's (data/make_keras_files.py wrote them), of release 2 and of release 3.
With FASTRNN_KERAS_PYTHON, a Python that has Keras, it is Keras itself that reads what is written here.
"""

from __future__ import annotations

import builtins
import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import layers as L
from fastrnn import losses, metrics, optimizers, schedules
from fastrnn.initializers import RandomNormal
from fastrnn.models import Sequential, load_model
from fastrnn.regularizers import L1, L1L2

h5py = pytest.importorskip("h5py")

from fastrnn.io import hdf5, keras_config, keras_h5  # noqa: E402

NAMES = ("every_layer", "masked", "backwards", "stateful", "sparse")
FILES = [
    *(f"{name}_{version}.{ending}" for name in NAMES for version in (2, 3) for ending in ("h5", "keras")),
    "old_optimizer_2.h5",
    "old_optimizer_2.keras",
]

# two programs, float32, sums of at most 32 terms in another order; observed up to 4e-7
CLOSE = {"rtol": 1e-5, "atol": 2e-6}


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    with tarfile.open(Path(__file__).parent / "data" / "keras_files.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def figures(keras_files: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(keras_files / f"{name.split('.')[0]}.npz") as file:
        return dict(file)


def predicted(model: Sequential, x: np.ndarray) -> np.ndarray:
    model.reset_states()
    return model.predict(x, batch_size=len(x), verbose=0)


# ---- what Keras wrote


@pytest.mark.parametrize("name", FILES)
def test_a_model_of_keras_predicts_what_it_did(keras_files: Path, name: str) -> None:
    known = figures(keras_files, name)
    model = load_model(keras_files / name)
    assert model.name == name.rsplit("_", 1)[0]
    np.testing.assert_allclose(predicted(model, known["x"]), known["y_pred"], **CLOSE)


@pytest.mark.parametrize("name", FILES)
def test_it_is_compiled_as_it_was(keras_files: Path, name: str) -> None:
    known = figures(keras_files, name)
    model = load_model(keras_files / name)
    results = model.evaluate(known["x"], known["y"], batch_size=8, verbose=0, return_dict=True)
    assert results.keys() == {key.removeprefix("result_") for key in known if key.startswith("result_")}
    for key, value in results.items():
        np.testing.assert_allclose(value, known[f"result_{key}"], **CLOSE, err_msg=key)


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith(("every", "masked"))])  # they drop out
def test_training_goes_on_as_in_keras(keras_files: Path, name: str) -> None:
    known = figures(keras_files, name)
    model = load_model(keras_files / name)
    assert model.optimizer is not None
    if name == "old_optimizer_2.keras":  # such an archive has no slots of the optimizers before Keras 2.11
        assert model.optimizer.iterations == 0
        return
    assert model.optimizer.iterations == 3
    model.fit(known["x"], known["y"], batch_size=8, epochs=2, shuffle=False, verbose=0)
    model.reset_states()
    np.testing.assert_allclose(
        model.evaluate(known["x"], known["y"], 8, 0, return_dict=True)["loss"], known["later"], 1e-5
    )


def test_the_slots_of_all_optimizers_are_taken(keras_files: Path) -> None:
    for name, slots in {"every_layer_3.h5": 2, "masked_2.h5": 3, "masked_3.keras": 3, "stateful_3.h5": 1}.items():
        model = load_model(keras_files / name)
        assert model.optimizer is not None
        state = model.optimizer.get_state()
        assert len(state) == 2 + slots * len(model.variables), name
        assert all(np.any(value) for value in state.values()), name


def test_what_of_a_layer_shows_in_training_alone_is_taken(keras_files: Path) -> None:
    for version, ending in itertools.product((2, 3), ("h5", "keras")):
        model = load_model(keras_files / f"masked_{version}.{ending}")
        words, lstm, _, both, dense = model.layers
        assert isinstance(words, L.Embedding) and isinstance(both, L.Bidirectional) and words.name == "words"
        config = lstm.get_config()["kernel_regularizer"]
        assert config["class"] == "l1" and config["config"]["l1"] == pytest.approx(0.02)
        assert [v.regularizer is not None for v in words.variables + dense.variables] == [True, False, True]
        assert both.forward_layer.dropout == both.backward_layer.dropout == pytest.approx(0.2)
        model = load_model(keras_files / f"backwards_{version}.{ending}")
        assert model.layers[7].get_config()["kernel_initializer"]["config"]["seed"] == 3
        assert model.layers[5].get_config()["kernel_initializer"]["class"] == "he_normal"


def test_without_its_compilation(keras_files: Path) -> None:
    model = keras_h5.load(keras_files / "masked_3.h5", compile=False)
    assert model.optimizer is None and model.loss is None and model.built


# ---- what is written is what Keras writes


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_arrays_stand_at_the_same_places(keras_files: Path, tmp_path: Path, name: str, ending: str) -> None:
    load_model(keras_files / f"{name}_3.{ending}").save(tmp_path / f"again.{ending}")
    with opened(keras_files / f"{name}_3.{ending}") as theirs, opened(tmp_path / f"again.{ending}") as ours:
        for group in ("model_weights", "layers"):
            if group in theirs.groups:
                places = {path for path in theirs.arrays if path.startswith(group + "/")}
                assert places == {path for path in ours.arrays if path.startswith(group + "/")} and places
                for path in places:
                    np.testing.assert_array_equal(ours.array(path), theirs.array(path), err_msg=path)
        slots = [slot_arrays(tree) for tree in (theirs, ours)]
        for one, other in zip(*slots, strict=True):
            np.testing.assert_allclose(one, other, rtol=3e-7)  # Adam's are scaled here: two roundings
        if ending == "h5":
            for path in theirs.groups:
                if path.startswith("model_weights/") and "weight_names" in theirs.groups[path].attrs:
                    if not path.endswith("top_level_model_weights"):
                        assert ours.names(path, "weight_names") == theirs.names(path, "weight_names")
            assert ours.names("model_weights", "layer_names") == theirs.names("model_weights", "layer_names")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_are_told(keras_files: Path, tmp_path: Path, name: str) -> None:
    load_model(keras_files / f"{name}_3.h5").save(tmp_path / "again.h5")
    with opened(keras_files / f"{name}_3.h5") as theirs, opened(tmp_path / "again.h5") as ours:
        texts = [json.loads(tree.text("", "model_config") or "") for tree in (theirs, ours)]
        compiled = [json.loads(tree.text("", "training_config") or "") for tree in (theirs, ours)]
    for one, other in zip(*(text["config"]["layers"] for text in texts), strict=True):
        if one["class_name"] == "InputLayer":
            assert other["config"]["batch_input_shape"] == one["config"]["batch_shape"]
        else:
            same_object(one, other)
    same_object(compiled[0]["optimizer_config"], compiled[1]["optimizer_config"])
    if isinstance(compiled[1]["loss"], dict):
        same_object(compiled[0]["loss"], compiled[1]["loss"])
    assert len(compiled[0]["metrics"] or []) == len(compiled[1]["metrics"])


def same_object(theirs: Any, ours: Any) -> None:
    """All that we say of an object, Keras says as well; what it says beside has its default there."""
    assert ours["class_name"] == theirs["class_name"]
    for key, value in ours["config"].items():
        known = theirs["config"].get(key)
        if key == "dtype" and isinstance(known, dict):
            known = known["config"]["name"]
        if isinstance(value, dict):
            same_object(known, value)
        elif (ours["class_name"], key) != ("Bidirectional", "name"):
            assert value == pytest.approx(known) if isinstance(value, float) else value == known, (key, value, known)


def opened(path: Path) -> Any:
    data = path.read_bytes()
    if path.suffix == ".keras":
        data = zipfile.ZipFile(io.BytesIO(data)).read("model.weights.h5")
    return hdf5.reading(data)


def slot_arrays(tree: hdf5.Tree) -> list[np.ndarray]:
    if "optimizer_weights" in tree.groups:
        return [tree.array(f"optimizer_weights/{name}") for name in tree.names("optimizer_weights", "weight_names")]
    count = sum(path.startswith("optimizer/vars/") for path in tree.arrays)
    return [tree.array(f"optimizer/vars/{number}") for number in range(count)]


# ---- models of our own, there and back


def models() -> dict[str, tuple[Sequential, np.ndarray, np.ndarray]]:
    """Every layer that Keras has too, in models with an input and a target for each."""
    rng = np.random.default_rng(3)

    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    made: dict[str, tuple[Sequential, np.ndarray, np.ndarray]] = {}

    def add(name: str, layers: list[L.Layer], x: np.ndarray, y: np.ndarray, *compiled: Any) -> None:
        model = Sequential(layers, name)
        model.compile(*compiled)
        model.predict(x, verbose=0, batch_size=len(x))
        model.set_weights([0.4 * rng.standard_normal(w.shape) for w in model.get_weights()])
        made[name] = model, x, y

    words = rng.integers(1, 30, (6, 8))
    words[0, :3] = words[1, 5:] = words[2, 2:4] = words[3] = 0
    add(
        "reviews",
        [
            L.Embedding(30, 4, mask_zero=True, input_length=8),
            L.SpatialDropout1D(0.2, seed=3),
            L.LSTM(5, dropout=0.1, return_sequences=True),
            L.GRU(3),
            L.Dense(1, activation="sigmoid"),
        ],
        words,
        rng.integers(0, 2, (6, 1)),
        "rmsprop",
        "binary_crossentropy",
        ["acc", metrics.AUC(), metrics.Precision(), metrics.Recall(thresholds=0.4), metrics.BinaryAccuracy("bin", 0.4)],
        ["mse"],
    )
    activations = ("relu", "tanh", "hard_sigmoid", "softplus", "elu", "selu", "gelu", "linear", "softmax")
    add(
        "dense",
        [L.Flatten(), *(L.Dense(6, activation=name, use_bias=name != "tanh") for name in activations)],
        numbers(6, 2, 3),
        np.eye(6, dtype=np.float32),
        optimizers.SGD(schedules.PiecewiseConstantDecay([5, 9], [0.1, 0.05, 0.01]), momentum=0.8),
        losses.CategoricalCrossentropy(label_smoothing=0.2),
        ["accuracy", "categorical_crossentropy", "mae"],
    )
    steps = numbers(6, 7, 3)
    steps[0, 2:4] = steps[1, :2] = steps[2, 6] = 0.25
    for merge in ("concat", "sum", "mul", "ave"):
        add(
            f"both_{merge}",
            [
                L.Masking(0.25),
                L.Bidirectional(L.SimpleRNN(3, activation="relu", return_sequences=True), merge),
                L.LayerNormalization(center=merge != "sum", scale=merge != "mul", epsilon=0.1),
                L.Bidirectional(L.LSTM(2), merge),
                L.RepeatVector(3),
                L.TimeDistributed(L.Dense(2, activation="tanh")),
                L.Reshape((-1,)),
                L.Activation("elu"),
            ],
            steps,
            numbers(6, 6),
            "adagrad",
            losses.Huber(0.5),
        )
    add(
        "stack",
        [
            L.LSTM(4, num_layers=2, bidirectional=True, return_sequences=True, dropout=0.1),
            L.GRU(3, num_layers=3, return_sequences=True, go_backwards=True),
            L.SimpleRNN(2, bidirectional=True, use_bias=False),
            L.Dense(1),
        ],
        numbers(6, 5, 3),
        numbers(6, 1),
        optimizers.AdamW(0.01, weight_decay=0.1, clipnorm=2.0),
        "msle",
    )
    add(
        "states",
        [
            L.GRU(3, stateful=True, return_sequences=True, batch_input_shape=(6, 5, 3)),
            L.SimpleRNN(2, stateful=True, activation="linear", go_backwards=True),
        ],
        numbers(6, 5, 3),
        numbers(6, 2),
        optimizers.RMSprop(0.01, momentum=0.3, global_clipnorm=1.0),
        "mape",
        [metrics.RootMeanSquaredError()],
    )
    add(
        "penalized",
        [
            L.LSTM(
                4,
                kernel_regularizer="l2",
                recurrent_regularizer=L1(0.3),
                bias_regularizer=L1L2(0.1, 0.2),
                kernel_initializer=RandomNormal(stddev=0.3, seed=4),
                unit_forget_bias=False,
                return_sequences=True,
            ),
            L.Dense(3, kernel_regularizer="l1_l2"),
        ],
        numbers(6, 5, 3),
        rng.integers(0, 3, (6, 5)),
        optimizers.Adam(schedules.CosineDecay(0.1, 100, warmup_target=0.3, warmup_steps=5), clipvalue=0.5),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        ["accuracy", "sparse_categorical_crossentropy"],
    )
    add(
        "hinge",
        [L.Dense(1, activation="tanh")],
        numbers(6, 3),
        rng.choice([-1.0, 1.0], (6, 1)),
        "adam",
        "hinge",
        ["mse"],
    )
    return made


MODELS = models()


@pytest.mark.parametrize("ending", ["h5", "hdf5", "keras"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(tmp_path: Path, name: str, ending: str) -> None:
    model, x, y = models()[name]
    model.fit(x, y, batch_size=6, epochs=3, verbose=0)
    expected = predicted(model, x)
    model.save(tmp_path / f"model.{ending}")
    back = load_model(tmp_path / f"model.{ending}")
    np.testing.assert_array_equal(predicted(back, x), expected)
    for one, other in zip(model.variables, back.variables, strict=True):
        np.testing.assert_array_equal(one.value, other.value)
        assert (one.regularizer is None) == (other.regularizer is None)
    assert model.optimizer is not None and back.optimizer is not None
    states = model.optimizer.get_state(), back.optimizer.get_state()
    for key in states[1]:
        if key in states[0]:
            np.testing.assert_allclose(states[1][key], states[0][key], rtol=3e-7, err_msg=key)
    assert set(states[1]) == set(states[0])
    assert [m.get_config() for m in model.metrics] == [m.get_config() for m in back.metrics]
    assert [m.name for m in model.weighted_metrics] == [m.name for m in back.weighted_metrics]
    assert repr(model.loss) == repr(back.loss) and repr(model.optimizer) == repr(back.optimizer)
    model.reset_states()
    back.reset_states()
    if name not in ("reviews", "stack"):  # other dropout
        assert back.train_on_batch(x, y) == pytest.approx(model.train_on_batch(x, y), rel=1e-6)
        np.testing.assert_allclose(predicted(back, x), predicted(model, x), rtol=1e-5, atol=1e-6)


def test_a_stack_becomes_layers_of_keras(tmp_path: Path) -> None:
    model, _, _ = MODELS["stack"]
    model.save(tmp_path / "stack.h5")
    names = [layer.name for layer in load_model(tmp_path / "stack.h5").layers]
    assert names == ["lstm_level0", "lstm_level1", "gru_level0", "gru_level1", "gru_level2", "simple_rnn", "dense"]


def test_float64_stays(tmp_path: Path) -> None:
    model = Sequential([L.Bidirectional(L.LSTM(3, dtype="float64")), L.Dense(2, dtype="float64")])
    x = np.random.default_rng(0).standard_normal((4, 5, 3))
    expected = model(x)
    model.save(tmp_path / "model.keras")
    back = load_model(tmp_path / "model.keras")
    assert back(x).dtype == np.float64 and back.optimizer is None
    np.testing.assert_array_equal(back(x), expected)


def test_a_table_trained_by_rows_is_written_as_if_by_the_whole(tmp_path: Path) -> None:
    x = np.array([[1, 2], [3, 4]])
    made = []
    for rows in (20, 5):  # of the larger table, few rows are used: their slots alone are kept up
        model = Sequential([L.Embedding(rows, 2, seed=1), L.Flatten(), L.Dense(1, seed=2)])
        model.compile("rmsprop", "mse")
        model(x)
        table = np.zeros((rows, 2), np.float32)
        table[:5] = np.arange(10).reshape(5, 2) / 10
        model.layers[0].set_weights([table])
        for batch in (x, x[:1] * 0 + 1, x[:1] * 0 + 2):
            model.train_on_batch(batch, np.ones((len(batch), 1)))
        model.save(tmp_path / "model.h5")
        with opened(tmp_path / "model.h5") as tree:
            made.append(slot_arrays(tree)[2][:5])
    np.testing.assert_allclose(*made, rtol=1e-6)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for ending in ("h5", "keras"):
        for name in ("one", "two"):
            MODELS["reviews"][0].save(tmp_path / f"{name}.{ending}")
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_more_names_than_an_attribute_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, _ = MODELS["both_concat"]
    monkeypatch.setattr(keras_h5, "MOST_NAMES", 2)
    model.save(tmp_path / "model.h5")
    with opened(tmp_path / "model.h5") as tree:
        assert "layer_names3" in tree.groups["model_weights"].attrs
        assert tree.names("model_weights", "layer_names") == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(predicted(load_model(tmp_path / "model.h5"), x), predicted(model, x))


# ---- Keras itself

KERAS_READS = """
import importlib, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import numpy as np
keras, folder = importlib.import_module(sys.argv[1]), sys.argv[2]
for name in sys.argv[3:]:
    with np.load(os.path.join(folder, name.rsplit(".", 1)[0] + ".npz")) as known:
        x, y = known["x"], known["y"]
    # Keras 2 does not find its own AdamW by name
    model = keras.models.load_model(os.path.join(folder, name), compile=sys.argv[1] == "keras")
    found = {"y_pred": model.predict(x, batch_size=len(x), verbose=0)}
    if sys.argv[1] == "keras":
        for layer in model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_states() if hasattr(layer, "reset_states") else layer.reset_state()
        results = model.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)
        found |= {"result_" + key: value for key, value in results.items()}
        found["iterations"] = int(model.optimizer.iterations)
        for layer in model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_states() if hasattr(layer, "reset_states") else layer.reset_state()
        if name.endswith(".keras"):  # of an .h5, Keras 3 takes the optimizer's slots for zeros
            model.fit(x, y, batch_size=len(x), epochs=1, verbose=0, shuffle=False)
            found["after"] = np.concatenate([np.ravel(w) for w in model.get_weights()])
    np.savez(os.path.join(folder, "read_" + name + ".npz"), **found)
"""


@pytest.mark.parametrize(("package", "ending"), [("keras", "h5"), ("keras", "keras"), ("tf_keras", "h5")])
def test_keras_reads_what_is_written(tmp_path: Path, package: str, ending: str) -> None:
    python = os.environ.get("FASTRNN_KERAS_PYTHON")
    if not python:
        pytest.skip("FASTRNN_KERAS_PYTHON names no Python that has Keras")
    here = models()
    if package == "tf_keras":  # hard_sigmoid was another one in Keras 2
        del here["dense"]
    for name, (model, x, y) in here.items():
        model.fit(x, y, batch_size=6, epochs=2, verbose=0, shuffle=False)
        model.reset_states()
        model.save(tmp_path / f"{name}.{ending}")
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
    files = [f"{name}.{ending}" for name in here]
    command = [python, "-c", KERAS_READS, package, str(tmp_path), *files]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    for name, (model, x, y) in here.items():
        with np.load(tmp_path / f"read_{name}.{ending}.npz") as file:
            found = dict(file)
        np.testing.assert_allclose(found.pop("y_pred"), predicted(model, x), **CLOSE, err_msg=name)
        if package == "tf_keras":
            continue
        assert model.optimizer is not None and found.pop("iterations") == model.optimizer.iterations
        model.reset_states()
        after = found.pop("after", None)
        results = model.evaluate(x, y, batch_size=6, verbose=0, return_dict=True)
        assert {f"result_{key}" for key in results} == set(found), name
        for key, value in results.items():
            np.testing.assert_allclose(value, found[f"result_{key}"], **CLOSE, err_msg=f"{name} {key}")
        if after is not None and name not in ("reviews", "stack"):  # these drop out
            model.reset_states()
            model.fit(x, y, batch_size=6, epochs=1, verbose=0, shuffle=False)
            weights = np.concatenate([w.ravel() for w in model.get_weights()])
            np.testing.assert_allclose(weights, after, rtol=1e-4, atol=2e-5, err_msg=name)


# ---- older and other forms


def edited(path: Path, to: Path, edit: Callable[[Any], None]) -> Path:
    """A copy of an HDF5 file with a change."""
    to.write_bytes(path.read_bytes())
    with h5py.File(to, "r+") as file:
        edit(file)
    return to


def retold(attribute: str, change: Callable[[Any], Any]) -> Callable[[Any], None]:
    """The change of a JSON text."""

    def edit(file: Any) -> None:
        value = json.loads(file.attrs[attribute])
        file.attrs[attribute] = json.dumps(change(value) or value)

    return edit


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A little file of ours."""
    model = Sequential([L.GRU(3, return_sequences=True, input_shape=(4, 2)), L.LSTM(2), L.Dense(2, activation="relu")])
    model.compile("adam", "mse", ["acc"])
    rng = np.random.default_rng(0)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    model.fit(rng.standard_normal((4, 4, 2)), rng.standard_normal((4, 2)), verbose=0)
    model.save(tmp_path / "small.h5")
    return tmp_path / "small.h5"


X = np.random.default_rng(1).standard_normal((3, 4, 2)).astype(np.float32)


def as_in_2017(file: Any) -> None:
    """A list of layers, the shape at the first one, lr, texts of bytes, slots in groups, amsgrad's single numbers."""

    def model(value: Any) -> Any:
        (_, *layers) = value["config"]["layers"]
        layers[0]["config"] |= {"batch_input_shape": [None, 4, 2], "implementation": 2}
        value["config"] = layers

    def training(value: Any) -> None:
        config = value["optimizer_config"]["config"]
        config |= {"lr": config.pop("learning_rate"), "decay": 0.0, "amsgrad": False, "epsilon": 1e-7}
        value |= {
            "sample_weight_mode": None,
            "metrics": ["acc"],
            "loss": "mean_squared_error",
            "weighted_metrics": None,
        }

    retold("model_config", model)(file)
    retold("training_config", training)(file)
    group = file["model_weights"]
    for each in (file, group):
        each.attrs["keras_version"] = np.bytes_(b"2.1.2")
    file.attrs["model_config"] = np.bytes_(file.attrs["model_config"].encode())
    group.attrs["layer_names"] = np.array([name.encode() for name in group.attrs["layer_names"]])
    group = file["optimizer_weights"]
    first, _, *slots = group.attrs["weight_names"]
    del group.attrs["weight_names"]
    for number in range(len(slots) // 2):
        group[f"vhat/{number}"] = np.zeros(1, np.float32)
    vhats = [f"vhat/{number}" for number in range(len(slots) // 2)]
    group.attrs["weight_names"] = np.array([name.encode() for name in (first, *slots[::2], *slots[1::2], *vhats)])


def test_a_file_as_keras_wrote_it_in_2017(small: Path, tmp_path: Path) -> None:
    old = load_model(edited(small, tmp_path / "old.h5", as_in_2017))
    new = load_model(small)
    np.testing.assert_array_equal(old(X), new(X))
    assert old.optimizer is not None and new.optimizer is not None and old.metrics_names == ["loss", "acc"]
    for key, value in new.optimizer.get_state().items():
        np.testing.assert_array_equal(old.optimizer.get_state()[key], value)


def test_slots_of_another_optimizer_are_left_out_with_a_warning(small: Path, tmp_path: Path) -> None:
    def edit(file: Any) -> None:
        group = file["optimizer_weights"]
        group.attrs["weight_names"] = list(group.attrs["weight_names"])[:-3]

    with pytest.warns(UserWarning, match="its state begins anew"):
        model = load_model(edited(small, tmp_path / "odd.h5", edit))
    assert model.optimizer is not None and model.optimizer.iterations == 0
    np.testing.assert_array_equal(model(X), load_model(small)(X))


def test_an_sgd_without_momentum_had_slots_once(tmp_path: Path) -> None:
    model = Sequential([L.Dense(2, input_shape=(3,))])
    model.compile("sgd", "mse")
    model.save(tmp_path / "new.h5")

    def edit(file: Any) -> None:
        group = file["optimizer_weights"]
        group["a"], group["b"] = np.zeros((3, 2)), np.zeros(2)
        group.attrs["weight_names"] = [*group.attrs["weight_names"], "a", "b"]

    assert load_model(edited(tmp_path / "new.h5", tmp_path / "old.h5", edit)).optimizer is not None


def test_layers_for_graphics_processors(small: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)

    def edit(file: Any) -> None:
        def change(value: Any) -> None:
            for layer in value["config"]["layers"][1:3]:
                layer["class_name"] = f"CuDNN{layer['class_name']}"
                names = "activation recurrent_activation reset_after dropout zero_output_for_mask use_bias"
                layer["config"] = {k: v for k, v in layer["config"].items() if k not in names.split()}

        retold("model_config", change)(file)
        for name, gates in (("gru", 3), ("lstm", 4)):
            group = file[f"model_weights/{name}"]
            kernel, recurrent_kernel, bias = (group[path] for path in group.attrs["weight_names"])
            # W of a gate lies transposed in memory, R is transposed; cuDNN adds two biases
            parts = [np.ascontiguousarray(part.T).reshape(part.shape) for part in np.hsplit(kernel[()], gates)]
            kernel[...] = np.hstack(parts)
            recurrent_kernel[...] = np.hstack([part.T for part in np.hsplit(recurrent_kernel[()], gates)])
            half = rng.standard_normal(bias.shape) if gates == 4 else None
            both = bias[()].ravel() if half is None else np.concatenate([half, bias[()] - half])
            place = bias.name
            del file[place]
            file[place] = both.astype(np.float32)

    path = edited(small, tmp_path / "cudnn.h5", edit)
    np.testing.assert_allclose(keras_h5.load(path, compile=False)(X), load_model(small)(X), rtol=1e-5, atol=1e-6)


def test_backslashes_of_windows(keras_files: Path, tmp_path: Path) -> None:
    known = figures(keras_files, "every_layer_2.keras")
    for root in ("layers", "_layer_checkpoint_dependencies"):
        buffer = io.BytesIO()
        with opened(keras_files / "every_layer_2.keras") as tree, h5py.File(buffer, "w") as file:
            for path in tree.arrays:
                group, name = path.replace("layers/", f"{root}/").split("/vars/")
                file.require_group(group.replace("/", "\\")).require_group("vars")[name] = tree.array(path)
        path = archived(keras_files / "every_layer_2.keras", tmp_path / "windows.keras", **{"model.weights.h5": buffer})
        np.testing.assert_allclose(load_model(path)(known["x"]), known["y_pred"], **CLOSE)


def archived(path: Path, to: Path, compression: int = zipfile.ZIP_STORED, **changes: Any) -> Path:
    """A copy of an archive with other members; None leaves one out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w", compression) as new:
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content.getvalue() if isinstance(content, io.BytesIO) else content)
    return to


# ---- what there is not here


def first_layer(**changes: Any) -> Callable[[Any], None]:
    return lambda value: value["config"]["layers"][1]["config"].update(changes)


def object_of(module: str, class_name: str, registered: str | None = None, **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered}


def put(*path: Any) -> Callable[[Any], None]:
    """value[path[0]][path[1]] ... = path[-1]."""

    def change(value: Any) -> None:
        for key in path[:-2]:
            value = value[key]
        value[path[-2]] = path[-1]

    return change


def without_shape(value: Any) -> None:
    value["config"]["layers"][0]["config"]["batch_input_shape"] = value["config"]["build_input_shape"] = None


LAMBDA = object_of("keras.layers", "Lambda", name="evil", function=["cGlja2xl", None, None])
FIRST = ("config", "layers", 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(*FIRST, LAMBDA), "layer 'evil' is of class Lambda, which is none of Activation, Bidirectional"),
        (put(*FIRST, object_of("keras.layers", "Conv1D", name="c", filters=3)), "layer 'c' is of class Conv1D"),
        (put(*FIRST, object_of("my.layers", "GRU", units=3)), "a layer is of class GRU of my.layers, which is not Ker"),
        (put(*FIRST, object_of("keras.layers", "GRU", "my>GRU", units=3)), "not Keras's own"),
        (put(*FIRST, object_of("keras_hub.layers", "GRU", units=3)), "not Keras's own"),
        (put(*FIRST, "GRU"), "a layer must be an object with a class, got 'GRU'"),
        (put(*FIRST, {"class_name": "GRU", "config": 3}), "must have arguments by name, got 3"),
        (put("class_name", "Functional"), "its model is of class Functional, and only a Sequential is read"),
        (put("config", "layers", []), "its model has no layers"),
        (put("config", "layers", [{"class_name": "InputLayer", "config": {}}] * 10_001), "more than 10000 layers"),
        (put("config", {}), "'layers' is missing"),
        (without_shape, "its model must say the shape of its input, got None"),
        (first_layer(reset_after=False), r"layer 'gru' of class GRU: .*reset_after.* must be True, got False"),
        (first_layer(recurrent_dropout=0.25), "recurrent_dropout of GRU must be 0.0, got 0.25"),
        (first_layer(activation="relu"), "layer 'gru' of class GRU: activation must be one of tanh"),
        (first_layer(activation=["tanh"]), "activation must be a name"),
        (first_layer(recurrent_activation="hard_sigmoid"), "recurrent_activation of GRU must be 'sigmoid', got 'hard_"),
        (first_layer(kernel_constraint=object_of("keras.constraints", "NonNeg")), "kernel_constraint of GRU must be"),
        (
            first_layer(kernel_regularizer=object_of("keras.regularizers", "OrthogonalRegularizer")),
            "which there is not",
        ),
        (first_layer(frobnicate=3, quantum="on", idle=None, off=False), "nothing for frobnicate=3, quantum='on'"),
        (first_layer(dtype="mixed_float16"), "dtype must be float32 or float64, got 'mixed_float16'"),
        (first_layer(dtype=object_of("keras", "DTypePolicy", name="bfloat16")), "float64, got 'bfloat16'"),
        (first_layer(num_threads=10**9), "nothing for num_threads=1000000000"),
        (first_layer(compute_dtype="bfloat16"), "nothing for compute_dtype='bfloat16'"),
        (first_layer(num_layers=10**9), "nothing for num_layers=1000000000"),
        (first_layer(units=10**12), "must be float32 of shape"),
        (first_layer(units="3"), "units must be a whole number, got '3'"),
        (first_layer(use_bias=False), "it has 3 weights for gru, which has 2"),
        (lambda value: value["config"]["layers"].pop(2) and None, "it has weights of 3 layers for 2"),
        (lambda value: [value], "the model must be an object with a class"),
    ],
)
def test_what_a_model_cannot_have(small: Path, tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    path = edited(small, tmp_path / "odd.h5", retold("model_config", change))
    with pytest.raises(ValueError, match=rf"(?s)cannot load '.*odd\.h5': .*{message}"):
        load_model(path)


def test_arguments_that_say_nothing_are_passed_over(small: Path, tmp_path: Path) -> None:
    idle = {"unroll": True, "implementation": 1, "new_in_keras_4": None, "sparse": False, "kernel_constraint": None}
    strange = object_of("keras.initializers", "STFT", side="real")  # nothing is drawn: the weights are there
    edit = retold("model_config", first_layer(**idle, kernel_initializer=strange, trainable=True, time_major=False))
    model = load_model(edited(small, tmp_path / "idle.h5", edit))
    np.testing.assert_array_equal(model(X), load_model(small)(X))


def test_what_keras_2_computed_otherwise(small: Path, tmp_path: Path) -> None:
    def edit(file: Any) -> None:
        retold("model_config", put("config", "layers", 3, "config", "activation", "hard_sigmoid"))(file)
        file["model_weights"].attrs["keras_version"] = "2.15.0"

    with pytest.raises(ValueError, match=r"layer 'dense' of class Dense: hard_sigmoid was 0.2 x \+ 0.5, .* in Keras 2"):
        load_model(edited(small, tmp_path / "odd.h5", edit))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("optimizer_config", "class_name", "Nadam"), "optimizer must be one of sgd"),
        (put("optimizer_config", "config", "amsgrad", True), "nothing for amsgrad=True"),
        (put("optimizer_config", "config", "decay", 0.1), "nothing for decay=0.1"),
        (put("optimizer_config", "config", "learning_rate", object_of("my", "Rate")), "not Keras's own"),
        (put("loss", "poisson"), "loss must be one of"),
        (put("loss", object_of("keras.losses", "Poisson")), "loss is of class Poisson, which there is not here"),
        (put("loss", object_of("keras.losses", "MeanSquaredError", reduction="sum")), "nothing for reduction='sum'"),
        (put("loss", None), "loss"),
        (put("loss", ["mse", "mse"]), "loss must be of one output"),
        (put("loss_weights", [0.5]), r"loss_weights must be none, got \[0.5\]"),
        (put("metrics", ["cosine_similarity"]), "metric"),
        (put("metrics", [object_of("keras.metrics", "AUC", curve="PR")]), "nothing for curve='PR'"),
        (put("metrics", [object_of("keras.metrics", "Accuracy")]), "compares for equality"),
        (put("metrics", [[object_of("my", "Metric")]]), "not Keras's own"),
    ],
)
def test_what_a_compilation_cannot_have(
    small: Path, tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    path = edited(small, tmp_path / "odd.h5", retold("training_config", change))
    with pytest.raises(ValueError, match=rf"(?s)cannot load '.*odd\.h5': .*{message}.*compile=False"):
        load_model(path)
    assert keras_h5.load(path, compile=False).built


def test_metrics_in_all_their_forms(small: Path, tmp_path: Path) -> None:
    def change(value: Any) -> None:
        value["metrics"] = [
            [
                "acc",
                object_of("keras.metrics", "MeanMetricWrapper", name="err", dtype="float32", fn="mean_squared_error"),
            ],
            object_of("builtins", "function", "mean_absolute_error") | {"config": "mean_absolute_error"},
            object_of("keras.metrics", "AUC", name="a/b", num_thresholds=7, label_weights=None),
        ]
        value["loss"] = {"dense": object_of("keras.losses", "Huber", name="huber_loss", reduction="auto", delta=2.0)}
        value["weighted_metrics"] = [["mse"]]

    model = load_model(edited(small, tmp_path / "odd.h5", retold("training_config", change)))
    assert model.metrics_names == ["loss", "acc", "err", "mean_absolute_error", "a_b", "mse"]
    assert repr(model.loss) == "Huber(delta=2.0)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.add(OwnLayer()), "own_layer is of class OwnLayer, which Keras does not have"),
        (lambda model: model.compile("adam", OwnLoss()), "OwnLoss is not one of .*, which Keras has"),
        (lambda model: model.compile("adam", "mse", [OwnMetric()]), "OwnMetric is not one of"),
        (lambda model: model.compile("adam", "mse", [metrics.Perplexity()]), "Perplexity, which Keras does not have"),
        (lambda model: model.compile("adam", "mse", [metrics.Precision(from_logits=True)]), "Precision of logits"),
        (
            lambda model: model.compile("adam", "mse", [metrics.BinaryAccuracy("b", 1.5, from_logits=True)]),
            "the threshold of b must be between 0 and 1, got 1.5",
        ),
        (lambda model: model.add(L.SimpleRNN(2, bidirectional=True, go_backwards=True)), "Keras has no such layer"),
        (lambda model: model.add(L.SimpleRNN(2, num_layers=2, return_state=True)), "cannot return one state"),
        (lambda model: model.add(L.LSTM(2, stateful=True)), "lstm is stateful, so that Keras must know the batch"),
        (
            lambda model: [model.add(L.LSTM(2, num_layers=2)), model.add(L.Dense(1, name="lstm_level1"))],
            "names of their",
        ),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, change: Callable[[Sequential], Any], message: str) -> None:
    model = Sequential([L.Dense(3, input_shape=(4, 2))])
    change(model)
    for ending in ("h5", "keras"):
        with pytest.raises(ValueError, match=message):
            model.save(tmp_path / f"model.{ending}")
    assert list(tmp_path.iterdir()) == []


class OwnLayer(L.Layer):
    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class OwnLoss(losses.MeanSquaredError):
    pass


class OwnMetric(metrics.MeanSquaredError):
    pass


def test_a_carried_state_tells_the_batch(tmp_path: Path) -> None:
    model = Sequential([L.LSTM(2, stateful=True)])
    model(X)
    model.save(tmp_path / "model.h5")
    assert load_model(tmp_path / "model.h5").layers[0].declared_shape == (3, 4, 2)


def test_a_model_without_weights_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sequential is not built: call it once before it is saved for Keras"):
        keras_h5.save(Sequential([L.Dense(2)]), tmp_path / "model.h5")


def test_logits_above_a_threshold(tmp_path: Path) -> None:
    model = Sequential([L.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse", [metrics.BinaryAccuracy("right", 0.3, from_logits=True)])
    model.save(tmp_path / "model.h5")
    (metric,) = load_model(tmp_path / "model.h5").metrics
    assert metric.get_config()["threshold"] == pytest.approx(np.log(0.3 / 0.7))


def test_the_folder_is_made_and_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "folder" / "rnn.hdf5"
    model = MODELS["hinge"][0]
    model.save(path)
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space left"):
            model.save(path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_without_h5py(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for act in (lambda: load_model(small), lambda: MODELS["hinge"][0].save(small)):
        with pytest.raises(ImportError, match=r'pip install "fastrnn\[hdf5\]"'):
            act()


# ---- hostile files


def external(file: Any) -> None:
    del file["model_weights/dense"]
    file["model_weights/dense"] = h5py.ExternalLink("/etc/passwd", "/")


def soft(file: Any) -> None:
    path = file["model_weights/dense"].attrs["weight_names"][0]
    del file[f"model_weights/dense/{path}"]
    file[f"model_weights/dense/{path}"] = h5py.SoftLink("/model_weights/lstm")


def twice(file: Any) -> None:
    file["model_weights/copy"] = file["model_weights/dense"]


def cycle(file: Any) -> None:
    file["model_weights/dense/up"] = file["model_weights"]


def deep(file: Any) -> None:
    file.create_group("/".join("a" * 40))


def named_type(file: Any) -> None:
    file["type"] = np.dtype("f4")


def replaced(file: Any, **options: Any) -> None:
    """The bias of the last layer, created anew."""
    path = "model_weights/dense/" + file["model_weights/dense"].attrs["weight_names"][1]
    del file[path]
    if "layout" in options:
        file.create_virtual_dataset(path, options["layout"])
    else:
        file.create_dataset(path, **options)


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2,))
    replaced(file, layout=layout)


def half_names(file: Any) -> None:
    file["model_weights"].attrs["layer_names"] = ["gru", "lstm", "absent"]


def pointer_names(file: Any) -> None:
    """A few bytes each that all stand for one long text."""
    file.attrs["long"] = "x" * 500_000
    file["model_weights"].attrs["layer_names"] = ["gru"] * 4000


HUGE = {"shape": (1 << 40,), "dtype": "f4", "chunks": (1 << 20,)}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (external, "'model_weights/dense' is a link to somewhere else"),
        (soft, "kernel' is a link to somewhere else"),
        (twice, "is there twice"),
        (cycle, "is there twice"),
        (deep, "nested more than 32 deep"),
        (named_type, "'type' is neither a group nor an array"),
        (virtual, "bias' lies in another file"),
        (lambda f: replaced(f, shape=(2,), dtype="f4", external=[("/etc/passwd", 0, 8)]), "lies in another file"),
        (lambda f: replaced(f, data=np.zeros(2, "f4"), compression="gzip"), "bias' is compressed"),
        (lambda f: replaced(f, data=np.zeros(2, "f4"), shuffle=True, chunks=(2,)), "bias' is compressed"),
        (lambda f: replaced(f, **HUGE), r"bias' has shape \(1099511627776,\), but not that many bytes"),
        (lambda f: replaced(f, shape=(1 << 18,), dtype="f4"), "but not that many bytes"),
        (lambda f: replaced(f, data=np.zeros(3, "f4")), r"of shape \(2,\), got float32 \(3,\)"),
        (lambda f: replaced(f, data=["a", "b"]), "must hold numbers, got object"),
        (lambda f: replaced(f, data=h5py.Empty("f4")), "must hold numbers"),
        (lambda f: replaced(f, data=np.zeros(2, complex)), "must hold numbers, got complex128"),
        (half_names, "the group 'model_weights/absent' is missing"),
        (pointer_names, "the attribute 'layer_names' may hold more than 268435456 bytes"),
        (lambda f: f["model_weights"].attrs.pop("layer_names"), "has no attribute 'layer_names'"),
        (lambda f: f["model_weights"].attrs.__setitem__("layer_names", "gru"), "must be a row of texts"),
        (lambda f: f["model_weights"].attrs.__setitem__("layer_names", [1, 2]), "must be text, got int64"),
        (lambda f: f.attrs.__setitem__("model_config", ["a", "b"]), "must be one text"),
        (lambda f: f.attrs.__setitem__("model_config", "{"), "Expecting property name"),
        (lambda f: f.attrs.__setitem__("model_config", "[" * 100_000), ""),
        (lambda f: f.attrs.__setitem__("model_config", np.bytes_(b"\xff\xfe{}")), "decode"),
        (lambda f: f.attrs.pop("model_config"), "no model_config: it may hold weights alone"),
        (lambda f: f.__delitem__("model_weights"), "the group 'model_weights' is missing"),
        (lambda f: f["model_weights"].attrs.__setitem__("keras_version", "1.2.2"), "it is of Keras 1.2.2"),
        (lambda f: f["model_weights"].attrs.__setitem__("keras_version", "4.0"), "those of Keras 2 and 3 are read"),
    ],
)
def test_a_hostile_file(small: Path, tmp_path: Path, edit: Callable[[Any], Any], message: str) -> None:
    path = edited(small, tmp_path / "evil.h5", edit)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"(?s)cannot load '.*evil\.h5': .*{message}"):
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 16 * path.stat().st_size + (1 << 21)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 8, 1 << 40])
def test_a_collection_of_texts_that_has_no_end(small: Path, tmp_path: Path, size: int) -> None:
    """With what is free in it of size 0, the library would walk over it for ever."""
    data = bytearray(small.read_bytes())
    here = data.index(hdf5.COLLECTION) + hdf5.HEAD
    while data[here : here + 2] != b"\0\0":
        length = int.from_bytes(data[here + 8 : here + 16], "little")
        here += 16 + -(-length // 8) * 8
    data[here + 8 : here + 16] = size.to_bytes(8, "little")
    (tmp_path / "evil.h5").write_bytes(data)
    with pytest.raises(ValueError, match=r"a collection of texts in it is damaged"):
        load_model(tmp_path / "evil.h5")


def test_a_collection_larger_than_the_file(small: Path, tmp_path: Path) -> None:
    data = bytearray(small.read_bytes())
    here = data.index(hdf5.COLLECTION)
    data[here + 8 : here + 16] = (1 << 50).to_bytes(8, "little")
    (tmp_path / "evil.h5").write_bytes(data)
    with pytest.raises(ValueError, match="a collection of texts in it is larger than the file"):
        load_model(tmp_path / "evil.h5")


def test_addresses_of_another_size(tmp_path: Path) -> None:
    plan = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    plan.set_sizes(4, 4)
    h5py.h5f.create(os.fsencode(tmp_path / "odd.h5"), fcpl=plan).close()
    with pytest.raises(ValueError, match="its addresses and sizes must have 8 bytes"):
        load_model(tmp_path / "odd.h5")


def test_these_files_are_sound_but_for_the_rule(small: Path, tmp_path: Path) -> None:
    """The refusals above are ours: without them these files are sound."""
    path = edited(small, tmp_path / "evil.h5", twice)
    with h5py.File(path) as file:
        assert file["model_weights/copy"] == file["model_weights/dense"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compression": zipfile.ZIP_DEFLATED}, "its members are larger than the file"),
        ({"config.json": None}, "There is no item named 'config.json'"),
        ({"metadata.json": None}, "metadata.json"),
        ({"model.weights.h5": None}, "model.weights.h5"),
        ({"model.weights.h5": b""}, "not a whole HDF5 file"),
        ({"model.weights.h5": b"PK" * 300}, "not a whole HDF5 file"),
        ({"config.json": b"[]"}, "the model must be an object with a class"),
        ({"metadata.json": b"{}"}, "'keras_version' is missing"),
        ({"metadata.json": b'{"keras_version": "1.0"}'}, "Keras 1.0"),
    ],
)
def test_a_hostile_archive(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    MODELS["hinge"][0].save(tmp_path / "sound.keras")
    path = archived(tmp_path / "sound.keras", tmp_path / "evil.keras", **changes)
    with pytest.raises(ValueError, match=rf"(?s)cannot load '.*evil\.keras': .*{message}"):
        load_model(path)


def test_one_compressed_member_is_refused(tmp_path: Path) -> None:
    MODELS["hinge"][0].save(tmp_path / "sound.keras")
    with zipfile.ZipFile(tmp_path / "sound.keras") as old, zipfile.ZipFile(tmp_path / "evil.keras", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED if name == "metadata.json" else zipfile.ZIP_STORED)
    with pytest.raises(ValueError, match=r"its member metadata\.json is compressed"):
        load_model(tmp_path / "evil.keras")


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_damage_anywhere_gives_one_clear_error_or_another_model(tmp_path: Path, ending: str) -> None:
    MODELS["hinge"][0].save(tmp_path / f"sound.{ending}")
    data, path = (tmp_path / f"sound.{ending}").read_bytes(), tmp_path / f"damaged.{ending}"
    rng = np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    for number in range(60):
        damaged = bytearray(data)
        if number % 3 == 0:
            del damaged[int(rng.integers(len(data))) :]
        else:
            for place in rng.integers(0, len(data), 20):
                damaged[place] = 255 if number % 3 == 1 else int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            load_model(path)
            outcomes["read"] += 1
        except ValueError as error:
            assert str(error).startswith(f"cannot load {str(path)!r}: ")
            outcomes["refused"] += 1
    assert outcomes["refused"] > 20, outcomes


def test_what_is_no_file_of_keras(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"cannot load '.*model\.h5': it is not a whole HDF5 file"):
        load_model(tmp_path / "model.h5")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "absent.keras")
    with pytest.raises(IsADirectoryError if os.name == "posix" else OSError):
        keras_h5.load(tmp_path)


def test_it_costs_nothing_to_import_the_package() -> None:
    code = "import sys, fastrnn; print([m for m in ('h5py', 'fastrnn.io', 'zipfile', 'inspect') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "h5py" not in run.stdout and "fastrnn.io" not in run.stdout


def test_every_layer_of_keras_is_in_the_registry() -> None:
    assert set(keras_config.LAYERS) <= set(L.LAYERS)
    used = {type(layer).__name__ for model, _, _ in MODELS.values() for layer in model.layers}
    assert used | {"Dropout"} >= set(keras_config.LAYERS)
