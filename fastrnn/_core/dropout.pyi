import numpy as np

def drop(
    x: np.ndarray | None, out: np.ndarray, key: int, passes: int, number: int, rate: float, threads: int
) -> np.ndarray: ...
