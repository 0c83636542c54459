"""Callbacks: when they are called, Keras's decisions from the same figures, what they write, and their backup."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import saving
from fastrnn.callbacks import (
    BackupAndRestore,
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from fastrnn.layers import Dense
from fastrnn.models import Sequential, load_model
from fastrnn.optimizers import SGD
from fastrnn.schedules import ExponentialDecay

X = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
Y = X[:, :1] - X[:, 1:2]
FIGURES = [1.0, 0.9, 0.95, 0.91, 0.89, 0.885, 0.9, 0.9, 0.9, 0.9]


def small(rate: Any = 0.1) -> Sequential:
    model = Sequential([Dense(1, input_shape=(3,), seed=1)])
    model.compile(SGD(rate, momentum=0.9), "mse")
    return model


class Say(Callback):
    """Gives every epoch a figure of the test's choice."""

    def __init__(self, values: Sequence[float] = FIGURES, name: str = "figure") -> None:
        self.values, self.name = values, name

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs[self.name] = self.values[epoch]


class Crash(Callback):
    """An error before an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise RuntimeError("crash")


def run(model: Sequential, *callbacks: Callback, epochs: int = 10, **options: Any) -> History:
    return model.fit(X, Y, 4, epochs, 0, list(callbacks), seed=1, **options)


# ---- when they are called


class Record(Callback):
    """Writes down every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []


def _recorder(name: str) -> Any:
    def record(self: Record, *arguments: Any) -> None:
        *before, logs = arguments
        self.calls.append((name.removeprefix("on_"), *before, sorted(logs)))

    return record


for _name in [
    name for name in vars(Callback) if name.startswith("on_") and name not in ("on_batch_begin", "on_batch_end")
]:
    setattr(Record, _name, _recorder(_name))


def test_the_order_of_the_calls_is_that_of_keras() -> None:
    record = Record()
    model = small()
    run(model, record, epochs=1, validation_split=0.5)
    assert record.calls == [
        ("train_begin", []),
        ("epoch_begin", 0, []),
        ("train_batch_begin", 0, []),
        ("train_batch_end", 0, ["loss"]),
        ("test_begin", []),
        ("test_batch_begin", 0, []),
        ("test_batch_end", 0, ["loss"]),
        ("test_end", ["loss"]),
        ("epoch_end", 0, ["loss", "val_loss"]),
        ("train_end", ["loss", "val_loss"]),
    ]
    assert record.model is model
    assert record.params == {"verbose": 0, "epochs": 1, "steps": 1}
    record.calls.clear()
    model.evaluate(X, Y, 4, 0, callbacks=[record])
    assert [call[0] for call in record.calls] == ["test_begin", *["test_batch_begin", "test_batch_end"] * 2, "test_end"]
    record.calls.clear()
    model.predict(X, 4, 0, callbacks=record)
    assert [call[:2] for call in record.calls[1:-1]] == [
        ("predict_batch_begin", 0),
        ("predict_batch_end", 0),
        ("predict_batch_begin", 1),
        ("predict_batch_end", 1),
    ]
    assert record.calls[2][2] == ["outputs"]


def test_batch_figures_are_means_so_far() -> None:
    seen: list[float] = []
    model, other = small(0.0), small(0.0)
    keep = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
    history = model.fit(X, Y, 3, 1, 0, keep, shuffle=False)
    first, second, third = (other.test_on_batch(X[a:b], Y[a:b]) for a, b in ((0, 3), (3, 6), (6, 8)))
    np.testing.assert_allclose(seen, [first, (first + second) / 2, (3 * first + 3 * second + 2 * third) / 8])
    assert history.history["loss"] == seen[-1:]


def test_nobody_asks_for_batches_unless_a_callback_does() -> None:
    class Old(Callback):
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            pass

    quiet = [
        EarlyStopping(),
        ModelCheckpoint("x"),
        ReduceLROnPlateau(),
        BackupAndRestore("x"),
        CSVLogger("x"),
        History(),
    ]
    assert CallbackList(quiet).per_batch == {"train": False, "test": False, "predict": False}
    for each in (
        Old(),
        TerminateOnNaN(),
        LambdaCallback(on_train_batch_begin=print),
        ModelCheckpoint("x", save_freq=3),
        BackupAndRestore("x", save_freq=3),
    ):
        assert CallbackList([*quiet, each]).per_batch == {"train": True, "test": False, "predict": False}
    assert CallbackList(LambdaCallback(on_test_batch_end=print)).per_batch["test"]


