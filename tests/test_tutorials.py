"""The programs of the tutorials: Keras's import lines changed into ours, and nothing else but sizes and where data are.

The saved pages are no part of this package: FASTRNN_TUTORIALS names a folder that has them, and their own code is taken
out of the text around it and run. Three programs of their kind are here in any case.
"""

from __future__ import annotations

import ast
import io
import os
import re
import tarfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import utils
from fastrnn.layers import GRU, LSTM, SimpleRNN
from fastrnn.models import Sequential, load_model

# ---- small data


def archive_of_reviews(folder: Path, count: int = 30) -> Path:
    """An archive like aclImdb_v1.tar.gz: praise and blame have words of their own."""
    rng = np.random.default_rng(0)
    words = {"pos": ["great", "fine", "moving"], "neg": ["dull", "bad", "boring"], "both": ["a", "film", "the", "is"]}
    path = folder / "reviews.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for part in ("train", "test"):
            for number in range(count):
                for label, stars in (("pos", 9), ("neg", 2)):
                    text = " ".join(rng.choice(words[label] + words["both"], rng.integers(5, 40))).encode()
                    entry = tarfile.TarInfo(f"aclImdb/{part}/{label}/{number}_{stars}.txt")
                    entry.size = len(text)
                    archive.addfile(entry, io.BytesIO(text))
    return path


def table_of_prices(folder: Path, days: int = 150) -> Path:
    """Like the "Bitcoin Historical Data": a line for a stretch of time, some of them empty."""
    rng = np.random.default_rng(1)
    close = 300 * np.exp(np.cumsum(0.02 * rng.standard_normal(3 * days)))
    lines = ["Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price"]
    for number, price in enumerate(close):
        values = f"{price:.2f}" if number % 7 else "NaN"
        lines.append(f"{1325317920 + number * 28800},{values},{values},{values},{values},1.0,1.0,{values}")
    path = folder / "prices.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey pictures of 56 x 56, in three classes: a bright band at one of three heights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 60, (count, 56, 56))
    for image, label in zip(images, labels, strict=True):
        image[label * 18 : label * 18 + 18] += 180
    return images.astype(np.uint8), labels


# ---- code out of a page


def blocks(text: str) -> list[str]:
    """The stretches of a page that are Python.

    A line can be code if it is ASCII but for its strings and comments. A stretch of such lines is a block if it parses;
    one that does not is looked at again between its empty lines.
    """
    found: list[str] = []
    lines: list[str] = []
    for line in [*text.splitlines(), "—"]:
        if re.sub(r"\"[^\"]*\"|'[^']*'|#.*", "", line).isascii():
            lines.append(line)
            continue
        whole = parsed("\n".join(lines))
        parts = [whole] if whole is not None else map(parsed, re.split(r"\n\s*\n", "\n".join(lines)))
        found += [part for part in parts if part]
        lines = []
    return found


def parsed(text: str) -> str | None:
    """What acts in the text if it is Python; None if it is something else."""
    code = textwrap.dedent("\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return None
    # a word of prose alone is a name, and parses
    acts = [node for node in body if not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call)]
    lines = code.splitlines()
    return "\n".join(line for node in acts for line in lines[node.lineno - 1 : node.end_lineno])


def keras_program(text: str) -> list[str]:
    """The blocks from the first one that speaks of Keras on."""
    code = blocks(text)
    first = [number for number, block in enumerate(code) if re.search(r"\bkeras\b|\bnp_utils\b", block)]
    return code[first[0] :] if first else []


def ours(code: str, changes: dict[str, str]) -> str:
    """Other import lines, other data, other sizes; every change must have something to change."""
    code = re.sub(r"(?m)^from keras\b", "from fastrnn", code)
    for old, new in changes.items():
        assert re.search(old, code), f"nothing to change: {old}"
        code = re.sub(old, new, code)
    return code


def run(code: str, **given: Any) -> dict[str, Any]:
    """Run a program; what is left of it."""
    names: dict[str, Any] = {"__name__": "tutorial", **given}
    exec(compile(code, "tutorial", "exec"), names)
    return names


