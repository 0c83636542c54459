"""What the machine can do at most, and how near a row comes to it: `python -m benchmarks.roofline`.

The time of a row at the roofline is the larger of two:

- arithmetic: the operations of its products (shapes.Row.flops: 2.T.B.G.H.(I+H) forward, three times that with the
  backward) at the rate of multiply-adds between registers;
- reading: its recurrent weights once a step, twice when training (a stream reads its input weights too), at the rate at
  which the threads together read a buffer of that size, each its share, from the cache that holds it.

Activations, the input and the outputs are not in it: a row of few units, where they weigh most, stays far below it.
The rates are measured by probe.c in the same rounds as the row, so that the drift of a busy host meets both alike.
Without a C compiler there are none, and the reports leave the share of the roofline out.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import options, probe
from .shapes import TRAINING, Row
from .tables import table

TITLE = "The machine"
SMALLEST_READ = 128 * 1024  # bytes; below, the weights stay in a first-level cache, or near enough
LARGEST_MEMORY = 1 << 30  # bytes of the buffer that stands for the memory


def weight_bytes(row: Row, itemsize: int) -> int:
    """Bytes of the weights that every step reads: R, and W too when one step is the whole call."""
    sizes = [row.H + (inputs if row.streaming else 0) for inputs in row.widths]
    return sum(sizes) * row.ways * row.gates * row.H * itemsize


def bound_us(row: Row, which: str, itemsize: int, gflops: float, read: float | None) -> float:
    """The time at the roofline in microseconds, from GFLOP/s and GB/s (None: the weights are too small to count)."""
    bound = row.flops(which) / gflops * 1e-3
    if read:
        times = row.T * (2 if which == TRAINING else 1)
        bound = max(bound, times * weight_bytes(row, itemsize) / read * 1e-3)
    return bound


def share(entry: dict[str, Any], itemsize: int, us: float, threads: int) -> float | None:
    """Bound over time of a measured row on so many threads; None where the machine was not probed."""
    rates = entry.get("machine", {}).get(str(threads))
    if not rates:
        return None
    bound = bound_us(Row(**entry["shape"]), entry["pass"], itemsize, rates["gflops"], rates.get("read"))
    return bound / us


class Sampler:
    """Short bursts of the probe for one row, among the bursts of the libraries."""

    def __init__(self, row: Row, dtype: str, threads: Sequence[int], isa: str | None) -> None:
        self.isa, self.itemsize, self.threads = isa or probe.isa(), np.dtype(dtype).itemsize, threads
        size = weight_bytes(row, self.itemsize)
        self.buffer = probe.Buffer(size) if size >= SMALLEST_READ else None
        self.found: dict[int, dict[str, list[float]]] = {count: {"gflops": [], "read": []} for count in threads}

    def sample(self) -> None:
        """One burst of each rate on each number of threads."""
        for count, found in self.found.items():
            found["gflops"].append(probe.fma(self.isa, self.itemsize, count))
            if self.buffer is not None:
                found["read"].append(self.buffer.read(count))

    def medians(self) -> dict[str, dict[str, float]]:
        """GFLOP/s and, unless the weights are small, GB/s by the number of threads."""
        return {
            str(count): {name: round(statistics.median(values), 1) for name, values in found.items() if values}
            for count, found in self.found.items()
        }


def sampler(row: Row, dtype: str, threads: Sequence[int], isa: str | None) -> Sampler | None:
    """A sampler, or None where there is no probe."""
    try:
        return Sampler(row, dtype, threads, isa)
    except probe.Unavailable:
        return None


def cache_bytes() -> dict[str, int]:
    """Sizes of the data caches of the first core as the system tells them, {"L1": ..., "L2": ..., "L3": ...}."""
    found: dict[str, int] = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = ((folder / name).read_text().strip() for name in ("type", "level", "size"))
            if kind != "Instruction":
                found["L" + level] = int(size.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(size[-1], 0)
        except (OSError, ValueError):
            continue
    return found


def buffers(caches: dict[str, int], threads: int) -> dict[str, int]:
    """Bytes to read, in all, for the rate of each level: half of what is each thread's own, four times that for the
    level they share, twice the last level for the memory."""
    second = caches.get("L2", 1 << 20)
    last = max(caches.get("L3", 0), 8 * second)
    return {
        "L2": second // 2 * threads,
        "L3": min(4 * second * threads, last // 2),
        "memory": min(2 * last, LARGEST_MEMORY),
    }


def run(given: Any, tell: Callable[[str], None]) -> dict[str, Any]:
    """Rates by thread count; {"unavailable": why} without a probe."""
    seconds = 0.02 if given.quick else 0.3
    try:
        isa = given.isa or probe.isa()
        result: dict[str, Any] = {"isa": isa, "caches": cache_bytes(), "threads": {}}
        for count in given.threads:
            tell(f"the machine on {count} threads")
            rates = {dtype: probe.fma(isa, np.dtype(dtype).itemsize, count, seconds) for dtype in options.DTYPES}
            reads = {}
            for level, size in buffers(result["caches"], count).items():
                size = min(size, 64 << 20) if given.quick else size
                reads[level] = {"bytes": size, "gbs": probe.Buffer(size).read(count, seconds)}
            barrier = probe.barrier(count, 2000 if given.quick else 100_000) if count > 1 else None
            result["threads"][str(count)] = {"gflops": rates, "reads": reads, "barrier_us": barrier}
        return result
    except probe.Unavailable as reason:
        return {"unavailable": str(reason)}


def markdown(result: dict[str, Any]) -> list[str]:
    """A line for each number of threads."""
    lines = [
        f"## {TITLE}",
        "",
        "Multiply-adds between registers; reading a buffer again and again, each thread its share; one meeting at the",
        "barrier of the package. All threads together. `python -m benchmarks.roofline`",
        "",
    ]
    if "unavailable" in result:
        return [*lines, f"Not measured: {result['unavailable']}.", ""]
    levels = list(next(iter(result["threads"].values()))["reads"])
    head = ["threads", "float32, GFLOP/s", "float64, GFLOP/s", *(f"{level}, GB/s" for level in levels), "barrier, us"]
    rows = [
        [count, *rates["gflops"].values(), *(rates["reads"][level]["gbs"] for level in levels), rates["barrier_us"]]
        for count, rates in result["threads"].items()
    ]
    sizes = ", ".join(f"{name} {size >> 10} KB" for name, size in result["caches"].items())
    return [*lines, *table(head, rows), f"Instruction set {result['isa']}; caches of a core: {sizes or 'unknown'}.", ""]


if __name__ == "__main__":
    sys.exit(options.section_main(sys.modules[__name__]))