def test_the_list_adds_a_history_and_ends_with_the_backup() -> None:
    backup, history, other = BackupAndRestore("x"), History(), Callback()
    listed = CallbackList([backup, other], add_history=True)
    assert listed.callbacks == [other, listed.history, backup]
    listed = CallbackList([backup, history, other], add_history=True)
    assert listed.callbacks == [history, other, backup] and listed.history is history
    assert CallbackList(None).callbacks == []
    model = small()
    kept = model.fit(X, Y, verbose=0, callbacks=CallbackList([history]))
    assert kept is history and len(history.history["loss"]) == 1


def test_lambdas_may_name_their_arguments_as_they_like() -> None:
    seen: list[Any] = []
    run(
        small(),
        LambdaCallback(
            on_epoch_begin=lambda e, _: seen.append(e),
            on_epoch_end=lambda number, figures: seen.append(sorted(figures)),
            on_train_begin=lambda _: seen.append("begin"),
            on_train_end=lambda anything: seen.append("end"),
            on_train_batch_begin=lambda b, _: seen.append(-b),
            on_test_end=lambda logs: seen.append("tested"),
        ),
        epochs=1,
        validation_split=0.5,
    )
    assert seen == ["begin", 0, 0, "tested", ["loss", "val_loss"], "end"]
    with pytest.raises(TypeError, match="LambdaCallback has no argument 'on_epoch'"):
        LambdaCallback(on_epoch=print)


def test_history_of_several_runs() -> None:
    model = small()
    first = run(model, epochs=2)
    second = run(model, epochs=5, initial_epoch=2)
    assert (first.epoch, second.epoch) == ([0, 1], [2, 3, 4])
    assert len(first.history["loss"]) == 2 and model.history is second


# ---- Keras's decisions: lengths of runs, epochs and rates are those of Keras 3.15 for the same figures


@pytest.mark.parametrize(
    ("options", "length", "best"),
    [
        ({"patience": 0}, 3, 1),
        ({"patience": 2}, 4, 1),
        ({"patience": 2, "min_delta": 0.01}, 4, 1),
        ({"patience": 1, "baseline": 0.895}, 3, 1),
        ({"patience": 2, "start_from_epoch": 3}, 8, 5),
        ({"patience": 3, "mode": "max"}, 4, 0),
    ],
)
def test_early_stopping_stops_where_keras_does(options: dict[str, Any], length: int, best: int) -> None:
    stop = EarlyStopping("figure", **options)
    history = run(small(), Say(), stop)
    assert (len(history.epoch), stop.stopped_epoch, stop.best_epoch) == (length, length - 1, best)
    assert len(run(small(), Say(), stop).epoch) == length, "it begins anew with every run"


def test_early_stopping_puts_the_best_weights_back(capsys: pytest.CaptureFixture[str]) -> None:
    kept: list[np.ndarray] = []
    model = small()
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()[0]))
    run(model, Say(), keep, EarlyStopping("figure", patience=3, restore_best_weights=True, verbose=1))
    assert capsys.readouterr().out == (
        "Epoch 9: early stopping\nRestoring model weights from the end of the best epoch: 6.\n"
    )
    assert model.get_weights()[0].tobytes() == kept[5].tobytes()
    model = small()
    kept.clear()
    run(model, Say([1.0, 2.0, 3.0]), keep, EarlyStopping("figure", patience=9, restore_best_weights=True), epochs=3)
    assert model.get_weights()[0].tobytes() == kept[0].tobytes(), "also when it did not stop the run"
    model = small()
    kept.clear()
    run(model, Say(), keep, EarlyStopping("figure", patience=1))
    assert model.get_weights()[0].tobytes() == kept[-1].tobytes()


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"patience": 1}, [0.1, 0.1, 0.1, 0.05, 0.025, 0.025, 0.025, 0.0125, 0.00625, 0.003125]),
        ({"patience": 2, "cooldown": 1}, [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025]),
        ({"patience": 1, "min_lr": 0.02}, [0.1, 0.1, 0.1, 0.05, 0.025, 0.025, 0.025, 0.02, 0.02, 0.02]),
        ({"patience": 2, "min_delta": 0.02}, [0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125]),
    ],
)
def test_the_rate_is_reduced_where_keras_does(options: dict[str, Any], rates: list[float]) -> None:
    reduce = ReduceLROnPlateau("figure", factor=0.5, **options)
    for _ in range(2):
        assert run(small(), Say(), reduce).history["learning_rate"] == pytest.approx(rates)


