"""The gan demo: what the models see, whose gradients go where, how gains are judged, what a run prints and refuses."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastrnn.__main__ import main
from fastrnn.demos import Refusal, gan
from fastrnn.demos.forecast import Series
from fastrnn.demos.gan import BOUND, Gain, Game, Settings, Windows
from fastrnn.losses import BinaryCrossentropy

SMALL = Settings(window=5, held_out=6, units=4, noise=2, steps=3, epochs=1, batch=8, seeds=2)
OPTIONS = "--window 5 --held-out 6 --units 4 --noise 2 --steps 3 --epochs 1 --batch 8 --seeds 2".split()


def test_windows_are_scaled_returns() -> None:
    close = Series.made_up(40).close
    windows = Windows.of(close, SMALL)
    returns = np.log(close[1:] / close[:-1])
    mean, deviation = returns[:-6].mean(), returns[:-6].std()  # of the days before the test alone
    scaled = (returns - mean) / deviation
    assert windows.train.shape == (33 - 5, 6, 1)
    assert windows.train.dtype == windows.x_test.dtype == np.float32
    for row in (0, 11, 27):
        np.testing.assert_allclose(windows.train[row, :, 0], scaled[row : row + 6], rtol=1e-5, atol=1e-6)
    for day in range(6):
        np.testing.assert_allclose(windows.x_test[day, :, 0], scaled[28 + day : 33 + day], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(windows.before, close[-7:-1])
    np.testing.assert_array_equal(windows.true, close[-6:])
    assert windows.naive == pytest.approx(np.abs(np.diff(close[-7:])).mean())
    assert windows.mae(scaled[-6:, np.newaxis]) == pytest.approx(0, abs=1e-9)  # who knows the returns is right
    np.testing.assert_allclose(windows.paths(windows.train[:2])[1], 100 * close[1:8] / close[1], rtol=1e-5)


def test_shuffled_windows_hold_true_returns_in_any_order() -> None:
    windows = Windows.of(Series.made_up(60).close, SMALL)
    shuffled = windows.shuffled(500, 3)
    assert shuffled.shape == (500, 6, 1)
    assert set(shuffled.ravel()) == set(windows.train.ravel())
    assert abs(gan.traits(shuffled)[3]) < 0.1 < gan.traits(windows.train)[3]


def test_traits_by_hand(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 9, 1))
    deviation, of_windows, kurtosis, next_, week, size = gan.traits(x)
    values = x[..., 0]
    assert deviation == pytest.approx(values.std())
    assert of_windows == pytest.approx(values.sum(axis=1).std() / 3)
    assert kurtosis == pytest.approx(((values - values.mean()) ** 4).mean() / values.var() ** 2)
    assert next_ == pytest.approx(np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1])
    assert week == pytest.approx(np.corrcoef(values[:, 7:].ravel(), values[:, :2].ravel())[0, 1])
    assert size == pytest.approx(np.corrcoef(abs(values[:, 1:]).ravel(), abs(values[:, :-1]).ravel())[0, 1])
    assert np.isnan(gan.traits(x[:, :7])[4])


def test_the_generators_gradient_comes_through_the_discriminator(rng: np.random.Generator) -> None:
    """Finite differences: its last bias moves the loss of the discriminator's opinion of its windows."""
    game = Game(SMALL, 6, 1)
    noise, loss = game.noise(4), BinaryCrossentropy(from_logits=True)

    def value() -> float:
        said = game.discriminator(game.generator(noise))
        return loss(np.ones_like(said), said)

    invented = game.generator(noise, training=True)
    said = game.discriminator(invented, training=True)
    through = game.discriminator.backward(loss.value_and_grad(np.ones_like(said), said)[1], need_dx=True)
    assert through is not None and through.shape == invented.shape
    game.generator.backward(through)
    bias = game.generator.variables[-1]
    assert isinstance(bias.grad, np.ndarray)
    before, step = bias.value.copy(), 0.02
    values = []
    for shift in (step, -step):
        bias.assign(before + np.float32(shift))
        values.append(value())
    assert bias.grad[0] == pytest.approx((values[0] - values[1]) / (2 * step), rel=0.02)
    assert abs(bias.grad[0]) > 1e-4


def test_a_step_moves_both_models_and_a_seed_decides_it() -> None:
    windows = Windows.of(Series.made_up(60).close, SMALL).train

    def played(seed: int) -> tuple[np.ndarray, list[bytes]]:
        game = Game(SMALL, 6, seed)
        models = (game.generator, game.discriminator)
        before = [each.tobytes() for model in models for each in model.get_weights()]
        losses = game.train(windows, SMALL, "game")
        after = [each.tobytes() for model in models for each in model.get_weights()]
        assert all(one != other for one, other in zip(before, after, strict=True))
        return losses, after

    losses, weights = played(1)
    again, same = played(1)
    np.testing.assert_array_equal(losses, again)
    assert weights == same
    assert weights != played(2)[1]
    assert losses.shape == (3, 2)
    np.testing.assert_allclose(losses, np.log(2), atol=0.2)  # at first neither knows anything


