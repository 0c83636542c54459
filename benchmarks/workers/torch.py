"""PyTorch: nn.LSTM, nn.GRU and nn.RNN in eager mode (nn.*Cell for streaming), gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..shapes import Row, weight_names
from . import CHECK_STEPS, Task, inverse, reorder

_ORDER = {"simple_rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 1, 2, 3)}  # r z n; i f g o
_LAYERS = {"simple_rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


def _array(tensor: Any) -> np.ndarray:
    """NumPy has no bfloat16."""
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


class Library:
    """PyTorch with an intra-op pool of `threads`."""

    version = torch.__version__

    def __init__(self, threads: int, dtype: str) -> None:
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.dtype = getattr(torch, dtype)

    def tasks(self, row: Row, arrays: dict[str, np.ndarray], training: bool) -> dict[str, Callable[[], Task]]:
        """torch.compile is not among them: Dynamo leaves these layers as they are (62 for 57 us on char, 1.43
        for 1.39 ms on ptbS). Made to trace them it compiles for 14 to 77 s and runs slower, but for training
        char (310 for 355 us)."""
        if row.streaming:
            return {
                "nn.Cell": lambda: self._stream(row, arrays, True),
                "nn": lambda: self._stream(row, arrays, False),
            }
        if training:
            return {"nn": lambda: self._train(row, arrays)}
        return {"nn": lambda: self._infer(row, arrays)}

    def product(self, n: int) -> Callable[[], Any]:
        """A product of two n x n matrices."""
        a, b, out = (torch.rand(n, n, dtype=self.dtype) for _ in range(3))
        return lambda: torch.mm(a, b, out=out)

    def _module(self, row: Row, arrays: dict[str, np.ndarray], cell: bool = False) -> Any:
        stack = {} if cell else {"num_layers": row.layers, "bidirectional": row.bidirectional}
        make = getattr(torch.nn, _LAYERS[row.cell] + ("Cell" if cell else ""))
        module, order = make(row.I, row.H, dtype=self.dtype, **stack), _ORDER[row.cell]
        values: list[np.ndarray] = []
        for name in weight_names(row):  # in the order of the module's own, which has two biases
            value = arrays[name]
            if not name.startswith("bias"):
                values.append(reorder(value, order).T)
            else:
                values += [*reorder(value if row.cell == "gru" else np.stack([value, np.zeros_like(value)]), order)]
        with torch.no_grad():
            for parameter, value in zip(module.parameters(), values, strict=True):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))
        return module

    def _input(self, array: np.ndarray) -> Any:
        # time-major is torch's own order
        return torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1))).to(self.dtype)

    def _run(self, row: Row, module: Any) -> Callable[[Any], Any]:
        """x -> outputs and state; ragged rows are packed, as PyTorch wants them, and the outputs padded."""
        if not row.ragged:
            return module  # type: ignore[no-any-return]
        lengths, rnn = torch.from_numpy(row.lengths()), torch.nn.utils.rnn

        def run(x: Any) -> Any:
            y, state = module(rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))
            return rnn.pad_packed_sequence(y, total_length=row.T)[0], state

        return run

    def _infer(self, row: Row, arrays: dict[str, np.ndarray]) -> Task:
        run, x = self._run(row, self._module(row, arrays).eval()), self._input(arrays["x"])

        def call() -> Any:
            with torch.inference_mode():
                return run(x)

        def result() -> dict[str, np.ndarray]:
            y, state = call()
            out = {"y": _array(y).swapaxes(0, 1)}
            if not row.plain:
                return out
            if row.cell == "lstm":
                return out | {"h": _array(state[0][0]), "c": _array(state[1][0])}
            return out | {"h": _array(state[0])}

        return Task(call, result)

    def _stream(self, row: Row, arrays: dict[str, np.ndarray], cell: bool) -> Task:
        module = self._module(row, arrays, cell).eval()
        x = self._input(arrays["x"])
        if cell:
            x = x[0]
        shape = (row.B, row.H) if cell else (1, row.B, row.H)
        state: Any = torch.zeros(shape, dtype=self.dtype)
        if row.cell == "lstm":
            state = (state, state.clone())

        def call() -> Any:
            nonlocal state
            with torch.inference_mode():
                out = module(x, state)
            state = out if cell else out[1]
            return state

        def result() -> dict[str, np.ndarray]:
            out = [call() for _ in range(CHECK_STEPS)][-1]
            h = out[0] if row.cell == "lstm" else out
            return {"y": _array(h).reshape(row.B, row.H)}

        return Task(call, result)

    def _train(self, row: Row, arrays: dict[str, np.ndarray]) -> Task:
        module, x, dy = self._module(row, arrays), self._input(arrays["x"]), self._input(arrays["dy"])
        x.requires_grad_(True)
        wanted, run = [x, *module.parameters()], self._run(row, module)

        def call() -> Any:
            y, _ = run(x)
            return y, torch.autograd.grad(y, wanted, dy)

        def result() -> dict[str, np.ndarray]:
            y, grads = call()
            dx, *found = (_array(g) for g in grads)
            back = inverse(_ORDER[row.cell])
            out = {"y": _array(y.detach()).swapaxes(0, 1), "dx": dx.swapaxes(0, 1)}
            for name in weight_names(row):
                grad = found.pop(0)
                if not name.startswith("bias"):
                    out["d" + name] = reorder(grad.T, back)
                else:
                    pair = np.stack([grad, found.pop(0)])
                    out["d" + name] = reorder(pair if row.cell == "gru" else pair[0], back)
            return out

        return Task(call, result)
