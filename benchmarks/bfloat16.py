"""Weights in bfloat16 against float32's, and against PyTorch's bfloat16: `python -m benchmarks.bfloat16`.

A fastrnn layer with `compute_dtype="bfloat16"` keeps its weights in half the bytes and everything else in float32; a
PyTorch module of dtype bfloat16 keeps everything so. The processes are those of peers.py, interleaved in one run, on
rows that wait for their weights and on rows that do not. What the roundings cost is told beside the times: outputs over
all steps against those of float32.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from . import options, peers, report
from .shapes import INFERENCE, TRAINING, Row, random_arrays, select
from .tables import paragraph, ratio, table

TITLE = "Weights in bfloat16"
ROWS = ("stream256", "streamgru256", "b1_256", "ptbM", "mid", "midgru", "big")
TRAINED = ("b1_256", "ptbM", "mid", "midgru", "big")
QUICK_ROWS = ("char",)
HALF, OTHER = "fastrnn@bfloat16", "torch@bfloat16"
LIBRARIES = ("fastrnn", HALF, OTHER)
ACCURACY = "mid"
SECONDS = 8.0  # for the rounds of one row and pass, where nothing else is asked for


def deviation(row: Row) -> dict[str, float]:
    """Largest and mean distance of the outputs in bfloat16 from those in float32, and the outputs' mean magnitude."""
    from .workers import fastrnn as worker

    arrays = random_arrays(row)
    exact, rounded = (worker.build(row, arrays, None, way).forward(arrays["x"])[0] for way in (None, "bfloat16"))
    gap = np.abs(exact - rounded)
    return {"largest": float(gap.max()), "mean": float(gap.mean()), "magnitude": float(np.abs(exact).mean())}


def run(given: Any, tell: Callable[[str], None]) -> dict[str, Any]:
    """A result of peers.py for each pass, and the deviation."""
    given = copy.copy(given)
    given.pythons = given.pythons | {name: given.pythons[name.partition("@")[0]] for name in (HALF, OTHER)}
    chosen = [k for k in LIBRARIES if given.libs is None or k.partition("@")[0] in given.libs]
    given.libs = None
    seconds = given.seconds if given.quick else min(given.seconds, SECONDS)
    found: dict[str, Any] = {}
    rows = given.rows or select(QUICK_ROWS if given.quick else ROWS)
    trained = [row for row in rows if given.quick or given.rows or row.name in TRAINED]
    for which, some in ((INFERENCE, rows), (TRAINING, trained)):
        if which in given.passes and some:
            settings = {"seconds": seconds, "libraries": chosen, "passes": [which]}
            found[which] = peers.run_given(some, given, tell, **settings)
    row = select(QUICK_ROWS if given.quick else (ACCURACY,))[0]
    tell(f"deviation of {row.name}")
    return found | {"deviation": {"row": row.name, "T": row.T} | deviation(row)}


def compared(entry: dict[str, Any]) -> list[Any]:
    """A line of the table: times, each at its better thread count, and what bfloat16 gains."""
    times = [report.best(entry, library) for library in LIBRARIES]
    gains = [ratio(report.relative(entry, library, HALF)) for library in (report.OURS, OTHER)]
    return [entry["row"], entry["pass"], *(time and time.us for time in times), *gains]


def markdown(results: dict[str, Any]) -> list[str]:
    """Times and gains of each row, and the deviation."""
    text = """Microseconds a call, each at its better thread count; *gain* is the time of fastrnn's float32 over that
    of its bfloat16, *ratio* that of PyTorch's bfloat16, medians of the rounds' own. `python -m benchmarks.bfloat16`"""
    head = ["row", "pass", "fastrnn, float32", "fastrnn, bfloat16", "PyTorch, bfloat16", "gain", "ratio"]
    rows = [compared(entry) for which in (INFERENCE, TRAINING) for entry in results.get(which, {}).get("rows", ())]
    lines = [f"## {TITLE}", "", *paragraph(text), *table(head, rows, words=2)]
    off = results["deviation"]
    text = f"""Outputs of {off["row"]} over {off["T"]} steps differ from float32's by {off["largest"]:.1e} at most and
    by {off["mean"]:.1e} in the mean, where their mean magnitude is {off["magnitude"]:.1e}."""
    return [*lines, *paragraph(text)]


if __name__ == "__main__":
    sys.exit(options.section_main(sys.modules[__name__]))
