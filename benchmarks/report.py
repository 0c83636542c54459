"""From the JSON of peers.py to ratios, geometric means, a Markdown page and a chart.

A ratio is the time of another library over fastrnn's in the same round, each at its better thread count, the median
over the rounds: above 1 fastrnn is ahead. The best other is the one of the smallest. Times are microseconds a call.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import roofline
from .shapes import INFERENCE, TRAINING
from .tables import figure, paragraph, percent, table
from .tables import ratio as ratio_cell

SCHEMA = 4
OURS = "fastrnn"
SMALL = 0.1  # of the roofline
LABELS = {
    "fastrnn": "fastrnn", "torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO",
    "jax": "JAX", "tensorflow": "TensorFlow", "numpy": "NumPy",
}  # fmt: skip


class Time(NamedTuple):
    """A library's better time on one row: microseconds, at that many threads."""

    library: str
    threads: int
    us: float


def load(path: str) -> dict[str, Any]:
    """Read a JSON file of peers.py.

    Raises
    ------
    ValueError
        Not such a file, or of another schema.
    """
    results = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        raise ValueError(f"{path} must be a results file of schema {SCHEMA}")
    return results


def geomean(values: Iterable[float]) -> float:
    """Geometric mean; NaN of nothing."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def best(entry: dict[str, Any], library: str) -> Time | None:
    """A library's better thread count on this row, or None when it was not measured."""
    times = entry["times"].get(library)
    if not times:
        return None
    threads = min(times, key=lambda n: times[n]["us"])
    return Time(library, int(threads), times[threads]["us"])


def quotient(entry: dict[str, Any], one: Time, other: Time) -> float:
    """One time over another of the same row, the median of the rounds' own.

    A round's times are of the same moments: the quotient of the medians of each would hold a busy moment of the host,
    in which everything takes up to twice as long, against whom it met.
    """
    found, base = (entry["times"][time.library][str(time.threads)]["rounds_us"] for time in (one, other))
    return float(statistics.median(found[number] / base[number] for number in entry["counted"]))


def relative(entry: dict[str, Any], library: str, to: str = OURS) -> float | None:
    """A library's time over another's, or None when one of the two is missing."""
    one, other = best(entry, library), best(entry, to)
    return None if one is None or other is None else quotient(entry, one, other)


def best_other(entry: dict[str, Any]) -> Time | None:
    """The library that comes nearest to fastrnn, or is furthest ahead of it; without fastrnn the fastest."""
    others = [time for library in entry["times"] if library != OURS and (time := best(entry, library))]
    return min(others, key=lambda time: relative(entry, time.library) or time.us, default=None)


def ratio(entry: dict[str, Any]) -> float | None:
    """Best other over fastrnn, or None when one of the two is missing."""
    other = best_other(entry)
    return other and relative(entry, other.library)


def ratios(results: dict[str, Any], which: str) -> dict[str, float]:
    """Row name -> ratio for one pass."""
    found = {e["row"]: ratio(e) for e in results["rows"] if e["pass"] == which}
    return {name: value for name, value in found.items() if value is not None}


def share(results: dict[str, Any], entry: dict[str, Any]) -> float | None:
    """The share of the roofline that fastrnn reaches at its better thread count, or None without a probe."""
    time = best(entry, OURS)
    return time and roofline.share(entry, np.dtype(results["dtype"]).itemsize, time.us, time.threads)


def attainable(results: dict[str, Any], which: str, reached: float) -> float | None:
    """The geometric mean of one pass, had fastrnn `reached` so much of the roofline on each row that is below it.

    Rows with less than SMALL of it, whose calls cost more than their arithmetic, count as they are. None without a
    probe.
    """
    found = [(ratio(e), share(results, e)) for e in results["rows"] if e["pass"] == which]
    known = [(value, part) for value, part in found if value and part]
    return geomean(v if p < SMALL else v * max(1.0, reached / p) for v, p in known) if known else None


