"""Pictures: which class is this one of? Stacks of SimpleRNN, LSTM and GRU compared.

A picture of 56 x 56 grey values is read like a text: from the top row to the bottom row, 56 numbers a step. Four
recurrent layers stand on each other; the first three hand on what they have at every row, the last one what it has at
the end, and from that a softmax tells the classes apart.

      row  0   . . . . . # # . . .  --> layer 1 --> 2 --> 3 --> 4
      row  1   . . . # # # # # . .  --> layer 1 --> 2 --> 3 --> 4
       ...                                                      |
      row 55   . . . . # # . . . .  --> layer 1 --> 2 --> 3 --> 4 --> Dense, softmax --> class

The pictures are those of a folder of class folders (`--data PATH`), read with Pillow, or else figures that are drawn
here. A fifth of every class is kept for the test; it is seen once, by the finished model.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from fastrnn.demos import Refusal, pictures
from fastrnn.demos.common import CELLS, Clock, add_run_arguments, given, keep, number, seeds, use_threads
from fastrnn.layers import Dense
from fastrnn.models import Sequential, load_model
from fastrnn.optimizers import Adam
from fastrnn.progress import Progress
from fastrnn.utils import to_categorical

SIZE = 56  # rows and columns
TEST = 0.2  # share of every class

PICTURE = "confusion.png"


@dataclass(frozen=True)
class Settings:
    """What decides, with the pictures, which weights a run ends with."""

    layers: int = 4
    units: int = 300
    batch: int = 32
    epochs: int = 20
    lr: float = 1e-4
    seed: int = 0


# The drawn figures are simpler, and half as many as the hand signs: less of everything, and larger steps.
BUNDLED = Settings(units=100, batch=16, lr=3e-4)


# ------------------------------------------------------------------------------------------------------------ pictures


@dataclass(frozen=True)
class Pictures:
    """Grey pictures and their classes."""

    x: np.ndarray  # (N, 56, 56), float32, 0 black, 1 white
    y: np.ndarray  # (N,), numbers of classes
    classes: list[str]
    names: list[str]  # of the pictures

    @classmethod
    def of_folder(cls, path: str) -> tuple[Self, dict[str, str]]:
        """Those of a folder of class folders.

        Returns
        -------
        pictures : Pictures
        skipped : dict of str to str
            Files that are not among them, and why.
        """
        try:
            folders = sorted(each for each in Path(path).iterdir() if each.is_dir() and each.name[0] != ".")
            if len(folders) < 2:
                raise Refusal(f"{path} must hold a folder of pictures for each class, at least 2, got {len(folders)}")
            files = [
                (label, file)
                for label, folder in enumerate(folders)
                for file in sorted(folder.iterdir())
                if file.name[0] != "."
            ]
        except OSError as error:
            raise Refusal(f"cannot read {error.filename or path}: {error.strerror}") from error
        x, y, names = [], [], []
        skipped: dict[str, str] = {}
        with Progress(len(files), label="reading", unit="pictures", leave=False) as bar:
            for label, file in files:
                name = f"{folders[label].name}/{file.name}"
                try:
                    x.append(read_picture(file))
                    y.append(label)
                    names.append(name)
                except Odd as error:
                    skipped[name] = str(error)
                bar.advance(1)
        for folder, count in zip(folders, np.bincount(np.array(y, int), minlength=len(folders)), strict=True):
            if count < 2:
                unfit = sum(name.startswith(f"{folder.name}/") for name in skipped)
                raise Refusal(
                    f"{folder} must have at least 2 pictures, one to learn from and one to test on, got {count} "
                    f"and {unfit} unfit files"
                )
        return cls(np.stack(x) / np.float32(255), np.array(y), [each.name for each in folders], names), skipped

    @classmethod
    def drawn(cls, count: int = 100, seed: int = 1) -> Self:
        """So many figures of each kind in `FIGURES`, each of a place, size, slope, and brightness of its own."""
        rng = np.random.default_rng(seed)
        x, y = [], np.repeat(np.arange(len(FIGURES)), count)
        pixels = np.arange(SIZE) - (SIZE - 1) / 2
        for outside in FIGURES.values():
            rows, columns = rng.uniform(-5.0, 5.0, (2, count, 1, 1))
            slope, size = rng.uniform(-0.2, 0.2, (count, 1, 1)), rng.uniform(14.0, 21.0, (count, 1, 1))
            down, right = pixels[:, np.newaxis] - rows, pixels - columns
            u = (right * np.cos(slope) + down * np.sin(slope)) / size
            v = (down * np.cos(slope) - right * np.sin(slope)) / size
            covered = np.clip(0.5 - outside(u, v) * size, 0, 1)  # of each pixel; edges are a pixel wide
            dark, light = rng.uniform(0.0, 0.35, (count, 1, 1)), rng.uniform(0.6, 1.0, (count, 1, 1))
            noise = rng.normal(0, 0.05, covered.shape)
            x.append(np.clip(dark + (light - dark) * covered + noise, 0, 1))
        names = [f"{name} {index}" for name in FIGURES for index in range(count)]
        return cls(np.concatenate(x).astype(np.float32), y, list(FIGURES), names)

    def part(self, rows: np.ndarray) -> Self:
        """Some of them."""
        return type(self)(self.x[rows], self.y[rows], self.classes, [self.names[row] for row in rows])

    def split(self, seed: int) -> tuple[Self, Self]:
        """The pictures to learn from, and a fifth of every class, drawn by lot, for the test."""
        rng = np.random.default_rng(seed)
        training, test = [], []
        for label in range(len(self.classes)):
            rows = rng.permutation(np.flatnonzero(self.y == label))
            at = max(1, round(len(rows) * TEST))
            test.append(rows[:at])
            training.append(rows[at:])
        return self.part(np.concatenate(training)), self.part(np.concatenate(test))


class Odd(Exception):
    """A file is no picture that could be learned from; the message says why."""


def read_picture(path: Path) -> np.ndarray:
    """A picture in grey, turned as its camera was held, its pixels averaged to 56 x 56.

    Parameters
    ----------
    path : Path

    Returns
    -------
    ndarray of uint8, (56, 56)

    Raises
    ------
    Odd
        No picture, a damaged one, more than one, of more than 8 bits a pixel, or too large to be an honest one.
    Refusal
        Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise Refusal('reading pictures needs Pillow: pip install "fastrnn[images]"') from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a broken date in a photograph's notes
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if getattr(picture, "is_animated", False) and picture.format != "MPO":  # a photograph and its preview
                    raise Odd("holds more than one picture")
                if picture.mode.startswith(("I", "F")):
                    raise Odd(f"has more than 8 bits a pixel (mode {picture.mode})")
                grey = ImageOps.exif_transpose(picture).convert("L")
                return np.asarray(grey.resize((SIZE, SIZE), Image.Resampling.BOX))
    except Odd:
        raise
    except UnidentifiedImageError:
        raise Odd("is no picture") from None
    except Exception as error:  # what a decoder meets in a damaged file: OSError, SyntaxError, struct.error ...
        raise Odd(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _box(u: np.ndarray, v: np.ndarray, width: float, height: float) -> np.ndarray:
    outside: np.ndarray = np.maximum(np.abs(u) - width, np.abs(v) - height)
    return outside


def _plus(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    outside: np.ndarray = np.minimum(_box(u, v, 1.0, 0.2), _box(u, v, 0.2, 1.0))
    return outside


# How far a point is outside of a figure, negative inside. u goes right and v down, the figure from -1 to 1.
FIGURES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "disc": lambda u, v: np.hypot(u, v) - 0.9,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.8) - 0.15,
    "moon": lambda u, v: np.maximum(np.hypot(u, v) - 1.0, 0.8 - np.hypot(u - 0.5, v)),
    "square": lambda u, v: _box(u, v, 0.8, 0.8),
    "frame": lambda u, v: np.abs(_box(u, v, 0.75, 0.75)) - 0.15,
    "triangle": lambda u, v: np.maximum(v - 0.7, 0.87 * np.abs(u) - 0.5 * v - 0.55),
    "plus": _plus,
    "cross": lambda u, v: _plus((u + v) * 0.7, (u - v) * 0.7),
    "bars": lambda u, v: np.minimum(_box(u, v - 0.6, 0.9, 0.25), _box(u, v + 0.6, 0.9, 0.25)),
    "corner": lambda u, v: np.minimum(_box(u + 0.6, v, 0.25, 1.0), _box(u, v - 0.75, 0.85, 0.25)),
}


