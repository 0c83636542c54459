"""Masks in recurrent layers: valid steps anywhere, with Keras's meaning of the masked ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_checks import check_gradients, randomized

from fastrnn import Sequential, reference
from fastrnn.layers import GRU, LSTM, Bidirectional, Dropout, Embedding, SimpleRNN
from fastrnn.layers.masked import MaskedRows

CELLS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
B, T, I, H = 4, 6, 3, 5
MASKS = {
    "before": np.arange(T) >= np.array([[0], [2], [5], [6]]),
    "behind": np.arange(T) < np.array([[6], [2], [1], [0]]),
    "anywhere": np.array([[0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 1], [0] * 6, [1] * 6], bool),
}


@pytest.fixture(params=CELLS)
def cell(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=MASKS)
def mask(request: pytest.FixtureRequest) -> np.ndarray:
    return MASKS[request.param]


def make(cell: str, **options: Any) -> Any:
    return randomized(CELLS[cell](H, dtype="float64", seed=1, **options), (None, None, I))


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape or (B, T, I))


def states(cell: str, count: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.standard_normal((B, H)) for _ in range(count * reference.CELLS[cell].states)]


def by_rows(
    cell: str, weights: list[np.ndarray], x: np.ndarray, mask: np.ndarray, start: Any, reverse: bool
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Outputs at all steps and final states: every row alone, over nothing but its valid steps."""
    y, ends = np.zeros((B, T, H)), [np.zeros((B, H)) for _ in start]
    for b in range(B):
        steps = np.flatnonzero(mask[b])[:: -1 if reverse else 1]
        out, end, _ = reference.forward(
            cell, x[b : b + 1, steps], *weights, initial_state=[s[b : b + 1] for s in start]
        )
        for whole, part in zip(ends, end, strict=True):
            whole[b] = part[0]
        last = np.zeros(H)
        for t in range(T)[:: -1 if reverse else 1]:
            if mask[b, t]:
                last = out[0, steps.tolist().index(t)]
            y[b, t] = last
    return y, ends


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_a_masked_step_carries_the_state_and_repeats_the_output(
    cell: str, mask: np.ndarray, training: bool, backwards: bool
) -> None:
    x, start = data(), states(cell)
    options: dict[str, Any] = {"return_state": True, "go_backwards": backwards}
    layer = make(cell, return_sequences=True, **options)
    want, want_ends = by_rows(cell, layer.get_weights(), x, mask, start, backwards)
    y, *ends = layer(x, training=training, initial_state=start, mask=mask)
    np.testing.assert_allclose(y[:, ::-1] if backwards else y, want, atol=1e-12)
    for end, want_end in zip(ends, want_ends, strict=True):
        np.testing.assert_allclose(end, want_end, atol=1e-12)
    last, *_ = make(cell, **options)(x, training=training, initial_state=start, mask=mask)
    np.testing.assert_allclose(last, want[:, 0 if backwards else -1], atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_padding_is_never_read(cell: str, mask: np.ndarray, dtype: str) -> None:
    layer = CELLS[cell](H, dtype=dtype, seed=1, return_sequences=True)
    x = data().astype(dtype)
    spoilt = np.where(mask[:, :, None], x, np.nan).astype(dtype)
    assert layer(spoilt, mask=mask).tobytes() == layer(x, mask=mask).tobytes()
    y = layer(spoilt, training=True, mask=mask)
    assert y.dtype == dtype and y.tobytes() == layer(x, mask=mask).tobytes()
    dx = layer.backward(np.ones_like(y))
    assert not dx[~mask].any() and np.isfinite(dx).all()
    assert all(np.isfinite(variable.grad).all() for variable in layer.variables)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"go_backwards": True},
        {"return_sequences": True},
        {"return_sequences": True, "go_backwards": True},
        {"return_sequences": True, "zero_output_for_mask": True},
        {"zero_output_for_mask": True},
        {"num_layers": 2, "bidirectional": True},
        {"return_sequences": True, "num_layers": 2, "bidirectional": True},
    ],
    ids=str,
)
def test_gradients_by_central_differences(cell: str, options: dict[str, Any], mask: np.ndarray) -> None:
    layer = make(cell, return_state=True, **options)
    count = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    check_gradients(layer, data(), mask=mask, initial_state=states(cell, count), places=4)


def test_zero_output_for_mask(cell: str, mask: np.ndarray) -> None:
    x = data()
    plain = make(cell, return_sequences=True)(x, mask=mask)
    zeroed = make(cell, return_sequences=True, zero_output_for_mask=True)(x, mask=mask)
    np.testing.assert_array_equal(zeroed, np.where(mask[:, :, None], plain, 0))
    np.testing.assert_array_equal(make(cell, zero_output_for_mask=True)(x, mask=mask), zeroed[:, -1])


