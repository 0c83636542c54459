"""Random problems, ways to solve them, and the two comparisons that the tests of the kernels use.

Legend: T steps, B batch rows, I inputs, H hidden units, G gates. Everything here is batch-major.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn import functional, reference

# every cell with every activation it knows
CELLS = [(name, f) for name, cell in reference.CELLS.items() for f in cell.activations]

# what `solve` and its like return: the name of a result -> an array
Results = dict[str, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """The arguments of a forward call, and the gradients that come back to it."""

    cell: str
    activation: str
    x: np.ndarray  # (B, T, I)
    kernel: np.ndarray  # (I, G*H)
    recurrent_kernel: np.ndarray  # (H, G*H)
    bias: np.ndarray | None  # (G*H,) or (2, G*H)
    initial_state: tuple[np.ndarray, ...] | None  # (B, H) each
    lengths: np.ndarray | None  # (B,)
    reverse: bool
    dy: np.ndarray | None  # (B, T, H)
    dstate: tuple[np.ndarray, ...] | None  # (B, H) each

    @classmethod
    def random(
        cls,
        cell: str,
        *,
        T: int,
        B: int,
        I: int,
        H: int,
        activation: str = "tanh",
        dtype: str = "float64",
        bias: int | None = 2,
        state: bool = True,
        ragged: bool = False,
        reverse: bool = False,
        seed: int = 0,
    ) -> Problem:
        """Random numbers everywhere: constant weights could not show a swapped gate or a transposed matrix.

        bias: None, or its number of rows; ragged: random lengths, one of them full and (if B > 1) one zero.
        """
        rng = np.random.default_rng([T, B, I, H, seed])
        gates, states = reference.CELLS[cell].gates, reference.CELLS[cell].states

        def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
            return (scale * rng.standard_normal(shape)).astype(dtype)

        lengths = None
        if ragged:
            lengths = rng.integers(0, T + 1, B)
            lengths[: min(B, 2)] = [T, 0][: min(B, 2)]
            rng.shuffle(lengths)
        return cls(
            cell,
            activation,
            x=normal(B, T, I),
            kernel=normal(I, gates * H, scale=1 / math.sqrt(I or 1)),
            # a norm of about 1: the unbounded activations stay bounded over many steps
            recurrent_kernel=normal(H, gates * H, scale=0.5 / math.sqrt(H or 1)),
            bias=None if bias is None else normal(*([2] * (bias == 2)), gates * H, scale=0.5),
            initial_state=tuple(normal(B, H) for _ in range(states)) if state else None,
            lengths=lengths,
            reverse=reverse,
            dy=normal(B, T, H),
            dstate=tuple(normal(B, H) for _ in range(states)),
        )

    def replace(self, **changes: Any) -> Problem:
        return dataclasses.replace(self, **changes)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """T, B, I, H."""
        B, T, I = self.x.shape
        return T, B, I, self.recurrent_kernel.shape[0]

    @property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments of a forward call."""
        return (self.cell, self.x, self.kernel, self.recurrent_kernel, self.bias), {
            "initial_state": self.initial_state,
            "lengths": self.lengths,
            "reverse": self.reverse,
            "activation": self.activation,
        }

    def map(self, f: Callable[[np.ndarray], np.ndarray]) -> Problem:
        """f applied to every array of real numbers."""
        changes: dict[str, Any] = {}
        for name in ("x", "kernel", "recurrent_kernel", "bias", "initial_state", "dy", "dstate"):
            value = getattr(self, name)
            if value is not None:
                changes[name] = tuple(map(f, value)) if isinstance(value, tuple) else f(value)
        return self.replace(**changes)

    def rows(self, index: Any) -> Problem:
        """The problem of some of the batch rows."""

        def take(value: Any) -> Any:
            if value is None:
                return None
            return tuple(map(take, value)) if isinstance(value, tuple) else value[index]

        names = ("x", "initial_state", "lengths", "dy", "dstate")
        return self.replace(**{name: take(getattr(self, name)) for name in names})

    def steps(self, start: int, stop: int) -> Problem:
        """The problem of the steps start .. stop - 1."""
        return self.replace(
            x=self.x[:, start:stop],
            dy=None if self.dy is None else self.dy[:, start:stop],
            lengths=None if self.lengths is None else np.clip(self.lengths - start, 0, stop - start),
        )


