"""Penalties on weights: values, gradients, names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastrnn import regularizers
from fastrnn.gradients import RowGradient
from fastrnn.regularizers import L1, L1L2, L2, REGULARIZERS, Regularizer

each_regularizer = pytest.mark.parametrize("regularizer", [L1(0.3), L2(0.2), L1L2(0.1, 0.4), L1L2()], ids=repr)


@each_regularizer
def test_value_and_gradient(regularizer: L1L2) -> None:
    rng = np.random.default_rng(0)
    w, g = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    wanted = regularizer.l1 * np.abs(w).sum() + regularizer.l2 * (w * w).sum()
    assert regularizer.value(w) == pytest.approx(wanted, rel=1e-13)
    before = g.copy()
    summed = regularizer.add_gradient(w, g)
    assert summed is g
    for place in np.ndindex(w.shape):
        above, below = w.copy(), w.copy()
        above[place] += 1e-6
        below[place] -= 1e-6
        numerical = (regularizer.value(above) - regularizer.value(below)) / 2e-6
        assert (g - before)[place] == pytest.approx(numerical, rel=1e-6, abs=1e-8)


def test_against_torch() -> None:
    torch = pytest.importorskip("torch")
    w = np.random.default_rng(1).standard_normal((4, 3))
    t = torch.tensor(w, requires_grad=True)
    value = 0.1 * t.abs().sum() + 0.4 * t.square().sum()
    value.backward()
    assert L1L2(0.1, 0.4).value(w) == pytest.approx(value.item(), rel=1e-13)
    np.testing.assert_allclose(L1L2(0.1, 0.4).add_gradient(w, np.zeros((4, 3))), t.grad, rtol=1e-13)


@each_regularizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_rows_and_of_read_only_arrays(regularizer: Regularizer, dtype: str) -> None:
    rng = np.random.default_rng(2)
    w = rng.standard_normal((5, 3)).astype(dtype)
    rows = RowGradient([0, 3], rng.standard_normal((2, 3)).astype(dtype), (5, 3))
    wanted = regularizer.add_gradient(w, rows.dense())
    assert wanted.dtype == dtype
    np.testing.assert_array_equal(regularizer.add_gradient(w, rows), wanted)
    fixed = rows.dense()
    fixed.flags.writeable = False
    np.testing.assert_array_equal(regularizer.add_gradient(w, fixed), wanted)
    np.testing.assert_array_equal(fixed, rows.dense())


def test_the_sum_is_in_float64() -> None:
    w = np.full(1 << 17, 0.1, np.float32)
    assert L1(1.0).value(w) == pytest.approx((1 << 17) * float(np.float32(0.1)), rel=1e-14)


@pytest.mark.parametrize(
    ("value", "cls", "config"),
    [
        ("l1", L1, {"l1": 0.01}),
        ("L2", L2, {"l2": 0.01}),
        ("l2", L2, {"l2": 0.01}),
        ("l1_l2", L1L2, {"l1": 0.01, "l2": 0.01}),
        ("L1L2", L1L2, {"l1": 0.01, "l2": 0.01}),
        (regularizers.l2(0.5), L2, {"l2": 0.5}),
        (regularizers.l1_l2(l2=0.5), L1L2, {"l1": 0.0, "l2": 0.5}),
        ({"class": "l1", "config": {"l1": 0.25}}, L1, {"l1": 0.25}),
    ],
)
def test_names_and_descriptions(value: Any, cls: type[Regularizer], config: dict[str, float]) -> None:
    description = json.loads(json.dumps(regularizers.check("kernel_regularizer", value)))
    for each in (value, description):
        made = regularizers.get(each)
        assert type(made) is cls and made.get_config() == config
    assert regularizers.check("kernel_regularizer", description) == description


def test_none_is_none() -> None:
    assert regularizers.get(None) is None and regularizers.check("kernel_regularizer", None) is None
    regularizer = L1()
    assert regularizers.get(regularizer) is regularizer
    assert repr(regularizer) == "L1(l1=0.01)"
    assert all(REGULARIZERS[cls.name] is cls for cls in REGULARIZERS.values())


class Unknown(L1):
    name = "unknown"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: L1(-0.1), ValueError, "l1 must be a finite number of at least 0"),
        (lambda: L2("much"), TypeError, "l2 must be a number"),
        (lambda: regularizers.get("l3"), ValueError, "regularizer must be one of l1, l2, l1_l2, got 'l3'"),
        (
            lambda: regularizers.check("bias_regularizer", 0.1),
            TypeError,
            "bias_regularizer must be a name or of class R",
        ),
        (
            lambda: regularizers.check("bias_regularizer", {"class": "l3", "config": {}}),
            ValueError,
            "bias_regularizer mu",
        ),
        (
            lambda: regularizers.check("bias_regularizer", Unknown()),
            ValueError,
            "must be of a registered class, got Unk",
        ),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