def test_both_directions_are_zero_at_masked_steps(cell: str, mask: np.ndarray) -> None:
    x, start = data(), states(cell, 2)
    layer = make(cell, return_sequences=True, bidirectional=True)
    weights, half = layer.get_weights(), len(start) // 2
    ahead, _ = by_rows(cell, weights[:3], x, mask, start[:half], False)
    back, _ = by_rows(cell, weights[3:], x, mask, start[half:], True)
    want = np.where(mask[:, :, None], np.concatenate([ahead, back], axis=2), 0)
    np.testing.assert_allclose(layer(x, initial_state=start, mask=mask), want, atol=1e-12)


def test_a_stateful_layer_carries_the_state_over_masked_steps(cell: str) -> None:
    x, mask = data(), MASKS["anywhere"]
    whole = make(cell, return_sequences=True, zero_output_for_mask=True)(x, mask=mask)
    layer = make(cell, return_sequences=True, stateful=True, zero_output_for_mask=True)
    parts = [layer(x[:, :2], mask=mask[:, :2]), layer(x[:, 2:], mask=mask[:, 2:])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-13)


def test_a_mask_that_masks_nothing_changes_no_bit(cell: str) -> None:
    x, layer = data(), make(cell, return_sequences=True)
    assert layer(x, mask=np.ones((B, T), bool)).tobytes() == layer(x).tobytes()


def test_a_mask_in_front_is_lengths(cell: str) -> None:
    x, mask, layer = data(), MASKS["behind"], make(cell)
    assert layer(x, mask=mask).tobytes() == layer(x, lengths=mask.sum(axis=1)).tobytes()


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)], ids=str)
def test_empty_axes(cell: str, shape: tuple[int, int]) -> None:
    layer = make(cell, return_sequences=True)
    y = layer(np.zeros((*shape, I)), training=True, mask=np.zeros(shape, bool))
    assert y.shape == (*shape, H) and layer.backward(y).shape == (*shape, I)


