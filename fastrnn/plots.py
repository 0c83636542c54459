"""Pictures, drawn with matplotlib where it is installed (`pip install "fastrnn[plot]"`).

A figure is made and written without pyplot, so no screen is needed and the caller's backend is left alone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
    if not any(len(values) for values in curves.values()):
        raise ValueError("curves must hold at least one value, got none")
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise ImportError('the loss curve needs matplotlib: pip install "fastrnn[plot]"') from None

    figure = Figure(figsize=(6.4, 4.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for index, (name, values) in enumerate(curves.items()):
        if not len(values):
            continue
        colour = COLOURS[index] if index < len(COLOURS) else f"C{index}"
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, color=colour, linewidth=1.8, marker="o", markersize=3.5, label=name)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.legend(frameon=False)
    if path is not None:
        _write(figure, Path(path))
    return figure


def _write(figure: Figure, path: Path) -> None:
    # the temporary file stands in the same folder: a reader sees the old picture or the new one, never half of one
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}{path.suffix}")
    try:
        figure.savefig(temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
