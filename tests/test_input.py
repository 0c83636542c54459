"""Input at the head of a Sequential: the model is built as if its first layer had the input_shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.layers import LSTM, Bidirectional, Dense, Input, InputLayer
from fastrnn.models import Sequential, load_model


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        (Input((5, 3)), (None, 5, 3)),
        (Input(shape=(None, 3), dtype="float32"), (None, None, 3)),
        (InputLayer(input_shape=[5, 3], name="sales"), (None, 5, 3)),
        (fastrnn.Input(batch_shape=(None, 5, 3)), (None, 5, 3)),
        (fastrnn.InputLayer(batch_input_shape=(None, 5, 3)), (None, 5, 3)),
    ],
)
def test_a_model_is_built_before_data_come(head: InputLayer, shape: tuple[Any, ...], tmp_path: Path) -> None:
    model = Sequential([head, LSTM(4, seed=1), Dense(2, seed=2)])
    assert [layer.name for layer in model.layers] == ["lstm", "dense"]
    assert model.count_params() == 4 * 4 * (3 + 4 + 1) + 2 * 5
    assert model.input_shape == shape and model.output_shape == (None, 2)
    alike = Sequential([LSTM(4, seed=1, batch_input_shape=shape), Dense(2, seed=2)])
    x = np.random.default_rng(0).standard_normal((2, 5, 3), np.float32)
    np.testing.assert_array_equal(model(x), alike(x))
    model.save(tmp_path / "model.fastrnn")
    again = load_model(tmp_path / "model.fastrnn")
    assert again.input_shape == shape
    np.testing.assert_array_equal(again(x), model(x))


def test_it_can_be_added_and_gives_stateful_layers_their_batch(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    model = Sequential()
    model.add(Input((5, 3), batch_size=2))
    model.add(LSTM(4, stateful=True))
    assert model.input_shape is None and model.output_shape == (2, 4)
    model.save(tmp_path / "model.keras")  # where Keras must know the batch
    assert load_model(tmp_path / "model.keras").input_shape == (2, 5, 3)


def test_a_wrapper_may_come_first() -> None:
    assert Sequential([Input((None, 3)), Bidirectional(LSTM(4))]).output_shape == (None, 8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Input(), ValueError, "one of shape and batch_shape must be given, got 0 of them"),
        (lambda: Input((3,), batch_shape=(2, 3)), ValueError, "one of shape and batch_shape must be given, got 2"),
        (lambda: Input(3), TypeError, "input_shape must be a tuple, got 3"),
        (lambda: Input((3,), "a"), TypeError, "batch_size must be a whole number, got 'a'"),
        (lambda: Input(batch_shape=(2, 3), batch_size=2), ValueError, "batch_size must be None with a batch_shape"),
        (lambda: Input((3,), dtype="nope"), TypeError, "dtype must be a NumPy dtype, got 'nope'"),
        (lambda: Input((3,), name="a b"), ValueError, "name must be letters"),
        (lambda: Sequential([Dense(3), Input((3,))]), ValueError, "input_layer must be the first of sequential"),
        (lambda: Sequential([Input((3,)), Input((3,))]), ValueError, "input_layer must be the first of sequential"),
        (
            lambda: Sequential([Input((3,)), Dense(2, input_shape=(4,))]),
            ValueError,
            r"input_shape of dense must be that of input_layer, \(None, 3\), got \(None, 4\)",
        ),
        (lambda: Sequential([Input((3,))]).build((None, 3)), ValueError, "sequential has no layers"),
    ],
)
def test_bad_inputs(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
