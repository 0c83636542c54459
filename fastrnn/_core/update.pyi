from collections.abc import Sequence

import numpy as np

FORMULAS: dict[str, tuple[int, int]]

def update(
    formula: str,
    numbers: Sequence[float],
    variables: Sequence[tuple[np.ndarray, Sequence[np.ndarray], np.ndarray, np.ndarray | None, float, float]],
    limit: float,
    threads: int,
) -> None: ...
def squares(x: np.ndarray, threads: int) -> float: ...
