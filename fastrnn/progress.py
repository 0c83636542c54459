"""How far a long loop has come, on the terminal: tqdm where it is installed, one plain line otherwise.

Where the output is no terminal (a log file, a pipe) there is no line to redraw: a line is added every few seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

REDRAW_SECONDS = 0.1
LOG_SECONDS = 10.0


class Display(Protocol):
    """What draws a bar."""

    def draw(self, done: float, text: str) -> None:
        """So many units are done; the text stands beside them."""

    def close(self) -> None:
        """There will be no more."""


class Progress:
    """A bar over `total` units of work, with the rate, the time left and figures of the caller's.

    Between two drawings an `advance` is an addition and a look at the clock.

    Parameters
    ----------
    total : float, optional
        Units of work in all; None when that is known only at the end.
    label : str
        Stands in front.
    unit : str
        What a unit is, for the rate ("characters": `84.1k characters/s`).
    start : float
        Units already done when the loop begins, after a resumption; they do not count for the rate.
    file : text stream, optional
        Standard error when None.
    leave : bool
        False wipes the bar at the end, and draws none at all where the end comes before the first drawing.

    Examples
    --------
    >>> with Progress(1000, label="epoch 1", unit="rows") as bar:  # doctest: +SKIP
    ...     for loss in losses:
    ...         bar.advance(10, loss=loss)
    """

    def __init__(
        self,
        total: float | None,
        *,
        label: str = "",
        unit: str = "steps",
        start: float = 0,
        file: TextIO | None = None,
        leave: bool = True,
    ) -> None:
        self.done = start
        self._of = (total, label, unit, start, leave)
        self._file = sys.stderr if file is None else file
        self._every = REDRAW_SECONDS if self._file.isatty() else LOG_SECONDS
        self._leave = leave
        self._began = time.monotonic()
        self._due = self._began + self._every
        self._display: Display | None = None
        self._figures: Mapping[str, float] | Callable[[], Mapping[str, float]] = {}
        self._stale = False

    def advance(self, amount: float, show: Callable[[], Mapping[str, float]] | None = None, **figures: float) -> None:
        """Add `amount` finished units.

        Parameters
        ----------
        amount : float
        show : callable, optional
            Gives the figures, and is asked only when they are drawn, which may be a few units later.
        **figures : float
            The figures, where they are at hand; shown with four digits.
        """
        self.done += amount
        self._figures = show or figures
        self._stale = True
        if time.monotonic() >= self._due:
            self._draw()

    def close(self) -> None:
        """Leave the last state on the screen and end its line, or wipe it."""
        if self._stale and self._leave:
            self._draw()
        if self._display is not None:
            self._display.close()
            self._display = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _draw(self) -> None:
        if self._display is None:
            self._display = _display(*self._of, self._file, self._began)
        figures = self._figures() if callable(self._figures) else self._figures
        self._display.draw(self.done, " ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        self._due = time.monotonic() + self._every
        self._stale = False


def _display(
    total: float | None, label: str, unit: str, start: float, leave: bool, file: TextIO, began: float
) -> Display:
    if not file.isatty():
        return _Plain(total, label, unit, start, file, began, begin="", end="\n", leave=leave)
    try:
        from tqdm import tqdm
    except ImportError:
        return _Plain(total, label, unit, start, file, began, begin="\r", end="", leave=leave)
    bar = tqdm(
        total=total,
        initial=start,
        desc=label,
        unit=f" {unit}",
        unit_scale=True,
        file=file,
        leave=leave,
        mininterval=0,  # who asks for a drawing has waited for it already
        miniters=0,
        delay=1e-9,  # none before that
    )
    bar.start_t -= time.monotonic() - began
    bar.last_print_t = bar.start_t
    return _Tqdm(bar)


class _Tqdm:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def draw(self, done: float, text: str) -> None:
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _Plain:
    """A line, redrawn (`begin` a carriage return) or repeated (`end` a line feed)."""

    def __init__(
        self,
        total: float | None,
        label: str,
        unit: str,
        start: float,
        file: TextIO,
        began: float,
        *,
        begin: str,
        end: str,
        leave: bool,
    ) -> None:
        self._total, self._label, self._unit, self._start, self._file = total, label, unit, start, file
        self._began, self._begin, self._end, self._leave = began, begin, end, leave
        self._width = 0

    def draw(self, done: float, text: str) -> None:
        rate = (done - self._start) / max(time.monotonic() - self._began, 1e-9)
        speed = f"{_scaled(rate)} {self._unit}/s"
        parts: tuple[str, ...]
        if self._total is None:
            parts = (self._label, f"{_scaled(done)} {self._unit}", text, speed)
        else:
            share = done / self._total if self._total else 1.0
            left = _clock((self._total - done) / rate) if rate > 0 else "?"
            parts = (self._label, f"{share:4.0%}", text, speed, f"{left} left")
        line = "  ".join(part for part in parts if part)
        # blanks wipe what is left of a longer line before
        self._file.write(f"{self._begin}{line.ljust(self._width)}{self._end}")
        self._file.flush()
        self._width = 0 if self._end else len(line)

    def close(self) -> None:
        if self._width and not self._end:
            self._file.write("\n" if self._leave else f"\r{'':{self._width}}\r")
            self._file.flush()


def _scaled(value: float) -> str:
    """84123 -> '84.1k'."""
    value = float(f"{value:.3g}")
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _clock(seconds: float) -> str:
    """75 -> '1:15'."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
