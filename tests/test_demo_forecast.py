"""The forecast demo: how files are read, what the models see, how they are judged, what a run prints and refuses."""

from __future__ import annotations

import gzip
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastrnn.__main__ import main
from fastrnn.demos import Refusal, forecast
from fastrnn.demos.forecast import BUNDLED, Errors, Series, Settings, Windows
from fastrnn.models import load_checkpoint
from fastrnn.optimizers import SGD
from fastrnn.preprocessing import MinMaxScaler

SMALL = replace(BUNDLED, window=7, held_out=9, units=(4, 5, 6), gated=5, epochs=2)
OPTIONS = ["--window", "7", "--held-out", "9", "--units", "4", "5", "6", "--gated", "5", "--epochs", "2"]

# 2017-01-01 and the two days after it; the second day's only price is missing
MINUTES = """Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price
1483228800,1,1,1,10.0,1,1,1
1483315199,1,1,1,20.5,1,1,1
1483315200,1,1,1,NaN,NaN,NaN,NaN
1483401600,1,1,1,7.25,1,1,1
1483228860,1,1,1,30.0,1,1,1
1483401660,NaN,NaN,NaN,NaN,NaN,NaN,NaN
"""
OF_MINUTES = ["2017-01-01", "2017-01-03"], [60.5 / 3, 7.25]


def written(path: Path, text: str) -> str:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


# -------------------------------------------------------------------------------------------------------------- prices


@pytest.mark.parametrize("name", ["prices.csv", "prices.csv.gz"])
@pytest.mark.parametrize("chunk", [1, 2, 4, 100])
def test_minutes_become_days(name: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "CHUNK", chunk)
    series = Series.of_file(written(tmp_path / name, MINUTES))
    np.testing.assert_array_equal(series.days, np.array(OF_MINUTES[0], "datetime64[D]"))
    np.testing.assert_allclose(series.close, OF_MINUTES[1], rtol=1e-15)


@pytest.mark.parametrize(
    ("find", "put"),
    [
        ("NaN,NaN,NaN,NaN\n", ",,,\n"),  # empty fields
        ("\n1483401600", "\n\n  \n1483401600"),  # empty lines
        ("10.0", '"10.0"'),
        ("\n", "\r\n"),
        ("Timestamp", "\ufefftimestamp"),
        ("1483228800,", "1483228800.5 ,"),
    ],
)
def test_untidy_minutes_become_the_same_days(find: str, put: str, tmp_path: Path) -> None:
    series = Series.of_file(written(tmp_path / "prices.csv", MINUTES.replace(find, put)))
    np.testing.assert_array_equal(series.days, np.array(OF_MINUTES[0], "datetime64[D]"))
    np.testing.assert_allclose(series.close, OF_MINUTES[1], rtol=1e-15)


def test_both_ways_of_reading_agree(rng: np.random.Generator) -> None:
    seconds = rng.integers(0, 10**9, 50)
    rows = [f"{second},{close!r},x\n" for second, close in zip(seconds, rng.random(50).tolist(), strict=True)]
    quickly = forecast._quickly(rows, (0, 1))
    assert quickly is not None
    carefully = np.array(list(forecast._carefully(rows, (0, 1), "prices", 2, "timestamp")))
    np.testing.assert_array_equal(quickly, carefully)


def test_days_are_sorted_by_their_dates(tmp_path: Path) -> None:
    text = "Volume,Date,Close\n5,2021-03-31,3.5\n5,2021-03-29,1.5\n5,2021-03-30 00:00:00,\n5,2020-02-29,2.5\n"
    series = Series.of_file(written(tmp_path / "days.csv", text))
    np.testing.assert_array_equal(series.days, np.array(["2020-02-29", "2021-03-29", "2021-03-31"], "datetime64[D]"))
    np.testing.assert_array_equal(series.close, [2.5, 1.5, 3.5])


