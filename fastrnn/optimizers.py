"""Optimizers: in-place updates of variables from their gradients, by Keras's formulas.

    optimizer = Adam(0.001, global_clipnorm=5.0)
    ...                                   # a backward pass leaves every variable's grad
    optimizer.apply(model.variables)

An optimizer is written by subclassing `Optimizer`: `slots` names the arrays that it keeps beside every variable, and
`update` is its formula, in NumPy. A new optimizer also needs an entry in `OPTIMIZERS`. Those here are compiled
(`src/update.h`): one pass over the memory by a team of threads, clipping and the decay of weights within it; `formula`
names it. Of a table with a `RowGradient` it visits the rows that change: those in it alone for SGD and Adagrad, of the
others the slots for RMSprop, all of them where such rows move too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastrnn import schedules, validate
from fastrnn._core import update as compiled
from fastrnn.gradients import RowGradient
from fastrnn.layers.base import Variable, writing
from fastrnn.schedules import LearningRateSchedule

Gradient = np.ndarray | RowGradient


class Optimizer:
    """Base of all optimizers.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Size of the step; a number may be set anew at any time.
    lr : float or LearningRateSchedule, optional
        Another name of it.
    clipvalue : float, optional
        Every element of a gradient is limited to [-clipvalue, clipvalue].
    clipnorm : float, optional
        A variable's gradient g becomes g * clipnorm / norm(g) when its norm is larger than clipnorm.
    global_clipnorm : float, optional
        The same with the norm of all gradients together, which keeps their direction. Pascanu, Mikolov & Bengio,
        "On the difficulty of training recurrent neural networks", ICML 2013.
    weight_decay : float, optional
        w <- w - lr * weight_decay * w before each update. Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101.

    Attributes
    ----------
    name : str
        Key in `OPTIMIZERS`.
    slots : tuple of str
        Names of the arrays kept beside every variable.
    fill : float
        What these are filled with at first.
    iterations : int
        Updates done.
    """

    name = "optimizer"
    slots: tuple[str, ...] = ()
    fill = 0.0

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule,
        *,
        lr: float | LearningRateSchedule | None = None,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        weight_decay: float | None = None,
    ) -> None:
        clips = {"clipvalue": clipvalue, "clipnorm": clipnorm, "global_clipnorm": global_clipnorm}
        clips = {name: validate.positive(name, value) for name, value in clips.items() if value is not None}
        if len(clips) > 1:
            raise ValueError(f"only one kind of clipping can be given, got {' and '.join(clips)}")
        self.clipvalue = clips.get("clipvalue")
        self.clipnorm = clips.get("clipnorm")
        self.global_clipnorm = clips.get("global_clipnorm")
        if weight_decay is not None:
            weight_decay = validate.number("weight_decay", weight_decay, minimum=0.0)
        self.weight_decay = weight_decay
        self._learning_rate = schedules.get(learning_rate if lr is None else lr)
        self.iterations = 0
        self.rate = 0.0  # of the update at work
        self._slots: list[dict[str, np.ndarray]] = []  # of each variable
        self._known: list[Variable] = []  # those that the slots were last found to fit

    @property
    def learning_rate(self) -> float:
        """Size of the next step."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return validate.number("learning_rate", self._learning_rate(self.iterations), minimum=0.0)
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | LearningRateSchedule) -> None:
        new = schedules.get(value)
        if isinstance(self._learning_rate, LearningRateSchedule) and not isinstance(new, LearningRateSchedule):
            raise TypeError(f"the learning rate of this {self.name} follows a schedule: it cannot be set to {value!r}")
        self._learning_rate = new

    # ---- what a subclass writes

    def begin(self) -> None:
        """Compute what is the same for all elements of this update: its number is `iterations`, its rate `rate`."""

    def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
        """The formula, on one variable, in place; where no class writes it, that of `formula`.

        Parameters
        ----------
        w, slots : ndarray, (N,)
            Weights and their slots: to be updated.
        g : ndarray, (N,)
            Clipped gradients; not to be written to.
        spare : ndarray, (N,)
            Scratch.
        """
        name, numbers = self.formula()
        one = (w, tuple(slots.values()), g, None, 1.0, 0.0)
        compiled.update(name, numbers, [one], math.inf, validate.threads(None))

    def formula(self) -> tuple[str, tuple[float, ...]]:
        """Name of a compiled formula, in `fastrnn._core.update.FORMULAS`, and its numbers for this update.

        A class that has an `update` of its own needs none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the present learning rate, as JSON can hold them."""
        return {
            "learning_rate": schedules.check(self._learning_rate),
            "clipvalue": self.clipvalue,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "weight_decay": self.weight_decay,
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
        self.rate = self.learning_rate
        self.iterations += 1
        self.begin()
        with writing(variables) as arrays:
            if type(self).update is Optimizer.update:
                self._update_compiled(arrays, gradients, scales)
            else:
                for array, gradient, slots, scale in zip(arrays, gradients, self._slots, scales, strict=True):
                    self._update_own(array, gradient, slots, scale)

    def _update_compiled(
        self, arrays: Sequence[np.ndarray], gradients: Sequence[Gradient], scales: Sequence[float]
    ) -> None:
        """All variables, by the formula of `formula`."""
        name, numbers = self.formula()
        decay = self.rate * (self.weight_decay or 0.0)
        limit = math.inf if self.clipvalue is None else self.clipvalue
        each: dict[np.dtype[Any], list[Any]] = {}
        for array, gradient, slots, scale in zip(arrays, gradients, self._slots, scales, strict=True):
            given, index = (gradient.rows, gradient.index) if isinstance(gradient, RowGradient) else (gradient, None)
            one = (array, tuple(slots.values()), _as(given, array.dtype), index, scale, decay)
            each.setdefault(array.dtype, []).append(one)
        for of_dtype in each.values():
            compiled.update(name, numbers, of_dtype, limit, validate.threads(None))

    def _update_own(self, array: np.ndarray, gradient: Gradient, slots: Mapping[str, np.ndarray], scale: float) -> None:
        """One variable, by the class's `update`."""
        w = array.reshape(-1)
        g = _as(gradient.dense() if isinstance(gradient, RowGradient) else gradient, w.dtype).reshape(-1)
        if self.clipvalue is not None:
            g = np.clip(g, -self.clipvalue, self.clipvalue)
        elif scale != 1:
            g = g * scale
        spare = np.empty_like(w)
        if self.weight_decay is not None:
            w -= np.multiply(w, self.rate * self.weight_decay, out=spare)
        self.update(w, g, spare, **slots)

    def build(self, variables: Sequence[Variable]) -> None:
        """Create the slots of these variables, or see that those there are theirs.

        Raises
        ------
        ValueError
            The slots, from earlier updates or from `set_state`, are those of other variables.
        """
        if self._known and self._known == variables:
            return
        if not self._slots:
            self._slots = [{name: np.full(v.size, self.fill, v.dtype) for name in self.slots} for v in variables]
        kept = [[(slot.size, slot.dtype) for slot in slots.values()] for slots in self._slots]
        if kept != [[(v.size, v.dtype)] * len(self.slots) for v in variables]:
            raise ValueError(
                f"the state of this {self.name} belongs to other variables: number, sizes or dtypes differ"
            )
        self._known = list(variables)

    def _scales(self, gradients: Sequence[Gradient]) -> list[float]:
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
        slots = [key for key in state if key.rpartition("/")[2] in self.slots]
        count = -(-len(slots) // max(len(self.slots), 1))  # of variables; rounded up, so that a lone slot is missed
        wanted = {"iterations", "learning_rate"} | {f"{i}/{name}" for i in range(count) for name in self.slots}
        if set(state) != wanted:
            odd = ", ".join(sorted(wanted.symmetric_difference(state)))
            raise ValueError(f"this is not the state of an optimizer {self.name!r}: {odd} is missing or too much")
        iterations = validate.count("iterations", np.asarray(state["iterations"])[()])
        for key in slots:
            if state[key].ndim != 1 or state[key].dtype not in validate.FLOATS:
                raise ValueError(
                    f"{key} must be float32 or float64 of one axis, got {state[key].dtype} {state[key].shape}"
                )
        rate: Any = np.asarray(state["learning_rate"])[()]
        if isinstance(self._learning_rate, LearningRateSchedule):
            validate.number("learning_rate", rate, minimum=0.0)  # the schedule will tell it anew
        else:
            self.learning_rate = rate
        self.iterations = iterations
        self._known = []
        self._slots = [{name: state[f"{i}/{name}"].copy() for name in self.slots} for i in range(count)]

    def __repr__(self) -> str:
        try:
            settings = self.get_config()
        except ValueError:  # of a schedule that is not registered
            settings = {}
        settings["learning_rate"] = self._learning_rate
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in settings.items() if v is not None)})"


