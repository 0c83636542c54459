"""Tomorrow's price from the last sixty days: MLP, SimpleRNN, LSTM and GRU against yesterday's price.

Every model is fed with windows of 60 daily closes and is to tell the next one. The last 60 days are held out; what the
models see is scaled to [0, 1] by the range of the days before them, and of these alone.

      close[0 : 60]    -> close[60]
      close[1 : 61]    -> close[61]          the training part
      ...
      close[-61 : -1]  -> close[-1]          the last of the 60 windows that are tested

The test is whether a model is nearer to the truth than the naive forecast, which says that nothing changes: tomorrow's
price is today's. A curve of predictions that runs a day behind the true one looks good and is worth no more.

The prices are those of a file (`--data`), or else made up: a random walk with a weekly rhythm, which can be foretold in
part.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self, TextIO

import numpy as np

from fastrnn.demos import Refusal, pictures
from fastrnn.demos.common import Bar, Clock, add_run_arguments, given, keep, number, seeds, use_threads
from fastrnn.layers import GRU, LSTM, Dense, Dropout, Flatten, SimpleRNN
from fastrnn.layers.base import Layer
from fastrnn.models import Sequential
from fastrnn.preprocessing.scale import MinMaxScaler
from fastrnn.preprocessing.windows import sliding_windows
from fastrnn.progress import Progress

DAY = 86_400  # seconds

# lines of a file: its head, and what is read at a time
HEAD, CHUNK = 1, 100_000

PICTURE = "forecast.png"


@dataclass(frozen=True)
class Settings:
    """What decides, with the prices, which weights a run ends with."""

    window: int = 60
    held_out: int = 60
    units: tuple[int, ...] = (128, 256, 512)
    gated: int = 64
    batch: int = 64
    epochs: int = 50
    seed: int = 0


# With the made-up prices the whole demo takes seconds.
BUNDLED = Settings(units=(32, 48, 64), gated=32, epochs=100)


# -------------------------------------------------------------------------------------------------------------- prices


@dataclass(frozen=True)
class Series:
    """The close of each day (N,), and the days as datetime64 (N,), or as numbers where the file has no dates."""

    days: np.ndarray
    close: np.ndarray

    @classmethod
    def of_rows(cls, days: np.ndarray, close: np.ndarray, dated: bool) -> Self:
        """One close for each day, the mean of its rows; rows without a number do not count."""
        known = ~np.isnan(close)
        days, place = np.unique(days[known], return_inverse=True)
        mean = np.bincount(place, close[known]) / np.bincount(place)
        return cls(days.astype("datetime64[D]") if dated else days, mean)

    @classmethod
    def made_up(cls, count: int = 800) -> Self:
        """A random walk with a weekly rhythm, always the same."""
        rng = np.random.default_rng(5)
        day = np.arange(count)
        walk = np.cumsum(0.01 * rng.standard_normal(count))
        close = 100 * np.exp(walk + 0.03 * np.sin(2 * np.pi * day / 7))
        return cls(day, close)

    @classmethod
    def of_file(cls, path: str) -> Self:
        """Those of a CSV file with a head, plain or compressed by gzip.

        It has a column Close, and Timestamp (seconds since 1970, several rows a day: the minute file) or Date
        (2021-03-31); without either its rows are days in their order.
        """
        try:
            with _open(path) as file:
                return cls._of(file, path)
        except UnicodeDecodeError as error:
            raise Refusal(f"{path} is not UTF-8 text: {error}") from error
        except (OSError, EOFError, zlib.error) as error:
            raise Refusal(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error

    @classmethod
    def _of(cls, file: TextIO, path: str) -> Self:
        head = [name.strip().strip('"').lower() for name in file.readline().split(",")]
        if "close" not in head:
            raise Refusal(f"{path} must have a column Close, got {', '.join(head)}")
        time = next((name for name in ("timestamp", "date") if name in head), None)
        columns = (head.index(time) if time else None, head.index("close"))
        days: list[np.ndarray] = [np.empty(0)]
        close: list[np.ndarray] = [np.empty(0)]
        line = HEAD + 1
        with Progress(None, label="reading prices", unit="rows", leave=False) as bar:
            while rows := list(itertools.islice(file, CHUNK)):
                values = _quickly(rows, columns) if time == "timestamp" else None
                if values is None:
                    values = np.array(list(_carefully(rows, columns, path, line, time)), np.float64).reshape(-1, 2)
                days.append(values[:, 0] // DAY if time == "timestamp" else values[:, 0])
                close.append(values[:, 1])
                line += len(rows)
                bar.advance(len(rows))
        return cls.of_rows(np.concatenate(days).astype(np.int64), np.concatenate(close), time is not None)


def _open(path: str) -> TextIO:
    """A text file, unpacked if it is compressed by gzip, whatever its name."""
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8-sig") if compressed else open(path, encoding="utf-8-sig")


def _quickly(rows: list[str], columns: tuple[Any, int]) -> np.ndarray | None:
    """Two columns of numbers, (N, 2); None where something is not plainly a number. A million rows take a second."""
    if rows[0].isspace():
        return None
    try:
        values: np.ndarray = np.loadtxt(rows, delimiter=",", usecols=columns, ndmin=2, comments=None)
    except ValueError:
        return None
    return values if _plausible(values[:, 0]).all() and not np.isinf(values[:, 1]).any() else None


def _carefully(
    rows: list[str], columns: tuple[Any, int], path: str, first: int, time: str | None
) -> Iterator[tuple[float, float]]:
    """The same row by row, which takes any file and names the line that is wrong; an empty close is NaN."""
    rules = {
        "timestamp": "seconds since 1970 and a close",
        "date": "a date such as 2021-03-31 and a close",
        None: "a close",
    }
    for line, row in enumerate(rows, first):
        if row.isspace():
            continue
        fields = [text.strip().strip('"') for text in row.split(",")]
        try:
            when = line - HEAD if time is None else MOMENTS[time](fields[columns[0]])
            close = float(fields[columns[1]] or "nan")
            if np.isinf(close):
                raise ValueError
        except (IndexError, ValueError):
            raise Refusal(f"{path}, line {line}: must hold {rules[time]}, got {row.strip()!r}") from None
        yield when, close


def _second(text: str) -> float:
    value = float(text)
    if not _plausible(np.array(value)):
        raise ValueError
    return value


def _plausible(seconds: np.ndarray) -> np.ndarray:
    """Not NaN, and not milliseconds: up to the year 5138."""
    return (seconds >= 0) & (seconds < 1e11)


def _day(text: str) -> float:
    """Days since 1970; a time of day after the date is left out."""
    return date.fromisoformat(text[:10]).toordinal() - date(1970, 1, 1).toordinal()


MOMENTS = {"timestamp": _second, "date": _day}


# -------------------------------------------------------------------------------------------------------------- models


def mlp(settings: Settings, seed: int) -> list[Layer]:
    """Dense layers that treat every day of the window alike, and one over all that they say."""
    first, second, third = seeds(seed, 3)
    return [
        Dense(56, activation="relu", seed=first),
        Dense(32, activation="relu", seed=second),
        Flatten(),
        Dense(1, seed=third),
    ]


def rnn(settings: Settings, seed: int) -> list[Layer]:
    """Three SimpleRNN layers, thinned out, and one dense layer over all steps of the last."""
    layers: list[Layer] = []
    draws = iter(seeds(seed, 2 * len(settings.units) + 1))
    for units, rate in zip(settings.units, (0.25, 0.25, 0.35), strict=True):
        layers.append(SimpleRNN(units, activation="relu", return_sequences=True, seed=next(draws)))
        layers.append(Dropout(rate, seed=next(draws)))
    return [*layers, Flatten(), Dense(1, seed=next(draws))]


def lstm(settings: Settings, seed: int) -> list[Layer]:
    """Two LSTM layers; the last state of the second tells the price."""
    first, second, third = seeds(seed, 3)
    return [
        LSTM(settings.gated, return_sequences=True, seed=first),
        LSTM(settings.gated, seed=second),
        Dense(1, seed=third),
    ]


def gru(settings: Settings, seed: int) -> list[Layer]:
    """The same of GRU layers."""
    first, second, third = seeds(seed, 3)
    return [
        GRU(settings.gated, return_sequences=True, seed=first),
        GRU(settings.gated, seed=second),
        Dense(1, seed=third),
    ]


MODELS: Mapping[str, tuple[str, Callable[[Settings, int], list[Layer]]]] = {
    "mlp": ("MLP", mlp),
    "rnn": ("SimpleRNN", rnn),
    "lstm": ("LSTM", lstm),
    "gru": ("GRU", gru),
}


def build_model(name: str, settings: Settings) -> Sequential:
    """The model of a name in `MODELS`, compiled: windows (B, window, 1) in, scaled closes (B, 1) out."""
    model = Sequential(MODELS[name][1](settings, settings.seed))
    model.build((None, settings.window, 1))
    model.compile("adam", "mse")
    return model


# ------------------------------------------------------------------------------------------------------------ training


@dataclass(frozen=True)
class Windows:
    """What the models see of a series: windows (W, window, 1) and what follows them (W, 1), scaled, in float32."""

    scaler: MinMaxScaler
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    x_next: np.ndarray  # the last window, which the day after the series' end follows

    @classmethod
    def of(cls, close: np.ndarray, settings: Settings) -> Self:
        """Cut a series; the scaler learns from the training part only."""
        size, held_out = settings.window, settings.held_out
        if len(close) < size + held_out + 1:
            raise Refusal(
                f"{len(close)} days are too few: windows of {size}, {held_out} held-out days and one to train on "
                f"make {size + held_out + 1}"
            )
        scaler = MinMaxScaler().fit(close[:-held_out, np.newaxis])
        scaled = scaler.transform(close[:, np.newaxis])
        x_train, y_train = sliding_windows(scaled[:-held_out], size)
        x_test, _ = sliding_windows(scaled[-held_out - size :], size)
        parts = (x_train, y_train[:, 0], x_test, scaled[np.newaxis, -size:])
        return cls(scaler, *(np.ascontiguousarray(part, np.float32) for part in parts))

    def prices(self, scaled: np.ndarray) -> np.ndarray:
        """What a model says (W, 1), as prices (W,)."""
        return self.scaler.inverse_transform(scaled.astype(np.float64))[:, 0]


@dataclass(frozen=True)
class Errors:
    """How far a forecast was off, in the unit of the prices."""

    mae: float  # mean of the absolute errors
    rmse: float  # root of the mean squared error
    gain: float  # by how much the absolute error of the naive forecast is larger, in the mean over the days
    doubt: float  # standard error of that mean

    @classmethod
    def of(cls, predicted: np.ndarray, true: np.ndarray, naive: np.ndarray) -> Self:
        """Compare a forecast with what came and with the naive forecast, all (N,)."""
        error = predicted - true
        gains = np.abs(naive - true) - np.abs(error)
        doubt = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
        return cls(
            float(np.abs(error).mean()), float(np.sqrt(np.square(error).mean())), float(gains.mean()), float(doubt)
        )

    def verdict(self, naive: Self) -> str:
        """In words, against the errors of the naive forecast."""
        if self.mae < naive.mae and self.rmse < naive.rmse:
            sure = self.gain > 2 * self.doubt
            return "beats the naive forecast" + ("" if sure else ", but by no more than chance can do in so few days")
        if self.mae < naive.mae or self.rmse < naive.rmse:
            better, worse = ("MAE", "RMSE") if self.mae < naive.mae else ("RMSE", "MAE")
            return f"does not beat the naive forecast: better by {better}, worse by {worse}"
        return "does not beat the naive forecast"


def train(model: Sequential, windows: Windows, settings: Settings, title: str) -> float:
    """Train a model and return the median of an epoch's seconds."""
    clock = Clock()
    try:
        history = model.fit(
            windows.x_train,
            windows.y_train,
            batch_size=settings.batch,
            epochs=settings.epochs,
            verbose=0,
            callbacks=[clock, Bar(title)],
            seed=settings.seed,
        )
    except FloatingPointError as error:
        raise Refusal(str(error)) from error
    print(
        f"\n{title}: {model.parameters:,} parameters, {settings.epochs} epochs, loss {history.history['loss'][-1]:.3g}"
    )
    return clock.median