def test_without_dates_the_rows_are_the_days(tmp_path: Path) -> None:
    series = Series.of_file(written(tmp_path / "days.csv", "close\n3\n1\n2\n"))
    np.testing.assert_array_equal(series.days, [1, 2, 3])
    np.testing.assert_array_equal(series.close, [3, 1, 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have a column Close, got $"),
        ("Timestamp,Open\n1,2\n", "must have a column Close, got timestamp, open$"),
        (
            "Timestamp,Close\n1483228800,1\n1483228860,one\n",
            "line 3: must hold seconds since 1970 and a close, got '148",
        ),
        ("Timestamp,Close\n1483228800000,1\n", "line 2: must hold seconds since 1970 and a close"),  # milliseconds
        ("Timestamp,Close\nNaN,1\n", "line 2: must hold seconds"),
        ("Timestamp,Close\n1483228800,inf\n", "line 2: must hold seconds"),
        ("Timestamp,Close\n1483228800\n", "line 2: must hold seconds"),
        ("Date,Close\n2021-03-31,1\n03/30/2021,1\n", "line 3: must hold a date such as 2021-03-31 and a close"),
        ("Close\n1\n1,2\n-\n", "line 4: must hold a close, got '-'"),
    ],
)
def test_files_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=message):
        Series.of_file(written(tmp_path / "prices.csv", text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"cannot read .*nowhere: No such file"):
        Series.of_file(str(tmp_path / "nowhere"))
    (tmp_path / "latin.csv").write_bytes("Close,Währung\n".encode("latin-1"))
    with pytest.raises(Refusal, match="is not UTF-8 text"):
        Series.of_file(str(tmp_path / "latin.csv"))
    packed = gzip.compress(MINUTES.encode())
    for damaged in (packed[:-20], packed[:20] + bytes(9) + packed[29:]):
        (tmp_path / "prices.gz").write_bytes(damaged)
        with pytest.raises(Refusal, match=r"cannot read .*prices\.gz"):
            Series.of_file(str(tmp_path / "prices.gz"))


def test_the_made_up_prices() -> None:
    series = Series.made_up()
    np.testing.assert_array_equal(series.close, Series.made_up().close)
    assert len(series.days) == len(series.close) == 800
    assert (series.close > 0).all()
    # the weekly rhythm: the changes of a day are like those of a week before, and against those of half a week before
    change = np.diff(np.log(series.close))
    assert np.corrcoef(change[7:], change[:-7])[0, 1] > 0.6
    assert np.corrcoef(change[3:], change[:-3])[0, 1] < -0.5


# ------------------------------------------------------------------------------------------------------ what they see


def test_windows_are_followed_by_their_targets(rng: np.random.Generator) -> None:
    close = 100 + 10 * rng.random(40)
    windows = Windows.of(close, SMALL)
    scaler = MinMaxScaler().fit(close[:31, np.newaxis])
    scaled = scaler.transform(close[:, np.newaxis])[:, 0].astype(np.float32)
    assert windows.x_train.shape == (24, 7, 1)
    assert windows.y_train.shape == (24, 1)
    assert windows.x_test.shape == (9, 7, 1)
    for day in range(24):
        np.testing.assert_array_equal(windows.x_train[day, :, 0], scaled[day : day + 7])
        assert windows.y_train[day, 0] == scaled[day + 7]
    for day in range(9):  # the window before each held-out day
        np.testing.assert_array_equal(windows.x_test[day, :, 0], scaled[24 + day : 31 + day])
    np.testing.assert_array_equal(windows.x_next[0, :, 0], scaled[33:])
    np.testing.assert_allclose(windows.prices(windows.y_train), close[7:31], rtol=1e-6)  # through float32
    assert windows.x_train.dtype == np.float32


def test_the_held_out_days_teach_nothing(rng: np.random.Generator) -> None:
    close = 100 + 10 * rng.random(40)
    windows = Windows.of(close, SMALL)
    close[-9:] *= 50
    other = Windows.of(close, SMALL)
    np.testing.assert_array_equal(other.x_train, windows.x_train)
    np.testing.assert_array_equal(other.y_train, windows.y_train)
    assert other.x_test.max() > 10 > windows.x_test.max()


def test_the_shortest_series() -> None:
    assert len(Windows.of(np.arange(17.0), SMALL).x_train) == 1
    with pytest.raises(Refusal, match=r"16 days are too few: .* make 17"):
        Windows.of(np.arange(16.0), SMALL)


# ------------------------------------------------------------------------------------------------------------- verdict


def test_errors_by_hand() -> None:
    true, naive = np.array([10.0, 12.0, 9.0, 9.0]), np.array([8.0, 10.0, 12.0, 9.0])
    errors = Errors.of(np.array([10.0, 11.0, 12.0, 11.0]), true, naive)
    assert errors.mae == 6 / 4
    assert errors.rmse == pytest.approx((14 / 4) ** 0.5)
    # the naive errors are 2, 2, 3, 0; the gains 2, 1, 0, -2, of variance 8.75 / 3
    assert errors.gain == 1 / 4
    assert errors.doubt == pytest.approx((8.75 / 3 / 4) ** 0.5)


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        (Errors(0.9, 1.9, 0.1, 0.04), "beats the naive forecast"),
        (Errors(0.9, 1.9, 0.1, 0.06), "beats the naive forecast, but by no more than chance can do in so few days"),
        (Errors(0.9, 2.1, 0.1, 0.04), "does not beat the naive forecast: better by MAE, worse by RMSE"),
        (Errors(1.1, 1.9, -0.1, 0.04), "does not beat the naive forecast: better by RMSE, worse by MAE"),
        (Errors(1.0, 2.0, 0.0, 0.0), "does not beat the naive forecast"),
        (Errors(1.1, 2.1, -0.1, 0.04), "does not beat the naive forecast"),
    ],
)
def test_the_verdict(errors: Errors, verdict: str) -> None:
    assert errors.verdict(Errors(1.0, 2.0, 0.0, 0.0)) == verdict


