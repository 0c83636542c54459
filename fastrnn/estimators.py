"""Recurrent networks as scikit-learn knows estimators: in pipelines, grid searches and cross validations.

>>> search = GridSearchCV(RNNClassifier(epochs=20), {"cell": ["lstm", "gru"], "units": [16, 32]})
>>> search.fit(X, y).best_estimator_.predict(X_new)

X is one of

(N, T)      rows of T numbers, each a step of one feature: scikit-learn's table, its columns in the order of time
(N, T, F)   sequences of T steps of F features
a list      of N sequences, (T_n,) or (T_n, F), of different lengths

of finite real numbers; the networks compute in float32. `fit` of a table makes `predict` insist on its T columns; after
the other two, sequences of any length will do.

scikit-learn is not needed. Where it is installed (1.6 or later) the classes are its BaseEstimator, ClassifierMixin and
RegressorMixin; elsewhere they have the same methods of their own.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from fastrnn import activations, optimizers, validate
from fastrnn.layers import GRU, LSTM, Dense, Layer, SimpleRNN
from fastrnn.layers.core import Masking
from fastrnn.losses import Loss, MeanSquaredError, SparseCategoricalCrossentropy
from fastrnn.models import Sequential, load_model
from fastrnn.preprocessing.sequence import pad_sequences

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import DataConversionWarning, NotFittedError
    from sklearn.utils.validation import validate_data
except ImportError:
    import inspect

    validate_data = None

    class NotFittedError(ValueError, AttributeError):  # type: ignore[no-redef]
        """There was no `fit`."""

    class DataConversionWarning(UserWarning):  # type: ignore[no-redef]
        """y was not of the shape that it should be."""

    class BaseEstimator:  # type: ignore[no-redef]
        """Parameters that are the constructor's arguments."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """The parameters by name; `deep` makes no difference, none of them being an estimator."""
            names = list(inspect.signature(type(self).__init__).parameters)[1:]
            return {name: getattr(self, name) for name in names}

        def set_params(self, **params: Any) -> Self:
            """Change parameters; an unknown name is a ValueError."""
            for name in params:
                validate.choice("parameter", name, list(self.get_params()))
            for name, value in params.items():
                setattr(self, name, value)
            return self

        def __setstate__(self, state: Mapping[str, Any]) -> None:
            self.__dict__.update(state)

        def __repr__(self) -> str:
            fresh = type(self)().get_params()
            changed = (f"{name}={value!r}" for name, value in self.get_params().items() if value != fresh[name])
            return f"{type(self).__name__}({', '.join(changed)})"

    class ClassifierMixin:  # type: ignore[no-redef]
        """The score of a classifier."""

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            """The share of right classes."""
            right = self.predict(X) == np.asarray(y)  # type: ignore[attr-defined]
            return float(np.average(right, weights=sample_weight))

    class RegressorMixin:  # type: ignore[no-redef]
        """The score of a regressor."""

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            """R^2, the mean over the outputs: 1 - sum (y - prediction)^2 / sum (y - mean)^2."""
            true = np.asarray(y, np.float64)
            left = (true - self.predict(X)) ** 2  # type: ignore[attr-defined]
            spread = (true - np.average(true, axis=0, weights=sample_weight)) ** 2
            left, spread = (np.average(each, axis=0, weights=sample_weight) for each in (left, spread))
            # a constant y: 1 if it is met, 0 if not
            return float(np.mean(np.where(spread > 0, 1 - left / np.where(spread > 0, spread, 1), left == 0)))


CELLS: dict[str, type[SimpleRNN | LSTM | GRU]] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}

# what stands at the steps past a sequence's end; larger numbers than its absolute value are refused
PADDING = -3e38

# of predictions, whose bits do not depend on it
PREDICT_BATCH = 256


