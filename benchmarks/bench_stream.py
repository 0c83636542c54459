"""One step at a time, the state carried: `pytest benchmarks/bench_stream.py --benchmark-only`."""

from __future__ import annotations

from typing import Any

import pytest

from .shapes import INFERENCE, ROWS, Row, random_arrays
from .workers import fastrnn as worker


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", [row for row in ROWS if row.streaming], ids=lambda row: row.name)
def bench_stream(benchmark: Any, row: Row, dtype: str) -> None:
    """layer.stream().step(x)."""
    arrays = random_arrays(row, dtype)
    call = worker.stream(worker.build(row, arrays), arrays["x"][:, 0].copy())
    call()
    benchmark.group = f"stream {dtype}"
    benchmark.extra_info.update(row.as_dict(), flops=row.flops(INFERENCE))
    benchmark(call)