# --------------------------------------------------------------------------------------------------------------- model


def build_model(cell: str, settings: Settings, classes: int) -> Sequential:
    """A stack of one cell, compiled.

    Parameters
    ----------
    cell : str
        A key of `CELLS`.
    settings : Settings
    classes : int

    Returns
    -------
    Sequential
        Pictures (B, 56, 56) in, how likely each class is (B, classes) out.
    """
    *of_layers, last = seeds(settings.seed, settings.layers + 1)
    model = Sequential()
    for place, seed in enumerate(of_layers, 1):
        model.add(
            CELLS[cell](settings.units, return_sequences=place < settings.layers, input_shape=(SIZE, SIZE), seed=seed)
        )
    model.add(Dense(classes, activation="softmax", seed=last))
    model.compile(Adam(settings.lr), "categorical_crossentropy", metrics=["accuracy"])
    return model


@dataclass(frozen=True)
class Result:
    """How one stack did."""

    parameters: int
    training: float  # accuracy in the last epoch
    loss: float  # of the test
    accuracy: float  # of the test
    seconds: float  # median of an epoch


def train(model: Sequential, training: Pictures, test: Pictures, settings: Settings) -> Result:
    """Train a model and test it."""
    classes, clock = len(training.classes), Clock()
    try:
        history = model.fit(
            training.x,
            to_categorical(training.y, classes),
            batch_size=settings.batch,
            epochs=settings.epochs,
            callbacks=[clock],
            seed=settings.seed,
        )
    except FloatingPointError as error:
        raise Refusal(f"--lr {settings.lr} is too large: {error}") from error
    loss, accuracy = model.evaluate(test.x, to_categorical(test.y, classes), verbose=0)
    return Result(model.parameters, history.history["accuracy"][-1], loss, accuracy, clock.median)


