"""What the members of a team take when they are free: everything once, from the right end, in the right portions."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import pytest
from c_programs import build

PROGRAM = """
#include "turns.h"

void give(fr_share *s, ptrdiff_t low, ptrdiff_t high) { fr_give(s, low, high); }
ptrdiff_t panels(fr_share *s, ptrdiff_t most, int from_end, ptrdiff_t *first)
{ return fr_take_panels(s, most, from_end, first); }
ptrdiff_t items(fr_turns *t, ptrdiff_t total, ptrdiff_t least, ptrdiff_t most, int members, ptrdiff_t *first)
{ return fr_take_items(t, total, least, most, members, first); }

/* all that one thread gets: owners[i] counts who had item i */
void take_panels(fr_share *s, ptrdiff_t most, int from_end, unsigned char *owners)
{
    for (ptrdiff_t first, n; (n = fr_take_panels(s, most, from_end, &first)) > 0;)
        for (ptrdiff_t i = first; i < first + n; i++) owners[i]++;
}
void take_items(fr_turns *t, ptrdiff_t total, ptrdiff_t least, ptrdiff_t most, int members, unsigned char *owners)
{
    for (ptrdiff_t first, n; (n = fr_take_items(t, total, least, most, members, &first)) > 0;)
        for (ptrdiff_t i = first; i < first + n; i++) owners[i]++;
}
"""


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> Any:
    library = build(tmp_path_factory.mktemp("turns"), PROGRAM, "-std=gnu11")
    for name in ("panels", "items"):
        getattr(library, name).restype = ctypes.c_ssize_t
    return library


def size(*numbers: int) -> list[ctypes.c_ssize_t]:
    return [ctypes.c_ssize_t(number) for number in numbers]


@pytest.fixture
def share() -> Any:
    return ctypes.create_string_buffer(64)


@pytest.fixture
def state() -> Any:
    """Of a team that has taken nothing: zeros."""
    return ctypes.create_string_buffer(64)


def take(library: Any, share: Any, most: int, from_end: int) -> tuple[int, int]:
    first = ctypes.c_ssize_t(-1)
    count = library.panels(share, *size(most), from_end, ctypes.byref(first))
    return first.value, count


def test_panels_are_taken_from_both_ends(turns: Any, share: Any) -> None:
    turns.give(share, *size(20, 31))
    assert take(turns, share, 4, 0) == (20, 4)
    assert take(turns, share, 1, 1) == (30, 1)
    assert take(turns, share, 4, 1) == (26, 4)
    assert take(turns, share, 4, 0) == (24, 2)
    assert take(turns, share, 4, 0)[1] == take(turns, share, 1, 1)[1] == 0
    turns.give(share, *size(0, 3))
    assert take(turns, share, 8, 1) == (0, 3)


@pytest.mark.parametrize(
    ("total", "least", "most", "members", "portions"),
    [
        (100, 16, 64, 2, [25, 18, 16, 16, 16, 9]),
        (1000, 16, 64, 2, [64] * 12 + [58, 43, 32, 24, 18, 16, 16, 16, 9]),
        (20, 10, 64, 2, [10, 10]),
        (7, 7, 64, 1, [7]),
        (200, 16, 64, 1, [64, 64, 36, 18, 16, 2]),
        (5, 16, 64, 3, [5]),
        (0, 0, 64, 2, []),
    ],
)
def test_items_come_in_portions_that_shrink(
    turns: Any, state: Any, total: int, least: int, most: int, members: int, portions: list[int]
) -> None:
    found, first = [], ctypes.c_ssize_t()
    while count := turns.items(state, *size(total, least, most), members, ctypes.byref(first)):
        assert first.value == sum(found)
        found.append(count)
    assert found == portions


def together(count: int, body: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=body, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_threads_take_each_once(turns: Any, share: Any, state: Any) -> None:
    total = 200_000
    panels, items = (ctypes.create_string_buffer(total) for _ in range(2))
    turns.give(share, *size(0, total))
    together(4, lambda i: turns.take_panels(share, *size(1 + i), i % 2, panels))
    together(4, lambda _: turns.take_items(state, *size(total, 1, 3), 4, items))
    assert panels.raw == items.raw == b"\1" * total
