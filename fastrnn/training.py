"""What trains, tests and uses a model: `compile`, `fit`, `evaluate`, `predict`, and the same for one batch.

`Trainable` knows nothing of how layers are put together; a subclass says that in `forward` and `backward`. One step of
`fit` is a forward pass, the loss and its gradient, a backward pass and an update. What stands around it costs
microseconds: rows are gathered by one index, metrics are updated from the prediction that is there, and nothing is
shown, or told to callbacks, that nobody asked for.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Self

import numpy as np

from fastrnn import batches, losses, metrics, optimizers, validate
from fastrnn.batches import Batches
from fastrnn.callbacks import Callback, CallbackList, History, TerminateOnNaN
from fastrnn.layers.base import Layer, Variable, assign_all
from fastrnn.metrics import Metric
from fastrnn.progress import Progress

Verbose = str | int


class Tally:
    """Running means: the loss, weighted by rows as in Keras, and the metrics."""

    def __init__(self, plain: Sequence[Metric], weighted: Sequence[Metric]) -> None:
        self.plain, self.weighted = plain, weighted
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.total, self.rows = 0.0, 0
        for metric in (*self.plain, *self.weighted):
            metric.reset()

    def add(self, loss: float, y: Any, y_pred: np.ndarray, weight: Any, mask: Any) -> None:
        """A batch."""
        self.total += loss * len(y_pred)
        self.rows += len(y_pred)
        for metric in self.plain:
            metric.update(y, y_pred, None, mask)
        for metric in self.weighted:
            metric.update(y, y_pred, weight, mask)

    def figures(self) -> dict[str, float]:
        """The means, by name."""
        figures = {"loss": self.total / max(self.rows, 1)}
        for metric in (*self.plain, *self.weighted):
            figures[metric.name] = metric.result()
        return figures


class Position:
    """How far a run of `fit` has come.

    Attributes
    ----------
    epoch, step : int
        The epoch at work, and the steps done in it.
    seed : int or None
        Of the order of the data; None: their own order.
    drawn : int
        Batches taken from a `Stream` since its beginning.
    tally : Tally
        The means of this epoch so far.
    """

    def __init__(self, epoch: int, seed: int | None, tally: Tally) -> None:
        self.epoch, self.step, self.drawn = epoch, 0, 0
        self.seed, self.tally = seed, tally


class CtrlC:
    """In its `with` block a Ctrl-C waits for `release`, until `hold` comes again; the second one is raised at once.

    So a run ends where its state is whole, and no step is left half done.

    Attributes
    ----------
    held : bool
        Whether a Ctrl-C waits: a KeyboardInterrupt that comes all the same leaves things half done.
    """

    def __init__(self) -> None:
        self.held = True
        self._pressed = self._mine = False

    def __enter__(self) -> Self:
        import signal
        import threading

        # only where it would be a KeyboardInterrupt: a handler of the caller's own stays
        if threading.current_thread() is threading.main_thread():
            self._mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._mine:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._mine:
            import signal

            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.held or self._pressed:
            raise KeyboardInterrupt
        self._pressed = True

    def hold(self) -> None:
        """From here on a Ctrl-C waits."""
        self.held = True

    def release(self) -> None:
        """Raise what came in the meantime; from here on a Ctrl-C is raised at once."""
        self.held = False
        if self._pressed:
            self._pressed = False
            raise KeyboardInterrupt


class Trainable:
    """Base of what can be trained: an optimizer, a loss and metrics over layers.

    Attributes
    ----------
    name : str
    layers : list of Layer
    optimizer, loss
        As compiled, or None.
    metrics, weighted_metrics : list of Metric
        As compiled.
    history : History or None
        Of the last run of `fit`, also of one that was interrupted.
    stop_training : bool
        A callback may set it: the run ends with this step.
    """

    name: str
    layers: list[Layer]

    def __init__(self) -> None:
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self.metrics: list[Metric] = []
        self.weighted_metrics: list[Metric] = []
        self.history: History | None = None
        self.stop_training = False
        self._order_seed: int | None = None  # of the last run of fit
        self._position: Position | None = None
        self._callbacks: list[Callback] = []

    # ---- what a subclass writes

    @property
    def variables(self) -> list[Variable]:
        """Those of all layers, in order."""
        return [variable for layer in self.layers for variable in layer.variables]

    def forward(self, x: Any, training: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """The output, and its mask, (B, T), if it has one."""
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")

    def taught(self, x: Any, y: Any, training: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """`forward` where the target is known: a model that reads it as well says how, as in teacher forcing."""
        return self.forward(x, training)

    def backward(self, dy: np.ndarray, *, need_dx: bool = False) -> np.ndarray | None:
        """Write every variable's gradient, from that of the last training output."""
        raise NotImplementedError(f"{type(self).__name__} has no backward pass")

    def save(self, path: str | os.PathLike[str], *, include_optimizer: bool = True) -> None:
        """Write it to a file."""
        raise NotImplementedError(f"{type(self).__name__} cannot be saved")

    # ---- weights and states

    @property
    def built(self) -> bool:
        """Whether all variables exist."""
        return all(layer.built for layer in self.layers)

    def _build_if_declared(self) -> None:
        """Create the variables, if that needs no data."""

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, in order."""
        return [variable.value.copy() for variable in self.variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights; on an error none has changed.

        Raises
        ------
        ValueError
            The model is not built, or number or shapes differ from those of `get_weights`.
        """
        self._build_if_declared()
        if not self.built:
            raise ValueError(f"{self.name} is not built: call it once, or build(input_shape), before set_weights")
        assign_all(self.variables, weights)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file without optimizer, loss and metrics."""
        self.save(path, include_optimizer=False)

    def reset_states(self) -> None:
        """Let stateful layers begin anew."""
        for layer in self.layers:
            layer.reset_states()

    # ---- compile

    def compile(
        self,
        optimizer: str | optimizers.Optimizer = "rmsprop",
        loss: str | losses.Loss | None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Choose how the model is trained.

        Parameters
        ----------
        optimizer : str or Optimizer
            A name in `fastrnn.optimizers.OPTIMIZERS`, or an optimizer.
        loss : str or Loss
            A name in `fastrnn.losses.LOSSES`, or a loss.
        metrics, weighted_metrics : list of str or Metric, optional
            Names in `fastrnn.metrics.METRICS`, or metrics; "accuracy" and "acc" are the accuracy that suits the loss.
            The latter see the sample weights.
        """
        if loss is None:
            raise ValueError("loss must be a name or a Loss, got None")
        optimizer, loss = optimizers.get(optimizer), losses.get(loss)
        plain, weighted = _metrics("metrics", metrics, loss), _metrics("weighted_metrics", weighted_metrics, loss)
        names = ["loss", *(metric.name for metric in (*plain, *weighted))]
        if len(set(names)) < len(names):
            raise ValueError(f"metrics must have names of their own, other than loss, got {', '.join(names[1:])}")
        self.optimizer, self.loss, self.metrics, self.weighted_metrics = optimizer, loss, plain, weighted
        self._build_if_declared()

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` and `train_on_batch` return, in order."""
        return ["loss", *(metric.name for metric in (*self.metrics, *self.weighted_metrics))]

    def _compiled(self) -> tuple[optimizers.Optimizer, losses.Loss]:
        if self.optimizer is None or self.loss is None:
            raise RuntimeError(f"{self.name} is not compiled: call compile(optimizer, loss) first")
        return self.optimizer, self.loss

    # ---- one batch

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
        *,
        mask: Any = None,
    ) -> Any:
        """One update from one batch; none if the loss is not finite.

        Parameters
        ----------
        x, y : array_like
            Inputs, and what the loss takes as y_true.
        sample_weight : array_like, optional
            As in `Loss.value_and_grad`.
        class_weight : mapping of int to float, optional
            A further weight for the positions of each class.
        return_dict : bool
            Name the figures.
        mask : array_like of bool, optional
            Positions that count, instead of those that the layers tell.

        Returns
        -------
        float, or list or dict of float
            The loss before the update; with metrics [loss, *metrics], of this batch alone.
        """
        _check_target(y)
        with _told_of_y():
            value, y_pred, mask, weight = self._learn(x, y, self._weights(y, sample_weight, class_weight), mask)
        return self._report(value, y, y_pred, weight, mask, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False, *, mask: Any = None
    ) -> Any:
        """The figures of one batch, without training; arguments and result are those of `train_on_batch`."""
        _, loss = self._compiled()
        _check_target(y)
        y_pred, told = self.taught(x, y)
        mask = told if mask is None else mask
        with _told_of_y():
            value = loss(y, y_pred, sample_weight, mask) + self._penalty()
        return self._report(value, y, y_pred, sample_weight, mask, return_dict)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """The output for one batch, without training."""
        return self.forward(x)[0]

    def _learn(self, x: Any, y: Any, weight: Any, mask: Any = None) -> tuple[float, np.ndarray, Any, Any]:
        """A step: the loss before it, the prediction, and what the metrics want besides."""
        optimizer, loss = self._compiled()
        y_pred, told = self.taught(x, y, True)
        if mask is None:
            mask = told
        value, dy = loss.value_and_grad(y, y_pred, weight, mask)
        variables = self.variables
        penalized = [variable for variable in variables if variable.regularizer is not None]
        value += self._penalty(penalized)
        if not math.isfinite(value):
            return value, y_pred, mask, weight
        self.backward(dy)
        for variable in penalized:
            assert variable.regularizer is not None and variable.grad is not None
            variable.grad = variable.regularizer.add_gradient(variable.value, variable.grad)
        optimizer.apply(variables)
        return value, y_pred, mask, weight

    def _penalty(self, variables: Sequence[Variable] | None = None) -> float:
        """What the regularizers add to the loss."""
        total = 0.0
        for variable in self.variables if variables is None else variables:
            if variable.regularizer is not None:
                total += variable.regularizer.value(variable.value)
        return total

    def _report(self, value: float, y: Any, y_pred: np.ndarray, weight: Any, mask: Any, return_dict: bool) -> Any:
        """The figures of one batch, as `train_on_batch` returns them."""
        if not (self.metrics or self.weighted_metrics or return_dict):
            return value
        tally = self._tally()
        tally.add(value, y, y_pred, weight, mask)
        figures = tally.figures() | {"loss": value}
        return figures if return_dict else list(figures.values())

    def _tally(self) -> Tally:
        return Tally(self.metrics, self.weighted_metrics)

    def _weights(self, y: Any, sample_weight: Any, class_weight: Any) -> Any:
        weigh = self._weigh(class_weight)
        if weigh is None:
            return sample_weight
        _, y, sample_weight = batches.arrays(y, y, sample_weight)
        return batches.product(weigh(y), sample_weight)

    def _weigh(self, class_weight: Any) -> Callable[[Any], np.ndarray] | None:
        """Sample weights as a function of y."""
        if class_weight is None:
            return None
        weights = batches.class_weights(class_weight)
        sparse = isinstance(self.loss, losses.SparseCategoricalCrossentropy)
        return lambda y: batches.weights_by_class(y, weights, sparse)

    # ---- fit

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = 32,
        epochs: int = 1,
        verbose: Verbose = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        *,
        seed: int | None = None,
    ) -> History:
        """Train, epoch by epoch.

        Parameters
        ----------
        x : array_like, (N, ...), or batches
            Arrays; or, without y, batches (x, y) or (x, y, sample_weight): a list of them or another object with a
            length that hands them out by number, an iterable, a generator, or a function that returns an iterable.
        y : array_like, (N, ...)
            What the loss takes as y_true.
        batch_size : int, optional
            Rows of a step, where x is an array; 32 when None.
        epochs : int
            Where to end: with `initial_epoch` not the number of epochs, but that of the last one, counted from 1.
        verbose : {"auto", 0, 1, 2}
            0 is silent, 2 prints a line for every epoch, 1 and "auto" show a bar meanwhile.
        callbacks : Callback or list of Callback, optional
        validation_split : float
            In [0, 1): the last part of the rows, before they are shuffled, is not trained on but evaluated after every
            epoch.
        validation_data : tuple or batches, optional
            (x, y) or (x, y, sample_weight), or batches as for x, to be evaluated after every epoch. Stateful layers
            begin there without a state, and go on in training with their own.
        shuffle : bool
            Take the rows, or batches that can be had by number, in an order of their own in every epoch. Other
            iterables keep theirs.
        class_weight : mapping of int to float, optional
            A factor of the loss for every class; 1 where it says nothing.
        sample_weight : array_like, (N,) or more axes, optional
            A factor of the loss for every row or position.
        initial_epoch : int
            Where to begin, counted from 0: to go on with a model that was loaded. Without a seed the order of the data
            goes on as well.
        steps_per_epoch : int, optional
            Steps of an epoch; the next one takes up the data where this one left them. None: all of the data.
        validation_steps : int, optional
            Batches of a validation; None: all.
        validation_batch_size : int, optional
            Default: batch_size.
        validation_freq : int or sequence of int
            Validate after every so many epochs, or after these, counted from 1.
        seed : int, optional
            Of the order of the data; with it, and seeds of the layers, runs end in the same bits.

        Returns
        -------
        History
            The figures of every epoch.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, the rule and what came, before anything has changed.
        FloatingPointError
            The loss is not finite; the weights are those before that step. See `TerminateOnNaN`.
        KeyboardInterrupt
            Ctrl-C, which waits for the end of a step, unless it is pressed twice; `BackupAndRestore` keeps the state.
        """
        self._compiled()
        shown = _verbosity(verbose)
        size = _whole("batch_size", batch_size, 1) or 32
        first, epochs = validate.count("initial_epoch", initial_epoch), validate.count("epochs", epochs)
        steps = _whole("steps_per_epoch", steps_per_epoch, 1)
        share = validate.fraction("validation_split", validation_split)
        chosen = _chosen(validation_freq)
        weigh = self._weigh(class_weight)
        if share and validation_data is None:
            if not batches.are_arrays(x, y):
                raise ValueError("validation_split needs arrays x and y; give validation_data with batches")
            (x, y, sample_weight), validation_data = batches.split(*batches.arrays(x, y, sample_weight), share)
        data = batches.of(x, y, sample_weight, batch_size=size, steps=steps, weigh=weigh)
        several = epochs - first > 1
        _check_repeatable("x", data, several, "steps_per_epoch")
        validation = None
        if validation_data is not None:
            rows = _whole("validation_batch_size", validation_batch_size, 1) or size
            of_validation = _whole("validation_steps", validation_steps, 1)
            validation = _validation(validation_data, rows, of_validation)
            _check_repeatable("validation_data", validation, several, "validation_steps")
        seed = self._seed(seed, first)
        self._rehearse(data)
        if validation is not None:
            with _told_of("validation_data"):
                self._rehearse(validation)

        given = callbacks.callbacks if isinstance(callbacks, CallbackList) else callbacks
        run = CallbackList(given, add_history=True, model=self, verbose=shown, epochs=epochs, steps=data.steps)
        assert run.history is not None
        position = self._position = Position(first, seed if shuffle else None, self._tally())
        self.history, self._callbacks = run.history, run.callbacks
        self._order_seed, self.stop_training = seed, False
        figures: dict[str, float] = {}
        ctrl_c = CtrlC()
        try:
            with ctrl_c:
                run.on_train_begin()
                data.go_on(position.step, position.drawn)
                while position.epoch < epochs and not self.stop_training:
                    validated = validation if chosen(position.epoch + 1) else None
                    ended = self._epoch(data, validated, run, epochs, shown, ctrl_c)
                    if ended is None:
                        break
                    figures = ended
                run.on_train_end(figures)
        except KeyboardInterrupt:
            if not ctrl_c.held:
                run.on_interrupt()
            raise
        finally:
            self._position = None
            self._callbacks = []
        return run.history

    def _epoch(
        self, data: Batches, validation: Batches | None, run: CallbackList, epochs: int, shown: int, ctrl_c: CtrlC
    ) -> dict[str, float] | None:
        """One epoch, or the rest of one; None if there were no data left for it."""
        position = self._position
        assert position is not None
        epoch = position.epoch
        run.on_epoch_begin(epoch)
        if shown and epochs > 1:
            print(f"Epoch {epoch + 1}/{epochs}", flush=True)
        began, before = time.monotonic(), position.step
        if not before:
            position.tally.reset()
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(Progress(data.steps, start=before, leave=False)) if shown == 1 else None
            self._steps(data, run, epochs, bar, ctrl_c)
        done = position.step
        if data.ended:
            if not done:
                if epoch == 0:
                    raise ValueError("x must give at least one batch, got none")
                _warn(f"x ran out of batches before epoch {epoch + 1}: training ends")
                return None
            _warn(f"x ran out of batches in epoch {epoch + 1}, after {done} of {data.steps}: training ends")
            self.stop_training = True
        figures = position.tally.figures()
        if validation is not None:
            ctrl_c.release()
            with self._states_aside():
                found, _ = self._evaluate(validation, run, self._tally(), "validation_data")
            ctrl_c.hold()
            figures |= {f"val_{name}": value for name, value in found.items()}
        position.epoch, position.step = epoch + 1, 0
        if shown:
            print(_line(done, data.steps, time.monotonic() - began, done - before, figures), flush=True)
        run.on_epoch_end(epoch, figures)
        return figures

    def _steps(self, data: Batches, run: CallbackList, epochs: int, bar: Progress | None, ctrl_c: CtrlC) -> None:
        """The steps of an epoch, from the position on."""
        position = self._position
        assert position is not None
        tally, told = position.tally, run.per_batch["train"]
        ctrl_c.release()
        for x, y, weight in data.epoch(position.epoch, position.step, position.seed):
            ctrl_c.hold()
            if told:
                run.on_train_batch_begin(position.step)
            value, y_pred, mask, weight = self._learn(x, y, weight)
            if not math.isfinite(value):
                if not any(isinstance(each, TerminateOnNaN) for each in run.callbacks):
                    of = "" if data.steps is None else f" of {data.steps}"
                    raise FloatingPointError(
                        f"the loss is {value} in epoch {position.epoch + 1} of {epochs}, step {position.step + 1}{of}; "
                        "the weights are those before that step: look for what is not finite in the data, take a "
                        "smaller learning rate, or clip the gradients"
                    )
                tally.total = value  # the metrics can say nothing of such a prediction
            else:
                tally.add(value, y, y_pred, weight, mask)
            position.step += 1
            position.drawn = data.drawn
            if told:
                run.on_train_batch_end(position.step - 1, tally.figures())
            if bar is not None:
                bar.advance(1, tally.figures)
            if self.stop_training:
                return
            del x, y, y_pred, mask, weight  # the next step takes this memory, rather than fresh pages
            ctrl_c.release()
        ctrl_c.hold()

    def _seed(self, seed: int | None, first: int) -> int:
        """The seed of the order of the data: given, that of the run to go on with, or a new one."""
        if seed is not None:
            seed = validate.count("seed", seed)
            if seed >= 2**64:
                raise ValueError(f"seed must be below 2**64, got {seed}")
            return seed
        if first and self._order_seed is not None:
            return self._order_seed
        return int.from_bytes(os.urandom(6), "little")

    def _rehearse(self, data: Batches) -> None:
        """Run one row through model and loss, so that what does not fit is told before anything has changed."""
        _, loss = self._compiled()
        x, y, weight = data.first()
        assert y is not None

        def through(x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
            y_pred, mask = self.taught(x, y)
            loss(y, y_pred, weight, mask)
            return y_pred, mask

        with self._states_aside(), _told_of_y():
            try:
                y_pred, mask = through(x[:1], y[:1], None if weight is None else weight[:1])
            except (TypeError, ValueError):
                self.reset_states()
                through(x, y, weight)  # the same error, with the shapes of the whole batch
                raise
            if isinstance(data, batches.Rows) and mask is None:
                y = data.arrays[1]
                assert y is not None
                if y.dtype.kind in "iu":  # class numbers, which are all looked at
                    loss.targets(y, np.broadcast_to(y_pred, (len(y), *y_pred.shape[1:])))

    @contextlib.contextmanager
    def _states_aside(self) -> Iterator[None]:
        """In the block stateful layers are without a state; after it they have theirs again, and the metrics too."""
        kept = [layer.get_state() for layer in self.layers]
        counted = [(metric, metric.get_state()) for metric in (*self.metrics, *self.weighted_metrics)]
        self.reset_states()
        try:
            yield
        finally:
            self.reset_states()
            for layer, state in zip(self.layers, kept, strict=True):
                layer.set_state(state)
            for metric, figures in counted:
                metric.set_state(figures)

    # ---- evaluate and predict

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = 32,
        verbose: Verbose = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics over data, without training.

        Parameters
        ----------
        x, y, batch_size, sample_weight, callbacks
            As in `fit`.
        verbose : {"auto", 0, 1, 2}
            0 is silent, 2 prints a line, 1 and "auto" show a bar meanwhile.
        steps : int, optional
            Batches to take; None: all.
        return_dict : bool
            Name the figures.

        Returns
        -------
        float, or list or dict of float
            The loss; with metrics [loss, *metrics].

        Raises
        ------
        TypeError, ValueError
            As in `fit`.
        """
        self._compiled()
        shown = _verbosity(verbose)
        size, steps = _whole("batch_size", batch_size, 1) or 32, _whole("steps", steps, 1)
        data = batches.of(x, y, sample_weight, batch_size=size, steps=steps)
        _check_steps(data)
        run = self._listeners(callbacks, shown, data)
        tally, began = self._tally(), time.monotonic()
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(Progress(data.steps, leave=False)) if shown == 1 else None
            figures, done = self._evaluate(data, run, tally, "x", bar)
        if shown:
            print(_line(done, data.steps, time.monotonic() - began, done, figures), flush=True)
        values = list(figures.values())
        return figures if return_dict else values if len(values) > 1 else values[0]

    def predict(
        self,
        x: Any,
        batch_size: int | None = 32,
        verbose: Verbose = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> np.ndarray:
        """The outputs for data, batch by batch.

        Parameters
        ----------
        x : array_like, (N, ...), or batches
            As in `fit`; the batches need no y.
        batch_size : int, optional
            Rows of a batch, which change no bit of the result; 32 when None.
        verbose : {"auto", 0, 1, 2}
            0 is silent, 2 prints a line at the end, 1 shows a bar too, "auto" the bar alone.
        steps : int, optional
            Batches to take; None: all.
        callbacks : Callback or list of Callback, optional

        Returns
        -------
        ndarray, (N, ...)

        Raises
        ------
        TypeError, ValueError
            As in `fit`.
        """
        shown = _verbosity(verbose)
        size, steps = _whole("batch_size", batch_size, 1) or 32, _whole("steps", steps, 1)
        data = batches.of(x, batch_size=size, steps=steps, with_targets=False)
        _check_steps(data)
        run = self._listeners(callbacks, shown, data)
        told, began = run.per_batch["predict"], time.monotonic()
        parts: list[np.ndarray] = []
        output: np.ndarray | None = None
        rows = done = 0
        run.on_predict_begin()
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(Progress(data.steps, leave=False)) if shown == 1 else None
            for batch, _, _ in data.epoch():
                if told:
                    run.on_predict_batch_begin(done)
                y = self.forward(batch)[0]
                if data.rows is None:
                    parts.append(y)
                else:
                    if output is None:
                        output = np.empty((data.rows, *y.shape[1:]), y.dtype)
                    output[rows : rows + len(y)] = y
                    rows += len(y)
                if told:
                    run.on_predict_batch_end(done, {"outputs": y})
                done += 1
                if bar is not None:
                    bar.advance(1)
        _check_taken("x", data, done)
        run.on_predict_end()
        if shown and verbose != "auto":
            print(_line(done, data.steps, time.monotonic() - began, done, {}), flush=True)
        return np.concatenate(parts) if output is None else output

    def _listeners(self, callbacks: Any, shown: int, data: Batches) -> CallbackList:
        given = callbacks.callbacks if isinstance(callbacks, CallbackList) else callbacks
        return CallbackList(given, model=self, verbose=shown, epochs=1, steps=data.steps)

    def _evaluate(
        self, data: Batches, run: CallbackList, tally: Tally, name: str, bar: Progress | None = None
    ) -> tuple[dict[str, float], int]:
        """Loss and metrics over data, and the number of batches."""
        _, loss = self._compiled()
        told, penalty, done = run.per_batch["test"], self._penalty(), 0
        data.rewind()
        run.on_test_begin()
        for x, y, weight in data.epoch():
            if told:
                run.on_test_batch_begin(done)
            y_pred, mask = self.taught(x, y)
            with _told_of_y():
                tally.add(loss(y, y_pred, weight, mask) + penalty, y, y_pred, weight, mask)
            if told:
                run.on_test_batch_end(done, tally.figures())
            done += 1
            if bar is not None:
                bar.advance(1, tally.figures)
        _check_taken(name, data, done)
        figures = tally.figures()
        run.on_test_end(figures)
        return figures, done

    # ---- state

    def _state(self) -> dict[str, np.ndarray]:
        """All that later steps depend on, by name: weights, what layers carry, the optimizer's slots."""
        arrays: dict[str, np.ndarray] = {}
        for layer in self.layers:
            arrays |= {f"weights/{layer.name}/{variable.name}": variable.value for variable in layer.variables}
            arrays |= prefixed(f"carried/{layer.name}/", layer.get_state())
        if self.optimizer is not None:
            arrays |= prefixed("optimizer/", self.optimizer.get_state())
        return arrays

    def _uncompiled(self) -> Self:
        """This model, its layers the same ones, without what `compile` and `fit` added."""
        import copy

        plain = copy.copy(self)
        plain.optimizer = plain.loss = None
        plain.metrics, plain.weighted_metrics = [], []
        return plain

    def _compilation(self) -> dict[str, Any] | None:
        """How it was compiled, as JSON can hold it."""
        if self.optimizer is None or self.loss is None:
            return None
        described: dict[str, Any] = {
            "optimizer": describe(
                self.optimizer, self.optimizer.name, optimizers.OPTIMIZERS, "fastrnn.optimizers.OPTIMIZERS"
            ),
            "loss": describe(self.loss, self.loss.name, losses.LOSSES, "fastrnn.losses.LOSSES"),
            "order": self._order_seed,
        }
        for argument, chosen in (("metrics", self.metrics), ("weighted_metrics", self.weighted_metrics)):
            described[argument] = [
                describe(each, each.kind, metrics.METRICS, "fastrnn.metrics.METRICS") for each in chosen
            ]
        return described

    def _take_up(self, compiled: Mapping[str, Any] | None, arrays: dict[str, np.ndarray], compile: bool) -> None:
        """Go on as a file says: what layers carry, and what `_compilation` gave, if asked. No array may be left."""
        for layer in self.layers:
            layer.set_state(taken(arrays, f"carried/{layer.name}/"))
        if not compile:
            taken(arrays, "optimizer/")
        elif compiled is not None:
            loss, of_optimizer = compiled["loss"], compiled["optimizer"]
            optimizer = optimizers.get(of_optimizer["class"], **of_optimizer["config"])
            optimizer.set_state(taken(arrays, "optimizer/"))
            optimizer.build(self.variables)
            plain, weighted = (
                [metrics.get(each["class"], **each["config"]) for each in compiled.get(argument, ())]
                for argument in ("metrics", "weighted_metrics")  # not in older files
            )
            self.compile(optimizer, losses.get(loss["class"], **loss["config"]), plain, weighted)
            if compiled.get("order") is not None:
                self._order_seed = validate.count("order", compiled["order"])
        if arrays:
            raise ValueError(f"nothing in the model takes {', '.join(sorted(arrays))}")

    def _backup(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The state of the run at work, and what JSON can hold of it."""
        position = self._position
        assert position is not None
        names = ("epoch", "step", "drawn", "seed")
        content: dict[str, Any] = {"position": {name: getattr(position, name) for name in names}}
        content["total"], content["rows"] = position.tally.total, position.tally.rows
        arrays = self._state()
        for metric in (*self.metrics, *self.weighted_metrics):
            arrays |= prefixed(f"metrics/{metric.name}/", metric.get_state())
        return content, arrays

    def _resume(self, content: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `_backup` gave."""
        optimizer, _ = self._compiled()
        position = self._position
        assert position is not None
        stands = content["position"]
        weights = []
        for layer in self.layers:
            given = taken(arrays, f"weights/{layer.name}/")
            for variable in layer.variables:
                weight = given.pop(variable.name)
                if (weight.shape, weight.dtype) != (variable.shape, variable.dtype):
                    raise ValueError(
                        f"{layer.name}: {variable.name} must be {variable.dtype} of shape {variable.shape}, "
                        f"got {weight.dtype} {weight.shape}"
                    )
                weights.append(weight)
            if given:
                raise ValueError(f"{layer.name} has no weight named {', '.join(sorted(given))}")
        carried = [taken(arrays, f"carried/{layer.name}/") for layer in self.layers]
        slots = taken(arrays, "optimizer/")
        counted = [taken(arrays, f"metrics/{metric.name}/") for metric in (*self.metrics, *self.weighted_metrics)]
        if arrays:
            raise ValueError(f"nothing in {self.name} takes {', '.join(sorted(arrays))}")
        optimizer.set_state(slots)
        optimizer.build(self.variables)
        for layer, state in zip(self.layers, carried, strict=True):
            layer.set_state(state)
        for metric, state in zip((*self.metrics, *self.weighted_metrics), counted, strict=True):
            metric.set_state(state)
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)
        position.epoch, position.step = stands["epoch"], stands["step"]
        position.drawn, position.seed = stands["drawn"], stands["seed"]
        position.tally.total, position.tally.rows = content["total"], content["rows"]
        if position.seed is not None:
            self._order_seed = position.seed


def describe(thing: Any, name: str, registry: Mapping[str, type[Any]], registry_name: str) -> dict[str, Any]:
    """What a file says of a thing: its name in the registry and its configuration."""
    if registry.get(name) is not type(thing):
        raise ValueError(f"{type(thing).__name__} is not in {registry_name}, so that no file could bring it back")
    return {"class": name, "config": thing.get_config()}


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays, each name with this before it."""
    return {prefix + name: array for name, array in arrays.items()}


def taken(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, without that, and no longer among the others."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def _metrics(argument: str, value: Any, loss: losses.Loss) -> list[Metric]:
    """The metrics of compile's argument."""
    if value is None:
        return []
    if isinstance(value, (str, Metric)):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{argument} must be a list of names or metrics, got {value!r}")
    return [metrics.get(each, loss) for each in value]


def _validation(value: Any, size: int, steps: int | None) -> Batches:
    """The batches of fit's validation_data."""
    if hasattr(value, "__array__"):
        raise ValueError("validation_data must be (x, y), (x, y, sample_weight) or batches, got an array")
    if isinstance(value, (str, bytes, Mapping)) or not (hasattr(value, "__getitem__") or hasattr(value, "__iter__")):
        if not callable(value):
            came = type(value).__name__
            raise TypeError(f"validation_data must be (x, y), (x, y, sample_weight) or batches, got {came}")
    parts = [value]
    if isinstance(value, (tuple, list)) and 2 <= len(value) <= 3 and not isinstance(value[0], tuple):
        if isinstance(value, tuple) or hasattr(value[0], "__array__"):
            parts = list(value)
    with _told_of("validation_data"):
        data = batches.of(*parts, batch_size=size, steps=steps)
    if len(parts) > 1:
        _check_steps(data, "validation_steps")
    return data


def _chosen(frequency: Any) -> Callable[[int], bool]:
    """Whether an epoch, counted from 1, is one of fit's validation_freq."""
    if isinstance(frequency, (list, tuple, set, range)):
        epochs = {validate.count("validation_freq", epoch, minimum=1) for epoch in frequency}
        return epochs.__contains__
    every = validate.count("validation_freq", frequency, minimum=1)
    return lambda epoch: epoch % every == 0


@contextlib.contextmanager
def _told_of(name: str) -> Iterator[None]:
    """Errors in the block are told with the name of the argument whose parts they speak of."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


@contextlib.contextmanager
def _told_of_y() -> Iterator[None]:
    """Errors in the block that speak of y_true, a loss's argument, are told of y."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if not str(error).startswith("y_true "):
            raise
        raise type(error)(str(error).replace("y_true", "y", 1)) from error


def _check_target(y: Any) -> None:
    if y is None:
        raise ValueError("y must be given, got None")


def _whole(name: str, value: Any, minimum: int) -> int | None:
    return None if value is None else validate.count(name, value, minimum=minimum)


def _verbosity(value: Any) -> int:
    """0, 1 or 2."""
    if isinstance(value, str) and value == "auto":
        return 1
    if not isinstance(value, (int, np.integer)) or value not in (0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {value!r}")
    return int(value)


def _check_repeatable(name: str, data: Batches, several: bool, limit: str) -> None:
    if several and isinstance(data, batches.Stream) and not data.again and data.steps is None:
        raise ValueError(
            f"{name} can be run through only once, and there are several epochs: give {limit}, or a list, an iterable "
            "that begins anew, or a function that returns one"
        )


def _check_steps(data: Batches, name: str = "steps") -> None:
    """An evaluation takes no batch twice."""
    if isinstance(data, batches.Numbered) and (data.steps or 0) > data.lap:
        raise ValueError(f"{name} must be at most the {data.lap} batches there are, got {data.steps}")


def _check_taken(name: str, data: Batches, done: int) -> None:
    if not done:
        raise ValueError(f"{name} must give at least one batch, got none")
    if data.ended:
        _warn(f"{name} ran out of batches after {done} of {data.steps}")


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)


def _line(done: int, steps: int | None, seconds: float, timed: int, figures: Mapping[str, float]) -> str:
    """What is printed when an epoch is done, as Keras does."""
    each = seconds / max(timed, 1)
    pace = f"{each:.0f}s" if each >= 1 else f"{each * 1e3:.0f}ms" if each >= 1e-3 else f"{each * 1e6:.0f}us"
    parts = [f"{done}/{steps or done}", f"{seconds:.0f}s", f"{pace}/step"]
    parts += [f"{name}: {value:{'.4f' if abs(value) > 1e-3 else '.4e'}}" for name, value in figures.items()]
    return " - ".join(parts)
