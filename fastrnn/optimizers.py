"""Optimizers: in-place updates of variables from their gradients, by Keras's formulas.

    optimizer = Adam(0.001, global_clipnorm=5.0)
    ...                                   # a backward pass leaves every variable's grad
    optimizer.apply(model.variables)

An optimizer is written by subclassing `Optimizer`: `slots` names the arrays that it keeps beside every variable, and
`update` is its formula. `apply` feeds the formula blocks small enough that they and what is computed from them stay in
cache, for every pass over a large array is a trip to memory. A new optimizer also needs an entry in `OPTIMIZERS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastrnn import validate
from fastrnn.layers.base import Variable

# Elements to a block. Adam in float32 on one core, ms over 0.35 and over 5.4 million parameters: 8192 0.69 and 18.7,
# 16384 0.51 and 13.3, 65536 0.43 and 16.0, no blocks 0.42 and 16.7
BLOCK = 16384


class Optimizer:
    """Base of all optimizers.

    Parameters
    ----------
    learning_rate : float
        Size of the step; may be set anew at any time.
    clipvalue : float, optional
        Every element of a gradient is limited to [-clipvalue, clipvalue].
    clipnorm : float, optional
        A variable's gradient g becomes g * clipnorm / norm(g) when its norm is larger than clipnorm.
    global_clipnorm : float, optional
        The same with the norm of all gradients together, which keeps their direction. Pascanu, Mikolov & Bengio,
        "On the difficulty of training recurrent neural networks", ICML 2013.

    Attributes
    ----------
    name : str
        Key in `OPTIMIZERS`.
    slots : tuple of str
        Names of the arrays kept beside every variable; zeros at first.
    iterations : int
        Updates done.
    """

    name = "optimizer"
    slots: tuple[str, ...] = ()

    def __init__(
        self,
        learning_rate: float,
        *,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        clips = {"clipvalue": clipvalue, "clipnorm": clipnorm, "global_clipnorm": global_clipnorm}
        clips = {name: validate.positive(name, value) for name, value in clips.items() if value is not None}
        if len(clips) > 1:
            raise ValueError(f"only one kind of clipping can be given, got {' and '.join(clips)}")
        self.clipvalue = clips.get("clipvalue")
        self.clipnorm = clips.get("clipnorm")
        self.global_clipnorm = clips.get("global_clipnorm")
        self.learning_rate = learning_rate
        self.iterations = 0
        self._slots: list[dict[str, np.ndarray]] = []  # of each variable

    @property
    def learning_rate(self) -> float:
        """Size of the step."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = validate.number("learning_rate", value, minimum=0.0)

    # ---- what a subclass writes

    def begin(self) -> None:
        """Compute what is the same for all elements of this update, whose number is `iterations`."""

    def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
        """The formula, on one block, in place.

        Parameters
        ----------
        w, slots : ndarray, (N,)
            Weights and their slots: to be updated.
        g : ndarray, (N,)
            Clipped gradients; may be overwritten.
        spare : ndarray, (N,)
            Scratch.
        """
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the present learning rate, as JSON can hold them."""
        return {
            "learning_rate": self.learning_rate,
            "clipvalue": self.clipvalue,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
        }

    # ---- what everyone calls

    def apply(self, variables: Sequence[Variable]) -> None:
        """Update all variables from their gradients.

        Parameters
        ----------
        variables : sequence of Variable
            The same ones, in the same order, at every call: the slots belong to them.

        Raises
        ------
        RuntimeError
            A variable has no gradient.
        ValueError
            A gradient has another shape, or these are other variables than before. Nothing has changed then.
        """
        gradients = [_gradient(variable) for variable in variables]
        self.build(variables)
        scales = self._scales(gradients)
        self.iterations += 1
        self.begin()
        for variable, gradient, scale, slots in zip(variables, gradients, scales, self._slots, strict=True):
            g_spare = np.empty((2, min(BLOCK, variable.size)), variable.dtype)
            with variable.writing() as array:
                w, g = array.reshape(-1), gradient.reshape(-1)
                for start in range(0, w.size, BLOCK):
                    part = slice(start, start + BLOCK)
                    block = w[part]
                    clipped, spare = g_spare[:, : block.size]
                    if self.clipvalue is None:
                        np.multiply(g[part], scale, out=clipped)
                    else:
                        np.clip(g[part], -self.clipvalue, self.clipvalue, out=clipped)
                    self.update(block, clipped, spare, **{name: slot[part] for name, slot in slots.items()})

    def build(self, variables: Sequence[Variable]) -> None:
        """Create the slots of these variables, or see that those there are theirs.

        Raises
        ------
        ValueError
            The slots, from earlier updates or from `set_state`, are those of other variables.
        """
        if not self._slots:
            self._slots = [{name: np.zeros(v.size, v.dtype) for name in self.slots} for v in variables]
        kept = [{name: (slot.size, slot.dtype) for name, slot in slots.items()} for slots in self._slots]
        if kept != [dict.fromkeys(self.slots, (v.size, v.dtype)) for v in variables]:
            raise ValueError(
                f"the state of this {self.name} belongs to other variables: number, sizes or dtypes differ"
            )

    def _scales(self, gradients: Sequence[np.ndarray]) -> list[float]:
        """The factor that clipping by norm puts on each gradient."""
        if self.clipnorm is not None:
            return [_shrink(norm(g), self.clipnorm) for g in gradients]
        if self.global_clipnorm is not None:
            scale = _shrink(math.hypot(*(norm(g) for g in gradients)), self.global_clipnorm)
            return [scale] * len(gradients)
        return [1.0] * len(gradients)

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of all that later updates depend on, by name: "iterations", "learning_rate", and "0/momentum" ..."""
        state: dict[str, np.ndarray] = {
            "iterations": np.array(self.iterations, np.int64),
            "learning_rate": np.array(self.learning_rate, np.float64),
        }
        for i, slots in enumerate(self._slots):
            state |= {f"{i}/{name}": slot.copy() for name, slot in slots.items()}
        return state

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Carry on exactly where `get_state` was called.

        Raises
        ------
        ValueError
            It is not a state of such an optimizer. The one there was is kept then.
        """
        slots = [key for key in state if key not in ("iterations", "learning_rate")]
        count = -(-len(slots) // max(len(self.slots), 1))  # of variables; rounded up, so that a lone slot is missed
        wanted = {"iterations", "learning_rate"} | {f"{i}/{name}" for i in range(count) for name in self.slots}
        if set(state) != wanted:
            odd = sorted(wanted.symmetric_difference(state))
            raise ValueError(
                f"this is not the state of an optimizer {self.name!r}: {', '.join(odd)} is missing or too much"
            )
        iterations = validate.count("iterations", np.asarray(state["iterations"])[()])
        for key in slots:
            if state[key].ndim != 1 or state[key].dtype not in validate.FLOATS:
                raise ValueError(
                    f"{key} must be float32 or float64 of one axis, got {state[key].dtype} {state[key].shape}"
                )
        rate: Any = np.asarray(state["learning_rate"])[()]
        self.learning_rate = rate
        self.iterations = iterations
        self._slots = [{name: state[f"{i}/{name}"].copy() for name in self.slots} for i in range(count)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.get_config().items() if v is not None)})"


class SGD(Optimizer):
    """Gradient descent, with momentum if asked.

        w <- w - lr g                                 momentum = 0
        v <- momentum v - lr g,   w <- w + v          momentum > 0
        w <- w + momentum v - lr g                    nesterov, with that v

    Parameters
    ----------
    learning_rate : float
    momentum : float
        In [0, 1).
    nesterov : bool
        Look one step ahead. Sutskever, Martens, Dahl & Hinton, "On the importance of initialization and momentum in
        deep learning", ICML 2013.
    **clip
        clipvalue, clipnorm or global_clipnorm, as in `Optimizer`.
    """

    name = "sgd"

    def __init__(
        self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False, **clip: float | None
    ) -> None:
        super().__init__(learning_rate, **clip)
        self.momentum = validate.fraction("momentum", momentum)
        self.nesterov = bool(nesterov)
        if self.momentum:
            self.slots = ("velocity",)

    def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
        """The formulas of the class."""
        g *= self.learning_rate
        if not self.momentum:
            w -= g
            return
        v = slots["velocity"]
        v *= self.momentum
        v -= g
        if self.nesterov:
            w += np.multiply(v, self.momentum, out=spare)
            w -= g
        else:
            w += v

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient. Kingma & Ba, ICLR 2015, arXiv:1412.6980.

        m <- beta_1 m + (1 - beta_1) g
        v <- beta_2 v + (1 - beta_2) g^2
        w <- w - lr sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)          t = 1, 2, ...

    epsilon stands outside the root and beside the uncorrected v, as in Keras (the paper's "epsilon hat").

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
    **clip
        clipvalue, clipnorm or global_clipnorm, as in `Optimizer`.
    """

    name = "adam"
    slots = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **clip: float | None,
    ) -> None:
        super().__init__(learning_rate, **clip)
        self.beta_1 = validate.fraction("beta_1", beta_1)
        self.beta_2 = validate.fraction("beta_2", beta_2)
        self.epsilon = validate.number("epsilon", epsilon, minimum=0.0)

    def begin(self) -> None:
        """The step with both moments' corrections for their start at zero."""
        t = self.iterations
        self._step = self.learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
        """The formulas of the class."""
        m, v = slots["momentum"], slots["velocity"]
        m *= self.beta_1
        m += np.multiply(g, 1 - self.beta_1, out=spare)
        g *= g
        g *= 1 - self.beta_2
        v *= self.beta_2
        v += g
        root = np.sqrt(v, out=g)
        root += self.epsilon
        np.divide(m, root, out=spare)
        spare *= self._step
        w -= spare

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


