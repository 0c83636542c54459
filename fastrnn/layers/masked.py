"""What a mask does to the rows of a batch: their valid steps move to the front, and what is made of them back.

The kernels know rows by their lengths. A mask may have its valid steps anywhere, so a recurrent layer runs over rows
whose valid steps stand in front, in their order, and puts its outputs where they belong. Legend: T steps, B batch rows.
"""

from __future__ import annotations

import numpy as np

from fastrnn._core import scatter


class MaskedRows:
    """The rows of a batch as a mask leaves them.

    Parameters
    ----------
    mask : ndarray of bool, (B, T)
        True where a step is valid.

    Attributes
    ----------
    lengths : ndarray of int64, (B,)
        Valid steps of each row.
    """

    def __init__(self, mask: np.ndarray) -> None:
        batch, steps = mask.shape
        self.mask = mask
        # of the steps up to each, how many are valid
        self._count = np.cumsum(mask, axis=1, dtype=np.int64)
        self.lengths = np.ascontiguousarray(self._count[:, -1]) if steps else np.zeros(batch, np.int64)
        self._first = np.arange(batch, dtype=np.int64)[:, np.newaxis] * steps
        self._place: np.ndarray | None = None  # where every step goes; None: they all stand there already
        if (mask[:, 1:] > mask[:, :-1]).any():
            masked_count = np.arange(1, steps + 1) - self._count
            place = np.where(mask, self._count, self.lengths[:, np.newaxis] + masked_count) - 1
            self._place = (place + self._first).reshape(-1)

    def to_front(self, x: np.ndarray) -> np.ndarray:
        """x (B, T, I) with every row's valid steps in front."""
        if self._place is None:
            return x
        order = np.empty_like(self._place)
        order[self._place] = np.arange(order.size)
        return _taken(x, order)

    def back(self, y: np.ndarray) -> np.ndarray:
        """What stands in front, zeros behind it, (B, T, H), at the valid steps; zeros at the masked ones."""
        return y if self._place is None else _taken(y, self._place)

    def repeated(self, y: np.ndarray, reverse: bool) -> np.ndarray:
        """As `back`, but a masked step has what stands at the valid step last walked over, zeros before the first."""
        return _taken(y, self._sources(reverse))

    def repeated_backward(self, dy: np.ndarray, reverse: bool) -> np.ndarray:
        """The gradient of what stands in front; behind it there may be anything."""
        batch, steps, units = dy.shape
        gradient = np.zeros((batch * steps, units), dy.dtype)
        rows = np.ascontiguousarray(dy).reshape(batch * steps, units)
        scatter.add_rows(gradient, self._sources(reverse), rows)
        return gradient.reshape(dy.shape)

    def _sources(self, reverse: bool) -> np.ndarray:
        """For every step, the place in front that it repeats; a step that repeats none, a place behind, where 0 is."""
        source: np.ndarray = self._count - self.mask
        if not reverse:
            source = np.where(self._count > 0, self._count - 1, self.lengths[:, np.newaxis])
        source += self._first
        return source.reshape(-1)


def _taken(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The steps of x (B, T, I), all rows in one, at these places."""
    batch, steps, inputs = x.shape
    # mode "clip" checks no place, and so writes them at once; they are right as they are
    taken: np.ndarray = x.reshape(batch * steps, inputs).take(places, axis=0, mode="clip")
    return taken.reshape(x.shape)