class SGD(Optimizer):
    """Gradient descent, with momentum if asked.

        w <- w - lr g                                 momentum = 0
        v <- momentum v - lr g,   w <- w + v          momentum > 0
        w <- w + momentum v - lr g                    nesterov, with that v

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    momentum : float
        In [0, 1).
    nesterov : bool
        Look one step ahead. Sutskever, Martens, Dahl & Hinton, "On the importance of initialization and momentum in
        deep learning", ICML 2013.
    **options
        lr, clipvalue, clipnorm, global_clipnorm, weight_decay, as in `Optimizer`.
    """

    name = "sgd"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.momentum = validate.fraction("momentum", momentum)
        self.nesterov = bool(nesterov)
        if self.momentum:
            self.slots = ("velocity",)

    def formula(self) -> tuple[str, tuple[float, ...]]:
        """Those of the class."""
        if not self.momentum:
            return "sgd", (self.rate,)
        return "nesterov" if self.nesterov else "momentum", (self.rate, self.momentum)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"momentum": self.momentum, "nesterov": self.nesterov}


class Adagrad(Optimizer):
    """Steps that shrink with the gradients there were. Duchi, Hazan & Singer, JMLR 12, 2011.

        a <- a + g^2
        w <- w - lr g / sqrt(a + epsilon)

    epsilon stands inside the root, and a begins at 0.1, as in Keras.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    initial_accumulator_value : float
        What a begins with.
    epsilon : float
    **options
        lr, clipvalue, clipnorm, global_clipnorm, weight_decay, as in `Optimizer`.
    """

    name = "adagrad"
    slots = ("accumulator",)

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.fill = validate.number("initial_accumulator_value", initial_accumulator_value, minimum=0.0)
        self.epsilon = validate.number("epsilon", epsilon, minimum=0.0)

    def formula(self) -> tuple[str, tuple[float, ...]]:
        """Those of the class."""
        return "adagrad", (self.rate, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"initial_accumulator_value": self.fill, "epsilon": self.epsilon}


