"""The demos' pictures; as those of `fastrnn.plots`, made and written without pyplot, if matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.plots import write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# hues that stay apart for the colour-blind (Okabe & Ito 2008), in the order in which models come
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('pictures need matplotlib: pip install "fastrnn[plot]"') from None
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def plain(axes: Axes) -> None:
    """No frame but the two axes, and a faint grid to read values off."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def histories(runs: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> Figure:
    """Accuracy and loss of several runs, training and validation.

    Parameters
    ----------
    runs : mapping of str to mapping of str to sequence of float
        By name: a `History.history` with "acc", "val_acc", "loss" and "val_loss".
    path : Path

    Returns
    -------
    matplotlib.figure.Figure
    """
    picture = figure(9.6, 4.2)
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    panels = picture.subplots(1, 2)
    for axes, key, title, best in zip(
        panels, ("acc", "loss"), ("accuracy", "loss"), (np.argmax, np.argmin), strict=True
    ):
        for colour, run in zip(COLOURS, runs.values(), strict=False):
            validation = run[f"val_{key}"]
            epochs = range(1, len(validation) + 1)
            axes.plot(epochs, run[key], color=colour, linewidth=1.4, linestyle=(0, (3, 2)))
            axes.plot(epochs, validation, color=colour, linewidth=2.0)
            place = int(best(validation))
            axes.plot(place + 1, validation[place], marker="o", markersize=7, color=colour, markeredgecolor="white")
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        plain(axes)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    named = [
        Line2D([], [], color=colour, linewidth=2.0, label=name) for colour, name in zip(COLOURS, runs, strict=False)
    ]
    kinds = [
        Line2D([], [], color="0.3", linewidth=2.0, marker="o", markersize=6, label="validation, its best epoch"),
        Line2D([], [], color="0.3", linewidth=1.4, linestyle=(0, (3, 2)), label="training"),
    ]
    picture.legend(handles=named + kinds, frameon=False, ncols=len(named) + 2, loc="outside lower center")
    write(picture, path)
    return picture


def forecasts(
    dates: Any, true: np.ndarray, naive: np.ndarray, predicted: Mapping[str, np.ndarray], unit: str, path: Path
) -> Figure:
    """What came, what was foretold, and by how much each forecast was off.

    Parameters
    ----------
    dates : array_like, (N,)
        Days, as datetime64, or their numbers.
    true, naive : ndarray, (N,)
    predicted : mapping of str to ndarray, (N,)
        By model.
    unit : str
        What the values are in.
    path : Path

    Returns
    -------
    matplotlib.figure.Figure
    """
    picture = figure(9.6, 6.4)
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import StrMethodFormatter

    above, below = picture.subplots(2, 1, height_ratios=(3, 1))
    above.plot(dates, true, color="black", linewidth=2.2, label="true")
    above.plot(dates, naive, color="0.6", linewidth=1.4, linestyle=(0, (3, 2)), label="naive: yesterday's")
    for colour, (name, values) in zip(COLOURS, predicted.items(), strict=False):
        above.plot(dates, values, color=colour, linewidth=1.4, label=name)
    above.set_ylabel(unit)
    if np.asarray(dates).dtype.kind == "M":
        locator = AutoDateLocator()
        above.xaxis.set_major_locator(locator)
        above.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        above.set_xlabel("day")
    above.margins(x=0.01)
    picture.legend(frameon=False, ncols=2 + len(predicted), loc="outside upper center")
    plain(above)

    names = ["naive", *predicted]
    errors = np.array([naive - true, *[values - true for values in predicted.values()]])
    places = np.arange(len(names))
    colours = ("0.6", *COLOURS[: len(predicted)])
    mae, rmse = np.abs(errors).mean(axis=1), np.sqrt(np.square(errors).mean(axis=1))
    below.bar(places - 0.2, mae, 0.38, color=colours)
    below.bar(places + 0.2, rmse, 0.38, color=colours, alpha=0.55)
    for place, values in zip(places, np.column_stack([mae, rmse]), strict=True):
        for shift, value, kind in zip((-0.2, 0.2), values, ("MAE", "RMSE"), strict=True):
            below.annotate(
                f"{kind}\n{value:,.{2 if value < 100 else 0}f}",
                (place + shift, value),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7.5,
            )
    below.margins(y=0.4)
    below.set_xticks(places, names)
    below.set_ylabel("error")
    plain(below)
    for axes in (above, below):
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    write(picture, path)
    return picture