def test_reduce_says_when(capsys: pytest.CaptureFixture[str]) -> None:
    run(small(), Say(), ReduceLROnPlateau("figure", 0.5, patience=3, verbose=1))
    assert capsys.readouterr().out == "Epoch 9: ReduceLROnPlateau reducing learning rate to 0.05.\n"


def test_accuracies_and_their_like_grow() -> None:
    for name in ("acc", "val_accuracy", "sparse_categorical_accuracy", "auc", "val_AUC", "precision", "recall"):
        stop = EarlyStopping(name)
        assert stop._better(0.9, 0.8) and not stop._better(0.8, 0.9)
    for name in ("loss", "val_loss", "mae", "val_perplexity"):
        stop = EarlyStopping(name)
        assert stop._better(0.8, 0.9) and not stop._better(0.9, 0.8)


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau])
def test_a_figure_that_is_not_there(kind: Any) -> None:
    with pytest.warns(UserWarning, match=rf"{kind.__name__} watches 'val_loss', which is not among the figures \(loss"):
        run(small(), kind(), epochs=1)


def test_schedules_of_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    history = run(small(), LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)), epochs=3)
    assert history.history["learning_rate"] == [0.1, 0.05, 0.1 / 3]
    halve = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate, verbose=1)
    assert run(small(), halve, epochs=3).history["learning_rate"] == [0.1, 0.05, 0.025]
    assert capsys.readouterr().out.splitlines()[1] == ("Epoch 2: LearningRateScheduler setting learning rate to 0.05.")

    def broken(epoch: int, rate: float) -> float:
        return rate + "a"  # type: ignore[operator]

    with pytest.raises(TypeError, match="unsupported operand"):
        run(small(), LearningRateScheduler(broken))
    with pytest.raises(TypeError, match="what the schedule returns must be a number, got None"):
        run(small(), LearningRateScheduler(lambda epoch: None))  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="follows a schedule: it cannot be set"):
        run(small(ExponentialDecay(0.1, 10, 0.9)), LearningRateScheduler(lambda epoch: 0.1))


def test_rates_are_no_figures_unless_something_sets_them() -> None:
    assert list(run(small(ExponentialDecay(0.1, 10, 0.9)), epochs=1).history) == ["loss"]


# ---- files


def test_csv_is_that_of_keras(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    losses = run(small(), CSVLogger(path), epochs=2).history["loss"]
    assert path.read_bytes().decode() == f"epoch,loss,val_loss\r\n0,{losses[0]},NA\r\n1,{losses[1]},NA\r\n"
    history = run(small(), CSVLogger(path, append=True), epochs=1, validation_split=0.5).history
    lines = path.read_bytes().decode().split("\r\n")
    assert lines[3:] == [f"0,{history['loss'][0]},{history['val_loss'][0]}", ""]
    run(small(), Say(name="a"), CSVLogger(path, separator=";"), epochs=1)
    assert path.read_text().splitlines()[0] == "epoch;a;loss;val_a;val_loss"


def test_checkpoints_by_epoch_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small()
    run(model, Say(), ModelCheckpoint(tmp_path / "new" / "{epoch:02d}-{figure:.2f}.model", verbose=1), epochs=3)
    assert sorted(os.listdir(tmp_path / "new")) == ["01-1.00.model", "02-0.90.model", "03-0.95.model"]
    assert capsys.readouterr().out.splitlines()[0] == f"Epoch 1: saving model to {tmp_path}/new/01-1.00.model"
    loaded = load_model(tmp_path / "new" / "03-0.95.model")
    assert loaded.get_weights()[0].tobytes() == model.get_weights()[0].tobytes()
    assert loaded.optimizer is not None and loaded.optimizer.iterations == 6


def test_only_the_best_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model, kept = tmp_path / "best", small(), []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()[0]))
    run(model, Say(), keep, ModelCheckpoint(path, "figure", save_best_only=True, verbose=1))
    assert load_model(path).get_weights()[0].tobytes() == kept[5].tobytes()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Epoch 1: figure improved from None to 1.00000, saving model to {path}"
    assert lines[2] == "Epoch 3: figure did not improve from 0.90000"
    path.unlink()
    run(small(), Say(), ModelCheckpoint(path, "figure", save_best_only=True, initial_value_threshold=0.5))
    assert not path.exists()
    with pytest.warns(UserWarning, match="ModelCheckpoint watches 'val_loss'"):
        run(small(), ModelCheckpoint(path, save_best_only=True), epochs=1)
    assert path.exists()


