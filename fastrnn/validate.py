"""The one door: every public call passes its arguments through here, everything below trusts them.

Each function returns a value the kernels can use as it is, or raises one error that names the argument,
the rule and what came. Legend: T steps, B batch rows, I inputs, H hidden units.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastrnn._core.arrays import fits
from fastrnn._core.threads import MOST, default_threads

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def dtype(name: str, value: Any) -> np.dtype[Any]:
    """float32 or float64, or a TypeError naming the argument."""
    try:
        result: np.dtype[Any] = np.dtype(np.void if value is None else value)
    except TypeError:
        result = np.dtype(np.void)
    if result not in FLOATS:
        raise TypeError(f"{name} must be float32 or float64, got {value!r}")
    return result


def compute_dtype(value: Any, dtype: np.dtype[Any]) -> str | None:
    """What the weights of products are kept in: None, the dtype itself, or "bfloat16", for float32 alone."""
    if value is None:
        return None
    result = choice("compute_dtype", value, ("bfloat16",))
    if dtype != np.float32:
        raise ValueError(f"compute_dtype must be None unless the dtype is float32, got {value!r} with {dtype}")
    return result


def count(name: str, value: Any, *, minimum: int = 0) -> int:
    """A whole number of at least `minimum`."""
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if result < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {result}")
    return result


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1)."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not 0.0 <= result < 1.0:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
    return result


def any_dtype(name: str, value: Any) -> np.dtype[Any]:
    """Whatever NumPy knows as a dtype, or a TypeError naming the argument."""
    try:
        result: np.dtype[Any] = np.dtype(value)
    except TypeError:
        raise TypeError(f"{name} must be a NumPy dtype, got {value!r}") from None
    return result


def path(name: str, value: Any) -> str:
    """A path as text."""
    result = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(result, str):
        raise TypeError(f"{name} must be a path, got {value!r}")
    if not result:
        raise ValueError(f"{name} must be a path, got an empty one")
    return result


def function(name: str, value: Any) -> Any:
    """What can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {value!r}")
    return value


def rows(name: str, value: Any) -> Any:
    """What can be gone through item by item, and is no text."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a list or the like, got {value!r}")
    return value


def config(value: Any, *names: str) -> Mapping[str, Any]:
    """What a `get_config` gave: a mapping that has these names."""
    if not isinstance(value, Mapping):
        raise TypeError(f"config must be a mapping, got {value!r}")
    missing = [name for name in names if name not in value]
    if missing:
        raise ValueError(f"config must have {', '.join(names)}, got none of the name {missing[0]}")
    return value


def generator(name: str, value: Any) -> np.random.Generator:
    """A generator of random numbers: itself, one with this seed, or for None one that the system seeds."""
    if isinstance(value, np.random.Generator):
        return value
    if value is not None:
        try:
            value = count(name, value)
        except TypeError:
            raise TypeError(f"{name} must be a numpy.random.Generator or a seed, got {value!r}") from None
    return np.random.default_rng(value)


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """One of the allowed names; the nearest one is suggested otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    if value in allowed:
        return value
    import difflib

    near = difflib.get_close_matches(value, allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}{hint}")


def _shape_text(shape: Sequence[int | str | None]) -> str:
    return "(" + ", ".join("any" if s is None else str(s) for s in shape) + ("," if len(shape) == 1 else "") + ")"


def _differs(size: int, rule: int | str | None) -> bool:
    return rule.__class__ is int and rule != size


