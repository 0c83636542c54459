"""Invented prices: a generator and a discriminator trained against each other, and whether their windows help.

      noise (B, T, N) -> generator -> returns (B, T, 1) -+
                                                         +-> discriminator -> true or not, as far as read (B, T, 1)
                    windows of the true series (B, T, 1) -+

A window is a row of daily returns, log(close today / close yesterday), scaled to mean 0 and deviation 1. The
discriminator learns to tell true windows from invented ones, the generator to invent such as it takes for true: its
gradient comes through the discriminator, which stays as it is meanwhile. `Game.play` is that step, written with the
models' public forward and backward passes.

Then a recurrent forecaster learns from the true windows alone, from these and as many invented ones, and, for
comparison, from these and as many whose returns are drawn from the true ones in any order: if those help as well, it is
not what the generator has learned of the order of the days. All of them take the same number of steps, and nothing has
seen the days that they are tested on.

Goodfellow et al., "Generative adversarial nets", NIPS 2014; recurrent ones: Esteban, Hyland & Rätsch, 2017.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from fastrnn.demos import Refusal, pictures
from fastrnn.demos.common import CELLS, Bar, add_run_arguments, given, keep, number, seeds, use_threads
from fastrnn.demos.forecast import Series
from fastrnn.layers import Dense
from fastrnn.losses import BinaryCrossentropy
from fastrnn.models import Sequential
from fastrnn.optimizers import Adam
from fastrnn.preprocessing.scale import StandardScaler
from fastrnn.preprocessing.windows import sliding_windows
from fastrnn.progress import Progress

PICTURE = "gan.png"

# what the forecaster learns from, beside the true windows
NOTHING, GENERATED, SHUFFLED = "true windows", "and generated", "and shuffled"

# Of the discriminator's targets for true windows: with 1 it grows so sure that the generator learns nothing more.
SURE = 0.9

# Deviations that both see at most. Without a bound the generator runs away: its returns had a deviation of 10 after 400
# steps, where the discriminator's cells are all at their ends and tell it no way back.
BOUND = 4.0

# Losses of generator and discriminator where true and invented windows cannot be told apart: with as many of either,
# the best that the discriminator can say of any window is SURE / 2.
TIE = (-math.log(SURE / 2), -(SURE * math.log(SURE / 2) + (2 - SURE) * math.log(1 - SURE / 2)) / 2)


@dataclass(frozen=True)
class Settings:
    """What decides, with the prices, how a run ends."""

    window: int = 30
    held_out: int = 60
    cell: str = "lstm"
    units: int = 32
    noise: int = 4
    steps: int = 1500
    lr: float = 0.001
    epochs: int = 10
    batch: int = 64
    seeds: int = 5
    seed: int = 0


# ------------------------------------------------------------------------------------------------------------- windows


@dataclass(frozen=True)
class Windows:
    """Returns of a series, scaled, in float32: windows to train on, and what stands before the days of the test."""

    scaler: StandardScaler
    train: np.ndarray  # (W, T + 1, 1): T returns and the one that follows
    x_test: np.ndarray  # (D, T, 1)
    before: np.ndarray  # (D,): the close before each day of the test
    true: np.ndarray  # (D,): its own

    @classmethod
    def of(cls, close: np.ndarray, settings: Settings) -> Self:
        """Cut a series; the scaler learns from the days before the test only."""
        size, held_out = settings.window, settings.held_out
        if len(close) < size + held_out + 2:
            raise Refusal(
                f"{len(close)} days are too few: windows of {size} returns, {held_out} held-out days and two to train "
                f"on make {size + held_out + 2}"
            )
        if close.min() <= 0:
            raise Refusal(f"every close must be above 0, got {close.min():g}")
        returns = np.diff(np.log(close))[:, np.newaxis]
        scaler = StandardScaler().fit(returns[:-held_out])
        scaled = scaler.transform(returns)
        train, after = sliding_windows(scaled[:-held_out], size)
        x_test, _ = sliding_windows(scaled[-held_out - size :], size)
        parts = (np.concatenate([train, after], axis=1), x_test)
        train, x_test = (np.ascontiguousarray(part, np.float32) for part in parts)
        return cls(scaler, train, x_test, close[-held_out - 1 : -1], close[-held_out:])

    def mae(self, scaled: np.ndarray) -> float:
        """Mean absolute error of forecasts (D, 1), in the unit of the prices."""
        returns = self.scaler.inverse_transform(scaled.astype(np.float64))[:, 0]
        return float(np.abs(self.before * np.exp(returns) - self.true).mean())

    @property
    def naive(self) -> float:
        """That of the forecast that nothing changes."""
        return float(np.abs(self.before - self.true).mean())

    def shuffled(self, count: int, seed: int) -> np.ndarray:
        """Windows of returns drawn from the true ones in any order, (count, T + 1, 1)."""
        rng = np.random.default_rng(seed)
        days = np.concatenate([self.train[0, :, 0], self.train[1:, -1, 0]])  # each day once
        windows: np.ndarray = rng.choice(days, (count, self.train.shape[1], 1))
        return windows

    def paths(self, windows: np.ndarray) -> np.ndarray:
        """The prices that windows (N, T, 1) stand for, (N, T + 1), beginning at 100."""
        returns = self.scaler.inverse_transform(windows.reshape(-1, 1).astype(np.float64)).reshape(windows.shape[:2])
        prices: np.ndarray = 100 * np.exp(np.pad(np.cumsum(returns, axis=1), ((0, 0), (1, 0))))
        return prices


TRAITS = ("deviation", "of windows", "kurtosis", "return after return", "a week after", "size after size")


def traits(windows: np.ndarray) -> tuple[float, ...]:
    """What is known of returns (N, T, 1), in the order of `TRAITS`.

    Standard deviation; that of a window's sum, divided by sqrt(T): near 0 where all windows go the same way; kurtosis,
    3 of a normal distribution; correlations of a day's return with that of the day
    before, with that of seven days before, and of its absolute value with that of the day before.
    """
    x = windows[..., 0].astype(np.float64)
    kurtosis = np.mean((x - x.mean()) ** 4) / x.var() ** 2

    def after(values: np.ndarray, days: int) -> float:
        if values.shape[1] <= days:
            return math.nan
        return float(np.corrcoef(values[:, days:].ravel(), values[:, :-days].ravel())[0, 1])

    of_windows = x.sum(axis=1).std() / math.sqrt(x.shape[1])
    return float(x.std()), float(of_windows), float(kurtosis), after(x, 1), after(x, 7), after(np.abs(x), 1)


# ---------------------------------------------------------------------------------------------------------------- game


class Game:
    """A generator and a discriminator, and a step of their training.

    Parameters
    ----------
    settings : Settings
    length : int
        T, returns of a window.
    seed : int

    Attributes
    ----------
    generator, discriminator : Sequential
        (B, T, N) to (B, T, 1) in [-1, 1], and from there to logits (B, T, 1): what it thinks after each day.
    """

    def __init__(self, settings: Settings, length: int, seed: int) -> None:
        *draws, noise = seeds(seed, 5)
        cell = CELLS[settings.cell]
        self.generator = Sequential(
            [
                cell(settings.units, return_sequences=True, seed=draws[0]),
                Dense(1, activation="tanh", seed=draws[1]),
            ],
            "generator",
        )
        self.discriminator = Sequential(
            [cell(settings.units, return_sequences=True, seed=draws[2]), Dense(1, seed=draws[3])], "discriminator"
        )
        self.generator.build((None, None, settings.noise))
        self.discriminator.build((None, None, 1))
        # half of Adam's usual momentum, as for most such pairs since Radford, Metz & Chintala 2016
        self._generating = Adam(settings.lr, beta_1=0.5)
        self._telling = Adam(settings.lr, beta_1=0.5)
        self._loss = BinaryCrossentropy(from_logits=True)
        self._rng = np.random.default_rng(noise)
        self._shape = (length, settings.noise)

    def noise(self, count: int) -> np.ndarray:
        """What the generator makes windows of, (count, T, N)."""
        return self._rng.standard_normal((count, *self._shape), np.float32)

    def play(self, true: np.ndarray) -> tuple[float, float]:
        """One step of either, against each other.

        Parameters
        ----------
        true : ndarray, (B, T, 1)
            In [-1, 1].

        Returns
        -------
        generating, telling : float
            The losses of generator and discriminator; `TIE` where the windows cannot be told apart.
        """
        count = len(true)
        windows = np.concatenate([true, self.generator(self.noise(count))])
        said = self.discriminator(windows, training=True)
        targets = np.zeros_like(said)
        targets[:count] = SURE
        telling, gradient = self._loss.value_and_grad(targets, said)
        self.discriminator.backward(gradient)
        self._telling.apply(self.discriminator.variables)

        invented = self.generator(self.noise(count), training=True)
        said = self.discriminator(invented, training=True)
        generating, gradient = self._loss.value_and_grad(np.ones_like(said), said)
        through = self.discriminator.backward(gradient, need_dx=True)  # whose own gradients are not applied
        assert through is not None
        self.generator.backward(through)
        self._generating.apply(self.generator.variables)
        return generating, telling

    def train(self, windows: np.ndarray, settings: Settings, label: str) -> np.ndarray:
        """Play so many steps, each with windows (W, T, 1) drawn at random; the losses, (steps, 2)."""
        bounded = np.clip(windows / BOUND, -1, 1)
        losses = np.empty((settings.steps, 2))
        with Progress(settings.steps, label=label, leave=False) as bar:
            for step in range(settings.steps):
                losses[step] = self.play(bounded[self._rng.integers(len(bounded), size=settings.batch)])
                if not np.isfinite(losses[step]).all():
                    raise Refusal(f"the losses are {losses[step]} at step {step + 1}: --lr {settings.lr} is too large")
                bar.advance(1, generator=losses[step, 0], discriminator=losses[step, 1])
        return losses

    def generate(self, count: int) -> np.ndarray:
        """So many windows, (count, T, 1)."""
        return BOUND * self.generator.predict(self.noise(count), verbose=0)


# ---------------------------------------------------------------------------------------------------------- forecaster


def forecaster(settings: Settings, seed: int) -> Sequential:
    """A compiled model: T returns (B, T, 1) in, the next one (B, 1) out."""
    first, second = seeds(seed, 2)
    model = Sequential([CELLS[settings.cell](settings.units, seed=first), Dense(1, seed=second)])
    model.build((None, settings.window, 1))
    model.compile("adam", "mse")
    return model


def learn(windows: np.ndarray, settings: Settings, updates: int, seed: int, label: str) -> Sequential:
    """A forecaster that has learned from windows (W, T + 1, 1), in about so many steps."""
    model = forecaster(settings, seed)
    epochs = max(1, round(updates / math.ceil(len(windows) / settings.batch)))
    try:
        model.fit(
            windows[:, :-1],
            windows[:, -1],
            batch_size=settings.batch,
            epochs=epochs,
            verbose=0,
            callbacks=[Bar(label)],
            seed=seed,
        )
    except FloatingPointError as error:
        raise Refusal(str(error)) from error
    return model


@dataclass(frozen=True)
class Gain:
    """By how much the error falls, in the mean over the seeds, and the standard error of that mean."""

    mean: float
    doubt: float
    seeds: int

    @classmethod
    def of(cls, without: np.ndarray, with_: np.ndarray) -> Self:
        """From the errors of each seed, (S,)."""
        gains = without - with_
        doubt = gains.std(ddof=1) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
        return cls(float(gains.mean()), float(doubt), len(gains))

    @property
    def sure(self) -> bool:
        """Whether it is more than chance: three standard errors, which is one case in 25 with five seeds."""
        return self.seeds >= 5 and abs(self.mean) > 3 * self.doubt

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.sure:
            return "make no difference that so few seeds could show"
        return "help" if self.mean > 0 else "do harm"


# -------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastrnn demo gan`."""
    usual, whole = Settings(), number(int, 1)
    add = parser.add_argument_group("prices and models").add_argument
    add("--data", metavar="PATH", help="CSV of prices with a column Close, as for demo forecast (made-up prices)")
    add("--window", type=whole, metavar="N", help=f"returns that the next one is told from ({usual.window})")
    add("--held-out", type=whole, metavar="N", help=f"days at the end to test on ({usual.held_out})")
    add("--cell", choices=CELLS, help=f"recurrent cell of all models ({usual.cell})")
    add("--units", type=whole, metavar="N", help=f"hidden units of each ({usual.units})")
    add("--noise", type=whole, metavar="N", help=f"random numbers of a step of the generator ({usual.noise})")
    add = parser.add_argument_group("training").add_argument
    add("--steps", type=whole, metavar="N", help=f"of generator and discriminator ({usual.steps:,})")
    add("--lr", type=number(float, above=0), metavar="X", help=f"their learning rate ({usual.lr})")
    add("--epochs", type=whole, metavar="N", help=f"of the forecaster over both kinds of windows ({usual.epochs})")
    add("--batch", type=whole, metavar="N", help=f"windows of a step ({usual.batch})")
    add("--seeds", type=whole, metavar="N", help=f"whole runs to compare, from --seed on ({usual.seeds})")
    add_run_arguments(parser, "gan")