def _cell(time: Time | None) -> str:
    return f"{figure(time.us)} ({time.threads})" if time else ""


def _size(entry: dict[str, Any]) -> str:
    shape = entry["shape"]
    return f"{shape['cell']} B{shape['B']} T{shape['T']} I{shape['I']} H{shape['H']}"


def one_line(entry: dict[str, Any]) -> str:
    """One row in a line, for progress."""
    times = [best(entry, library) for library in entry["times"]]
    found = sorted((t for t in times if t is not None), key=lambda t: t.us)
    value = ratio(entry)
    head = f"{entry['row']} {entry['pass']}" + (f" ratio {value:.2f}" if value else "")
    return head + ": " + ", ".join(f"{t.library} {_cell(t)}" for t in found)


def _other(time: Time | None) -> str:
    return f"{figure(time.us)} {LABELS[time.library]} ({time.threads})" if time else ""


def comparison(results: dict[str, Any], which: str) -> list[str]:
    """The table of one pass: every library, the ratio, the share of the roofline where it was measured."""
    entries = [e for e in results["rows"] if e["pass"] == which]
    others = [k for k in LABELS if k != OURS and any(k in e["times"] for e in entries)]
    shares = [share(results, entry) for entry in entries]
    probed = ["of roofline"] if any(shares) else []
    head = ["row", "shape", LABELS[OURS], "best other", "ratio", *probed, *(LABELS[k] for k in others)]
    rows = [
        [
            entry["row"],
            _size(entry),
            _cell(best(entry, OURS)),
            _other(best_other(entry)),
            ratio_cell(ratio(entry)),
            *([percent(reached)] if probed else []),
            *(_cell(best(entry, k)) for k in others),
        ]
        for entry, reached in zip(entries, shares, strict=True)
    ]
    return table(head, rows, words=2)


def _summary(results: dict[str, Any]) -> list[str]:
    lines = ["## Summary", ""]
    for which in (INFERENCE, TRAINING):
        found = ratios(results, which)
        if found:
            lines.append(f"- {which}: geometric mean {geomean(found.values()):.2f} over {len(found)} rows")
            behind = [f"{name} {value:.2f}" for name, value in found.items() if value < 1]
            lines.append(f"- {which}, rows below 1: " + (", ".join(behind) or "none"))
            if limit := attainable(results, which, 1.0):
                most = attainable(results, which, 0.85)
                lines.append(
                    f"- {which}, the mean if every row were at the roofline: {limit:.2f}; at 85% of it: {most:.2f}"
                    f" (those below {percent(SMALL)}, small calls, as they are)"
                )
    if len(lines) == 2:
        lines.append(f"- no ratios: {OURS} or every other library is missing")
    return [*lines, ""]


def _conditions(results: dict[str, Any]) -> list[str]:
    machine = results["machine"]
    versions = ", ".join(f"{LABELS[k]} {v}" for k, v in results["libraries"].items())
    lines = [
        "## Machine, versions, threads",
        "",
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']},"
        f" {results['created'][:10]}",
        f"- {results['dtype']}, one layer, thread counts {', '.join(map(str, results['threads']))}"
        + (f", rounds of up to {results['runs']} runs (`--pool`)" if results["runs"] > 1 else ""),
        f"- {versions}",
    ]
    return [*lines, *notes(results), ""]


def notes(results: dict[str, Any]) -> list[str]:
    """Rates of large products, crowded rows, and what was left out and why."""
    lines = []
    for count in results["threads"]:
        rates = results["products"].get(str(count), {})
        if rates:
            text = ", ".join(f"{LABELS[k]} {v:.0f}" for k, v in rates.items())
            lines.append(f"- large products on {count} thread{'s' * (count > 1)}, GFLOP/s: {text}")
    crowded = [
        f"{e['row']} {e['pass']} ({e['foreign_cores']:.1f} cores)"
        for e in results["rows"]
        if e.get("calm_rounds", 0) < min(3, e.get("rounds", 0))
    ]
    if crowded:
        lines.append("- too few rounds without other programs at work: " + ", ".join(crowded))
    lines += [f"- left out: {LABELS.get(k, k)}: {v}" for k, v in results["left_out"].items()]
    for entry in results["rows"]:
        for library, reason in entry["left_out"].items():
            lines.append(f"- left out of {entry['row']} {entry['pass']}: {library}: {reason}")
    return lines


