"""Callbacks: what happens between the steps and epochs of `fit`, by Keras's names and rules.

A callback is written by subclassing `Callback` and the methods it wants; `self.model` is the model at work.

    class Print(Callback):
        def on_epoch_end(self, epoch, logs=None):
            print(epoch, logs["loss"])

Those that remember something from epoch to epoch hand it out in `get_state`, so that a run that `BackupAndRestore`
takes up again ends in the same bits as one that was never interrupted.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn import validate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastrnn.training import Trainable

Logs = dict[str, Any] | None

# of these metrics more is better, as Keras takes them; of all others less
GROWING = ("acc", "auc", "precision", "recall", "f1")


class Callback:
    """Base of all callbacks: every method does nothing.

    Attributes
    ----------
    model : Sequential
        The model at work.
    params : dict
        "verbose", "epochs" and "steps" of the run.
    """

    model: Trainable
    params: Mapping[str, Any] = {}

    def set_model(self, model: Trainable) -> None:
        """The run's model, before it begins."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """The run's parameters, before it begins."""
        self.params = params

    def on_train_begin(self, logs: Logs = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """After the last epoch, with its figures; not after an error."""

    def on_interrupt(self, logs: Logs = None) -> None:
        """After a Ctrl-C in training, at the end of a step; the KeyboardInterrupt goes on then. Keras has no such."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Before an epoch, and before it is taken up again in the middle; counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """After an epoch and its validation; logs holds the loss, the metrics, and those of the validation."""

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a step of training; counted from 0 in every epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a step of training; logs holds the means of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Before an evaluation, that of a validation too."""

    def on_test_end(self, logs: Logs = None) -> None:
        """After an evaluation, with its figures."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch of an evaluation; logs holds the means so far."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch of a prediction; logs holds its "outputs"."""

    def get_state(self) -> dict[str, Any]:
        """What it remembers, for a backup: arrays, and whatever else JSON can hold, by name."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` gave; called after `on_train_begin`."""

    def _does(self, *names: str) -> bool:
        """Whether one of these methods is more than the one here."""
        return any(getattr(getattr(self, name), "__func__", None) is not getattr(Callback, name) for name in names)


class CallbackList(Callback):
    """Callbacks in a row, called one after the other.

    Parameters
    ----------
    callbacks : Callback or iterable of Callback, optional
        A `BackupAndRestore` comes last, for it keeps what the others did.
    add_history : bool
        Add a `History` if there is none.
    model : Sequential, optional
    **params
        "verbose", "epochs" and "steps".

    Attributes
    ----------
    history : History or None
    per_batch : dict of str to bool
        Whether a callback listens to the batches, of "train", "test" and "predict": if not, nothing is computed for it.
    """

    def __init__(
        self,
        callbacks: Callback | Iterable[Callback] | None = None,
        add_history: bool = False,
        model: Trainable | None = None,
        **params: Any,
    ) -> None:
        if callbacks is not None and not isinstance(callbacks, (Callback, Iterable)):
            raise TypeError(f"callbacks must be a Callback or a list of them, got {callbacks!r}")
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        for each in given:
            if not isinstance(each, Callback):
                raise TypeError(f"callbacks must be of class Callback, got {each!r}")
        self.history = next((each for each in given if isinstance(each, History)), None)
        if self.history is None and add_history:
            self.history = History()
            given.append(self.history)
        self.callbacks = sorted(given, key=lambda each: isinstance(each, BackupAndRestore))
        self.params = params
        for each in self.callbacks:
            each.set_params(params)
            if model is not None:
                each.set_model(model)
        methods = {
            "train": ["on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"],
            "test": ["on_test_batch_begin", "on_test_batch_end"],
            "predict": ["on_predict_batch_begin", "on_predict_batch_end"],
        }
        self.per_batch = {kind: any(each._does(*names) for each in self.callbacks) for kind, names in methods.items()}


