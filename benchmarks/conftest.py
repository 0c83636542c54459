"""Let `pytest benchmarks/` find the bench_*.py suites, which a plain test run leaves alone."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Collect bench_* as well."""
    config.addinivalue_line("python_files", "bench_*.py")
    config.addinivalue_line("python_functions", "bench_")
