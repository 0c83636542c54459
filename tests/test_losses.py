"""Losses against PyTorch, against figures from Keras, and their gradients by central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastrnn import losses
from fastrnn._core.crossentropy import crossentropy, softmax
from fastrnn.losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    SparseCategoricalCrossentropy,
)

CASES = [
    MeanSquaredError(),
    MeanAbsoluteError(),
    MeanAbsolutePercentageError(),
    MeanSquaredLogarithmicError(),
    Hinge(),
    Huber(),
    Huber(0.3),
    BinaryCrossentropy(from_logits=True),
    BinaryCrossentropy(),
    BinaryCrossentropy(from_logits=True, label_smoothing=0.2),
    BinaryCrossentropy(label_smoothing=0.2),
    CategoricalCrossentropy(from_logits=True),
    CategoricalCrossentropy(),
    CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
    CategoricalCrossentropy(label_smoothing=0.2),
    SparseCategoricalCrossentropy(from_logits=True),
    SparseCategoricalCrossentropy(),
]
each_loss = pytest.mark.parametrize("loss", CASES, ids=repr)


def problem(loss: Loss, axes: tuple[int, ...] = (3, 4), classes: int = 5, seed: int = 0) -> tuple[Any, np.ndarray]:
    """Random y_true and y_pred of the kind that the loss takes."""
    rng = np.random.default_rng(seed)
    y_pred = rng.standard_normal((*axes, classes))
    if getattr(loss, "from_logits", None) is False:
        y_pred = rng.uniform(0.05, 0.95, y_pred.shape)
    if isinstance(loss, SparseCategoricalCrossentropy):
        return rng.integers(0, classes, axes), y_pred
    if isinstance(loss, Hinge):
        return rng.choice([-1.0, 1.0], y_pred.shape), y_pred
    y_true = rng.uniform(0, 1, y_pred.shape)
    if isinstance(loss, CategoricalCrossentropy):
        y_true /= y_true.sum(axis=-1, keepdims=True)
    return y_true, y_pred


def by_torch(loss: Loss, y_true: Any, y_pred: np.ndarray) -> tuple[Any, Callable[[Any], np.ndarray]]:
    """The loss of every position, and the gradient of any combination of them."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    t, p = torch.tensor(y_true), torch.tensor(y_pred, requires_grad=True)
    smoothing = getattr(loss, "label_smoothing", 0.0)
    if isinstance(loss, MeanSquaredError):
        values = functional.mse_loss(p, t, reduction="none").mean(-1)
    elif isinstance(loss, MeanAbsoluteError):
        values = functional.l1_loss(p, t, reduction="none").mean(-1)
    elif isinstance(loss, MeanAbsolutePercentageError):
        values = 100 * ((p - t).abs() / t.abs().clamp(min=1e-7)).mean(-1)
    elif isinstance(loss, MeanSquaredLogarithmicError):
        values = (torch.log1p(p.clamp(min=1e-7)) - torch.log1p(t.clamp(min=1e-7))).square().mean(-1)
    elif isinstance(loss, Hinge):
        values = (1 - t * p).clamp(min=0).mean(-1)
    elif isinstance(loss, Huber):
        values = functional.huber_loss(p, t, reduction="none", delta=loss.delta).mean(-1)
    elif isinstance(loss, BinaryCrossentropy):
        name = "binary_cross_entropy_with_logits" if loss.from_logits else "binary_cross_entropy"
        values = getattr(functional, name)(p, t * (1 - smoothing) + smoothing / 2, reduction="none").mean(-1)
    else:
        log_p = torch.log_softmax(p, -1) if loss.from_logits else torch.log(p / p.sum(-1, keepdim=True))  # type: ignore[attr-defined]
        one_hot = functional.one_hot(t, p.shape[-1]) if t.ndim < p.ndim else t
        values = -((one_hot * (1 - smoothing) + smoothing / p.shape[-1]) * log_p).sum(-1)

    def gradient(total: Any) -> np.ndarray:
        (g,) = torch.autograd.grad(total, p)
        return np.asarray(g)

    return values, gradient


