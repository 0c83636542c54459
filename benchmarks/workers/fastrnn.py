"""fastrnn as a user runs it: a layer's forward and backward, and its stream for one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastrnn
from fastrnn import functional, layers

from ..shapes import Row, weight_names
from . import CHECK_STEPS, Task

_LAYERS = {"simple_rnn": layers.SimpleRNN, "gru": layers.GRU, "lstm": layers.LSTM}


def build(row: Row, arrays: dict[str, np.ndarray], threads: int | None = None, compute_dtype: str | None = None) -> Any:
    """A built layer that holds the row's weights and returns all outputs and the final state."""
    return load(row, weights(row, arrays), threads, compute_dtype)


def weights(row: Row, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The row's weights by the names that the layer gives them."""
    levels = [f"level{number}_" for number in range(row.layers)] if row.layers > 1 else [""]
    prefixes = [level + way for level in levels for way in ("", "backward_")[: row.ways]]
    names = [prefix + name for prefix in prefixes for name in ("kernel", "recurrent_kernel", "bias")]
    return {name: arrays[own] for name, own in zip(names, weight_names(row), strict=True)}


def load(row: Row, named: dict[str, np.ndarray], threads: int | None, compute_dtype: str | None) -> Any:
    """The layer of `build`, from weights by name, as from a file."""
    layer = _LAYERS[row.cell](
        row.H,
        return_sequences=True,
        return_state=True,
        num_layers=row.layers,
        bidirectional=row.bidirectional,
        dtype=next(iter(named.values())).dtype,
        num_threads=threads,
        compute_dtype=compute_dtype,
    )
    layer.restore((None, row.T, row.I), named)
    return layer


def infer(layer: Any, x: np.ndarray, lengths: np.ndarray | None = None) -> Callable[[], Any]:
    """The whole sequence, weights packed by the first call and kept."""
    return (lambda: layer.forward(x)) if lengths is None else (lambda: layer.forward(x, lengths=lengths))


def train(layer: Any, x: np.ndarray, dy: np.ndarray, lengths: np.ndarray | None = None) -> Callable[[], Any]:
    """Forward and backward with all gradients; the call returns (outputs and state, dx).

    The weights count as changed, as they are after every update, so that each call packs them anew.
    """

    def call() -> Any:
        for variable in layer.variables:
            variable.version += 1
        return layer.forward(x, training=True, lengths=lengths), layer.backward(dy)

    return call


def stream(layer: Any, x: np.ndarray) -> Callable[[], Any]:
    """One step x (B, I) -> y (B, H), the state carried by the stream."""
    one = layer.stream(batch_size=len(x))
    return lambda: one.step(x)


class Library:
    """fastrnn with a team of `threads`."""

    version = getattr(fastrnn, "__version__", "unknown")

    def __init__(self, threads: int, dtype: str) -> None:
        self.threads, self.dtype = threads, dtype
        self.compute_dtype = "bfloat16" if dtype == "bfloat16" else None

    def tasks(self, row: Row, arrays: dict[str, np.ndarray], training: bool) -> dict[str, Callable[[], Task]]:
        named = weights(row, arrays)  # beforehand: it is no part of what building the layer takes
        return {"layer": lambda: self._layer(row, arrays, named, training)}

    def product(self, n: int) -> Callable[[], Any]:
        """A product of two n x n matrices."""
        a, b = (np.random.default_rng(k).random((n, n)).astype(self.dtype) for k in range(2))
        out = np.empty_like(a)
        return lambda: functional.matmul(a, b, out=out, num_threads=self.threads)

    def _layer(self, row: Row, arrays: dict[str, np.ndarray], named: dict[str, np.ndarray], training: bool) -> Task:
        layer, x, dy = load(row, named, self.threads, self.compute_dtype), arrays["x"], arrays["dy"]
        if row.streaming:
            call = stream(layer, np.ascontiguousarray(x[:, 0]))
            return Task(call, lambda: {"y": np.array([call() for _ in range(CHECK_STEPS)][-1])})
        lengths = arrays.get("lengths")
        call = train(layer, x, dy, lengths) if training else infer(layer, x, lengths)

        def result() -> dict[str, np.ndarray]:
            if training:
                (y, *_), dx = call()
                grads = {"d" + n: v.grad for n, v in zip(weight_names(row), layer.variables, strict=True)}
                return {"y": y, "dx": dx} | grads
            y, *state = call()
            if not row.plain:
                return {"y": y}
            return {"y": y} | dict(zip(("h", "c"), state, strict=False))

        return Task(call, result)
