"""Peak memory of a pass against the formulas: `python -m benchmarks.memory`.

A process for each figure: the library is loaded, the layer and its input are made, and then the most the process has
held (VmHWM) is set back and read again after the calls. The expectation of fastrnn's training is what BPTT keeps, 2, 5
or 6 times T.B.H numbers (SimpleRNN, GRU, LSTM; the outputs among them), the gradient of the input, and of the weights
five copies: packed, packed transposed, their gradients packed and in Keras's layout, and these once more while the last
call's are still held. Inference: the outputs and the packed weights.

What the formulas leave out: about 0.6 MB of states, lists of pointers, stacks and pages of the library itself that a
first call touches; a vector more in each row of cell states of 8 vectors or more, against conflicts of cache sets (2 %
of an LSTM of 1024 units); less than 4 KB between batch rows, against these too; and the end of the last huge page of
2 MB, where that is not more than a thirty-second of its block (outputs of 8.2 MB take 8.4).
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import options, report
from .peers import Worker, WorkerError
from .shapes import INFERENCE, Row, select
from .tables import paragraph, percent, table

TITLE = "Memory"
ROWS = ("imdb", "imdbgru", "imdbrnn", "big")
QUICK_ROWS = ("char",)
LIBRARIES = ("fastrnn", "torch")
KEPT = {"simple_rnn": 2, "gru": 5, "lstm": 6}  # numbers a unit, row and step
CALLS = 3
STARTS = 3
NEAR = 0.1


def formula(row: Row, which: str, itemsize: int, calls: int = 1) -> int:
    """Bytes that fastrnn is expected to need beside the layer and its input, in one call or in several."""
    points, units = row.T * row.B, row.gates * row.H
    weights = (row.I + row.H) * units
    again = calls > 1
    if which == INFERENCE:
        return itemsize * (points * row.H + weights)
    return itemsize * (points * (KEPT[row.cell] * row.H + row.I) + weights * (4 + again))


def measure(row: Row, which: str, library: str, given: Any) -> dict[str, Any]:
    """Medians over fresh processes, in bytes."""
    samples = []
    for _ in range(1 if given.quick else STARTS):
        worker = Worker(library, max(given.threads), given.dtype, given.pythons[library], isa=given.isa)
        try:
            worker.ask("hello")
            request: dict[str, Any] = {"row": row.as_dict(), "pass": which, "calls": CALLS}
            samples.append(worker.ask("memory", **request))
        finally:
            worker.close()
    return {name: statistics.median(sample[name] for sample in samples) for name in ("first_bytes", "peak_bytes")}


def run(given: Any, tell: Callable[[str], None]) -> dict[str, Any]:
    """Bytes by row, pass and library, and the formulas."""
    entries, left_out = [], {}
    itemsize = np.dtype(given.dtype).itemsize
    for row in given.rows or select(QUICK_ROWS if given.quick else ROWS):
        for which in row.passes:
            if which not in given.passes:
                continue
            entry: dict[str, Any] = {"row": row.name, "pass": which, "shape": row.as_dict(), "libraries": {}}
            entry["formula"] = {"first_bytes": formula(row, which, itemsize)}
            entry["formula"]["peak_bytes"] = formula(row, which, itemsize, CALLS)
            for library in options.libraries(given, LIBRARIES):
                tell(f"memory of {row.name} {which}: {library}")
                try:
                    entry["libraries"][library] = measure(row, which, library, given)
                except WorkerError as error:
                    left_out[library] = str(error)
            entries.append(entry)
    return {"dtype": given.dtype, "threads": max(given.threads), "calls": CALLS, "rows": entries, "left_out": left_out}


def off(entry: dict[str, Any], name: str) -> float | None:
    """fastrnn's figure over the formula's, less one."""
    ours = entry["libraries"].get(report.OURS)
    return ours[name] / entry["formula"][name] - 1 if ours else None


def markdown(result: dict[str, Any]) -> list[str]:
    """A line for each row and pass."""
    others = [k for k in report.LABELS if k != report.OURS and any(k in e["libraries"] for e in result["rows"])]
    head = ["row", "pass", "formula", "first call", "off by", f"formula, {result['calls']} calls", "measured", "off by"]
    rows = []
    for entry in result["rows"]:
        cells: list[Any] = [entry["row"], entry["pass"]]
        for name in ("first_bytes", "peak_bytes"):
            ours = entry["libraries"].get(report.OURS)
            missed = off(entry, name)
            text = percent(missed)
            cells.append(entry["formula"][name] / 1e6)
            cells += [ours and ours[name] / 1e6, f"**{text}**" if missed is not None and abs(missed) > NEAR else text]
        found = [entry["libraries"].get(k) for k in others]
        cells += [measured and measured["peak_bytes"] / 1e6 for measured in found]
        rows.append(cells)
    text = f"""Megabytes that a process grows by at most in a first call and in {result["calls"]} calls, beyond the
    layer and its input, {result["dtype"]}, {result["threads"]} threads: a fresh process for each figure. Formulas of
    training: 6 (LSTM), 5 (GRU) or 2 (SimpleRNN) times T.B.H numbers, dx, and the weights packed, transposed and twice
    as gradients, a third time while the last call's gradients are held; of inference: the outputs and the packed
    weights. More than {NEAR:.0%} off is bold. `python -m benchmarks.memory`"""
    lines = [f"## {TITLE}", "", *paragraph(text)]
    lines += table(head + [report.LABELS[k] for k in others], rows, words=2)
    lines += [f"- left out: {report.LABELS[k]}: {reason}" for k, reason in result["left_out"].items()]
    return lines if not result["left_out"] else [*lines, ""]


if __name__ == "__main__":
    sys.exit(options.section_main(sys.modules[__name__]))