class RNNEstimator(BaseEstimator):
    """What both estimators share: recurrent levels under one dense layer, trained by `Sequential.fit`."""

    n_features_in_: int
    model_: Sequential
    history_: dict[str, list[float]]

    def __init__(
        self,
        cell: str = "lstm",
        units: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        epochs: int = 50,
        batch_size: int = 32,
        learning_rate: Any = 0.005,
        optimizer: Any = "adam",
        validation_split: float = 0.0,
        random_state: Any = None,
        verbose: Any = 0,
    ) -> None:
        # scikit-learn's rule: kept as they came, and checked by fit
        self.cell = cell
        self.units = units
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.validation_split = validation_split
        self.random_state = random_state
        self.verbose = verbose

    # ---- training

    def _fit(
        self, X: Any, y: np.ndarray, outputs: int, loss: Loss, metrics: Sequence[str], weights: np.ndarray | None
    ) -> None:
        """Train a new model on checked targets (N,) or (N, outputs)."""
        x, table = _read(X)
        _same_length("y", y, x)
        if weights is not None:
            # as if the rows with weight 0 were not there
            _same_length("sample_weight", weights, x)
            x, y, weights = x[weights > 0], y[weights > 0], weights[weights > 0]
        rng = _generator(self.random_state)
        if self.validation_split:
            # Sequential takes the last rows, and tables are often sorted
            order = rng.permutation(len(x))
            x, y, weights = x[order], y[order], None if weights is None else weights[order]
        of_cell, of_output, of_order = (int(seed) for seed in rng.integers(2**31, size=3))
        kind = CELLS[validate.choice("cell", self.cell, list(CELLS))]
        layers: list[Layer] = [] if table else [Masking(PADDING)]
        layers.append(
            kind(
                self.units,
                num_layers=self.num_layers,
                bidirectional=self.bidirectional,
                dropout=self.dropout,
                seed=of_cell,
            )
        )
        layers.append(Dense(outputs, seed=of_output))
        model = Sequential(layers)
        if isinstance(self.optimizer, optimizers.Optimizer):
            optimizer = copy.deepcopy(self.optimizer)  # every fit begins anew
        else:
            optimizer = optimizers.get(self.optimizer, learning_rate=self.learning_rate)
        model.compile(optimizer, loss, metrics=list(metrics))
        history = model.fit(
            x,
            y,
            batch_size=self.batch_size,
            epochs=self.epochs,
            validation_split=self.validation_split,
            sample_weight=weights,
            verbose=self.verbose,
            seed=of_order,
        )
        self._check_names(X, table, fitting=True)
        self._table = table
        self.n_features_in_ = x.shape[1] if table else x.shape[2]
        self.model_ = model
        self.history_ = {name: [float(value) for value in values] for name, values in history.history.items()}

    def _check_names(self, X: Any, table: bool, fitting: bool) -> None:
        """Keep or compare the names of a data frame's columns, where scikit-learn is there to do it."""
        if fitting and not table:
            self.__dict__.pop("feature_names_in_", None)
        elif validate_data is not None and table:
            validate_data(self, X, reset=fitting, skip_check_array=True, ensure_2d=False)

    # ---- use

    def _outputs(self, X: Any) -> np.ndarray:
        """What the dense layer gives, (N, outputs), in float64."""
        if not hasattr(self, "model_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted: call fit first")
        x, table = _read(X)
        if table and not self._table and self.n_features_in_ == 1:
            table = False  # sequences that happen to be of one length
        if table != self._table:
            wanted, came = ("a table (N, T)", "sequences") if self._table else ("sequences", "a table (N, T)")
            raise ValueError(f"X must be {wanted}, as in fit, got {came}")
        self._check_names(X, table, fitting=False)
        features = x.shape[1] if table else x.shape[2]
        if features != self.n_features_in_:
            raise ValueError(
                f"X has {features} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                "input"
            )
        y = self.model_.predict(x, batch_size=PREDICT_BATCH, verbose=0)
        return y.astype(np.float64)

    # ---- files

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__() or {})
        if "model_" in state:
            state["model_"] = _packed(state["model_"])
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        state = dict(state)
        if "model_" in state:
            state["model_"] = _unpacked(state["model_"])
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class RNNClassifier(ClassifierMixin, RNNEstimator):
    """Classes of sequences: recurrent levels, a dense layer, softmax, and the crossentropy of the classes.

    Parameters
    ----------
    cell : {"lstm", "gru", "simple_rnn"}
    units : int
        Hidden units of each level and direction.
    num_layers : int
        Levels.
    bidirectional : bool
        Walk both directions.
    dropout : float
        Share of each level's inputs that is dropped in training.
    epochs, batch_size : int
    learning_rate : float or LearningRateSchedule
        Of an optimizer that is given by name. With 0.005, above Keras's 0.001, the 50 epochs are enough for tables of
        some hundred rows.
    optimizer : str or Optimizer
        A name in `fastrnn.optimizers.OPTIMIZERS`, or an optimizer, of which every `fit` takes a copy.
    validation_split : float
        Share of the rows, drawn at random, that `fit` only watches; its figures stand in `history_` as "val_...".
    random_state : int, numpy.random.RandomState, numpy.random.Generator or None
        Of the weights, the dropout, the order of the rows and the validation part; None draws from the system.
    verbose : int or str
        As in `Sequential.fit`; 0 is silent.

    Attributes
    ----------
    classes_ : ndarray
        The classes, sorted.
    n_features_in_ : int
        T of a table (N, T), F of sequences.
    feature_names_in_ : ndarray of str
        The columns' names, after a data frame and where scikit-learn is installed.
    model_ : Sequential
        Its outputs are logits, before softmax, in the order of `classes_`.
    history_ : dict of str to list of float
        "loss", "accuracy" and those of the validation part, epoch by epoch.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((200, 10))
    >>> y = np.where(X.sum(axis=1) > 0, "up", "down")
    >>> RNNClassifier("gru", units=8, random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    classes_: np.ndarray

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array_like or list of array_like
            As the module says.
        y : array_like, (N,)
            Classes: whole numbers or texts.
        sample_weight : array_like, (N,), optional
            Not negative; a row with weight 0 is left out.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            Naming the argument, the rule and what came.
        FloatingPointError
            The loss is no longer finite.
        """
        y = self._targets(y)
        weights = _weights(sample_weight)
        classes, codes = self._codes(y)
        kept = codes if weights is None or len(weights) != len(codes) else codes[weights > 0]
        if len(np.unique(kept)) < 2:
            came = "no class" if not len(kept) else f"one class, {classes[kept[0]]!r}"
            raise ValueError(f"y must hold two classes at least, got {came}")
        loss = SparseCategoricalCrossentropy(from_logits=True)
        self._fit(X, codes, len(classes), loss, ["accuracy"], weights)
        self.classes_ = classes
        return self

    def _targets(self, y: Any) -> np.ndarray:
        labels = _labels(type(self).__name__, y)
        if labels.ndim == 2 and labels.shape[1] == 1:
            warnings.warn(
                "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (N,), for "
                "example using ravel().",
                DataConversionWarning,
                stacklevel=3,
            )
            labels = labels[:, 0]
        if labels.ndim != 1:
            raise ValueError(f"y should be a 1d array, (N,), got shape {labels.shape}")
        return labels

    @staticmethod
    def _codes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sorted classes, and every row's number among them."""
        if y.dtype.kind == "f" and (y != np.floor(y)).any():
            raise ValueError("Unknown label type: y must hold classes, got continuous numbers")
        try:
            classes, codes = np.unique(y, return_inverse=True)
        except TypeError as error:
            raise ValueError(f"Unknown label type: y must hold labels of one kind: {error}") from None
        return classes, codes

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the classes, (N, C), in the order of `classes_`.

        Raises
        ------
        NotFittedError
            There was no `fit`.
        TypeError, ValueError
            X is not of the kind of `fit`.
        """
        probabilities: np.ndarray = activations.get("softmax").forward(self._outputs(X))
        return probabilities

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (N,); the errors are those of `predict_proba`."""
        logits = self._outputs(X)
        best: np.ndarray = self.classes_[logits.argmax(axis=1)]
        return best