P, Z = [[0.2, 0.5, 0.3], [0.7, 0.1, 0.6]], [[1.5, -0.5, 0.25], [-2.0, 3.0, 0.75]]
T, WIDE = [[0.0, 1.0, 0.0], [0.25, 0.5, 0.25]], [[1.5, -2.0, 0.5], [0.7, 3.0, -0.6]]
SIGNS = np.array([[-1.0, 1.0, 1.0], [1.0, -1.0, 1.0]])

# y_true, y_pred; by Keras 3.15 in float64: the value, the value with sample weights 0.5 and 2, the gradient without
KERAS = [
    (MeanSquaredError(), WIDE, P, 2.971666666667, 3.948333333333,
     [-0.4333333333333, 0.8333333333333, -0.06666666666667, 0.0, -0.9666666666667, 0.4]),
    (MeanAbsoluteError(), WIDE, P, 1.35, 1.7,
     [-0.1666666666667, 0.1666666666667, -0.1666666666667, 0.0, -0.1666666666667, 0.1666666666667]),
    (MeanAbsolutePercentageError(), WIDE, P, 91.38888888889, 119.8611111111,
     [-11.11111111111, 8.333333333333, -33.33333333333, 0.0, -5.555555555556, 27.77777777778]),
    (MeanAbsolutePercentageError(), T, P, 83333408.33333, 41666804.16667,
     [166666666.6667, -16.66666666667, 166666666.6667, 66.66666666667, -33.33333333333, 66.66666666667]),
    (MeanSquaredLogarithmicError(), WIDE, Z, 0.1046628504925, 0.201015413467,
     [0.0, 0.0, -0.04861908181172, 0.0, 0.0, 0.1065934643687]),
    (Hinge(), SIGNS, Z, 2.0, 2.8125,
     [0.1666666666667, -0.1666666666667, -0.1666666666667, -0.1666666666667, 0.1666666666667, -0.1666666666667]),
    (Hinge(), (SIGNS + 1) / 2, Z, 2.0, 2.8125,
     [0.1666666666667, -0.1666666666667, -0.1666666666667, -0.1666666666667, 0.1666666666667, -0.1666666666667]),
    (Huber(), WIDE, Z, 0.6802083333333, 1.102604166667,
     [0.0, 0.1666666666667, -0.04166666666667, -0.1666666666667, 0.0, 0.1666666666667]),
    (Huber(0.5), WIDE, Z, 0.4052083333333, 0.6463541666667,
     [0.0, 0.08333333333333, -0.04166666666667, -0.08333333333333, 0.0, 0.08333333333333]),
    (BinaryCrossentropy(), T, P, 0.7140018790358, 1.109762339118,
     [0.2083333333333, -0.3333333333333, 0.2380952380952, 0.3571428571429, -0.7407407407407, 0.2430555555556]),
    (BinaryCrossentropy(True), T, Z, 1.104386008462, 1.333414596414,
     [0.1362624126989, -0.103743221867, 0.09369608348097, -0.02179951299631, 0.07542902113707, 0.0715297831959]),
    (BinaryCrossentropy(label_smoothing=0.25), T, P, 0.7474854360621, 1.106929696249,
     [0.078125, -0.25, 0.1388888888889, 0.3075396825397, -0.7407407407407, 0.1996527777778]),
    (BinaryCrossentropy(True, 0.25), T, Z, 1.070531841796, 1.336018763081,
     [0.1154290793656, -0.08290988853364, 0.07286275014763, -0.03221617966298, 0.07542902113707, 0.06111311652923]),
    (CategoricalCrossentropy(), T, P, 1.198893552802, 1.877926720184,
     [0.5, -0.5, 0.5, 0.1785714285714, -2.142857142857, 0.1488095238095]),
    (CategoricalCrossentropy(True), T, Z, 2.135367703872, 2.506771509892,
     [0.3516569880109, -0.4524084019254, 0.1007514139145, -0.1219707212512, 0.1995848289094, -0.07761410765817]),
    (CategoricalCrossentropy(label_smoothing=0.25), T, P, 1.219422675763, 1.829790193879,
     [0.2916666666667, -0.3333333333333, 0.3611111111111, 0.1636904761905, -1.934523809524, 0.1314484126984]),
    (CategoricalCrossentropy(True, 0.25), T, Z, 2.096305203872, 2.600521509892,
     [0.3099903213442, -0.3690750685921, 0.05908474724786, -0.1323873879179, 0.2204181622427, -0.08803077432484]),
    (SparseCategoricalCrossentropy(), [1, 2], P, 0.7702225204736, 1.020584655527,
     [0.5, -0.5, 0.5, 0.3571428571429, 0.3571428571429, -0.4761904761905]),
    (SparseCategoricalCrossentropy(True), [1, 2], Z, 2.354117703872, 2.944271509892,
     [0.3516569880109, -0.4524084019254, 0.1007514139145, 0.003029278748784, 0.4495848289094, -0.4526141076582]),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "y_true", "y_pred", "value", "weighted", "gradient"), KERAS)
