"""The quick look at an argument: True only where the door would pass the array on as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastrnn import validate
from fastrnn._core.arrays import fits

F32 = np.dtype(np.float32)
GOOD = np.zeros((2, 3, 4), F32)


class Subclass(np.ndarray):
    pass


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.setflags(write=False)
    return a


def unaligned(a: np.ndarray) -> np.ndarray:
    return np.frombuffer(b"?" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (GOOD, (2, 3, 4)),
        (GOOD, ("B", None, 4)),
        (read_only(GOOD), ("B", "T", 4)),
        (np.zeros((0, 3), F32), ("B", 3)),
        (np.zeros((), F32), ()),
    ],
)
def test_what_fits_passes_as_it_is(value: np.ndarray, shape: tuple[Any, ...]) -> None:
    assert fits(value, F32, shape)
    assert validate.array("x", value, F32, shape) is value


@pytest.mark.parametrize(
    "value",
    [
        GOOD.tolist(),
        GOOD.astype(np.float64),
        GOOD.astype(">f4"),
        GOOD.astype(np.int64),
        GOOD[:, :, ::-1],
        np.asfortranarray(GOOD),
        GOOD.view(Subclass),
        unaligned(GOOD),
        GOOD[0],
        GOOD[:1],
        GOOD[..., :3],
        None,
    ],
)
def test_what_takes_a_closer_look(value: Any) -> None:
    assert not fits(value, F32, (2, 3, 4))


def test_no_dtype_takes_a_closer_look() -> None:
    assert not fits(GOOD, None, (2, 3, 4))
    assert not fits(GOOD, np.float32, (2, 3, 4))
    assert validate.array("x", GOOD, np.float32, (2, 3, 4)) is GOOD
