"""The mathematics of the cells in plain NumPy: the specification of every kernel, and its oracle.

Legend: T steps, B batch rows, I inputs, H hidden units, G gates.

    x  (B, T, I)   input              y  (B, T, H)   output: h after every step
    W  (I, G*H)    kernel             h  (B, H)      hidden state
    R  (H, G*H)    recurrent kernel   c  (B, H)      cell state of the LSTM
    bx (G*H,)      input bias         bh (G*H,)      recurrent bias

One step takes a = x_t W + bx and u = h R + bh, both (B, G*H), and the state before it. Primes mark the state
after it, `d` + a name is the gradient of a scalar loss with respect to it. A cell is two functions of one
step, forward above backward, and one entry in `CELLS`; the walk through time is written once, below them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastrnn import validate

Array = np.ndarray[Any, np.dtype[Any]]
State = tuple[Array, ...]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), to full relative precision on both sides: no exp here has a positive argument."""
    result: Array = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
    return result


def round_bfloat16(x: Array) -> Array:
    """x to the nearest bfloat16, of two the even one, in x's dtype: of float64 its float32. NaN and infinities stay."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    rounded: Array = np.where(np.isnan(x), x, nearest.astype(np.uint32).view(np.float32))
    return rounded.astype(x.dtype)


def exactly(x: Array) -> Array:
    """x, unrounded."""
    return x


class Activation(NamedTuple):
    """An activation and its derivative, the latter as a function of the activation's own output."""

    function: Callable[[Array], Array]
    slope: Callable[[Array], Array]


ACTIVATIONS = {
    "tanh": Activation(np.tanh, lambda y: 1 - y * y),
    "relu": Activation(lambda x: np.maximum(x, 0), lambda y: (y > 0).astype(y.dtype)),
    "linear": Activation(lambda x: x, np.ones_like),
}


def simple_rnn(a: Array, u: Array, state: State, f: Activation) -> tuple[State, State]:
    """The simple recurrent network of Elman, "Finding structure in time", Cognitive Science 14(2), 1990.

    h' = f(a + u)
    """
    h = f.function(a + u)
    return (h,), (h,)


def simple_rnn_backward(dstate: State, saved: State, f: Activation) -> tuple[Array, Array, State]:
    """da = du = dh' f'(a + u), with f' from the output h'."""
    (dh,), (h,) = dstate, saved
    da = dh * f.slope(h)
    return da, da, (np.zeros_like(dh),)


def lstm(a: Array, u: Array, state: State, _: Activation) -> tuple[State, State]:
    """Long short-term memory (Hochreiter & Schmidhuber, Neural Computation 9(8), 1997).

    With the forget gate of Gers, Schmidhuber & Cummins, "Learning to forget", Neural Computation 12(10), 2000.
    s is the sigmoid; the columns of a + u are the gates i f g o (Keras calls g the candidate c).

    i = s(ai + ui)    f = s(af + uf)    g = tanh(ag + ug)    o = s(ao + uo)
    c' = f * c + i * g                  h' = o * tanh(c')
    """
    c = state[1]
    ai, af, ag, ao = np.split(a + u, 4, axis=1)
    i, f, g, o = sigmoid(ai), sigmoid(af), np.tanh(ag), sigmoid(ao)
    c_after = f * c + i * g
    m = np.tanh(c_after)
    return (o * m, c_after), (i, f, g, o, c, m)


def lstm_backward(dstate: State, saved: State, _: Activation) -> tuple[Array, Array, State]:
    """dc' takes what reaches c' through h' as well; from there each gate's gradient is a product of two factors."""
    dh, dc = dstate
    i, f, g, o, c, m = saved
    do = dh * m
    dc = dc + dh * o * (1 - m * m)
    di, df, dg = dc * g, dc * c, dc * i
    da = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)], axis=1)
    return da, da, (np.zeros_like(dh), dc * f)


def gru(a: Array, u: Array, state: State, _: Activation) -> tuple[State, State]:
    """Gated recurrent unit (Cho et al., "Learning phrase representations ...", arXiv:1406.1078v1, 2014).

    The reset gate acts after the recurrent product, as in cuDNN and in Keras's `reset_after=True`. The columns
    are z r n (Keras calls n the candidate h).

    z = s(az + uz)    r = s(ar + ur)    n = tanh(an + r * un)
    h' = z * h + (1 - z) * n
    """
    (h,) = state
    (az, ar, an), (uz, ur, un) = np.split(a, 3, axis=1), np.split(u, 3, axis=1)
    z, r = sigmoid(az + uz), sigmoid(ar + ur)
    n = np.tanh(an + r * un)
    return (z * h + (1 - z) * n,), (z, r, n, h, un)


