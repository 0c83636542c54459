"""OpenVINO: the same ONNX model, and its own batch-major sequence operators. Inference only, float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from ..shapes import Row
from . import CHECK_STEPS, Task, reorder
from .onnx_graph import as_rows, model, product, states

_ORDER = {"simple_rnn": (0,), "gru": (0, 1, 2), "lstm": (1, 0, 2, 3)}  # z r h; f i c o


class Library:
    """OpenVINO's CPU plugin: latency hint, one stream, `threads` threads, no bfloat16."""

    version = ov.__version__.split("-")[0]

    def __init__(self, threads: int, dtype: str) -> None:
        if dtype != "float32":
            raise NotImplementedError("its CPU plugin computes in float32 or less")
        self.core = ov.Core()
        self.config = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def tasks(self, row: Row, arrays: dict[str, np.ndarray], training: bool) -> dict[str, Callable[[], Task]]:
        if training:
            return {}
        builders = {"onnx": lambda: self._build(row, arrays, False)}
        if row.plain or (row.ragged and row.layers == row.ways == 1):
            builders["native"] = lambda: self._build(row, arrays, True)
        return builders

    def product(self, n: int) -> Callable[[], Any]:
        """A product of two n x n matrices, the second one packed beforehand."""
        a = np.random.default_rng(0).random((n, n)).astype(np.float32)
        compiled = self.core.compile_model(self.core.read_model(product(a)), "CPU", self.config)
        request, tensor = compiled.create_infer_request(), ov.Tensor(a, shared_memory=True)
        request.set_input_tensor(tensor)

        def call(keep: Any = (a, tensor)) -> Any:  # a shared tensor does not keep its array alive
            request.infer()

        return call

    def _native(self, row: Row, arrays: dict[str, np.ndarray]) -> Any:
        order, bias = _ORDER[row.cell], arrays["bias"]
        W = np.ascontiguousarray(reorder(arrays["kernel"], order).T)[None]
        R = np.ascontiguousarray(reorder(arrays["recurrent_kernel"], order).T)[None]
        if row.cell == "gru":  # the candidate's two biases apart, the others summed
            H = row.H
            bias = np.concatenate([(bias[0] + bias[1])[: 2 * H], bias[0, 2 * H :], bias[1, 2 * H :]])
        else:
            bias = reorder(bias, order)
        x = ops.parameter([row.B, row.T, row.I], np.float32, name="x")
        inputs, names = [x], states(row)
        state: list[Any] = [ops.constant(np.zeros((row.B, 1, row.H), np.float32)) for _ in names]
        if row.streaming:
            state = [ops.parameter([row.B, 1, row.H], np.float32, name=name) for name in names]
            inputs += state
        lengths = ops.constant(row.lengths().astype(np.int32))
        weights = (ops.constant(W), ops.constant(R), ops.constant(bias[None]))
        operator = {"lstm": ops.lstm_sequence, "gru": ops.gru_sequence, "simple_rnn": ops.rnn_sequence}[row.cell]
        arguments = {"hidden_size": row.H, "direction": "FORWARD"}
        if row.cell == "gru":
            arguments["linear_before_reset"] = True
        node = operator(x, *state, lengths, *weights, **arguments)
        return ov.Model([node.output(k) for k in range(1 if row.streaming else 0, 1 + len(names))], inputs, row.name)

    def _build(self, row: Row, arrays: dict[str, np.ndarray], native: bool) -> Task:
        graph = self._native(row, arrays) if native else self.core.read_model(model(row, arrays))
        compiled = self.core.compile_model(graph, "CPU", self.config)
        x = arrays["x"] if native else np.ascontiguousarray(arrays["x"].swapaxes(0, 1))
        if row.streaming:
            return self._stream(row, compiled, x)
        request = compiled.create_infer_request()
        tensor = ov.Tensor(x, shared_memory=True)
        request.set_input_tensor(tensor)

        def call(keep: Any = (x, tensor)) -> Any:  # a shared tensor does not keep its array alive
            request.infer()

        def result() -> dict[str, np.ndarray]:
            call()
            y, *state = (request.get_output_tensor(k).data.copy() for k in range(len(compiled.outputs)))
            y = y[:, 0] if native else as_rows(y)  # native y is (B, directions, T, H)
            if not row.plain:
                return {"y": y}
            return {"y": y} | {n: s.reshape(row.B, row.H) for n, s in zip(states(row), state, strict=True)}

        return Task(call, result)

    def _stream(self, row: Row, compiled: Any, x: np.ndarray) -> Task:
        """Two requests that hand the state to each other: no copy between steps."""
        count = len(states(row))
        shapes = [tuple(out.shape) for out in compiled.outputs]
        buffers = [[np.zeros(shape, np.float32) for shape in shapes] for _ in range(2)]
        requests = []
        for side in range(2):
            request = compiled.create_infer_request()
            request.set_input_tensor(0, ov.Tensor(x, shared_memory=True))
            for k in range(count):
                request.set_input_tensor(1 + k, ov.Tensor(buffers[side][k], shared_memory=True))
                request.set_output_tensor(k, ov.Tensor(buffers[1 - side][k], shared_memory=True))
            requests.append(request)
        turn = 0

        def call(keep: Any = x) -> Any:  # a shared tensor does not keep its array alive
            nonlocal turn
            requests[turn].infer()
            turn = 1 - turn
            return buffers[turn]

        def result() -> dict[str, np.ndarray]:
            return {"y": [call() for _ in range(CHECK_STEPS)][-1][0].reshape(row.B, row.H).copy()}

        return Task(call, result)