@pytest.fixture
def page() -> Callable[[str], list[str]]:
    """The program of the page that has a word."""
    folder = os.environ.get("FASTRNN_TUTORIALS")
    if not folder:
        pytest.skip("FASTRNN_TUTORIALS names no folder that has the saved pages of the tutorials")

    def program(word: str) -> list[str]:
        programs = [keras_program(path.read_text("utf-8")) for path in sorted(Path(folder).glob("*.txt"))]
        (found,) = [code for code in programs if any(word in block for block in code)]
        return found

    return program


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs leave their files here."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plots(monkeypatch: pytest.MonkeyPatch) -> Any:
    """pyplot, without a screen to show anything on."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown: list[int] = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(len(pyplot.get_fignums())))
    yield shown
    pyplot.close("all")


# ---- the pages' own programs


@pytest.mark.parametrize("cell", [SimpleRNN, LSTM, GRU])
def test_reviews_of_the_page(
    page: Callable[[str], list[str]], cell: Any, plots: Any, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, other, line = page("imdb.load_data")
    path = archive_of_reviews(place)
    changes = {r"imdb\.load_data\(": f"imdb.load_data({str(path)!r}, "}
    names: dict[str, Any] = {}
    if cell is SimpleRNN:
        names = run(ours(whole, changes))
        shown = capsys.readouterr().out
        assert "Total params: 322,113" in shown and shown.rstrip().endswith("None")
        assert plots == [2] and names["input_train"].shape == (60, 500)
    else:
        # the page has the data from above, and a line to put in the place of another
        data = whole[: whole.index("model = Sequential()")]
        change = {} if cell is LSTM else {r"model\.add\(LSTM\(32\)\)": line.strip()}
        names = run(ours(data, changes) + ours(other, change), LSTM=LSTM, GRU=GRU)
        assert isinstance(names["model"].layers[1], cell)
    history = names["history"].history
    assert set(history) == {"acc", "loss", "val_acc", "val_loss"}
    assert [len(values) for values in history.values()] == [10] * 4
    assert history["loss"][-1] < history["loss"][0]


def test_prices_of_the_page(page: Callable[[str], list[str]], plots: Any, place: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    path = table_of_prices(place)
    changes = {r"read_csv\(\"[^\"]*\"\)": f"read_csv({str(path)!r})", r"\bepochs=50\b": "epochs=2"}
    # the page's own import line forgets this one
    names = run(ours("\n".join(page("read_csv")), changes), SimpleRNN=SimpleRNN)
    assert names["x_train"].shape == (30, 60, 1) and plots == [1]
    assert names["predicted_data"].shape == (60, 1) and np.isfinite(names["predicted_data"]).all()
    reg = names["reg"]
    assert [type(layer).__name__ for layer in reg.layers] == ["SimpleRNN", "Dropout"] * 3 + ["Flatten", "Dense"]
    assert (place / names["save_path"]).exists()
    # it was loaded, compiled as it was: 30 windows, 1 step an epoch, 2 epochs
    assert reg.optimizer.iterations == 2 and reg.loss.name == "mean_squared_error"
    assert np.isfinite(reg.predict(names["x_test"], verbose=0)).all()


def test_pictures_of_the_page(
    page: Callable[[str], list[str]], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fastrnn.layers import Dense
    from fastrnn.optimizers import Adam

    x_test, labels = pictures(12, 2)
    x_test = x_test.reshape(12, 56, -1) / np.float32(255)  # "load the test data in the same way", the page says
    given = {
        "dealImage": lambda: pictures(40, 1),
        "dealTestImage": lambda: (x_test, utils.to_categorical(labels, num_classes=3)),
        "num_classes": 3,
        "data": x_test[:5],
        # what the page leaves to the reader to import
        "np_utils": utils,
        "Sequential": Sequential,
        "SimpleRNN": SimpleRNN,
        "Dense": Dense,
        "Adam": Adam,
        "load_model": load_model,
    }
    changes = {r"\bcell_size = 300\b": "cell_size = 24", r"\bepochs=20\b": "epochs=2"}
    code = ours("\n".join(page("np_utils")), changes)
    names = run(code, **given)
    model = names["model"]
    assert [layer.units for layer in model.layers] == [24, 24, 24, 24, 3]
    assert (place / "myfile" / "rnn.hdf5").exists()
    assert model.optimizer.learning_rate == pytest.approx(1e-4) and model.metrics_names == ["loss", "accuracy"]
    assert 0 <= names["accuracy"] <= 1 and names["loss"] > 0
    shown = capsys.readouterr().out.strip().splitlines()[-1]
    assert ast.literal_eval(shown.replace("np.int64(", "").replace(")", "")) == names["pred"].argmax(axis=1).tolist()
    # the loaded model evaluates as the saved one did
    assert model.evaluate(x_test, given["dealTestImage"]()[1], verbose=0) == pytest.approx(
        [names["loss"], names["accuracy"]], rel=1e-6
    )


def test_all_pages_with_keras_are_run(page: Callable[[str], list[str]]) -> None:
    folder = Path(os.environ["FASTRNN_TUTORIALS"])
    programs = [keras_program(path.read_text("utf-8")) for path in sorted(folder.glob("*.txt"))]
    assert sum(map(bool, programs)) == 3 and len(programs) == 5


def test_code_is_told_from_what_stands_around_it() -> None:
    text = """
