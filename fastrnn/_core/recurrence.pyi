from typing import Any

import numpy as np

CELLS: dict[str, int]
ACTIVATIONS: dict[str, int]

class Tape:
    recurrence: Recurrence
    @property
    def batch(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

class Recurrence:
    cell_name: str
    activation_name: str
    dtype: np.dtype[Any]
    inputs: int
    units: int
    bfloat16: bool
    def __init__(
        self, cell: str, inputs: int, units: int, dtype: np.dtype[Any], activation: str = "tanh", bfloat16: bool = False
    ) -> None: ...
    def load(self, kernel: np.ndarray, recurrent_kernel: np.ndarray, bias: np.ndarray | None, threads: int) -> None: ...
    def load_table(self, table: np.ndarray, threads: int) -> None: ...
    def forward(
        self,
        x: np.ndarray,
        states: tuple[np.ndarray | None, ...],
        lengths: np.ndarray | None,
        reverse: bool,
        time_major: bool,
        y: np.ndarray | None,
        training: bool,
        threads: int,
        of_table: bool = False,
    ) -> tuple[tuple[np.ndarray, ...], Tape | None]: ...
    def backward(
        self,
        tape: Tape,
        dy: np.ndarray | None,
        dends: tuple[np.ndarray | None, ...],
        dx: np.ndarray | None,
        threads: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]: ...

class StepWalk:
    streams: int
    @property
    def inputs(self) -> int: ...
    h: np.ndarray
    c: np.ndarray | None
    def __init__(self, recurrence: Recurrence, streams: int, threads: int) -> None: ...
    def set_state(self, h: Any, c: Any, rows: Any) -> None: ...
    def step(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray: ...