def gru_backward(dstate: State, saved: State, _: Activation) -> tuple[Array, Array, State]:
    """Input and recurrent product differ in n alone: du carries the reset gate there. h' also sees h through z."""
    (dh,) = dstate
    z, r, n, h, un = saved
    dz = dh * (h - n) * z * (1 - z)
    dn = dh * (1 - z) * (1 - n * n)
    dr = dn * un * r * (1 - r)
    da = np.concatenate([dz, dr, dn], axis=1)
    du = np.concatenate([dz, dr, dn * r], axis=1)
    return da, du, (dh * z,)


class Cell(NamedTuple):
    """What the walk through time must know of a cell.

    `forward(a, u, state, activation)` gives (state', saved); `backward(dstate', saved, activation)` gives
    (da, du, dstate), where dstate leaves out the way through u = h R + bh: the walk adds that one.
    """

    gates: int
    states: int
    activations: tuple[str, ...]
    forward: Callable[[Array, Array, State, Activation], tuple[State, State]]
    backward: Callable[[State, State, Activation], tuple[Array, Array, State]]


CELLS = {
    "simple_rnn": Cell(1, 1, ("tanh", "relu", "linear"), simple_rnn, simple_rnn_backward),
    "lstm": Cell(4, 2, ("tanh",), lstm, lstm_backward),
    "gru": Cell(3, 1, ("tanh",), gru, gru_backward),
}


class Gradients(NamedTuple):
    """Gradients of a scalar loss, each shaped like the argument of `forward` it is named after.

    `bias` is None when there was no bias; `initial_state` is always a tuple, (dh,) or (dh, dc), even when the
    walk began at zero; `x` is None only where the caller of a kernel declined it.
    """

    x: Array | None
    kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    initial_state: State


class Step(NamedTuple):
    """What one step leaves for the way back: its time, the rows it moved, their h before it, the cell's own."""

    t: int
    rows: Array
    h: Array
    saved: State


class Tape(NamedTuple):
    """A walk through time, as `backward` needs it."""

    cell: Cell
    activation: Activation
    x: Array
    kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    steps: list[Step]
    rounded: Callable[[Array], Array]


