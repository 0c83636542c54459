"""Pictures, drawn with matplotlib where it is installed (`pip install "fastrnn[plot]"`).

A figure is made and written without pyplot, so no screen is needed and the caller's backend is left alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastrnn import validate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# two hues that stay apart for the colour-blind and in print; further curves take matplotlib's own cycle
COLOURS = ("#0b62a4", "#d1600a")


def loss_curve(
    curves: Mapping[str, Sequence[float]],
    path: str | os.PathLike[str] | None = None,
    *,
    xlabel: str = "epoch",
    ylabel: str = "loss",
) -> Figure:
    """Losses against epochs.

    Parameters
    ----------
    curves : mapping of str to sequence of float
        By name: the values after epoch 1, 2, ...
    path : path-like, optional
        Where to write the picture, replacing an older one at once; its ending chooses the format (.png, .svg,
        .pdf).
    xlabel, ylabel : str
        What the axes measure, with units.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        No curve has a value, or the path's ending is no format of matplotlib's.
    OSError
        The picture cannot be written.
    """
    _check("curves", curves)
    if not any(len(values) for values in curves.values()):
        raise ValueError("curves must hold at least one value, got none")
    return _panels({ylabel: curves}, path, xlabel, None)


def history(
    figures: Mapping[str, Sequence[float]],
    path: str | os.PathLike[str] | None = None,
    *,
    epochs: Sequence[int] | None = None,
) -> Figure:
    """The history of a training run: a panel for the loss and for every metric, training and validation in one.

    Parameters
    ----------
    figures : mapping of str to sequence of float
        As in `History.history`: "loss", "acc", "val_loss", "val_acc" ...
    path : path-like, optional
        As in `loss_curve`.
    epochs : sequence of int, optional
        As in `History.epoch`: numbers of the epochs, counted from 0 (and drawn counted from 1). Default: 0, 1, 2, ...

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError, ValueError, OSError
        As in `loss_curve`.
    """
    _check("figures", figures)
    names = [name for name in figures if not name.startswith("val_") or name.removeprefix("val_") not in figures]
    panels: dict[str, dict[str, Sequence[float]]] = {}
    for name in names:
        panels[name] = {"training": figures[name]}
        if f"val_{name}" in figures:
            panels[name]["validation"] = figures[f"val_{name}"]
    if not any(len(values) for values in figures.values()):
        raise ValueError("the history must hold at least one epoch, got none")
    return _panels(panels, path, "epoch", epochs)


def _check(name: str, curves: Any) -> None:
    """Every curve is a sequence of numbers."""
    if not isinstance(curves, Mapping):
        raise TypeError(f"{name} must be a mapping of names to lists of numbers, got {curves!r}")
    for of, values in curves.items():
        if validate.array(f"{name}[{of!r}]", values).ndim != 1:
            raise ValueError(f"{name}[{of!r}] must be a list of numbers, got {values!r}")


def _panels(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    path: str | os.PathLike[str] | None,
    xlabel: str,
    epochs: Sequence[int] | None,
) -> Figure:
    """Curves by what they measure, each in axes of its own beside the others."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise ImportError('the loss curve needs matplotlib: pip install "fastrnn[plot]"') from None

    figure = Figure(figsize=(6.4 if len(panels) == 1 else 5.0 * len(panels), 4.0), dpi=150, layout="constrained")
    for place, (ylabel, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place)
        for index, (name, values) in enumerate(curves.items()):
            if not len(values):
                continue
            colour = COLOURS[index] if index < len(COLOURS) else f"C{index}"
            # a curve that began later, as that of a metric compiled in between, ends with the others
            numbers = range(len(values)) if epochs is None else epochs[-len(values) :]
            x = [number + 1 for number in numbers]
            axes.plot(x, values[-len(x) :], color=colour, linewidth=1.8, marker="o", markersize=3.5, label=name)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.legend(frameon=False)
    if path is not None:
        write(figure, Path(validate.path("path", path)))
    return figure


def write(figure: Figure, path: Path) -> None:
    """Save a picture in one move."""
    # the temporary file stands in the same folder: a reader sees the old picture or the new one, never half of one
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}{path.suffix}")
    try:
        figure.savefig(temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
