"""Where the time goes in fastrnn, and what a call costs beyond its kernels: `python -m benchmarks.breakdown`.

The table of kernels is given clocks (probe.py): each of its entries is called by one that reads the time-stamp counter
before and after. It is the machine code that is shipped, in its own team, on the row's own arrays; of each part the
figure is that of the busiest thread.

- input product: x.W and, backward, dG.W^T;
- recurrent product: h.R and dG.R^T. A step is one kernel, in which a cell finishes each tile of the product; so the
  pass is run a second time with steps that are their product alone, whose time this is, less, where it is joined to
  x.W, that one's share by its k;
- activations: what the steps take beyond that: activations or their derivatives, and reading and writing states;
- weight gradients: X^T.dG, H^T.dG and the sums of dG;
- packing: of the weights, of their transposes, and of the gradients back to Keras's layout;
- the rest: the layer's Python, allocation, lists of pointers, starting a team and waiting for it: what the call takes
  under its clocks less the parts. The clocks cost some 20 ns a kernel, which tells in calls of a few microseconds.

Training packs the weights anew at each call, as after an update; inference has packed them before.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import options, probe
from .shapes import INFERENCE, TRAINING, Row, random_arrays, select
from .tables import paragraph, percent, table
from .workers.serve import burst

TITLE = "Where the time goes"
PARTS = ("input product", "recurrent product", "activations", "weight gradients", "packing", "rest")
CALLS = ("stream64", "stream256", "streamgru256", "char", "sincos")
SAMPLE = 200e-6  # seconds between two readings of the clocks, for calls that are shorter
SLOW = 0.1  # seconds; one such call in a round is enough
QUICK_ROWS = ("stream64", "char", "image")


def split(seconds: dict[str, float], joined: float, recurrent: float) -> dict[str, float]:
    """The parts of a call, from its clocks and the time of its steps' products (x.W joined to h.R, h.R) run alone."""
    alone = max(joined + recurrent, 1e-12)
    products = min(1.0, seconds["steps"] / alone)
    parts = {
        "input product": seconds["input"] + products * joined,
        "recurrent product": seconds["recurrent"] + products * recurrent,
        "activations": seconds["steps"] - products * alone,
        "weight gradients": seconds["weights"],
        "packing": seconds["packing"],
    }
    return parts | {"rest": seconds["whole"] - sum(parts.values())}


def timed(call: Callable[[], Any], seconds: float) -> float:
    """Median seconds of a call."""
    call()
    begin = time.perf_counter()
    call()
    estimate = time.perf_counter() - begin
    return float(burst(call, seconds, 1 if estimate > SLOW else 3, estimate)["us"]) * 1e-6


def clocked(
    call: Callable[[], Any], clocks: probe.Clocks, whole: float, seconds: float, alone: bool
) -> dict[str, float]:
    """Median seconds of each kind of kernel in a call, which takes about `whole` seconds, and of the "whole" call."""
    samples: list[dict[str, float]] = []
    inner = max(1, int(SAMPLE / whole))
    clocks.reset(products_alone=alone)
    call()
    end = time.perf_counter() + seconds
    while len(samples) < (1 if whole > SLOW else 3) or time.perf_counter() < end:
        clocks.reset(products_alone=alone)
        begin = time.perf_counter()
        for _ in range(inner):
            call()
        samples.append({"whole": time.perf_counter() - begin} | clocks.read())
    return {kind: statistics.median(sample[kind] for sample in samples) / inner for kind in samples[0]}


def calls(row: Row, which: str, dtype: str, threads: int) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """The pass by a layer (or a stream), and by the compiled time loop below it; a stream is its own."""
    from fastrnn._core.memory import empty_sequence
    from fastrnn._core.recurrence import Recurrence

    from .workers import fastrnn as worker

    arrays = random_arrays(row, dtype)
    layer, x, dy = worker.build(row, arrays, threads), arrays["x"], arrays["dy"]
    if row.streaming:
        return worker.stream(layer, np.ascontiguousarray(x[:, 0])), None
    recurrence = Recurrence(row.cell, row.I, row.H, layer.dtype)
    W, R, b = (arrays[name] for name in ("kernel", "recurrent_kernel", "bias"))
    recurrence.load(W, R, b, threads)
    states = (None,) * (2 if row.cell == "lstm" else 1)

    def infer() -> Any:
        y = empty_sequence((row.B, row.T, row.H), layer.dtype)
        return recurrence.forward(x, states, None, False, False, y, False, threads)

    def train() -> Any:
        recurrence.load(W, R, b, threads)
        y, dx = (empty_sequence((row.B, row.T, width), layer.dtype) for width in (row.H, row.I))
        _, tape = recurrence.forward(x, states, None, False, False, y, True, threads)
        assert tape is not None
        return recurrence.backward(tape, dy, states, dx, threads)

    if which == TRAINING:
        return worker.train(layer, x, dy), train
    return worker.infer(layer, x), infer


