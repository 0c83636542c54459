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

    `train` is False for the streaming rows (T = 1, state carried from call to call).
    """

    name: str
    cell: str
    B: int
    T: int
    I: int
    H: int
    train: bool = True

    @property
    def gates(self) -> int:
        """Gates of the cell."""
        return GATES[self.cell]

    @property
    def streaming(self) -> bool:
        """One step a call, the state carried along."""
        return self.T == 1

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes that are timed."""
        return (INFERENCE, TRAINING) if self.train else (INFERENCE,)

    def flops(self, which: str = INFERENCE) -> int:
        """Operations of the products: 2.T.B.G.H.(I+H), three times that with the backward."""
        forward = 2 * self.T * self.B * self.gates * self.H * (self.I + self.H)
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
        dy (B, T, H).
    """
    rng = np.random.default_rng(seed)
    width, limit = row.gates * row.H, 1.0 / np.sqrt(row.H)

    def uniform(*shape: int) -> np.ndarray:
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return {
        "x": rng.standard_normal((row.B, row.T, row.I)).astype(dtype),
        "kernel": uniform(row.I, width),
        "recurrent_kernel": uniform(row.H, width),
        "bias": uniform(2, width) if row.cell == "gru" else uniform(width),
        "dy": rng.standard_normal((row.B, row.T, row.H)).astype(dtype),
    }
