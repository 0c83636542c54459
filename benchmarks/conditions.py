"""The comparison under other conditions, on chosen rows: `python -m benchmarks.conditions`.

Double precision; no instructions beyond AVX2; stacks of both directions; ragged lengths; states that decay to
denormals; calls now and then; the first call. All but the last are runs of peers.py like the main one, with its checks
and its rounds; the last starts a process for each figure.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from . import options, report
from .peers import Worker, WorkerError, run_given
from .shapes import INFERENCE, TRAINING, Row, select
from .tables import figure, paragraph, percent, ratio, table

TITLE = "Other conditions"
SECONDS = 3.0  # for the rounds of one row and pass, where nothing else is asked for
COLD_STARTS = 7  # of all libraries in turn; a start takes 0.7 to 1.3 times the next one's time
PAUSE = 0.02  # seconds; OpenMP's threads sleep 5 ms after their last call


@dataclass(frozen=True)
class Condition:
    """A run of peers.py that differs from the main one: in its rows, its settings or both.

    With `beside` each row is measured unvaried too, in the same run.
    """

    key: str
    title: str
    text: str
    rows: tuple[str, ...]
    libraries: tuple[str, ...]
    quick: str
    vary: dict[str, Any] = field(default_factory=dict)
    beside: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def varied(self, quick: bool) -> list[Row]:
        """The rows to measure; those beside stand before the varied ones."""
        made: list[Row] = []
        for row in select([self.quick] if quick else self.rows):
            if quick:
                row = replace(row, T=min(row.T, 20))
            if self.beside:
                made.append(row)
            made.append(replace(row, name=f"{row.name}, {self.key}", **self.vary) if self.vary else row)
        return made


CONDITIONS = (
    Condition(
        "float64",
        "Double precision",
        "ONNX Runtime and OpenVINO have no recurrent layers in float64.",
        ("char", "b1", "image", "imdb", "midgru", "mid"),
        ("fastrnn", "torch", "jax", "numpy"),
        "char",
        settings={"dtype": "float64"},
    ),
    Condition(
        "avx2",
        "No instructions beyond AVX2",
        """fastrnn by FASTRNN_ISA; PyTorch by ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and MKL_ENABLE_INSTRUCTIONS, JAX
        by XLA's own flag, NumPy's BLAS by OPENBLAS_CORETYPE (its tanh is not limited). ONNX Runtime and OpenVINO cannot
        be limited and are left out: under the same settings their large products still ran at 185 and 190 GFLOP/s on
        one core whose multiply-adds reach 100 with AVX2.""",
        ("stream256", "b1", "btc512", "imdb", "mid", "midgru"),
        ("fastrnn", "torch", "jax", "numpy"),
        "char",
        settings={"isa": "avx2"},
    ),
    Condition(
        "2 x 2",
        "Two layers of both directions",
        "The upper layer reads both directions of the lower one.",
        ("char", "image", "imdb", "ptbS", "midgru"),
        ("fastrnn", "torch", "onnxruntime", "openvino"),
        "char",
        vary={"layers": 2, "bidirectional": True},
    ),
    Condition(
        "ragged",
        "Ragged lengths",
        """Lengths drawn evenly from 1 to T: PyTorch with packed sequences, packing and padding included, ONNX Runtime
        and OpenVINO with lengths. *Of full* is a library's time over its own time for full rows, to be held against the
        share of valid steps.""",
        ("imdb", "imdbgru", "midgru", "mid"),
        ("fastrnn", "torch", "onnxruntime", "openvino"),
        "char",
        vary={"ragged": True},
        beside=True,
    ),
    Condition(
        "decaying",
        "States that decay to denormals",
        """No input after a tenth of the steps; 0.6 of the state is kept at each, until it stands at the smallest
        denormals; only the last output has a gradient. *Of usual* is a library's time over its own time on usual
        numbers.""",
        ("imdb", "imdbgru", "imdbrnn"),
        ("fastrnn", "torch", "onnxruntime", "openvino", "jax", "numpy"),
        "char",
        vary={"decaying": True},
        beside=True,
    ),
    Condition(
        "now and then",
        "Calls now and then",
        f"""The process sleeps {PAUSE * 1000:.0f} ms before each call, as one that serves requests or blocks of audio
        does: its threads must be woken and its caches filled again. *Of usual* is a library's time over its own time in
        quick succession.""",
        ("stream256", "char", "b1", "ptbS", "midgru"),
        ("fastrnn", "torch", "onnxruntime", "openvino", "jax", "numpy"),
        "char",
        vary={"pause": PAUSE},
        beside=True,
    ),
)
COLD_ROWS = ("char", "imdb", "mid")
COLD_LIBRARIES = ("fastrnn", "torch", "onnxruntime", "openvino", "jax", "numpy")


def cold(given: Any, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Building a layer and its first call, each time in a process that has loaded its library and done nothing else."""
    found = []
    count = 1 if given.quick else COLD_STARTS
    for row in select(["char"] if given.quick else COLD_ROWS):
        for which in row.passes:
            starts: list[dict[str, dict[str, float]]] = []
            for start in range(count):
                starts.append({})
                for library in options.libraries(given, COLD_LIBRARIES):
                    tell(f"first call, {row.name} {which}: {library}, {start + 1} of {count}")
                    with contextlib.suppress(WorkerError):
                        times = first_call(library, row, which, given)
                        if times["first_us"] is not None:
                            starts[-1][library] = {name: round(value, 1) for name, value in times.items()}
            found.append({"row": row.name, "pass": which, "shape": row.as_dict(), "starts": starts})
    return found


