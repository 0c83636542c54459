"""Sine to cosine: a recurrent layer learns while it runs, its state carried from segment to segment.

At every point the model sees one value, the sine, and gives one, the cosine. The sine alone does not tell the cosine's
sign: whether the wave rises or falls is in what came before, so the model has to remember.

      segment        0                 1                 2
      sine           /^^\\              \\__/              /^^\\         what it sees, 10 points of half a wave
      state       0 ------> h0 ======> h0 ------> h1 ======> h1 ------> h2
                    <------             <------             <------
                   gradients           gradients           gradients  end where the segment begins

Every segment is seen once, learned from once, and left behind. The layer is `stateful`: it goes on from the state it
ended with, as a plain number that no gradient passes (truncated back-propagation through time).

`train` is the loop, written with the model's public forward and backward passes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastrnn.demos import Refusal, pictures
from fastrnn.demos.common import CELLS, add_run_arguments, given, keep, number, use_threads
from fastrnn.layers import Dense
from fastrnn.models import Sequential, load_model
from fastrnn.optimizers import Adam
from fastrnn.progress import Progress
from fastrnn.schedules import CosineDecay

LAST = 10  # segments that the result is taken from

MODEL, PICTURE = "model.fastrnn", "wave.png"


@dataclass(frozen=True)
class Settings:
    """What decides how a run ends."""

    cell: str = "rnn"
    units: int = 32
    points: int = 10
    steps: int = 100
    lr: float = 0.02
    fall: bool = False  # of the learning rate, along half a cosine to 0 at the last step
    seed: int = 0


# With a constant rate more steps do not do it: of 60 seeds 34 end above 0.05 after 100 steps and 1 after 400, but
# 2 after 1,000, for a jump in the loss can come at any time. With the falling rate the worst one is at 0.035 after
# 300 steps and at 0.006 after 400.
STEADY = Settings(steps=400, fall=True)


# --------------------------------------------------------------------------------------------------------------- waves


def segment(step: int, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half a wave.

    Parameters
    ----------
    step : int
        Its number.
    points : int
        T; the first and the last are those that neighbours share.

    Returns
    -------
    times : ndarray, (T,)
        From step pi to (step + 1) pi, in radians.
    sine, cosine : ndarray, (1, T, 1)
        A batch of one row, as the model takes it and gives it.
    """
    times = np.linspace(step * np.pi, (step + 1) * np.pi, points, dtype=np.float32)
    return times, np.sin(times).reshape(1, -1, 1), np.cos(times).reshape(1, -1, 1)


