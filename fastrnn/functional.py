"""The kernels over plain arrays, for those who keep their own weights.

Legend: T steps, B batch rows, I inputs, H hidden units, G gates (SimpleRNN 1, GRU 3, LSTM 4). Weights are in Keras's
layout: kernel (I, G.H), recurrent_kernel (H, G.H), bias None, (G.H,) for the input alone, or (2, G.H) for the input and
the recurrent product; LSTM gates i f c o, GRU z r h with the reset gate after the product.

>>> y, (h, c) = forward("lstm", x, kernel, recurrent_kernel, bias)             # y (B, T, H); h, c (B, H)
>>> y, state, tape = forward_train("lstm", x, kernel, recurrent_kernel, bias)
>>> gradients = backward(tape, dy)                                             # of x, the weights, the initial state
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import validate
from fastrnn._core import matmul as _matmul
from fastrnn._core import threads as _threads
from fastrnn._core.memory import empty_sequence
from fastrnn._core.recurrence import ACTIVATIONS, CELLS, Recurrence
from fastrnn._core.recurrence import Tape as _Tape
from fastrnn.reference import Gradients

__all__ = ["Gradients", "Tape", "backward", "forward", "forward_train", "gates", "matmul", "states"]

gates = {"simple_rnn": 1, "lstm": 4, "gru": 3}
states = {"simple_rnn": 1, "lstm": 2, "gru": 1}


class Tape:
    """What one `forward_train` leaves for its `backward`; it is spent by it.

    Attributes
    ----------
    y : ndarray
        The outputs, read-only: BPTT reads them again.
    """

    __slots__ = ("_tape", "bias_shape", "last_only", "threads", "y")

    def __init__(
        self,
        tape: _Tape,
        y: np.ndarray,
        bias_shape: tuple[int, ...] | None,
        last_only: bool,
        threads: int,
    ) -> None:
        self._tape: _Tape | None = tape
        self.y, self.bias_shape = y, bias_shape
        self.last_only, self.threads = last_only, threads


def _prepare(
    cell: str,
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    initial_state: Any,
    lengths: Any,
    activation: str,
    time_major: bool,
    num_threads: int | None,
    compute_dtype: str | None,
) -> tuple[Recurrence, np.ndarray, tuple[np.ndarray | None, ...], np.ndarray | None, tuple[int, ...] | None, int]:
    """Validate everything a pass takes, and pack its weights."""
    cell = validate.choice("cell", cell, tuple(CELLS))
    activation = validate.choice("activation", activation, tuple(ACTIVATIONS))
    if activation != "tanh" and cell != "simple_rnn":
        raise ValueError(f"activation must be 'tanh' for {cell}, got {activation!r}")
    threads = validate.threads(num_threads)
    x = validate.array("x", x, None, ("T", "B", "I") if time_major else ("B", "T", "I"))
    steps, batch = x.shape[:2] if time_major else (x.shape[1], x.shape[0])
    inputs, dtype, columns = x.shape[2], x.dtype, gates[cell]
    recurrent_kernel = validate.array("recurrent_kernel", recurrent_kernel, dtype, ("H", "G*H"))
    units = recurrent_kernel.shape[0]
    recurrent_kernel = np.ascontiguousarray(
        validate.array("recurrent_kernel", recurrent_kernel, dtype, (units, columns * units))
    )
    kernel = np.ascontiguousarray(validate.array("kernel", kernel, dtype, (inputs, columns * units)))
    bias_shape = None
    if bias is not None:
        bias = validate.array("bias", bias, dtype)
        if bias.shape not in ((columns * units,), (2, columns * units)):
            raise ValueError(f"bias must have shape ({columns * units},) or (2, {columns * units}), got {bias.shape}")
        bias, bias_shape = np.ascontiguousarray(bias), bias.shape
    state = validate.states("initial_state", initial_state, states[cell], batch, units, dtype)
    valid = validate.lengths(lengths, batch, steps)
    compute_dtype = validate.compute_dtype(compute_dtype, dtype)
    recurrence = Recurrence(cell, inputs, units, dtype, activation, compute_dtype == "bfloat16")
    recurrence.load(kernel, recurrent_kernel, bias, threads)
    return recurrence, x, state, valid, bias_shape, threads


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
    time_major: bool = False,
    return_sequences: bool = True,
    num_threads: int | None = None,
    compute_dtype: str | None = None,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Run one recurrent layer over its input, for inference.

    Parameters
    ----------
    cell : {"simple_rnn", "lstm", "gru"}
    x : array_like, (B, T, I), or (T, B, I) if time_major
        float32 or float64 (kept); integers become float32. Any strides, read-only is fine.
    kernel, recurrent_kernel, bias : array_like
        Weights in Keras's layout, see the module; cast to x's dtype.
    initial_state : array_like (B, H), or the pair (h, c) of them for an LSTM, optional
        Zeros by default.
    lengths : array_like of int, (B,), optional
        Valid steps of each row, 0 to T. Outputs past a row's length are zero, its final state is that of its last
        valid step, and the reverse direction starts there.
    reverse : bool
        Walk from the last step to the first; y[t] still stands at t.
    activation : {"tanh", "relu", "linear"}
        Of the SimpleRNN.
    time_major : bool
        x and y are (T, B, .).
    return_sequences : bool
        Give all outputs; False gives the last valid one, (B, H).
    num_threads : int, optional
        Default: FASTRNN_NUM_THREADS, OMP_NUM_THREADS, or the usable cores. The result does not depend on it.
    compute_dtype : "bfloat16", optional
        What the weights, and what they are multiplied by, are rounded to in products, for float32 alone: see
        `fastrnn.layers.Recurrent`. Default: x's dtype.
    out : ndarray, optional
        Where y goes: its exact shape and dtype.

    Returns
    -------
    y : ndarray, (B, T, H), (T, B, H) or (B, H)
    state : tuple of ndarray (B, H)
        The final (h,), or (h, c) for an LSTM.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the rule and what came.
    """
    recurrence, x, state, valid, _, threads = _prepare(
        cell,
        x,
        kernel,
        recurrent_kernel,
        bias,
        initial_state,
        lengths,
        activation,
        time_major,
        num_threads,
        compute_dtype,
    )
    shape = (*x.shape[:2], recurrence.units)
    if not return_sequences:
        shape = (x.shape[1] if time_major else x.shape[0], recurrence.units)
    if out is None:
        y = empty_sequence(shape, x.dtype) if return_sequences else None
    else:
        validate.output("out", out, x.dtype, shape)
        y = out if return_sequences else None
        if any(np.may_share_memory(out, other) for other in (x, *state) if other is not None):
            x = x.copy()
            state = tuple(None if s is None else s.copy() for s in state)
    ends, _ = recurrence.forward(x, state, valid, reverse, time_major, y, False, threads)
    if y is not None:
        return y, ends
    if out is not None:
        out[...] = ends[0]
        return out, ends
    return ends[0].copy(), ends


