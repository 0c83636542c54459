"""What several demos share: options, seeds, a clock, and the proof that a saved model is the model."""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fastrnn.callbacks import Callback
from fastrnn.layers import GRU, LSTM, SimpleRNN
from fastrnn.layers.recurrent import Recurrent
from fastrnn.models import Sequential, load_model
from fastrnn.progress import Progress

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Options = TypeVar("Options", bound=DataclassInstance)

CELLS: Mapping[str, type[Recurrent]] = {"rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


def number(
    kind: type[int] | type[float], least: float = -math.inf, *, above: float = -math.inf, below: float = math.inf
) -> Callable[[str], float]:
    """For argparse: a number of at least `least`, above `above` and below `below`."""
    rules = [f"of at least {least}"] * (least > -math.inf) + [f"above {above}"] * (above > -math.inf)
    rule = " and ".join([*rules, *[f"below {below}"] * (below < math.inf)])

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value and above < value < below):
            noun = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"must be a {noun} {rule}, got {text!r}")
        return value

    return convert


def add_run_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Declare `--seed`, `--threads` and `--out`, which every demo has."""
    add = parser.add_argument_group("run").add_argument
    add("--seed", type=number(int, 0), default=0, metavar="N", help="(%(default)s)")
    add(
        "--threads",
        type=number(int, 1),
        metavar="N",
        help="(FASTRNN_NUM_THREADS, OMP_NUM_THREADS, or the usable cores)",
    )
    add("--out", type=Path, default=Path(f"fastrnn-{name}"), metavar="DIR", help="folder to write into (%(default)s)")


def given(settings: Options, options: argparse.Namespace) -> Options:
    """The settings, with those that stand on the command line in their place."""
    values = {each.name: getattr(options, each.name, None) for each in fields(settings)}
    return replace(settings, **{name: value for name, value in values.items() if value is not None})


def use_threads(threads: int | None) -> None:
    """Obey `--threads`; must come before anything has asked for the number."""
    if threads is not None:
        os.environ["FASTRNN_NUM_THREADS"] = str(threads)


def seeds(seed: int, count: int) -> list[int]:
    """From one seed, one for each layer: two layers with the same seed would draw the same numbers."""
    return [int(each) for each in np.random.default_rng(seed).integers(2**32, size=count)]


class Clock(Callback):
    """Notes how long each epoch took, its validation included.

    Attributes
    ----------
    seconds : list of float
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop."""
        self.seconds.append(time.perf_counter() - self._began)

    @property
    def median(self) -> float:
        """Of the epochs: the first one pays for memory that the others find there."""
        return float(np.median(self.seconds))


class Bar(Callback):
    """One progress bar for a whole run of many short epochs, where two lines for each would be too many.

    Parameters
    ----------
    label : str
        Stands in front.
    """

    def __init__(self, label: str) -> None:
        self.label = label

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Show it."""
        self._bar = Progress(self.params["epochs"], label=self.label, unit="epochs", leave=False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Move on."""
        self._bar.advance(1, **(logs or {}))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Wipe it."""
        self._bar.close()


def keep(model: Sequential, path: Path, x: np.ndarray, state: Any = None) -> None:
    """Save a model, load it again, and let both predict.

    Parameters
    ----------
    model : Sequential
    path : Path
    x : ndarray
        What is predicted from.
    state : optional
        Saved with the model; see `Sequential.save`.

    Raises
    ------
    RuntimeError
        The predictions are not the same to the last bit.
    """
    model.save(path, state)
    expected, got = model.predict(x, verbose=0), load_model(path).predict(x, verbose=0)
    if (got.dtype, got.shape, got.tobytes()) != (expected.dtype, expected.shape, expected.tobytes()):
        raise RuntimeError(f"{path} does not predict what the model predicts that was saved there")
    print(f"{path}: saved; loaded again, it predicts the same bits for {len(x):,} input{'s' * (len(x) != 1)}")
