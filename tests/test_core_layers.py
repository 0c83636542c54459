"""Dropout, Activation, Reshape, Flatten, RepeatVector and Masking: against PyTorch, NumPy and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_checks import check_gradients

from fastrnn._core.dropout import drop
from fastrnn.activations import ACTIVATIONS
from fastrnn.layers import LSTM, Activation, Dropout, Flatten, Masking, RepeatVector, Reshape, SpatialDropout1D

LAYERS = {
    "dropout": (lambda **kw: Dropout(0.4, seed=1, **kw), (3, 5, 4)),
    "noise_shape": (lambda **kw: Dropout(0.4, (None, 1, None), seed=1, **kw), (3, 5, 4)),
    "spatial": (lambda **kw: SpatialDropout1D(0.4, seed=1, **kw), (3, 5, 4)),
    "no_dropout": (lambda **kw: Dropout(0, **kw), (3, 4)),
    "reshape": (lambda **kw: Reshape((2, -1), **kw), (3, 4, 5)),
    "flatten": (lambda **kw: Flatten(**kw), (3, 4, 5)),
    "repeat": (lambda **kw: RepeatVector(4, **kw), (3, 5)),
    "masking": (lambda **kw: Masking(**kw), (3, 4, 5)),
} | {name: (lambda name=name, **kw: Activation(name, **kw), (3, 5)) for name in ACTIVATIONS}


def data(*shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_by_central_differences(name: str) -> None:
    make, shape = LAYERS[name]
    layer: Any = make(dtype="float64")

    def before() -> None:
        if hasattr(layer, "_drops"):
            layer._drops.passes = 0  # the same masks each time

    check_gradients(layer, data(*shape), before=before, places=20)


@pytest.mark.parametrize("name", LAYERS)
def test_what_every_layer_does(name: str) -> None:
    make, shape = LAYERS[name]
    layer: Any = make()
    x = data(*shape, dtype="float32")
    y = layer(x, training=True)
    assert y.dtype == np.float32 and layer.variables == []
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *y.shape[1:])
    assert layer.backward(np.ones_like(y), need_dx=False) is None
    with pytest.raises(RuntimeError, match=f"{layer.name}: backward needs a forward"):
        layer.backward(y)
    layer(x, training=True)
    with pytest.raises(ValueError, match="dy must have shape"):
        layer.backward(np.ones((1, 1, 1, 1, 1)))
    wide = np.zeros((*shape, 2), np.float32)
    wide[..., 0] = x
    assert layer(wide[..., 0]).tobytes() == layer(x).tobytes()
    if "drop" not in name and name not in ("spatial", "noise_shape"):
        assert layer(x).tobytes() == y.tobytes()


# --- dropout ----------------------------------------------------------------------------------------------------


def philox(counter: np.ndarray, key: int) -> np.ndarray:
    """Philox4x32-7 of counters (n, 4), as in Salmon et al., section 3."""
    low = np.uint64(0xFFFFFFFF)
    c = [column.astype(np.uint64) for column in counter.T]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(7):
        first, second = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        shift = np.uint64(32)
        c = [second >> shift ^ c[1] ^ np.uint64(k0), second & low, first >> shift ^ c[3] ^ np.uint64(k1), first & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=-1)


def test_the_generator_is_philox() -> None:
    """Known answers of Random123, then every place of a mask by the plain formula."""
    answers = [
        ([0, 0, 0, 0], 0, [0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48]),
        ([0xFFFFFFFF] * 4, 2**64 - 1, [0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662]),
        ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], 0x299F31D0A4093822,
         [0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A]),
    ]  # fmt: skip
    for counter, key, wanted in answers:
        assert philox(np.array([counter]), key)[0].tolist() == wanted
    key, passes, number, rate = 0x299F31D0A4093822, 0x0370734413198A2E, 3, 0.3
    for size in (1, 63, 64, 65, 1000):
        tiles = -(-size // 64)
        counter = np.zeros((8 * tiles, 4), np.int64)
        counter[:] = 0, number, passes & 0xFFFFFFFF, passes >> 32
        counter[:, 0] = np.arange(8 * tiles)
        # a tile: the first two words of its 8 counters, then the other two, the low 16 bits of each first
        words = philox(counter, key).reshape(tiles, 8, 2, 2).transpose(0, 2, 1, 3)[..., np.newaxis]
        draws = (words >> np.array([0, 16], np.uint64) & np.uint64(0xFFFF)).reshape(-1)[:size]
        for dtype in ("float32", "float64"):
            mask = drop(None, np.empty(size, dtype), key, passes, number, rate, 1)
            np.testing.assert_array_equal(
                mask, np.where(draws >= int(rate * 65536), np.array(1 / (1 - rate), dtype), 0)
            )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_does_not_depend_on_the_team(dtype: str) -> None:
    x = data(300, 1001, dtype=dtype)
    y = drop(x, np.empty_like(x), 5, 6, 7, 0.4, 1)
    np.testing.assert_array_equal(y, x * drop(None, np.empty_like(x), 5, 6, 7, 0.4, 1))
    for threads in (2, 3):
        assert drop(x, np.empty_like(x), 5, 6, 7, 0.4, threads).tobytes() == y.tobytes()
    assert drop(x, x, 5, 6, 7, 0.4, 2).tobytes() == y.tobytes()
    x[0] = np.nan
    assert np.isnan(drop(x, np.empty_like(x), 5, 6, 7, 0.4, 2)[0]).all()  # 0 NaN is NaN


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.35, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    x = np.ones((100, 200), np.float32)
    layer = Dropout(rate, seed=5)
    np.testing.assert_array_equal(layer(x), x)
    y = layer(x, training=True)
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)
    # 20,000 draws: within 5 standard deviations
    assert abs((y == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / 20_000)
    np.testing.assert_array_equal(layer.backward(x), y)


def test_dropped_places_do_not_depend_on_each_other() -> None:
    """16 bits a place come out of 64 at once: neighbours, rows and passes must not be alike."""
    layer, x = Dropout(0.5, seed=2), np.ones((64, 1024), np.float32)
    signs = np.sign(np.stack([layer(x, training=True) for _ in range(8)]) - 1).reshape(-1)
    for distance in (1, 2, 3, 4, 5, 8, 16, 1024, 64 * 1024):
        correlation = float((signs[distance:] * signs[:-distance]).mean())
        assert abs(correlation) < 5 / np.sqrt(signs.size - distance), distance


def test_the_way_back_drops_what_its_forward_dropped() -> None:
    layer, x = Dropout(0.5, seed=3), np.ones((7, 31), np.float32)
    y = layer(x, training=True)
    layer.set_state({"dropout": np.array([1, 2])})  # not what stands now
    np.testing.assert_array_equal(layer.backward(x), y)


def test_every_pass_drops_anew_and_a_state_goes_on() -> None:
    layer, x = Dropout(0.5, seed=1), np.ones((4, 50), np.float32)
    first, kept, second = layer(x, training=True), layer.get_state(), layer(x, training=True)
    assert (first != second).any()
    layer.set_state(kept)
    np.testing.assert_array_equal(layer(x, training=True), second)
    other = Dropout(0.5, seed=1)
    np.testing.assert_array_equal(other(x, training=True), first)
    other.set_state(kept)
    np.testing.assert_array_equal(other(x, training=True), second)
    assert (Dropout(0.5, seed=2)(x, training=True) != first).any()
    assert (Dropout(0.5)(x, training=True) != Dropout(0.5)(x, training=True)).any()
    with pytest.raises(ValueError, match="dropout cannot carry on from nothing"):
        layer.set_state({})
    with pytest.raises(ValueError, match="dropout must be two numbers"):
        layer.set_state({"dropout": np.zeros(3, np.int64)})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_dtypes_drop_the_same(dtype: str) -> None:
    y = Dropout(0.3, seed=4, dtype=dtype)(np.ones((5, 7), dtype), training=True)
    np.testing.assert_array_equal(y == 0, Dropout(0.3, seed=4)(np.ones((5, 7)), training=True) == 0)


def test_spatial_dropout_drops_features_of_whole_sequences() -> None:
    x = np.ones((64, 7, 10), np.float32)
    y = SpatialDropout1D(0.25, seed=5)(x, training=True)
    assert (y == y[:, :1]).all() and len(np.unique(y[:, 0])) == 2
    assert abs((y[:, 0] == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 640)
    with pytest.raises(ValueError, match=r"x must have shape \(B, T, I\), got \(2, 3\)"):
        SpatialDropout1D(0.5)(np.ones((2, 3)), training=True)


def test_a_noise_shape_shares_masks() -> None:
    x = np.ones((4, 5, 6), np.float32)
    y = Dropout(0.5, (None, 5, 1), seed=5)(x, training=True)
    assert (y == y[:, :, :1]).all() and (y[:, 0] != y[:, 1]).any()
    with pytest.raises(ValueError, match=r"x must have a shape that noise_shape \(None, 3, 1\) can drop, got \(4, 5"):
        Dropout(0.5, (None, 3, 1))(x, training=True)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (1,), (3, 2)], ids=str)
def test_dropout_of_few_places(shape: tuple[int, ...]) -> None:
    assert Dropout(0.5)(np.ones(shape), training=True).shape == shape


# --- activation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_the_function(name: str) -> None:
    x = data(3, 4)
    np.testing.assert_array_equal(Activation(name, dtype="float64")(x), ACTIVATIONS[name].forward(x))
    assert Activation(name).get_config()["activation"] == name


# --- shapes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "shape", "result"),
    [((6,), (2, 3), (6,)), ((-1,), (2, 3), (6,)), ((3, -1), (2, 3), (3, 2)), ((1, 6, 1), (6,), (1, 6, 1))],
)
def test_reshape(target: tuple[int, ...], shape: tuple[int, ...], result: tuple[int, ...]) -> None:
    x = data(4, *shape)
    y = Reshape(target, dtype="float64")(x)
    np.testing.assert_array_equal(y, x.reshape(4, *result))
    assert Reshape(target).compute_output_shape((None, *shape)) == (None, *result)
    assert Reshape((2, -1)).compute_output_shape((None, None, 3)) == (None, 2, None)


def test_flatten() -> None:
    for shape in [(2, 3, 4), (2, 3), (2,), (0, 3, 4)]:
        x = data(*shape)
        want = x.reshape(shape[0], int(np.prod(shape[1:])))
        np.testing.assert_array_equal(Flatten(dtype="float64")(x), want)
    assert Flatten().compute_output_shape((None, 3, 4)) == (None, 12)
    assert Flatten().compute_output_shape((None, None, 4)) == (None, None)
    assert Flatten(data_format="channels_last").get_config() == Flatten().get_config()


def test_whole_numbers_stay_whole_numbers() -> None:
    x = np.arange(12).reshape(2, 6)
    assert Reshape((3, 2))(x).dtype == Flatten()(x).dtype == x.dtype


def test_repeat_vector() -> None:
    x = data(2, 3)
    y = RepeatVector(4, dtype="float64")(x)
    assert y.shape == (2, 4, 3) and all((y[:, t] == x).all() for t in range(4))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dropout(1.0), ValueError, r"rate must be in \[0, 1\), got 1.0"),
        (lambda: Dropout(0.5, 3), TypeError, "noise_shape must be a tuple, got 3"),
        (lambda: Reshape(3), TypeError, "target_shape must be a tuple, got 3"),
        (lambda: Reshape((-1, -1)), ValueError, "one size open with -1"),
        (lambda: Reshape((4,))(np.ones((2, 3))), ValueError, r"rows that fit into \(4,\), got rows of shape \(3,\)"),
        (lambda: Reshape((4,)).compute_output_shape((None, 3)), ValueError, r"rows that fit into \(4,\)"),
        (lambda: Reshape((4,))(np.ma.ones((2, 4))), TypeError, "x must be a plain array"),
        (lambda: Reshape((4,))(3), ValueError, "x must have a batch axis"),
        (lambda: Flatten(data_format="channels_first"), ValueError, "data_format of Flatten must be None or 'channels"),
        (lambda: RepeatVector(0), ValueError, "n must be at least 1"),
        (lambda: RepeatVector(2)(np.ones((2, 3, 4))), ValueError, r"x must have shape \(B, I\), got \(2, 3, 4\)"),
        (lambda: RepeatVector(2).compute_output_shape((None, 3, 4)), ValueError, r"input of shape \(B, I\)"),
        (lambda: Masking("0"), TypeError, "mask_value must be a number"),
        (lambda: Masking()(np.ones(3)), ValueError, r"x must have shape \(B, ..., I\), got \(3,\)"),
        (lambda: Activation("rleu"), ValueError, "did you mean 'relu'"),
        (lambda: Dropout(0.5, axis=1), TypeError, r"Dropout\(\) got an unexpected keyword argument 'axis'"),
    ],
)
def test_bad_input(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# --- masks ------------------------------------------------------------------------------------------------------


def test_masking_zeroes_and_masks() -> None:
    x = data(2, 4, 3).astype(np.float32)
    x[0, 1], x[1, 2:] = 0.1, 0.1
    x[1, 0, 1] = 0.1  # one feature alone masks nothing
    layer = Masking(0.1)
    mask = np.array([[1, 0, 1, 1], [1, 1, 0, 0]], bool)
    np.testing.assert_array_equal(layer.compute_mask(x, None), mask)
    np.testing.assert_array_equal(layer.compute_mask(x, np.zeros((2, 4), bool)), mask)
    np.testing.assert_array_equal(layer(x), np.where(mask[:, :, None], x, 0))


def test_masked_steps_of_an_lstm_are_left_out() -> None:
    x = data(2, 5, 3)
    x[:, :2] = 0
    masking, lstm = Masking(dtype="float64"), LSTM(4, dtype="float64", seed=1)
    y = lstm(masking(x), mask=masking.compute_mask(x, None))
    np.testing.assert_allclose(y, lstm(x[:, 2:]), atol=1e-14)


def test_masks_pass_where_steps_stay() -> None:
    x, mask = data(2, 4, 3), np.ones((2, 4), bool)
    for layer in (Dropout(0.5), SpatialDropout1D(0.5), Activation("relu")):
        assert layer.compute_mask(x, mask) is mask
    for dropping in (Flatten(), Reshape((3, 4)), RepeatVector(2)):
        assert dropping.compute_mask(x, mask) is None