def test_against_keras(
    loss: Loss, y_true: Any, y_pred: Any, value: float, weighted: float, gradient: list[float]
) -> None:
    ours, dy = loss.value_and_grad(y_true, np.array(y_pred))
    assert ours == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(dy.reshape(-1), gradient, rtol=1e-11, atol=1e-15)
    ours, weighted_dy = loss.value_and_grad(y_true, np.array(y_pred), [0.5, 2.0])
    assert ours == pytest.approx(weighted, rel=1e-11)
    np.testing.assert_allclose(weighted_dy, dy * [[0.5], [2.0]], rtol=1e-13, atol=1e-15)


def test_every_loss_is_tested() -> None:
    assert {type(loss) for loss in CASES} == {type(row[0]) for row in KERAS} == set(LOSSES.values())


@each_loss
@pytest.mark.parametrize("axes", [(6,), (3, 4), (2, 3, 2), (1,)], ids=str)
def test_against_torch(loss: Loss, axes: tuple[int, ...]) -> None:
    y_true, y_pred = problem(loss, axes)
    values, gradient = by_torch(loss, y_true, y_pred)
    value, dy = loss.value_and_grad(y_true, y_pred)
    assert isinstance(value, float)
    assert value == pytest.approx(values.mean().item(), rel=1e-12)
    # relative to the largest, for a logit's gradient is the difference of a share and a target
    np.testing.assert_allclose(dy, gradient(values.mean()), rtol=1e-10, atol=1e-15 * max(1, np.abs(dy).max()))
    assert loss(y_true, y_pred) == value


@each_loss
def test_weights_and_masks_against_torch(loss: Loss) -> None:
    """A weight is a factor, a masked position does not count."""
    torch = pytest.importorskip("torch")
    y_true, y_pred = problem(loss)
    rng = np.random.default_rng(1)
    per_position, per_row, mask = rng.uniform(0, 2, (3, 4)), rng.uniform(0, 2, 3), rng.random((3, 4)) < 0.6
    for weight, kept in [(per_position, None), (per_row, None), (None, mask), (per_position, mask), (per_row, mask)]:
        values, gradient = by_torch(loss, y_true, y_pred)
        if weight is not None:
            values = values * torch.tensor(weight if weight.ndim == 2 else weight[:, np.newaxis])
        total = values.mean() if kept is None else values[torch.tensor(kept)].mean()
        value, dy = loss.value_and_grad(y_true, y_pred, weight, kept)
        assert value == pytest.approx(total.item(), rel=1e-12)
        np.testing.assert_allclose(dy, gradient(total), rtol=1e-10, atol=1e-15)


