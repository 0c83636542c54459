"""One module per library, each with a class `Library` that trains a `System`; serve.py drives it.

    Library(threads)                   set the library up; importing the module fails when it is not installed
    .version                           for the report
    .idioms                            names of the ways to train; the fastest in a short trial is the one timed
    .build(system, weights, idiom)     a `Trainer`, which begins with these weights

A worker imports the standard library, NumPy, this package and its own library: it may run in an environment without
fastrnn. Layers, losses and optimizers have the names and the arguments of Keras's and fastrnn's constructors; weights
come in the order and layout of both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Described = tuple[str, dict[str, Any]]  # a class and its constructor's arguments


@dataclass(frozen=True)
class System:
    """A model and how it is trained."""

    name: str
    layers: tuple[Described, ...]
    optimizer: Described
    loss: Described
    batch: int
    input_shape: tuple[int, ...]  # without the batch
    whole_numbers: bool = False  # x is of int32
    accuracy: bool = False  # is followed in training
    dtype: str = "float32"  # of weights, and of x and y that are no whole numbers

    @classmethod
    def of(cls, described: dict[str, Any]) -> System:
        """The one whose `asdict` has been through JSON."""
        layers = tuple((name, config) for name, config in described["layers"])
        pairs = {name: tuple(described[name]) for name in ("optimizer", "loss", "input_shape")}
        return cls(**{**described, **pairs, "layers": layers})

    @property
    def stateful(self) -> bool:
        """Do its layers carry their states from batch to batch?"""
        return any(config.get("stateful") for _, config in self.layers)


class Clock:
    """Seconds from the end of a run's first step, which may have set things up, to the end of its last."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.seconds = 0.0

    def step(self) -> None:
        """The end of a step."""
        if self.began is None:
            self.began = time.perf_counter()

    def stop(self) -> None:
        """The end of the last one."""
        assert self.began is not None
        self.seconds = time.perf_counter() - self.began


class Trainer(Protocol):
    """A model in training."""

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """An update from one batch; the loss before it."""

    def fit(self, x: np.ndarray, y: np.ndarray, clock: Clock) -> float:
        """Updates from batches that follow each other in x and y, by the library's own loop; their mean loss."""

    def restart(self) -> None:
        """Go back to the first weights and an optimizer that has seen nothing."""