def confusions(matrices: Mapping[str, np.ndarray], classes: Sequence[str], path: Path) -> Figure:
    """What pictures are, and what models took them for.

    Parameters
    ----------
    matrices : mapping of str to ndarray of int, (C, C)
        By model: how many pictures of each class (row) were taken for each class (column).
    classes : sequence of str
        C names.
    path : Path

    Returns
    -------
    matplotlib.figure.Figure
    """
    longest = max(map(len, classes))
    classes = [each.replace("$", r"\$") for each in classes]  # of a formula
    size = min(max(3.0, 0.34 * len(classes)), 12.0)
    picture = figure((size + 0.4) * len(matrices) + 0.1 * longest + 0.4, size + 0.1 * longest + 0.9)
    panels = picture.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    places = np.arange(len(classes))
    for axes, (name, matrix) in zip(panels, matrices.items(), strict=True):
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
        for row, column in np.argwhere(matrix) if len(classes) <= 40 else ():  # else they would not be legible
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour, fontsize=8)
        axes.set_title(f"{name}: {np.trace(matrix) / max(matrix.sum(), 1):.1%} right", fontsize=11)
        axes.set_xticks(places, classes, rotation=0 if longest < 3 else 90)
        axes.set_yticks(places, classes)
        axes.set_xlabel("taken for")
        axes.tick_params(length=0)
        axes.spines[:].set_color("0.8")
    panels[0].set_ylabel("is")
    write(picture, path)
    return picture


def shapes(
    shares: Mapping[str, tuple[float, float]], matrix: np.ndarray | None, classes: Sequence[str], path: Path
) -> Figure:
    """What several models get right, and what one of them takes for what.

    Parameters
    ----------
    shares : mapping of str to (float, float)
        By model: its accuracy, and that of always giving the commonest answer.
    matrix : ndarray of int, (C, C), optional
        How much of each class (row) was taken for each class (column).
    classes : sequence of str
        C names.
    path : Path

    Returns
    -------
    matplotlib.figure.Figure
    """
    picture = figure(12.0 if matrix is not None else 7.2, 5.6 if matrix is not None else 0.5 * len(shares) + 1.4)
    from matplotlib.ticker import PercentFormatter

    panels = picture.subplots(1, 1 if matrix is None else 2, squeeze=False)[0]
    bars = panels[0]
    places = np.arange(len(shares))
    values, chances = np.array(list(shares.values())).T
    bars.barh(places, values, 0.6, color=COLOURS[0])
    bars.plot(chances, places, marker="|", markersize=24, markeredgewidth=2.2, linestyle="", color=COLOURS[1])
    for place, value in zip(places, values, strict=True):
        bars.annotate(f"{value:.1%}", (value, place), xytext=(12, 0), textcoords="offset points", va="center")
    bars.set_yticks(places, [name.replace(": ", ":\n") for name in shares])
    bars.invert_yaxis()
    bars.set_xlim(0, 1.1)
    bars.set_xticks(np.linspace(0, 1, 6))
    bars.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    bars.set_title("right; the mark: always the commonest answer", fontsize=11)
    plain(bars)
    bars.grid(visible=False, axis="y")
    if matrix is not None:
        counts = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        panels[1].imshow(matrix / counts, cmap="Blues", vmin=0.0, vmax=1.0)
        panels[1].set_xticks(np.arange(len(classes)), classes, rotation=90)
        panels[1].set_yticks(np.arange(len(classes)), classes)
        panels[1].set_xlabel("taken for")
        panels[1].set_title("share of each language's names", fontsize=11)
        panels[1].tick_params(length=0)
        panels[1].spines[:].set_color("0.8")
    write(picture, path)
    return picture


def game(
    true: np.ndarray,
    invented: np.ndarray,
    losses: np.ndarray,
    tie: tuple[float, float],
    errors: Mapping[str, np.ndarray],
    naive: float,
    path: Path,
) -> Figure:
    """True windows of prices, invented ones, how these came about, and what forecasters learned from them.

    Parameters
    ----------
    true, invented : ndarray, (N, T)
        Prices.
    losses : ndarray, (S, 2)
        Of generator and discriminator, step by step.
    tie : tuple of float
        Theirs where true and invented windows cannot be told apart.
    errors : mapping of str to ndarray
        Of several forecasters, by kind.
    naive : float
        That of the naive forecast.
    path : Path

    Returns
    -------
    matplotlib.figure.Figure
    """
    picture = figure(9.6, 6.8)
    above, below = picture.subplots(2, 2)
    above[1].sharey(above[0])
    for axes, paths, colour, title in zip(
        above, (true, invented), COLOURS, ("true windows", "generated windows"), strict=False
    ):
        axes.plot(paths.T, color=colour, linewidth=1.2, alpha=0.8)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("day")
        axes.margins(x=0.01)
        plain(axes)
    above[0].set_ylabel("price, 100 at first")
    for values, colour, name in zip(losses.T, COLOURS[2:], ("generator", "discriminator"), strict=False):
        below[0].plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=0.8, label=name)
    for level, colour in zip(tie, COLOURS[2:], strict=False):
        below[0].axhline(level, color=colour, linewidth=1.0, linestyle=(0, (3, 2)))
    below[0].set_xlabel("step")
    below[0].set_ylabel("loss")
    below[0].set_title("the game; dashed: cannot be told apart", fontsize=11)
    below[0].margins(x=0.01)
    below[0].legend(frameon=False)
    plain(below[0])
    for place, (each, colour) in enumerate(zip(errors.values(), COLOURS, strict=False)):
        below[1].plot(np.full(len(each), place), each, "o", color=colour, alpha=0.5, markeredgecolor="none")
        below[1].hlines(each.mean(), place - 0.25, place + 0.25, color=colour, linewidth=2.2)
    below[1].axhline(naive, color="0.4", linewidth=0.8, linestyle=(0, (3, 2)))
    below[1].set_xticks(range(len(errors)), list(errors))
    below[1].set_xlim(-0.6, len(errors) - 0.4)
    below[1].set_ylabel("mean absolute error")
    below[1].set_title("forecasters, a dot for each seed; dashed: naive", fontsize=11)
    plain(below[1])
    write(picture, path)
    return picture