def forward(
    cell: str,
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any = None,
    *,
    initial_state: Any = None,
    lengths: Any = None,
    reverse: bool = False,
    activation: str = "tanh",
    compute_dtype: str | None = None,
) -> tuple[Array, State, Tape]:
    """Run a cell over sequences.

    Parameters
    ----------
    cell : {"simple_rnn", "lstm", "gru"}
        The equations stand above each cell in this file.
    x : array_like, (B, T, I)
        Its dtype, float32 or float64, is that of the whole computation.
    kernel : array_like, (I, G*H)
        Gates in Keras's order: LSTM i f c o, GRU z r h.
    recurrent_kernel : array_like, (H, G*H)
        Same order.
    bias : array_like, (G*H,) or (2, G*H), optional
        The input bias, or the input and the recurrent one. Only a GRU tells the two apart.
    initial_state : ndarray (B, H), or a tuple or list of them, optional
        h, or h and c for the LSTM; zeros when None.
    lengths : array_like of int, (B,), optional
        Valid steps of each row, in [0, T]. Later steps are not read, their output is zero, and the final
        state is that of the last valid step. A row of length 0 keeps its initial state.
    reverse : bool
        Walk from the last (valid) step to the first. Outputs stay at the step they belong to.
    activation : {"tanh", "relu", "linear"}
        For "simple_rnn"; the gated cells know "tanh" alone.
    compute_dtype : "bfloat16", optional
        Both operands of every product are rounded to it, here and on the way back, where the gradients of the kernels
        are products too; those of the biases are sums of what is not rounded.

    Returns
    -------
    y : ndarray, (B, T, H)
        h after every step.
    state : tuple of ndarray (B, H)
        The final state, (h,) or (h, c).
    tape : Tape
        For `backward`.

    Raises
    ------
    TypeError, ValueError
        An argument of another type, shape or range than above.
    """
    the = CELLS[validate.choice("cell", cell, tuple(CELLS))]
    f = ACTIVATIONS[validate.choice("activation", activation, the.activations)]
    x = validate.array("x", x, shape=("B", "T", "I"))
    B, T = x.shape[:2]
    rounded = exactly
    if compute_dtype is not None:
        rounded = {"bfloat16": round_bfloat16}[validate.choice("compute_dtype", compute_dtype, ("bfloat16",))]
    R = validate.array("recurrent_kernel", recurrent_kernel, x.dtype, ("H", "G*H"))
    H = R.shape[0]
    R = validate.array("recurrent_kernel", R, x.dtype, (H, the.gates * H))
    W = validate.array("kernel", kernel, x.dtype, (x.shape[2], the.gates * H))
    if bias is not None:
        shape = (the.gates * H,) if np.ndim(bias) == 1 else (2, the.gates * H)
        bias = validate.array("bias", bias, x.dtype, shape)
    bx, bh = _bias_rows(bias)
    lengths = validate.lengths(lengths, B, T)
    if lengths is None:
        lengths = np.full(B, T)

    state = _state("initial_state", initial_state, the.states, (B, H), x.dtype)
    y = np.zeros((B, T, H), x.dtype)
    steps = []
    for t in reversed(range(T)) if reverse else range(T):
        rows = t < lengths
        before = tuple(s[rows] for s in state)
        a = rounded(x[rows, t]) @ rounded(W) + bx
        u = rounded(before[0]) @ rounded(R) + bh
        after, saved = the.forward(a, u, before, f)
        steps.append(Step(t, rows, before[0], saved))
        for s, new in zip(state, after, strict=True):
            s[rows] = new
        y[rows, t] = after[0]
    return y, state, Tape(the, f, x, W, R, bias, steps, rounded)


def backward(tape: Tape, dy: Any = None, dstate: Any = None) -> Gradients:
    """Back-propagation through time (Werbos, Proceedings of the IEEE 78(10), 1990).

    Parameters
    ----------
    tape : Tape
        Of the `forward` to differentiate.
    dy : array_like, (B, T, H), optional
        Gradient with respect to y; zero when None. Steps past a row's length are not read.
    dstate : ndarray (B, H), or a tuple or list of them, optional
        Gradient with respect to the final state; zero when None.

    Returns
    -------
    Gradients

    Raises
    ------
    TypeError, ValueError
        `dy` or `dstate` of another type or shape than above.
    """
    the, f, x, W, R, bias, steps, rounded = tape
    B, T, _ = x.shape
    H = R.shape[0]
    dy = np.zeros((B, T, H), x.dtype) if dy is None else validate.array("dy", dy, x.dtype, (B, T, H))
    dstate = _state("dstate", dstate, the.states, (B, H), x.dtype)

    dx, dW, dR = np.zeros_like(x), np.zeros_like(W), np.zeros_like(R)
    dbx, dbh = np.zeros((2, the.gates * H), x.dtype)
    for t, rows, h, saved in reversed(steps):
        dh, *others = (d[rows] for d in dstate)
        da, du, (dh, *others) = the.backward((dh + dy[rows, t], *others), saved, f)
        dx[rows, t] = rounded(da) @ rounded(W).T
        dW += rounded(x[rows, t]).T @ rounded(da)
        dR += rounded(h).T @ rounded(du)
        dbx += da.sum(axis=0)
        dbh += du.sum(axis=0)
        for d, new in zip(dstate, (dh + rounded(du) @ rounded(R).T, *others), strict=True):
            d[rows] = new
    db = None if bias is None else dbx if bias.ndim == 1 else np.stack([dbx, dbh])
    return Gradients(dx, dW, dR, db, dstate)


def _bias_rows(bias: Array | None) -> tuple[Any, Any]:
    """(bx, bh), with 0 for what is absent."""
    if bias is None:
        return 0, 0
    return (bias, 0) if bias.ndim == 1 else (bias[0], bias[1])


def _state(name: str, value: Any, states: int, shape: tuple[int, int], dtype: Any) -> State:
    """Fresh arrays (B, H): copies of the caller's, zeros where there are none."""
    parts = validate.states(name, value, states, *shape, dtype)
    return tuple(np.zeros(shape, dtype) if part is None else part.copy() for part in parts)
