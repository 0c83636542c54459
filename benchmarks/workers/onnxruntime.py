"""ONNX Runtime: a session over a one-node graph, by `run` and by I/O binding. Inference in float32 only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

from ..shapes import Row
from . import CHECK_STEPS, Task
from .onnx_graph import as_rows, model, product, states


class Library:
    """ONNX Runtime with an intra-op pool of `threads`, spinning left at its default."""

    version = onnxruntime.__version__

    def __init__(self, threads: int, dtype: str) -> None:
        if dtype != "float32":
            raise NotImplementedError("its recurrent operators take float32 only")
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def tasks(self, row: Row, arrays: dict[str, np.ndarray], training: bool) -> dict[str, Callable[[], Task]]:
        if training:
            return {}
        build = self._stream if row.streaming else self._infer
        return {"run": lambda: build(row, arrays, False), "binding": lambda: build(row, arrays, True)}

    def product(self, n: int) -> Callable[[], Any]:
        """A product of two n x n matrices, the second one packed beforehand."""
        a = np.random.default_rng(0).random((n, n)).astype(np.float32)
        session = onnxruntime.InferenceSession(
            product(a), sess_options=self.options, providers=["CPUExecutionProvider"]
        )
        return lambda: session.run(None, {"a": a})

    def _session(self, row: Row, arrays: dict[str, np.ndarray]) -> Any:
        return onnxruntime.InferenceSession(
            model(row, arrays), sess_options=self.options, providers=["CPUExecutionProvider"]
        )

    def _infer(self, row: Row, arrays: dict[str, np.ndarray], binding: bool) -> Task:
        session = self._session(row, arrays)
        x = np.ascontiguousarray(arrays["x"].swapaxes(0, 1))
        kept_states = states(row) if row.plain else ()
        names = ["y"] + [name + "_out" for name in kept_states]
        feed = {"x": x}
        call: Callable[[], Any]
        if binding:
            bound = session.io_binding()
            bound.bind_cpu_input("x", x)
            kept = []
            for name in names:
                shape = (row.T, row.ways, row.B, row.H) if name == "y" else (1, row.B, row.H)
                kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32)))
                bound.bind_ortvalue_output(name, kept[-1])

            def call() -> Any:
                session.run_with_iobinding(bound)
                return kept
        else:

            def call() -> Any:
                return session.run(names, feed)

        def result() -> dict[str, np.ndarray]:
            y, *state = (v if isinstance(v, np.ndarray) else v.numpy() for v in call())
            return {"y": as_rows(y)} | {n: s[0] for n, s in zip(kept_states, state, strict=True)}

        return Task(call, result)

    def _stream(self, row: Row, arrays: dict[str, np.ndarray], binding: bool) -> Task:
        session = self._session(row, arrays)
        x = np.ascontiguousarray(arrays["x"].swapaxes(0, 1))
        names = states(row)
        outs = [name + "_out" for name in names]
        call: Callable[[], Any]
        if binding:  # two bindings that hand the state to each other
            zeros = np.zeros((1, row.B, row.H), np.float32)
            values = [[onnxruntime.OrtValue.ortvalue_from_numpy(zeros.copy()) for _ in names] for _ in range(2)]
            bound = []
            for side in range(2):
                one = session.io_binding()
                one.bind_cpu_input("x", x)
                for k, name in enumerate(names):
                    one.bind_ortvalue_input(name, values[side][k])
                    one.bind_ortvalue_output(outs[k], values[1 - side][k])
                bound.append(one)
            turn = 0

            def call() -> Any:
                nonlocal turn
                session.run_with_iobinding(bound[turn])
                turn = 1 - turn
                return values[turn]
        else:
            feed = {"x": x} | {name: np.zeros((1, row.B, row.H), np.float32) for name in names}

            def call() -> Any:
                state = session.run(outs, feed)
                for name, value in zip(names, state, strict=True):
                    feed[name] = value
                return state

        def result() -> dict[str, np.ndarray]:
            h = [call() for _ in range(CHECK_STEPS)][-1][0]
            return {"y": (h if isinstance(h, np.ndarray) else h.numpy())[0]}

        return Task(call, result)