Wave = tuple[np.ndarray, np.ndarray, np.ndarray]  # times in radians, what is true and what was said there, each (N,)


def wave(learning: Wave, after: Wave, losses: np.ndarray, path: Path) -> Figure:
    """A wave that a model learned, how it goes on without learning, and the error on the way.

    Parameters
    ----------
    learning, after : tuple of ndarray
        Times, true values and predictions, (N,) each: the end of the learning, and what came after it.
    losses : ndarray, (S,)
        Mean squared error at each step of the learning.
    path : Path

    Returns
    -------
    matplotlib.figure.Figure
    """
    picture = figure(9.6, 5.4)
    from matplotlib.ticker import MaxNLocator

    above, below = picture.subplots(2, 1, height_ratios=(3, 2))
    times, true, _ = (np.concatenate(parts) for parts in zip(learning, after, strict=True))
    above.plot(times / np.pi, true, color="0.75", linewidth=3.5, label="cosine")
    for part, colour, when in zip((learning, after), COLOURS, ("while learning", "afterwards"), strict=False):
        above.plot(part[0] / np.pi, part[2], color=colour, linewidth=1.6, label=f"predicted {when}")
    above.axvline(learning[0][-1] / np.pi, color="0.4", linewidth=0.8, linestyle=(0, (3, 2)))
    above.set_xlabel("time, half waves")
    above.xaxis.set_major_locator(MaxNLocator(integer=True))
    above.margins(x=0.01)
    above.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    plain(above)
    below.plot(np.arange(1, len(losses) + 1), losses, color=COLOURS[0], linewidth=1.4)
    below.set_yscale("log")
    below.set_xlabel("segment")
    below.set_ylabel("mean squared error")
    below.margins(x=0.01)
    plain(below)
    write(picture, path)
    return picture


class LiveWave:
    """The latest segments of a wave in a window, while they are learned; this alone is pyplot's.

    Parameters
    ----------
    pyplot : module
        matplotlib.pyplot.
    figure : matplotlib.figure.Figure
        Its window, empty.
    shown : int
        Segments that stay to be seen.
    pause : float
        Seconds that a drawing stays at least.
    """

    def __init__(self, pyplot: Any, figure: Figure, shown: int = 10, pause: float = 0.05) -> None:
        self._pyplot, self._figure, self._shown, self._pause = pyplot, figure, shown, pause
        self._axes = axes = figure.add_subplot()
        self._true = axes.plot([], [], color="0.75", linewidth=3.5, label="cosine")[0]
        self._said = axes.plot([], [], color=COLOURS[0], linewidth=1.6, label="predicted")[0]
        axes.set_xlabel("time, half waves")
        axes.set_ylim(-1.6, 1.6)
        axes.legend(frameon=False, ncols=2, loc="upper left")
        plain(axes)
        self._segments: list[Wave] = []

    @classmethod
    def open(cls) -> LiveWave | None:
        """A window, or None where matplotlib is absent or has no screen."""
        try:
            from matplotlib import pyplot

            figure = pyplot.figure(figsize=(9.6, 3.6), layout="constrained")
        except ImportError:  # also of a backend that was asked for and needs a screen
            return None
        if figure.canvas.required_interactive_framework is None:  # type: ignore[attr-defined, unused-ignore]
            pyplot.close(figure)
            return None
        return cls(pyplot, figure)

    def draw(self, times: np.ndarray, true: np.ndarray, said: np.ndarray) -> None:
        """Add a segment, (T,) each, unless the window was closed."""
        if not self._pyplot.fignum_exists(self._figure.number):
            return
        self._segments = [*self._segments, (times / np.pi, true, said)][-self._shown :]
        x, one, other = (np.concatenate(parts) for parts in zip(*self._segments, strict=True))
        self._true.set_data(x, one)
        self._said.set_data(x, other)
        self._axes.set_xlim(x[0], max(x[-1], x[0] + self._shown))
        self._pyplot.pause(self._pause)

    def wait(self) -> None:
        """Until the window is closed."""
        if self._pyplot.fignum_exists(self._figure.number):
            self._pyplot.show()
