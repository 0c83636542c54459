"""The ONNX models, of one node a level, that ONNX Runtime and OpenVINO run."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..shapes import Row, layer_suffix
from . import reorder

_ORDER = {"simple_rnn": (0,), "gru": (0, 1, 2), "lstm": (0, 3, 1, 2)}  # z r h; i o f c
_OPERATORS = {"simple_rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


def states(row: Row) -> tuple[str, ...]:
    """Names of the state inputs; each output is the name with "_out"."""
    return ("h", "c") if row.cell == "lstm" else ("h",)


def _value(name: str, *shape: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, np.ndarray]) -> bytes:
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "benchmark", inputs, outputs, weights)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(built)
    return bytes(built.SerializeToString())


def product(weights: np.ndarray) -> bytes:
    """a (n, n) -> a @ weights (n, n)."""
    shape = weights.shape
    node = helper.make_node("MatMul", ["a", "weights"], ["product"])
    return _model([node], [_value("a", *shape)], [_value("product", *shape)], {"weights": weights})


def _weights(row: Row, arrays: dict[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """W (D, G.H, I), R (D, G.H, H) and bias (D, 2.G.H) of a level of D directions."""
    order, parts = _ORDER[row.cell], []
    for way in range(row.ways):
        suffix = layer_suffix(row, number, way)
        kernel, recurrent_kernel, bias = (arrays[n + suffix] for n in ("kernel", "recurrent_kernel", "bias"))
        pair = bias if row.cell == "gru" else np.stack([bias, np.zeros_like(bias)])
        parts.append((reorder(kernel, order).T, reorder(recurrent_kernel, order).T, reorder(pair, order).ravel()))
    return {name: np.stack(values) for name, values in zip(("W", "R", "bias"), zip(*parts, strict=True), strict=True)}


def model(row: Row, arrays: dict[str, np.ndarray]) -> bytes:
    """x (T, B, I) -> y (T, D, B, H), of a plain row also h_out, c_out (1, B, H); streaming: x, h, c -> h_out, c_out."""
    names = states(row) if row.plain else ()
    inputs, outputs = [_value("x", row.T, row.B, row.I)], [_value(n + "_out", 1, row.B, row.H) for n in names]
    constants = {"lengths": row.lengths().astype(np.int32)} if row.ragged else {}
    if row.streaming:
        inputs += [_value(name, 1, row.B, row.H) for name in names]
    else:
        outputs.insert(0, _value("y", row.T, row.ways, row.B, row.H))
    extra: dict[str, Any] = {"linear_before_reset": 1} if row.cell == "gru" else {}
    extra |= {"direction": "bidirectional"} if row.bidirectional else {}
    nodes, above = [], "x"
    for number in range(row.layers):
        constants |= {f"{name}{number}": value for name, value in _weights(row, arrays, number).items()}
        wires = [above, *(f"{name}{number}" for name in ("W", "R", "bias"))]
        wires += [*(("lengths",) if row.ragged else ("",) if row.streaming else ())]
        wires += [*(names if row.streaming else ())]
        last = number + 1 == row.layers
        y = "" if row.streaming else "y" if last else f"y{number}"
        results = [y, *(name + "_out" for name in names)]
        nodes.append(helper.make_node(_OPERATORS[row.cell], wires, results, hidden_size=row.H, **extra))
        if not last:  # (T, D, B, H) -> (T, B, D.H)
            constants["shape"] = np.array([row.T, row.B, row.ways * row.H], np.int64)
            nodes.append(helper.make_node("Transpose", [y], [y + "_moved"], perm=[0, 2, 1, 3]))
            above = f"x{number + 1}"
            nodes.append(helper.make_node("Reshape", [y + "_moved", "shape"], [above]))
    return _model(nodes, inputs, outputs, constants)


def as_rows(y: np.ndarray) -> np.ndarray:
    """(T, D, B, H) -> (B, T, D.H)."""
    steps, ways, batch, units = y.shape
    return y.transpose(2, 0, 1, 3).reshape(batch, steps, ways * units)