def segments(first: int, count: int, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same for several in a row."""
    times, sine, cosine = zip(*(segment(first + each, points) for each in range(count)), strict=True)
    return np.concatenate(times), np.concatenate(sine, axis=1), np.concatenate(cosine, axis=1)


# --------------------------------------------------------------------------------------------------------------- model


def build_model(settings: Settings) -> Sequential:
    """A recurrent layer that carries its state, and one number made of its output.

    Weights begin as PyTorch's do, uniform within 1 / sqrt(units), and so does Adam's epsilon, for this case is known
    from there. PyTorch's SimpleRNN and LSTM have two biases that are only ever added up; the one here begins with the
    sum of two draws.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    Sequential
        Built and compiled; (1, T, 1) in and out.
    """
    recurrent = CELLS[settings.cell](settings.units, return_sequences=True, stateful=True)
    model = Sequential([recurrent, Dense(1)])
    model.build((None, None, 1))
    rng, limit = np.random.default_rng(settings.seed), 1 / math.sqrt(settings.units)
    weights = [rng.uniform(-limit, limit, weight.shape) for weight in model.get_weights()]
    if weights[2].ndim == 1:  # a GRU has both biases, in two rows
        weights[2] += rng.uniform(-limit, limit, weights[2].shape)
    model.set_weights(weights)
    rate = CosineDecay(settings.lr, settings.steps) if settings.fall else settings.lr
    model.compile(Adam(rate, epsilon=1e-8), "mse")
    return model


@dataclass(frozen=True)
class Learned:
    """What happened at each step."""

    losses: np.ndarray  # (steps,): mean squared error, before the step's update
    predictions: np.ndarray  # (steps, T): what the model said then

    @property
    def result(self) -> float:
        """The mean squared error over the last segments."""
        return float(self.losses[-LAST:].mean())


def train(
    model: Sequential, settings: Settings, watch: Callable[[int, np.ndarray, float], Any] = lambda *_: None
) -> Learned:
    """Learn from one segment after the other.

    Parameters
    ----------
    model : Sequential
        As `build_model` made it.
    settings : Settings
    watch : callable, optional
        Is told of every step: its number, the prediction (T,) and its mean squared error.
    """
    optimizer, loss = model.optimizer, model.loss
    assert optimizer is not None and loss is not None
    losses, predictions = np.empty(settings.steps), np.empty((settings.steps, settings.points), np.float32)
    for step in range(settings.steps):
        _, sine, cosine = segment(step, settings.points)
        prediction = model(sine, training=True)  # from the state that the segment before has left
        losses[step], gradient = loss.value_and_grad(cosine, prediction)
        if not math.isfinite(losses[step]):
            raise Refusal(f"the loss is {losses[step]} at step {step + 1}: --lr {settings.lr} is too large")
        model.backward(gradient)  # ends where the segment begins
        optimizer.apply(model.variables)
        predictions[step] = prediction[0, :, 0]
        watch(step, predictions[step], float(losses[step]))
    return Learned(losses, predictions)


def results(settings: Settings, seeds: Iterable[int]) -> np.ndarray:
    """The result of a run with each seed: the mean squared error over its last segments, (S,)."""
    runs = [replace(settings, seed=seed) for seed in seeds]
    found = []
    with Progress(len(runs), label="learning", unit="seeds") as bar:
        for run in runs:
            found.append(train(build_model(run), run).result)
            bar.advance(1, mse=found[-1])
    return np.array(found)


# -------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastrnn demo wave`."""
    whole = number(int, 1)
    add = parser.add_argument_group("model and training").add_argument
    add("--cell", choices=CELLS, help=f"recurrent cell ({Settings.cell})")
    add("--units", type=whole, metavar="N", help=f"hidden units ({Settings.units})")
    add("--points", type=whole, metavar="N", help=f"points of a segment, which is half a wave ({Settings.points})")
    add("--steps", type=whole, metavar="N", help=f"segments to learn from ({Settings.steps}; --steady: {STEADY.steps})")
    add("--lr", type=number(float, above=0), metavar="X", help=f"learning rate of Adam ({Settings.lr})")
    add("--steady", action="store_true", help="more steps, and a rate that falls to 0: every seed ends well")
    add_run_arguments(parser, "wave")
    add = parser.add_argument_group("what to see").add_argument
    add(
        "--live", action=argparse.BooleanOptionalAction, default=True,
        help="draw while it learns, where matplotlib has a screen",
    )  # fmt: skip
    add("--seeds", type=whole, metavar="N", help="instead of all that: the results of so many seeds, from --seed on")


def run(options: argparse.Namespace) -> int:
    """Learn, say how well, and return the exit code."""
    use_threads(options.threads)
    settings = given(STEADY if options.steady else Settings(), options)
    model = build_model(settings)
    name, falling = CELLS[settings.cell].__name__, ", falling to 0" if settings.fall else ""
    print(
        f"{name} of {settings.units}, {model.parameters:,} parameters; {settings.steps} segments of {settings.points} "
        f"points, Adam {settings.lr:g}{falling}"
    )
    if options.seeds is not None:
        found = results(settings, range(settings.seed, settings.seed + options.seeds))
        low, middle, high = np.quantile(found, [0, 0.5, 1])
        print(f"mean squared error over the last {LAST} segments, {len(found)} seeds:")
        print(f"min {low:.4f}  median {middle:.4f}  max {high:.4f}  below 0.05: {np.mean(found < 0.05):.0%}")
        return 0
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        _run(model, settings, options)
    except OSError as error:
        raise Refusal(f"cannot write {error.filename or options.out}: {error.strerror}") from error
    return 0


def _run(model: Sequential, settings: Settings, options: argparse.Namespace) -> None:
    screen = pictures.LiveWave.open() if options.live else None
    shown_every = math.ceil(settings.steps / 100)
    with Progress(settings.steps, label="learning", unit="segments") as bar:

        def watch(step: int, prediction: np.ndarray, loss: float) -> None:
            bar.advance(1, mse=loss)
            if screen is not None and step % shown_every == 0:
                times, _, cosine = segment(step, settings.points)
                screen.draw(times, cosine[0, :, 0], prediction)

        learned = train(model, settings, watch)
    for end in np.unique(np.linspace(0, settings.steps, 11, dtype=int))[1:]:
        part = learned.losses[max(0, end - LAST) : end]
        print(f"segments {end - len(part) + 1:4d} to {end:4d}  mean squared error {part.mean():.4f}")

    times, sine, cosine = segments(settings.steps, LAST, settings.points)
    keep(model, options.out / MODEL, sine)
    after = load_model(options.out / MODEL).predict(sine, verbose=0)  # goes on from the state that the file holds
    print(f"the next {LAST} segments, without learning: {np.mean((after - cosine) ** 2):.4f}")
    count = min(LAST, settings.steps)
    before = segments(settings.steps - count, count, settings.points)
    try:
        pictures.wave(
            (before[0], before[2][0, :, 0], learned.predictions[-count:].ravel()),
            (times, cosine[0, :, 0], after[0, :, 0]),
            learned.losses,
            options.out / PICTURE,
        )
        print(f"{options.out / PICTURE}: the last {count} segments of learning, the next {LAST}, and the error")
    except ImportError as error:
        print(f"no picture: {error}")
    if screen is not None:
        print("close the window to end")
        screen.wait()
