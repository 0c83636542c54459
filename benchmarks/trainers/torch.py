"""PyTorch in eager mode: nn.RNN, nn.LSTM and nn.GRU, autograd, and a plain loop over batches.

The optimizers are written by Keras's formulas, whose epsilons stand elsewhere than those of torch.optim, with the same
calls over lists of tensors as torch.optim. The second of torch's two biases stays zero where Keras has one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..workers import reorder
from . import Clock, Described, System

ORDER = {"SimpleRNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 1, 2, 3)}  # r z n; i f g o
MODULES = {"SimpleRNN": torch.nn.RNN, "GRU": torch.nn.GRU, "LSTM": torch.nn.LSTM}
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


class Library:
    """PyTorch with an intra-op pool of `threads`."""

    version = torch.__version__
    idioms = ("eager",)

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)

    def build(self, system: System, weights: Sequence[np.ndarray], idiom: str) -> Trainer:
        """A trainer."""
        return Trainer(system, weights)


class Walk(torch.nn.Module):
    """A recurrent layer as Keras has it, over nn.RNN, nn.LSTM or nn.GRU."""

    def __init__(self, kind: str, config: dict[str, Any], weights: Sequence[np.ndarray]) -> None:
        super().__init__()
        kernel, recurrent_kernel, bias = (reorder(each, ORDER[kind]) for each in weights)
        options = {"nonlinearity": config.get("activation", "tanh")} if kind == "SimpleRNN" else {}
        self.module = MODULES[kind](len(kernel), config["units"], batch_first=True, **options)
        pair = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
        with torch.no_grad():
            for parameter, value in zip(self.module.parameters(), [kernel.T, recurrent_kernel.T, *pair], strict=True):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))
        self.module.bias_hh_l0.requires_grad_(bias.ndim == 2)
        self.sequences, self.stateful = config.get("return_sequences", False), config.get("stateful", False)
        self.state: Any = None

    def forward(self, x: Any) -> Any:
        """All outputs (B, T, H), or the last (B, H)."""
        y, state = self.module(x, self.state)
        if self.stateful:
            self.state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        return y if self.sequences else y[:, -1]


class Dense(torch.nn.Module):
    """A dense layer; `activation` None leaves that to the loss."""

    def __init__(self, weights: Sequence[np.ndarray], activation: str | None) -> None:
        super().__init__()
        kernel, bias = weights
        self.linear = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel.T)))
            self.linear.bias.copy_(torch.from_numpy(bias))
        self.activation = activation

    def forward(self, x: Any) -> Any:
        """(..., I) -> (..., units)."""
        y = self.linear(x)
        return y if self.activation is None else ACTIVATIONS[self.activation](y)


def layer(described: Described, weights: list[np.ndarray], last: bool) -> Any:
    """The module of a layer, which takes its weights off the list."""
    kind, config = described
    if kind == "Embedding":
        return torch.nn.Embedding.from_pretrained(torch.tensor(weights.pop(0)), freeze=False)
    if kind == "Dropout":
        return torch.nn.Dropout(config["rate"])
    if kind == "Flatten":
        return torch.nn.Flatten()
    own = [weights.pop(0) for _ in range(2 if kind == "Dense" else 3)]
    if kind == "Dense":
        return Dense(own, None if last else config.get("activation"))
    return Walk(kind, config, own)


class RMSprop:
    """v <- rho v + (1 - rho) g^2,  w <- w - lr g / sqrt(v + epsilon)."""

    def __init__(self, parameters: Iterable[Any], learning_rate: float = 1e-3) -> None:
        self.parameters, self.rate = list(parameters), learning_rate
        self.v = [torch.zeros_like(p) for p in self.parameters]

    def apply(self, g: list[Any]) -> None:
        """An update."""
        torch._foreach_mul_(self.v, 0.9)
        torch._foreach_addcmul_(self.v, g, g, 1 - 0.9)
        root = torch._foreach_add(self.v, 1e-7)
        torch._foreach_sqrt_(root)
        torch._foreach_addcdiv_(self.parameters, g, root, -self.rate)


class Adam:
    """m, v <- running means of g and g^2,  w <- w - lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)."""

    def __init__(
        self, parameters: Iterable[Any], learning_rate: float = 1e-3, global_clipnorm: float | None = None
    ) -> None:
        self.parameters, self.rate, self.clip = list(parameters), learning_rate, global_clipnorm
        self.m, self.v = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
        self.t = 0

    def apply(self, g: list[Any]) -> None:
        """An update."""
        if self.clip is not None:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(g)))
            torch._foreach_mul_(g, torch.clamp(self.clip / norm, max=1.0))
        self.t += 1
        torch._foreach_lerp_(self.m, g, 1 - 0.9)
        torch._foreach_mul_(self.v, 0.999)
        torch._foreach_addcmul_(self.v, g, g, 1 - 0.999)
        root = torch._foreach_sqrt(self.v)
        torch._foreach_add_(root, 1e-7)
        step = self.rate * math.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        torch._foreach_addcdiv_(self.parameters, self.m, root, -step)


OPTIMIZERS: dict[str, Any] = {"RMSprop": RMSprop, "Adam": Adam}


class Trainer:
    """A model in training."""

    def __init__(self, system: System, weights: Sequence[np.ndarray]) -> None:
        self.system, self.weights = system, weights
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        weights = list(self.weights)
        # the last activation, sigmoid or softmax, is in the loss
        final = self.system.layers[-1]
        self.model = torch.nn.Sequential(
            *(layer(described, weights, described is final) for described in self.system.layers)
        ).to(getattr(torch, self.system.dtype))
        name, config = self.system.optimizer
        self.optimizer = OPTIMIZERS[name]([p for p in self.model.parameters() if p.requires_grad], **config)

    def loss(self, z: Any, y: Any) -> Any:
        """The mean over a batch."""
        name = self.system.loss[0]
        if name == "BinaryCrossentropy":
            return functional.binary_cross_entropy_with_logits(z[:, 0], y.to(z.dtype))
        if name == "MeanSquaredError":
            return functional.mse_loss(z, y)
        if name == "CategoricalCrossentropy":
            return functional.cross_entropy(z, y)
        return functional.cross_entropy(z.flatten(0, -2), y.flatten().long())

    def hits(self, z: Any, y: Any) -> Any:
        """How many of a batch are told rightly."""
        if self.system.loss[0] == "BinaryCrossentropy":
            return ((z[:, 0] > 0) == (y > 0)).sum()
        return (z.argmax(-1) == y.argmax(-1)).sum()

    def _step(self, x: Any, y: Any) -> tuple[Any, Any]:
        z = self.model(x)
        loss = self.loss(z, y)
        gradients = torch.autograd.grad(loss, self.optimizer.parameters)
        with torch.no_grad():
            self.optimizer.apply(list(gradients))
        return loss.detach(), z.detach()

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        """An update from one batch; the loss before it."""
        return float(self._step(torch.from_numpy(x), torch.from_numpy(y))[0])

    def fit(self, x: np.ndarray, y: np.ndarray, clock: Clock) -> float:
        """Updates from batches that follow each other; their mean loss."""
        size = self.system.batch
        inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
        total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for begin in range(0, len(x), size):
            part = slice(begin, begin + size)
            loss, z = self._step(inputs[part], targets[part])
            total += loss
            if self.system.accuracy:
                hits += self.hits(z, targets[part])
            clock.step()
        mean = float(total) / (len(x) // size)
        clock.stop()
        return mean
