import numpy as np

BACKENDS: tuple[str, ...]
BLAS_FROM: float

def choose(operations: float) -> str: ...
def own(
    a: np.ndarray,
    b: np.ndarray,
    transpose_a: bool,
    transpose_b: bool,
    out: np.ndarray,
    threads: int,
    row: np.ndarray | None = None,
) -> np.ndarray: ...
def matmul(
    a: np.ndarray,
    b: np.ndarray,
    transpose_a: bool,
    transpose_b: bool,
    out: np.ndarray,
    threads: int,
    row: np.ndarray | None = None,
) -> np.ndarray: ...