# -------------------------------------------------------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        ("mlp", "Dense Dense Flatten Dense", 3_857),
        ("rnn", "SimpleRNN Dropout SimpleRNN Dropout SimpleRNN Dropout Flatten Dense", 539_649),
        ("lstm", "LSTM LSTM Dense", 49_985),
        ("gru", "GRU GRU Dense", 37_889),
    ],
)
def test_the_models_are_the_tutorials(name: str, classes: str, parameters: int) -> None:
    model = forecast.build_model(name, Settings())
    assert [type(layer).__name__ for layer in model.layers] == classes.split()
    assert model.parameters == parameters  # as Keras counts them
    rates = [layer.get_config()["rate"] for layer in model.layers if "Dropout" in type(layer).__name__]
    assert rates == ([0.25, 0.25, 0.35] if name == "rnn" else [])


@pytest.mark.parametrize("name", list(forecast.MODELS))
def test_a_seed_decides_every_bit(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    windows = Windows.of(Series.made_up(60).close, SMALL)

    def weights(seed: int) -> list[bytes]:
        model = forecast.build_model(name, replace(SMALL, seed=seed))
        forecast.train(model, windows, replace(SMALL, seed=seed), name)
        return [weight.tobytes() for weight in model.get_weights()]

    assert weights(4) == weights(4)
    assert weights(4) != weights(5)
    assert f"{name}: " in capsys.readouterr().out


def test_what_can_be_foretold_is_learned() -> None:
    """On the made-up prices the dense model halves the naive error: it learns the week."""
    series = Series.made_up()
    windows = Windows.of(series.close, BUNDLED)
    model = forecast.build_model("mlp", BUNDLED)
    forecast.train(model, windows, BUNDLED, "MLP")
    true, naive = series.close[-60:], series.close[-61:-1]
    errors = Errors.of(windows.prices(model.predict(windows.x_test, verbose=0)), true, naive)
    assert errors.mae < 0.7 * np.abs(naive - true).mean()  # 0.54
    assert errors.gain > 4 * errors.doubt


@pytest.mark.filterwarnings("ignore:overflow|invalid:RuntimeWarning")
def test_a_training_that_diverges_is_one_line() -> None:
    windows = Windows.of(Series.made_up(60).close, SMALL)
    model = forecast.build_model("mlp", SMALL)
    model.compile(SGD(1e30), "mse")
    with pytest.raises(Refusal, match=r"the loss is (inf|nan) in epoch"):
        forecast.train(model, windows, replace(SMALL, epochs=9), "MLP")


# -------------------------------------------------------------------------------------------------------- command line


def test_what_a_run_prints_and_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    close = Series.made_up(60).close
    days = np.datetime64("2021-01-01") + np.arange(60)
    rows = [f"{day},{price!r}\n" for day, price in zip(days, close.tolist(), strict=True)]
    path, folder = written(tmp_path / "days.csv", "date,close\n" + "".join(rows)), tmp_path / "new" / "folder"
    assert main(["demo", "forecast", "--data", path, *OPTIONS, "--out", str(folder)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{path}: 60 days, 2021-01-01 to 2021-03-01; 44 windows of 7 to train on, the last 9 days")
    assert text.count("loaded again, it predicts the same bits for 9 inputs") == 4
    files = [f"{name}.fastrnn" for name in forecast.MODELS]
    assert sorted(os.listdir(folder)) == sorted([*files, "forecast.png"])
    picture = imread(folder / "forecast.png")
    assert picture.shape[1] > picture.shape[0] > 600
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50

    def money(values: str) -> list[float]:
        return [float(value.replace(",", "")) for value in values.split()]

    true, naive = close[-9:], close[-10:-1]
    table = dict(re.findall(r"^(naive|MLP|SimpleRNN|LSTM|GRU) +([\d.,]+ +[\d.,]+) ", text, re.M))
    assert list(table) == ["naive", "MLP", "SimpleRNN", "LSTM", "GRU"]
    wanted = [np.abs(naive - true).mean(), np.sqrt(np.square(naive - true).mean())]
    assert money(table["naive"]) == pytest.approx(wanted, abs=0.006)
    for file, name in zip(files, list(table)[1:], strict=True):
        model, state = load_checkpoint(folder / file)
        scaler = MinMaxScaler.from_config(state["scaler"])
        x = np.array([close[day - 7 : day] for day in range(51, 60)])[..., np.newaxis]
        error = scaler.inverse_transform(model.predict(scaler.transform(x).astype(np.float32), verbose=0))[:, 0] - true
        # predictions of float32, of about a hundred dollars
        assert money(table[name]) == pytest.approx([np.abs(error).mean(), np.sqrt(np.square(error).mean())], abs=0.006)
        assert re.search(rf"^{name} (beats|does not beat) the naive forecast", text, re.M)


def test_models_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "forecast", *OPTIONS, "--model", "gru", "mlp", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^(\w+) (?:beats|does not beat)", text, re.M) == ["GRU", "MLP"]
    assert "made-up prices: 800 days" in text
    assert {"gru.fastrnn", "mlp.fastrnn"} <= set(os.listdir(tmp_path)) <= {"gru.fastrnn", "mlp.fastrnn", "forecast.png"}


def test_without_matplotlib_the_training_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "forecast", *OPTIONS, "--model", "mlp", "--out", str(tmp_path)]) == 0
    assert "no picture: pictures need matplotlib" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["mlp.fastrnn"]


def test_what_cannot_be_done_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main(["demo", "forecast", "--data", str(tmp_path / "nowhere"), *out]) == 2
    assert re.fullmatch("fastrnn: error: cannot read .*nowhere: No such file or directory\n", capsys.readouterr().err)
    assert main(["demo", "forecast", "--held-out", "740", *out]) == 2
    assert capsys.readouterr().err.startswith("fastrnn: error: 800 days are too few")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    assert main(["demo", "forecast", *OPTIONS, "--out", str(tmp_path / "file" / "folder")]) == 2
    assert "cannot write" in capsys.readouterr().err
    for options in (["--epochs", "0"], ["--units", "4", "5"], ["--model", "arima"], ["--held-out", "0"]):
        with pytest.raises(SystemExit):
            main(["demo", "forecast", *options])
        assert options[0] in capsys.readouterr().err
