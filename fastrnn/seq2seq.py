"""Sequence to sequence: an encoder reads one sequence, and a decoder, begun in its final state, writes another.

>>> model = Seq2Seq(
...     encoder=[Embedding(90, 64), LSTM(256, return_state=True)],
...     decoder=[Embedding(120, 64), LSTM(256, return_sequences=True), Dense(120)],
...     start=1, end=2, padding=0,
... )
>>> model.compile("adam", SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
>>> history = model.fit(source, target, epochs=20)          # ids (N, S) and (N, T); rows end with 2, then zeros
>>> ids, scores = model.generate(source, 20)                # (N, 20), (N,): the likeliest symbol at every step
>>> ids, scores = model.beam_search(source, 20, width=5)    # (N, 5, 20), (N, 5): the best sequences, best first

What writes asks no encoder, and serves a language model as well: `Steps` reads one symbol at a time, `choose` takes one
by its logits, `generate` and `beam_search` are the loops. Legend: B rows, S streams, T steps, V symbols, W hypotheses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeGuard

import numpy as np

from fastrnn import batches, functional, validate
from fastrnn import layers as registry
from fastrnn.layers.base import Layer, Shape
from fastrnn.layers.embedding import Embedding
from fastrnn.layers.recurrent import Recurrent, Stream
from fastrnn.layers.wrappers import Bidirectional
from fastrnn.models import Sequential, is_keras
from fastrnn.training import Trainable

# ---------------------------------------------------------------------------------------------------------- generation


class Reader(Protocol):
    """What the loops below need of a model: S streams that read one symbol at a time."""

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Read a symbol in every stream, (S,); the logits of the next, (S, V)."""

    def take(self, rows: np.ndarray) -> None:
        """Let stream i go on from where stream rows[i] is."""


class Steps:
    """Layers read one symbol at a time, in S streams.

    Recurrent layers run as streams (`layer.stream`), so that a step costs the same however much was read before. The
    logits are those of the layers run over the whole sequence, to the same bits.

    Parameters
    ----------
    layers : sequence of Layer
        Built; from ids (B, T) to logits (B, T, V), or to probabilities if the last one is a softmax. None may look
        ahead.
    streams : int
        S
    state : sequence of ndarray, (S, H), optional
        Where to begin: h, or h and c, of every level of every recurrent layer. Default: zeros.

    Examples
    --------
    A language model goes on from a text:

    >>> steps = Steps(model.layers)
    >>> for number in prime[:-1]:
    ...     steps([number])
    >>> ids, scores = generate(steps, prime[-1:], 100, temperature=0.8)
    """

    def __init__(self, layers: Sequence[Layer], streams: int = 1, state: Sequence[Any] | None = None) -> None:
        if not _layers("layers", layers):
            raise ValueError("layers must be at least one layer, got none")
        self.streams = validate.count("streams", streams, minimum=1)
        self._layers = [layer.stream(streams) if hasattr(layer, "stream") else layer for layer in layers]
        self._recurrent = [layer for layer in self._layers if isinstance(layer, Stream)]
        self._softmax = _is_softmax(layers[-1])
        if state is not None:
            self.state = tuple(state)

    def __call__(self, ids: Any) -> np.ndarray:
        """Read a symbol in every stream, (S,); the logits of the next, (S, V)."""
        x = validate.integers("ids", ids, 0, 2**63 - 1)
        if x.shape != (self.streams,):
            raise ValueError(f"ids must have shape ({self.streams},), got {x.shape}")
        x = x[:, np.newaxis]
        for layer in self._layers:
            x = layer.step(x[:, 0])[:, np.newaxis] if isinstance(layer, Stream) else layer(x)
        logits: np.ndarray = x[:, 0]
        if self._softmax:
            with np.errstate(divide="ignore"):  # no probability is a logit of -inf
                logits = np.log(logits)
        return logits

    def take(self, rows: np.ndarray) -> None:
        """Let stream i go on from where stream rows[i] is."""
        self.state = tuple(part[rows] for part in self.state)

    @property
    def state(self) -> tuple[np.ndarray, ...]:
        """Copies of the states (S, H)."""
        return tuple(part for stream in self._recurrent for part in stream.state)

    @state.setter
    def state(self, value: tuple[np.ndarray, ...]) -> None:
        counts = [len(stream.state) for stream in self._recurrent]
        if len(value) != sum(counts):
            raise ValueError(f"state must be {sum(counts)} arrays, got {len(value)}")
        for stream, count in zip(self._recurrent, counts, strict=True):
            stream.state, value = value[:count], value[count:]


