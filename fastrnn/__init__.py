"""fastrnn: SimpleRNN, LSTM and GRU on the CPU, trained, run and streamed fast, with NumPy alone.

>>> import numpy as np, fastrnn
>>> layer = fastrnn.LSTM(64, return_sequences=True)
>>> y = layer(np.zeros((8, 100, 16), np.float32))      # (8, 100, 64)

Three storeys, data flowing one way:

models       Sequential, Seq2Seq, losses, optimizers, callbacks  plain NumPy
layers       SimpleRNN, LSTM, GRU, Dense, Embedding, wrappers    build, forward, backward, stream
functional   the kernels over plain arrays                       forward, forward_train, backward, matmul
_core        time loops and threads (Cython) over src/ (C: one tile of one step, for each ISA and dtype)

reference    the same mathematics in plain NumPy: the specification
validate     the one door through which arguments pass
io           models in Keras's files
"""

try:
    from fastrnn._core import isa as _isa  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "fastrnn._core.isa":
        raise
    raise ImportError("fastrnn's compiled modules are not in this folder: run `pip install -e .` here") from error

from fastrnn import functional
from fastrnn._version import __version__
from fastrnn.layers import GRU, LSTM, Dense, Embedding, Layer, SimpleRNN
from fastrnn.models import Sequential, load_model

__all__ = [
    "GRU",
    "LSTM",
    "Dense",
    "Embedding",
    "Layer",
    "Sequential",
    "SimpleRNN",
    "__version__",
    "functional",
    "load_model",
]
