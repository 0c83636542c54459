"""One module per library, each with a class `Library` that serve.py drives.

    Library(threads, dtype)            set the library up; importing the module fails when it is not installed
    .version                           for the report
    .tasks(row, arrays, training)      {idiom: builder}; the fastest idiom in a short trial is the one timed
    .product(n)                        optional: a call that multiplies two n x n matrices, for the roofline
    builder() -> Task(call, result)    all set-up done; `call` is timed, `result` gives arrays for the check

A worker imports the standard library, NumPy, shapes.py and its own library: it may run in an environment
without fastrnn. Arrays come and results go in Keras's layout, batch-major; inside, each library gets the
layout it prefers, converted outside the timer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Task(NamedTuple):
    """A pass ready to be timed.

    `call` runs it once. `result` is asked for once, before any timing: {"y", "h", "c"} for inference ("c" for
    the LSTM only), {"y", "dx", "dkernel", "drecurrent_kernel", "dbias"} for training, {"y"} after CHECK_STEPS
    calls for streaming.
    """

    call: Callable[[], Any]
    result: Callable[[], dict[str, np.ndarray]]


CHECK_STEPS = 3  # streaming: enough for the carried state to show in the output


def reorder(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The gate blocks of the last axis in another order: block k of the result is block order[k]."""
    blocks = np.split(array, len(order), axis=-1)
    return np.ascontiguousarray(np.concatenate([blocks[k] for k in order], axis=-1))


def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The order that undoes `order`."""
    return tuple(order.index(k) for k in range(len(order)))