def _to_all(name: str) -> Callable[..., None]:
    """A method of `CallbackList`."""
    before = 1 if "epoch" in name or "batch" in name else 0

    def tell(self: CallbackList, *arguments: Any) -> None:
        # positional, so that a lambda may name its arguments as it likes; one dict of logs, to which each may add
        logs = arguments[before] if len(arguments) > before else {}
        for each in self.callbacks:
            getattr(each, name)(*arguments[:before], logs)

    return tell


for _name in [name for name in vars(Callback) if name.startswith("on_")]:
    setattr(CallbackList, _name, _to_all(_name))


class History(Callback):
    """The figures of every epoch; what `fit` returns.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", the metrics, and the same of the validation as "val_loss" ...
    epoch : list of int
        Numbers of these epochs, counted from 0.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget the numbers of earlier runs' epochs."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the figures down."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the curves, training and validation together; see `fastrnn.plots.history`."""
        from fastrnn import plots

        return plots.history(self.history, path, epochs=self.epoch)

    def get_state(self) -> dict[str, Any]:
        """All of it."""
        return {"history": self.history, "epoch": self.epoch}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """All of it."""
        self.history = {name: list(values) for name, values in state["history"].items()}
        self.epoch = list(state["epoch"])


class _Monitor(Callback):
    """What watches one figure of the logs, and knows whether it has become better.

    Parameters
    ----------
    monitor : str
        Name in the logs, as "val_loss".
    mode : {"auto", "min", "max"}
        Whether less or more is better. "auto": more, if the name speaks of accuracy, AUC, precision, recall or F1.
    min_delta : float
        What counts as better at all.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be a name in the logs, got {monitor!r}")
        self.monitor = monitor
        self.mode = validate.choice("mode", mode, ("auto", "min", "max"))
        self.min_delta = abs(validate.number("min_delta", min_delta))
        self.best: float | None = None

    def _better(self, value: float, than: float | None) -> bool:
        if than is None:
            return True
        up = self.mode == "max"
        if self.mode == "auto":
            name = self.monitor.removeprefix("val_").lower()
            up = any(part in name for part in GROWING)
        return value - self.min_delta > than if up else value + self.min_delta < than

    def _value(self, logs: Logs) -> float | None:
        """The figure, or None with a warning."""
        logs = logs or {}
        if self.monitor in logs:
            return float(logs[self.monitor])
        there = ", ".join(logs) or "none"
        warnings.warn(
            f"{type(self).__name__} watches {self.monitor!r}, which is not among the figures ({there})",
            UserWarning,
            stacklevel=2,
        )
        return None


class EarlyStopping(_Monitor):
    """Stop when a figure has not become better for some epochs.

    Parameters
    ----------
    monitor : str
    min_delta : float
        A change below it is none.
    patience : int
        Epochs without a better figure after which training stops.
    verbose : int
        1 says when it stops.
    mode : {"auto", "min", "max"}
    baseline : float, optional
        The figure must become better than this.
    restore_best_weights : bool
        Leave the model with the weights of the best epoch instead of the last.
    start_from_epoch : int
        Epochs that are not looked at.

    Attributes
    ----------
    stopped_epoch : int
        Where training was stopped, counted from 0; 0 if it was not.
    best_epoch : int
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = validate.count("patience", patience)
        self.verbose = verbose
        self.baseline = None if baseline is None else validate.number("baseline", baseline)
        self.restore_best_weights = bool(restore_best_weights)
        self.start_from_epoch = validate.count("start_from_epoch", start_from_epoch)
        self.on_train_begin()

    def on_train_begin(self, logs: Logs = None) -> None:
        """Begin anew."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Look at the figure."""
        value = self._value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self._better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        """Put the best weights back, if asked."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def get_state(self) -> dict[str, Any]:
        """Best figure and weights, and how long ago."""
        state = {name: getattr(self, name) for name in ("wait", "stopped_epoch", "best_epoch", "best")}
        return state | {f"weights{number}": weight for number, weight in enumerate(self.best_weights or ())}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Best figure and weights, and how long ago."""
        for name in ("wait", "stopped_epoch", "best_epoch", "best"):
            setattr(self, name, state[name])
        weights = [state[f"weights{number}"] for number in range(len(state) - 4)]
        self.best_weights = weights or None