def run(options: argparse.Namespace) -> int:
    """Let them play, train the forecasters, compare, and return the exit code."""
    use_threads(options.threads)
    settings = given(Settings(), options)
    series = Series.of_file(options.data) if options.data else Series.made_up()
    windows = Windows.of(series.close, settings)
    print(
        f"{options.data or 'made-up prices'}: {len(series.close):,} days, {series.days[0]} to {series.days[-1]}; "
        f"{len(windows.train):,} windows of {settings.window} returns and the next one, the last {settings.held_out} "
        "days held out"
    )
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        errors = _run(windows, settings, options.out)
    except OSError as error:
        raise Refusal(f"cannot write {error.filename or options.out}: {error.strerror}") from error

    print(f"\n{'forecaster':13}  {'MAE':>10}  {'of each seed':>12}  {'gain':>20}")
    print(f"{'naive':13}  {windows.naive:10,.2f}")
    for name, each in errors.items():
        gain = Gain.of(errors[NOTHING], each)
        text = "" if name == NOTHING else f"{gain.mean:,.2f} +- {gain.doubt:,.2f}"
        print(f"{name:13}  {each.mean():10,.2f}  {'+-':>4} {each.std():7,.2f}  {text:>20}")
    print()
    for name in (GENERATED, SHUFFLED):
        print(f"{name.removeprefix('and ')} windows {Gain.of(errors[NOTHING], errors[name]).verdict}")
    between = Gain.of(errors[SHUFFLED], errors[GENERATED])
    if between.sure:
        print(f"generated windows are {'better' if between.mean > 0 else 'worse'} than shuffled ones")
    if min(each.mean() for each in errors.values()) >= windows.naive:
        print("no forecaster beats the naive forecast")
    return 0