@each_loss
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_gradients_by_central_differences(loss: Loss, weighted: bool) -> None:
    y_true, y_pred = problem(loss, (2, 3))
    weight = np.array([0.5, 2.0]) if weighted else None
    _, dy = loss.value_and_grad(y_true, y_pred, weight)
    for place in np.ndindex(y_pred.shape):
        above, below = y_pred.copy(), y_pred.copy()
        above[place] += 1e-6
        below[place] -= 1e-6
        numerical = (loss(y_true, above, weight) - loss(y_true, below, weight)) / 2e-6
        assert dy[place] == pytest.approx(numerical, rel=1e-5, abs=1e-8)


@each_loss
def test_arguments_are_left_alone(loss: Loss) -> None:
    y_true, y_pred = problem(loss)
    kept = y_true.copy(), y_pred.copy()
    for array in (y_true, y_pred):
        array.flags.writeable = False
    _, dy = loss.value_and_grad(y_true, y_pred)
    assert not np.may_share_memory(dy, y_pred) and dy.flags.writeable
    np.testing.assert_array_equal(y_true, kept[0])
    np.testing.assert_array_equal(y_pred, kept[1])


@each_loss
def test_float32(loss: Loss) -> None:
    y_true, y_pred = problem(loss, (50, 40), 30)
    value, dy = loss.value_and_grad(y_true, y_pred)
    narrow, narrow_dy = loss.value_and_grad(y_true, y_pred.astype(np.float32))
    assert narrow_dy.dtype == np.float32
    assert narrow == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(narrow_dy, dy, rtol=1e-4, atol=3e-7 * np.abs(dy).max())


@each_loss
def test_what_stands_at_masked_positions_does_not_matter(loss: Loss) -> None:
    y_true, y_pred = problem(loss)
    mask = np.random.default_rng(2).random((3, 4)) < 0.5
    wanted, wanted_dy = loss.value_and_grad(y_true, y_pred, mask=mask)
    for junk in (np.nan, np.inf, 0.0):
        y_pred[~mask] = junk
        y_true[~mask] = -1
        value, dy = loss.value_and_grad(y_true, y_pred, mask=mask)
        assert value == wanted
        assert dy.tobytes() == wanted_dy.tobytes() and not dy[~mask].any()


