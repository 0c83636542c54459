"""What initial weights are distributed like."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastrnn import initializers
from fastrnn.initializers import (
    INITIALIZERS,
    Constant,
    GlorotUniform,
    Identity,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)


def draw(name: str | Initializer, shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return initializers.get(name)(shape, np.dtype(dtype), np.random.default_rng(seed))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_shape_dtype_and_seed(name: str) -> None:
    for dtype in ("float32", "float64"):
        value = draw(name, (4, 6), dtype, seed=1)
        assert value.shape == (4, 6) and value.dtype == dtype and value.flags.c_contiguous
        assert value.tobytes() == draw(name, (4, 6), dtype, seed=1).tobytes()
        np.testing.assert_array_equal(draw(name, (4, 6), seed=1).astype(dtype), value)  # rounded once
    if name not in ("zeros", "zero", "ones", "one", "constant", "identity"):
        assert (draw(name, (4, 6), seed=1) != draw(name, (4, 6), seed=2)).any()


def test_constants() -> None:
    assert not draw("zeros", (3,)).any() and (draw("ones", (3,)) == 1).all()
    assert not draw("constant", (3,)).any() and (draw(Constant(0.3), (2, 3)) == 0.3).all()
    np.testing.assert_array_equal(draw("identity", (2, 3)), [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(draw(Identity(0.5), (2, 2)), [[0.5, 0], [0, 0.5]])


@pytest.mark.parametrize(
    ("name", "shape", "limit"),
    [
        ("uniform", (300, 300), 0.05),
        ("random_uniform", (300, 300), 0.05),
        (RandomUniform(-2, 2), (300, 300), 2),
        ("glorot_uniform", (100, 300), math.sqrt(6 / 400)),
        ("glorot_uniform", (2, 100, 300), math.sqrt(6 / 800)),
        ("glorot_uniform", (3000,), math.sqrt(6 / 6000)),
        ("he_uniform", (100, 300), math.sqrt(6 / 100)),
        ("lecun_uniform", (100, 300), math.sqrt(3 / 100)),
        ("lecun_uniform", (2, 100, 300), math.sqrt(3 / 200)),
        (VarianceScaling(0.5, "fan_out", "uniform"), (100, 300), math.sqrt(1.5 / 300)),
    ],
)
def test_uniform_laws(name: str | Initializer, shape: tuple[int, ...], limit: float) -> None:
    value = draw(name, shape)
    assert 0.99 * limit < np.abs(value).max() <= limit
    assert value.std() == pytest.approx(limit / math.sqrt(3), rel=0.03)
    assert abs(value.mean()) < 0.05 * limit


@pytest.mark.parametrize(
    ("name", "deviation", "ends"),
    [
        ("normal", 0.05, None),
        ("random_normal", 0.05, None),
        (RandomNormal(stddev=3), 3, None),
        (VarianceScaling(2.0, "fan_in", "untruncated_normal"), math.sqrt(2 / 200), None),
        ("truncated_normal", 0.05 * initializers.TRUNCATED_DEVIATION, 0.1),
        (TruncatedNormal(stddev=3), 3 * initializers.TRUNCATED_DEVIATION, 6),
        ("glorot_normal", math.sqrt(2 / 600), 2 * math.sqrt(2 / 600) / initializers.TRUNCATED_DEVIATION),
        ("he_normal", math.sqrt(2 / 200), 2 * math.sqrt(2 / 200) / initializers.TRUNCATED_DEVIATION),
        ("lecun_normal", math.sqrt(1 / 200), 2 * math.sqrt(1 / 200) / initializers.TRUNCATED_DEVIATION),
        ("variance_scaling", math.sqrt(1 / 200), 2 * math.sqrt(1 / 200) / initializers.TRUNCATED_DEVIATION),
    ],
)
def test_normal_laws(name: str | Initializer, deviation: float, ends: float | None) -> None:
    value = draw(name, (200, 400))
    assert value.std() == pytest.approx(deviation, rel=0.02) and abs(value.mean()) < 0.02 * deviation
    if ends is None:
        assert np.abs(value).max() > 3.5 * deviation
    else:
        assert 0.99 * ends < np.abs(value).max() <= ends


def test_truncated_normal_is_normal_in_between() -> None:
    """The shares of a few intervals, against those of the normal distribution."""
    value = draw(TruncatedNormal(0.0, 1.0), (400, 500))
    inside = math.erf(2 / math.sqrt(2))
    for end in (0.25, 0.5, 1.0, 1.5):
        assert (np.abs(value) < end).mean() == pytest.approx(math.erf(end / math.sqrt(2)) / inside, abs=0.005)


def test_means() -> None:
    for initializer in (RandomNormal(2.0, 0.1), TruncatedNormal(2.0, 0.1), RandomUniform(1.0, 3.0)):
        assert draw(initializer, (100, 100)).mean() == pytest.approx(2.0, abs=0.03)


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (2, 4, 3), (1, 1)], ids=str)
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    value = draw("orthogonal", shape)
    assert value.shape == shape
    flat = value.reshape(-1, shape[-1])
    product = flat.T @ flat if flat.shape[0] >= flat.shape[1] else flat @ flat.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-14)


def test_orthogonal_is_uniform() -> None:
    """Without the choice of signs the diagonal of Q would be negative on average."""
    diagonals = [np.diagonal(draw("orthogonal", (3, 3), seed=seed)) for seed in range(400)]
    assert np.abs(np.mean(diagonals, axis=0)).max() < 0.12


def test_orthogonal_needs_a_matrix() -> None:
    with pytest.raises(ValueError, match="at least two axes"):
        draw("orthogonal", (3,))
    with pytest.raises(ValueError, match=r"identity needs a shape of two axes, got \(3,\)"):
        draw("identity", (3,))


def test_orthogonal_with_a_gain() -> None:
    np.testing.assert_allclose(draw(Orthogonal(1.5), (6, 4)), 1.5 * draw("orthogonal", (6, 4)), rtol=1e-14)


def test_a_seed_of_its_own() -> None:
    """The same numbers at every call, whatever the layer's generator."""
    initializer = GlorotUniform(seed=3)
    assert draw(initializer, (4, 5), seed=1).tobytes() == draw(initializer, (4, 5), seed=2).tobytes()
    rng = np.random.default_rng(1)
    initializer((4, 5), "float32", rng)
    assert rng.random() == np.random.default_rng(1).random()