def forward_train(
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
    time_major: bool = False,
    return_sequences: bool = True,
    num_threads: int | None = None,
    compute_dtype: str | None = None,
) -> tuple[np.ndarray, tuple[np.ndarray, ...], Tape]:
    """Run one recurrent layer and keep what BPTT needs; the arguments are those of `forward`.

    Returns
    -------
    y : ndarray
        As in `forward`; the sequence is read-only, since BPTT reads it again.
    state : tuple of ndarray (B, H)
    tape : Tape
        For `backward`. Until then x and the weights must not change. It holds S.H numbers a step and row besides y
        (S: SimpleRNN 1, GRU 4, LSTM 5).
    """
    recurrence, x, state, valid, bias_shape, threads = _prepare(
        cell,
        x,
        kernel,
        recurrent_kernel,
        bias,
        initial_state,
        lengths,
        activation,
        time_major,
        num_threads,
        compute_dtype,
    )
    y = empty_sequence((*x.shape[:2], recurrence.units), x.dtype)
    ends, tape = recurrence.forward(x, state, valid, reverse, time_major, y, True, threads)
    assert tape is not None
    kept = Tape(tape, y, bias_shape, not return_sequences, threads)
    return (y if return_sequences else ends[0].copy()), ends, kept


def backward(tape: Tape, dy: Any = None, dstate: Any = None, *, need_dx: bool = True) -> Gradients:
    """Backpropagation through time.

    Parameters
    ----------
    tape : Tape
        From `forward_train`; used up.
    dy : array_like, optional
        Gradient of the loss by y, of y's shape; what stands at padded steps is ignored.
    dstate : array_like or tuple of them, optional
        Gradient by the final state: (B, H), or the pair of them for an LSTM; either of the pair may be None.
    need_dx : bool
        False leaves out the gradient of x, which saves a product.

    Returns
    -------
    Gradients
        x, kernel, recurrent_kernel, bias (None without a bias), initial_state (a tuple), shaped like the arguments.

    Raises
    ------
    RuntimeError
        If the tape has been used.
    """
    if not isinstance(tape, Tape):
        raise TypeError(f"tape must come from forward_train, got {type(tape).__name__}")
    kept = tape._tape
    if kept is None:
        raise RuntimeError("this tape has been used: BPTT overwrites it; run forward_train again")
    recurrence, y = kept.recurrence, tape.y
    batch, units = kept.batch, recurrence.units
    dend: tuple[np.ndarray | None, ...] = validate.states(
        "dstate", dstate, states[recurrence.cell_name], batch, units, recurrence.dtype
    )
    if dy is not None:
        dy = validate.array("dy", dy, recurrence.dtype, (batch, units) if tape.last_only else y.shape)
        if tape.last_only:
            dend = (dy if dend[0] is None else dend[0] + dy, *dend[1:])
            dend = (np.ascontiguousarray(dend[0]), *dend[1:])
            dy = None
    dx = None
    if need_dx:
        dx = empty_sequence((*y.shape[:2], recurrence.inputs), recurrence.dtype)
    tape._tape = None  # its memory goes with it
    kernel, recurrent_kernel, bias, dstart = recurrence.backward(kept, dy, dend, dx, tape.threads)
    return Gradients(dx, kernel, recurrent_kernel, bias_gradient(bias, tape.bias_shape), dstart)