@each_loss
def test_without_positions_the_loss_is_zero(loss: Loss) -> None:
    y_true, y_pred = problem(loss)
    value, dy = loss.value_and_grad(y_true, y_pred, mask=np.zeros((3, 4), bool))
    assert value == 0 and not dy.any() and dy.shape == y_pred.shape
    y_true, y_pred = problem(loss, (0, 4))
    value, dy = loss.value_and_grad(y_true, y_pred)
    assert value == 0 and dy.shape == (0, 4, 5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_logits_stay_exact(dtype: str) -> None:
    z = np.array([[1e4, 0, -1e4], [-1e4, 0, 1e4]], dtype)
    value, dy = SparseCategoricalCrossentropy(from_logits=True).value_and_grad([0, 0], z)
    assert value == 1e4  # (0 + 20 000) / 2
    np.testing.assert_array_equal(dy, [[0, 0, 0], [-0.5, 0, 0.5]])
    assert CategoricalCrossentropy(from_logits=True)([[1, 0, 0], [1, 0, 0]], z) == 1e4
    value, dy = BinaryCrossentropy(from_logits=True).value_and_grad([[1, 0, 0], [1, 0, 1]], z)
    assert value == pytest.approx((1e4 + 2 * np.log(2)) / 6, rel=1e-6)
    np.testing.assert_allclose(dy, np.array([[0, 0.5, 0], [-1, 0.5, 0]]) / 6, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_are_clipped_as_in_keras(dtype: str) -> None:
    """-log(1e-7) at most, and no gradient beyond the bounds."""
    p = np.array([[0, 1]], dtype)
    ceiling = pytest.approx(-np.log(1e-7), rel=1e-6)
    for loss, y_true in [
        (SparseCategoricalCrossentropy(), [0]),
        (CategoricalCrossentropy(), [[1, 0]]),
        (BinaryCrossentropy(), [[1, 1]]),
    ]:
        value, dy = loss.value_and_grad(y_true, p)
        assert value * (2 if loss.name == "binary_crossentropy" else 1) == ceiling
        assert not dy.any()


@pytest.mark.parametrize("from_logits", [True, False])
def test_sparse_and_one_hot_agree(from_logits: bool) -> None:
    y_true, y_pred = problem(SparseCategoricalCrossentropy(from_logits))
    value, dy = SparseCategoricalCrossentropy(from_logits).value_and_grad(y_true, y_pred)
    other, other_dy = CategoricalCrossentropy(from_logits).value_and_grad(np.eye(5)[y_true], y_pred)
    assert value == pytest.approx(other, rel=1e-14)
    np.testing.assert_allclose(dy, other_dy, rtol=1e-12, atol=1e-17)


def test_the_mean_is_accumulated_in_float64() -> None:
    y_pred = np.zeros((1 << 17, 1), np.float32)
    y_true = np.full((1 << 17, 1), np.sqrt(np.float32(0.1)), np.float32)
    assert MeanSquaredError()(y_true, y_pred) == pytest.approx(float(np.square(y_true[0, 0])), rel=1e-14)


@pytest.mark.parametrize(
    ("loss", "y_true", "y_pred", "options", "error", "message"),
    [
        ("mse", np.zeros(3), np.zeros((3, 2)), {}, ValueError, r"y_true must have shape \(3, 2\), got \(3,\)"),
        ("mse", np.zeros((3, 1, 1)), np.zeros((3, 1)), {}, ValueError, r"y_true must have shape \(3, 1\), got \(3, 1,"),
        ("mse", ["a", "b"], np.zeros((2, 1)), {}, TypeError, "y_true must hold real numbers"),
        ("hinge", np.zeros((3, 2)), np.zeros((3, 1)), {}, ValueError, r"y_true must have shape \(3, 1\), got \(3, 2\)"),
        ("cce", [1, 2, 0], np.zeros((3, 4)), {}, ValueError, r"y_true .* \(3, 4\), got \(3,\); class numbers are"),
        ("sparse", np.eye(4), np.zeros((4, 4)), {}, ValueError, r"its last axis, got \(4, 4\); one-hot rows are"),
        ("mse", np.zeros(3), np.zeros(3), {}, ValueError, "y_pred must have shape .* at least two axes"),
        ("sparse", np.zeros((3, 2), int), np.zeros((3, 4)), {}, ValueError, r"y_true must have shape \(3,\)"),
        ("sparse", [0, 4], np.zeros((2, 4)), {}, ValueError, r"y_true must be in \[0, 4\), got 4"),
        ("sparse", [0, 0.5], np.zeros((2, 4)), {}, TypeError, "y_true must be whole numbers"),
        ("sparse", [0, 1], np.zeros((2, 4)), {"mask": [1, 0]}, TypeError, "mask must hold bools"),
        ("sparse", [0, 1], np.zeros((2, 4)), {"mask": [True]}, ValueError, r"mask must have shape \(2,\), got \(1,\)"),
        ("sparse", [0], np.zeros((2, 4)), {"mask": [True, False]}, ValueError, r"y_true must .* begins with \(2,\)"),
        ("sparse", [0, 1], np.zeros((2, 4)), {"sample_weight": 2.0}, ValueError, "sample_weight must have shape"),
        ("sparse", [0, 1], np.zeros((2, 4)), {"sample_weight": np.ones((2, 1))}, ValueError, "sample_weight must have"),
    ],
)  # fmt: skip
def test_bad_input(
    loss: str, y_true: Any, y_pred: np.ndarray, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    name = {"sparse": "sparse_categorical_crossentropy", "cce": "categorical_crossentropy"}.get(loss, loss)
    with pytest.raises(error, match=message):
        losses.get(name).value_and_grad(y_true, y_pred, **options)


def test_names() -> None:
    loss = losses.get("sparse_categorical_crossentropy", from_logits=True)
    assert isinstance(loss, SparseCategoricalCrossentropy) and loss.get_config() == {"from_logits": True}
    assert losses.get(loss) is loss
    assert losses.get("mse").name == "mean_squared_error"
    assert repr(loss) == "SparseCategoricalCrossentropy(from_logits=True)"
    with pytest.raises(ValueError, match="did you mean 'binary_crossentropy'"):
        losses.get("binary_cross_entropy")
    for name, cls in [("MSE", MeanSquaredError), ("MAPE", MeanAbsolutePercentageError), ("Huber", Huber)]:
        assert type(losses.get(name)) is cls
    assert type(losses.get("MeanSquaredLogarithmicError")) is type(losses.get("msle")) is MeanSquaredLogarithmicError
    assert all(cls.name in LOSSES and LOSSES[cls.name] is cls for cls in LOSSES.values())


@each_loss
def test_configurations_come_back(loss: Loss) -> None:
    again = losses.get(loss.name, **loss.get_config())
    assert type(again) is type(loss) and again.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Huber(0.0), "delta must be above 0"),
        (lambda: BinaryCrossentropy(label_smoothing=1.0), r"label_smoothing must be in \[0, 1\)"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["mse", "mae", "mape", "msle", "hinge", "huber", "bce"])
def test_targets_without_the_axis_of_one_output(name: str) -> None:
    rng, loss = np.random.default_rng(3), losses.get(name)
    for axes in [(4,), (4, 1), (2, 3)]:
        y_true, y_pred = rng.integers(0, 2, axes), rng.uniform(0.1, 0.9, (*axes, 1))
        mask, weight = rng.random(axes) < 0.7, rng.random(axes)
        for options in ({}, {"mask": mask}, {"sample_weight": weight}):
            value, dy = loss.value_and_grad(y_true, y_pred, **options)
            wanted, wanted_dy = loss.value_and_grad(y_true[..., np.newaxis], y_pred, **options)
            assert value == wanted and dy.tobytes() == wanted_dy.tobytes()


def test_class_numbers_with_an_axis_of_one() -> None:
    y_true, y_pred = problem(SparseCategoricalCrossentropy())
    value, dy = SparseCategoricalCrossentropy().value_and_grad(y_true[..., np.newaxis], y_pred)
    wanted, wanted_dy = SparseCategoricalCrossentropy().value_and_grad(y_true, y_pred)
    assert value == wanted and dy.tobytes() == wanted_dy.tobytes()


@each_loss
def test_a_mask_that_keeps_everything_is_none(loss: Loss) -> None:
    y_true, y_pred = problem(loss)
    value, dy = loss.value_and_grad(y_true, y_pred, mask=np.ones((3, 4), bool))
    wanted, wanted_dy = loss.value_and_grad(y_true, y_pred)
    assert value == wanted and dy.tobytes() == wanted_dy.tobytes()


@each_loss
def test_each_position(loss: Loss) -> None:
    y_true, y_pred = problem(loss)
    rng = np.random.default_rng(4)
    mask, weight = rng.random((3, 4)) < 0.6, rng.random(3)
    each, weights = loss.each(y_true, y_pred, weight, mask)
    assert weights is not None
    np.testing.assert_array_equal(weights, np.repeat(weight, 4).reshape(3, 4)[mask])
    for place, value in zip(zip(*np.nonzero(mask), strict=True), each, strict=True):
        assert value == pytest.approx(loss(y_true[place][np.newaxis], y_pred[place][np.newaxis]), rel=1e-12)


def plain_crossentropy(t: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses and gradients of distributions t and logits z, (M, C) both, as the formula says it."""
    z = z - z.max(axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(z)
    sums, total = e.sum(axis=-1, keepdims=True), t.sum(axis=-1, keepdims=True)
    return (total * np.log(sums) - (t * z).sum(axis=-1, keepdims=True))[:, 0], total * e / sums - t


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (40, 65), (7, 15), (7, 64), (600, 67), (5, 10_000)], ids=str)
def test_the_kernel_equals_the_formula(shape: tuple[int, int], dtype: str, rng: np.random.Generator) -> None:
    z, factor = (5 * rng.standard_normal(shape)).astype(dtype), rng.uniform(0, 2, shape[0]).astype(dtype)
    numbers, shares = rng.integers(0, shape[1], shape[0]), rng.dirichlet(np.ones(shape[1]), shape[0]).astype(dtype)
    one_hot = np.eye(shape[1])[numbers]
    eps = np.finfo(dtype).eps
    for true, t in [(numbers, one_hot), (shares, shares.astype(np.float64))]:
        wanted, wanted_dz = plain_crossentropy(t, z.astype(np.float64))
        losses_, dz = crossentropy(z, true, factor, 1)
        # a logit's own rounding, up to 4 eps of 25, is the loss's; a share is good to a few ulp and the sum's share
        np.testing.assert_allclose(losses_, wanted, rtol=8 * eps, atol=60 * eps)
        np.testing.assert_allclose(dz, wanted_dz * factor[:, np.newaxis], rtol=20 * eps, atol=8 * eps)
        for threads in (2, 3):
            again, again_dz = crossentropy(z, true, factor, threads)
            assert again.tobytes() == losses_.tobytes() and again_dz.tobytes() == dz.tobytes()
            assert crossentropy(z, true, None, threads)[0].tobytes() == losses_.tobytes()
        for row in (0, shape[0] - 1):  # a row does not know its neighbours
            alone = crossentropy(z[row : row + 1], true[row : row + 1], factor[row : row + 1], 1)
            assert alone[1].tobytes() == dz[row : row + 1].tobytes()
    e = np.exp(z.astype(np.float64) - z.max(axis=-1, keepdims=True))
    # z - max(z), up to 40, is rounded before the exp, and 10,000 terms are added in 16 chains or more
    shares, tiny = e / e.sum(axis=-1, keepdims=True), np.finfo(dtype).tiny
    np.testing.assert_allclose(softmax(z, z.copy(), 2), shares, rtol=50 * eps, atol=tiny)


@pytest.mark.parametrize("loss", [CategoricalCrossentropy(True), SparseCategoricalCrossentropy(True)], ids=repr)
@pytest.mark.parametrize("classes", [65, 2000])
def test_softmax_in_float32_is_as_exact_as_its_logits(loss: Loss, classes: int) -> None:
    """Narrow rows and wide ones, near zero and far from it."""
    y_true, y_pred = problem(loss, (40,), classes)
    for scale in (1.0, 4.0, 12.0):
        z = (scale * y_pred).astype(np.float32)
        value, dy = loss.value_and_grad(y_true, z.astype(np.float64))
        narrow, narrow_dy = loss.value_and_grad(y_true, z)
        assert narrow == pytest.approx(value, rel=2e-7, abs=2e-7 * float(np.abs(z).max()))
        np.testing.assert_allclose(narrow_dy, dy, rtol=2e-6, atol=1e-7 * np.abs(dy).max())


@pytest.mark.parametrize("loss", [CategoricalCrossentropy(True), SparseCategoricalCrossentropy(True)], ids=repr)
def test_nan_logits_stay_in_their_row(loss: Loss) -> None:
    y_true, y_pred = problem(loss, (4,))
    wanted, _ = loss.each(y_true, y_pred)
    y_pred[1, 2] = np.nan
    each, _ = loss.each(y_true, y_pred)
    _, dy = loss.value_and_grad(y_true, y_pred)
    assert np.isnan(each[1]) and np.isnan(dy[1]).all()
    np.testing.assert_allclose(np.delete(each, 1), np.delete(wanted, 1), rtol=1e-14)
    assert np.isfinite(np.delete(dy, 1, axis=0)).all()


def test_hinge_takes_zero_and_one_for_its_signs() -> None:
    y_true, y_pred = problem(Hinge())
    value, dy = Hinge().value_and_grad((y_true + 1) / 2, y_pred)
    wanted, wanted_dy = Hinge().value_and_grad(y_true, y_pred)
    assert value == wanted and dy.tobytes() == wanted_dy.tobytes()
