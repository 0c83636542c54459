"""Layers, and the registry by which saved models find their classes again.

`LAYERS["Mine"] = Mine` makes a layer of one's own known to saved models.
"""

from __future__ import annotations

from typing import Any

from fastrnn import validate
from fastrnn.layers.base import Layer, Variable
from fastrnn.layers.core import Activation, Dropout, Flatten, Masking, RepeatVector, Reshape, SpatialDropout1D
from fastrnn.layers.dense import Dense
from fastrnn.layers.embedding import Embedding
from fastrnn.layers.input import Input, InputLayer
from fastrnn.layers.normalization import LayerNormalization
from fastrnn.layers.recurrent import GRU, LSTM, SimpleRNN
from fastrnn.layers.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "GRU",
    "LAYERS",
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
    "SimpleRNN",
    "SpatialDropout1D",
    "TimeDistributed",
    "Variable",
    "get",
]

LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        Activation,
        Bidirectional,
        Dense,
        Dropout,
        Embedding,
        Flatten,
        GRU,
        LSTM,
        LayerNormalization,
        Masking,
        RepeatVector,
        Reshape,
        SimpleRNN,
        SpatialDropout1D,
        TimeDistributed,
    )
}


def get(name: str, /, **config: Any) -> Layer:
    """A new layer of the class of this name, with these constructor arguments.

    Raises
    ------
    ValueError
        Unknown name; the message suggests the nearest one.
    """
    return LAYERS[validate.choice("layer", name, list(LAYERS))].from_config(config)