class RMSprop(Optimizer):
    """Steps scaled by the running size of the gradient. Tieleman & Hinton, Coursera lecture 6.5, 2012.

        v <- rho v + (1 - rho) g^2
        a <- rho a + (1 - rho) g                                         centered; a = 0 otherwise
        s = lr g / sqrt(v - a^2 + epsilon)
        w <- w - s                                                       momentum = 0
        m <- momentum m + s,   w <- w - m                                momentum > 0

    epsilon stands inside the root, as in Keras.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    rho, momentum : float
        In [0, 1).
    epsilon : float
    centered : bool
        Scale by the gradient's deviation from its running mean. Graves, arXiv:1308.0850.
    **options
        lr, clipvalue, clipnorm, global_clipnorm, weight_decay, as in `Optimizer`.
    """

    name = "rmsprop"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = validate.fraction("rho", rho)
        self.momentum = validate.fraction("momentum", momentum)
        self.epsilon = validate.number("epsilon", epsilon, minimum=0.0)
        self.centered = bool(centered)
        self.slots = ("velocity", *["momentum"] * bool(self.momentum), *["average_gradient"] * self.centered)

    def formula(self) -> tuple[str, tuple[float, ...]]:
        """Those of the class."""
        names = [["rmsprop", "rmsprop_centered"], ["rmsprop_momentum", "rmsprop_both"]]
        return names[self.momentum > 0][self.centered], (self.rate, self.epsilon, self.rho, 1 - self.rho, self.momentum)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon, "centered": self.centered}
        return super().get_config() | own


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient. Kingma & Ba, ICLR 2015, arXiv:1412.6980.

        m <- beta_1 m + (1 - beta_1) g
        v <- beta_2 v + (1 - beta_2) g^2
        w <- w - lr sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)          t = 1, 2, ...

    epsilon stands outside the root and beside the uncorrected v, as in Keras (the paper's "epsilon hat"). The slots
    hold m / (1 - beta_1) and v / (1 - beta_2).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    beta_1, beta_2 : float
        In [0, 1).
    epsilon : float
    **options
        lr, clipvalue, clipnorm, global_clipnorm, weight_decay, as in `Optimizer`.
    """

    name = "adam"
    slots = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = validate.fraction("beta_1", beta_1)
        self.beta_2 = validate.fraction("beta_2", beta_2)
        self.epsilon = validate.number("epsilon", epsilon, minimum=0.0)

    def formula(self) -> tuple[str, tuple[float, ...]]:
        """The step with both moments' corrections for their start at zero, and with the factors the slots lack."""
        t, root = self.iterations, math.sqrt(1 - self.beta_2)
        step = self.rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t) * (1 - self.beta_1) / root
        return "adam", (step, self.epsilon / root, self.beta_1, self.beta_2)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class AdamW(Adam):
    """Adam with weights that decay beside its steps. Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101.

        w <- w - lr weight_decay w,   then Adam's update

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    weight_decay : float
    beta_1, beta_2, epsilon
        As in `Adam`.
    **options
        lr, clipvalue, clipnorm, global_clipnorm, as in `Optimizer`.
    """

    name = "adamw"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            weight_decay=validate.number("weight_decay", weight_decay),
            **options,
        )