def bias_gradient(pair: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray | None:
    """The gradient of a bias of that shape, from those of the input and the recurrent bias."""
    if shape is None:
        return None
    return pair if len(shape) == 2 else pair[0]


def matmul(
    a: Any,
    b: Any,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    out: np.ndarray | None = None,
    num_threads: int | None = None,
) -> np.ndarray:
    """The product of two matrices, on the cells' register tiles or NumPy's BLAS, whichever suits its size.

    Parameters
    ----------
    a : array_like, (M, K), or (K, M) if transpose_a
    b : array_like, (K, N), or (N, K) if transpose_b
    out : ndarray, (M, N), optional

    Returns
    -------
    ndarray, (M, N)
    """
    threads = validate.threads(num_threads)
    a = validate.array("a", a, None, ("M", "K"))
    inner, rows = a.shape if transpose_a else a.shape[::-1]
    b = validate.array("b", b, a.dtype, ("N", inner) if transpose_b else (inner, "N"))
    shape = (rows, b.shape[0] if transpose_b else b.shape[1])
    if out is None:
        out = np.empty(shape, a.dtype)
    elif any(np.may_share_memory(validate.output("out", out, a.dtype, shape), other) for other in (a, b)):
        a, b = a.copy(), b.copy()
    return _matmul.matmul(a, b, transpose_a, transpose_b, out, threads)


def default_threads() -> int:
    """Threads used when nothing else is said."""
    return _threads.default_threads()
