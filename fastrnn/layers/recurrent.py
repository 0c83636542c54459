"""SimpleRNN, LSTM and GRU layers: one class over the kernels, and what each cell adds to it.

Legend: T steps, B batch rows, I inputs, H hidden units, G gates. A layer here may be a stack (`num_layers`) and walk
both directions (`bidirectional`); each direction has one kernel, one recurrent kernel and one bias in Keras's layout.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastrnn import functional, initializers, regularizers, validate
from fastrnn._core.memory import empty_sequence
from fastrnn._core.recurrence import ACTIVATIONS, Recurrence, StepWalk, Tape
from fastrnn.layers.base import Fixed, Layer, RandomMasks, Shape, Variable, no_constraint
from fastrnn.layers.embedding import Lookup
from fastrnn.layers.masked import MaskedRows


class Direction:
    """One direction of one level of a stack: its weights, and their packed form as of some version of them."""

    def __init__(
        self,
        recurrence: Recurrence,
        kernel: Variable,
        recurrent_kernel: Variable,
        bias: Variable | None,
        reverse: bool,
        columns: slice | None,
    ) -> None:
        self.recurrence, self.reverse = recurrence, reverse
        self.columns = columns  # its own among the outputs of its level; None: all
        self.kernel, self.recurrent_kernel, self.bias = kernel, recurrent_kernel, bias
        self.variables = [variable for variable in (kernel, recurrent_kernel, bias) if variable is not None]
        self.two_biases = bias is not None and len(bias.shape) == 2  # of the input and of the recurrent product
        self.packed = -1  # sum of the variables' versions, which only grow
        self.projected: tuple[Variable, int, int] | None = None

    def load(self, threads: int) -> Recurrence:
        """The recurrence with the weights as they are now; packing happens only after a change."""
        version = self.kernel.version + self.recurrent_kernel.version
        if self.bias is not None:
            version += self.bias.version
        if version != self.packed:
            self.pack_into(self.recurrence, threads)
            self.packed = version
        return self.recurrence

    def load_table(self, table: Variable, threads: int) -> None:
        """Project the rows of a table by the weights that are loaded, after a change of either."""
        now = (table, table.version, self.packed)
        if now != self.projected:
            self.recurrence.load_table(table.value, threads)
            self.projected = now

    def pack_into(self, recurrence: Recurrence, threads: int) -> None:
        """Give the present weights to a recurrence."""
        bias = None if self.bias is None else self.bias._array  # a view of each takes 0.2 us more
        recurrence.load(self.kernel._array, self.recurrent_kernel._array, bias, threads)

    def store_gradients(self, kernel: np.ndarray, recurrent_kernel: np.ndarray, bias: np.ndarray) -> None:
        """Leave the gradients with the variables; bias holds the input's and the recurrent one."""
        self.kernel.grad, self.recurrent_kernel.grad = kernel, recurrent_kernel
        if self.bias is not None:
            self.bias.grad = bias if self.two_biases else bias[0]


