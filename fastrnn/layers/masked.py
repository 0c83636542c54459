"""What a mask does to the rows of a batch: their valid steps move to the front, and what is made of them back.

The kernels know rows by their lengths. A mask may have its valid steps anywhere, so a recurrent layer runs over rows
whose valid steps stand in front, in their order, and puts its outputs where they belong. Legend: T steps, B batch rows.
"""

from __future__ import annotations

import numpy as np

from fastrnn._core import masked


class MaskedRows:
    """The rows of a batch as a mask leaves them.

    Parameters
    ----------
    mask : ndarray of bool, (B, T)
        True where a step is valid.
    threads : int
        Of a team that moves them.

    Attributes
    ----------
    lengths : ndarray of int64, (B,)
        Valid steps of each row.
    """

    def __init__(self, mask: np.ndarray, threads: int) -> None:
        self.mask = np.ascontiguousarray(mask)
        self.lengths = mask.sum(axis=1, dtype=np.int64)
        self._in_front = not (mask[:, 1:] > mask[:, :-1]).any()
        self._threads = threads

    def to_front(self, x: np.ndarray) -> np.ndarray:
        """x (B, T, I) with every row's valid steps in front; x itself where they stand there already."""
        return x if self._in_front else masked.to_front(x, self.mask, self.lengths, self._threads)

    def back(self, y: np.ndarray) -> np.ndarray:
        """What stands in front, zeros behind it, (B, T, H), at the valid steps; zeros at the masked ones."""
        return y if self._in_front else masked.back(y, self.mask, self.lengths, self._threads)

    def repeated(self, y: np.ndarray, reverse: bool) -> np.ndarray:
        """As `back`, but a masked step has what stands at the valid step last walked over, zeros before the first."""
        if self._in_front and reverse:
            return y  # nothing is masked before a valid step
        return masked.repeated(y, self.mask, self.lengths, reverse, self._threads)

    def repeated_backward(self, dy: np.ndarray, reverse: bool) -> np.ndarray:
        """The gradient of what stands in front; behind it there may be anything."""
        if self._in_front and reverse:
            return dy
        return masked.summed(dy, self.mask, self.lengths, reverse, self._threads)