def tables(results: dict[str, Any]) -> list[str]:
    """The tables with losses in bold, geometric means, conditions."""
    lines = paragraph(
        """Median microseconds a call, each library at its better thread count (in brackets), measured in interleaved
        rounds. The ratio is the best other over fastrnn, the median of the rounds' own, so that a busy moment of the
        host, which a round's times share, weighs on both: above 1 fastrnn is ahead. Of roofline: the time at the peak
        of the machine, probed in the same rounds (benchmarks/roofline.py), over fastrnn's; above 100% the probe met
        busier moments than the row. `python -m benchmarks.peers`"""
    )
    for which in (INFERENCE, TRAINING):
        if found := comparison(results, which):
            lines += [f"## {which.capitalize()}", "", *found]
    return lines + _summary(results) + _conditions(results)


def markdown(results: dict[str, Any]) -> str:
    """The tables as a page."""
    return "\n".join(["# fastrnn against other libraries", "", *tables(results)])


def short(results: dict[str, Any]) -> str:
    """One table of a line a row, both passes, for a README."""
    rows: list[list[str]] = []
    entries = {(e["row"], e["pass"]): e for e in results["rows"]}
    for name in dict.fromkeys(e["row"] for e in results["rows"]):
        cells = [name, ""]
        for which in (INFERENCE, TRAINING):
            entry = entries.get((name, which))
            if entry is None:
                cells += ["", "", ""]
            else:
                cells[1] = _size(entry)
                ours, other = best(entry, OURS), best_other(entry)
                cells.append(figure(ours.us) if ours else "")
                cells.append(f"{figure(other.us)} {LABELS[other.library]}" if other else "")
                cells.append(ratio_cell(ratio(entry)))
        rows.append(cells)
    means = [ratios(results, which).values() for which in (INFERENCE, TRAINING)]
    text = [f"{geomean(found):.2f}" if found else "" for found in means]
    rows.append(["geometric mean", "", "", "", text[0], "", "", text[1]])
    head = ["row", "shape", "inference, us", "best other", "ratio", "training, us", "best other", "ratio"]
    return "\n".join(table(head, rows, words=2))


def chart(results: dict[str, Any], path: str) -> None:
    """A bar for each row's ratio on a logarithmic scale, losses in red.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        There is no ratio to draw.
    """
    panels = [(which, found) for which in (INFERENCE, TRAINING) if (found := ratios(results, which))]
    if not panels:
        raise ValueError(f"the chart needs rows measured on {OURS} and on another library")
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
    except ImportError:
        raise ImportError('the ratio chart needs matplotlib: pip install "fastrnn[plot]"') from None
    longest = max(len(found) for _, found in panels)
    every = [value for _, found in panels for value in found.values()]
    low, high = min(0.8, min(every) / 1.4), max(2.0, max(every) * 1.4)
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= tick <= high]
    figure = Figure(figsize=(5.5 * len(panels), 1.5 + 0.28 * longest), layout="constrained")
    for index, (which, found) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), index + 1)
        names, values = list(found)[::-1], list(found.values())[::-1]
        colours = ["tab:blue" if value >= 1 else "tab:red" for value in values]
        # log bars must start from 1, not from the left edge, for a loss to point the other way
        bars = axes.barh(names, [v - 1 for v in values], left=1.0, color=colours)
        axes.bar_label(bars, [f"{v:.2f}" for v in values], padding=3, fontsize=8)
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.set_xlabel("best other / fastrnn")
        axes.set_title(f"{which}, geometric mean {geomean(values):.2f}")
    figure.savefig(path, dpi=150)