def test_checkpoints_by_steps_and_of_weights(tmp_path: Path) -> None:
    model = small()
    files = tmp_path / "{epoch}-{batch}"
    run(model, ModelCheckpoint(files, save_weights_only=True, save_freq=3), epochs=4)
    assert sorted(os.listdir(tmp_path)) == ["2-1", "3-2"]  # two steps an epoch
    loaded = load_model(tmp_path / "3-2")
    assert loaded.optimizer is None and loaded.loss is None
    other = small()
    other.load_weights(tmp_path / "3-2")
    assert other.get_weights()[0].tobytes() == loaded.get_weights()[0].tobytes()
    assert other.optimizer is not None and other.optimizer.iterations == 0
    bare = Sequential([Dense(1)])
    bare.load_weights(tmp_path / "3-2")
    assert bare.get_weights()[0].tobytes() == loaded.get_weights()[0].tobytes()
    with pytest.raises(ValueError, match="weights"):
        Sequential([Dense(2, input_shape=(3,))]).load_weights(tmp_path / "3-2")


def test_fields_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"filepath must have fields of epoch, loss only, got .*val_loss:.2f"):
        run(small(), ModelCheckpoint(tmp_path / "{val_loss:.2f}"))


# ---- backup


def watchers(folder: Path) -> list[Callback]:
    """All that remember something."""
    return [
        Say(),
        LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        ReduceLROnPlateau("figure", 0.5, patience=1, cooldown=1),
        ModelCheckpoint(folder / "best", "figure", save_best_only=True),
        CSVLogger(folder / "log.csv"),
        EarlyStopping("figure", patience=2, restore_best_weights=True, start_from_epoch=1),
    ]


@pytest.mark.parametrize("crash", [1, 2, 3])
@pytest.mark.parametrize("save_freq", ["epoch", 1])
def test_every_callback_goes_on_where_it_stood(tmp_path: Path, crash: int, save_freq: Any) -> None:
    results = []
    for name in ("whole", "stopped"):
        folder = tmp_path / name
        folder.mkdir()
        backup = BackupAndRestore(folder / "backup", save_freq)
        model = small()
        if name == "stopped":
            with pytest.raises(RuntimeError, match="crash"):
                run(model, *watchers(folder), Crash(crash), backup)
            model = small()
        history = run(model, *watchers(folder), Crash(-1), backup)
        assert not (folder / "backup").exists()
        best = load_model(folder / "best").get_weights()[0].tobytes()
        log = (folder / "log.csv").read_text()
        results.append((history.history, history.epoch, model.get_weights()[0].tobytes(), best, log))
    assert results[0] == results[1]
    assert 3 < len(results[0][1]) < 10, "it was stopped early, and not at once"