# -------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastrnn demo forecast`."""
    whole = number(int, 1)
    usual, small = Settings(), BUNDLED
    add = parser.add_argument_group("prices and models").add_argument
    add("--data", metavar="FILE", help="a CSV with Close and Timestamp or Date, or its .gz (made-up prices)")
    add("--model", choices=MODELS, nargs="+", default=list(MODELS), help="models to compare (all)")
    add("--window", type=whole, metavar="N", help=f"days that a model sees ({usual.window})")
    add("--held-out", type=whole, metavar="N", help=f"days at the end to test on ({usual.held_out})")
    add(
        "--units",
        type=whole,
        nargs=3,
        metavar="N",
        help=f"hidden units of the SimpleRNN layers ({_words(usual)}; made-up prices: {_words(small)})",
    )
    add(
        "--gated",
        type=whole,
        metavar="N",
        help=f"hidden units of each LSTM or GRU layer ({usual.gated}; made-up prices: {small.gated})",
    )
    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=whole, metavar="N", help=f"({usual.epochs}; made-up prices: {small.epochs})")
    add("--batch", type=whole, metavar="N", help=f"windows of a step ({usual.batch})")
    add_run_arguments(parser, "forecast")


def _words(settings: Settings) -> str:
    return " ".join(map(str, settings.units))


