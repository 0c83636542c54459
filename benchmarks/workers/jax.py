"""JAX: one jitted function, lax.scan over the steps with the input projection hoisted, gradients by vjp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..shapes import Row
from . import CHECK_STEPS, Task


def _simple_rnn(state: Any, a: Any, R: Any, b: Any) -> Any:
    return (jnp.tanh(a + state[0] @ R),)


def _gru(state: Any, a: Any, R: Any, b: Any) -> Any:
    (h,) = state
    H = h.shape[1]
    m = h @ R + b
    zr = jax.nn.sigmoid(a[:, : 2 * H] + m[:, : 2 * H])
    z, r = zr[:, :H], zr[:, H:]
    n = jnp.tanh(a[:, 2 * H :] + r * m[:, 2 * H :])
    return (n + z * (h - n),)


def _lstm(state: Any, a: Any, R: Any, b: Any) -> Any:
    h, c = state
    i, f, n, o = jnp.split(a + h @ R, 4, axis=1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(n)
    return (jax.nn.sigmoid(o) * jnp.tanh(c), c)


_STEPS = {"simple_rnn": _simple_rnn, "gru": _gru, "lstm": _lstm}


class Library:
    """JAX on XLA's CPU client, whose pool is sized by the environment of the process."""

    version = jax.__version__

    def __init__(self, threads: int, dtype: str) -> None:
        # A call that waits for its result anyway gains by running in the caller's thread: 10 us instead of
        # 18 to 37 for stream64, the same within noise on large rows.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        if dtype == "float64":
            jax.config.update("jax_enable_x64", True)
        self.dtype = dtype

    def tasks(self, row: Row, arrays: dict[str, np.ndarray], training: bool) -> dict[str, Callable[[], Task]]:
        if not row.plain:
            return {}
        if row.streaming:
            return {"jit": lambda: self._stream(row, arrays)}
        unrolled = min(row.T, 10)
        return {
            "scan": lambda: self._sequence(row, arrays, training, 1),
            f"scan, unroll {unrolled}": lambda: self._sequence(row, arrays, training, unrolled),
        }

    def _forward(self, row: Row, unroll: int) -> Callable[..., Any]:
        step, gru = _STEPS[row.cell], row.cell == "gru"

        def forward(x: Any, W: Any, R: Any, b: Any) -> Any:
            a = x @ W + (b[0] if gru else b)
            zeros = jnp.zeros((row.B, row.H), x.dtype)
            state = (zeros, zeros) if row.cell == "lstm" else (zeros,)

            def body(state: Any, a_t: Any) -> Any:
                state = step(state, a_t, R, b[1] if gru else None)
                return state, state[0]

            state, y = jax.lax.scan(body, state, a, unroll=unroll)
            return y, state

        return forward

    def _sequence(self, row: Row, arrays: dict[str, np.ndarray], training: bool, unroll: int) -> Task:
        forward = self._forward(row, unroll)
        x, dy = (jnp.asarray(np.ascontiguousarray(arrays[k].swapaxes(0, 1))) for k in ("x", "dy"))
        weights = [jnp.asarray(arrays[k]) for k in ("kernel", "recurrent_kernel", "bias")]

        def both(x: Any, W: Any, R: Any, b: Any, dy: Any) -> Any:
            y, back, state = jax.vjp(forward, x, W, R, b, has_aux=True)
            return y, state, back(dy)

        function = jax.jit(both if training else forward)
        arguments = (x, *weights, dy) if training else (x, *weights)

        def call() -> Any:
            return jax.block_until_ready(function(*arguments))

        def result() -> dict[str, np.ndarray]:
            y, state, *grads = call()
            out = {"y": np.asarray(y).swapaxes(0, 1)}
            if not training:
                return out | {n: np.asarray(s) for n, s in zip(("h", "c"), state, strict=False)}
            dx, dW, dR, db = (np.asarray(g) for g in grads[0])
            return out | {"dx": dx.swapaxes(0, 1), "dkernel": dW, "drecurrent_kernel": dR, "dbias": db}

        return Task(call, result)

    def _stream(self, row: Row, arrays: dict[str, np.ndarray]) -> Task:
        step, gru = _STEPS[row.cell], row.cell == "gru"
        x = jnp.asarray(arrays["x"][:, 0])
        W, R, b = (jnp.asarray(arrays[k]) for k in ("kernel", "recurrent_kernel", "bias"))
        zeros = jnp.zeros((row.B, row.H), x.dtype)
        state: Any = (zeros, zeros) if row.cell == "lstm" else (zeros,)

        @jax.jit
        def one(x: Any, W: Any, R: Any, b: Any, state: Any) -> Any:
            return step(state, x @ W + (b[0] if gru else b), R, b[1] if gru else None)

        def call() -> Any:
            nonlocal state
            state = jax.block_until_ready(one(x, W, R, b, state))
            return state

        def result() -> dict[str, np.ndarray]:
            return {"y": np.asarray([call() for _ in range(CHECK_STEPS)][-1][0])}

        return Task(call, result)