def _forward_results(y: np.ndarray, state: tuple[np.ndarray, ...]) -> Results:
    return {"y": y, **dict(zip("hc", state, strict=False))}


def _backward_results(gradients: reference.Gradients) -> Results:
    dx, dkernel, drecurrent_kernel, dbias, dstate = gradients
    named = {"dx": dx, "dkernel": dkernel, "drecurrent_kernel": drecurrent_kernel, "dbias": dbias}
    named |= dict(zip(["dh", "dc"], dstate, strict=False))
    return {name: value for name, value in named.items() if value is not None}


def expect(problem: Problem) -> Results:
    """Outputs, states and all gradients by the reference, in float64."""
    problem = problem.map(np.float64)
    args, kwargs = problem.arguments
    y, state, tape = reference.forward(*args, **kwargs)
    return _forward_results(y, state) | _backward_results(reference.backward(tape, problem.dy, problem.dstate))


def _turned(a: np.ndarray | None) -> np.ndarray | None:
    """(B, T, ...) -> (T, B, ...), in memory too; an array in another layout keeps its memory."""
    if a is None or not a.flags.c_contiguous:
        return None if a is None else a.swapaxes(0, 1)
    return np.ascontiguousarray(a.swapaxes(0, 1))


def infer(problem: Problem, *, time_major: bool = False, **options: Any) -> Results:
    """Outputs and states by the kernels' inference."""
    if time_major:
        problem = problem.replace(x=_turned(problem.x))
    args, kwargs = problem.arguments
    y, state = functional.forward(*args, **kwargs, time_major=time_major, **options)
    return _forward_results(y.swapaxes(0, 1) if time_major else y, state)


def solve(problem: Problem, *, time_major: bool = False, **options: Any) -> Results:
    """Outputs, states and all gradients by the kernels' training pass."""
    if time_major:
        problem = problem.replace(x=_turned(problem.x), dy=_turned(problem.dy))
    args, kwargs = problem.arguments
    y, state, tape = functional.forward_train(*args, **kwargs, time_major=time_major, **options)
    results = _forward_results(y, state) | _backward_results(functional.backward(tape, problem.dy, problem.dstate))
    if time_major:
        results |= {name: results[name].swapaxes(0, 1) for name in ("y", "dx")}
    return results


def tolerance(problem: Problem, name: str) -> float:
    """Largest error of a result relative to its largest expected magnitude.

    float64: 1e-12. float32: oneDNN's bound (tests/benchdnn/rnn), with acc = I + H.
    """
    if problem.x.dtype == np.float64:
        return 1e-12
    T, _, I, H = problem.sizes
    doublings = math.ceil(math.log2(max(2, (I + H) * T)))
    return 4 * (2 if name.startswith("d") else 1) * doublings * float(np.finfo(np.float32).eps)


def _scale(expected: Results, name: str) -> float:
    """The largest expected magnitude.

    With one hidden unit a parameter's gradient can be a single sum whose terms cancel; there the gradients of the
    parameters, all sums over the same da, share their scale.
    """
    parameters = [p for p in ("dkernel", "drecurrent_kernel", "dbias") if p in expected and expected[p].size]
    alone = {name, "drecurrent_kernel"} <= set(parameters) and expected["drecurrent_kernel"].shape[0] == 1
    return max(float(np.abs(expected[n]).max()) for n in (parameters if alone else [name]))


