"""Time against the length, the batch, the units and the threads: `python -m benchmarks.curves --plot curves.png`.

From one LSTM each of T, B, H (with I = H) and the thread count is varied by powers of two, the others kept; fastrnn,
PyTorch and ONNX Runtime in interleaved rounds. A shape whose products would take more than LARGEST operations forward,
or whose training more than LARGEST_BYTES, is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from . import options, report
from .memory import formula
from .peers import run_given
from .shapes import INFERENCE, TRAINING, Row
from .tables import paragraph, ratio, table

TITLE = "Scaling"
BASE = Row("base", "lstm", B=16, T=32, I=128, H=128)
AXES = {"T": "steps T", "B": "batch rows B", "H": "units H = inputs I"}
LIBRARIES = ("fastrnn", "torch", "onnxruntime")
SIZES = tuple(2**k for k in range(12))
QUICK_SIZES = (1, 16)
LARGEST = 4e10
LARGEST_BYTES = 2e9
SECONDS = 0.5


def vary(axis: str, size: int) -> Row:
    """The base row with one size replaced."""
    sizes: dict[str, Any] = {"H": size, "I": size} if axis == "H" else {axis: size}
    return replace(BASE, name=f"{axis}={size}", **sizes)


def points(axis: str, sizes: Sequence[int]) -> list[Row]:
    """The rows of a curve."""
    rows = [vary(axis, size) for size in sizes]
    return [row for row in rows if row.flops() <= LARGEST and formula(row, TRAINING, 4) <= LARGEST_BYTES]


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4 ... and all cores."""
    return sorted({2**k for k in range(cores.bit_length()) if 2**k <= cores} | {cores})


def run(given: Any, tell: Callable[[str], None]) -> dict[str, Any]:
    """A result of peers.py for each axis, at the largest thread count, and one for the threads."""
    results: dict[str, Any] = {}
    most = max(given.threads)
    settings: dict[str, Any] = {"libraries": LIBRARIES}
    if not given.quick:
        settings["seconds"] = min(given.seconds, SECONDS)
    for axis in AXES:
        tell(f"curve of {axis}\n")
        rows = points(axis, QUICK_SIZES if given.quick else SIZES)
        results[axis] = run_given(rows, given, tell, threads=[most], **settings)
    tell("curve of threads\n")
    results["threads"] = run_given([BASE], given, tell, threads=thread_counts(most), **settings)
    return results


def curve(results: dict[str, Any], axis: str, which: str, library: str) -> list[tuple[int, float]]:
    """(size, microseconds) of one library, in ascending order."""
    found = []
    for entry in results[axis]["rows"]:
        times = entry["times"].get(library, {})
        if entry["pass"] != which:
            continue
        if axis == "threads":
            found += [(int(count), time["us"]) for count, time in times.items()]
        else:
            found += [(entry["shape"][axis], time["us"]) for time in times.values()]
    return sorted(found)


def duration(us: float) -> str:
    """Microseconds as a person would say it."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{us / size:g} {unit}"
    return f"{us:g} us"


def chart(results: dict[str, Any], path: str) -> None:
    """A panel for each axis and pass, both scales logarithmic but for the times on a few threads.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator
    except ImportError:
        raise ImportError('the curves need matplotlib: pip install "fastrnn[plot]"') from None
    axes_names = {**AXES, "threads": "threads"}
    figure = Figure(figsize=(3.4 * len(axes_names), 9.0), layout="constrained")
    grid = figure.subplots(2, len(axes_names))
    for line, which in enumerate((INFERENCE, TRAINING)):
        for column, (axis, label) in enumerate(axes_names.items()):
            axes, sizes = grid[line][column], set()
            for number, library in enumerate(LIBRARIES):
                found = curve(results, axis, which, library)
                sizes |= {size for size, _ in found}
                if found:
                    style = {"color": f"C{number}", "marker": "os^"[number], "zorder": 3 - number}
                    axes.plot(*zip(*found, strict=True), label=report.LABELS[library], markersize=4, **style)
            axes.set_xscale("log", base=2)
            if axis == "threads":  # a factor of the threads at most
                axes.set_ylim(bottom=0)
            else:
                axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: duration(value))
            axes.yaxis.set_minor_formatter(NullFormatter())
            ticks = sorted(sizes)
            axes.xaxis.set_major_locator(FixedLocator(ticks[:: 2 if len(ticks) > 8 else 1]))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid(alpha=0.3)
            if line == 0:
                axes.set_title("against " + label)
            else:
                axes.set_xlabel(label)
            if column == 0:
                axes.set_ylabel(which)
        low, high = (limit(axes.get_ylim()[end] for axes in grid[line][:-1]) for end, limit in enumerate((min, max)))
        for column, axes in enumerate(grid[line][:-1]):
            axes.set_ylim(low, high)
            axes.tick_params(labelleft=column == 0)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=130)


def markdown(results: dict[str, Any]) -> list[str]:
    """The ratios at each size."""
    base = f"B = {BASE.B}, T = {BASE.T}, I = H = {BASE.H}"
    text = f"""An LSTM of {base}, one size varied at a time: the best of PyTorch and ONNX Runtime over fastrnn, all on
    the same number of threads, medians of the rounds' own ratios. `python -m benchmarks.curves --plot
    benchmarks/curves.png`"""
    lines = [f"## {TITLE}", "", *paragraph(text)]
    for which in (INFERENCE, TRAINING):
        ratios = {axis: at_sizes(results, axis, which) for axis in (*AXES, "threads")}
        sizes = sorted({size for found in ratios.values() for size in found})
        rows = [[axis, *(ratio(found.get(size)) for size in sizes)] for axis, found in ratios.items() if found]
        lines += table([which, *map(str, sizes)], rows)
    return [*lines, "![time against T, B, H and threads](curves.png)", ""]


def at_sizes(results: dict[str, Any], axis: str, which: str) -> dict[int, float]:
    """The ratio at each size where fastrnn and another library were measured."""
    ratios: dict[int, float] = {}
    for entry in results[axis]["rows"]:
        if entry["pass"] != which:
            continue
        times = [
            report.Time(library, int(count), time["us"])
            for library, counts in entry["times"].items()
            for count, time in counts.items()
        ]
        for ours in (time for time in times if time.library == report.OURS):
            others = [time for time in times if time.library != report.OURS and time.threads == ours.threads]
            size = ours.threads if axis == "threads" else entry["shape"][axis]
            if others:
                ratios[size] = min(report.quotient(entry, other, ours) for other in others)
    return ratios


if __name__ == "__main__":
    sys.exit(options.section_main(sys.modules[__name__]))
