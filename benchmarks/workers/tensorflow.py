"""TensorFlow: a tf.function over the Keras layer or over a loop by hand, with and without XLA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ..shapes import Row
from . import CHECK_STEPS, Task


def _simple_rnn(state: Any, a: Any, R: Any, b: Any) -> Any:
    return (tf.tanh(a + state[0] @ R),)


def _gru(state: Any, a: Any, R: Any, b: Any) -> Any:
    (h,) = state
    H = h.shape[1]
    m = h @ R + b
    zr = tf.sigmoid(a[:, : 2 * H] + m[:, : 2 * H])
    z, r = zr[:, :H], zr[:, H:]
    n = tf.tanh(a[:, 2 * H :] + r * m[:, 2 * H :])
    return (n + z * (h - n),)


def _lstm(state: Any, a: Any, R: Any, b: Any) -> Any:
    h, c = state
    i, f, n, o = tf.split(a + h @ R, 4, axis=1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(n)
    return (tf.sigmoid(o) * tf.tanh(c), c)


_STEPS = {"simple_rnn": _simple_rnn, "gru": _gru, "lstm": _lstm}
_LAYERS = {"simple_rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}


class Library:
    """TensorFlow with an intra-op pool of `threads`."""

    version = tf.__version__

    def __init__(self, threads: int, dtype: str) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.dtype = dtype

    def tasks(self, row: Row, arrays: dict[str, np.ndarray], training: bool) -> dict[str, Callable[[], Task]]:
        if not row.plain:
            return {}
        if row.streaming:
            return {
                "function": lambda: self._stream(row, arrays, False),
                "XLA": lambda: self._stream(row, arrays, True),
            }
        builders = {
            "keras": lambda: self._keras(row, arrays, training),
            "loop": lambda: self._loop(row, arrays, training, False, False),
            "loop, XLA": lambda: self._loop(row, arrays, training, True, False),
        }
        if row.T <= 20:  # beyond that tracing and compiling take longer than anyone would wait
            builders["unrolled"] = lambda: self._loop(row, arrays, training, False, True)
            builders["unrolled, XLA"] = lambda: self._loop(row, arrays, training, True, True)
        return builders

    def _keras(self, row: Row, arrays: dict[str, np.ndarray], training: bool) -> Task:
        layer = getattr(tf.keras.layers, _LAYERS[row.cell])(
            row.H, return_sequences=True, return_state=True, dtype=self.dtype
        )
        layer.build((row.B, row.T, row.I))
        layer.set_weights([arrays[k] for k in ("kernel", "recurrent_kernel", "bias")])

        def forward(x: Any) -> Any:
            y, *state = layer(x, training=training)
            return y, tuple(state)

        weights = [variable.value for variable in layer.trainable_variables]
        return self._task(row, arrays, training, forward, weights, False, time_major=False)

    def _loop(self, row: Row, arrays: dict[str, np.ndarray], training: bool, xla: bool, unroll: bool) -> Task:
        step, gru, cell = _STEPS[row.cell], row.cell == "gru", row.cell
        W, R, b = weights = [tf.Variable(arrays[k]) for k in ("kernel", "recurrent_kernel", "bias")]

        def forward(x: Any) -> Any:
            flat = tf.reshape(x, (row.T * row.B, row.I)) @ W + (b[0] if gru else b)
            a = tf.reshape(flat, (row.T, row.B, row.gates * row.H))
            zeros = tf.zeros((row.B, row.H), x.dtype)
            state = (zeros, zeros) if cell == "lstm" else (zeros,)
            recurrent = b[1] if gru else None
            if unroll:
                outputs = []
                for t in range(row.T):
                    state = step(state, a[t], R, recurrent)
                    outputs.append(state[0])
                return tf.stack(outputs), state
            store = tf.TensorArray(x.dtype, size=row.T, element_shape=(row.B, row.H))

            def body(t: Any, state: Any, store: Any) -> Any:
                state = step(state, a[t], R, recurrent)
                return t + 1, state, store.write(t, state[0])

            _, state, store = tf.while_loop(
                lambda t, *_: t < row.T, body, (tf.constant(0), state, store), maximum_iterations=row.T
            )
            return store.stack(), state

        return self._task(row, arrays, training, forward, weights, xla, time_major=True)

    def _task(
        self,
        row: Row,
        arrays: dict[str, np.ndarray],
        training: bool,
        forward: Callable[[Any], Any],
        weights: list[Any],
        xla: bool,
        time_major: bool,
    ) -> Task:
        def order(array: np.ndarray) -> np.ndarray:
            return array.swapaxes(0, 1) if time_major else array

        x, dy = (tf.constant(np.ascontiguousarray(order(arrays[k]))) for k in ("x", "dy"))

        def both(x: Any, dy: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y, state = forward(x)
            return y, state, tape.gradient(y, [x, *weights], output_gradients=dy)

        function = tf.function(both if training else forward, jit_compile=xla, autograph=False)
        arguments = (x, dy) if training else (x,)
        concrete = function.get_concrete_function(*arguments)
        run = function if xla else concrete  # a concrete function skips the look-up of its signature

        def call() -> Any:
            return run(*arguments)

        def result() -> dict[str, np.ndarray]:
            y, state, *grads = call()
            out = {"y": order(y.numpy())}
            if not training:
                return out | {n: s.numpy() for n, s in zip(("h", "c"), state, strict=False)}
            dx, dW, dR, db = (tf.convert_to_tensor(g).numpy() for g in grads[0])
            return out | {"dx": order(dx), "dkernel": dW, "drecurrent_kernel": dR, "dbias": db}

        return Task(call, result)

    def _stream(self, row: Row, arrays: dict[str, np.ndarray], xla: bool) -> Task:
        step, gru = _STEPS[row.cell], row.cell == "gru"
        x = tf.constant(arrays["x"][:, 0])
        W, R, b = (tf.constant(arrays[k]) for k in ("kernel", "recurrent_kernel", "bias"))
        zeros = tf.zeros((row.B, row.H), x.dtype)
        state: Any = (zeros, zeros) if row.cell == "lstm" else (zeros,)

        @tf.function(jit_compile=xla, autograph=False)
        def one(x: Any, *state: Any) -> Any:
            return step(state, x @ W + (b[0] if gru else b), R, b[1] if gru else None)

        run = one if xla else one.get_concrete_function(x, *state)

        def call() -> Any:
            nonlocal state
            state = run(x, *state)
            return state

        def result() -> dict[str, np.ndarray]:
            return {"y": [call() for _ in range(CHECK_STEPS)][-1][0].numpy()}

        return Task(call, result)