def assert_close(results: Results, expected: Results, problem: Problem, slack: float = 1.0) -> None:
    """Every result within `tolerance` of the expected one; the message names the worst place."""
    for name, value in results.items():
        wanted = expected[name]
        assert value.shape == wanted.shape, f"{name} has shape {value.shape}, expected {wanted.shape}"
        assert value.dtype == problem.x.dtype, f"{name} has dtype {value.dtype}, expected {problem.x.dtype}"
        if value.size == 0:
            continue
        bound = slack * tolerance(problem, name) * _scale(expected, name)
        error = np.abs(value.astype(np.float64) - wanted)
        # not (error <= bound): a NaN fails
        assert np.all(error <= bound), (
            f"{name}{list(map(int, np.unravel_index(error.argmax(), error.shape)))} is off by {error.max():.3g}, "
            f"allowed {bound:.3g}; {np.mean(~(error <= bound)):.0%} of {name} is off"
        )


def assert_same_bits(results: Results, expected: Results) -> None:
    """Every result has the dtype, the shape and the bits of the expected one."""
    for name, value in results.items():
        wanted = expected[name]
        assert (value.dtype, value.shape) == (wanted.dtype, wanted.shape), f"{name} has another dtype or shape"
        if value.tobytes() != wanted.tobytes():
            same = np.asarray(value == wanted) | (np.isnan(value) & np.isnan(wanted))
            gap = np.abs(value.astype(np.float64) - wanted).max()
            raise AssertionError(f"{name} differs in {np.sum(~same)} of {value.size} places, by {gap:.3g} at most")


def central_differences(
    problem: Problem, forward: Callable[..., tuple[Any, ...]], epsilon: float = 1e-6
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and numerical gradient, in float64, of every argument of `forward` that has one.

    The loss is sum(y * dy) + sum(state * dstate); `forward` returns y and the state first.
    """

    def loss() -> float:
        args, kwargs = problem.arguments
        y, state = forward(*args, **kwargs)[:2]
        total = 0.0 if problem.dy is None else float(np.sum(y * problem.dy))
        return total + sum(float(np.sum(s * d)) for s, d in zip(state, problem.dstate or (), strict=False))

    state = dict(zip(["dh", "dc"], problem.initial_state or (), strict=False))
    arguments = {"dx": problem.x, "dkernel": problem.kernel, "drecurrent_kernel": problem.recurrent_kernel}
    for name, value in {**arguments, "dbias": problem.bias, **state}.items():
        if value is None:
            continue
        gradient = np.empty_like(value)
        for place in np.ndindex(value.shape):
            kept = value[place]
            value[place] = kept + epsilon
            above = loss()
            value[place] = kept - epsilon
            below = loss()
            value[place] = kept
            gradient[place] = (above - below) / (2 * epsilon)
        yield name, gradient


def pairwise(seed: int, **axes: list[Any]) -> list[dict[str, Any]]:
    """A small set of cases in which any two values of any two axes meet at least once; the same on every run."""
    rng = random.Random(seed)
    missing = {
        frozenset([(a, i), (b, j)])
        for a, b in itertools.combinations(axes, 2)
        for i in range(len(axes[a]))
        for j in range(len(axes[b]))
    }

    def met(case: dict[str, int]) -> set[frozenset[tuple[str, int]]]:
        return {frozenset(pair) for pair in itertools.combinations(case.items(), 2)} & missing

    cases = []
    while missing:
        start = dict(min(missing, key=sorted))
        some = [{name: rng.randrange(len(axes[name])) for name in axes} | start for _ in range(12)]
        best = max(some, key=lambda case: len(met(case)))
        missing -= met(best)
        cases.append({name: axes[name][i] for name, i in best.items()})
    return cases


def case_id(case: dict[str, Any]) -> str:
    """`H17-B3-float32-reverse`: numbers after their axis, flags by name."""
    words = []
    for name, value in case.items():
        if value is True:
            words.append(name)
        elif value is not False:
            words.append(value if isinstance(value, str) else f"{name}{value}")
    return "-".join(words)