def measure(row: Row, which: str, dtype: str, threads: int, rounds: int, seconds: float) -> dict[str, Any]:
    """One row and pass: medians over rounds, in each of which everything is run in turn."""
    layer, below = calls(row, which, dtype, threads)
    with probe.clocks(dtype):
        under_clocks, _ = calls(row, which, dtype, threads)
    found: dict[str, list[float]] = {"layer": [], "loop": []}
    parts: list[dict[str, float]] = []
    for _ in range(rounds):
        whole = timed(layer, seconds)
        found["layer"].append(whole)
        if below is not None:
            found["loop"].append(timed(below, seconds))
        with probe.clocks(dtype) as clocks:
            full = clocked(under_clocks, clocks, whole, seconds, False)
            alone = clocked(under_clocks, clocks, whole, seconds, True)
            parts.append(split(full, alone["joined"], alone["recurrent"] - full["recurrent"]))
    return {
        "row": row.name,
        "pass": which,
        "threads": threads,
        "us": {name: statistics.median(values) * 1e6 if values else None for name, values in found.items()},
        "parts_us": {part: statistics.median(sample[part] for sample in parts) * 1e6 for part in PARTS},
    }


def run(given: Any, tell: Callable[[str], None]) -> dict[str, Any]:
    """Every row and pass at the largest thread count; {"unavailable": why} without a probe."""
    rows: Sequence[Row] = given.rows or select(QUICK_ROWS if given.quick else None)
    rounds, seconds = (1, 0.01) if given.quick else (5, 0.05)
    from fastrnn._core import isa

    if given.isa not in (None, isa.active()):
        return {"unavailable": f"this process runs {isa.active()}: set FASTRNN_ISA={given.isa} instead of --isa"}
    entries = []
    try:
        probe.load()
        for row in rows:
            for which in row.passes:
                if which in given.passes:
                    tell(f"parts of {row.name} {which}")
                    entries.append(measure(row, which, given.dtype, max(given.threads), rounds, seconds))
        return {"dtype": given.dtype, "threads": max(given.threads), "rows": entries}
    except probe.Unavailable as reason:
        return {"unavailable": str(reason)}


def shares(parts: dict[str, float]) -> list[float]:
    """The parts of their sum."""
    return [value / sum(parts.values()) for value in parts.values()]


def overhead(result: dict[str, Any]) -> list[str]:
    """The table of calls that take microseconds."""
    rows = []
    for entry in result["rows"]:
        if entry["row"] in CALLS:
            layer, loop = entry["us"]["layer"], entry["us"]["loop"]
            kernels = sum(value for part, value in entry["parts_us"].items() if part != "rest")
            rows.append([entry["row"], entry["pass"], layer, loop, kernels, layer - kernels])
    return table(["row", "pass", "layer or stream", "time loop", "kernels", "layer - kernels"], rows, words=2)


def markdown(result: dict[str, Any]) -> list[str]:
    """Shares of the time by pass, and the calls' cost."""
    lines = [f"## {TITLE}", ""]
    if "unavailable" in result:
        return [*lines, f"Not measured: {result['unavailable']}.", ""]
    lines += paragraph(
        f"""Shares of a layer's call, {result["dtype"]}, on {result["threads"]} threads. The kernels are called through
        clocks, in their own team and on the row's own arrays; of each part the figure is that of the busiest thread. A
        step is one kernel, product and cell together: the recurrent product is the time of steps that are their product
        alone, and activations, with reading and writing states, what the steps take beyond it. Packing is that of
        weights, transposes and gradients; the rest is the call itself, allocation, starting a team and waiting for it.
        benchmarks/breakdown.py tells more. `python -m benchmarks.breakdown`"""
    )
    for which in (INFERENCE, TRAINING):
        rows = [
            [
                entry["row"],
                entry["us"]["layer"],
                *map(percent, shares(entry["parts_us"])),
            ]
            for entry in result["rows"]
            if entry["pass"] == which
        ]
        lines += table([which, "us", *PARTS], rows)
    calls_table = overhead(result)
    if calls_table:
        text = """Microseconds of a call of the layer, or of a stream's step; of the compiled time loop below the layer,
        with its arrays; and of the kernels in it. `python -m benchmarks.breakdown --rows char,sincos,stream64`"""
        lines += ["## What a call costs", "", *paragraph(text), *calls_table]
    return lines


if __name__ == "__main__":
    sys.exit(options.section_main(sys.modules[__name__]))