def choose(
    logits: Any, temperature: float = 0.0, top_k: int | None = None, rng: np.random.Generator | int | None = None
) -> np.ndarray:
    """A symbol for each row of logits: the likeliest one, or one drawn by its probability.

    Parameters
    ----------
    logits : array_like, (..., V)
        -inf for what cannot be chosen.
    temperature : float
        Logits are divided by it: below 1 the likely becomes likelier. 0 takes the likeliest, the first of equals.
    top_k : int, optional
        Draw among the k likeliest only.
    rng : numpy.random.Generator or int, optional
        What draws, or its seed; by default from the operating system's entropy.

    Returns
    -------
    ids : ndarray of int64, (...)
    """
    logits = validate.array("logits", logits)
    temperature = validate.number("temperature", temperature, minimum=0.0)
    top_k = None if top_k is None else validate.count("top_k", top_k, minimum=1)
    below = _below_most(logits)
    if temperature == 0:
        likeliest: np.ndarray = logits.argmax(axis=-1)
        return likeliest
    order = None
    if top_k is not None:
        order = largest(logits, min(top_k, logits.shape[-1]))
        below = np.take_along_axis(below, order, -1)
    with np.errstate(over="ignore"):  # the smallest temperatures
        below /= temperature
    weights = np.cumsum(np.exp(below), axis=-1)
    drawn = validate.generator("rng", rng).random(below.shape[:-1]) * weights[..., -1]
    place: np.ndarray = (weights <= drawn[..., np.newaxis]).sum(axis=-1)
    return place if order is None else np.take_along_axis(order, place[..., np.newaxis], -1)[..., 0]


