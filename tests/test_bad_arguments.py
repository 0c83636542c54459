"""What cannot be taken, by every public call of the model layer: one error with argument, rule and what came."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import callbacks, losses, metrics, optimizers, plots, schedules, seq2seq, utils
from fastrnn.datasets import imdb
from fastrnn.estimators import RNNClassifier
from fastrnn.layers import LSTM, Activation, Dense, Embedding
from fastrnn.models import Sequential, load_model
from fastrnn.preprocessing import MinMaxScaler, Tokenizer, split_in_time
from fastrnn.preprocessing.text import text_to_word_sequence
from fastrnn.seq2seq import Seq2Seq

X, Y = np.zeros((8, 5, 3), np.float32), np.zeros((8, 1), np.float32)
IDS = np.array([[3, 4, 5, 2]] * 4)


def model() -> Sequential:
    made = Sequential([LSTM(4, input_shape=(5, 3)), Dense(1)])
    made.compile("adam", "mse")
    return made


def writer(**options: Any) -> Seq2Seq:
    decoder = [Embedding(9, 4), LSTM(6, return_sequences=True), Dense(9)]
    made = Seq2Seq([Embedding(9, 4), LSTM(6, return_state=True)], decoder, **{"start": 1, "end": 2, **options})
    made.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


def fit(x: Any = X, y: Any = Y, **options: Any) -> Any:
    return model().fit(x, y, **{"verbose": 0, **options})


def write(width: int, ids: int = 1) -> Any:
    """A loop over a model of three symbols that answers for `ids` streams."""
    return seq2seq.beam_search(lambda _: np.zeros((ids, 3)), [1], 4, width)


Case = tuple[Callable[[], Any], type[Exception], str]

OF_MODELS: list[Case] = [
    (lambda: model().set_weights(3), TypeError, "weights must be a list or the like, got 3"),
    (lambda: model().set_weights([1] * 5), ValueError, r"weights\[0\] \(kernel\) must have shape \(3, 16\), got \(\)"),
    (lambda: load_model(None), TypeError, "path must be a path, got None"),
    (lambda: load_model(b"x.h5"), TypeError, "path must be a path, got b'x.h5'"),
    (lambda: load_model(""), ValueError, "path must be a path, got an empty one"),
    (lambda: model().save(None), TypeError, "path must be a path, got None"),
    (lambda: model().save_weights(3), TypeError, "path must be a path, got 3"),
    (lambda: model().load_weights(3), TypeError, "path must be a path, got 3"),
    (lambda: Seq2Seq.load(3), TypeError, "path must be a path, got 3"),
    (lambda: writer().save(None), TypeError, "path must be a path, got None"),
    (lambda: Sequential.from_config(3), TypeError, "config must be a mapping, got 3"),
    (lambda: Sequential.from_config({"name": "a"}), ValueError, "config must have name, layers.*got none.*layers"),
    (lambda: Seq2Seq.from_config({}), ValueError, "config must have name, encoder, .*got none of the name name"),
    (lambda: model().summary(line_length="a"), TypeError, "line_length must be a whole number, got 'a'"),
    (lambda: model().summary(print_fn=3), TypeError, "print_fn must be a function, got 3"),
    (
        lambda: model().compile("adam", abs),
        TypeError,
        "loss must be one of .* or an object of such a class, got <b",
    ),
    (lambda: model().compile("adam", losses.Huber), TypeError, "loss must be one of .* got <class 'fastrnn"),
    (lambda: model().compile(optimizers.Adam, "mse"), TypeError, "optimizer must be one of .* got <class"),
    (lambda: model().compile(3, "mse"), TypeError, "optimizer must be one of sgd, .*object of such a class, got 3"),
    (lambda: model().compile("adam", "mse", [abs]), TypeError, "metric must be one of .*, got <built-in function abs>"),
    (lambda: metrics.get(3), TypeError, "metric must be one of"),
    (lambda: Activation(3), TypeError, "activation must be one of linear, .*, got 3"),
    (lambda: model().train_on_batch(X), ValueError, "y must be given, got None"),
    (lambda: model().test_on_batch(X), ValueError, "y must be given, got None"),
    (lambda: model().train_on_batch(X, Y[:3]), ValueError, r"^y must have shape \(8, 1\), got \(3, 1\)"),
    (lambda: model().test_on_batch(X, Y[:3]), ValueError, r"^y must have shape \(8, 1\), got \(3, 1\)"),
    (lambda: model().evaluate(X, X, verbose=0), ValueError, r"^y must have shape \(8, 1\), got \(8, 5, 3\)"),
    (lambda: fit(3), TypeError, "x must be an array or an iterable of batches, got int"),
    (lambda: fit(lambda: 3, None), TypeError, "what x returns must be a list or the like, got 3"),
    (lambda: fit(X[..., :2]), ValueError, r"^x must have shape \(B, T, 3\), got \(8, 5, 2\)"),
    (lambda: fit(y=np.zeros((8, 2))), ValueError, r"^y must have shape \(8, 1\), got \(8, 2\)"),
    (lambda: fit(sample_weight=np.ones((8, 2))), ValueError, r"^sample_weight must have shape \(8,\), got \(8, 2\)"),
    (lambda: fit(verbose=np.zeros(3)), ValueError, "verbose must be 'auto', 0, 1 or 2, got array"),
    (lambda: fit(validation_data=3), TypeError, r"validation_data must be \(x, y\), .* or batches, got int"),
    (lambda: fit(validation_data="abc"), TypeError, r"validation_data must be \(x, y\), .* or batches, got str"),
    (lambda: fit(validation_data=[]), ValueError, "validation_data: x must hold at least one batch, got none"),
    (lambda: fit(validation_data=(3, Y)), TypeError, "validation_data: x must be an array or .*, got int"),
    (lambda: fit(validation_data=(X, X)), ValueError, r"validation_data: y must have shape \(8, 1\), got \(8, 5, 3\)"),
]

OF_SEQ2SEQ: list[Case] = [
    (lambda: writer(start=None), TypeError, "start must be a whole number, got None"),
    (lambda: writer(start=9), ValueError, "start, end and padding must be below the 9 symbols"),
    (lambda: writer().fit(IDS[..., None], IDS), ValueError, r"x must have shape \(B, S\), got \(4, 4, 1\)"),
    (lambda: writer().fit(IDS[0], IDS), ValueError, r"x must have shape \(B, S\), got \(4,\)"),
    (lambda: writer().fit(IDS, IDS[0]), ValueError, r"y must have shape \(B, T\), got \(4,\)"),
    (lambda: writer().fit(IDS, IDS + 9), ValueError, r"y must be in \[0, 9\), got 1[1-4]"),
    (lambda: writer().train_on_batch(IDS), ValueError, "y must be given, got None"),
    (lambda: writer().generate(None, 4), ValueError, r"x must have shape \(B, S\), got \(\)"),
    (lambda: writer().generate(IDS, -1), ValueError, "max_length must be at least 0, got -1"),
    (lambda: writer().generate(IDS, 4, rng="a"), TypeError, "rng must be a numpy.random.Generator or a seed, got 'a'"),
    (lambda: writer().beam_search(IDS, 4, 0), ValueError, "width must be at least 1, got 0"),
    (lambda: seq2seq.Steps(3), TypeError, "layers must be a list of layers, got 3"),
    (lambda: seq2seq.choose([1.0, 2.0], 1, rng=-1), ValueError, "rng must be at least 0, got -1"),
    (lambda: seq2seq.generate(3, [1], 4), TypeError, "steps must be a function, got 3"),
    (lambda: seq2seq.generate(abs, 1, 4), ValueError, r"first must have shape \(S,\), got \(\)"),
    (lambda: seq2seq.generate(abs, [1], 4, end="a"), TypeError, "end must be a whole number, got 'a'"),
    (lambda: seq2seq.generate(abs, [1], 4, padding="a"), TypeError, "padding must be a whole number, got 'a'"),
    (lambda: write(0), ValueError, "width must be at least 1, got 0"),
    (lambda: write(2), ValueError, r"steps must give logits \(2, V\) for 2 symbols, got shape \(1, 3\)"),
]

OF_DATA: list[Case] = [
    (lambda: Tokenizer().fit_on_texts(3), TypeError, "texts must be a list or the like, got 3"),
    (lambda: Tokenizer().fit_on_texts([[3]]), TypeError, r"texts\[0\] must hold words, got 3"),
    (lambda: Tokenizer().fit_on_sequences(3), TypeError, "sequences must be a list or the like, got 3"),
    (lambda: Tokenizer().fit_on_sequences([3]), TypeError, r"sequences\[0\] must be a list of whole numbers, got 3"),
    (lambda: Tokenizer().sequences_to_texts([["a"]]), TypeError, r"sequences\[0\] must be whole numbers, got"),
    (lambda: Tokenizer(5).sequences_to_matrix([[1], 3]), TypeError, r"sequences\[1\] must be a list of whole numbers"),
    (lambda: text_to_word_sequence("a", split=""), ValueError, "split must be a string that is not empty"),
    (lambda: text_to_word_sequence("a", filters=3), TypeError, "filters must be a string, got 3"),
    (lambda: MinMaxScaler().fit([[1], [2, 3]]), ValueError, "X must be an array: "),
    (lambda: MinMaxScaler.from_config(3), TypeError, "config must be a mapping, got 3"),
    (lambda: split_in_time([[1], [2, 3]]), ValueError, "arrays must have entries of one shape"),
    (lambda: utils.to_categorical([1], dtype="nope"), TypeError, "dtype must be a NumPy dtype, got 'nope'"),
    (lambda: imdb.load_data("nowhere", cache=3), TypeError, "cache must be a path, got 3"),
    (lambda: RNNClassifier().fit(None, [0, 1]), ValueError, r"X must have shape \(N, T\).*, got None"),
]

OF_THE_REST: list[Case] = [
    (lambda: callbacks.ModelCheckpoint(None), TypeError, "filepath must be a path, got None"),
    (lambda: callbacks.ModelCheckpoint(""), ValueError, "filepath must be a path, got an empty one"),
    (lambda: callbacks.CSVLogger(3), TypeError, "filename must be a path, got 3"),
    (lambda: callbacks.CSVLogger("a", separator="ab"), TypeError, "separator must be one character, got 'ab'"),
    (lambda: callbacks.BackupAndRestore(None), TypeError, "backup_dir must be a path, got None"),
    (lambda: callbacks.LambdaCallback(on_epoch_end=3), TypeError, "on_epoch_end must be a function, got 3"),
    (lambda: callbacks.LearningRateScheduler(3), TypeError, "schedule must be a function, got 3"),
    (lambda: callbacks.EarlyStopping(mode=3), TypeError, "mode must be one of auto, min, max, got 3"),
    (lambda: schedules.PiecewiseConstantDecay(3, [1]), TypeError, "boundaries must be a list or the like, got 3"),
    (lambda: schedules.PiecewiseConstantDecay([1], 3), TypeError, "values must be a list or the like, got 3"),
    (lambda: plots.loss_curve(3), TypeError, "curves must be a mapping of names to lists of numbers, got 3"),
    (lambda: plots.loss_curve({"a": 3}), ValueError, r"curves\['a'\] must be a list of numbers, got 3"),
    (lambda: plots.loss_curve({"a": ["x"]}), TypeError, r"curves\['a'\] must hold real numbers"),
    (lambda: plots.history({"loss": 3}), ValueError, r"figures\['loss'\] must be a list of numbers, got 3"),
]


@pytest.mark.parametrize(("call", "error", "message"), [*OF_MODELS, *OF_SEQ2SEQ, *OF_DATA, *OF_THE_REST])
def test_one_error_names_argument_rule_and_value(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_folder_that_is_not_there_is_told_of_the_path_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "model.fastrnn"
    with pytest.raises(FileNotFoundError) as caught:
        model().save(path)
    assert caught.value.filename == str(path)


@pytest.mark.parametrize(
    ("package", "call", "message"),
    [
        ("h5py", lambda path: model().save(path / "model.h5"), r"fastrnn\[hdf5\]"),
        ("h5py", lambda path: load_model(path / "model.keras"), r"fastrnn\[hdf5\]"),
        ("matplotlib.figure", lambda path: plots.loss_curve({"loss": [1.0]}), r"fastrnn\[plot\]"),
    ],
)
def test_a_package_that_is_not_there_is_named_with_its_extra(
    package: str, call: Callable[[Path], Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=message):
        call(tmp_path)
