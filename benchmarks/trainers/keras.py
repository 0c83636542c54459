"""Keras 3 on TensorFlow: `fit` as it is, with its own choice of XLA or without XLA.

Where a batch has a word several times, TensorFlow hands the optimizer a gradient for each place of it, and Keras 3.15
squares these before it sums them, (g1^2 + g2^2) for (g1 + g2)^2: an embedding's RMSprop and Adam are not those of their
formulas, nor of Keras on other backends. The idiom SUMMED sums first, for comparisons of losses; it is not timed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
import tensorflow as tf

from . import Clock, System

keras: Any = tf.keras

XLA = {"jit_compile auto": "auto", "jit_compile False": False}
SUMMED = "sum the gradients of a row"


class Library:
    """Keras on TensorFlow's pools of `threads`."""

    version = f"{keras.__version__} (TensorFlow {tf.__version__})"
    idioms = tuple(XLA)

    def __init__(self, threads: int) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        keras.utils.set_random_seed(0)

    def build(self, system: System, weights: Sequence[np.ndarray], idiom: str) -> Trainer:
        """A trainer."""
        return Trainer(system, weights, XLA.get(idiom, False), idiom == SUMMED)


class Trainer:
    """A model in training."""

    def __init__(self, system: System, weights: Sequence[np.ndarray], xla: Any, summed: bool) -> None:
        self.system, self.weights = system, weights
        shape = (system.batch if system.stateful else None, *system.input_shape)
        keras.config.set_floatx(system.dtype)
        keras.config.set_dtype_policy(system.dtype)
        dtype = "int32" if system.whole_numbers else system.dtype
        layers = [getattr(keras.layers, name)(**config) for name, config in system.layers]
        self.model = model = keras.Sequential([keras.Input(batch_shape=shape, dtype=dtype), *layers])
        name, config = system.loss
        loss = getattr(keras.losses, name)(**config)
        name, config = system.optimizer
        kind = getattr(keras.optimizers, name)
        optimizer = (summing(kind) if summed else kind)(**config)
        model.compile(optimizer, loss, metrics=["acc"] if system.accuracy else None, jit_compile=xla)
        optimizer.build(model.trainable_variables)
        self.fresh = [np.array(variable) for variable in optimizer.variables]
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self.model.set_weights(self.weights)
        for variable, value in zip(self.model.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        for layer in self.model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_states()

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """An update from one batch; the loss before it."""
        self.model.reset_metrics()
        return float(self.model.train_on_batch(x, y, return_dict=True)["loss"])

    def fit(self, x: np.ndarray, y: np.ndarray, clock: Clock) -> float:
        """Updates from batches that follow each other; their mean loss."""
        history = self.model.fit(x, y, self.system.batch, verbose=0, shuffle=False, callbacks=[Stamp(clock)]).history
        return float(history["loss"][0])


def summing(kind: Any) -> Any:
    """An optimizer's class whose gradients are dense."""

    def apply(self: Any, gradients: Any, variables: Any = None) -> Any:
        return kind.apply(self, [tf.convert_to_tensor(gradient) for gradient in gradients], variables)

    return type(kind.__name__, (kind,), {"apply": apply})


class Stamp(keras.callbacks.Callback):
    """Drives a clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """The end of a step."""
        self.clock.step()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """The end of the last one."""
        self.clock.stop()
