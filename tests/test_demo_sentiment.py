"""The sentiment demo: its reviews, what training leaves, what a run prints and writes, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn.__main__ import main
from fastrnn.demos import common, sentiment
from fastrnn.demos.sentiment import BAD, BUNDLED, GOOD, Reviews, Settings
from fastrnn.models import load_checkpoint, load_model

SMALL = replace(BUNDLED, embedding=6, units=5, batch=50, epochs=2)
OPTIONS = ["--embedding", "6", "--units", "5", "--batch", "50", "--epochs", "2"]

# word: how often it is in the training reviews
ARCHIVE = {
    "train/pos/0_9.txt": "A <br />a film. Film!",
    "train/pos/1_10.txt": "a film, quite film",
    "train/neg/0_1.txt": "film: dull",
    "train/neg/1_2.txt": "a",
    "test/pos/0_8.txt": "a dull unheard film",
    "test/neg/0_3.txt": "quite br",
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "aclImdb"
    for name, text in ARCHIVE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


# ------------------------------------------------------------------------------------------------------------- reviews


def test_reviews_of_the_archive_are_numbered_by_rank(archive: Path) -> None:
    settings = Settings(words=6, maxlen=5)
    reviews = Reviews.of_imdb(str(archive), settings)
    # film 5 times, a 4, then once each in the order of their letters: numbers from 4 on; from 6 on they are unknown
    assert reviews.words == ["film", "a", "br", "dull", "quite"]
    rows = {tuple(row): label for row, label in zip(reviews.x_train.tolist(), reviews.y_train, strict=True)}
    assert rows == {
        (5, 2, 5, 4, 4): 1,  # the start is cut off
        (1, 5, 4, 2, 4): 1,
        (0, 0, 1, 4, 2): 0,
        (0, 0, 0, 1, 5): 0,
    }
    assert sorted(zip(reviews.x_test.tolist(), reviews.y_test, strict=True)) == [
        ([0, 0, 1, 2, 2], 0),
        ([0, 1, 5, 2, 4], 1),  # "unheard" is in no training review
    ]


def test_a_review_of_ones_own_is_numbered_as_those_of_the_archive(archive: Path) -> None:
    settings = Settings(words=6, maxlen=5)
    reviews = Reviews.of_imdb(str(archive), settings)
    encoded = sentiment.encode(list(ARCHIVE.values()), reviews.words, settings)
    assert sorted(encoded.tolist()) == sorted([*reviews.x_train.tolist(), *reviews.x_test.tolist()])
    assert encoded.dtype == reviews.x_train.dtype


def test_the_bundled_reviews() -> None:
    reviews = Reviews.bundled(BUNDLED)
    assert reviews.x_train.shape == (800, BUNDLED.maxlen)
    assert reviews.x_test.shape == (200, BUNDLED.maxlen)
    for labels in (reviews.y_train, reviews.y_train[640:], reviews.y_test):
        assert 0.4 < labels.mean() < 0.6
    for x in (reviews.x_train, reviews.x_test):
        assert (x[:, 0] == 0).all()  # nothing is cut off
        assert ((x == 1).sum(axis=1) == 1).all()
        assert not (x == 2).any()
    assert len(reviews.words) + 3 < BUNDLED.words
    np.testing.assert_array_equal(Reviews.bundled(BUNDLED).x_test, reviews.x_test)
    trained = {row.tobytes() for row in reviews.x_train}
    assert np.mean([row.tobytes() in trained for row in reviews.x_test]) < 0.02


@pytest.mark.parametrize("praise", [True, False])
def test_a_made_up_review_says_what_its_label_says(praise: bool) -> None:
    rng = np.random.default_rng(3)
    bare = 0
    for _ in range(200):
        opinions = []
        for clause in sentiment.write_review(praise, rng).rstrip(".").split(", "):
            words = clause.split()
            if words[-1] in GOOD + BAD:
                turned = ("not" in words or "never" in words) + ("although" in words)
                opinions.append((words[-1] in GOOD) ^ bool(turned % 2))
        assert 2 <= len(opinions) <= 3
        assert set(opinions) == {praise}
        bare += len(opinions) == 2
    assert 70 < bare < 130


# ------------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize(("cell", "size"), [("rnn", 2080), ("lstm", 8320), ("gru", 6336)])
def test_the_models_are_the_tutorials(cell: str, size: int) -> None:
    model = sentiment.build_model(cell, Settings())
    model.build((None, None))
    assert [layer.parameters for layer in model.layers] == [320_000, size, 33]
    assert model.optimizer is not None and model.optimizer.name == "rmsprop"
    assert model.loss is not None and model.loss.name == "binary_crossentropy"
    # two layers with one seed would begin with the same random bits
    first, second = (model.layers[number].get_weights()[0].ravel()[:32] for number in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.9


def test_a_model_is_left_with_the_weights_of_its_best_epoch() -> None:
    settings = replace(SMALL, units=32, batch=8, epochs=12, seed=4)  # it soon knows 160 reviews by heart
    reviews = Reviews.bundled(settings, 200)
    model = sentiment.build_model("rnn", settings)
    result = sentiment.train(model, reviews, settings)
    accuracies = result.history["val_acc"]
    assert len(accuracies) == 12
    assert result.best == 1 + int(np.argmax(accuracies))
    assert max(accuracies) > accuracies[-1]  # otherwise this proves nothing
    _, validation = model.evaluate(reviews.x_train[160:], reviews.y_train[160:], verbose=0)
    assert validation == pytest.approx(max(accuracies))
    right = (model.predict(reviews.x_test, verbose=0)[:, 0] > 0.5) == reviews.y_test
    assert result.test == pytest.approx(right.mean())
    assert result.seconds > 0


def test_a_seed_decides_every_bit() -> None:
    reviews = Reviews.bundled(SMALL, 200)

    def weights(seed: int) -> list[bytes]:
        settings = replace(SMALL, seed=seed)
        model = sentiment.build_model("gru", settings)
        sentiment.train(model, reviews, settings)
        return [weight.tobytes() for weight in model.get_weights()]

    assert weights(4) == weights(4)
    assert weights(4) != weights(5)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_products_in_bfloat16_are_what_was_asked_for(cell: str, tmp_path: Path) -> None:
    options = ["--cell", cell, "--compute-dtype", "bfloat16", "--out", str(tmp_path), "--epochs", "1"]
    assert main(["demo", "sentiment", *OPTIONS[:-2], *options]) == 0
    model = load_model(tmp_path / f"{cell}.fastrnn")
    assert model.layers[1].compute_dtype == "bfloat16"


def test_an_lstm_learns_what_not_and_although_do() -> None:
    reviews = Reviews.bundled(BUNDLED)
    result = sentiment.train(sentiment.build_model("lstm", BUNDLED), reviews, BUNDLED)
    # 0.99 and 0.94; two opinions whose "not" is overlooked give 0.8
    assert max(result.history["val_acc"]) > 0.92
    assert result.test > 0.86


# -------------------------------------------------------------------------------------------------------- command line


def test_what_a_run_prints_and_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    folder = tmp_path / "new" / "folder"
    options = ["--cell", "lstm", "rnn", "--review", "a clever film", "--review", "it is dull", "--out", str(folder)]
    assert main(["demo", "sentiment", *OPTIONS, *options]) == 0
    text = capsys.readouterr().out
    assert text.startswith("made-up reviews: 800 to train on, 200 to test on, ")
    assert text.count("loaded again, it predicts the same bits for 200 inputs") == 2
    assert sorted(os.listdir(folder)) == ["history.png", "lstm.fastrnn", "rnn.fastrnn"]
    picture = imread(folder / "history.png")
    assert picture.shape[1] > picture.shape[0] > 400
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50

    reviews = Reviews.bundled(SMALL)
    table = re.findall(r"^(\w+) +([12]) +(0\.\d{4}) +(0\.\d{4}) +\d+\.\d\d$", text, re.M)
    assert [name for name, *_ in table] == ["LSTM", "SimpleRNN"]
    for (_, epoch, validation, test), cell in zip(table, ("lstm", "rnn"), strict=True):
        model, state = load_checkpoint(folder / f"{cell}.fastrnn")
        assert f"{model.evaluate(reviews.x_test, reviews.y_test, verbose=0)[1]:.4f}" == test
        assert f"{model.evaluate(reviews.x_train[640:], reviews.y_train[640:], verbose=0)[1]:.4f}" == validation
        assert re.search(rf"Epoch {epoch}/2\n.* val_acc: {validation}$", text, re.M)
        assert state == {"words": reviews.words}
    praise = load_model(folder / "rnn.fastrnn").predict(
        sentiment.encode(["a clever film"], reviews.words, SMALL), verbose=0
    )[0, 0]
    assert re.search(rf"a clever film\n  LSTM +praise: \d+%\n  SimpleRNN +praise: {praise:.0%}\n\nit is dull\n", text)


def test_the_archive_by_its_path(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    # of four training reviews the last fifth is one
    assert main(["demo", "sentiment", "--data", str(archive), *OPTIONS, "--cell", "gru", "--out", str(folder)]) == 0
    assert f"{archive}: 4 to train on, 2 to test on, 5 different words" in capsys.readouterr().out
    assert load_checkpoint(folder / "gru.fastrnn")[0].layers[0].get_weights()[0].shape == (10_000, 6)


def test_without_matplotlib_the_training_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "sentiment", *OPTIONS, "--cell", "rnn", "--out", str(tmp_path)]) == 0
    assert 'no picture: pictures need matplotlib: pip install "fastrnn[plot]"' in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["rnn.fastrnn"]


def test_a_file_that_predicts_anything_else_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reviews = Reviews.bundled(SMALL, 20)
    model = sentiment.build_model("rnn", SMALL)
    model.predict(reviews.x_test, verbose=0)

    def careless(path: Path) -> object:
        loaded = load_model(path)
        *others, bias = loaded.get_weights()
        loaded.set_weights([*others, bias + np.float32(1e-6)])
        return loaded

    common.keep(model, tmp_path / "a.fastrnn", reviews.x_test)
    monkeypatch.setattr(common, "load_model", careless)
    with pytest.raises(RuntimeError, match=r"a\.fastrnn does not predict what the model predicts"):
        common.keep(model, tmp_path / "a.fastrnn", reviews.x_test)


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line of an error, which may come after a progress bar."""
    assert main(["demo", "sentiment", *options]) == 2
    message = capsys.readouterr().err.rpartition("fastrnn: error: ")[2]
    assert message.count("\n") == 1
    return message