def test_scalars() -> None:
    for name in set(INITIALIZERS) - {"orthogonal", "identity"}:
        assert draw(name, ()).shape == ()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_empty_shapes(name: str) -> None:
    assert draw(name, (0, 3)).shape == (0, 3)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"initializer must be one of .*did you mean 'glorot_uniform'"):
        initializers.get("glorot_unifrm")


@pytest.mark.parametrize(
    ("value", "cls"),
    [
        ("he_normal", "HeNormal"),
        ("HeNormal", "HeNormal"),
        ("uniform", "RandomUniform"),
        ("RandomNormal", "RandomNormal"),
        (RandomNormal(0.1, 0.2, seed=4), "RandomNormal"),
        (VarianceScaling(0.5, "fan_avg", "untruncated_normal"), "VarianceScaling"),
        (Constant(0.25), "Constant"),
        (Identity(2.0), "Identity"),
        (Orthogonal(2.0, 5), "Orthogonal"),
        (GlorotUniform(5), "GlorotUniform"),
        ({"class": "random_uniform", "config": {"minval": -1, "maxval": 1}}, "RandomUniform"),
    ],
    ids=str,
)
def test_names_and_descriptions(value: Any, cls: str) -> None:
    description = json.loads(json.dumps(initializers.check("kernel_initializer", value)))
    assert initializers.check("kernel_initializer", description) == description
    for each in (value, description):
        made = initializers.get(each)
        assert type(made).__name__ == cls
        if isinstance(value, Initializer):
            assert made.get_config() == value.get_config()
    if isinstance(value, str) and value.islower():
        assert description == value


def test_every_initializer_is_known_by_its_name() -> None:
    assert all(INITIALIZERS[cls.name] is cls for cls in INITIALIZERS.values())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandomNormal(stddev=-1), ValueError, "stddev must be a finite number of at least 0"),
        (lambda: RandomUniform(1, 0), ValueError, "maxval must be a finite number of at least 1"),
        (lambda: VarianceScaling(0), ValueError, "scale must be above 0"),
        (lambda: VarianceScaling(mode="fan"), ValueError, "mode must be one of .*did you mean 'fan_"),
        (lambda: VarianceScaling(distribution="normal"), ValueError, "distribution must be one of"),
        (lambda: Constant("one"), TypeError, "value must be a number"),
        (lambda: GlorotUniform(seed=-1), ValueError, "seed must be at least 0"),
        (lambda: initializers.check("bias_initializer", 3), TypeError, "bias_initializer must be a name or of class I"),
        (
            lambda: initializers.check("bias_initializer", None),
            TypeError,
            "bias_initializer must be a name or of class",
        ),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
