"""How weights begin: laws with Keras's names and parameters, looked up by name.

    get("glorot_uniform")((64, 256), "float32", rng)

A layer's argument is a name, or an initializer with parameters of its own: `RandomNormal(stddev=0.01)`. A new one is a
subclass here and an entry in `INITIALIZERS`. All draw in float64 and round once, so that a float32 and a float64 layer
with the same seed begin with the same weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastrnn import validate

# standard deviation of a standard normal variable that is kept between -2 and 2
TRUNCATED_DEVIATION = 0.87962566103423978


class Initializer:
    """Base of all initializers.

    Attributes
    ----------
    name : str
        Key in `INITIALIZERS`.
    """

    name = "initializer"

    def __call__(self, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
        """A new array.

        Parameters
        ----------
        shape : tuple of int
        dtype : dtype
        rng : numpy.random.Generator
            Where random numbers come from.
        """
        raise NotImplementedError(f"{type(self).__name__} has no law")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.get_config().items())})"


class Constant(Initializer):
    """The same value everywhere.

    Parameters
    ----------
    value : float
    """

    name = "constant"

    def __init__(self, value: float = 0.0) -> None:
        self.value = validate.number("value", value)

    def __call__(self, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
        """All `value`."""
        return np.full(shape, self.value, dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"value": self.value}


class Zeros(Initializer):
    """0 everywhere."""

    name = "zeros"

    def __call__(self, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
        """All 0."""
        return np.zeros(shape, dtype)


class Ones(Initializer):
    """1 everywhere."""

    name = "ones"

    def __call__(self, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
        """All 1."""
        return np.ones(shape, dtype)


class Identity(Initializer):
    """`gain` on the diagonal of a matrix, 0 elsewhere.

    Parameters
    ----------
    gain : float
    """

    name = "identity"

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = validate.number("gain", gain)

    def __call__(self, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
        """The matrix; ValueError if the shape has not two axes."""
        if len(shape) != 2:
            raise ValueError(f"identity needs a shape of two axes, got {shape}")
        return (self.gain * np.eye(*shape)).astype(dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"gain": self.gain}


class RandomInitializer(Initializer):
    """Base of those that draw.

    Parameters
    ----------
    seed : int, optional
        Draw from a generator of one's own, so that every call gives the same numbers. None: from the layer's.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else validate.count("seed", seed)

    def __call__(self, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> np.ndarray:
        """Random numbers of the class's law."""
        drawn = self.draw(tuple(shape), rng if self.seed is None else np.random.default_rng(self.seed))
        return np.asarray(drawn, dtype, order="C")

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The law, in float64."""
        raise NotImplementedError(f"{type(self).__name__} has no law")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"seed": self.seed}


class RandomUniform(RandomInitializer):
    """Uniform in [minval, maxval).

    Parameters
    ----------
    minval, maxval : float
    seed : int, optional
        As in `RandomInitializer`.
    """

    name = "random_uniform"

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval = validate.number("minval", minval)
        self.maxval = validate.number("maxval", maxval, minimum=self.minval)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The law of the class."""
        return rng.uniform(self.minval, self.maxval, shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"minval": self.minval, "maxval": self.maxval, **super().get_config()}


class RandomNormal(RandomInitializer):
    """Normal.

    Parameters
    ----------
    mean, stddev : float
    seed : int, optional
        As in `RandomInitializer`.
    """

    name = "random_normal"

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = validate.number("mean", mean)
        self.stddev = validate.number("stddev", stddev, minimum=0.0)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The law of the class."""
        return self.mean + self.stddev * rng.standard_normal(shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"mean": self.mean, "stddev": self.stddev, **super().get_config()}


class TruncatedNormal(RandomNormal):
    """Normal, but what lies more than two standard deviations from the mean is drawn again.

    Parameters
    ----------
    mean, stddev : float
        Before the truncation.
    seed : int, optional
        As in `RandomInitializer`.
    """

    name = "truncated_normal"

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The law of the class."""
        return self.mean + self.stddev * _truncated(shape, rng)


class VarianceScaling(RandomInitializer):
    """A variance of scale / n, n being the inputs or outputs of a unit, so that signals keep their size.

    Parameters
    ----------
    scale : float
        Above 0.
    mode : {"fan_in", "fan_out", "fan_avg"}
        n: rows, columns, or their mean. Axes before the last two are a factor of both.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        The truncated law has the variance after its truncation.
    seed : int, optional
        As in `RandomInitializer`.
    """

    name = "variance_scaling"

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.scale = validate.positive("scale", scale)
        self.mode = validate.choice("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        laws = ("truncated_normal", "untruncated_normal", "uniform")
        self.distribution = validate.choice("distribution", distribution, laws)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The law of the class."""
        rows, columns = _fans(shape)
        n = {"fan_in": rows, "fan_out": columns, "fan_avg": (rows + columns) / 2}[self.mode]
        variance = self.scale / max(n, 1)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return math.sqrt(variance) * rng.standard_normal(shape)
        return math.sqrt(variance) / TRUNCATED_DEVIATION * _truncated(shape, rng)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"scale": self.scale, "mode": self.mode, "distribution": self.distribution, **super().get_config()}


class _Scaled(VarianceScaling):
    """A law of `VarianceScaling` with a name of its own."""

    scale: float
    mode: str
    distribution: str

    def __init__(self, seed: int | None = None) -> None:
        RandomInitializer.__init__(self, seed)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"seed": self.seed}


class GlorotUniform(_Scaled):
    """Uniform of variance 2 / (rows + columns).

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
    """

    name, scale, mode, distribution = "glorot_uniform", 1.0, "fan_avg", "uniform"


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (rows + columns); see `GlorotUniform`."""

    name, scale, mode, distribution = "glorot_normal", 1.0, "fan_avg", "truncated_normal"


class HeUniform(_Scaled):
    """Uniform of variance 2 / rows. He, Zhang, Ren & Sun, "Delving deep into rectifiers", ICCV 2015."""

    name, scale, mode, distribution = "he_uniform", 2.0, "fan_in", "uniform"


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / rows; see `HeUniform`."""

    name, scale, mode, distribution = "he_normal", 2.0, "fan_in", "truncated_normal"


class LecunUniform(_Scaled):
    """Uniform of variance 1 / rows. LeCun, Bottou, Orr & Müller, "Efficient BackProp", 1998."""

    name, scale, mode, distribution = "lecun_uniform", 1.0, "fan_in", "uniform"


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / rows; see `LecunUniform`."""

    name, scale, mode, distribution = "lecun_normal", 1.0, "fan_in", "truncated_normal"


class Orthogonal(RandomInitializer):
    """A random matrix with orthonormal rows or columns, whichever are fewer; earlier axes count as rows.

    The Q of a normal matrix's QR decomposition, its signs such that R's diagonal is positive, which makes it
    uniform over the orthogonal matrices. Saxe, McClelland & Ganguli, arXiv:1312.6120.

    Parameters
    ----------
    gain : float
        A factor of the whole.
    seed : int, optional
        As in `RandomInitializer`.
    """

    name = "orthogonal"

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = validate.number("gain", gain)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The matrix; ValueError if the shape has fewer than two axes."""
        if len(shape) < 2:
            raise ValueError(f"orthogonal needs a shape of at least two axes, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diagonal(r) < 0, -self.gain, self.gain)
        return (q if rows >= columns else q.T).reshape(shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"gain": self.gain, **super().get_config()}


def _truncated(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers, those outside of [-2, 2] drawn again until there are none."""
    drawn = np.asarray(rng.standard_normal(shape))
    while (outside := np.abs(drawn) > 2).any():
        drawn[outside] = rng.standard_normal(int(outside.sum()))
    return drawn


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of a unit: rows and columns; earlier axes are a receptive field, as a convolution's."""
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


INITIALIZERS: dict[str, type[Initializer]] = {
    cls.name: cls
    for cls in (
        Zeros,
        Ones,
        Constant,
        RandomUniform,
        RandomNormal,
        TruncatedNormal,
        VarianceScaling,
        GlorotUniform,
        GlorotNormal,
        HeUniform,
        HeNormal,
        LecunUniform,
        LecunNormal,
        Orthogonal,
        Identity,
    )
}
INITIALIZERS |= {"zero": Zeros, "one": Ones, "uniform": RandomUniform, "normal": RandomNormal}


def check(argument: str, value: Any) -> Any:
    """What a layer keeps of its argument and writes into its configuration: a name or a description.

    Parameters
    ----------
    argument : str
        Its name, for the message.
    value : str, Initializer or mapping
        A name, an initializer, or what this function returned before.

    Raises
    ------
    TypeError, ValueError
        Something else, or an unknown name; the message suggests the nearest one.
    """
    return validate.description(argument, value, INITIALIZERS, Initializer)


def get(value: Any) -> Initializer:
    """The initializer of this name or description; an Initializer is itself.

    Raises
    ------
    TypeError, ValueError
        As in `check`.
    """
    if isinstance(value, Initializer):
        return value
    value = check("initializer", value)
    if isinstance(value, str):
        return INITIALIZERS[value]()
    made: Initializer = INITIALIZERS[value["class"]](**value["config"])
    return made
