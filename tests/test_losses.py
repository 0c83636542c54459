"""Losses against PyTorch, against Keras's formulas, and their gradients by central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastrnn import losses
from fastrnn.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)

CASES = [
    MeanSquaredError(),
    BinaryCrossentropy(from_logits=True),
    BinaryCrossentropy(),
    CategoricalCrossentropy(from_logits=True),
    CategoricalCrossentropy(),
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
    y_true = rng.uniform(0, 1, y_pred.shape)
    if isinstance(loss, CategoricalCrossentropy):
        y_true /= y_true.sum(axis=-1, keepdims=True)
    return y_true, y_pred


def by_torch(loss: Loss, y_true: Any, y_pred: np.ndarray) -> tuple[np.ndarray, Callable[[Any], np.ndarray]]:
    """The loss of every position, and the gradient of any combination of them."""
    torch = pytest.importorskip("torch")
    t, p = torch.tensor(y_true), torch.tensor(y_pred, requires_grad=True)
    if isinstance(loss, MeanSquaredError):
        values = torch.nn.functional.mse_loss(p, t, reduction="none").mean(-1)
    elif isinstance(loss, BinaryCrossentropy):
        name = "binary_cross_entropy_with_logits" if loss.from_logits else "binary_cross_entropy"
        values = getattr(torch.nn.functional, name)(p, t, reduction="none").mean(-1)
    else:
        log_p = torch.log_softmax(p, -1) if loss.from_logits else torch.log(p / p.sum(-1, keepdim=True))  # type: ignore[attr-defined]
        one_hot = torch.nn.functional.one_hot(t, p.shape[-1]) if t.ndim < p.ndim else t
        values = -(one_hot * log_p).sum(-1)

    def gradient(total: Any) -> np.ndarray:
        (g,) = torch.autograd.grad(total, p)
        return np.asarray(g)

    return values, gradient


@each_loss
@pytest.mark.parametrize("axes", [(6,), (3, 4), (2, 3, 2), (1,)], ids=str)
def test_against_torch(loss: Loss, axes: tuple[int, ...]) -> None:
    y_true, y_pred = problem(loss, axes)
    values, gradient = by_torch(loss, y_true, y_pred)
    value, dy = loss.value_and_grad(y_true, y_pred)
    assert isinstance(value, float)
    assert value == pytest.approx(values.mean().item(), rel=1e-12)
    np.testing.assert_allclose(dy, gradient(values.mean()), rtol=1e-10, atol=1e-15)
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
    np.testing.assert_allclose(narrow_dy, dy, rtol=1e-4, atol=1e-7 * np.abs(dy).max())


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
        ("mse", np.zeros(3), np.zeros((3, 1)), {}, ValueError, r"y_true must have shape \(3, 1\), got \(3,\)"),
        ("mse", np.zeros(3), np.zeros(3), {}, ValueError, "y_pred must have shape .* at least two axes"),
        ("sparse", np.zeros((3, 1), int), np.zeros((3, 4)), {}, ValueError, r"y_true must have shape \(3,\)"),
        ("sparse", [0, 4], np.zeros((2, 4)), {}, ValueError, r"y_true must be in \[0, 4\), got 4"),
        ("sparse", [0, 0.5], np.zeros((2, 4)), {}, TypeError, "y_true must be whole numbers"),
        ("sparse", [0, 1], np.zeros((2, 4)), {"mask": [1, 0]}, TypeError, "mask must hold bools"),
        ("sparse", [0, 1], np.zeros((2, 4)), {"mask": [True]}, ValueError, r"mask must have shape \(2,\), got \(1,\)"),
        ("sparse", [0], np.zeros((2, 4)), {"mask": [True, True]}, ValueError, r"y_true must .* begins with \(2,\)"),
        ("sparse", [0, 1], np.zeros((2, 4)), {"sample_weight": 2.0}, ValueError, "sample_weight must have shape"),
        ("sparse", [0, 1], np.zeros((2, 4)), {"sample_weight": np.ones((2, 1))}, ValueError, "sample_weight must have"),
    ],
)  # fmt: skip
def test_bad_input(
    loss: str, y_true: Any, y_pred: np.ndarray, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    name = "sparse_categorical_crossentropy" if loss == "sparse" else loss
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