def test_the_mask_goes_on_where_steps_do(cell: str) -> None:
    mask = MASKS["before"]
    assert make(cell, return_sequences=True).compute_mask(data(), mask) is mask
    assert make(cell).compute_mask(data(), mask) is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mask": np.ones((B, T + 1), bool)}, ValueError, r"mask must have shape \(4, 6\), got \(4, 7\)"),
        ({"mask": np.ones((B, T))}, TypeError, "mask must hold bools, got dtype float64"),
        ({"mask": np.ones((B, T), bool), "lengths": [1] * B}, ValueError, "only one of lengths and mask"),
    ],
)
def test_bad_masks(cell: str, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(cell)(data(), **arguments)


@pytest.mark.parametrize("front", [False, True], ids=["pre", "post"])
def test_a_model_reads_over_padding(cell: str, front: bool) -> None:
    ids = np.random.default_rng(6).integers(1, 9, (B, T))
    ids[~MASKS["behind" if front else "before"]] = 0
    model = Sequential(
        [
            Embedding(9, I, mask_zero=True, seed=1, dtype="float64"),
            Dropout(0.5, dtype="float64"),
            Bidirectional(CELLS[cell](H, return_sequences=True, seed=2, dtype="float64"), "sum"),
            CELLS[cell](H, seed=3, dtype="float64"),
        ]
    )
    y = model(ids)
    for b in range(B):
        whole = ids[b][ids[b] > 0]
        alone = model(whole[np.newaxis])[0] if whole.size else np.zeros(H)
        np.testing.assert_allclose(y[b], alone, atol=1e-14)
    model(ids, training=True)
    model.backward(np.ones_like(y))
    assert all(variable.grad is not None for variable in model.variables)


# --- the same in Keras ------------------------------------------------------------------------------------------


def waves(*shape: int, start: float = 0.0) -> np.ndarray:
    """Numbers that look random, and that any program can make again."""
    return np.sin(start + 1.7 * np.arange(np.prod(shape))).reshape(shape)


# By Keras 3.15 on TensorFlow 2.21 in float64: the loss sum(y * waves), and for the gradient of it with respect to x and
# to each weight, its sum with `waves`
FIGURES = {
    ("simple_rnn", "sequence"): [0.605858433468, 1.16144328269, 1.32563736599, 1.07976801219, -0.256797444184],
    ("simple_rnn", "last"): [-0.564058937438, 0.183732837802, -0.0657966870962, 0.0125382294464, -0.453871023166],
    ("simple_rnn", "backwards"): [0.679417324006, 0.131066787635, -0.441005872783, -0.147006629984, -0.934708460141],
    ("simple_rnn", "both"): [
        *(0.827700786363, -0.989778156128, -0.160440359862, -0.542842240683, -0.525771143571),
        *(0.709391211211, -0.0758844873515, 1.10455906799),
    ],
    ("lstm", "sequence"): [-0.118549360352, -0.26485283018, 0.154518223526, 0.0758001620627, 0.324151188555],
    ("lstm", "last"): [-0.422497945957, 0.164566961845, -0.0330110718275, -0.0248510718505, 0.384932725799],
    ("lstm", "backwards"): [0.0229655005725, -0.4240392317, -0.0044521592772, -0.00222710665991, -0.0533800974299],
    ("lstm", "both"): [
        *(0.0137768614334, -0.0474510001891, 0.0163928085588, 0.00402435844945, 0.0368103471618),
        *(0.0259789800596, 0.00278873022159, 0.0148814436146),
    ],
    ("gru", "sequence"): [0.121685635519, -0.254607257599, -0.389597465103, 0.0943322423311, -0.279939792592],
    ("gru", "last"): [-0.439547835437, -0.48289841995, -0.572031960012, 0.0298936908037, 0.293776707434],
    ("gru", "backwards"): [0.127343380437, -0.449397795865, -0.736217871223, -0.0861244204928, -0.531161414936],
    ("gru", "both"): [
        *(0.191558717957, 0.70335395868, 0.501140851529, 0.0287102130657, 0.0947957848345),
        *(-0.301947110735, -0.156599590146, -0.0341486853406),
    ],
}


@pytest.mark.parametrize("kind", ["sequence", "last", "backwards", "both"])
def test_figures_of_keras(cell: str, kind: str) -> None:
    mask = np.array([[0, 1, 0, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1]], bool)
    layer: Any = CELLS[cell](2, dtype="float64", return_sequences=kind != "last", go_backwards=kind == "backwards")
    if kind == "both":
        layer = Bidirectional(layer, merge_mode="mul")
    layer.build((None, 5, 3))
    layer.set_weights([0.8 * waves(*w.shape, start=k) for k, w in enumerate(layer.get_weights())])
    y = layer(waves(4, 5, 3), training=True, mask=mask)
    dy = waves(*y.shape, start=2)
    gradients = [layer.backward(dy), *(variable.grad for variable in layer.variables)]
    figures = [float((y * dy).sum()), *(float((g * waves(*g.shape, start=5)).sum()) for g in gradients)]
    np.testing.assert_allclose(figures, FIGURES[cell, kind], rtol=1e-9)


# --- the rows of a mask -----------------------------------------------------------------------------------------


def test_rows_move_to_the_front_and_back(mask: np.ndarray) -> None:
    rows, x = MaskedRows(mask, 1), data()
    front = rows.to_front(x)
    assert rows.lengths.dtype == np.int64 and rows.lengths.tolist() == mask.sum(axis=1).tolist()
    for b in range(B):
        np.testing.assert_array_equal(front[b, : rows.lengths[b]], x[b, mask[b]])
    zeroed = np.where(np.arange(T)[:, None] < rows.lengths[:, None, None], front, 0)
    np.testing.assert_array_equal(rows.back(zeroed), np.where(mask[:, :, None], x, 0))


def test_a_mask_in_front_copies_nothing() -> None:
    rows, x = MaskedRows(MASKS["behind"], 1), data()
    assert rows.to_front(x) is x and rows.back(x) is x
    assert rows.repeated(x, True) is x and rows.repeated_backward(x, True) is x


def moved(x: np.ndarray, mask: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """x by a loop over the steps: those at each step's place in front ("back", or repeated), and the sums there."""
    front, sums = np.zeros(x.shape, x.dtype), np.zeros(x.shape, x.dtype)
    for b, row in enumerate(mask):
        steps = np.flatnonzero(row)
        for t in range(row.size):
            walked = steps[steps >= t][:1] if source == "reverse" else steps[steps <= t][-1:]
            if walked.size and (source != "back" or row[t]):
                at = np.searchsorted(steps, walked[0])
                front[b, t] = x[b, at]
                sums[b, at] += x[b, t]
    return front, sums


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 7, 3), (50, 60, 40), (3, 4, 0), (0, 2, 3), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("view", ["C", "turned", "F"])
def test_moves(threads: int, dtype: str, shape: tuple[int, ...], view: str) -> None:
    """As many numbers as a team wants, and strides."""
    rng = np.random.default_rng(1)
    mask = rng.random(shape[:2]) < rng.random((*shape[:1], 1))
    x = rng.standard_normal(shape).astype(dtype)
    x = {"C": x, "turned": x[:, ::-1], "F": np.asfortranarray(x)}[view]
    rows = MaskedRows(mask, threads)
    for source in ("back", "forward", "reverse"):
        want, sums = moved(x, mask, source)
        got = rows.back(x) if source == "back" else rows.repeated(x, source == "reverse")
        np.testing.assert_array_equal(got, want)
        if source == "back":
            np.testing.assert_array_equal(rows.to_front(x), sums)
        else:
            np.testing.assert_array_equal(rows.repeated_backward(x, source == "reverse"), sums)
