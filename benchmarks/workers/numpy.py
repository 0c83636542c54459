"""NumPy: a careful loop, with the input projection hoisted out of it and gradients by hand.

In float64 the same functions are the referee that every library is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..shapes import Row, layer_suffix
from . import CHECK_STEPS, Task

# Columns whose gate is a sigmoid, in units of H. s(a) = tanh(a/2)/2 + 1/2, so with those columns halved
# one tanh over the whole row of gates serves all of them.
_SIGMOIDS = {"simple_rnn": (), "gru": (0, 1), "lstm": (0, 1, 3)}


class Network:
    """One layer: time-major inside, weights prepared once, buffers kept between calls.

    The steps work on x (T, B, I) as one product with W, then one product with R a step.
    """

    def __init__(self, cell: str, B: int, T: int, arrays: dict[str, np.ndarray]) -> None:
        W, R, b = arrays["kernel"], arrays["recurrent_kernel"], arrays["bias"]
        self.cell, self.B, self.T, self.I, self.H = cell, B, T, W.shape[0], R.shape[0]
        self.W, self.R, self.dtype = W, R, W.dtype
        H, GH, dtype = self.H, R.shape[1], W.dtype
        half = np.ones(GH, dtype)
        for k in _SIGMOIDS[cell]:
            half[k * H : (k + 1) * H] = 0.5
        self.Wh, self.Rh = W * half, R * half
        input_bias, recurrent_bias = b if cell == "gru" else (b, np.zeros_like(b))
        self.bias, self.recurrent_bias = input_bias * half, recurrent_bias * half
        self.gates = np.empty((T, B, GH), dtype)
        self.rec = np.empty((T, B, GH), dtype)  # h.R of every step: the GRU's backward needs it
        self.h = np.zeros((T + 1, B, H), dtype)  # slot 0 is the initial state
        self.c = np.zeros((T + 1, B, H), dtype)
        self.tanh_c = np.empty((T, B, H), dtype)
        self.t1, self.t2 = np.empty((B, H), dtype), np.empty((B, H), dtype)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """x (T, B, I) -> y (T, B, H), a view."""
        gates = self.gates
        np.matmul(x.reshape(self.T * self.B, self.I), self.Wh, out=gates.reshape(self.T * self.B, -1))
        gates += self.bias
        step = getattr(self, "_" + self.cell)
        for t in range(self.T):
            step(t, gates[t], self.rec[t])
        return self.h[1:]

    def _simple_rnn(self, t: int, g: np.ndarray, rec: np.ndarray) -> None:
        np.matmul(self.h[t], self.Rh, out=rec)
        rec += g
        np.tanh(rec, out=self.h[t + 1])

    def _lstm(self, t: int, g: np.ndarray, rec: np.ndarray) -> None:
        H, tmp = self.H, self.t1
        np.matmul(self.h[t], self.Rh, out=rec)
        g += rec
        np.tanh(g, out=g)
        for sigmoid in (g[:, : 2 * H], g[:, 3 * H :]):
            sigmoid *= 0.5
            sigmoid += 0.5
        i, f, n, o = g[:, :H], g[:, H : 2 * H], g[:, 2 * H : 3 * H], g[:, 3 * H :]
        np.multiply(f, self.c[t], out=self.c[t + 1])
        np.multiply(i, n, out=tmp)
        self.c[t + 1] += tmp
        np.tanh(self.c[t + 1], out=self.tanh_c[t])
        np.multiply(o, self.tanh_c[t], out=self.h[t + 1])

    def _gru(self, t: int, g: np.ndarray, rec: np.ndarray) -> None:
        H, tmp = self.H, self.t1
        np.matmul(self.h[t], self.Rh, out=rec)
        rec += self.recurrent_bias
        zr, n = g[:, : 2 * H], g[:, 2 * H :]
        zr += rec[:, : 2 * H]
        np.tanh(zr, out=zr)
        zr *= 0.5
        zr += 0.5
        np.multiply(g[:, H : 2 * H], rec[:, 2 * H :], out=tmp)
        n += tmp
        np.tanh(n, out=n)
        np.subtract(self.h[t], n, out=tmp)
        tmp *= g[:, :H]
        np.add(n, tmp, out=self.h[t + 1])

    def backward(self, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
        """dy (T, B, H) -> dx (T, B, I) and the weight gradients; overwrites the gates of the last forward."""
        T, B, H = self.T, self.B, self.H
        dG = self.gates  # d(pre-activation), written over the gates
        dM = self.rec  # GRU: d(h.R + recurrent bias), which differs from dG in the candidate
        dh, dc = np.zeros((B, H), self.dtype), np.zeros((B, H), self.dtype)
        step = getattr(self, "_back_" + self.cell)
        RT = np.ascontiguousarray(self.R.T)
        for t in range(T - 1, -1, -1):
            dh += dy[t]
            carried = step(t, dG[t], dM[t], dh, dc)
            np.matmul((dM if self.cell == "gru" else dG)[t], RT, out=dh)
            if carried is not None:
                dh += carried
        flat, flat_M = dG.reshape(T * B, -1), dM.reshape(T * B, -1)
        product = flat_M if self.cell == "gru" else flat
        return {
            "dx": (flat @ self.W.T).reshape(T, B, self.I),
            "dkernel": x.reshape(T * B, self.I).T @ flat,
            "drecurrent_kernel": self.h[:-1].reshape(T * B, H).T @ product,
            "dbias": np.stack([flat.sum(0), flat_M.sum(0)]) if self.cell == "gru" else flat.sum(0),
        }

    def _back_simple_rnn(self, t: int, dg: np.ndarray, dm: np.ndarray, dh: np.ndarray, dc: np.ndarray) -> None:
        np.multiply(self.h[t + 1], self.h[t + 1], out=dg)
        np.subtract(1, dg, out=dg)
        dg *= dh

    def _back_lstm(self, t: int, dg: np.ndarray, dm: np.ndarray, dh: np.ndarray, dc: np.ndarray) -> None:
        H, tmp, do = self.H, self.t1, self.t2
        i, f, n, o = dg[:, :H], dg[:, H : 2 * H], dg[:, 2 * H : 3 * H], dg[:, 3 * H :]
        tc = self.tanh_c[t]
        np.multiply(dh, tc, out=do)  # do = dh tanh(c) o (1 - o)
        do *= o
        np.subtract(1, o, out=tmp)
        do *= tmp
        np.multiply(tc, tc, out=tmp)  # dc += dh o (1 - tanh(c)^2)
        np.subtract(1, tmp, out=tmp)
        tmp *= o
        tmp *= dh
        dc += tmp
        o[:] = do
        di = dc * n
        di *= i
        np.subtract(1, i, out=tmp)
        di *= tmp
        np.multiply(n, n, out=tmp)
        np.subtract(1, tmp, out=tmp)
        tmp *= i
        np.multiply(tmp, dc, out=n)
        i[:] = di
        np.subtract(1, f, out=tmp)
        tmp *= f
        tmp *= self.c[t]
        tmp *= dc
        dc *= f
        f[:] = tmp

    def _back_gru(self, t: int, dg: np.ndarray, dm: np.ndarray, dh: np.ndarray, dc: np.ndarray) -> np.ndarray:
        H, tmp = self.H, self.t1
        z, r, n = dg[:, :H], dg[:, H : 2 * H], dg[:, 2 * H :]
        carried: np.ndarray = z * dh
        dz = self.h[t] - n
        dz *= carried
        np.subtract(1, z, out=tmp)
        dz *= tmp
        tmp *= dh  # dn = dh (1 - z) (1 - n^2)
        np.multiply(n, n, out=n)
        np.subtract(1, n, out=n)
        n *= tmp
        z[:] = dz
        dm_n = dm[:, 2 * H :]
        np.multiply(n, dm_n, out=tmp)  # dr = dn m r (1 - r)
        tmp *= r
        np.multiply(n, r, out=dm_n)
        np.subtract(1, r, out=r)
        r *= tmp
        dm[:, : 2 * H] = dg[:, : 2 * H]
        return carried


def referee(row: Row, arrays: dict[str, np.ndarray], training: bool) -> dict[str, np.ndarray]:
    """What every library must return for these arrays, computed in float64."""
    wide = {name: np.asarray(value, np.float64) for name, value in arrays.items() if name != "lengths"}
    if row.ragged:
        return _ragged(row, wide, training)
    x = wide["x"].swapaxes(0, 1)
    if not row.plain:
        return _stack(row, wide, np.ascontiguousarray(x), training)
    if row.streaming:
        x = np.repeat(x, CHECK_STEPS, axis=0)
    x = np.ascontiguousarray(x)
    net = Network(row.cell, row.B, len(x), wide)
    y = net.forward(x)
    if row.streaming:
        return {"y": y[-1]}
    out: dict[str, np.ndarray] = {"y": y.swapaxes(0, 1)}
    if training:
        grads = net.backward(x, np.ascontiguousarray(wide["dy"].swapaxes(0, 1)))
        return out | grads | {"dx": grads["dx"].swapaxes(0, 1)}
    return out | {"h": net.h[-1]} | ({"c": net.c[-1]} if row.cell == "lstm" else {})


def _stack(row: Row, wide: dict[str, np.ndarray], x: np.ndarray, training: bool) -> dict[str, np.ndarray]:
    """The levels of x (T, B, I), each over the outputs of both directions below."""
    levels: list[tuple[np.ndarray, list[Network]]] = []
    for number in range(row.layers):
        nets, outputs = [], []
        for way in range(row.ways):
            suffix = layer_suffix(row, number, way)
            weights = {name: wide[name + suffix] for name in ("kernel", "recurrent_kernel", "bias")}
            net = Network(row.cell, x.shape[1], len(x), weights)
            y = net.forward(np.ascontiguousarray(x[:: -1 if way else 1]))
            outputs.append(y[:: -1 if way else 1])
            nets.append(net)
        levels.append((x, nets))
        x = np.concatenate(outputs, axis=2)
    out = {"y": x.swapaxes(0, 1)}
    if not training:
        return out
    dy = wide["dy"].swapaxes(0, 1)
    for number in reversed(range(row.layers)):
        x, nets = levels[number]
        dx = np.zeros_like(x)
        for way, net in enumerate(nets):
            order, suffix = slice(None, None, -1 if way else 1), layer_suffix(row, number, way)
            half = dy[order, :, way * row.H : (way + 1) * row.H]
            grads = net.backward(np.ascontiguousarray(x[order]), np.ascontiguousarray(half))
            dx += grads.pop("dx")[order]
            out |= {name + suffix: value for name, value in grads.items()}
        dy = dx
    return out | {"dx": dy.swapaxes(0, 1)}


def _ragged(row: Row, wide: dict[str, np.ndarray], training: bool) -> dict[str, np.ndarray]:
    """Each batch row by itself, as long as it is."""
    out = {"y": np.zeros((row.B, row.T, row.ways * row.H))}
    if training:
        out["dx"] = np.zeros(wide["x"].shape)
    for b, length in enumerate(row.lengths()):
        own = wide | {name: wide[name][b : b + 1, :length] for name in ("x", "dy")}
        found = _stack(row, own, np.ascontiguousarray(own["x"].swapaxes(0, 1)), training)
        for name, value in found.items():
            if name in ("y", "dx"):
                out[name][b, :length] = value[0]
            else:
                out[name] = out[name] + value if name in out else value
    return out


class Library:
    """NumPy; its threads are those of its BLAS, fixed by the environment of the process."""

    version = np.__version__

    def __init__(self, threads: int, dtype: str) -> None:
        self.threads, self.dtype = threads, dtype

    def tasks(self, row: Row, arrays: dict[str, np.ndarray], training: bool) -> dict[str, Callable[[], Task]]:
        return {"loop": lambda: self._loop(row, arrays, training)} if row.plain else {}

    def _loop(self, row: Row, arrays: dict[str, np.ndarray], training: bool) -> Task:
        net = Network(row.cell, row.B, row.T, arrays)
        x = np.ascontiguousarray(arrays["x"].swapaxes(0, 1))
        dy = np.ascontiguousarray(arrays["dy"].swapaxes(0, 1))

        def infer() -> Any:
            return net.forward(x).copy()  # the caller owns the output

        def train() -> tuple[Any, dict[str, np.ndarray]]:
            y = net.forward(x).copy()
            return y, net.backward(x, dy)

        def step() -> Any:
            net.forward(x)
            net.h[0], net.c[0] = net.h[1], net.c[1]
            return net.h[0].copy()

        def result() -> dict[str, np.ndarray]:
            if row.streaming:
                return {"y": [step() for _ in range(CHECK_STEPS)][-1]}
            if training:
                y, grads = train()
                return grads | {"y": y.swapaxes(0, 1), "dx": grads["dx"].swapaxes(0, 1)}
            y = infer().swapaxes(0, 1)
            return {"y": y, "h": net.h[-1]} | ({"c": net.c[-1]} if row.cell == "lstm" else {})

        return Task(step if row.streaming else train if training else infer, result)

    def product(self, n: int) -> Callable[[], Any]:
        """A product of two n x n matrices."""
        a, b, out = (np.random.default_rng(k).random((n, n)).astype(self.dtype) for k in range(3))
        return lambda: np.matmul(a, b, out=out)
