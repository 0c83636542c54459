"""Inference over whole sequences: `pytest benchmarks/bench_forward.py --benchmark-only`."""

from __future__ import annotations

from typing import Any

import pytest

from .shapes import INFERENCE, ROWS, Row, random_arrays
from .workers import fastrnn as worker


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", [row for row in ROWS if not row.streaming], ids=lambda row: row.name)
def bench_forward(benchmark: Any, row: Row, dtype: str) -> None:
    """layer.forward(x), weights packed beforehand."""
    arrays = random_arrays(row, dtype)
    call = worker.infer(worker.build(row, arrays), arrays["x"])
    call()
    benchmark.group = f"inference {dtype}"
    benchmark.extra_info.update(row.as_dict(), flops=row.flops(INFERENCE))
    benchmark(call)
