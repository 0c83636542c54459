"""A worker process: one library at one thread count, asked by lines of JSON on stdin, answering on stdout.

    python -m benchmarks.workers.serve LIBRARY THREADS DTYPE

    -> {"op": "hello"}                                <- {"version"}
    -> {"op": "prepare", "row", "pass", "data"}       <- {"us", "idiom", "trials_us", "failures"}
    -> {"op": "burst", "seconds", "calls"}            <- {"us", "mean_us", "calls"}
    -> {"op": "product", "seconds"}                   <- {"gflops"}
    -> {"op": "first", "row", "pass"}                 <- {"build_us", "first_us"}
    -> {"op": "memory", "row", "pass", "calls"}       <- {"first_bytes", "peak_bytes"}
    -> {"op": "release"}                              <- {}

An error comes back as {"error": text} and the worker goes on. What the library itself prints goes to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from ..shapes import TRAINING, Row, random_arrays
from . import Task

# Largest error accepted, relative to the largest value of the expected array: float32 sums over T x B steps
# stay near 1e-6; one layer in bfloat16 or TF32 is off by more than 1e-3.
TOLERANCE = {
    "float32": {"forward": 1e-4, "gradient": 3e-4},
    "float64": {"forward": 1e-10, "gradient": 1e-10},
    "bfloat16": {"forward": 0.1, "gradient": 0.2},
}
TRIALS = 3  # alternating bursts of each idiom, the shortest counts
PRODUCT = 1024  # side of the matrices that probe the arithmetic
WARM_UP = 0.002  # seconds before each burst: caches, and pools that were asleep
SAMPLE = 20e-6  # a sample of fast calls takes at least this long, so that the clock costs nothing


def mismatch(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], dtype: str) -> str:
    """What disagrees with the referee, in words; empty when nothing does."""
    if set(found) != set(expected):
        return f"returned {sorted(found)}, expected {sorted(expected)}"
    for name, want in expected.items():
        got = np.asarray(found[name], np.float64)
        if got.shape != want.shape:
            return f"{name} has shape {got.shape}, expected {want.shape}"
        bound = TOLERANCE[dtype]["gradient" if name.startswith("d") else "forward"]
        scale = expected["y"] if name in ("h", "c") else want  # a state may have decayed to next to nothing
        largest = float(np.max(np.abs(scale), initial=0.0))
        error = float(np.max(np.abs(got - want), initial=0.0)) / max(largest, 1e-30)
        if not error <= bound:
            return f"{name} is off by {error:.1e} of its largest value (accepted {bound:.0e})"
    return ""


def burst(call: Callable[[], Any], seconds: float, calls: int, estimate: float, pause: float = 0.0) -> dict[str, Any]:
    """Call for at least `seconds` and at least `calls` times; the median over samples, in microseconds.

    With a `pause` each call is a sample of its own, and the process sleeps for so many seconds before it.
    """
    clock = time.perf_counter
    inner = 1 if pause else max(1, int(SAMPLE / max(estimate, 1e-7)))
    samples: list[float] = []
    if estimate < 0.05 and not pause:
        end = clock() + WARM_UP
        call()
        while clock() < end:
            call()
    gc.disable()
    try:
        begin = clock()
        while True:
            if pause:
                time.sleep(pause)
            start = clock()
            for _ in repeat(None, inner):
                call()
            stop = clock()
            samples.append((stop - start) / inner)
            if stop - begin >= seconds and len(samples) * inner >= calls:
                break
    finally:
        gc.enable()
    return {
        "us": statistics.median(samples) * 1e6,
        "mean_us": statistics.fmean(samples) * 1e6,
        "calls": len(samples) * inner,
    }


def shortest(call: Callable[[], Any], seconds: float) -> float:
    """The shortest of the calls that fit in `seconds`, in seconds."""
    call()
    found, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        found = min(found, time.perf_counter() - start)
    return found


def resident(name: str) -> int:
    """VmRSS, the memory this process holds now, or VmHWM, the most it has held, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