def test_a_tie_is_the_least_loss_of_who_cannot_tell() -> None:
    p = np.linspace(0.001, 0.999, 999)
    losses = -(gan.SURE * np.log(p) + (1 - gan.SURE) * np.log(1 - p) + np.log(1 - p)) / 2
    assert gan.TIE[1] == pytest.approx(losses.min(), abs=1e-6)
    assert gan.TIE[0] == pytest.approx(-np.log(p[losses.argmin()]), abs=2e-3)


def test_generated_windows_stay_within_the_bound() -> None:
    game = Game(SMALL, 6, 1)
    game.generator.set_weights([100 * each for each in game.generator.get_weights()])
    windows = game.generate(50)
    assert windows.shape == (50, 6, 1)
    assert 0.9 * BOUND < np.abs(windows).max() <= BOUND


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([0.9, 1.0, 1.1, 0.8, 1.2], "help"),
        ([-0.9, -1.0, -1.1, -0.8, -1.2], "do harm"),
        ([0.1, 1.0, 1.1, 0.1, 0.1], "make no difference that so few seeds could show"),  # 2.2 standard errors
        ([0.9, 1.0, 1.1, 0.8], "make no difference that so few seeds could show"),
        ([5.0], "make no difference that so few seeds could show"),
    ],
)
def test_the_verdict(gains: list[float], verdict: str) -> None:
    gain = Gain.of(np.full(len(gains), 7.0), 7.0 - np.array(gains))
    assert gain.mean == pytest.approx(np.mean(gains))
    if len(gains) > 1:
        assert gain.doubt == pytest.approx(np.std(gains, ddof=1) / np.sqrt(len(gains)))
    assert gain.verdict == verdict


def test_what_a_run_prints_and_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    close = Series.made_up(60).close
    path = tmp_path / "days.csv"
    path.write_text("close\n" + "".join(f"{price!r}\n" for price in close.tolist()))
    assert main(["demo", "gan", "--data", str(path), *OPTIONS, "--out", str(tmp_path / "new")]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{path}: 60 days, 1 to 60; 48 windows of 5 returns and the next one, the last 6 days")
    assert text.count("loaded again, it predicts the same bits for") == 3
    files = ["discriminator.fastrnn", "forecaster.fastrnn", "gan.png", "generator.fastrnn"]
    assert sorted(os.listdir(tmp_path / "new")) == files
    naive = re.search(r"^naive +([\d.]+)$", text, re.M)
    assert naive is not None and float(naive[1]) == pytest.approx(np.abs(np.diff(close[-7:])).mean(), abs=0.006)
    assert re.findall(r"^(true windows|and \w+) +\d", text, re.M) == ["true windows", "and generated", "and shuffled"]
    assert re.search(r"^generated windows (help|do harm|make no difference)", text, re.M)
    assert re.findall(r"^(true|generated|shuffled)  +-?\d", text, re.M) == ["true", "generated", "shuffled"]
    picture = imread(tmp_path / "new" / "gan.png")
    assert picture.shape[1] > picture.shape[0] > 600
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50


def test_without_matplotlib_the_run_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "gan", *OPTIONS, "--seeds", "1", "--cell", "gru", "--out", str(tmp_path)]) == 0
    assert "no picture: pictures need matplotlib" in capsys.readouterr().out


def test_what_cannot_be_done_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(Windows.of(Series.made_up(13).close, SMALL).train) == 1
    with pytest.raises(Refusal, match=r"12 days are too few: .* make 13"):
        Windows.of(Series.made_up(12).close, SMALL)
    with pytest.raises(Refusal, match=r"every close must be above 0, got -1"):
        Windows.of(np.arange(-1.0, 30.0), SMALL)
    out = ["--out", str(tmp_path / "out")]
    assert main(["demo", "gan", "--data", str(tmp_path / "nowhere"), *out]) == 2
    assert re.fullmatch("fastrnn: error: cannot read .*nowhere: No such file or directory\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    assert main(["demo", "gan", *OPTIONS, "--out", str(tmp_path / "file" / "folder")]) == 2
    assert "cannot write" in capsys.readouterr().err
    for options in (["--steps", "0"], ["--lr", "0"], ["--cell", "cnn"]):
        with pytest.raises(SystemExit):
            main(["demo", "gan", *options])
        assert options[0] in capsys.readouterr().err


def test_prices_that_can_be_foretold_are(capsys: pytest.CaptureFixture[str]) -> None:
    """On the made-up prices the forecaster learns the week: far better than the naive forecast."""
    windows = Windows.of(Series.made_up(400).close, replace(SMALL, window=14, held_out=40))
    settings = replace(SMALL, window=14, units=16, batch=32)
    model = gan.learn(windows.train, settings, 400, 1, "forecaster")
    assert windows.mae(model.predict(windows.x_test, verbose=0)) < 0.7 * windows.naive