def get(optimizer: str | Optimizer, /, **config: Any) -> Optimizer:
    """The optimizer of this name, with these constructor arguments; an Optimizer is itself.

    Raises
    ------
    ValueError
        Unknown name; the message suggests the nearest one.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    return OPTIMIZERS[validate.choice("optimizer", optimizer, list(OPTIMIZERS))](**config)


def norm(g: np.ndarray) -> float:
    """Euclidean norm; each block is summed in g's dtype, in float64 if that overflows, and the blocks in float64."""
    g = g.reshape(-1)
    squares = np.empty(min(BLOCK, g.size), g.dtype)
    total = 0.0
    with np.errstate(over="ignore"):
        for start in range(0, g.size, BLOCK):
            part = g[start : start + BLOCK]
            total += float(np.square(part, out=squares[: part.size]).sum())
    if math.isinf(total) and g.dtype != np.float64:
        return norm(g.astype(np.float64))
    return math.sqrt(total)


def _shrink(length: float, limit: float) -> float:
    """What takes a vector of this length to the limit, if it is longer."""
    return limit / length if length > limit else 1.0


def _gradient(variable: Variable) -> np.ndarray:
    if variable.grad is None:
        raise RuntimeError(f"variable {variable.name!r} has no gradient: run a backward pass first")
    if variable.grad.shape != variable.shape:
        raise ValueError(
            f"the gradient of {variable.name!r} must have shape {variable.shape}, got {variable.grad.shape}"
        )
    return variable.grad