def array(
    name: str,
    value: Any,
    dtype: Any = None,
    shape: tuple[int | str | None, ...] | None = None,
    *,
    unit_stride: bool = True,
) -> np.ndarray:
    """A real array in native byte order; copied only when a kernel could not read it as it is.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : array_like
        float32 and float64 are kept unless `dtype` says otherwise; integers and bools become float32.
    dtype : dtype, optional
        The dtype of the computation; None keeps the value's own.
    shape : tuple, optional
        An int is required exactly; None or a letter (the legend's name of the axis) stands for any size.
    unit_stride : bool
        Copy when the last axis is not contiguous and aligned.

    Raises
    ------
    TypeError
        Masked, complex, object or other dtypes that are not real numbers.
    ValueError
        Wrong number of axes or wrong size.
    """
    if shape is not None and fits(value, dtype, shape):  # 0.1 us; what follows, of no use then, takes 0.6
        fitting: np.ndarray = value
        return fitting
    if type(value) is np.ndarray:
        result = value
    elif isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked array; pass lengths= for padding")
    else:
        try:
            result = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{name} must be an array: {error}") from None
    if dtype is None:
        dtype = result.dtype if result.dtype in FLOATS else None
    if dtype is None or result.dtype != dtype:
        if result.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, got dtype {result.dtype}")
        if dtype is None:
            wide = result.dtype.kind == "f" and result.dtype.itemsize >= 8
            dtype = np.float64 if wide else np.float32
        result = result.astype(dtype)
    if shape is not None:
        came = result.shape
        if len(came) != len(shape) or any(map(_differs, came, shape)):
            raise ValueError(f"{name} must have shape {_shape_text(shape)}, got {_shape_text(result.shape)}")
    if unit_stride and result.size and not result.flags.carray:
        if not result.flags.aligned or (result.shape[-1:] > (1,) and result.strides[-1] != result.itemsize):
            result = np.ascontiguousarray(result) if result.flags.aligned else result.copy()
    return result


def output(name: str, value: Any, dtype: Any, shape: Sequence[int]) -> np.ndarray:
    """A caller's `out` array: exact dtype and shape, writeable, aligned, last axis contiguous."""
    if type(value) is not np.ndarray:
        raise TypeError(f"{name} must be a numpy array, got {type(value).__name__}")
    if value.dtype != dtype:
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, got {value.dtype}")
    if value.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {_shape_text(shape)}, got {_shape_text(value.shape)}")
    if not value.flags.writeable:
        raise ValueError(f"{name} must be writeable, got a read-only array")
    if value.size and not (value.flags.aligned and (value.shape[-1] == 1 or value.strides[-1] == value.itemsize)):
        raise ValueError(f"{name} must be aligned and contiguous along its last axis, got strides {value.strides}")
    return value


def lengths(value: Any, batch: int, steps: int) -> np.ndarray | None:
    """Valid steps of each row as int64 of shape (B,), each in [0, T]; None stays None."""
    if value is None:
        return None
    result = np.asarray(value)
    if result.dtype.kind not in "iu":
        if result.size or result.dtype.kind != "f":
            raise TypeError(f"lengths must be whole numbers, got dtype {result.dtype}")
    if result.shape != (batch,):
        raise ValueError(f"lengths must have shape ({batch},), got {_shape_text(result.shape)}")
    if batch and (int(result.min()) < 0 or int(result.max()) > steps):
        bad = int(result.min()) if int(result.min()) < 0 else int(result.max())
        raise ValueError(f"lengths must be between 0 and the {steps} steps of x, got {bad}")
    return np.ascontiguousarray(result, dtype=np.int64)


def integers(name: str, value: Any, low: int, high: int) -> np.ndarray:
    """Whole numbers in [low, high) as int64, any shape."""
    result = np.asarray(value)
    if result.dtype.kind not in "iu" and result.size:
        if not (result.dtype.kind == "f" and np.all(np.isfinite(result) & (result == np.floor(result)))):
            raise TypeError(f"{name} must be whole numbers, got dtype {result.dtype}")
    if result.size:
        least, most = int(result.min()), int(result.max())  # before a cast that might wrap
        if least < low or most >= high:
            raise ValueError(f"{name} must be in [{low}, {high}), got {least if least < low else most}")
    return np.ascontiguousarray(result, dtype=np.int64)


