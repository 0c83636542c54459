"""A worker process: one library, asked by lines of JSON on stdin, answering on stdout.

    python -m benchmarks.trainers.serve LIBRARY THREADS DTYPE

    -> {"op": "hello"}                                <- {"version"}
    -> {"op": "prepare", "system", "data", ...}       <- {"idiom", "trials_ms"}
    -> {"op": "losses", "steps"}                      <- {"losses"}
    -> {"op": "stretch", "first", "steps"}            <- {"seconds", "loss"}
    -> {"op": "parts", "first", "steps"}              <- {"seconds"}, of fastrnn alone
    -> {"op": "release"}                              <- {}

The data are a .npz with batches that follow each other in x and y, and weights w0, w1 ...; steps are counted from 0.
"""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Any

import numpy as np

from ..workers.serve import serve
from . import Clock, System, Trainer


class Server:
    """What is answered."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.trainer: Trainer | None = None

    def hello(self) -> dict[str, Any]:
        return {"version": str(self.library.version)}

    def prepare(self, system: dict[str, Any], data: str, trial: int = 0, idiom: str | None = None) -> dict[str, Any]:
        """Build the model by this idiom, or the first; with a trial of so many steps by all, to keep the fastest."""
        self.release()
        self.system = System.of(system)
        with np.load(data) as stored:
            arrays = {name: stored[name] for name in stored.files}
        self.x, self.y = (
            each.astype(self.system.dtype, copy=False) if each.dtype.kind == "f" else each
            for each in (arrays.pop("x"), arrays.pop("y"))
        )
        weights = [arrays[f"w{number}"] for number in range(len(arrays))]
        idioms = self.library.idioms if trial else [idiom or self.library.idioms[0]]
        trials: dict[str, float] = {}
        for idiom in idioms:
            trainer = self.library.build(self.system, weights, idiom)
            if trial:
                trials[idiom] = self._fit(trainer, 0, trial)[0]
                if trials[idiom] > min(trials.values()):
                    continue
                trainer.restart()
            self.trainer, chosen = trainer, idiom
        return {"idiom": chosen, "trials_ms": {idiom: 1e3 * seconds for idiom, seconds in trials.items()}}

    def losses(self, steps: int) -> dict[str, Any]:
        """The loss of every step, batch by batch."""
        return {"losses": [self._ready.step(*self._batches(step, 1)) for step in range(steps)]}

    def stretch(self, first: int, steps: int) -> dict[str, Any]:
        """A short run: seconds of a step, the first left out, and the mean loss of all."""
        seconds, loss = self._fit(self._ready, first, steps)
        return {"seconds": seconds, "loss": loss}

    def parts(self, first: int, steps: int) -> dict[str, Any]:
        """Seconds of a step, by who spends them."""
        return {"seconds": self._ready.parts(*self._batches(first, steps))}  # type: ignore[attr-defined]

    def release(self) -> dict[str, Any]:
        self.trainer = None
        gc.collect()
        return {}

    @property
    def _ready(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError("nothing prepared")
        return self.trainer

    def _batches(self, first: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(first * self.system.batch, (first + steps) * self.system.batch)
        return self.x[rows], self.y[rows]

    def _fit(self, trainer: Trainer, first: int, steps: int) -> tuple[float, float]:
        clock = Clock()
        loss = trainer.fit(*self._batches(first, steps), clock)
        return clock.seconds / (steps - 1), loss


def main(name: str, threads: int, dtype: str) -> None:
    """Serve until stdin ends."""
    if dtype != "float32":
        raise ValueError(f"dtype must be float32, got {dtype}")
    serve(lambda: Server(importlib.import_module(f"{__package__}.{name}").Library(threads)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