def confusion(y: np.ndarray, taken: np.ndarray, classes: int) -> np.ndarray:
    """How many pictures of each class (row) were taken for each class (column).

    Parameters
    ----------
    y, taken : ndarray of int, (N,)
    classes : int

    Returns
    -------
    ndarray of int, (classes, classes)
    """
    return np.bincount(y * classes + taken, minlength=classes**2).reshape(classes, classes)


# -------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastrnn demo images`."""
    whole = number(int, 1)
    add = parser.add_argument_group("pictures and models").add_argument
    add("--data", metavar="DIR", help="a folder with a folder of pictures for each class (drawn figures)")
    add("--cell", choices=CELLS, nargs="+", default=list(CELLS), help="recurrent cells to compare (all)")
    add("--layers", type=whole, metavar="N", help=f"recurrent layers ({_default('layers')})")
    add("--units", type=whole, metavar="N", help=f"hidden units of a layer ({_default('units')})")
    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=whole, metavar="N", help=f"({_default('epochs')})")
    add("--batch", type=whole, metavar="N", help=f"pictures of a step ({_default('batch')})")
    add("--lr", type=number(float, above=0), metavar="X", help=f"learning rate of Adam ({_default('lr')})")
    add_run_arguments(parser, "images")


def _default(name: str) -> str:
    usual, bundled = getattr(Settings(), name), getattr(BUNDLED, name)
    return f"{usual}" if usual == bundled else f"{usual}; drawn figures: {bundled}"


def run(options: argparse.Namespace) -> int:
    """Train a stack of each cell, compare them, and return the exit code."""
    use_threads(options.threads)
    settings = given(Settings() if options.data else BUNDLED, options)
    if options.data:
        everything, skipped = Pictures.of_folder(options.data)
        for name, reason in skipped.items():
            print(f"skipped: {name} {reason}")
    else:
        everything = Pictures.drawn()
    training, test = everything.split(settings.seed)
    classes = everything.classes
    print(
        f"{options.data or 'drawn figures'}: {len(training.y):,} pictures to learn from, {len(test.y):,} to test on, "
        f"{len(classes)} classes: {', '.join(classes)}"
    )
    results: dict[str, Result] = {}
    predictions: dict[str, np.ndarray] = {}
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for cell in dict.fromkeys(options.cell):
            name, path = CELLS[cell].__name__, options.out / f"{cell}.fastrnn"
            model = build_model(cell, settings, len(classes))
            print(f"\n{settings.layers} x {name} of {settings.units}")
            results[name] = train(model, training, test, settings)
            keep(model, path, test.x, {"classes": classes})
            predictions[name] = load_model(path).predict(test.x, verbose=0)
        taken = {name: each.argmax(axis=1) for name, each in predictions.items()}
        matrices = {name: confusion(test.y, each, len(classes)) for name, each in taken.items()}
        try:
            pictures.confusions(matrices, classes, options.out / PICTURE)
            print(f"\n{options.out / PICTURE}: what the pictures are, and what they were taken for")
        except ImportError as error:
            print(f"\nno picture: {error}")
    except OSError as error:
        raise Refusal(f"cannot write {error.filename or options.out}: {error.strerror}") from error

    print(f"\n{'':10}  parameters  training accuracy  test loss  test accuracy  seconds an epoch")
    for name, result in results.items():
        print(
            f"{name:10}  {result.parameters:10,}  {result.training:17.4f}  {result.loss:9.4f}  "
            f"{result.accuracy:13.4f}  {result.seconds:16.2f}"
        )
    print("\nfive pictures of the test, and what they were taken for:")
    for row in np.random.default_rng(settings.seed).permutation(len(test.y))[:5]:
        said = ", ".join(f"{name} {classes[taken[name][row]]} ({predictions[name][row].max():.0%})" for name in taken)
        print(f"  {test.names[row]}: {said}")
    return 0
