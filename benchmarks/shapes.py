"""The table of sizes that every benchmark uses, and random arrays of those sizes.

Legend: T steps, B batch rows, I inputs, H hidden units, G gates (SimpleRNN 1, GRU 3, LSTM 4).
Imports nothing but NumPy: the workers read it under interpreters that have no fastrnn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

GATES = {"simple_rnn": 1, "gru": 3, "lstm": 4}
INFERENCE, TRAINING = "inference", "training"


@dataclass(frozen=True)
class Row:
    """One line of the table: a layer and the batch it runs on.

    `train` is False for the streaming rows (T = 1, state carried from call to call). The conditions of conditions.py
    vary a row: `layers` levels of both directions when `bidirectional`; `ragged` rows of 1 to T valid steps; a
    `decaying` state, which nothing feeds after a tenth of the steps and nobody asks for before the last one, so that
    states and their gradients fall below the smallest normal number; a `pause` of so many seconds before each call.
    """

    name: str
    cell: str
    B: int
    T: int
    I: int
    H: int
    train: bool = True
    layers: int = 1
    bidirectional: bool = False
    ragged: bool = False
    decaying: bool = False
    pause: float = 0.0

    @property
    def ways(self) -> int:
        """Directions of a level."""
        return 2 if self.bidirectional else 1

    @property
    def plain(self) -> bool:
        """One layer, one direction, full lengths."""
        return not (self.layers > 1 or self.bidirectional or self.ragged)

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs of each level."""
        return (self.I, *(self.ways * self.H,) * (self.layers - 1))

    def lengths(self) -> np.ndarray:
        """Valid steps of each batch row, (B,) int64: T, or, `ragged`, drawn from 1 to T."""
        if not self.ragged:
            return np.full(self.B, self.T, np.int64)
        return np.random.default_rng(self.T * self.B).integers(1, self.T, self.B, endpoint=True)

    @property
    def gates(self) -> int:
        """Gates of the cell."""
        return GATES[self.cell]

    @property
    def streaming(self) -> bool:
        """One step a call, the state carried along."""
        return self.T == 1 and not self.train

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes that are timed."""
        return (INFERENCE, TRAINING) if self.train else (INFERENCE,)

    def flops(self, which: str = INFERENCE) -> int:
        """Operations of the products: 2.T.B.G.H.(I+H) a layer, of valid steps alone; three times that with the
        backward."""
        steps = int(self.lengths().sum())
        forward = sum(2 * steps * self.ways * self.gates * self.H * (inputs + self.H) for inputs in self.widths)
        return 3 * forward if which == TRAINING else forward

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


ROWS: tuple[Row, ...] = (
    Row("stream64", "lstm", 1, 1, 64, 64, train=False),
    Row("stream256", "lstm", 1, 1, 256, 256, train=False),
    Row("streamgru256", "gru", 1, 1, 256, 256, train=False),
    Row("char", "simple_rnn", 3, 14, 17, 12),
    Row("sincos", "simple_rnn", 1, 10, 1, 32),
    Row("b1", "lstm", 1, 100, 64, 128),
    Row("b1_256", "lstm", 1, 100, 256, 256),
    Row("image", "simple_rnn", 32, 56, 56, 300),
    Row("btc128", "simple_rnn", 64, 60, 1, 128),
    Row("btc512", "simple_rnn", 64, 60, 256, 512),
    Row("imdb", "lstm", 128, 500, 32, 32),
    Row("imdbgru", "gru", 128, 500, 32, 32),
    Row("imdbrnn", "simple_rnn", 128, 500, 32, 32),
    Row("ptbS", "lstm", 20, 20, 200, 200),
    Row("ptbM", "lstm", 20, 35, 650, 650),
    Row("mid", "lstm", 32, 100, 256, 256),
    Row("midgru", "gru", 32, 100, 256, 256),
    Row("big", "lstm", 64, 50, 1024, 1024),
)


def select(names: Iterable[str] | None = None) -> list[Row]:
    """Rows by name in the table's order; None is all of them.

    Raises
    ------
    ValueError
        A name that is not in the table.
    """
    if names is None:
        return list(ROWS)
    wanted = list(names)
    known = {row.name for row in ROWS}
    for name in wanted:
        if name not in known:
            raise ValueError(f"row must be one of {', '.join(r.name for r in ROWS)}, got {name!r}")
    return [row for row in ROWS if row.name in wanted]


def random_arrays(row: Row, dtype: str = "float32", seed: int = 0) -> dict[str, np.ndarray]:
    """Random input, weights in Keras's layout and output gradient of one row.

    Returns
    -------
    dict
        x (B, T, I), kernel (I, G.H), recurrent_kernel (H, G.H), bias (G.H,) or for the GRU (2, 3.H),
        dy (B, T, H), or (B, T, 2.H) of both directions. The weights of further layers follow as kernel1 ..., level by
        level, forward before backward. Of ragged rows also lengths (B,), and 0 in x and dy where a row has ended.
    """
    rng = np.random.default_rng(seed)
    width, limit = row.gates * row.H, 1.0 / np.sqrt(row.H)

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-limit, limit, shape).astype(dtype)

    arrays = {"x": rng.standard_normal((row.B, row.T, row.I)).astype(dtype)}
    for number, inputs in enumerate(row.widths):
        for way in range(row.ways):
            suffix = layer_suffix(row, number, way)
            arrays["kernel" + suffix] = uniform(inputs, width)
            arrays["recurrent_kernel" + suffix] = uniform(row.H, width)
            arrays["bias" + suffix] = uniform(2, width) if row.cell == "gru" else uniform(width)
    arrays["dy"] = rng.standard_normal((row.B, row.T, row.ways * row.H)).astype(dtype)
    if row.ragged:
        arrays["lengths"] = row.lengths()
        ended = np.arange(row.T) >= arrays["lengths"][:, None]
        arrays["x"][ended], arrays["dy"][ended] = 0, 0
    if row.decaying:
        arrays["x"][:, row.T // 10 :] = 0
        arrays["dy"][:, :-1] = 0
        # 0.6 of the state is kept a step: the smallest denormal, times that, rounds to itself, and stays for good
        arrays["bias"][...] = 0
        if row.cell == "simple_rnn":
            arrays["recurrent_kernel"] = 0.6 * np.eye(row.H, dtype=dtype)
        else:
            keep = {"gru": 0, "lstm": 1}[row.cell]
            arrays["recurrent_kernel"] *= 0.01
            arrays["bias"].reshape(-1, width)[0, keep * row.H : (keep + 1) * row.H] = np.log(0.6 / 0.4)
    return arrays


def layer_suffix(row: Row, number: int, way: int) -> str:
    """What follows the name of a weight of level `number`, direction `way`: nothing, 1, 2 ..."""
    return str(number * row.ways + way or "")


def weight_names(row: Row) -> list[str]:
    """The weights' names, layer by layer."""
    suffixes = [layer_suffix(row, number, way) for number in range(row.layers) for way in range(row.ways)]
    return [name + suffix for suffix in suffixes for name in ("kernel", "recurrent_kernel", "bias")]
