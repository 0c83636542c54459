"""Forward and backward with all gradients: `pytest benchmarks/bench_train.py --benchmark-only`."""

from __future__ import annotations

from typing import Any

import pytest

from .shapes import ROWS, TRAINING, Row, random_arrays
from .workers import fastrnn as worker


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", [row for row in ROWS if row.train], ids=lambda row: row.name)
def bench_train(benchmark: Any, row: Row, dtype: str) -> None:
    """layer.forward(x, training=True), then layer.backward(dy) for a random dy on every output."""
    arrays = random_arrays(row, dtype)
    call = worker.train(worker.build(row, arrays), arrays["x"], arrays["dy"])
    call()
    benchmark.group = f"training {dtype}"
    benchmark.extra_info.update(row.as_dict(), flops=row.flops(TRAINING))
    benchmark(call)
