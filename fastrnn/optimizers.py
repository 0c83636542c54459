"""Optimizers: in-place updates of variables from their gradients, by Keras's formulas.

    optimizer = Adam(0.001, global_clipnorm=5.0)
    ...                                   # a backward pass leaves every variable's grad
    optimizer.apply(model.variables)

An optimizer is written by subclassing `Optimizer`: `slots` names the arrays that it keeps beside every variable, and
`update` is its formula. `apply` feeds the formula blocks small enough that they and what is computed from them stay in
cache, for every pass over a large array is a trip to memory. A new optimizer also needs an entry in `OPTIMIZERS`.

Of a table with a `RowGradient` only the rows in it are visited, if the formula leaves the others alone (`row_decay`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastrnn import schedules, validate
from fastrnn.gradients import RowGradient
from fastrnn.layers.base import Variable
from fastrnn.schedules import LearningRateSchedule

# Bytes of weights to a block. Adam in float32 on one core, ms over 0.5 and over 5.4 million parameters: 32 KiB 2.00 and
# 15.7, 64 KiB 1.59 and 13.5, 128 KiB 1.49 and 12.6, 256 KiB 1.43 and 12.4, no blocks 1.32 and 15.6; the first one
# with warm caches 128 KiB 0.85 and 256 KiB 0.82. Five arrays of a block must fit a second-level cache of 2 MiB.
BLOCK = 1 << 18

# Elements to a dot product of a norm: below 10000 no BLAS takes threads to it, which would fight with the kernels' own.
# ms over 0.5 million: 0.11, by squares and their sum 0.26
NORM_BLOCK = 8192

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
    row_decay : float or None
        For a formula that leaves a weight alone when its gradient is zero: what that does to the slots, as a factor.
        None: such a weight moves too.
    iterations : int
        Updates done.
    """

    name = "optimizer"
    slots: tuple[str, ...] = ()
    fill = 0.0
    row_decay: float | None = None

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
        # of each variable: the update after which each row's slots are as they stand; None: the last one, all of them
        self._visited: list[np.ndarray | None] = []

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
        """The formula, on one block, in place.

        Parameters
        ----------
        w, slots : ndarray, (N,)
            Weights and their slots: to be updated.
        g : ndarray, (N,)
            Clipped gradients; not to be written to.
        spare : ndarray, (N,)
            Scratch.
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
        for number, (variable, gradient, scale) in enumerate(zip(variables, gradients, scales, strict=True)):
            with variable.writing() as array:
                if isinstance(gradient, RowGradient) and self.row_decay is not None and self.weight_decay is None:
                    self._update_rows(number, array, gradient, scale)
                else:
                    self._update_all(number, array, gradient, scale)

    def _update_all(self, number: int, array: np.ndarray, gradient: Gradient, scale: float) -> None:
        """One variable, every element of it."""
        self._catch_up(number)
        w, slots = array.reshape(-1), self._slots[number]
        size = _block_size(gradient, w.dtype)
        spare = np.empty(min(size, w.size), w.dtype)
        for part, g in self._blocks(gradient, size, scale, w.dtype):
            block, scratch = w[part], spare[: g.size]
            if self.weight_decay is not None:
                # not w *= 1 - rate * decay: in float32 that factor keeps two digits of the decay
                block -= np.multiply(block, self.rate * self.weight_decay, out=scratch)
            self.update(block, g, scratch, **{name: slot[part] for name, slot in slots.items()})

    def _blocks(
        self, gradient: Gradient, size: int, scale: float, dtype: np.dtype[Any]
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """The gradient, clipped, block by block."""
        if not isinstance(gradient, RowGradient):
            flat = gradient.reshape(-1)
            clipped = np.empty(min(size, flat.size), dtype)
            for start in range(0, flat.size, size):
                part = slice(start, start + size)
                yield part, self._clip(flat[part], scale, clipped)
            return
        total, columns = gradient.shape
        height = size // max(columns, 1)
        block, clipped = np.empty((height, columns), dtype), np.empty(size, dtype)
        ends = np.searchsorted(gradient.index, range(0, total + height, height)).tolist()
        for first, begin, end in zip(range(0, total, height), ends, ends[1:], strict=False):
            filled = block[: min(height, total - first)]
            filled[...] = 0
            rows = gradient.rows[begin:end]
            filled[gradient.index[begin:end] - first] = self._clip(rows.reshape(-1), scale, clipped).reshape(rows.shape)
            yield slice(first * columns, (first + height) * columns), filled.reshape(-1)

    def _update_rows(self, number: int, array: np.ndarray, gradient: RowGradient, scale: float) -> None:
        """One table, the gradient's rows of it; the others have a zero gradient, which would leave them alone."""
        height = _block_size(gradient, array.dtype) // max(gradient.shape[1], 1)
        tables = {name: slot.reshape(gradient.shape) for name, slot in self._slots[number].items()}
        visited = self._visited[number]
        if visited is None and self._fades:
            self._visited[number] = visited = np.full(gradient.shape[0], self.iterations - 1, np.int64)
        clipped, spare = np.empty((2, min(height, gradient.index.size) * gradient.shape[1]), array.dtype)
        for start in range(0, gradient.index.size, height):
            index, rows = gradient.index[start : start + height], gradient.rows[start : start + height]
            w, slots = array[index], {name: table[index] for name, table in tables.items()}
            if visited is not None:
                self._fade(slots, self.iterations - 1 - visited[index])
                visited[index] = self.iterations
            g = self._clip(rows.reshape(-1), scale, clipped)
            self.update(w.reshape(-1), g, spare[: g.size], **{name: slot.reshape(-1) for name, slot in slots.items()})
            array[index] = w
            for name, slot in slots.items():
                tables[name][index] = slot

    @property
    def _fades(self) -> bool:
        """Whether the slots of a row that is passed by must fade in the meantime."""
        return bool(self.slots) and self.row_decay not in (None, 1)

    def _fade(self, slots: Mapping[str, np.ndarray], missed: np.ndarray) -> None:
        """Do to the slots of some rows, each (n, ...), what the updates would have done that passed them by."""
        factors = np.power(float(self.row_decay or 0), missed)[:, np.newaxis]
        for slot in slots.values():
            slot *= factors

    def _catch_up(self, number: int) -> None:
        """Bring all rows of a table to where the last update would have left them."""
        visited = self._visited[number]
        if visited is not None:
            tables = {name: slot.reshape(visited.size, -1) for name, slot in self._slots[number].items()}
            self._fade(tables, self.iterations - 1 - visited)
            self._visited[number] = None

    def _clip(self, g: np.ndarray, scale: float, out: np.ndarray) -> np.ndarray:
        """A block of a gradient (N,), scaled and clipped; itself if there is nothing to do."""
        if self.clipvalue is not None:
            np.clip(g, -self.clipvalue, self.clipvalue, out=out[: g.size])
        elif scale != 1 or g.dtype != out.dtype:
            np.multiply(g, scale, out=out[: g.size])
        else:
            return g
        return out[: g.size]

    def build(self, variables: Sequence[Variable]) -> None:
        """Create the slots of these variables, or see that those there are theirs.

        Raises
        ------
        ValueError
            The slots, from earlier updates or from `set_state`, are those of other variables.
        """
        if not self._slots:
            self._slots = [{name: np.full(v.size, self.fill, v.dtype) for name in self.slots} for v in variables]
            self._visited = [None] * len(variables)
        kept = [{name: (slot.size, slot.dtype) for name, slot in slots.items()} for slots in self._slots]
        if kept != [dict.fromkeys(self.slots, (v.size, v.dtype)) for v in variables] or any(
            visited is not None and visited.shape != v.shape[:1]
            for visited, v in zip(self._visited, variables, strict=True)
        ):
            raise ValueError(
                f"the state of this {self.name} belongs to other variables: number, sizes or dtypes differ"
            )

    def _scales(self, gradients: Sequence[Gradient]) -> list[float]:
        """The factor that clipping by norm puts on each gradient."""
        if self.clipnorm is not None:
            return [_shrink(norm(g), self.clipnorm) for g in gradients]
        if self.global_clipnorm is not None:
            scale = _shrink(math.hypot(*(norm(g) for g in gradients)), self.global_clipnorm)
            return [scale] * len(gradients)
        return [1.0] * len(gradients)

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of all that later updates depend on, by name: "iterations", "learning_rate", and "0/momentum" ...

        "0/visited" tells, for a table whose rows are updated only when they are used and whose slots fade in between,
        after which update each row's slots are as they stand.
        """
        state: dict[str, np.ndarray] = {
            "iterations": np.array(self.iterations, np.int64),
            "learning_rate": np.array(self.learning_rate, np.float64),
        }
        for i, (slots, visited) in enumerate(zip(self._slots, self._visited, strict=True)):
            state |= {f"{i}/{name}": slot.copy() for name, slot in slots.items()}
            if visited is not None:
                state[f"{i}/visited"] = visited.copy()
        return state

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Carry on exactly where `get_state` was called.

        Raises
        ------
        ValueError
            It is not a state of such an optimizer. The one there was is kept then.
        """
        slots = [key for key in state if key not in ("iterations", "learning_rate") and not key.endswith("/visited")]
        count = -(-len(slots) // max(len(self.slots), 1))  # of variables; rounded up, so that a lone slot is missed
        wanted = {"iterations", "learning_rate"} | {f"{i}/{name}" for i in range(count) for name in self.slots}
        fading = {f"{i}/visited" for i in range(count)} & set(state) if self._fades else set()
        if set(state) != wanted | fading:
            odd = sorted((wanted | fading).symmetric_difference(state))
            raise ValueError(
                f"this is not the state of an optimizer {self.name!r}: {', '.join(odd)} is missing or too much"
            )
        iterations = validate.count("iterations", np.asarray(state["iterations"])[()])
        for key in slots:
            if state[key].ndim != 1 or state[key].dtype not in validate.FLOATS:
                raise ValueError(
                    f"{key} must be float32 or float64 of one axis, got {state[key].dtype} {state[key].shape}"
                )
        visited: list[np.ndarray | None] = [None] * count
        for key in fading:
            i = int(key.split("/")[0])
            visited[i] = rows = validate.integers(key, state[key], 0, iterations + 1).copy()
            if rows.ndim != 1 or not rows.size or state[f"{i}/{self.slots[0]}"].size % rows.size:
                raise ValueError(f"{key} must have one number for each row, got shape {rows.shape}")
        rate: Any = np.asarray(state["learning_rate"])[()]
        if isinstance(self._learning_rate, LearningRateSchedule):
            validate.number("learning_rate", rate, minimum=0.0)  # the schedule will tell it anew
        else:
            self.learning_rate = rate
        self.iterations = iterations
        self._slots = [{name: state[f"{i}/{name}"].copy() for name in self.slots} for i in range(count)]
        self._visited = visited

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
        else:
            self.row_decay = 1.0

    def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
        """The formulas of the class."""
        step = np.multiply(g, self.rate, out=spare)
        if not self.momentum:
            w -= step
            return
        v = slots["velocity"]
        v *= self.momentum
        v -= step
        if self.nesterov:
            w -= step
            w += np.multiply(v, self.momentum, out=spare)
        else:
            w += v

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
    row_decay = 1.0

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

    def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
        """The formulas of the class."""
        a = slots["accumulator"]
        a += np.square(g, out=spare)
        root = np.add(a, self.epsilon, out=spare)
        np.sqrt(root, out=root)
        np.divide(g, root, out=spare)
        spare *= self.rate
        w -= spare

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
        if not self.momentum:
            self.row_decay = self.rho

    def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
        """The formulas of the class."""
        v = slots["velocity"]
        np.square(g, out=spare)
        spare *= 1 - self.rho
        v *= self.rho
        v += spare
        if self.centered:
            a = slots["average_gradient"]
            a *= self.rho
            a += np.multiply(g, 1 - self.rho, out=spare)
            np.square(a, out=spare)
            np.subtract(v, spare, out=spare)
            np.maximum(spare, 0, out=spare)  # rounding can bring it below
            spare += self.epsilon
        else:
            np.add(v, self.epsilon, out=spare)
        np.sqrt(spare, out=spare)
        np.divide(g, spare, out=spare)
        spare *= self.rate
        if self.momentum:
            m = slots["momentum"]
            m *= self.momentum
            m += spare
            w -= m
        else:
            w -= spare

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
    hold m / (1 - beta_1) and v / (1 - beta_2), which saves two of twelve passes over the memory.

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

    def begin(self) -> None:
        """The step with both moments' corrections for their start at zero, and with the factors the slots lack."""
        t, root = self.iterations, math.sqrt(1 - self.beta_2)
        self._step = self.rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t) * (1 - self.beta_1) / root
        self._epsilon = self.epsilon / root

    def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
        """The formulas of the class."""
        m, v = slots["momentum"], slots["velocity"]
        m *= self.beta_1
        m += g
        v *= self.beta_2
        v += np.square(g, out=spare)
        root = np.sqrt(v, out=spare)
        root += self._epsilon
        np.divide(m, root, out=spare)
        spare *= self._step
        w -= spare

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
    """Euclidean norm; each block is summed in g's dtype, in float64 if that overflows, and the blocks in float64."""
    flat = (g.rows if isinstance(g, RowGradient) else g).reshape(-1)
    total = 0.0
    with np.errstate(over="ignore"):
        for start in range(0, flat.size, NORM_BLOCK):
            part = flat[start : start + NORM_BLOCK]
            total += float(part.dot(part))
    if math.isinf(total) and flat.dtype != np.float64:
        return norm(flat.astype(np.float64))
    return math.sqrt(total)


def _shrink(length: float, limit: float) -> float:
    """What takes a vector of this length to the limit, if it is longer."""
    return limit / length if length > limit else 1.0


def _block_size(gradient: Gradient, dtype: np.dtype[Any]) -> int:
    """Elements to a block: of a table with a `RowGradient`, whole rows of it."""
    size = BLOCK // dtype.itemsize
    if not isinstance(gradient, RowGradient):
        return size
    columns = max(gradient.shape[1], 1)
    return max(size // columns, 1) * columns


def _gradient(variable: Variable) -> Gradient:
    gradient: Gradient | None = variable.grad
    if gradient is None:
        raise RuntimeError(f"variable {variable.name!r} has no gradient: run a backward pass first")
    if gradient.shape != variable.shape:
        raise ValueError(f"the gradient of {variable.name!r} must have shape {variable.shape}, got {gradient.shape}")
    return gradient
