"""Blocks of large arrays: whole, used again, no larger than they need to be, and given back."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fastrnn._core.memory import empty_sequence

MB = 1 << 20
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def empty(size: int) -> np.ndarray:
    return empty_sequence((size // 4,), np.dtype(np.float32))


def push_out() -> None:
    """Two large blocks take the place of the spare ones that other tests have left."""
    empty(65 * MB // 2)
    empty(63 * MB // 2)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("size", [64, MB - 4, MB, 2 * MB - 4, 2 * MB, 2 * MB + 4, 8_192_000, 16 * MB - 4096, 70 * MB])
def test_blocks_are_whole_aligned_and_their_own(size: int) -> None:
    first, second = empty(size), empty(size)
    first.fill(1)
    second.fill(2)
    assert first.nbytes == second.nbytes == size
    assert np.all(first == 1) and np.all(second == 2)
    assert size < MB or first.ctypes.data % 64 == 0
    assert first.flags.c_contiguous and first.flags.writeable


def test_a_block_is_used_again_for_one_of_about_its_size() -> None:
    push_out()
    array = empty(8 * MB)
    address = array.ctypes.data
    del array
    larger, much_smaller, smaller = empty(9 * MB), empty(6 * MB), empty(7 * MB)
    assert larger.ctypes.data != address != much_smaller.ctypes.data
    assert smaller.ctypes.data == address


def test_a_view_keeps_its_block() -> None:
    array = empty(4 * MB)
    array.fill(3)
    view = array[5:]
    del array
    empty(4 * MB).fill(7)
    assert np.all(view == 3)


@linux
@pytest.mark.parametrize("size", [3 * MB, 8_192_000, 13_107_200, 33 * MB + 4])
def test_a_block_takes_hardly_more_than_its_size(size: int) -> None:
    push_out()
    before = resident()
    array = empty(size)
    array.fill(1)
    assert resident() - before < 1.04 * size + 256 * 1024


@linux
def test_spare_blocks_are_given_back_the_oldest_first() -> None:
    blocks = [empty(16 * MB + n * 4096) for n in range(8)]
    for block in blocks:
        block.fill(1)
    addresses = [block.ctypes.data for block in blocks]
    before = resident()
    del block
    while blocks:
        del blocks[0]
    assert before - resident() > 60 * MB  # 128 held, 64 kept
    assert empty(16 * MB + 7 * 4096).ctypes.data == addresses[-1]


@linux
def test_what_is_too_large_to_keep_is_given_back() -> None:
    array = empty(100 * MB)
    array.fill(1)
    before = resident()
    del array
    assert before - resident() > 90 * MB


def test_more_than_can_be_addressed() -> None:
    with pytest.raises(MemoryError, match="bytes are more than this machine can address"):
        empty_sequence((1 << 40, 1 << 40), np.dtype(np.float64))
