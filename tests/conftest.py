"""What all tests share: one thread of BLAS, and generated cases that are the same on every run."""

from __future__ import annotations

import os

# The reference makes thousands of small products, and a threaded BLAS would fight for the kernels' cores at each.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("fastrnn", derandomize=True, deadline=None, max_examples=40, database=None)
hypothesis.settings.load_profile("fastrnn")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers of a test's own, the same on every run."""
    return np.random.default_rng(list(request.node.name.encode()))