class RNNRegressor(RegressorMixin, RNNEstimator):
    """One or several numbers for a sequence: recurrent levels, a dense layer, and the mean squared error.

    Parameters and attributes are those of `RNNClassifier`, without `classes_`. A network learns numbers about 1 best:
    scale y, as with `sklearn.compose.TransformedTargetRegressor`.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((200, 10))
    >>> RNNRegressor("gru", random_state=0).fit(X, X.mean(axis=1)).score(X, X.mean(axis=1)) > 0.9
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array_like or list of array_like
            As the module says.
        y : array_like, (N,) or (N, K)
        sample_weight : array_like, (N,), optional
            Not negative; a row with weight 0 is left out.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            Naming the argument, the rule and what came.
        FloatingPointError
            The loss is no longer finite.
        """
        y = _numbers("y", _labels(type(self).__name__, y))
        if y.ndim not in (1, 2) or not y.shape[-1]:
            raise ValueError(f"y must have shape (N,) or (N, K), got {y.shape}")
        single = y.ndim == 1
        y = y.reshape(len(y), 1 if single else y.shape[1])
        self._fit(X, y, y.shape[1], MeanSquaredError(), [], _weights(sample_weight))
        self._single = single
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers of each row, float64 of y's shape in `fit`: (N,) or (N, K).

        Raises
        ------
        NotFittedError
            There was no `fit`.
        TypeError, ValueError
            X is not of the kind of `fit`.
        """
        y = self._outputs(X)
        return y[:, 0] if self._single else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


# ---- what fit and predict take


def _read(X: Any) -> tuple[np.ndarray, bool]:
    """X as (N, T, F) in float32, with PADDING after the ends of sequences; and whether it was a table (N, T)."""
    if X is None:
        raise ValueError("X must have shape (N, T), (N, T, F) or be a list of sequences, got None")
    if hasattr(X, "toarray"):
        raise TypeError("X must be dense, got a sparse matrix: use X.toarray()")
    rows = _ragged(X)
    if rows is None:
        x = _numbers("X", X)
        if x.ndim not in (2, 3):
            raise ValueError(
                f"X must have shape (N, T), (N, T, F) or be a list of sequences, got shape {x.shape}. "
                "Reshape your data: X.reshape(1, -1) is one sequence, X.reshape(-1, 1) are sequences of one step"
            )
        table = x.ndim == 2
        x = x[:, :, np.newaxis] if table else x
    else:
        _numbers("X", np.concatenate([row.reshape(-1) for row in rows]))
        x = pad_sequences(rows, dtype=np.float32, padding="post", value=PADDING)
        x = x[:, :, np.newaxis] if x.ndim == 2 else x
        table = False
    if not x.size:
        shape, what = x.shape[:2] if table else x.shape, "feature" if len(x) else "sample"
        raise ValueError(f"Found array with 0 {what}(s) (shape={shape}) while a minimum of 1 is required.")
    return x.astype(np.float32, copy=False), table


def _ragged(X: Any) -> list[np.ndarray] | None:
    """The sequences (T_n,) or (T_n, F) of a list of different lengths; None of anything else."""
    if hasattr(X, "to_numpy") and getattr(X, "ndim", 2) == 1:
        X = X.to_numpy()  # a pandas Series of sequences
    if not isinstance(X, (list, tuple)) and not (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1):
        return None
    if len({len(row) if _is_sequence(row) else -1 for row in X}) < 2:
        return None
    rows: list[np.ndarray] = []
    for number, row in enumerate(X):
        if not _is_sequence(row):
            raise TypeError(f"X must hold sequences, got {row!r} at {number}")
        array = _numbers(f"X[{number}]", row)
        if array.ndim not in (1, 2) or array.shape[1:] != (rows[0].shape[1:] if rows else array.shape[1:]):
            shape = f"(T, {rows[0].shape[1]})" if rows and rows[0].ndim == 2 else "(T,)" if rows else "(T,) or (T, F)"
            raise ValueError(f"X[{number}] must have shape {shape}, got {array.shape}")
        rows.append(array)
    return rows


def _is_sequence(row: Any) -> bool:
    if isinstance(row, (list, tuple)):
        return True
    return hasattr(row, "__len__") and not isinstance(row, (str, bytes, dict, set)) and np.ndim(row) > 0


def _numbers(name: str, value: Any) -> np.ndarray:
    """Finite real numbers, of any shape, that float32 can hold."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array: {error}") from None
    if array.dtype.kind == "O":
        array = array.astype(np.float64)  # NumPy's TypeError tells what it was
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} must hold real numbers")
    array = validate.array(name, array, unit_stride=False)
    if not np.isfinite(array).all():
        what = "NaN" if np.isnan(array).any() else "infinity"
        raise ValueError(f"{name} must be finite, got {what}")
    if array.size and np.abs(array).max() >= -PADDING:
        raise ValueError(f"{name} must be below {-PADDING:g} in size, got {np.abs(array).max():g}")
    return array