标题
RNN
from keras.models import Sequential
# 注释
model = Sequential() # 模型

model.add(Dense(1,
  name='层'))
复制代码
def broken():
for row in rows:
pass
结果
1 to N

import torch
  • 点
    x = 1
    y = 2
"""
    first, other, last = blocks(text)
    assert first.splitlines()[0] == "from keras.models import Sequential" and first.endswith("name='层'))")
    assert (other, last) == ("import torch", "x = 1\ny = 2")
    assert keras_program(text) == [first, other, last]


# ---- programs of the same kind


REVIEWS = """
from keras.models import Sequential
from keras.layers import Dense, Embedding, {cell}
from keras.datasets import imdb
from keras.preprocessing import sequence
import matplotlib.pyplot as plt

words, length = 200, 60
(x, y), (x_test, y_test) = imdb.load_data(PATH, num_words=words)
print(len(x), "reviews to learn from,", len(x_test), "to test")
x = sequence.pad_sequences(x, maxlen=length)
x_test = sequence.pad_sequences(x_test, maxlen=length)

model = Sequential()
model.add(Embedding(words, 8))
model.add({cell}(8))
model.add(Dense(1, activation="sigmoid"))
model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["acc"])
history = model.fit(x, y, epochs=4, batch_size=8, validation_split=0.2)
print(model.summary())
test_loss, test_acc = model.evaluate(x_test, y_test)

epochs = range(1, len(history.history["acc"]) + 1)
for kind in ("acc", "loss"):
    plt.figure()
    plt.plot(epochs, history.history[kind], "bo", label="training " + kind)
    plt.plot(epochs, history.history["val_" + kind], "b", label="validation " + kind)
    plt.legend()
plt.show()
"""


@pytest.mark.parametrize("cell", ["SimpleRNN", "LSTM", "GRU"])
def test_a_program_for_reviews(cell: str, plots: Any, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(ours(REVIEWS.format(cell=cell), {"PATH": repr(str(archive_of_reviews(place)))}))
    assert set(names["history"].history) == {"acc", "loss", "val_acc", "val_loss"} and plots == [2]
    assert names["history"].history["loss"][-1] < names["history"].history["loss"][0]
    assert 0 <= names["test_acc"] <= 1
    shown = capsys.readouterr().out
    assert shown.startswith("60 reviews to learn from, 60 to test") and "Embedding" in shown


PRICES = """
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
from sklearn.metrics import mean_absolute_error
from sklearn.preprocessing import MinMaxScaler
from keras.models import Sequential, load_model
from keras.layers import Dense, Dropout, Flatten, GRU, LSTM, SimpleRNN

