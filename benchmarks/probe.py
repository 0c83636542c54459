"""probe.c, compiled on the spot: what the machine can do, and clocks around the kernels.

The C compiler is $CC or cc. Without one, or where it fails, `load` raises `Unavailable`, and what rests on the probe is
left out of the reports.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FLAGS = ("-std=gnu11", "-O2", "-ffp-contract=fast", "-Wno-psabi", "-fPIC", "-shared", "-pthread")
KINDS = ("input", "steps", "joined", "recurrent", "weights", "packing")


class Unavailable(Exception):
    """There is no probe on this machine, and why."""


@functools.cache
def load() -> Any:
    """The compiled probe.

    Raises
    ------
    Unavailable
        No C compiler, or it refuses.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "probe.so")
        command = [*compiler, *FLAGS, f"-I{HERE.parent / 'src'}", str(HERE / "probe.c"), "-o", str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise Unavailable(f"no C compiler ({compiler[0]}: {error.strerror}): install one or set CC") from None
        if done.returncode:
            words = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
            raise Unavailable(f"{compiler[0]} does not compile benchmarks/probe.c: {words[0]}")
        try:
            library = ctypes.CDLL(str(target))
        except OSError as error:
            raise Unavailable(f"the compiled probe cannot be loaded: {error}") from None
    for name in ("probe_fma", "probe_read", "probe_barrier"):
        getattr(library, name).restype = ctypes.c_double
    library.probe_fma.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_double]
    library.probe_read.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_double]
    library.probe_buffer.restype = ctypes.c_void_p
    library.probe_buffer.argtypes = [ctypes.c_size_t]
    library.probe_free.argtypes = [ctypes.c_void_p]
    library.probe_barrier.argtypes = [ctypes.c_int, ctypes.c_long]
    library.probe_isa.restype = ctypes.c_char_p
    library.probe_ticks.restype = ctypes.c_uint64
    library.probe_hook.argtypes = [ctypes.c_void_p]
    return library


def isa() -> str:
    """The widest instruction set of this processor, by the package's name of it."""
    return str(load().probe_isa().decode())


def fma(isa: str, itemsize: int, threads: int, seconds: float = 0.005) -> float:
    """GFLOP/s of multiply-adds between registers, all threads together."""
    return float(load().probe_fma(isa.encode(), itemsize, threads, seconds)) * 1e-9


class Buffer:
    """So many bytes to read, laid out as the package lays out its weights."""

    def __init__(self, size: int) -> None:
        self._library, self.size = load(), size
        self._address = self._library.probe_buffer(size)
        if not self._address:
            raise MemoryError(f"cannot allocate {size} bytes")

    def read(self, threads: int, seconds: float = 0.005) -> float:
        """GB/s at which the threads together read it again and again, each its own share."""
        return float(self._library.probe_read(self._address, self.size, threads, seconds)) * 1e-9

    def __del__(self) -> None:
        self._library.probe_free(self._address)


def barrier(threads: int, rounds: int = 20000) -> float:
    """Microseconds of one meeting at the package's own barrier."""
    return float(load().probe_barrier(threads, rounds)) * 1e6


@functools.cache
def tick() -> float:
    """Seconds of a tick of the counter."""
    library = load()
    begin, first = time.perf_counter(), library.probe_ticks()
    while time.perf_counter() - begin < 0.05:
        pass
    return (time.perf_counter() - begin) / int(library.probe_ticks() - first)


class Clocks:
    """The seconds the kernels took since `reset`, by kind; of each kind those of the busiest thread."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def reset(self, *, products_alone: bool = False) -> None:
        """Begin anew; with `products_alone` a step is its product, and its results are of no use."""
        self._library.probe_reset(int(products_alone))

    def read(self) -> dict[str, float]:
        """By kind: input (x.W, dG.W^T), steps (whole), recurrent (h.R, dG.R^T by themselves), weights, packing.

        Of products that are joined, alone, x.W's share by its k is "joined".
        """
        ticks = (ctypes.c_uint64 * len(KINDS))()
        self._library.probe_read_clocks(ticks)
        return {kind: count * tick() for kind, count in zip(KINDS, ticks, strict=True)}


@contextlib.contextmanager
def clocks(dtype: str) -> Iterator[Clocks]:
    """Clocks around the active kernels of a dtype, for the layers that are built inside the `with` block.

    Such a layer may only be called in this block or in a later one of the same dtype.

    Raises
    ------
    Unavailable
        No probe, or a system that does not let the table of kernels be written.
    """
    from fastrnn._core import isa

    library, short = load(), {"float32": "f32", "float64": "f64"}[dtype]
    assert isa.__file__ is not None
    try:
        table = ctypes.c_char.in_dll(ctypes.CDLL(isa.__file__), f"fr_{short}_{isa.active()}")
    except ValueError as error:
        raise Unavailable(f"the kernels' table is not to be found: {error}") from None
    if library.probe_hook(ctypes.addressof(table)):
        raise Unavailable(f"{sys.platform} does not let the table of kernels be written")
    try:
        yield Clocks(library)
    finally:
        library.probe_unhook()