def _labels(estimator: str, y: Any) -> np.ndarray:
    """y as an array, whatever it holds but NaN."""
    if y is None:
        raise ValueError(f"This {estimator} estimator requires y to be passed, but the target y is None.")
    result = np.asarray(y)
    if result.dtype.kind == "c":
        raise ValueError("Complex data not supported: y must hold real numbers or labels")
    if result.dtype.kind == "f" and not np.isfinite(result).all():
        raise ValueError(f"y must be finite, got {'NaN' if np.isnan(result).any() else 'infinity'}")
    if not result.ndim:
        raise ValueError(f"y should be a 1d array, (N,), got {y!r}")
    return result


def _weights(sample_weight: Any) -> np.ndarray | None:
    """(N,), not negative, not all zero."""
    if sample_weight is None:
        return None
    weights = _numbers("sample_weight", sample_weight)
    if weights.ndim != 1:
        raise ValueError(f"sample_weight must have shape (N,), got {weights.shape}")
    if (weights < 0).any():
        raise ValueError(f"sample_weight must be at least 0, got {weights.min()}")
    if not weights.any():
        raise ValueError("sample_weight must hold a weight above zero, got none")
    return weights


def _same_length(name: str, value: np.ndarray, x: np.ndarray) -> None:
    if len(value) != len(x):
        raise ValueError(f"X and {name} must have one length, got {len(x)} and {len(value)}")


def _generator(random_state: Any) -> np.random.Generator:
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31 - 1))
    if random_state is None or isinstance(random_state, np.random.Generator):
        return np.random.default_rng(random_state)
    return np.random.default_rng(validate.count("random_state", random_state))


# ---- a model as bytes, for pickle: what `Sequential.save` writes


def _packed(model: Sequential) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.fastrnn")
        model.save(path)
        with open(path, "rb") as file:
            return file.read()


def _unpacked(data: bytes) -> Sequential:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.fastrnn")
        with open(path, "wb") as file:
            file.write(data)
        return load_model(path)