OPTIMIZERS: dict[str, type[Optimizer]] = {cls.name: cls for cls in (SGD, Adagrad, RMSprop, Adam, AdamW)}


def get(optimizer: str | Optimizer, /, **config: Any) -> Optimizer:
    """The optimizer of this name, in any case, with these constructor arguments; an Optimizer is itself.

    Raises
    ------
    ValueError
        Unknown name; the message suggests the nearest one.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    made: Optimizer = validate.registered("optimizer", optimizer, OPTIMIZERS)(**config)
    return made


def norm(g: Gradient) -> float:
    """Euclidean norm, summed in float64."""
    given = g.rows if isinstance(g, RowGradient) else g
    flat = _as(given, given.dtype if given.dtype in validate.FLOATS else np.dtype(np.float64))
    return math.sqrt(compiled.squares(flat, validate.threads(None)))


def _shrink(length: float, limit: float) -> float:
    """What takes a vector of this length to the limit, if it is longer."""
    return limit / length if length > limit else 1.0


def _as(g: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """g, contiguous and of this dtype: itself where it is."""
    if g.dtype == dtype and g.flags.c_contiguous:
        return g
    return g.astype(dtype, order="C", casting="same_kind", copy=False)


def _gradient(variable: Variable) -> Gradient:
    if variable.dtype not in validate.FLOATS:
        raise TypeError(f"variable {variable.name!r} must be float32 or float64, got {variable.dtype}")
    gradient: Gradient | None = variable.grad
    if gradient is None:
        raise RuntimeError(f"variable {variable.name!r} has no gradient: run a backward pass first")
    if gradient.shape != variable.shape:
        raise ValueError(f"the gradient of {variable.name!r} must have shape {variable.shape}, got {gradient.shape}")
    return gradient
