"""The fully connected layer."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from fastrnn import activations, initializers, regularizers, validate
from fastrnn._core import elementwise
from fastrnn._core.matmul import matmul
from fastrnn._core.memory import empty_sequence
from fastrnn.layers.base import Fixed, Layer, Shape, Variable, no_constraint


class Dense(Layer):
    """y = f(x W + b), on the last axis of x.

    Parameters
    ----------
    units : int
        Size of the output's last axis.
    activation : str, Activation or None
        f: one of `fastrnn.activations.ACTIVATIONS`; None is linear.
    use_bias : bool
        False leaves out b.
    kernel_initializer, bias_initializer : str or Initializer
        Of `fastrnn.initializers`.
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        What training adds to the loss for W and b; of `fastrnn.regularizers`.
    **common
        dtype, seed, name, input_shape and the other arguments of `Layer`.

    Notes
    -----
    Weights, in Keras's order: kernel W (I, units), bias b (units,).

    Examples
    --------
    >>> layer = Dense(10, activation="softmax")
    >>> layer(np.zeros((32, 64), np.float32)).shape
    (32, 10)
    """

    fixed: ClassVar[Fixed] = {**Layer.fixed, **no_constraint("kernel", "bias"), "lora_rank": (None,)}

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.units = validate.count("units", units, minimum=1)
        self.activation = activations.get(activation)
        # its name, if the kernels have it
        own = activations.ACTIVATIONS.get(self.activation.name) is self.activation
        self._kernel = self.activation.name if own and self.activation.name in elementwise.KINDS else None
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.check("kernel_initializer", kernel_initializer)
        self.bias_initializer = initializers.check("bias_initializer", bias_initializer)
        self.kernel_regularizer = regularizers.check("kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = regularizers.check("bias_regularizer", bias_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Create W (I, units) and b (units,); only the last axis of the input shape matters."""
        inputs = validate.features(input_shape)
        shape = (inputs, self.units)
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer, self.kernel_regularizer)
        self.bias: Variable | None = None
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.units,), self.bias_initializer, self.bias_regularizer)
        self.built = True

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """The output of one call.

        Parameters
        ----------
        x : array_like, (..., I)
        training : bool
            Keep what backward needs. The output is then read-only if backward reads it again.

        Returns
        -------
        y : ndarray, (..., units)

        Raises
        ------
        TypeError, ValueError
            x is not an array of real numbers, or its last axis is not I.
        """
        x = validate.array("x", x, self.dtype)
        inputs = self.kernel.shape[0]
        if x.ndim < 2 or x.shape[-1] != inputs:
            raise ValueError(f"x must have shape (..., {inputs}), got {x.shape}")
        y = empty_sequence((*x.shape[:-1], self.units), self.dtype)
        bias, threads = None if self.bias is None else self.bias.value, validate.threads(None)
        matmul(self._rows(x), self.kernel.value, False, False, self._rows(y), threads, bias)
        if training and self.activation.of_input:
            self.remember(x, y)
            return self.activation.forward(y)
        y = elementwise.activate(self._kernel, y, threads) if self._kernel else self.activation.forward(y, out=y)
        if training and self.activation.name == "linear":
            self.remember(x, None)
        elif training:
            self.remember(x, y)
            y.flags.writeable = False
        return y

    def backward(self, dy: Any, *, need_dx: bool = True) -> np.ndarray | None:
        """Gradients of kernel and bias, and that of x.

        Parameters
        ----------
        dy : array_like, (..., units)
            Gradient with respect to the output.
        need_dx : bool
            False leaves out dx, which saves a product.

        Returns
        -------
        dx : ndarray, (..., I), or None
        """
        x, kept = self.recall()
        dy = validate.array("dy", dy, self.dtype, (*x.shape[:-1], self.units))
        # da: the gradient before the activation
        threads = validate.threads(None)
        sums: np.ndarray | None = None
        if kept is not None and self._kernel is not None:
            da, sums = elementwise.slope(self._kernel, self._rows(dy), self._rows(kept), threads)
        else:
            da = self._rows(dy if kept is None else self.activation.backward(dy, kept))
            if self.bias is not None:
                sums = elementwise.slope("linear", da, None, threads)[1]
        dkernel = np.empty(self.kernel.shape, self.dtype)
        self.kernel.grad = matmul(self._rows(x), da, True, False, dkernel, threads)
        if self.bias is not None:
            self.bias.grad = sums
        if not need_dx:
            return None
        dx = empty_sequence(x.shape, self.dtype)
        matmul(da, self.kernel.value, False, True, self._rows(dx), threads)
        return dx

    @staticmethod
    def _rows(x: np.ndarray) -> np.ndarray:
        """All but the last axis as one; a view unless the strides forbid."""
        return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(..., I) -> (..., units)."""
        return (*validate.input_shape(input_shape)[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "units": self.units,
            "activation": self.activation.name,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
            **super().get_config(),
        }
