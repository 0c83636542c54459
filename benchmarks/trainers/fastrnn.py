"""fastrnn: `fit` as it is, and where its time goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

import fastrnn
from fastrnn import layers, losses, optimizers
from fastrnn.callbacks import Callback
from fastrnn.layers.recurrent import Recurrent
from fastrnn.models import Sequential

from . import Clock, System

RECURRENT = "recurrent layers"


class Library:
    """fastrnn; the threads are set by the environment."""

    version = fastrnn.__version__
    idioms = ("fit",)

    def __init__(self, threads: int) -> None:
        pass

    def build(self, system: System, weights: Sequence[np.ndarray], idiom: str) -> Trainer:
        """A trainer."""
        return Trainer(system, weights)


def make(system: System) -> Sequential:
    """The model, built and compiled."""
    model = Sequential([getattr(layers, name)(dtype=system.dtype, **config) for name, config in system.layers])
    batch = system.batch if system.stateful else None
    model.build((batch, *system.input_shape))
    name, config = system.loss
    loss = getattr(losses, name)(**config)
    name, config = system.optimizer
    model.compile(getattr(optimizers, name)(**config), loss, metrics=["acc"] if system.accuracy else None)
    return model


class Trainer:
    """A model in training."""

    def __init__(self, system: System, weights: Sequence[np.ndarray]) -> None:
        self.system, self.weights = system, weights
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self.model = make(self.system)
        self.model.set_weights(self.weights)

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """An update from one batch; the loss before it."""
        found = self.model.train_on_batch(x, y)
        return float(found[0] if self.system.accuracy else found)

    def fit(self, x: np.ndarray, y: np.ndarray, clock: Clock, shuffle: bool = False) -> float:
        """Updates from batches that follow each other; their mean loss."""
        history = self.model.fit(
            x, y, self.system.batch, verbose=0, shuffle=shuffle, seed=0, callbacks=Stamp(clock)
        ).history
        return float(history["loss"][0])

    def parts(self, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        """Seconds of a step of `fit`, by who spends them; the order of the rows is drawn, as it is by default."""
        parts: dict[str, float] = {}
        clock = Clock()

        def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(call)
            def wrapper(*args: Any, **options: Any) -> Any:
                began = time.perf_counter()
                try:
                    return call(*args, **options)
                finally:
                    if clock.began is not None:
                        parts[name] = parts.get(name, 0.0) + time.perf_counter() - began

            return wrapper

        watched: list[tuple[str, Any, str]] = []
        for layer in self.model.layers:
            name = RECURRENT if isinstance(layer, Recurrent) else type(layer).__name__
            watched += [(name, layer, "forward"), (name, layer, "backward")]
        watched += [("loss", self.model.loss, "value_and_grad"), ("optimizer", self.model.optimizer, "apply")]
        watched += [("metrics", metric, "update") for metric in self.model.metrics]
        for name, thing, method in watched:
            setattr(thing, method, timed(name, getattr(thing, method)))
        try:
            self.fit(x, y, clock, shuffle=not self.system.stateful)
        finally:
            for _, thing, method in watched:
                delattr(thing, method)
        steps = len(x) // self.system.batch - 1
        parts["the rest of fit"] = clock.seconds - sum(parts.values())
        return {name: seconds / steps for name, seconds in parts.items()}


class Stamp(Callback):
    """Drives a clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """The end of a step."""
        self.clock.step()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """The end of the last one."""
        self.clock.stop()
