from typing import Any

import numpy as np

class Memory: ...

def empty_sequence(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray: ...
