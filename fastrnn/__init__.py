"""fastrnn: SimpleRNN, LSTM and GRU on the CPU, trained, run and streamed fast, with NumPy alone.

>>> import numpy as np, fastrnn
>>> layer = fastrnn.LSTM(64, return_sequences=True)
>>> y = layer(np.zeros((8, 100, 16), np.float32))      # (8, 100, 64)

Three storeys, data flowing one way:

models       Sequential, load_model; seq2seq: Seq2Seq            plain NumPy
             losses, metrics, optimizers, schedules, callbacks
layers       SimpleRNN, LSTM, GRU, Dense, Embedding, wrappers    build, forward, backward, stream
             activations, initializers, regularizers
functional   the kernels over plain arrays                       forward, forward_train, backward, matmul
_core        time loops and threads (Cython) over src/ (C: one tile of one step, for each ISA and dtype)

preprocessing, datasets, utils: what is done to data before a model sees them.

`import fastrnn` brings all layers, both models and these modules, each called as in Keras. Imported by name, for they
want other packages or are seldom used:

reference    the same mathematics in plain NumPy: the specification
validate     the one door through which arguments pass
io           models in Keras's files (h5py)
plots        curves and matrices (matplotlib)
estimators   for scikit-learn
demos        whole systems: python -m fastrnn demo
"""

try:
    from fastrnn._core import isa as _isa  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "fastrnn._core.isa":
        raise
    raise ImportError("fastrnn's compiled modules are not in this folder: run `pip install -e .` here") from error

from fastrnn import (
    activations,
    callbacks,
    datasets,
    functional,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    preprocessing,
    regularizers,
    schedules,
    seq2seq,
    utils,
)
from fastrnn._version import __version__
from fastrnn.layers import (
    GRU,
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    InputLayer,
    Layer,
    LayerNormalization,
    Masking,
    RepeatVector,
    Reshape,
    SimpleRNN,
    SpatialDropout1D,
    TimeDistributed,
)
from fastrnn.models import Sequential, load_model
from fastrnn.seq2seq import Seq2Seq

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "Bidirectional",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "Masking",
    "RepeatVector",
    "Reshape",
    "Seq2Seq",
    "Sequential",
    "SimpleRNN",
    "SpatialDropout1D",
    "TimeDistributed",
    "__version__",
    "activations",
    "callbacks",
    "datasets",
    "functional",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "preprocessing",
    "regularizers",
    "schedules",
    "seq2seq",
    "utils",
]