def first_call(library: str, row: Row, which: str, given: Any) -> dict[str, Any]:
    """One start of a process, one layer, one call."""
    worker = Worker(library, max(given.threads), given.dtype, given.pythons[library], isa=given.isa)
    try:
        worker.ask("hello")
        request: dict[str, Any] = {"row": row.as_dict(), "pass": which}
        return worker.ask("first", **request)
    finally:
        worker.close()


def run(given: Any, tell: Callable[[str], None]) -> dict[str, Any]:
    """A result of peers.py for each condition, and the first calls."""
    results: dict[str, Any] = {}
    seconds = given.seconds if given.quick else min(given.seconds, SECONDS)
    for condition in CONDITIONS:
        tell(f"{condition.title}\n")
        settings = {"seconds": seconds, "libraries": condition.libraries} | condition.settings
        results[condition.key] = run_given(condition.varied(given.quick), given, tell, **settings)
    results["cold"] = cold(given, tell)
    return results


def compared(results: dict[str, Any], condition: Condition) -> list[str]:
    """The condition's table, and how often fastrnn is ahead."""
    full = {(e["row"], e["pass"]): e for e in results["rows"]}
    extra = ["valid steps", "of full"] if condition.vary.get("ragged") else ["of usual"] if condition.beside else []
    head = [
        "row",
        "pass",
        "fastrnn, us",
        "best other, us",
        "ratio",
        *extra,
        *(["others' " + extra[-1]] if extra else []),
    ]
    rows = []
    for entry in results["rows"]:
        name = entry["row"].removesuffix(f", {condition.key}")
        if condition.beside and name == entry["row"]:
            continue
        ours, other = report.best(entry, report.OURS), report.best_other(entry)
        cells: list[Any] = [name, entry["pass"], ours and ours.us]
        cells += [f"{figure(other.us)} {report.LABELS[other.library]}" if other else "", ratio(report.ratio(entry))]
        if condition.beside:
            shape = Row(**entry["shape"])
            shares = against(entry, full[name, entry["pass"]])
            if shape.ragged:
                cells.append(percent(float(shape.lengths().mean()) / shape.T))
            cells.append(percent(shares.pop(report.OURS, None)))
            cells.append(", ".join(f"{report.LABELS[k]} {percent(v)}" for k, v in shares.items()))
        rows.append(cells)
    lines = table(head, rows, words=2)
    for which in (INFERENCE, TRAINING):
        found = {n: v for n, v in report.ratios(results, which).items() if not condition.beside or "," in n}
        if found:
            behind = sum(value < 1 for value in found.values())
            lines.append(
                f"- {which}: geometric mean {report.geomean(found.values()):.2f}, {behind} of {len(found)} below 1"
            )
    return [*lines, *report.notes(results), ""]


def against(entry: dict[str, Any], usual: dict[str, Any]) -> dict[str, float]:
    """Each library's time on a varied row over its time on the row itself."""
    found = {}
    for library in entry["times"]:
        one, other = report.best(entry, library), report.best(usual, library)
        if one and other:
            found[library] = one.us / other.us
    return found


def first_calls(entries: list[dict[str, Any]]) -> list[str]:
    """The table of first calls: milliseconds to build and call, and the least of the others' quotients."""
    used = [k for k in report.LABELS if any(k in start for entry in entries for start in entry["starts"])]
    rows = []
    for entry in entries:
        starts, quotients, cells = entry["starts"], [], []
        for library in used:
            both = [
                sum(start[library].values()) / sum(start[report.OURS].values())
                for start in starts
                if library in start and report.OURS in start
            ]
            if both and library != report.OURS:
                quotients.append(statistics.median(both))
            times = [start[library] for start in starts if library in start]
            build, call = ([time[name] * 1e-3 for time in times] for name in ("build_us", "first_us"))
            cells.append(f"{figure(statistics.median(build))} + {figure(statistics.median(call))}" if times else "")
        rows.append([entry["row"], entry["pass"], ratio(min(quotients, default=None)), *cells])
    return table(["row", "pass", "ratio", *(report.LABELS[k] for k in used)], rows, words=2)


def markdown(results: dict[str, Any]) -> list[str]:
    """A table for each condition."""
    lines = [f"## {TITLE}", "", "`python -m benchmarks.conditions`", ""]
    for condition in CONDITIONS:
        if condition.key in results:
            lines += [
                f"### {condition.title}",
                "",
                *paragraph(condition.text),
                *compared(results[condition.key], condition),
            ]
    text = """Milliseconds to build a layer from its weights + to call it once, in a process that has loaded the library
    and done nothing else, medians of several starts; the ratio is the median of the starts' own, of the sums."""
    return [*lines, "### The first call", "", *paragraph(text), *first_calls(results["cold"])]


if __name__ == "__main__":
    sys.exit(options.section_main(sys.modules[__name__]))
