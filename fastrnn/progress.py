"""How far a long loop has come, on the terminal: tqdm where it is installed, one plain line otherwise.

Where the output is no terminal (a log file, a pipe) there is no line to redraw: a line is added every few seconds.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

REDRAW_SECONDS = 0.1
LOG_SECONDS = 10.0


class Display(Protocol):
    """What draws a bar."""

    def show(self, done: float, text: str) -> None:
        """So many units are done; the text stands beside them."""

    def close(self) -> None:
        """There will be no more."""


class Progress:
    """A bar over `total` units of work, with the rate, the time left and figures of the caller's.

    Parameters
    ----------
    total : float
        Units of work in all.
    label : str
        Stands in front.
    unit : str
        What a unit is, for the rate ("characters": `84.1k characters/s`).
    start : float
        Units already done when the loop begins, after a resumption; they do not count for the rate.
    file : text stream, optional
        Standard error when None.

    Examples
    --------
    >>> with Progress(1000, label="epoch 1", unit="rows") as bar:  # doctest: +SKIP
    ...     for loss in losses:
    ...         bar.advance(10, loss=loss)
    """

    def __init__(
        self, total: float, *, label: str = "", unit: str = "steps", start: float = 0, file: TextIO | None = None
    ) -> None:
        self.done = start
        self._display = _display(total, label, unit, start, sys.stderr if file is None else file)

    def advance(self, amount: float, **figures: float) -> None:
        """Add `amount` finished units; `figures` are shown with four digits."""
        self.done += amount
        self._display.show(self.done, " ".join(f"{name} {value:.4g}" for name, value in figures.items()))

    def close(self) -> None:
        """Leave the last state on the screen and end its line."""
        self._display.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _display(total: float, label: str, unit: str, start: float, file: TextIO) -> Display:
    if not file.isatty():
        return _Plain(total, label, unit, start, file, begin="", end="\n", every=LOG_SECONDS)
    try:
        from tqdm import tqdm
    except ImportError:
        return _Plain(total, label, unit, start, file, begin="\r", end="", every=REDRAW_SECONDS)
    return _Tqdm(tqdm(total=total, initial=start, desc=label, unit=f" {unit}", unit_scale=True, file=file))


class _Tqdm:
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def show(self, done: float, text: str) -> None:
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _Plain:
    """A line, redrawn (`begin` a carriage return) or repeated (`end` a line feed) after `every` seconds or more."""

    def __init__(
        self, total: float, label: str, unit: str, start: float, file: TextIO, *, begin: str, end: str, every: float
    ) -> None:
        self._total, self._label, self._unit, self._start, self._file = total, label, unit, start, file
        self._begin, self._end, self._every = begin, end, every
        self._began = self._drawn = time.monotonic()
        self._last = (start, "")
        self._width = 0
        self._stale = False

    def show(self, done: float, text: str) -> None:
        self._last = (done, text)
        self._stale = True
        if time.monotonic() - self._drawn >= self._every:
            self._draw()

    def close(self) -> None:
        if self._stale:
            self._draw()
        if self._width and not self._end:
            self._file.write("\n")
            self._file.flush()

    def _draw(self) -> None:
        done, text = self._last
        self._drawn = time.monotonic()
        rate = (done - self._start) / max(self._drawn - self._began, 1e-9)
        left = _clock((self._total - done) / rate) if rate > 0 else "?"
        share = done / self._total if self._total else 1.0
        parts = (self._label, f"{share:4.0%}", text, f"{_scaled(rate)} {self._unit}/s", f"{left} left")
        line = "  ".join(part for part in parts if part)
        # blanks wipe what is left of a longer line before
        self._file.write(f"{self._begin}{line.ljust(self._width)}{self._end}")
        self._file.flush()
        self._width = 0 if self._end else len(line)
        self._stale = False


def _scaled(value: float) -> str:
    """84123 -> '84.1k'."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _clock(seconds: float) -> str:
    """75 -> '1:15'."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