def test_a_backup_can_be_kept_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    model = small()
    run(model, BackupAndRestore(tmp_path, delete_checkpoint=False), epochs=2)
    assert sorted(os.listdir(tmp_path)) == ["backup.fastrnn", "precious"]
    more = small()
    history = run(more, BackupAndRestore(tmp_path), epochs=4)
    assert history.epoch == [0, 1, 2, 3]
    assert os.listdir(tmp_path) == ["precious"]
    whole = small()
    run(whole, epochs=4)
    assert whole.get_weights()[0].tobytes() == more.get_weights()[0].tobytes()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c, a: c.pop("position"), "'position' is missing"),
        (lambda c, a: c["callbacks"].append({"class": "Crash", "state": {}}), "callbacks must be those of the run"),
        (lambda c, a: a.pop("weights/dense/bias"), "'bias' is missing"),
        (
            lambda c, a: a.update({"weights/dense/bias": np.ones(7, np.float32)}),
            r"bias must be float32 of shape \(1,\)",
        ),
        (lambda c, a: a.update({"weights/dense/other": np.ones(7)}), "no weight named other"),
        (lambda c, a: a.update({"more": np.ones(7)}), "nothing in sequential takes more"),
        (lambda c, a: a.pop("optimizer/0/velocity"), "0/velocity, 1/velocity is missing"),
        (lambda c, a: a.update({"carried/dense/h": np.ones(7)}), "dense carries no state"),
    ],
)
def test_a_backup_of_another_run_is_refused(tmp_path: Path, edit: Any, message: str) -> None:
    run(small(), BackupAndRestore(tmp_path, delete_checkpoint=False), epochs=2)
    content, arrays = saving.read(tmp_path / "backup.fastrnn")
    edit(content, arrays)
    saving.write(tmp_path / "backup.fastrnn", content, arrays)
    model = small()
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"cannot load '.*backup.fastrnn': .*{message}"):
        run(model, BackupAndRestore(tmp_path))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(model.get_weights(), before, strict=True))


def test_the_state_of_a_callback_is_plain() -> None:
    """JSON and arrays, nothing else."""
    model = small()
    watching = EarlyStopping("figure", restore_best_weights=True)
    run(model, Say(), watching, epochs=2)
    state = watching.get_state()
    arrays = {name for name, value in state.items() if isinstance(value, np.ndarray)}
    assert arrays == {"weights0", "weights1"}
    json.dumps({name: value for name, value in state.items() if name not in arrays})
    again = EarlyStopping("figure", restore_best_weights=True)
    again.set_state(state)
    assert again.best == 0.9 and again.best_weights is not None and len(again.best_weights) == 2


# ---- arguments


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(3), TypeError, "monitor must be a name"),  # type: ignore[arg-type]
        (lambda: EarlyStopping(mode="up"), ValueError, "mode must be one of auto, min, max"),
        (lambda: EarlyStopping(patience=-1), ValueError, "patience must be at least 0"),
        (lambda: EarlyStopping(baseline="a"), TypeError, "baseline must be a number"),  # type: ignore[arg-type]
        (lambda: ReduceLROnPlateau(factor=1.0), ValueError, r"factor must be in \[0, 1\)"),
        (lambda: ReduceLROnPlateau(min_lr=-1), ValueError, "min_lr must be"),
        (lambda: ModelCheckpoint("x", save_freq="batch"), ValueError, "save_freq must be 'epoch' or a number of steps"),
        (lambda: ModelCheckpoint("x", save_freq=0), ValueError, "save_freq must be at least 1"),
        (lambda: BackupAndRestore(""), ValueError, "backup_dir must be a path, got an empty one"),
        (lambda: LearningRateScheduler(0.1), TypeError, "schedule must be a function"),  # type: ignore[arg-type]
        (lambda: CallbackList([3]), TypeError, "callbacks must be of class Callback, got 3"),  # type: ignore[list-item]
    ],
)
def test_arguments_that_cannot_be(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_history_plots_itself(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    history = run(small(), epochs=3, validation_split=0.5)
    axes = history.plot(tmp_path / "curves.png").axes
    assert [line.get_label() for line in axes[0].lines] == ["training", "validation"]
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), history.history["val_loss"])
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_importing_callbacks_brings_nothing_heavy() -> None:
    import subprocess

    code = "import fastrnn.callbacks, sys; print(*[m for m in ('csv', 'inspect', 'zipfile') if m in sys.modules])"
    before = "import numpy, sys; print(*[m for m in ('csv', 'inspect', 'zipfile') if m in sys.modules])"
    found = [
        subprocess.run([sys.executable, "-c", each], check=True, capture_output=True, text=True).stdout
        for each in (code, before)
    ]
    assert found[0] == found[1]