class ModelCheckpoint(_Monitor):
    """Write the model to a file while it is trained.

    Parameters
    ----------
    filepath : path-like
        May hold fields for the epoch, counted from 1, and for the figures: "model-{epoch:02d}-{val_loss:.2f}.fastrnn".
        The ending chooses the format, as in `Sequential.save`.
    monitor : str
        For `save_best_only`.
    verbose : int
        1 says what is written.
    save_best_only : bool
        Write only when the figure has become better.
    save_weights_only : bool
        Leave out optimizer, loss and metrics.
    mode : {"auto", "min", "max"}
    save_freq : "epoch" or int
        At the end of every epoch, or after so many steps; the field {batch} then is the step.
    initial_value_threshold : float, optional
        The figure to be better than at first.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = validate.path("filepath", filepath)
        self.verbose = verbose
        self.save_best_only, self.save_weights_only = bool(save_best_only), bool(save_weights_only)
        self.save_freq = _frequency(save_freq)
        if initial_value_threshold is not None:
            self.best = validate.number("initial_value_threshold", initial_value_threshold)
        self._steps = self._epoch = 0
        if self.save_freq != "epoch":
            self.on_train_batch_end = self._step  # type: ignore[method-assign]

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write, if epochs count."""
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _step(self, batch: int, logs: Logs = None) -> None:
        self._steps += 1
        if self._steps == self.save_freq:
            self._steps = 0
            self._save(self._epoch, batch, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        fields = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            path = self.filepath.format(**fields)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"filepath must have fields of {', '.join(fields)} only, got {self.filepath!r}: {error}"
            ) from error
        if not self._wanted(epoch, path, logs):
            return
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)

    def _wanted(self, epoch: int, path: str, logs: dict[str, Any]) -> bool:
        if not self.save_best_only:
            self._say(f"Epoch {epoch + 1}: saving model to {path}")
            return True
        value = self._value(logs)
        if value is None:
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self._better(value, self.best):
            self._say(f"Epoch {epoch + 1}: {self.monitor} did not improve from {best}")
            return False
        self._say(f"Epoch {epoch + 1}: {self.monitor} improved from {best} to {value:.5f}, saving model to {path}")
        self.best = value
        return True

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text)

    def get_state(self) -> dict[str, Any]:
        """The best figure, and the steps since the last file."""
        return {"best": self.best, "steps": self._steps}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The best figure, and the steps since the last file."""
        self.best, self._steps = state["best"], state["steps"]


class ReduceLROnPlateau(_Monitor):
    """Lower the learning rate when a figure has stopped becoming better.

    Parameters
    ----------
    monitor : str
    factor : float
        Of the learning rate, in (0, 1).
    patience : int
        Epochs without a better figure after which the rate is lowered.
    verbose : int
        1 says when.
    mode : {"auto", "min", "max"}
    min_delta : float
    cooldown : int
        Epochs to wait after that before the figure is looked at again.
    min_lr : float
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = validate.fraction("factor", factor)
        self.patience, self.cooldown = validate.count("patience", patience), validate.count("cooldown", cooldown)
        self.min_lr = validate.number("min_lr", min_lr, minimum=0.0)
        self.verbose = verbose
        self.on_train_begin()

    def on_train_begin(self, logs: Logs = None) -> None:
        """Begin anew."""
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Look at the figure, and note the learning rate of this epoch."""
        optimizer = _optimizer(self.model)
        logs = {} if logs is None else logs
        logs["learning_rate"] = rate = optimizer.learning_rate
        value = self._value(logs)
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._better(value, self.best):
            self.best, self.wait = value, 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                if self.verbose:
                    print(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {optimizer.learning_rate}.")
                self.cooldown_counter, self.wait = self.cooldown, 0

    def get_state(self) -> dict[str, Any]:
        """The best figure, and how long ago."""
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The best figure, and how long ago."""
        self.best, self.wait = state["best"], state["wait"]
        self.cooldown_counter = state["cooldown_counter"]


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of every epoch.

    Parameters
    ----------
    schedule : callable
        From the epoch, counted from 0, and the present learning rate to the new one; or from the epoch alone.
    verbose : int
        1 says what is set.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = validate.function("schedule", schedule), verbose
        self._done = -1  # the epoch whose rate is set

    def on_train_begin(self, logs: Logs = None) -> None:
        """Begin anew."""
        self._done = -1

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Set the rate, but not twice for an epoch that is taken up again."""
        if epoch == self._done:
            return
        self._done = epoch
        optimizer = _optimizer(self.model)
        takes_rate = _takes_two(self.schedule)
        rate = self.schedule(epoch, optimizer.learning_rate) if takes_rate else self.schedule(epoch)
        optimizer.learning_rate = validate.number("what the schedule returns", rate, minimum=0.0)
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {optimizer.learning_rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Note the rate."""
        if logs is not None:
            logs["learning_rate"] = _optimizer(self.model).learning_rate

    def get_state(self) -> dict[str, Any]:
        """The epoch whose rate is set."""
        return {"done": self._done}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The epoch whose rate is set."""
        self._done = state["done"]


class CSVLogger(Callback):
    """Write the figures of every epoch as a line of a CSV file.

    Parameters
    ----------
    filename : path-like
    separator : str
    append : bool
        Go on with a file that is there, instead of replacing it.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise TypeError(f"separator must be one character, got {separator!r}")
        self.filename, self.separator, self.append = validate.path("filename", filename), separator, bool(append)
        self.keys: list[str] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        """Begin the file anew, unless it is to be gone on with."""
        self.keys = None
        if not self.append:
            with open(self.filename, "w", encoding="utf-8"):
                pass

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write a line, under names if it is the first."""
        import csv

        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys]  # an epoch without validation may come first
        # open for a moment only: nothing is lost, or left open, if training ends in an error
        with open(self.filename, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=self.separator)
            if file.tell() == 0:
                writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])

    def get_state(self) -> dict[str, Any]:
        """The file as it is, so that a run that goes on appends to it."""
        with open(self.filename, encoding="utf-8", newline="") as file:
            return {"keys": self.keys, "text": file.read()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The file as it was."""
        self.keys = state["keys"]
        with open(self.filename, "w", encoding="utf-8", newline="") as file:
            file.write(state["text"])