def run(options: argparse.Namespace) -> int:
    """Train the models, compare them with the naive forecast, and return the exit code."""
    use_threads(options.threads)
    settings = given(Settings() if options.data else BUNDLED, options)
    series = Series.of_file(options.data) if options.data else Series.made_up()
    windows = Windows.of(series.close, settings)
    true, naive = series.close[-settings.held_out :], series.close[-settings.held_out - 1 : -1]
    days = series.days[-settings.held_out :]
    print(
        f"{options.data or 'made-up prices'}: {len(series.close):,} days, {series.days[0]} to {series.days[-1]}; "
        f"{len(windows.x_train):,} windows of {settings.window} to train on, the last {settings.held_out} days held out"
    )
    predicted: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    coming: dict[str, float] = {}
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys(options.model):
            title = MODELS[name][0]
            model = build_model(name, settings)
            seconds[title] = train(model, windows, settings, title)
            predicted[title] = windows.prices(model.predict(windows.x_test, verbose=0))
            coming[title] = float(windows.prices(model.predict(windows.x_next, verbose=0))[0])
            keep(model, options.out / f"{name}.fastrnn", windows.x_test, {"scaler": windows.scaler.get_config()})
        try:
            pictures.forecasts(days, true, naive, predicted, "close in dollars", options.out / PICTURE)
            print(f"{options.out / PICTURE}: true and predicted closes of the held-out days")
        except ImportError as error:
            print(f"no picture: {error}")
    except OSError as error:
        raise Refusal(f"cannot write {error.filename or options.out}: {error.strerror}") from error

    print(f"\n{'in dollars':10}  {'MAE':>10}  {'RMSE':>10}  {'gain a day':>20}  {'next day':>10}  seconds an epoch")
    zero = Errors.of(naive, true, naive)
    print(f"{'naive':10}  {zero.mae:10,.2f}  {zero.rmse:10,.2f}  {'':20}  {series.close[-1]:10,.2f}")
    errors = {title: Errors.of(values, true, naive) for title, values in predicted.items()}
    for title, each in errors.items():
        gain = f"{each.gain:,.2f} +- {each.doubt:,.2f}"
        print(
            f"{title:10}  {each.mae:10,.2f}  {each.rmse:10,.2f}  {gain:>20}  {coming[title]:10,.2f}  "
            f"{seconds[title]:16.2f}"
        )
    print()
    for title, each in errors.items():
        print(f"{title} {each.verdict(zero)}")
    return 0