class Server:
    """The loop over requests."""

    def __init__(self, library: Any, dtype: str) -> None:
        self.library, self.dtype = library, dtype
        self.task: Task | None = None
        self.estimate = self.pause = 0.0

    def hello(self) -> dict[str, Any]:
        return {"version": str(self.library.version)}

    def prepare(self, row: dict[str, Any], data: str, **request: Any) -> dict[str, Any]:
        """Build every idiom, drop those that disagree with the referee, keep the fastest."""
        self.release()
        self.pause = Row(**row).pause
        training = request["pass"] == TRAINING
        with np.load(data) as stored:
            arrays = {name: stored[name] for name in stored.files}
        expected = {name[9:]: arrays.pop(name) for name in list(arrays) if name.startswith("expected_")}
        builders = self.library.tasks(Row(**row), arrays, training)
        tasks: dict[str, Task] = {}
        seconds: dict[str, float] = {}
        failures: dict[str, str] = {}
        for idiom, build in builders.items():
            try:
                task = build()
                problem = mismatch(task.result(), expected, self.dtype)
            except Exception as error:
                problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            if problem:
                failures[idiom] = problem
                continue
            start = time.perf_counter()
            task.call()
            tasks[idiom], seconds[idiom] = task, time.perf_counter() - start
        begin = time.perf_counter()
        for _ in range(TRIALS if len(tasks) > 1 else 1):
            for idiom, task in tasks.items():
                estimate = seconds[idiom]
                if estimate < 0.5:
                    found = burst(task.call, min(0.02, 10 * estimate), 2, estimate)["us"] * 1e-6
                    seconds[idiom] = min(estimate, found)
            if time.perf_counter() - begin > 1.0:
                break
        if not tasks:
            return {"idiom": "", "us": None, "trials_us": {}, "failures": failures}
        chosen = min(seconds, key=lambda idiom: seconds[idiom])
        self.task, self.estimate = tasks[chosen], seconds[chosen]
        trials = {idiom: round(value * 1e6, 3) for idiom, value in seconds.items()}
        return {"idiom": chosen, "us": trials[chosen], "trials_us": trials, "failures": failures}

    def burst(self, seconds: float, calls: int) -> dict[str, Any]:
        if self.task is None:
            raise RuntimeError("nothing prepared")
        return burst(self.task.call, seconds, calls, self.estimate, self.pause)

    def product(self, seconds: float) -> dict[str, Any]:
        """GFLOP/s of a large product, where the library offers one, else 0."""
        product = getattr(self.library, "product", None)
        return {"gflops": 2 * PRODUCT**3 / shortest(product(PRODUCT), seconds) * 1e-9 if product else 0.0}

    def first(self, row: dict[str, Any], **request: Any) -> dict[str, Any]:
        """The first call of a fresh layer in this process, and the time to build it from its weights.

        The first idiom alone: it is the plainest.
        """
        arrays = random_arrays(Row(**row), self.dtype)
        builders = self.library.tasks(Row(**row), arrays, request["pass"] == TRAINING)
        if not builders:
            return {"build_us": None, "first_us": None}
        begin = time.perf_counter()
        task = next(iter(builders.values()))()
        built = time.perf_counter()
        task.call()
        return {"build_us": (built - begin) * 1e6, "first_us": (time.perf_counter() - built) * 1e6}

    def memory(self, row: dict[str, Any], calls: int, **request: Any) -> dict[str, Any]:
        """What the process grew by at most beyond the built layer and its input: in the first call, in several.

        Raises
        ------
        OSError
            The system does not tell.
        """
        arrays = random_arrays(Row(**row), self.dtype)
        builders = self.library.tasks(Row(**row), arrays, request["pass"] == TRAINING)
        if not builders:
            return {"first_bytes": None, "peak_bytes": None}
        task = next(iter(builders.values()))()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # glibc: what was freed before is not there to be used again
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, peaks = resident("VmRSS"), []
        for _ in range(calls):
            task.call()
            peaks.append(resident("VmHWM") - before)
        return {"first_bytes": peaks[0], "peak_bytes": peaks[-1]}

    def release(self) -> dict[str, Any]:
        self.task = None
        gc.collect()
        return {}


def _die_with_parent() -> None:
    """A worker is stopped between bursts: without this a killed driver would leave it stopped for good."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, Linux


def serve(make: Callable[[], Any]) -> None:
    """Answer requests by the methods of what `make` makes, which the first one waits for, until stdin ends."""
    _die_with_parent()
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    # An installed package comes before the one in the source tree.
    root = str(Path(__file__).resolve().parents[2])
    sys.path[:] = [p for p in sys.path if p not in ("", root)] + [root]
    server: Any = None
    for line in sys.stdin:
        try:
            if server is None:
                server = make()
            request = json.loads(line)
            answer = getattr(server, request.pop("op"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


def main(name: str, threads: int, dtype: str) -> None:
    """Serve until stdin ends."""
    serve(lambda: Server(importlib.import_module(f"{__package__}.{name}").Library(threads, dtype), dtype))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
