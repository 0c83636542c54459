"""The one-node ONNX models that ONNX Runtime and OpenVINO run."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..shapes import Row
from . import reorder

_ORDER = {"simple_rnn": (0,), "gru": (0, 1, 2), "lstm": (0, 3, 1, 2)}  # z r h; i o f c
_OPERATORS = {"simple_rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


def states(row: Row) -> tuple[str, ...]:
    """Names of the state inputs; each output is the name with "_out"."""
    return ("h", "c") if row.cell == "lstm" else ("h",)


def _value(name: str, *shape: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _model(node: Any, inputs: list[Any], outputs: list[Any], constants: dict[str, np.ndarray]) -> bytes:
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "benchmark", inputs, outputs, weights)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(built)
    return bytes(built.SerializeToString())


def product(weights: np.ndarray) -> bytes:
    """a (n, n) -> a @ weights (n, n)."""
    shape = weights.shape
    node = helper.make_node("MatMul", ["a", "weights"], ["product"])
    return _model(node, [_value("a", *shape)], [_value("product", *shape)], {"weights": weights})


def model(row: Row, arrays: dict[str, np.ndarray]) -> bytes:
    """x (T, B, I) -> y (T, 1, B, H), h_out, c_out (1, B, H); streaming: x, h, c -> h_out, c_out."""
    order, bias = _ORDER[row.cell], arrays["bias"]
    pair = bias if row.cell == "gru" else np.stack([bias, np.zeros_like(bias)])
    constants = {
        "W": np.ascontiguousarray(reorder(arrays["kernel"], order).T)[None],
        "R": np.ascontiguousarray(reorder(arrays["recurrent_kernel"], order).T)[None],
        "bias": np.concatenate(list(reorder(pair, order)))[None],
    }

    names = states(row)
    inputs, outputs = [_value("x", row.T, row.B, row.I)], [_value(n + "_out", 1, row.B, row.H) for n in names]
    wires = ["x", "W", "R", "bias"]
    if row.streaming:
        inputs += [_value(name, 1, row.B, row.H) for name in names]
        wires += ["", *names]
    else:
        outputs.insert(0, _value("y", row.T, 1, row.B, row.H))
    results = ["" if row.streaming else "y"] + [name + "_out" for name in names]
    extra = {"linear_before_reset": 1} if row.cell == "gru" else {}
    node = helper.make_node(_OPERATORS[row.cell], wires, results, hidden_size=row.H, **extra)
    return _model(node, inputs, outputs, constants)
