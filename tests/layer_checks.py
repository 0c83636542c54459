"""What the tests of single layers share: random weights, and gradients by central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn.layers import Layer


def randomized(layer: Layer, shape: tuple[int | None, ...], scale: float = 0.5, seed: int = 2) -> Any:
    """The layer, built for this input shape, with random weights everywhere: constant ones could not show a mix-up."""
    layer.build(shape)
    rng = np.random.default_rng(seed)
    layer.set_weights([scale * rng.standard_normal(variable.shape) for variable in layer.variables])
    return layer


def arrays(result: Any) -> list[np.ndarray]:
    """One array or a tuple of them, as a list."""
    return list(result) if isinstance(result, tuple) else [result]


def check_gradients(
    layer: Layer,
    x: np.ndarray,
    *,
    before: Callable[[], Any] = lambda: None,
    places: int = 8,
    **options: Any,
) -> None:
    """Every gradient of a float64 layer against central differences of its own forward pass.

    before: called before each forward pass, to put a carried state back; places: of each array, looked at. Arrays in
    `options["initial_state"]` are looked at as well, and a state that is returned has a gradient of its own.
    """
    rng = np.random.default_rng(8)
    before()
    outputs = arrays(layer.forward(x, training=True, **options))
    weights = [rng.standard_normal(y.shape) for y in outputs]

    def loss() -> float:
        before()
        return sum(
            float((y * w).sum())
            for y, w in zip(arrays(layer.forward(x, training=True, **options)), weights, strict=True)
        )

    loss()
    pair = getattr(layer, "merge_mode", "concat") is None
    dy: Any = tuple(weights[:2]) if pair else weights[0]
    rest = weights[2:] if pair else weights[1:]
    dx: Any = layer.backward(dy, rest) if rest else layer.backward(dy)  # type: ignore[call-arg]
    checked: list[tuple[str, np.ndarray, np.ndarray]] = [] if dx is None else [("x", x, dx)]
    for number, state in enumerate(options.get("initial_state") or ()):
        checked.append((f"state {number}", state, layer.dstate[number]))  # type: ignore[attr-defined]
    gradients = [variable.grad for variable in layer.variables]
    for name, array, gradient in checked:
        assert gradient.shape == array.shape, name
        for index in rng.choice(array.size, min(places, array.size), replace=False):
            at, kept = np.unravel_index(index, array.shape), array.flat[index]

            def put(value: float, array: np.ndarray = array, at: Any = at) -> None:
                array[at] = value

            _compare(name, at, gradient[at], put, kept, loss)
    for variable, gradient in zip(layer.variables, gradients, strict=True):
        dense = gradient if isinstance(gradient, np.ndarray) else gradient.dense()
        assert dense.shape == variable.shape, variable.name
        for index in rng.choice(variable.size, min(places, variable.size), replace=False):
            at = np.unravel_index(index, variable.shape)
            kept = variable.value[at]

            def put(value: float, variable: Any = variable, at: Any = at) -> None:
                with variable.writing() as array:
                    array[at] = value

            _compare(variable.name, at, dense[at], put, kept, loss)


def _compare(
    name: str, at: Any, gradient: float, put: Callable[[float], None], kept: float, loss: Callable[[], float]
) -> None:
    step = 1e-6
    put(kept + step)
    above = loss()
    put(kept - step)
    below = loss()
    put(kept)
    np.testing.assert_allclose(
        gradient, (above - below) / (2 * step), rtol=1e-5, atol=1e-7, err_msg=f"{name}{[int(i) for i in at]}"
    )
