"""Regularizers: penalties on the size of weights, that training adds to the loss.

    value      added to the loss
    gradient   added to the variable's gradient

A new one is a subclass with both formulas, and an entry in `REGULARIZERS`. Formulas and names are Keras's; so are `l1`,
`l2` and `l1_l2`, other names of the classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import validate
from fastrnn.gradients import RowGradient

FACTOR = 0.01  # Keras's, where none is given


class Regularizer:
    """Base of all regularizers.

    Attributes
    ----------
    name : str
        Key in `REGULARIZERS`.
    """

    name = "regularizer"

    def value(self, w: np.ndarray) -> float:
        """The penalty on the weights w, of any shape."""
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def add_gradient(self, w: np.ndarray, g: np.ndarray | RowGradient) -> np.ndarray:
        """The gradient g of the weights w with the penalty's added.

        Parameters
        ----------
        w : ndarray
        g : ndarray or RowGradient
            Of w's shape.

        Returns
        -------
        ndarray
            g itself, updated in place, where it can be written to; a new array otherwise.
        """
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.get_config().items())})"


class L1L2(Regularizer):
    """l1 * sum(abs(w)) + l2 * sum(w^2).

    Parameters
    ----------
    l1, l2 : float
        At least 0. Zero by default, but 0.01 both where the name "l1_l2" stands for the regularizer.
    """

    name = "l1_l2"

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = validate.number("l1", l1, minimum=0.0)
        self.l2 = validate.number("l2", l2, minimum=0.0)

    def value(self, w: np.ndarray) -> float:
        """The formula of the class; summed in float64."""
        total = 0.0
        if self.l1:
            total += self.l1 * float(np.abs(w).sum(dtype=np.float64))
        if self.l2:
            total += self.l2 * float(np.square(w).sum(dtype=np.float64))
        return total

    def add_gradient(self, w: np.ndarray, g: np.ndarray | RowGradient) -> np.ndarray:
        """g + l1 sign(w) + 2 l2 w."""
        if isinstance(g, RowGradient):
            g = g.dense()
        elif not g.flags.writeable:
            g = g.copy()
        if self.l1:
            penalty = np.sign(w)
            penalty *= self.l1
            g += penalty
        if self.l2:
            g += w * w.dtype.type(2 * self.l2)
        return g

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """l1 * sum(abs(w)).

    Parameters
    ----------
    l1 : float
        At least 0.
    """

    name = "l1"

    def __init__(self, l1: float = FACTOR) -> None:
        super().__init__(l1=l1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"l1": self.l1}


class L2(L1L2):
    """l2 * sum(w^2).

    Parameters
    ----------
    l2 : float
        At least 0.
    """

    name = "l2"

    def __init__(self, l2: float = FACTOR) -> None:
        super().__init__(l2=l2)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"l2": self.l2}


l1, l2, l1_l2 = L1, L2, L1L2

REGULARIZERS: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": L1L2}


def check(argument: str, value: Any) -> Any:
    """What a layer keeps of its argument and writes into its configuration: a name, a description, or None.

    Parameters
    ----------
    argument : str
        Its name, for the message.
    value : str, Regularizer, mapping or None
        A name, a regularizer, or what this function returned before.

    Raises
    ------
    TypeError, ValueError
        Something else, or an unknown name; the message suggests the nearest one.
    """
    return None if value is None else validate.description(argument, value, REGULARIZERS, Regularizer)


def get(value: Any) -> Regularizer | None:
    """The regularizer of this name or description; a Regularizer is itself, and None is none.

    Raises
    ------
    TypeError, ValueError
        As in `check`.
    """
    if value is None or isinstance(value, Regularizer):
        return value
    value = check("regularizer", value)
    if isinstance(value, str):
        value = {"class": value, "config": {"l1": FACTOR, "l2": FACTOR} if value == L1L2.name else {}}
    made: Regularizer = REGULARIZERS[value["class"]](**value["config"])
    return made