class TerminateOnNaN(Callback):
    """Stop training, without an error, when the loss is not finite.

    That step changes no weights; without this callback it ends in a `FloatingPointError`.

    Parameters
    ----------
    raise_error : bool
        Raise RuntimeError instead, after the step.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = bool(raise_error)

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"the loss is {loss} at batch {batch}: training is terminated")
        print(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True


class LambdaCallback(Callback):
    """A callback of functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Of (epoch, logs).
    on_train_begin, on_train_end : callable, optional
        Of (logs).
    on_train_batch_begin, on_train_batch_end : callable, optional
        Of (batch, logs).
    **others : callable
        Any other method of `Callback`, with its arguments.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **others: Callable[..., Any],
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **others,
        }
        for name, function in given.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                raise TypeError(f"LambdaCallback has no argument {name!r}")
            if function is not None:
                setattr(self, name, validate.function(name, function))


class BackupAndRestore(Callback):
    """Keep a run's state in a folder, and go on from there when the run is started again.

    All that decides the result is kept: weights, the optimizer with its slots, what layers carry, the random state,
    the position in the data, the history, and what the other callbacks remember. So a run that was interrupted, in the
    middle of an epoch or between two, ends in the same bits as one that was not, provided that it is started again with
    the same model, data and arguments. Ctrl-C loses no step: the state is kept then as well.

    Parameters
    ----------
    backup_dir : path-like
        The folder; made if it is not there.
    save_freq : "epoch" or int
        Keep the state at the end of every epoch, or after so many steps.
    delete_checkpoint : bool
        Remove the backup when training has ended.
    """

    FILE = "backup.fastrnn"

    def __init__(
        self, backup_dir: str | os.PathLike[str], save_freq: str | int = "epoch", delete_checkpoint: bool = True
    ) -> None:
        self.backup_dir = validate.path("backup_dir", backup_dir)
        self.save_freq = _frequency(save_freq)
        self.delete_checkpoint = bool(delete_checkpoint)
        self._steps = 0
        if self.save_freq != "epoch":
            self.on_train_batch_end = self._step  # type: ignore[method-assign]

    @property
    def path(self) -> str:
        """The backup."""
        return os.path.join(self.backup_dir, self.FILE)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Go on from the backup, if there is one."""
        from fastrnn import saving

        self._steps = 0
        if not os.path.exists(self.path):
            return
        content, arrays = saving.read(self.path)
        with saving.refusing(self.path):
            self._restore(content, arrays)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Keep the state, if epochs count."""
        if self.save_freq == "epoch":
            self._save()

    def on_interrupt(self, logs: Logs = None) -> None:
        """Keep the state."""
        self._save()

    def on_train_end(self, logs: Logs = None) -> None:
        """Remove the backup, if asked."""
        if self.delete_checkpoint and os.path.exists(self.path):
            os.unlink(self.path)
            if not os.listdir(self.backup_dir):
                os.rmdir(self.backup_dir)

    def remembered(self) -> dict[str, dict[str, Any]]:
        """What the other callbacks remember in the backup, by their classes, without arrays.

        Raises
        ------
        ValueError
            The file is no backup.
        OSError
            From the file system.
        """
        from fastrnn import saving

        content, _ = saving.read(self.path)
        with saving.refusing(self.path):
            return {each["class"]: dict(each["state"]) for each in content["callbacks"]}

    def _step(self, batch: int, logs: Logs = None) -> None:
        self._steps += 1
        if self._steps == self.save_freq:
            self._steps = 0
            self._save()

    def _save(self) -> None:
        from fastrnn import saving

        content, arrays = self.model._backup()
        content["steps"] = self._steps
        content["callbacks"] = []
        for number, callback in enumerate(self._others()):
            state = callback.get_state()
            own = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
            arrays |= {f"callbacks/{number}/{name}": value for name, value in own.items()}
            rest = {name: value for name, value in state.items() if name not in own}
            content["callbacks"].append({"class": type(callback).__name__, "state": rest})
        os.makedirs(self.backup_dir, exist_ok=True)
        saving.write(self.path, content, arrays)

    def _restore(self, content: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> None:
        others = self._others()
        kept = content["callbacks"]
        if [each["class"] for each in kept] != [type(each).__name__ for each in others]:
            there = ", ".join(each["class"] for each in kept)
            raise ValueError(f"callbacks must be those of the run that it is to go on with, {there}")
        states = []
        for number, each in enumerate(kept):
            prefix = f"callbacks/{number}/"
            own = {name.removeprefix(prefix): arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}
            states.append({**each["state"], **own})
        self.model._resume(content, arrays)
        for callback, state in zip(others, states, strict=True):
            callback.set_state(state)
        self._steps = content["steps"]

    def _others(self) -> Sequence[Callback]:
        """All the run's callbacks that are no backup."""
        return [each for each in self.model._callbacks if not isinstance(each, BackupAndRestore)]


def _frequency(value: Any) -> str | int:
    if value == "epoch":
        return "epoch"
    if isinstance(value, str):
        raise ValueError(f"save_freq must be 'epoch' or a number of steps, got {value!r}")
    return validate.count("save_freq", value, minimum=1)


def _optimizer(model: Trainable) -> Any:
    return model._compiled()[0]


def _takes_two(function: Callable[..., Any]) -> bool:
    import inspect

    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell
        return True
    return True
