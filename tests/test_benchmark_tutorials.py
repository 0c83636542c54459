"""The plumbing of `benchmarks/tutorials.py`, on tiny models of fastrnn alone; nothing here is a measurement."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the benchmarks are not installed

from benchmarks import tutorials
from benchmarks.trainers import System
from benchmarks.trainers.fastrnn import make

TINY = {
    "sentiment": (lambda cell: tutorials.sentiment(cell, words=50, maxlen=7, units=3, batch=4), ("SimpleRNN", "GRU")),
    "forecast": (
        lambda cell: tutorials.forecast(cell, units=(3, 4, 5), gated=4, window=6, batch=4),
        ("MLP", "SimpleRNN"),
    ),
    "char": (lambda cell: tutorials.char(cell, vocabulary=9, units=4, steps=5, batch=4), ("LSTM",)),
}


def tiny_data(name: str, folder: Path | None, seed: int = 0) -> tutorials.Data:
    rng = np.random.default_rng(3)
    if name == "sentiment":
        return tutorials.Data(
            rng.integers(50, size=(10, 7)).astype(np.int32), rng.integers(2, size=10).astype("f4"), "x"
        )
    if name == "char":
        x, y = rng.integers(9, size=(2, 12, 5)).astype(np.int32)
        return tutorials.Data(x, y, "x")
    return tutorials.Data(rng.random((10, 6, 1), "f4"), rng.random((10, 1), "f4"), "x")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tutorials, "SYSTEMS", TINY)
    monkeypatch.setattr(tutorials, "data", tiny_data)


@pytest.mark.usefixtures("tiny")
def test_all_of_it_with_fastrnn_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, report = tmp_path / "results.json", tmp_path / "report.md"
    options = ["--libs", "fastrnn", "--steps", "3", "--rounds", "2", "--threads", "1", "--json", str(file)]
    assert tutorials.main([*options, "--systems", "sentiment GRU,forecast"]) == 0
    assert tutorials.main([*options, "--systems", "sentiment SimpleRNN,char", "--append", "--output", str(report)]) == 0
    results: dict[str, Any] = json.loads(file.read_text())
    names = [entry["system"] for entry in results["systems"]]
    assert names == ["sentiment SimpleRNN", "sentiment GRU", "forecast MLP", "forecast SimpleRNN", "char LSTM"]
    for entry in results["systems"]:
        got = entry["times"]["fastrnn"]
        assert entry["steps"] == 9 and entry["steps_per_epoch"] == 3
        assert len(got["rounds"]) == len(got["losses"]) == 3 and np.isfinite(got["losses"]).all()
        assert got["epoch"] == pytest.approx(3 * got["step"]) and got["step"] > 0
        layers = {"optimizer", "loss", "Dense", "the rest of fit"}
        assert layers <= set(entry["parts"]) and all(seconds >= 0 for seconds in entry["parts"].values())
        assert (tutorials.RECURRENT in entry["parts"]) == (entry["system"] != "forecast MLP")
    text = report.read_text()
    assert capsys.readouterr().out.endswith(text)
    assert text.count("| char LSTM |") == 3 and "its own" in text
    capsys.readouterr()
    assert tutorials.main(["--report", str(file)]) == 0
    assert capsys.readouterr().out == text


def test_the_batches_and_weights_are_the_same_at_every_call() -> None:
    system = TINY["forecast"][0]("SimpleRNN")
    rows = tiny_data("forecast", None)
    found = []
    for _ in range(2):
        with tutorials.stored(system, rows, 6) as path, np.load(path) as stored:
            found.append(dict(stored))
    assert found[0].keys() == found[1].keys() and len(found[0]["x"]) == 24
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name])
    assert len(np.unique(found[0]["x"][:10], axis=0)) == 10  # the first lap has every row
    kernels = [value for name, value in found[0].items() if name.startswith("w") and value.ndim == 2]
    assert len({value.tobytes() for value in kernels}) == len(kernels)


def test_a_stretch_is_fit_and_starts_where_the_last_one_ended() -> None:
    from benchmarks.trainers import fastrnn, serve

    system = TINY["sentiment"][0]("GRU")
    with tutorials.stored(system, tiny_data("sentiment", None), 4) as path:
        server = serve.Server(fastrnn.Library(1))
        described = json.loads(json.dumps(tutorials.asdict(system)))
        assert System.of(described) == system
        assert server.prepare(described, path, trial=2)["idiom"] == "fit"
        found = [server.stretch(0, 2)["loss"], server.stretch(2, 2)["loss"]]
        model = make(system)
        with np.load(path) as stored:
            model.set_weights([stored[f"w{number}"] for number in range(len(stored.files) - 2)])
            x, y = stored["x"], stored["y"]
        losses = [model.train_on_batch(x[at : at + 4], y[at : at + 4])[0] for at in range(0, 16, 4)]
    np.testing.assert_allclose(found, [np.mean(losses[:2]), np.mean(losses[2:])], rtol=1e-6)


@pytest.mark.parametrize("name", ["sentiment", "forecast", "images", "char"])
def test_made_up_data_suit_the_systems(name: str) -> None:
    build, cells = tutorials.SYSTEMS[name]
    rows = tutorials.data(name, None)
    for cell in cells:
        system = build(cell)
        assert rows.x.shape[1:] == system.input_shape and len(rows.x) == len(rows.y) >= 20 * system.batch
        assert rows.x.dtype == (np.int32 if system.whole_numbers else np.float32)
    if system.whole_numbers:
        assert rows.x.min() >= 0 and rows.x.max() < system.layers[0][1]["input_dim"]


def test_what_the_rest_adds() -> None:
    assert tutorials.outside({tutorials.RECURRENT: 2.0, "loss": 0.5, "optimizer": 0.25}) == pytest.approx(0.375)
    assert tutorials.outside({"Dense": 1.0}) is None


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, told in (
        (["--systems", "sentimental"], "got 'sentimental'"),
        (["--systems", ","], "must name at least one"),
        (["--systems", "char GRU"], "got 'char GRU'"),
        (["--libs", "jax"], "got 'jax'"),
        (["--steps", "1"], "--steps must be at least 2"),
        (["--append"], "--append needs --json"),
        (["--python", "torch"], "LIB=PATH"),
    ):
        with pytest.raises(SystemExit):
            tutorials.main(options)
        assert told in capsys.readouterr().err
    with pytest.raises(ValueError, match="--append needs the same threads"):
        tutorials.merge(
            {"schema": 1, "machine": {}, "threads": 1}, {"schema": 1, "machine": {}, "threads": 2, "libraries": {}}
        )