def test_what_cannot_be_done_is_one_line(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    nowhere = tmp_path / "nowhere"
    assert refused(capsys, "--data", str(nowhere), *out) == f"cannot read {nowhere}: No such file or directory\n"
    assert "it is not compressed by gzip" in refused(capsys, "--data", str(archive / "train/neg/1_2.txt"), *out)
    (archive / "test/pos/0_8.txt").unlink()
    assert "test/pos" in refused(capsys, "--data", str(archive), *out)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused(capsys, *OPTIONS, "--out", str(tmp_path / "file" / "folder"))


@pytest.mark.parametrize("options", [("--epochs", "0"), ("--cell", "elman"), ("--words", "3"), ("--seed", "-1")])
def test_options_out_of_range(options: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "sentiment", *options])
    assert options[0] in capsys.readouterr().err


def test_threads_are_set_before_anything_asks(tmp_path: Path) -> None:
    script = (
        "import sys; from fastrnn.__main__ import main; code = main(sys.argv[1:])\n"
        "from fastrnn._core.threads import default_threads; sys.exit(code or default_threads() != 3)\n"
    )
    options = [*OPTIONS, "--cell", "rnn", "--threads", "3", "--out", str(tmp_path)]
    command = [sys.executable, "-c", script, "demo", "sentiment", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(fastrnn.__file__).parents[1])}
    subprocess.run(command, check=True, capture_output=True, env=environment)