def step(x: Any, out: Any, streams: int, inputs: int, units: int, dtype: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """One step's input (S, I), or (I,) when there is one stream, and its optional output, which has the same axes."""
    single = streams == 1 and np.ndim(x) == 1
    x = np.ascontiguousarray(array("x", x, dtype, (inputs,) if single else (streams, inputs)))
    if out is not None:
        out = output("out", out, dtype, (units,) if single else (streams, units))
        if np.may_share_memory(x, out):
            x = x.copy()
    return x, out


def threads(value: Any) -> int:
    """The team's size: the argument, or the process's default."""
    if value is None:
        return default_threads()
    result = count("num_threads", value, minimum=1)
    if result > MOST:
        raise ValueError(f"num_threads must be at most {MOST}, got {result}")
    return result


def states(name: str, value: Any, parts: int, batch: int, units: int, dtype: Any) -> tuple[np.ndarray | None, ...]:
    """Hidden and cell states, flat, as C-contiguous (B, H) arrays, never broadcast; None, whole or in part, stays None.

    An array alone stands for a state of one part; an LSTM's has two, h and c; a stack's has those of every level.
    """
    if value is None:
        return (None,) * parts
    if parts == 1 and not isinstance(value, (tuple, list)):
        value = (value,)
    if not isinstance(value, (tuple, list)) or len(value) != parts:
        came = f"{len(value)} of them" if isinstance(value, (tuple, list)) else type(value).__name__
        raise ValueError(f"{name} must be {parts} array{'s' * (parts > 1)} of shape ({batch}, {units}), got {came}")
    return tuple(
        None if part is None else np.ascontiguousarray(array(f"{name}[{number}]", part, dtype, (batch, units)))
        for number, part in enumerate(value)
    )


def per_position(name: str, value: Any, dtype: Any, axes: tuple[int, ...]) -> np.ndarray:
    """A number, or a bool if that is the dtype, for each of the positions; one for each of their leading axes will do.

    Positions are the axes of a prediction but the last: (B,) stands for (B, T), the same at every step.
    """
    if dtype == np.bool_:
        result = np.asarray(value)
        if result.dtype != np.bool_:
            raise TypeError(f"{name} must hold bools, got dtype {result.dtype}")
    else:
        result = array(name, value, dtype, unit_stride=False)
    if result.ndim == 0 or result.shape != axes[: result.ndim]:
        raise ValueError(f"{name} must have shape {_shape_text(axes)}, got {_shape_text(result.shape)}")
    return np.broadcast_to(result.reshape(result.shape + (1,) * (len(axes) - result.ndim)), axes)


def number(name: str, value: Any, *, minimum: float = -math.inf) -> float:
    """A finite number of at least `minimum`."""
    if isinstance(value, (str, bytes, bool, np.bool_)) or np.ndim(value):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not (math.isfinite(result) and result >= minimum):
        rule = "" if minimum == -math.inf else f" of at least {minimum:g}"
        raise ValueError(f"{name} must be a finite number{rule}, got {value!r}")
    return result


def positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    result = number(name, value)
    if result <= 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    return result


def layer_name(name: str, value: Any) -> str:
    """Letters, digits, "_", "-" and ".", so that it can stand in files and tables."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")
    if not value or not value.isascii() or not all(letter.isalnum() or letter in "_-." for letter in value):
        raise ValueError(f"{name} must be letters, digits, '_', '-' and '.', got {value!r}")
    return value


def input_shape(value: Any) -> tuple[int | None, ...]:
    """A tuple of sizes, None where one is known only when data come."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"input_shape must be a tuple, got {value!r}")
    return tuple(None if size is None else count("input_shape", size) for size in value)


def features(value: Any) -> int:
    """The last axis of an input shape (B, ..., I), which a layer with a kernel must know."""
    shape = input_shape(value)
    size = shape[-1] if len(shape) > 1 else None
    if size is None:
        raise ValueError(f"input_shape must be (B, ..., I) with I known, got {_shape_text(shape)}")
    return size


def registered(name: str, value: Any, registry: Mapping[str, type[Any]]) -> type[Any]:
    """The class of this name in a registry, in any case ("MSE"); its own name ("MeanSquaredError") will do as well."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(registry)}, or an object of such a class, got {value!r}")
    if value.lower() in registry:
        return registry[value.lower()]
    for entry in registry.values():
        if entry.__name__ == value:
            return entry
    return registry[choice(name, value, list(registry))]


def description(name: str, value: Any, registry: Mapping[str, type[Any]], base: type[Any]) -> Any:
    """What a configuration says of a thing that has one of its own: its name, or {"class": name, "config": {...}}.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    value : str, mapping or `base`
        A name in the registry, the thing itself, or what this function returned before.
    registry : mapping of str to class
    base : class
        Of all the classes there.

    Raises
    ------
    TypeError, ValueError
        Something else, or an unknown name; the message suggests the nearest one.
    """
    if isinstance(value, str):
        return value if value in registry else registered(name, value, registry).name
    if isinstance(value, Mapping) and set(value) == {"class", "config"}:
        value = registered(name, value["class"], registry)(**value["config"])
    if not isinstance(value, base):
        raise TypeError(f"{name} must be a name or of class {base.__name__}, got {value!r}")
    if registry.get(value.name) is not type(value):
        raise ValueError(f"{name} must be of a registered class, got {value!r}")
    return {"class": value.name, "config": value.get_config()}