def _run(windows: Windows, settings: Settings, folder: Path) -> dict[str, np.ndarray]:
    """Play and learn once for each seed; the errors of each kind of forecaster, (S,)."""
    errors: dict[str, list[float]] = {NOTHING: [], GENERATED: [], SHUFFLED: []}
    count, length = windows.train.shape[:2]
    updates = settings.epochs * math.ceil(2 * count / settings.batch)
    for number_, seed in enumerate(range(settings.seed, settings.seed + settings.seeds)):
        of_game, of_learning, of_shuffling = seeds(seed, 3)
        game = Game(settings, length, of_game)
        losses = game.train(windows.train, settings, f"game, seed {seed}")
        invented = game.generate(count)
        shuffled = windows.shuffled(count, of_shuffling)
        for name, more in ((NOTHING, invented[:0]), (GENERATED, invented), (SHUFFLED, shuffled)):
            both = np.concatenate([windows.train, more])
            model = learn(both, settings, updates, of_learning, f"forecaster, {name}")
            errors[name].append(windows.mae(model.predict(windows.x_test, verbose=0)))
            if number_ == 0 and name == GENERATED:
                first = model
        if number_ == 0:
            _show(windows, invented, shuffled)
            for model, name, x in (
                (game.generator, "generator", game.noise(64)),
                (game.discriminator, "discriminator", windows.train),
                (first, "forecaster", windows.x_test),
            ):
                keep(model, folder / f"{name}.fastrnn", x, {"scaler": windows.scaler.get_config()})
            kept = (invented, losses)
    results = {name: np.array(each) for name, each in errors.items()}
    places = np.linspace(0, count - 1, 6).astype(int)
    try:
        pictures.game(
            windows.paths(windows.train[places]), windows.paths(kept[0][:6]), kept[1], TIE, results, windows.naive,
            folder / PICTURE,
        )  # fmt: skip
        print(f"{folder / PICTURE}: true and invented windows, the game, and the forecasters' errors")
    except ImportError as error:
        print(f"no picture: {error}")
    return results


def _show(windows: Windows, invented: np.ndarray, shuffled: np.ndarray) -> None:
    """What true and invented returns are like."""
    kinds: Mapping[str, np.ndarray] = {"true": windows.train, "generated": invented, "shuffled": shuffled}
    print("\n" + "  ".join([f"{'returns':10}", *(f"{trait:>{max(9, len(trait))}}" for trait in TRAITS)]))
    for name, each in kinds.items():
        values = (f"{value:{max(9, len(trait))}.2f}" for trait, value in zip(TRAITS, traits(each), strict=True))
        print("  ".join([f"{name:10}", *values]))
    print()