class Recurrent(Layer):
    """The common part of SimpleRNN, LSTM and GRU.

    Parameters
    ----------
    units : int
        H.
    activation : str
        "tanh"; a SimpleRNN also takes "relu" and "linear", or None for it.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
        Of `fastrnn.initializers`.
    dropout : float
        Share of the inputs dropped in training, one mask per sequence (Gal & Ghahramani 2016), before every level of a
        stack.
    return_sequences : bool
        All outputs (B, T, H) instead of the last (B, H).
    return_state : bool
        Also the final state: `y, h` or, for an LSTM, `y, h, c`; level by level, forward before backward.
    go_backwards : bool
        Walk the input from its last step; as in Keras the output is left in the order of the walk.
    stateful : bool
        Begin where the last call ended, until `reset_states()`.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
        What training adds to the loss for the weights; of `fastrnn.regularizers`.
    zero_output_for_mask : bool
        The output at a masked step is 0 instead of that of the valid step before it.
    num_layers : int
        Levels of a stack, each over the outputs of the one below.
    bidirectional : bool
        Walk both directions and concatenate them: outputs have 2.H columns.
    num_threads : int, optional
        Default: FASTRNN_NUM_THREADS, OMP_NUM_THREADS, or the usable cores. Results do not depend on it.
    compute_dtype : "bfloat16", optional
        Of a float32 layer: the weights of all products are kept in bfloat16, half the bytes, and x, h and the gates'
        gradients are rounded to it where they are multiplied (to nearest even), by weights or, in the weights'
        gradients, by each other; sums, gates, states, outputs, biases and the weights that are trained and saved stay
        float32. A bfloat16 has 8 significant bits: over 100 steps the outputs of an LSTM of 256 units were off by 0.003
        at most and by 0.2 % in the mean. On processors that multiply pairs of bfloat16 at twice the rate (AMD's
        Zen 4) a layer takes about 0.55 of the time. On others it pays where few rows wait for weights beyond the
        second-level cache, in streams above all; where arithmetic is the limit it costs up to a tenth. Default: the
        layer's dtype.
    input_length : int, optional
        T, where `input_dim` is given.
    **common
        dtype, seed (of the initialisers and of dropout), name, input_shape and the other arguments of `Layer`.
    """

    cell: ClassVar[str]
    takes_mask = True
    takes_lookup = True
    fixed: ClassVar[Fixed] = {
        **Layer.fixed,
        **no_constraint("kernel", "recurrent", "bias"),
        "recurrent_dropout": (0.0,),
        "implementation": (0, 1, 2),
        "time_major": (False,),
        "unroll": (False, True),
    }

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        zero_output_for_mask: bool = False,
        num_layers: int = 1,
        bidirectional: bool = False,
        num_threads: int | None = None,
        compute_dtype: str | None = None,
        input_length: int | None = None,
        **common: Any,
    ) -> None:
        if common.get("input_dim") is not None:
            common["input_shape"] = (input_length, common.pop("input_dim"))
        super().__init__(**common)
        self.units = validate.count("units", units, minimum=1)
        allowed = tuple(ACTIVATIONS) if self.cell == "simple_rnn" else ("tanh",)
        self.activation = validate.choice("activation", "linear" if activation is None else activation, allowed)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.check("kernel_initializer", kernel_initializer)
        self.recurrent_initializer = initializers.check("recurrent_initializer", recurrent_initializer)
        self.bias_initializer = initializers.check("bias_initializer", bias_initializer)
        self.kernel_regularizer = regularizers.check("kernel_regularizer", kernel_regularizer)
        self.recurrent_regularizer = regularizers.check("recurrent_regularizer", recurrent_regularizer)
        self.bias_regularizer = regularizers.check("bias_regularizer", bias_regularizer)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        self.dropout = validate.fraction("dropout", dropout)
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful = bool(go_backwards), bool(stateful)
        self.num_layers = validate.count("num_layers", num_layers, minimum=1)
        self.bidirectional = bool(bidirectional)
        self.num_threads = num_threads
        self.threads = validate.threads(num_threads)
        self.compute_dtype = validate.compute_dtype(compute_dtype, self.dtype)
        self.levels: list[list[Direction]] = []
        self._width = self.units * (2 if self.bidirectional else 1)  # of the outputs
        # arrays in a state: h (and c) of every direction of every level
        self._state_parts = functional.states[self.cell]
        self._state_count = self._state_parts * self.num_layers * (2 if self.bidirectional else 1)
        self._no_states: tuple[np.ndarray | None, ...] = ()  # so many None, when it is built
        self.states: tuple[np.ndarray, ...] | None = None
        self.dstate: tuple[np.ndarray, ...] | None = None

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = (
            "units activation use_bias kernel_initializer recurrent_initializer bias_initializer kernel_regularizer "
            "recurrent_regularizer bias_regularizer dropout return_sequences return_state go_backwards stateful "
            "zero_output_for_mask num_layers bidirectional num_threads compute_dtype"
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}

    @functools.cached_property
    def _drops(self) -> RandomMasks:
        return RandomMasks.drawn(self._rng)

    # ------------------------------------------------------------------------------------------------------ weights

    def build(self, input_shape: Shape) -> None:
        """Make the weights for an input of shape (B, T, I); only I is read."""
        if len(input_shape) != 3 or input_shape[2] is None:
            raise ValueError(f"{self.name} takes an input of shape (B, T, I) with I known, got {tuple(input_shape)}")
        inputs = validate.count("I", input_shape[2])
        columns = functional.gates[self.cell] * self.units
        if self._restored is None:
            _ = self._drops  # the first that is drawn of a seed; the weights come after it
        for level in range(self.num_layers):
            directions = []
            for way, name in enumerate(("", "backward_") if self.bidirectional else ("",)):
                prefix = f"level{level}_{name}" if self.num_layers > 1 else name
                kernel = self.add_weight(
                    prefix + "kernel", (inputs, columns), self.kernel_initializer, self.kernel_regularizer
                )
                recurrent_kernel = self.add_weight(
                    prefix + "recurrent_kernel",
                    (self.units, columns),
                    self.recurrent_initializer,
                    self.recurrent_regularizer,
                )
                bias = self._add_bias(prefix + "bias") if self.use_bias else None
                reverse = self.go_backwards != bool(way)
                own = slice(way * self.units, (way + 1) * self.units) if self.bidirectional else None
                recurrence = self._recurrence(inputs)
                directions.append(Direction(recurrence, kernel, recurrent_kernel, bias, reverse, own))
            self.levels.append(directions)
            inputs = self.units * len(directions)
        self._no_states = (None,) * self._state_count
        self.built = True

    def _recurrence(self, inputs: int) -> Recurrence:
        """The kernels of one direction, without weights."""
        bfloat16 = self.compute_dtype == "bfloat16"
        return Recurrence(self.cell, inputs, self.units, self.dtype, self.activation, bfloat16)

    def _add_bias(self, name: str) -> Variable:
        shape = (functional.gates[self.cell] * self.units,)
        return self.add_weight(name, shape, self.bias_initializer, self.bias_regularizer)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T, H) or (B, H); 2.H when bidirectional."""
        batch, steps = input_shape[:2]
        return (batch, steps, self._width) if self.return_sequences else (batch, self._width)

    def compute_mask(self, x: Any, mask: np.ndarray | None) -> np.ndarray | None:
        """The same mask, if all outputs are returned."""
        return mask if self.return_sequences else None

    # ---------------------------------------------------------------------------------------------------- sequences

    def forward(
        self,
        x: Any,
        training: bool = False,
        *,
        initial_state: Any = None,
        lengths: Any = None,
        mask: Any = None,
    ) -> Any:
        """Run over a batch of sequences.

        Parameters
        ----------
        x : array_like, (B, T, I), or a Lookup of that shape
        training : bool
            Keep what `backward` needs, and drop out. A sequence returned then is read-only.
        initial_state : array or sequence of arrays (B, H), optional
            In the order of `return_state`. Default: zeros, or the last call's final state if stateful.
        lengths : array_like of int, (B,), optional
            Valid steps of each row; see `fastrnn.functional.forward`.
        mask : array_like of bool, (B, T), optional
            True where a step is valid, as in Keras: a masked step carries the state on, and the output at it is that
            of the last valid step walked over, 0 if there is none; 0 in any case with `zero_output_for_mask`, or in a
            sequence of both directions. Not together with `lengths`.

        Returns
        -------
        y : ndarray, (B, T, H) or (B, H)
            With `return_state` a tuple (y, *state).
        """
        if not self.levels:
            raise RuntimeError(f"{self.name} has no weights yet: call it on data, or build((None, None, I))")
        table = None
        if type(x) is Lookup:
            if mask is None and not self.dropout and self._reads(x):
                table, x = x.table, x.index
            else:
                x = x.gather()
        if mask is not None:
            return self._forward_masked(x, training, initial_state, lengths, mask)
        if table is None:
            x = validate.array("x", x, self.dtype, ("B", "T", self.levels[0][0].recurrence.inputs))
        shape = x.shape
        batch, steps = shape[0], shape[1]
        if lengths is not None:
            lengths = validate.lengths(lengths, batch, steps)
        states = self._no_states
        if initial_state is not None or self.states is not None:
            states = self._initial_state(initial_state, batch)
        read = table  # by the lowest level, instead of x
        tapes: list[Tape] = []  # in the order of the walk: level by level, forward before backward
        drops: list[np.ndarray] = []  # the dropout's masks (B, 1, I) of each level's input, if there is dropout
        ends: tuple[np.ndarray, ...] = ()
        parts, threads, begin = self._state_parts, self.threads, 0
        for number, directions in enumerate(self.levels):
            if training and self.dropout:  # one mask a sequence
                drops.append(self._drops.draw((batch, 1, x.shape[2]), self.dropout, self.dtype, number))
                x = x * drops[-1]
            sequence = None
            if training or self.return_sequences or number + 1 < self.num_layers:
                sequence = empty_sequence((batch, steps, self._width), self.dtype)
            for direction in directions:
                own = sequence
                if sequence is not None and direction.columns is not None:
                    own = sequence[:, :, direction.columns]
                recurrence, state = direction.load(threads), states[begin : begin + parts]
                begin += parts
                if table is not None:
                    direction.load_table(table, threads)
                end, tape = recurrence.forward(
                    x, state, lengths, direction.reverse, False, own, training, threads, table is not None
                )
                ends += end
                if tape is not None:
                    tapes.append(tape)
            if sequence is not None:
                x, table = sequence, None
        if training:
            self.remember(batch, steps, tapes, drops, read, None)
            self._drops.passes += 1
            if self.bidirectional:  # the kernels have seen views of it
                x.setflags(write=False)
        if self.stateful:
            self.states = tuple([end.copy() for end in ends])
        if self.return_sequences:
            y = x[:, ::-1] if self.go_backwards else x
        elif self.bidirectional:
            y = np.concatenate([ends[-2 * parts], ends[-parts]], axis=1)
        else:
            y = ends[-parts].copy() if self.return_state else ends[-parts]
        return (y, *ends) if self.return_state else y

    def _reads(self, lookup: Lookup) -> bool:
        """Can the kernels read this table as it is, and is it worth projecting?"""
        rows, columns = lookup.table.shape
        if lookup.index.ndim != 2 or columns != self.levels[0][0].recurrence.inputs or lookup.table.dtype != self.dtype:
            return False
        # the projected table takes no more memory than a quarter of what training keeps, nor as much time
        return 4 * rows <= lookup.index.size

    def _forward_masked(self, x: Any, training: bool, initial_state: Any, lengths: Any, mask: Any) -> Any:
        """`forward` over rows whose valid steps stand in front; the outputs then go where they belong."""
        if lengths is not None:
            raise ValueError("only one of lengths and mask can be given")
        x = validate.array("x", x, self.dtype, ("B", "T", self.levels[0][0].recurrence.inputs))
        mask = validate.per_position("mask", mask, np.bool_, x.shape[:2])
        if mask.all():
            return self.forward(x, training, initial_state=initial_state)
        rows = MaskedRows(mask, self.threads)
        result = self.forward(rows.to_front(x), training, initial_state=initial_state, lengths=rows.lengths)
        if training:
            *kept, _ = self.recall()
            self.remember(*kept, rows)
        y, state = (result[0], result[1:]) if self.return_state else (result, ())
        if not self.return_sequences:
            y[self._silent(rows)] = 0
        else:
            y = y[:, ::-1] if self.go_backwards else y
            y = rows.back(y) if self._zero_masked else rows.repeated(y, self.go_backwards)
            y = y[:, ::-1] if self.go_backwards else y
        return (y, *state) if self.return_state else y

    @property
    def _zero_masked(self) -> bool:
        """Are the outputs at masked steps 0? In both directions at once they are, as in Keras's Bidirectional."""
        return self.zero_output_for_mask or self.bidirectional

    def _silent(self, rows: MaskedRows) -> np.ndarray:
        """The rows whose last output is 0: those without a valid step, or whose last step is masked and so 0."""
        if self.zero_output_for_mask and not self.bidirectional:
            return ~rows.mask[:, 0 if self.go_backwards else -1]
        silent: np.ndarray = rows.lengths == 0
        return silent

    def _initial_state(self, value: Any, batch: int) -> tuple[np.ndarray | None, ...]:
        """The flat tuple of initial states, from the argument, or from the last call."""
        if value is None and self.states is not None:
            if self.states[0].shape[0] != batch:
                raise ValueError(
                    f"x must have the batch of the state that {self.name} carries, {self.states[0].shape[0]}, "
                    f"got {batch}; call reset_states() first"
                )
            return self.states
        return validate.states("initial_state", value, self._state_count, batch, self.units, self.dtype)

    def reset_states(self) -> None:
        """Forget the state a stateful layer carries."""
        self.states = None

    def get_state(self) -> dict[str, np.ndarray]:
        """The carried state, if any, and where the dropout masks stand."""
        return self._drops.get_state() | {
            f"state{number}": part.copy() for number, part in enumerate(self.states or ())
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Carry on from `get_state`."""
        count = len(set(state) - {"dropout"})
        names = [f"state{number}" for number in range(count)]
        if set(state) != {"dropout", *names} or count not in (0, self._state_count):
            raise ValueError(f"{self.name} cannot carry on from {', '.join(sorted(state)) or 'nothing'}")
        parts = [validate.array(name, state[name], self.dtype, ("B", self.units)) for name in names]
        if len({part.shape for part in parts}) > 1:
            shapes = ", ".join(str(part.shape) for part in parts)
            raise ValueError(f"{self.name}: the states must have one batch, got {shapes}")
        self._drops = RandomMasks.from_state(self.name, state)
        self.states = tuple(np.array(part) for part in parts) or None

    def backward(self, dy: Any = None, dstate: Any = None, *, need_dx: bool = True) -> np.ndarray | None:
        """Backpropagation through time, after `forward(..., training=True)`.

        Fills `grad` of every variable, and `dstate` with the gradients of the initial state.

        Parameters
        ----------
        dy : array_like, optional
            Gradient by y, of y's shape.
        dstate : array or sequence of arrays (B, H), optional
            Gradient by the final state, in the order of `return_state`.
        need_dx : bool
            False leaves out the gradient of x, which saves a product.

        Returns
        -------
        dx : ndarray, (B, T, I), or None
            Of a Lookup whose table was read the gradient by the table, (N, I).
        """
        batch, steps, tapes, drops, table, masked = self.recall()
        parts = self._state_parts
        dends = self._no_states
        if dstate is not None:
            dends = validate.states("dstate", dstate, self._state_count, batch, self.units, self.dtype)
        if dy is not None:
            shape = (batch, steps, self._width) if self.return_sequences else (batch, self._width)
            dy = validate.array("dy", dy, self.dtype, shape)
            if masked is not None:
                dy = self._backward_masked(dy, masked)
            if not self.return_sequences:
                dends, dy = self._add_last(dends, dy), None
            elif self.go_backwards:
                dy = dy[:, ::-1]
        dstart: tuple[np.ndarray, ...] = ()
        dx: np.ndarray | None = None
        number, begin = self.num_layers, self._state_count
        for directions in reversed(self.levels):
            number -= 1
            dx = None
            for direction in reversed(directions):
                tape, recurrence, own = tapes.pop(), direction.recurrence, dy
                begin -= parts
                if dy is not None and direction.columns is not None:
                    own = dy[:, :, direction.columns]
                part: np.ndarray | None = None
                if number == 0 and table is not None:
                    part = np.empty(table.shape, self.dtype) if need_dx else None
                elif number or need_dx:
                    part = empty_sequence((batch, steps, recurrence.inputs), self.dtype)
                kernel, recurrent_kernel, bias, starts = recurrence.backward(
                    tape, own, dends[begin : begin + parts], part, self.threads
                )
                direction.store_gradients(kernel, recurrent_kernel, bias)
                dstart = starts + dstart
                dx = part if dx is None or part is None else np.add(dx, part, out=dx)
            if dx is not None and drops:
                dx *= drops[number]
            dy = dx
        self.dstate = dstart
        return dx if dx is None or masked is None else masked.back(dx)

    def _add_last(self, dends: tuple[np.ndarray | None, ...], dy: np.ndarray) -> tuple[np.ndarray | None, ...]:
        """The gradients by the final states, with that by the last outputs (B, H) or (B, 2.H), which they were."""
        sums, place = list(dends), len(dends)
        for direction in reversed(self.levels[-1]):
            place -= self._state_parts
            own = dy if direction.columns is None else dy[:, direction.columns]
            given = sums[place]
            sums[place] = np.ascontiguousarray(own if given is None else given + own)
        return tuple(sums)

    def _backward_masked(self, dy: np.ndarray, rows: MaskedRows) -> np.ndarray:
        """The gradient by what `forward` gave over the moved rows, from that by the output."""
        if not self.return_sequences:
            kept: np.ndarray = np.where(self._silent(rows)[:, np.newaxis], 0, dy)
            return kept
        dy = dy[:, ::-1] if self.go_backwards else dy
        dy = rows.to_front(dy) if self._zero_masked else rows.repeated_backward(dy, self.go_backwards)
        return dy[:, ::-1] if self.go_backwards else dy

    # -------------------------------------------------------------------------------------------------------- steps

    def stream(self, batch_size: int = 1) -> Stream:
        """Open streams that take one step a call, with the weights as they are now.

        Parameters
        ----------
        batch_size : int
            S, independent streams that are stepped together.
        """
        if not self.levels:
            raise RuntimeError(f"{self.name} has no weights yet: call it on data, or build((None, None, I))")
        if self.bidirectional or self.go_backwards:
            raise ValueError(f"{self.name} reads its input from the end: it cannot be streamed")
        streams = validate.count("batch_size", batch_size, minimum=1)
        walks = []
        for (direction,) in self.levels:
            like = direction.recurrence
            recurrence = self._recurrence(like.inputs)
            direction.pack_into(recurrence, self.threads)
            walks.append(StepWalk(recurrence, streams, self.threads))
        return Stream(walks)


class Stream:
    """S independent streams through a layer, one step a call; made by `layer.stream(batch_size)`.

    Keeps its packed weights and its states; a step allocates nothing when `out` is given.
    """

    def __init__(self, walks: list[StepWalk]) -> None:
        self._walks = walks
        if len(walks) == 1:  # no call in between: a step is a microsecond
            self.step = walks[0].step  # type: ignore[method-assign]

    def step(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Advance every stream by one step.

        Parameters
        ----------
        x : ndarray, (S, I), or (I,) when there is one stream
        out : ndarray, (S, H) or (H,), optional
            Where the output goes.

        Returns
        -------
        y : ndarray, (S, H) or (H,)
        """
        below, top = self._walks[:-1], self._walks[-1]
        if out is not None:  # before any level has moved
            x, out = validate.step(x, out, top.streams, below[0].inputs, top.h.shape[1], top.h.dtype)
        for walk in below:
            x = walk.step(x)
        return top.step(x, out)

    @property
    def state(self) -> tuple[np.ndarray, ...]:
        """Copies of the states (S, H): h or h, c, level by level."""
        return tuple(part.copy() for walk in self._walks for part in (walk.h, walk.c) if part is not None)

    @state.setter
    def state(self, value: Any) -> None:
        self._set(value, None)

    def reset(self, rows: Any = None) -> None:
        """Back to the zero state: all streams, or those with the given indices."""
        if rows is not None:
            rows = validate.integers("rows", rows, 0, self._walks[0].streams).reshape(-1)
        for walk in self._walks:
            walk.set_state(0, 0, rows)

    def _set(self, value: Any, rows: Any) -> None:
        first = self._walks[0]
        parts = 1 if first.c is None else 2
        batch, units = first.h.shape
        states = validate.states("state", value, parts * len(self._walks), batch, units, first.h.dtype)
        for number, walk in enumerate(self._walks):
            part = [0 if s is None else s for s in states[number * parts : (number + 1) * parts]]
            walk.set_state(part[0], part[-1], rows)


class SimpleRNN(Recurrent):
    """h_t = activation(x_t.W + h_{t-1}.R + b) (Elman 1990).

    Examples
    --------
    >>> layer = SimpleRNN(32, return_sequences=True, seed=1)
    >>> y = layer(np.zeros((8, 20, 4), np.float32))    # (8, 20, 32)
    """

    cell = "simple_rnn"


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    i, f, o = sigmoid(x_t.W + h_{t-1}.R + b), g = tanh(...); c_t = f c_{t-1} + i g; h_t = o tanh(c_t). Gates stand in
    Keras's order i f g o.

    Parameters
    ----------
    unit_forget_bias : bool
        Begin with a forget bias of 1 (Jozefowicz et al. 2015).
    """

    cell = "lstm"
    fixed: ClassVar[Fixed] = {**Recurrent.fixed, "recurrent_activation": ("sigmoid",), "use_cudnn": ("auto", False)}

    def __init__(self, units: int, *args: Any, unit_forget_bias: bool = True, **kwargs: Any) -> None:
        self.unit_forget_bias = bool(unit_forget_bias)
        super().__init__(units, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}

    def _add_bias(self, name: str) -> Variable:
        fresh = self._restored is None
        bias = super()._add_bias(name)
        if self.unit_forget_bias and fresh:
            with bias.writing() as array:
                array[self.units : 2 * self.units] = 1
        return bias


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014), the reset gate after the recurrent product, as Keras and cuDNN have it.

    z, r = sigmoid(x_t.W + h_{t-1}.R + b); n = tanh(x_t.W_n + b_n + r (h_{t-1}.R_n + c_n)); h_t = z h_{t-1} + (1 - z) n.
    Gates stand in Keras's order z r n; the bias is (2, 3.H): input row, recurrent row.
    """

    cell = "gru"
    fixed: ClassVar[Fixed] = {
        **Recurrent.fixed,
        "recurrent_activation": ("sigmoid",),
        "reset_after": (True,),
        "use_cudnn": ("auto", False),
    }

    def _add_bias(self, name: str) -> Variable:
        return self.add_weight(name, (2, 3 * self.units), self.bias_initializer, self.bias_regularizer)