def generate(
    steps: Reader,
    first: Any,
    max_length: int,
    *,
    end: int | None = None,
    padding: int = 0,
    never: Sequence[int] = (),
    temperature: float = 0.0,
    top_k: int | None = None,
    rng: np.random.Generator | int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Let every stream write a sequence, each symbol read back as the next input.

    Parameters
    ----------
    steps : Reader
        As `Steps`.
    first : array_like of int, (S,)
        What the streams read first; it is not part of what they write.
    max_length : int
        T, symbols written at most.
    end : int, optional
        The symbol that ends a sequence; None: all have the full length.
    padding : int
        Stands after the end; need not be a symbol.
    never : sequence of int
        Symbols that are not written.
    temperature, top_k, rng
        As in `choose`.

    Returns
    -------
    ids : ndarray of int64, (S, T)
        With the end symbol.
    scores : ndarray, (S,)
        Mean log-probability of a sequence's symbols by the model, whatever the temperature.
    """
    if top_k is not None and temperature == 0:
        raise ValueError("top_k must be None at temperature 0, which takes the likeliest: give a temperature with it")
    last, end, padding = _start(steps, first, end, padding)
    rng = validate.generator("rng", rng)
    ids = np.full((len(last), validate.count("max_length", max_length)), padding, np.int64)
    totals, sizes = np.zeros(len(last)), np.zeros(len(last), np.int64)
    live = np.ones(len(last), bool)
    for step in range(max_length):
        gains = _gains(steps, last)
        allowed = gains.copy()
        allowed[:, validate.integers("never", never, 0, gains.shape[-1])] = -np.inf
        last = choose(allowed, temperature, top_k, rng)
        ids[live, step] = last[live]
        totals += np.where(live, np.take_along_axis(gains, last[:, np.newaxis], -1)[:, 0], 0)
        sizes += live
        if end is not None:
            live &= last != end
            if not live.any():
                break
    return ids, totals / np.maximum(sizes, 1)


def beam_search(
    steps: Reader,
    first: Any,
    max_length: int,
    width: int,
    *,
    end: int | None = None,
    padding: int = 0,
    never: Sequence[int] = (),
    length_penalty: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The sequences of best score that are found when, at every step, the best W hypotheses are kept.

    A hypothesis is scored by log p / L^length_penalty, L being the number of its symbols with the end. One that has
    ended keeps its place as long as it is among the best. Width 1 is `generate`.

    Parameters
    ----------
    steps : Reader
        With B.W streams; those of a row stand side by side.
    first : array_like of int, (B,)
        What is read first; it is not part of what is written.
    max_length : int
        T, symbols written at most.
    width : int
        W
    end, padding, never
        As in `generate`.
    length_penalty : float
        1: the mean log-probability of the symbols. Below, shorter sequences are preferred; 0: the log-probability of
        the sequence.

    Returns
    -------
    ids : ndarray of int64, (B, W, T)
        The best first.
    scores : ndarray, (B, W)
        -inf, with padding alone, where there are fewer sequences than W.
    """
    first, end, padding = _start(steps, first, end, padding)
    width = validate.count("width", width, minimum=1)
    length_penalty = validate.number("length_penalty", length_penalty)
    shape, row = (len(first), width), np.arange(len(first))[:, np.newaxis]
    ids = np.full((*shape, validate.count("max_length", max_length)), padding, np.int64)
    scores = np.full(shape, -np.inf)
    scores[:, 0] = 0  # the hypotheses of a row begin as one
    totals, sizes, live = scores.copy(), np.zeros(shape, np.int64), np.ones(shape, bool)
    last = np.repeat(first, width)
    for step in range(max_length):
        gains = _gains(steps, last).reshape(*shape, -1)
        gains[..., validate.integers("never", never, 0, gains.shape[-1])] = -np.inf
        gains[~live] = -np.inf
        gains[~live, 0] = 0  # what has ended goes on in one way, at no cost
        sizes += live
        gains += totals[..., np.newaxis]
        ranks = gains / sizes[..., np.newaxis] ** length_penalty
        parents, symbols = np.divmod(largest(ranks.reshape(len(first), -1), width), gains.shape[-1])
        scores, totals = ranks[row, parents, symbols], gains[row, parents, symbols]
        ids, sizes, live = ids[row, parents], sizes[row, parents], live[row, parents]
        ids[..., step] = np.where(live, symbols, padding)
        if end is not None:
            live &= symbols != end
            if not live.any():
                break
        last = symbols.reshape(-1)
        steps.take((row * width + parents).reshape(-1))
    ids[np.isneginf(scores)] = padding
    return ids, scores


def _start(steps: Any, first: Any, end: Any, padding: Any) -> tuple[np.ndarray, int | None, int]:
    """The arguments of both loops, checked."""
    validate.function("steps", steps)
    symbols = validate.integers("first", first, 0, 2**63 - 1)
    if symbols.shape != np.shape(first) or symbols.ndim != 1:
        raise ValueError(f"first must have shape (S,), got {np.shape(first)}")
    end = None if end is None else validate.count("end", end)
    return symbols, end, validate.count("padding", padding, minimum=-(2**63))


def _gains(steps: Reader, ids: np.ndarray) -> np.ndarray:
    """Log-probabilities of the next symbols, (S, V), when these were read."""
    gains = log_softmax(steps(ids))
    if gains.ndim != 2 or len(gains) != len(ids):
        raise ValueError(f"steps must give logits ({len(ids)}, V) for {len(ids)} symbols, got shape {gains.shape}")
    return gains


def log_softmax(logits: Any) -> np.ndarray:
    """log(softmax(logits)) over the last axis, in float64."""
    y = _below_most(logits)
    y -= np.log(np.exp(y).sum(axis=-1, keepdims=True))
    return y


def _below_most(logits: Any) -> np.ndarray:
    """Logits less the largest of their row, in float64."""
    logits = validate.array("logits", logits)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"logits must have shape (..., V) with at least one symbol, got {logits.shape}")
    most = logits.max(axis=-1, keepdims=True)
    if not np.isfinite(most).all():
        raise ValueError(f"logits must have a finite maximum in every row, got {most[~np.isfinite(most)][0]}")
    below: np.ndarray = np.subtract(logits, most, dtype=np.float64)
    return below


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` largest values along the last axis, the largest first, of equals the first: (..., count).

    As argsort(-values, kind="stable")[..., :count], without sorting all.
    """
    rows = values.reshape(-1, values.shape[-1])
    least = np.partition(rows, rows.shape[1] - count, axis=1)[:, rows.shape[1] - count, np.newaxis]
    row, place = np.nonzero(rows >= least)
    order = np.lexsort((place, -rows[row, place], row))
    begin = np.searchsorted(row, np.arange(len(rows)))
    found: np.ndarray = place[order[begin[:, np.newaxis] + np.arange(count)]]
    return found.reshape(*values.shape[:-1], count)


def _is_softmax(layer: Any) -> bool:
    """Whether a layer, or the one that it wraps, ends in a softmax."""
    layer = getattr(layer, "layer", layer)
    return getattr(getattr(layer, "activation", None), "name", None) == "softmax"


# --------------------------------------------------------------------------------------------------------------- model


class Seq2Seq(Trainable):
    """An encoder that reads a sequence, and a decoder that writes another (Cho et al. 2014; Sutskever et al. 2014).

    The final states of the encoder's recurrent layers that have `return_state` are what the decoder's recurrent layers
    begin with, in order and level by level; the gradients go back the same way. Of a bidirectional layer the states of
    both directions are put side by side, so that the decoder's layer has as many units as the two together.

    In training the decoder reads the true target one step late, `start` and then all symbols but the last (teacher
    forcing). Wherever padding stands, in x or y, no layer reads it and no loss or metric counts it.

    Parameters
    ----------
    encoder : sequence of Layer
        From ids (B, S), or numbers (B, S, I), to a recurrent layer with `return_state`, which is the last.
    decoder : sequence of Layer
        From ids (B, T) to logits or probabilities (B, T, V): an Embedding, recurrent layers with `return_sequences`,
        a Dense.
    start : int
        What the decoder reads first; no target holds it, unless it is the end as well.
    end : int
        The last symbol of a target.
    padding : int
        Fills up the rows of x and y.
    name : str

    Attributes
    ----------
    encoder, decoder : Sequential
        A layer without a name of its own is called after its part: encoder_lstm, decoder_lstm.
    layers : list of Layer
        All of them.
    optimizer, loss, metrics, weighted_metrics, history
        As in `Trainable`.
    """

    def __init__(
        self,
        encoder: Sequence[Layer],
        decoder: Sequence[Layer],
        *,
        start: int,
        end: int,
        padding: int = 0,
        name: str = "seq2seq",
    ) -> None:
        super().__init__()
        self.name = validate.layer_name("name", name)
        self.start, self.end = validate.count("start", start), validate.count("end", end)
        self.padding = validate.count("padding", padding)
        if self.padding in (self.start, self.end):
            raise ValueError(f"padding must be neither start nor end, got {self.padding}")
        encoder, decoder = _layers("encoder", encoder), _layers("decoder", decoder)
        self.layers = [*encoder, *decoder]
        if len({id(layer) for layer in self.layers}) < len(self.layers):
            raise ValueError("no layer may be in encoder and decoder twice: it remembers one forward pass, not two")
        _check_encoder(encoder)
        _check_decoder(decoder)
        given = _named(port for layer in encoder if _gives(layer) for port in ports(layer))
        taken = _named(port for layer in decoder if isinstance(layer, Recurrent) for port in ports(layer))
        if given != taken:
            raise ValueError(f"encoder must end in the states that the decoder begins with, {taken}, got {given}")
        self._symbols = min(_symbols(decoder), _rows_of(decoder))
        if max(self.start, self.end, self.padding) >= self._symbols:
            raise ValueError(
                f"start, end and padding must be below the {self._symbols} symbols of the decoder, "
                f"got {self.start}, {self.end}, {self.padding}"
            )
        for part, layers in (("encoder", encoder), ("decoder", decoder)):
            for layer in layers:
                layer.name = layer.name if layer.named else f"{part}_{layer.name}"
        self.encoder, self.decoder = Sequential(encoder, "encoder"), Sequential(decoder, "decoder")
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise ValueError(f"layers must have names of their own, got {', '.join(names)}")

    # ---- structure

    @property
    def built(self) -> bool:
        """Whether all variables exist. The first call builds the model from its input's shape."""
        return self.encoder.built and self.decoder.built

    def build(self, input_shape: Shape) -> None:
        """Create all variables; calling the model does it by itself.

        Parameters
        ----------
        input_shape : tuple of int or None
            Of x, None for the batch and for any axis that varies: (None, None) for ids.
        """
        if not self.encoder.built:
            self.encoder.build(input_shape)
        if not self.decoder.built:
            self.decoder.build((None, None))

    @property
    def parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(variable.size for variable in self.variables)

    def summary(self, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the layers of both parts; the arguments are those of `Sequential.summary`."""
        self.encoder.summary(line_length, print_fn)
        self.decoder.summary(line_length, print_fn)

    # ---- passes

    def __call__(self, x: Any, y: Any, training: bool = False) -> np.ndarray:
        """What the decoder says of every symbol of y, knowing x and the symbols before it.

        Parameters
        ----------
        x : array_like, (B, S) of ids or (B, S, I)
        y : array_like of int, (B, T)
        training : bool
            Keep what `backward` needs.

        Returns
        -------
        y_pred : ndarray, (B, T, V)
        """
        return self.taught(x, y, training)[0]

    def taught(self, x: Any, y: Any, training: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """As the call, with the mask (B, T) of what is no padding in y."""
        x, y = self._source(x), self._target(y)
        if len(x) != len(y):
            raise ValueError(f"x and y must have the same number of rows, got {len(x)} and {len(y)}")
        late = np.empty_like(y)
        late[:, :1], late[:, 1:] = self.start, y[:, :-1]
        _, state = self._through(self.encoder, x, training)
        y_pred, _ = self._through(self.decoder, late, training, state)
        return y_pred, y != self.padding

    def forward(self, x: Any, training: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """There is none without y."""
        raise TypeError(f"{self.name} predicts a target that it is given; `generate` or `beam_search` write one")

    def _source(self, x: Any) -> np.ndarray:
        """x, checked: ids (B, S), or numbers (B, S, I)."""
        x = x if isinstance(x, np.ndarray) else np.asarray(x)
        shape = "(B, S)" if isinstance(self.encoder.layers[0], Embedding) else "(B, S, I)"
        if x.ndim != shape.count(",") + 1:
            raise ValueError(f"x must have shape {shape}, got {x.shape}")
        if not self.built:
            self.build((None, None, *x.shape[2:]))
        return x if x.ndim == 3 else validate.integers("x", x, 0, _rows_of(self.encoder.layers))

    def _target(self, y: Any) -> np.ndarray:
        """y, checked: ids (B, T)."""
        if np.ndim(y) != 2:
            raise ValueError(f"y must have shape (B, T), got {np.shape(y)}")
        ids = validate.integers("y", y, 0, self._symbols)
        if self.start != self.end and (ids == self.start).any():
            raise ValueError(f"y must not hold start, {self.start}: the decoder is given it before y")
        return ids

    def _through(
        self, part: Sequential, x: np.ndarray, training: bool = False, begin: Sequence[np.ndarray] = ()
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Through the encoder or the decoder: its output, and the states that it ends in."""
        mask = x != self.padding if x.ndim == 2 else None
        ends: list[np.ndarray] = []
        for layer, following in zip(part.layers, [*part.layers[1:], None], strict=True):
            options: dict[str, Any] = {}
            if mask is not None and layer.takes_mask:
                options["mask"] = mask
            if isinstance(layer, Embedding) and following is not None and following.takes_lookup:
                options["gather"] = False
            if begin and isinstance(layer, Recurrent):
                count = len(ports(layer))
                options["initial_state"], begin = tuple(begin[:count]), begin[count:]
            y = layer(x, training=training, **options)
            if not isinstance(layer, Embedding):  # which knows no other padding than 0
                mask = layer.compute_mask(x, mask)
            if isinstance(y, tuple) and isinstance(layer, Recurrent | Bidirectional):
                y, *state = y
                ends += [np.concatenate([state[i] for i in port.places], axis=1) for port in ports(layer)]
            x = y
        return x, ends

    def backward(self, dy: np.ndarray, *, need_dx: bool = False) -> np.ndarray | None:
        """Write every variable's gradient, from the gradient dy with respect to the last training output.

        Returns
        -------
        dx : ndarray or None
            Gradient with respect to x, if `need_dx` and x is not ids.
        """
        gradient: np.ndarray | None = dy
        dstates: list[np.ndarray] = []
        for layer in reversed(self.decoder.layers):
            gradient = layer.backward(gradient, need_dx=layer is not self.decoder.layers[0])
            if isinstance(layer, Recurrent):
                dstates = [*(layer.dstate or ()), *dstates]
        gradient = None
        for layer in reversed(self.encoder.layers):
            options: dict[str, Any] = {}
            if _gives(layer):
                own = ports(layer)
                options["dstate"] = _parted(own, dstates[-len(own) :])
                del dstates[-len(own) :]
            gradient = layer.backward(gradient, need_dx=need_dx or layer is not self.encoder.layers[0], **options)
        return gradient

    def _rehearse(self, data: batches.Batches) -> None:
        """All ids of arrays are looked at before anything has changed."""
        if isinstance(data, batches.Rows):
            self._source(data.arrays[0])
            self._target(data.arrays[1])
        super()._rehearse(data)

    # ---- files

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, and the shape of x if built, as JSON can hold them."""
        return {
            "name": self.name,
            "encoder": self.encoder.get_config()["layers"],
            "decoder": self.decoder.get_config()["layers"],
            "start": self.start,
            "end": self.end,
            "padding": self.padding,
            "input_shape": self.encoder.input_shape,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new model with new weights, built if the one was whose `get_config` this is."""
        names = ("name", "encoder", "decoder", "start", "end", "padding", "input_shape")
        model = cls._from_layers(validate.config(config, *names))
        if config["input_shape"] is not None:
            model.build(tuple(config["input_shape"]))
        return model

    @classmethod
    def _from_layers(cls, config: Mapping[str, Any]) -> Self:
        encoder, decoder = (
            [registry.get(each["class"], **each["config"]) for each in config[part]] for part in ("encoder", "decoder")
        )
        return cls(encoder, decoder, **{name: config[name] for name in ("start", "end", "padding", "name")})

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True, include_optimizer: bool = True) -> None:
        """Write the model to one file: layers and weights, optimizer, loss and metrics; `Seq2Seq.load` reads it.

        Parameters
        ----------
        path : path-like
            Replaced only when the new file is complete.
        overwrite : bool
            False raises FileExistsError if there is a file.
        include_optimizer : bool
            False leaves out optimizer, loss and metrics.

        Raises
        ------
        ValueError
            The model is not built, or a layer, optimizer, loss or metric is not in its registry; or the path ends as a
            file of Keras's, which cannot hold such a model.
        OSError
            From the file system.
        """
        from fastrnn import saving  # not above: zipfile and json would be 8 ms of every `import fastrnn`

        path = validate.path("path", path)
        if not self.built:
            raise ValueError(f"{self.name} is not built: call it once, or build(input_shape), before save")
        if is_keras(path):
            raise ValueError(f"path must not have an ending of Keras's, which has no Seq2Seq, got {path!r}")
        if not overwrite and os.path.exists(path):
            raise FileExistsError(f"there is a file {path!r} already")
        model = self if include_optimizer else self._uncompiled()
        saving.write(path, {"model": model.get_config(), "compiled": model._compilation()}, model._state())

    @classmethod
    def load(cls, path: str | os.PathLike[str], compile: bool = True) -> Self:
        """The model that `save` wrote, ready to write, or to be trained further to the same bits.

        Parameters
        ----------
        path : path-like
        compile : bool
            False leaves out optimizer, loss and metrics, which then may be such as there are not here.

        Raises
        ------
        ValueError
            Naming the file and what is wrong with it. Loading executes nothing of the file and takes no more memory
            than its size accounts for.
        OSError
            From the file system.
        """
        from fastrnn import saving

        content, arrays = saving.read(validate.path("path", path))
        with saving.refusing(path):
            config = content["model"]
            if "encoder" not in config:
                raise ValueError("it holds no Seq2Seq; load_model reads those of a Sequential")
            model = cls._from_layers(config)
            model.encoder.restore(config["input_shape"], arrays)
            model.decoder.restore((None, None), arrays)
            model._take_up(content["compiled"], arrays, compile)
        return model

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a file that `save` or `save_weights` wrote; on an error none has changed."""
        other = type(self).load(path, compile=False)
        if not self.built and other.encoder.input_shape is not None:
            self.build(other.encoder.input_shape)
        self.set_weights([variable.value for variable in other.variables])

    # ---- writing

    def generate(
        self,
        x: Any,
        max_length: int,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        rng: np.random.Generator | int | None = None,
        batch_size: int = 128,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write a target for every row of x, symbol by symbol: the likeliest one at every step, or one that is drawn.

        Parameters
        ----------
        x : array_like, (N, S) of ids or (N, S, I)
        max_length : int
            T, symbols written at most.
        temperature, top_k, rng
            As in `choose`.
        batch_size : int
            Rows written at a time.

        Returns
        -------
        ids : ndarray of int64, (N, T)
            As y: the end symbol stands last, and padding after it. A row without it was not ended in time.
        scores : ndarray, (N,)
            Mean log-probability of the symbols of a row by the model, whatever the temperature.
        """
        rng = validate.generator("rng", rng)

        def write(steps: Steps, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            choice: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "rng": rng}
            return generate(steps, first, max_length, **self._rules(), **choice)

        return self._write(x, batch_size, 1, write)

    def beam_search(
        self, x: Any, max_length: int, width: int, *, length_penalty: float = 1.0, batch_size: int = 32
    ) -> tuple[np.ndarray, np.ndarray]:
        """Write the W best targets that a beam search finds for every row of x.

        Parameters
        ----------
        x : array_like, (N, S) of ids or (N, S, I)
        max_length : int
            T, symbols written at most.
        width : int
            W, hypotheses kept at every step.
        length_penalty : float
            As in the function `beam_search`.
        batch_size : int
            Rows written at a time.

        Returns
        -------
        ids : ndarray of int64, (N, W, T)
            The best first; each as a row of `generate`.
        scores : ndarray, (N, W)
            log p / L^length_penalty, L being the number of symbols with the end.
        """

        def write(steps: Steps, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return beam_search(steps, first, max_length, width, length_penalty=length_penalty, **self._rules())

        return self._write(x, batch_size, validate.count("width", width, minimum=1), write)

    def _rules(self) -> dict[str, Any]:
        """Of writing: what no target holds is not written."""
        never = {self.padding} if self.start == self.end else {self.padding, self.start}
        return {"end": self.end, "padding": self.padding, "never": sorted(never)}

    def _write(
        self, x: Any, batch_size: int, width: int, write: Callable[[Steps, np.ndarray], tuple[np.ndarray, np.ndarray]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores, batch by batch; each row has `width` streams, begun in the encoder's final states."""
        x, size = self._source(x), validate.count("batch_size", batch_size, minimum=1)
        if not len(x):
            raise ValueError(f"x must have at least one row, got shape {x.shape}")
        parts = []
        for begin in range(0, len(x), size):
            rows = x[begin : begin + size]
            _, state = self._through(self.encoder, rows)
            steps = Steps(self.decoder.layers, len(rows) * width, [np.repeat(each, width, axis=0) for each in state])
            parts.append(write(steps, np.full(len(rows), self.start)))
        ids, scores = zip(*parts, strict=True)
        return np.concatenate(ids), np.concatenate(scores)


class Port(NamedTuple):
    """One state of a recurrent layer, h or c of one level, of both directions if there are two."""

    name: str
    units: tuple[int, ...]
    places: tuple[int, ...]  # among the states that the layer returns


def ports(layer: Recurrent | Bidirectional) -> list[Port]:
    """The states of a layer, level by level."""
    if isinstance(layer, Bidirectional):
        ahead, back = ports(layer.forward_layer), ports(layer.backward_layer)
        if [port.name for port in ahead] != [port.name for port in back]:
            raise ValueError(f"{layer.name} must have the same states in both directions to hand them on")
        return [
            Port(a.name, a.units + b.units, (*a.places, *(len(ahead) + place for place in b.places)))
            for a, b in zip(ahead, back, strict=True)
        ]
    parts, ways = functional.states[layer.cell], 2 if layer.bidirectional else 1
    return [
        Port("hc"[part], (layer.units,) * ways, tuple(parts * (ways * level + way) + part for way in range(ways)))
        for level in range(layer.num_layers)
        for part in range(parts)
    ]


def _gives(layer: Layer) -> TypeGuard[Recurrent | Bidirectional]:
    """Whether a layer of the encoder hands its final state on."""
    return isinstance(layer, Recurrent | Bidirectional) and layer.return_state


def _parted(of: Sequence[Port], dstates: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The gradients of a layer's states, from those of what its ports give."""
    places = [place for port in of for place in port.places]
    parts = [
        part
        for port, dstate in zip(of, dstates, strict=True)
        for part in np.split(dstate, np.cumsum(port.units[:-1]), axis=1)
    ]
    return tuple(parts[i] for i in np.argsort(places))


def _named(of: Iterable[Port]) -> str:
    """h (B, 256), c (B, 256)"""
    return ", ".join(f"{port.name} (B, {sum(port.units)})" for port in of) or "none"


def _layers(name: str, value: Any) -> list[Layer]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(layer, Layer) for layer in value):
        raise TypeError(f"{name} must be a list of layers, got {value!r}")
    return list(value)


def _check_encoder(layers: Sequence[Layer]) -> None:
    if not layers or not _gives(layers[-1]):
        raise ValueError(f"encoder must end in a recurrent layer with return_state=True, got {[*layers[-1:]]}")
    for layer in layers:
        if getattr(layer, "stateful", False):
            raise ValueError(f"{layer.name} of the encoder must not be stateful: every row is a beginning")
        if getattr(layer, "merge_mode", "") is None:
            raise ValueError(f"{layer.name} of the encoder must merge its directions, got merge_mode=None")


def _check_decoder(layers: Sequence[Layer]) -> None:
    for layer in layers:
        if not hasattr(layer, "return_sequences"):
            continue
        if not isinstance(layer, Recurrent) or layer.bidirectional or layer.go_backwards:
            raise ValueError(f"{layer.name} of the decoder reads from the end: it cannot write step by step")
        if layer.stateful or not layer.return_sequences:
            raise ValueError(f"{layer.name} of the decoder must have return_sequences=True, and not be stateful")


def _symbols(decoder: Sequence[Layer]) -> int:
    """V"""
    shape: Shape = (None, None)
    for layer in decoder:
        shape = layer.compute_output_shape(shape)
    if len(shape) != 3 or shape[-1] is None:
        raise ValueError(f"decoder must give logits or probabilities (B, T, V) of ids (B, T), got {shape}")
    return shape[-1]


def _rows_of(layers: Sequence[Layer]) -> int:
    """What ids are below: the number of rows of the table that they are looked up in."""
    return layers[0].input_dim if isinstance(layers[0], Embedding) else 2**63 - 1
