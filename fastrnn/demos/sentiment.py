"""Film reviews: is this one praise or blame? SimpleRNN, LSTM and GRU compared.

A review is a row of word numbers, the more frequent the word the lower. An embedding gives every word 32 numbers, a
recurrent layer reads them from the first word to the last, and a sigmoid makes of its last state how likely praise is.

      padding                        the start        words
      0  0  0  0  0  0  0  0  0  0   1                14  22  16  2  43  530  ...        2: a word that is not known

Reviews are padded in front, so that what is read last, and remembered best, is the review. The last fifth of the
training reviews is kept for validation; every model ends with the weights of the epoch that did best there, and it is
these that are tested.

The reviews are those of IMDB (`--data aclImdb_v1.tar.gz`), or else short ones made of templates.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from fastrnn.callbacks import EarlyStopping
from fastrnn.datasets import imdb
from fastrnn.demos import Refusal, pictures
from fastrnn.demos.common import CELLS, Clock, add_run_arguments, given, keep, number, seeds, use_threads
from fastrnn.layers import Dense, Embedding
from fastrnn.models import Sequential
from fastrnn.preprocessing.sequence import pad_sequences
from fastrnn.preprocessing.text import Tokenizer, text_to_word_sequence

START, UNKNOWN, FIRST = 1, 2, 3  # word number = rank + FIRST; 0 is padding

PICTURE = "history.png"


@dataclass(frozen=True)
class Settings:
    """What decides, with the reviews, which weights a run ends with."""

    words: int = 10_000
    maxlen: int = 500
    embedding: int = 32
    units: int = 32
    compute_dtype: str | None = None
    batch: int = 128
    epochs: int = 8
    seed: int = 0


# The bundled reviews have 25 words at most, of 70 different ones, and there are a thirtieth as many as IMDB's.
BUNDLED = Settings(words=100, maxlen=30, batch=8, epochs=20)

# what the finished models are asked, if nobody asks anything else; the bundled reviews know these words too
SAMPLES = (
    "The story is wonderful, the acting is brilliant, and the film is never boring.",
    "The music is beautiful, but the film is boring and the story is awful.",
)


# ------------------------------------------------------------------------------------------------------------- reviews


@dataclass(frozen=True)
class Reviews:
    """Reviews as word numbers (N, maxlen), and 1 for praise, 0 for blame (N,)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    words: list[str]  # by rank: words[0] is the most frequent

    @classmethod
    def of_imdb(cls, path: str, settings: Settings) -> Self:
        """Those of the archive aclImdb_v1.tar.gz, or of its folder."""
        with tempfile.TemporaryDirectory() as folder:  # the archive is unpacked once for the reviews and the words
            cache = Path(folder) / "reviews"
            try:
                (x, y), (x_test, y_test) = imdb.load_data(path, settings.words, cache=cache)
                words = list(imdb.get_word_index(path, cache=cache))
            except OSError as error:
                raise Refusal(f"cannot read {error.filename or path}: {error.strerror or error}") from error
            except ValueError as error:
                raise Refusal(f"cannot read the reviews: {error}") from error
        return cls(pad_sequences(x, settings.maxlen), y, pad_sequences(x_test, settings.maxlen), y_test, words)

    @classmethod
    def bundled(cls, settings: Settings, count: int = 800) -> Self:
        """So many to train on, and a quarter of that to test on, made of templates and always the same."""
        rng = np.random.default_rng(1)
        labels = rng.permutation(np.arange(count + count // 4) % 2)
        texts = [write_review(bool(label), rng) for label in labels]
        tokenizer = Tokenizer()
        tokenizer.fit_on_texts(texts[:count])
        words = list(tokenizer.word_index)
        x = encode(texts, words, settings)
        return cls(x[:count], labels[:count], x[count:], labels[count:], words)


def encode(texts: Sequence[str], words: Sequence[str], settings: Settings) -> np.ndarray:
    """Texts as `Reviews` has them, (N, maxlen); words that were in no training review leave no trace."""
    rank_of = {word: rank for rank, word in enumerate(words, 1)}
    rows = []
    for text in texts:
        numbers = [rank_of[word] + FIRST for word in text_to_word_sequence(text) if word in rank_of]
        rows.append([START, *(word if word < settings.words else UNKNOWN for word in numbers)])
    return pad_sequences(rows, settings.maxlen)


SUBJECTS = "film plot story acting music ending script hero dialogue camera".split()
GOOD = "wonderful moving clever funny charming brilliant honest gripping beautiful fresh good".split()
BAD = "dull clumsy boring silly stale noisy empty awful tedious predictable bad".split()
FILLERS = (
    "i saw it on a rainy evening",
    "it runs for two hours",
    "my sister chose it",
    "it was made in spain",
    "the cinema was half full",
    "there is a sequel",
    "we had seats at the back",
)


def write_review(praise: bool, rng: np.random.Generator) -> str:
    """Two opinions, small talk, and in every second review a concession to the other side.

    Counting kind words does not tell praise from blame: "not" turns an opinion round, "although" takes it back.
    """

    def opinion(kind: bool) -> str:
        subject = rng.choice(SUBJECTS)
        if rng.random() < 0.2:
            return f"the {subject} is {rng.choice(['not', 'never'])} {rng.choice(BAD if kind else GOOD)}"
        return f"the {subject} is {rng.choice(['so', 'very', 'quite'])} {rng.choice(GOOD if kind else BAD)}"

    clauses = [opinion(praise), opinion(praise), str(rng.choice(FILLERS))]
    if rng.random() < 0.5:
        clauses.append(f"although {opinion(not praise)}")
    return ", ".join(clauses[each] for each in rng.permutation(len(clauses))) + "."


# --------------------------------------------------------------------------------------------------------------- model


def build_model(cell: str, settings: Settings) -> Sequential:
    """The model of one cell, compiled.

    Parameters
    ----------
    cell : str
        A key of `CELLS`.
    settings : Settings

    Returns
    -------
    Sequential
        Word numbers (B, T) in, how likely praise is (B, 1) out.
    """
    first, second, third = seeds(settings.seed, 3)
    model = Sequential(
        [
            Embedding(settings.words, settings.embedding, seed=first),
            CELLS[cell](settings.units, compute_dtype=settings.compute_dtype, seed=second),
            Dense(1, activation="sigmoid", seed=third),
        ]
    )
    model.compile("rmsprop", "binary_crossentropy", metrics=["acc"])
    return model


@dataclass(frozen=True)
class Result:
    """How one cell did."""

    history: Mapping[str, list[float]]  # "acc", "loss", "val_acc" and "val_loss" after each epoch
    best: int  # the epoch of the best validation accuracy, counted from 1
    test: float  # accuracy of that epoch's weights
    seconds: float  # median of an epoch, its validation included


def train(model: Sequential, reviews: Reviews, settings: Settings) -> Result:
    """Train a model; it is left with the weights of its best epoch."""
    # it never stops early: the curves are to be seen to their end
    best = EarlyStopping("val_acc", patience=settings.epochs, restore_best_weights=True)
    clock = Clock()
    history = model.fit(
        reviews.x_train,
        reviews.y_train,
        batch_size=settings.batch,
        epochs=settings.epochs,
        validation_split=0.2,
        callbacks=[best, clock],
        seed=settings.seed,
    )
    _, test = model.evaluate(reviews.x_test, reviews.y_test, batch_size=settings.batch, verbose=0)
    return Result(history.history, best.best_epoch + 1, test, clock.median)


# -------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastrnn demo sentiment`."""
    whole = number(int, 1)
    add = parser.add_argument_group("reviews and models").add_argument
    add("--data", metavar="PATH", help="aclImdb_v1.tar.gz or its folder (short reviews made of templates)")
    add("--cell", choices=CELLS, nargs="+", default=list(CELLS), help="recurrent cells to compare (all)")
    for name, least, what in (
        ("words", FIRST + 1, "word numbers: the most frequent words keep theirs"),
        ("maxlen", 1, "words of a review that are read, the last ones"),
        ("embedding", 1, "numbers that stand for a word"),
        ("units", 1, "hidden units of the recurrent layer"),
    ):
        add(f"--{name}", type=number(int, least), metavar="N", help=f"{what} ({_default(name)})")
    add("--compute-dtype", choices=["bfloat16"], help="of the recurrent layer's products (float32)")
    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=whole, metavar="N", help=f"({_default('epochs')})")
    add("--batch", type=whole, metavar="N", help=f"reviews of a step ({_default('batch')})")
    add_run_arguments(parser, "sentiment")
    add = parser.add_argument_group("at the end").add_argument
    add("--review", action="append", metavar="TEXT", help="a review of your own to be judged; may be given again")


def _default(name: str) -> str:
    usual, bundled = getattr(Settings(), name), getattr(BUNDLED, name)
    return f"{usual}" if usual == bundled else f"{usual}; bundled reviews: {bundled}"


def run(options: argparse.Namespace) -> int:
    """Train a model of each cell, compare them, and return the exit code."""
    use_threads(options.threads)
    settings = given(Settings() if options.data else BUNDLED, options)
    reviews = Reviews.of_imdb(options.data, settings) if options.data else Reviews.bundled(settings)
    print(
        f"{options.data or 'made-up reviews'}: {len(reviews.x_train):,} to train on, {len(reviews.x_test):,} to test "
        f"on, {len(reviews.words):,} different words"
    )
    results: dict[str, Result] = {}
    models: dict[str, Sequential] = {}
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for cell in dict.fromkeys(options.cell):
            name = CELLS[cell].__name__
            models[name] = build_model(cell, settings)
            print(f"\n{name}")
            results[name] = train(models[name], reviews, settings)
            keep(
                models[name],
                options.out / f"{cell}.fastrnn",
                reviews.x_test,
                {"words": reviews.words[: settings.words]},
            )
        try:
            pictures.histories({name: result.history for name, result in results.items()}, options.out / PICTURE)
            print(f"{options.out / PICTURE}: training and validation, epoch by epoch")
        except ImportError as error:
            print(f"no picture: {error}")
    except OSError as error:
        raise Refusal(f"cannot write {error.filename or options.out}: {error.strerror}") from error

    print(f"\n{'':10}  best epoch  validation accuracy  test accuracy  seconds an epoch")
    for name, result in results.items():
        accuracy = result.history["val_acc"][result.best - 1]
        print(f"{name:10}  {result.best:10}  {accuracy:19.4f}  {result.test:13.4f}  {result.seconds:16.2f}")
    for text in options.review or SAMPLES:
        x = encode([text], reviews.words, settings)
        print(f"\n{text}")
        for name, model in models.items():
            print(f"  {name:10} praise: {model.predict(x, verbose=0)[0, 0]:.0%}")
    return 0