table = pd.read_csv(PATH)
table["day"] = pd.to_datetime(table["Timestamp"], unit="s").dt.date
close = table.groupby("day")["Close"].mean().to_numpy().reshape(-1, 1)
held, steps = 20, 15
scaler = MinMaxScaler(feature_range=(0, 1))
scaler.fit(close[:-held])
scaled = scaler.transform(close)
x = np.array([scaled[i - steps : i, 0] for i in range(steps, len(scaled))])
x, y = x.reshape(x.shape[0], x.shape[1], 1), scaled[steps:, 0]
x_train, y_train, x_test = x[:-held], y[:-held], x[-held:]

def forecast(model):
    model.compile(optimizer="adam", loss="mean_squared_error")
    model.fit(x_train, y_train, epochs=3, batch_size=32)
    return scaler.inverse_transform(model.predict(x_test))

mlp = Sequential()
mlp.add(Dense(16, input_shape=(x_train.shape[1], 1), activation="relu"))
mlp.add(Dense(8, activation="relu"))
mlp.add(Flatten())
mlp.add(Dense(1))
found = {"mlp": forecast(mlp)}
models = {"mlp": mlp}
for layer in (SimpleRNN, LSTM, GRU):
    options = {"activation": "relu"} if layer is SimpleRNN else {}
    rnn = Sequential()
    rnn.add(layer(12, return_sequences=True, input_shape=(x_train.shape[1], 1), **options))
    rnn.add(Dropout(0.25))
    rnn.add(layer(6, return_sequences=True, **options))
    rnn.add(Dropout(0.35))
    rnn.add(Flatten())
    rnn.add(Dense(1))
    name = layer.__name__
    found[name] = forecast(rnn)
    rnn.save(name + ".h5")
    models[name] = load_model(name + ".h5")
errors = {name: mean_absolute_error(close[-held:], value) for name, value in found.items()}

plt.figure(figsize=(8, 4), dpi=80, facecolor="w", edgecolor="k")
plt.plot(close[-held:], color="r", label="true")
for name, value in found.items():
    plt.plot(value, label=name)
plt.legend()
plt.grid(True)
plt.show()
"""


def test_a_program_for_prices(plots: Any, place: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    pytest.importorskip("h5py")
    names = run(ours(PRICES, {"PATH": repr(str(table_of_prices(place)))}))
    assert set(names["errors"]) == {"mlp", "SimpleRNN", "LSTM", "GRU"} and plots == [1]
    assert all(np.isfinite(list(names["errors"].values())))
    for name, model in names["models"].items():
        value = names["scaler"].inverse_transform(model.predict(names["x_test"], verbose=0))
        np.testing.assert_array_equal(value, names["found"][name], err_msg=name)


PICTURES = """
from keras.models import Sequential, load_model
from keras.layers import Dense, SimpleRNN
from keras.optimizers import Adam
from keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = DATA
x_train = x_train.reshape(x_train.shape[0], 56, -1).astype("float") / 255.0
x_test = x_test.reshape(x_test.shape[0], 56, -1).astype("float") / 255.0
y_train = to_categorical(y_train, num_classes=3)
y_test = to_categorical(y_test, num_classes=3)

model = Sequential()
model.add(SimpleRNN(units=20, activation="tanh", return_sequences=True, input_shape=(56, 56)))
model.add(SimpleRNN(units=20, return_sequences=True))
model.add(SimpleRNN(units=20))
model.add(Dense(3, activation="softmax"))
model.compile(optimizer=Adam(lr=1e-2), loss="categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=16, epochs=20)
loss, accuracy = model.evaluate(x_test, y_test)
model.save("files/pictures.hdf5")
again = load_model("files/pictures.hdf5")
found = [row.argmax() for row in again.predict(x_test)]
"""


def test_a_program_for_pictures(place: Path) -> None:
    pytest.importorskip("h5py")
    data = pictures(60, 3), pictures(15, 4)
    names = run(ours(PICTURES, {}), DATA=data)
    right = np.mean(np.array(names["found"]) == data[1][1])
    assert names["accuracy"] == pytest.approx(right) and right > 0.5  # chance is 1/3
    assert (place / "files" / "pictures.hdf5").exists()
    np.testing.assert_array_equal(names["again"].predict(names["x_test"]), names["model"].predict(names["x_test"]))
