"""The processor's kernels: which are there, and how exact their sigmoid and tanh are."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from fastrnn._core import isa


def test_active_is_the_forced_one_or_the_highest() -> None:
    assert set(isa.available()) <= set(isa.compiled())
    assert isa.available()[0] == "baseline"
    assert isa.active() == (os.environ.get("FASTRNN_ISA") or isa.default())
    assert isa.default() in isa.available()
    assert isa.default() not in ("baseline", "amx") or isa.available() == ["baseline"]


@pytest.mark.parametrize(("dtype", "width"), [("float32", 4), ("float64", 8)])
def test_vector_width(dtype: str, width: int) -> None:
    registers = {"baseline": 16, "avx2": 32, "avx512": 64, "avx512_bf16": 64, "amx": 64}
    assert isa.vector(dtype) == registers[isa.active()] // width


def maps_on_request() -> bool:
    """Does this system map a file's pages when it is asked to?"""
    release = platform.release().split(".")
    return sys.platform == "linux" and platform.machine() == "x86_64" and (int(release[0]), int(release[1])) >= (5, 14)


@pytest.mark.skipif(not maps_on_request(), reason="needs x86-64 and Linux 5.14")
def test_code_is_mapped_at_import() -> None:
    """Of a table's code, 0.3 to 0.9 MB, the import by itself would touch 0.1."""
    program = """
import fastrnn._core.isa as isa
code = False
for line in open("/proc/self/smaps"):
    words = line.split()
    if not words[0].endswith(":"):
        code = line.rstrip().endswith(isa.__file__) and "x" in words[1]
    elif code and words[0] == "Rss:":
        print(words[1])
"""
    resident = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(resident) > 256


def every_kind_of(dtype: type) -> np.ndarray:
    """A net over all bit patterns, denormals and huge numbers included, and a fine one where the functions bend."""
    integer, bits = (np.uint32, 32) if dtype is np.float32 else (np.uint64, 64)
    patterns = np.arange(2**20, dtype=integer) * integer(2 ** (bits - 20)) + integer(12345)
    finite = patterns.view(dtype)[np.isfinite(patterns.view(dtype))]
    return np.concatenate([finite, np.linspace(-110, 110, 400_001), np.linspace(-1, 1, 400_001)]).astype(dtype)


def exact(kind: str, x: np.ndarray) -> np.ndarray:
    x = x.astype(np.longdouble)
    with np.errstate(over="ignore", under="ignore"):
        if kind == "tanh":
            return np.tanh(x)
        z = np.exp(-np.abs(x))
        return np.where(x < 0, z, 1) / (1 + z)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no wider float to compare with")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
def test_within_4_ulp(kind: str, dtype: type) -> None:
    x = every_kind_of(dtype)
    want = exact(kind, x)
    got = isa.activate(kind, x)
    if kind == "sigmoid":
        vanishing = want < np.finfo(dtype).tiny
        assert not got[vanishing].any()
        got, want = got[~vanishing], want[~vanishing]
    error = np.abs(got - want) / np.spacing(np.abs(want.astype(dtype)))
    assert error.max() <= 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinities_saturate_and_nan_stays(dtype: type) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    np.testing.assert_array_equal(isa.activate("sigmoid", x), np.array([np.nan, 1, 0, 0.5, 0.5], dtype))
    np.testing.assert_array_equal(isa.activate("tanh", x), np.array([np.nan, 1, -1, 0, 0], dtype))
    assert np.signbit(isa.activate("tanh", x))[-1]


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
def test_a_tail_has_the_bits_of_a_body(kind: str) -> None:
    x = np.random.default_rng(0).standard_normal(67).astype(np.float32) * 3
    whole = isa.activate(kind, x)
    np.testing.assert_array_equal([isa.activate(kind, x[i : i + 1])[0] for i in range(67)], whole)
