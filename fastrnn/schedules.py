"""Learning rates that change from update to update, by Keras's formulas.

    optimizer = SGD(ExponentialDecay(0.1, decay_steps=1000, decay_rate=0.5))

A schedule is a function of the number of updates done before. A new one is a subclass of `LearningRateSchedule` with
that function, and, for saved models to find it again, an entry in `SCHEDULES`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from fastrnn import validate


class LearningRateSchedule:
    """Base of all schedules.

    Attributes
    ----------
    name : str
        Key in `SCHEDULES`.
    """

    name = "schedule"

    def __call__(self, step: int) -> float:
        """The learning rate of an update.

        Parameters
        ----------
        step : int
            Number of updates before it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.get_config().items())})"


class _Decay(LearningRateSchedule):
    """What the schedules that begin somewhere and decay have in common."""

    def __init__(self, initial_learning_rate: float, decay_steps: float) -> None:
        self.initial_learning_rate = validate.number("initial_learning_rate", initial_learning_rate, minimum=0.0)
        self.decay_steps = validate.positive("decay_steps", decay_steps)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"initial_learning_rate": self.initial_learning_rate, "decay_steps": self.decay_steps}


class _RateDecay(_Decay):
    """Those with a rate of decay, and stairs if asked."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps)
        self.decay_rate = validate.number("decay_rate", decay_rate, minimum=0.0)
        self.staircase = bool(staircase)

    def part(self, step: int) -> float:
        """step / decay_steps; a whole number on stairs."""
        part = step / self.decay_steps
        return math.floor(part) if self.staircase else part

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "decay_rate": self.decay_rate, "staircase": self.staircase}


class ExponentialDecay(_RateDecay):
    """initial_learning_rate * decay_rate^(step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0.
    decay_rate : float
        Factor of each `decay_steps` steps.
    staircase : bool
        Only whole multiples of decay_steps count.
    """

    name = "exponential_decay"

    def __call__(self, step: int) -> float:
        """The formula of the class."""
        return float(self.initial_learning_rate * self.decay_rate ** self.part(step))


class InverseTimeDecay(_RateDecay):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0.
    decay_rate : float
    staircase : bool
        Only whole multiples of decay_steps count.
    """

    name = "inverse_time_decay"

    def __call__(self, step: int) -> float:
        """The formula of the class."""
        return self.initial_learning_rate / (1 + self.decay_rate * self.part(step))


class PolynomialDecay(_Decay):
    """(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps)^power + end_learning_rate.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0. After it the rate stays at its end.
    end_learning_rate : float
    power : float
        1 is a straight line.
    cycle : bool
        Instead of staying, begin a longer decay: decay_steps becomes the next multiple of it.
    """

    name = "polynomial_decay"

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps)
        self.end_learning_rate = validate.number("end_learning_rate", end_learning_rate, minimum=0.0)
        self.power = validate.number("power", power, minimum=0.0)
        self.cycle = bool(cycle)

    def __call__(self, step: int) -> float:
        """The formula of the class."""
        end = self.decay_steps
        if self.cycle:
            end *= max(1, math.ceil(step / self.decay_steps))
        rest = (1 - min(step / end, 1)) ** self.power
        return float((self.initial_learning_rate - self.end_learning_rate) * rest + self.end_learning_rate)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"end_learning_rate": self.end_learning_rate, "power": self.power, "cycle": self.cycle}
        return {**super().get_config(), **own}


class CosineDecay(_Decay):
    """A straight warm-up, if asked, then half a cosine down to a share alpha.

        rate = initial + (warmup_target - initial) * step / warmup_steps               step < warmup_steps
        rate = top * ((1 - alpha) * (1 + cos(pi * s / decay_steps)) / 2 + alpha)       s = step - warmup_steps, at
                                                                                       most decay_steps

    top is the warm-up's target, or the initial rate without one. Loshchilov & Hutter, "SGDR: stochastic gradient
    descent with warm restarts", ICLR 2017, arXiv:1608.03983.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Above 0; of the cosine alone.
    alpha : float
        What is left in the end, as a share of the top.
    warmup_target : float, optional
        None: no warm-up.
    warmup_steps : int
    """

    name = "cosine_decay"

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps)
        self.alpha = validate.number("alpha", alpha, minimum=0.0)
        if warmup_target is not None:
            warmup_target = validate.number("warmup_target", warmup_target, minimum=0.0)
        self.warmup_target = warmup_target
        self.warmup_steps = validate.count("warmup_steps", warmup_steps)

    def __call__(self, step: int) -> float:
        """The formulas of the class."""
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        cosine = (1 + math.cos(math.pi * min(step / self.decay_steps, 1))) / 2
        return top * ((1 - self.alpha) * cosine + self.alpha)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"alpha": self.alpha, "warmup_target": self.warmup_target, "warmup_steps": self.warmup_steps}
        return {**super().get_config(), **own}


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and with step boundaries[0], then values[1] up to and with boundaries[1], and so on.

    Parameters
    ----------
    boundaries : sequence of float
        Rising.
    values : sequence of float
        One more than boundaries.
    """

    name = "piecewise_constant_decay"

    def __init__(self, boundaries: Sequence[float], values: Sequence[float]) -> None:
        self.boundaries = [validate.number("boundaries", step) for step in validate.rows("boundaries", boundaries)]
        self.values = [validate.number("values", rate, minimum=0.0) for rate in validate.rows("values", values)]
        if sorted(set(self.boundaries)) != self.boundaries:
            raise ValueError(f"boundaries must rise, got {self.boundaries}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values must be one more than the {len(self.boundaries)} boundaries, got {len(self.values)} of them"
            )

    def __call__(self, step: int) -> float:
        """The value of the piece that the step lies in."""
        return self.values[bisect_left(self.boundaries, step)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"boundaries": list(self.boundaries), "values": list(self.values)}


SCHEDULES: dict[str, type[LearningRateSchedule]] = {
    cls.name: cls for cls in (ExponentialDecay, InverseTimeDecay, PolynomialDecay, CosineDecay, PiecewiseConstantDecay)
}


def check(rate: Any) -> Any:
    """A learning rate as a configuration holds it: a number, or the description of a schedule.

    Raises
    ------
    TypeError, ValueError
        Neither a number of at least 0 nor a schedule, or one that is not in `SCHEDULES`.
    """
    if isinstance(rate, LearningRateSchedule):
        return validate.description("learning_rate", rate, SCHEDULES, LearningRateSchedule)
    return validate.number("learning_rate", rate, minimum=0.0)


def get(rate: Any) -> float | LearningRateSchedule:
    """The learning rate that a number, a schedule or a schedule's description stands for.

    Raises
    ------
    TypeError, ValueError
        Anything else.
    """
    if isinstance(rate, LearningRateSchedule):
        return rate
    if isinstance(rate, dict) and set(rate) == {"class", "config"}:
        return SCHEDULES[validate.choice("schedule", rate["class"], list(SCHEDULES))](**rate["config"])
    return validate.number("learning_rate", rate, minimum=0.0)
