"""Optimizers against figures from Keras, and against PyTorch where it agrees with Keras."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import optimizers
from fastrnn._core import isa
from fastrnn.gradients import RowGradient
from fastrnn.layers.base import Variable
from fastrnn.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from fastrnn.schedules import SCHEDULES, ExponentialDecay, LearningRateSchedule

SHAPES = [(3, 4), (5,), (1,), (0, 2)]

each_optimizer = pytest.mark.parametrize(
    "make",
    [
        lambda **clip: SGD(0.1, **clip),
        lambda **clip: SGD(0.1, 0.9, **clip),
        lambda **clip: SGD(0.1, 0.9, nesterov=True, **clip),
        lambda **clip: SGD(0.1, weight_decay=0.3, **clip),
        lambda **clip: Adagrad(0.1, **clip),
        lambda **clip: RMSprop(0.1, **clip),
        lambda **clip: RMSprop(0.1, 0.8, centered=True, **clip),
        lambda **clip: RMSprop(0.1, momentum=0.7, centered=True, **clip),
        lambda **clip: Adam(0.1, **clip),
        lambda **clip: AdamW(0.1, 0.3, **clip),
    ],
    ids=["sgd", "momentum", "nesterov", "decay", "adagrad", "rmsprop", "centered", "rmsprop-momentum", "adam", "adamw"],
)


def random_variables(dtype: str = "float64", seed: int = 0) -> list[Variable]:
    rng = np.random.default_rng(seed)
    return [Variable(rng.standard_normal(shape).astype(dtype), f"v{i}") for i, shape in enumerate(SHAPES)]


def set_gradients(variables: list[Variable], seed: int, scale: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, 99])
    for variable in variables:
        variable.grad = (scale * rng.standard_normal(variable.shape)).astype(variable.dtype)
    return [variable.grad for variable in variables if variable.grad is not None]


def run(optimizer: Optimizer, variables: list[Variable], steps: range) -> list[np.ndarray]:
    for step in steps:
        set_gradients(variables, step)
        optimizer.apply(variables)
    return [variable.value.copy() for variable in variables]


# two variables after 20 updates by Keras 3.15 in float64, with the gradients of `keras_gradients`
KERAS = {
    "sgd": [0.3752222644475, -1.011346511132, 2.103972224113, 0.2504097041207, -0.8175205362496],
    "sgd momentum": [0.1442253748614, -1.020782983172, 1.886774856298, 0.252221164943, -0.3337131077694],
    "sgd nesterov": [0.1083912955935, -1.026933748511, 2.019053366337, 0.252075577828, -0.5053053670766],
    "sgd decay": [0.1900514654723, -0.5395121213417, 1.187760031587, 0.1326110129021, -0.5255196396934],
    "adagrad": [0.3615148762069, -1.028094894894, 1.941194686432, 0.2512979389273, -0.7698029064097],
    "adagrad other": [0.3872404567479, -1.014907168506, 1.949936351713, 0.2505739052584, -0.7456013000313],
    "rmsprop": [0.03209601875566, -1.256133412874, 1.814956411257, 0.5290073572189, -0.9090409735884],
    "rmsprop rho": [0.2117394192842, -1.095247434351, 1.89754089464, 0.2540938349556, -0.8858369431326],
    "rmsprop momentum": [-1.153082544102, -1.633621533644, 1.18288816222, 1.452496048097, -0.8741879025027],
    "rmsprop centered": [-0.02688137287294, -1.198277931895, 1.794607195119, 0.2630459767312, -0.8951100330337],
    "rmsprop both": [-1.387774735052, -1.442369319618, 1.101838819488, 0.3201902937697, -0.8185456369096],
    "adam": [0.04844331658527, -1.193505096689, 1.887225086348, 0.570849290354, -0.6367377130064],
    "adam other": [0.2001780712267, -1.12097961458, 1.902885835604, 0.2996007544038, -0.6937576755561],
    "adamw": [0.04723935282302, -1.18200071568, 1.868370464727, 0.5656932528465, -0.6299204210981],
    "adamw other": [0.1034066779336, -0.6248368585613, 1.006557957134, 0.2663561262456, -0.3674188262003],
    "clipvalue": [0.4305045093841, -1.011346511132, 2.0, 0.2504097041207, -0.8289977405776],
    "clipnorm": [0.4506598595416, -1.003328621487, 2.003161852193, 0.2494205404878, -0.8289927892991],
    "global_clipnorm": [-0.04691668195335, -1.440412001173, 1.823026333614, 0.519496792885, -1.029093260772],
    "schedule": [0.2116562007252, -1.124124929843, 1.898415389221, 0.4655345163091, -0.7392310196588],
}  # fmt: skip

KERAS_OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": lambda: SGD(0.125),
    "sgd momentum": lambda: SGD(0.125, 0.75),
    "sgd nesterov": lambda: SGD(0.125, 0.75, True),
    "sgd decay": lambda: SGD(0.125, weight_decay=0.25),
    "adagrad": lambda: Adagrad(0.125),
    "adagrad other": lambda: Adagrad(0.125, 0.5, 1e-2),
    "rmsprop": lambda: RMSprop(0.125),
    "rmsprop rho": lambda: RMSprop(0.125, rho=0.75, epsilon=1e-2),
    "rmsprop momentum": lambda: RMSprop(0.125, momentum=0.75),
    "rmsprop centered": lambda: RMSprop(0.125, centered=True, epsilon=1e-3),
    "rmsprop both": lambda: RMSprop(0.125, momentum=0.75, centered=True, epsilon=1e-3),
    "adam": lambda: Adam(0.125),
    "adam other": lambda: Adam(0.125, 0.75, 0.875, 1e-2),
    "adamw": lambda: AdamW(0.125),
    "adamw other": lambda: AdamW(0.125, 0.25, 0.75, 0.875),
    "clipvalue": lambda: SGD(0.125, clipvalue=0.5),
    "clipnorm": lambda: SGD(0.125, clipnorm=0.5),
    "global_clipnorm": lambda: RMSprop(0.125, global_clipnorm=0.5),
    "schedule": lambda: Adam(ExponentialDecay(0.125, 4, 0.5), 0.75, 0.875),
}


def keras_gradients(t: int) -> tuple[np.ndarray, np.ndarray]:
    return np.sin(t * np.array([1.0, 2, 3])) * [1, 0.1, 10], np.cos(t * np.array([4.0, 5])) * [0.01, 2]


@pytest.mark.parametrize("case", KERAS)
def test_against_keras(case: str) -> None:
    variables, optimizer = [Variable([0.5, -1.0, 2.0], "a"), Variable([0.25, -0.75], "b")], KERAS_OPTIMIZERS[case]()
    for t in range(1, 21):
        for variable, gradient in zip(variables, keras_gradients(t), strict=True):
            variable.grad = gradient
        optimizer.apply(variables)
    # 0.999, 0.1 and a scheduled rate are float32 there, so that 1 - beta_2 is off by 1.3e-5 of itself; the weights are
    # of the size of 1
    atol = 1e-5 if case in ("adam", "adamw", "adagrad") else 1e-7 if case == "schedule" else 1e-12
    np.testing.assert_allclose(np.concatenate([v.value for v in variables]), KERAS[case], rtol=1e-11, atol=atol)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SGD(0.1), lambda torch, p: torch.optim.SGD(p, 0.1)),
        (SGD(0.1, 0.9), lambda torch, p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        (SGD(0.1, 0.9, nesterov=True), lambda torch, p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True)),
        # without epsilon, which stands elsewhere there
        (Adam(0.1, epsilon=0.0), lambda torch, p: torch.optim.Adam(p, 0.1, eps=0.0)),
        (Adam(0.1, 0.8, 0.95, 0.0), lambda torch, p: torch.optim.Adam(p, 0.1, (0.8, 0.95), eps=0.0)),
        (AdamW(0.1, 0.3, epsilon=0.0), lambda torch, p: torch.optim.AdamW(p, 0.1, eps=0.0, weight_decay=0.3)),
        (
            Adagrad(0.1, 0.2, 0.0),
            lambda torch, p: torch.optim.Adagrad(p, 0.1, initial_accumulator_value=0.2, eps=0.0),
        ),
        (RMSprop(0.1, 0.8, epsilon=0.0), lambda torch, p: torch.optim.RMSprop(p, 0.1, 0.8, eps=0.0)),
        (
            RMSprop(0.1, 0.8, 0.7, 0.0),
            lambda torch, p: torch.optim.RMSprop(p, 0.1, 0.8, eps=0.0, momentum=0.7),
        ),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "betas", "adamw", "adagrad", "rmsprop", "rmsprop-momentum"],
)
def test_against_torch(ours: Optimizer, theirs: Callable[[Any, Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    variables = random_variables()
    parameters = [torch.tensor(variable.value.copy(), requires_grad=True) for variable in variables]
    optimizer = theirs(torch, parameters)
    for step in range(7):
        for parameter, gradient in zip(parameters, set_gradients(variables, step), strict=True):
            parameter.grad = torch.tensor(gradient)
        ours.apply(variables)
        optimizer.step()
        for variable, parameter in zip(variables, parameters, strict=True):
            np.testing.assert_allclose(variable.value, parameter.detach(), rtol=1e-12, atol=1e-14)
    assert ours.iterations == 7


def test_adam_has_epsilon_where_keras_has_it() -> None:
    (variable, *_), optimizer = random_variables(), Adam(0.1, 0.9, 0.99, 0.3)
    w, m, v = variable.value.copy(), 0.0, 0.0
    for t in range(1, 6):
        (g,) = set_gradients([variable], t)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        w = w - 0.1 * np.sqrt(1 - 0.99**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 0.3)
        optimizer.apply([variable])
    np.testing.assert_allclose(variable.value, w, rtol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_takes_the_learning_rate_of_the_moment(nesterov: bool) -> None:
    """Keras has the rate inside the velocity, so that a change of it acts on later steps only."""
    (variable, *_), optimizer = random_variables(), SGD(0.1, 0.9, nesterov)
    w, v = variable.value.copy(), 0.0
    for step, rate in enumerate([0.1, 0.1, 0.02, 0.0, 0.5]):
        optimizer.learning_rate = rate
        (g,) = set_gradients([variable], step)
        v = 0.9 * v - rate * g
        w = w + 0.9 * v - rate * g if nesterov else w + v
        optimizer.apply([variable])
    np.testing.assert_allclose(variable.value, w, rtol=1e-12)


@each_optimizer
@pytest.mark.parametrize(
    ("clip", "clipped"),
    [
        ({"clipvalue": 0.5}, lambda gs: [np.clip(g, -0.5, 0.5) for g in gs]),
        ({"clipnorm": 0.7}, lambda gs: [g * min(1, 0.7 / max(np.linalg.norm(g), 1e-30)) for g in gs]),
        ({"clipnorm": 1e9}, lambda gs: gs),
        (
            {"global_clipnorm": 2.0},
            lambda gs: [g * min(1, 2 / np.sqrt(sum(np.sum(g * g) for g in gs))) for g in gs],
        ),
        ({"global_clipnorm": 1e9}, lambda gs: gs),
    ],
    ids=["value", "norm", "loose-norm", "global", "loose-global"],
)
def test_clipping(make: Callable[..., Optimizer], clip: dict[str, float], clipped: Any) -> None:
    """A clipping optimizer does what a plain one does with clipped gradients, and leaves the gradients alone."""
    ours, variables = make(**clip), random_variables()
    plain, others = make(), random_variables()
    for step in range(3):
        gradients = set_gradients(variables, step, scale=2.0)
        kept = [g.copy() for g in gradients]
        for other, gradient in zip(others, clipped(gradients), strict=True):
            other.grad = gradient
        ours.apply(variables)
        plain.apply(others)
        for gradient, before in zip(gradients, kept, strict=True):
            np.testing.assert_array_equal(gradient, before)
    for variable, other in zip(variables, others, strict=True):
        np.testing.assert_allclose(variable.value, other.value, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 1.0), (1e30, 1e30), (1e-15, 1e-15)])
def test_norms_of_float32_neither_overflow_nor_lose_digits(scale: float, expected: float) -> None:
    g = np.random.default_rng(0).standard_normal(100_000).astype(np.float32)
    g *= np.float32(scale)
    assert optimizers.norm(g) == pytest.approx(float(np.linalg.norm(g.astype(np.float64))), rel=1e-6)


# ---- tables of which some rows are used

TABLE = (7, 3)


def row_gradients(dtype: str, steps: int, seed: int = 0) -> list[RowGradient]:
    """The first and the last row are never used, the second one only at first."""
    rng = np.random.default_rng([seed, 5])
    gradients = []
    for step in range(steps):
        index = np.sort(rng.choice(np.arange(2, 6), int(rng.integers(1, 4)), replace=False))
        index = np.concatenate([[1], index]) if step == 0 else index
        gradients.append(RowGradient(index, rng.standard_normal((len(index), 3)).astype(dtype), TABLE))
    return gradients


def table_and_bias(dtype: str) -> list[Variable]:
    rng = np.random.default_rng(8)
    return [Variable(rng.standard_normal(shape).astype(dtype), name) for name, shape in [("table", TABLE), ("b", (4,))]]


def apply_rows(optimizer: Optimizer, variables: list[Variable], gradients: list[Any]) -> None:
    for number, gradient in enumerate(gradients):
        variables[0].grad = gradient
        variables[1].grad = np.random.default_rng([number, 3]).standard_normal(4).astype(variables[1].dtype)
        optimizer.apply(variables)


@each_optimizer
@pytest.mark.parametrize("clip", [{}, {"clipvalue": 0.3}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5}], ids=str)
def test_rows_are_updated_as_by_the_dense_gradient(make: Callable[..., Optimizer], clip: dict[str, float]) -> None:
    gradients = row_gradients("float64", 9)
    ours, variables = make(**clip), table_and_bias("float64")
    plain, others = make(**clip), table_and_bias("float64")
    mixed, thirds = make(**clip), table_and_bias("float64")
    kept = [(gradient.index.copy(), gradient.rows.copy()) for gradient in gradients]
    apply_rows(ours, variables, gradients)
    apply_rows(plain, others, [gradient.dense() for gradient in gradients])
    apply_rows(mixed, thirds, [g.dense() if number in (3, 4, 7) else g for number, g in enumerate(gradients)])
    for a, b, c in zip(variables, others, thirds, strict=True):
        np.testing.assert_allclose(a.value, b.value, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(c.value, b.value, rtol=1e-12, atol=1e-15)
    for gradient, (index, rows) in zip(gradients, kept, strict=True):
        np.testing.assert_array_equal(gradient.index, index)
        np.testing.assert_array_equal(gradient.rows, rows)


@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_with_rows_carries_on_to_the_bit(make: Callable[..., Optimizer], dtype: str) -> None:
    gradients = row_gradients(dtype, 9)
    optimizer, variables = make(), table_and_bias(dtype)
    apply_rows(optimizer, variables, gradients[:4])
    resumed, others = make(), [Variable(v.value, v.name) for v in variables]
    resumed.set_state(optimizer.get_state())
    later = [*gradients[4:8], gradients[8].dense()]
    apply_rows(optimizer, variables, later)
    apply_rows(resumed, others, later)
    for ours, theirs in zip(others, variables, strict=True):
        assert ours.value.tobytes() == theirs.value.tobytes()
    before, after = optimizer.get_state(), resumed.get_state()
    assert before.keys() == after.keys()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_a_row_gradient_of_another_table_changes_nothing() -> None:
    variables = table_and_bias("float32")[:1]
    variables[0].grad = RowGradient([0], np.ones((1, 3), np.float32), (6, 3))
    with pytest.raises(ValueError, match=r"the gradient of 'table' must have shape \(7, 3\), got \(6, 3\)"):
        SGD().apply(variables)


# ---- the compiled formulas


def in_numpy(optimizer: Any, w: np.ndarray, g: np.ndarray, slots: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The formulas of the classes' docstrings, one rounding after the other, in the dtype of w: w and the slots."""
    t, rate = optimizer.iterations, optimizer.learning_rate
    if optimizer.clipvalue is not None:
        g = np.clip(g, -optimizer.clipvalue, optimizer.clipvalue)
    if optimizer.weight_decay:
        w = w - w * (rate * optimizer.weight_decay)
    if isinstance(optimizer, SGD):
        if not optimizer.momentum:
            return (w - g * rate,)
        v = slots[0] * optimizer.momentum - g * rate
        return (w - g * rate + v * optimizer.momentum, v) if optimizer.nesterov else (w + v, v)
    if isinstance(optimizer, Adagrad):
        a = slots[0] + g * g
        return w - g / np.sqrt(a + optimizer.epsilon) * rate, a
    if isinstance(optimizer, RMSprop):
        rho = optimizer.rho
        v = slots[0] * rho + g * g * (1 - rho)
        a = slots[-1] * rho + g * (1 - rho)
        size = np.maximum(v - a * a, 0) if optimizer.centered else v
        step = g / np.sqrt(size + optimizer.epsilon) * rate
        mean = (a,) * optimizer.centered
        if not optimizer.momentum:
            return w - step, v, *mean
        m = slots[1] * optimizer.momentum + step
        return w - m, v, m, *mean
    root = np.sqrt(1 - optimizer.beta_2)
    step = rate * np.sqrt(1 - optimizer.beta_2**t) / (1 - optimizer.beta_1**t) * (1 - optimizer.beta_1) / root
    m, v = slots[0] * optimizer.beta_1 + g, slots[1] * optimizer.beta_2 + g * g
    return w - m / (np.sqrt(v) + float(optimizer.epsilon / root)) * float(step), m, v


def use_threads(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("fastrnn.validate.threads", lambda value: number)


@each_optimizer
@pytest.mark.parametrize("clip", [{}, {"clipvalue": 0.5}], ids=["free", "clipped"])
@pytest.mark.parametrize("size", [0, 1, 17, 100_003])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_formula_has_the_bits_of_numpy(
    make: Callable[..., Optimizer], clip: dict[str, float], size: int, dtype: str
) -> None:
    optimizer, rng = make(**clip), np.random.default_rng(size)
    variable = Variable(rng.standard_normal(size).astype(dtype), "w")
    wanted = variable.value.copy()
    slots = [np.full(size, optimizer.fill, dtype) for _ in optimizer.slots]
    for _ in range(3):
        variable.grad = rng.standard_normal(size).astype(dtype)
        optimizer.apply([variable])
        wanted, *slots = in_numpy(optimizer, wanted, variable.grad, slots)
        assert variable.value.tobytes() == wanted.tobytes()
    state = optimizer.get_state()
    for name, slot in zip(optimizer.slots, slots, strict=True):
        assert slot.dtype == dtype and state[f"0/{name}"].tobytes() == slot.tobytes()


def large_update(make: Callable[..., Optimizer], dtype: str, rows: str) -> bytes:
    """Three updates of a table, large enough for a team, and of what stands beside it."""
    rng = np.random.default_rng(7)
    shapes = [(20_011, 33), (17,), (0, 3), (300, 41)]
    variables = [Variable(rng.standard_normal(shape).astype(dtype), "v") for shape in shapes]
    variables.append(Variable(rng.standard_normal(5), "float64"))
    optimizer = make()
    for step in range(3):
        for variable in variables:
            variable.grad = rng.standard_normal(variable.shape).astype(variable.dtype)
        if rows != "none":
            # none, the first and the last, and those in the upper half most
            index = [[], [0, 20_010], np.unique((rng.random(3000) ** 2 * 20_011).astype(int))][step]
            given = RowGradient(index, rng.standard_normal((len(index), 33)).astype(dtype), shapes[0])
            variables[0].grad = given.dense() if rows == "dense" else given
        optimizer.apply(variables)
    return b"".join(array.tobytes() for array in [*(v.value for v in variables), *optimizer.get_state().values()])


@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_neither_threads_nor_rows_show(
    make: Callable[..., Optimizer], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for rows in ("none", "dense", "rows"):
        for number in (1, 2, 3):
            use_threads(monkeypatch, number)
            found[rows, number] = large_update(make, dtype, rows)
    assert len({found["none", number] for number in (1, 2, 3)}) == 1
    assert len({found[rows, number] for rows in ("dense", "rows") for number in (1, 2, 3)}) == 1


def bits_of_updates() -> list[str]:
    return [
        hashlib.sha256(large_update(make, dtype, "rows")).hexdigest()
        for make in each_optimizer.args[1]
        for dtype in ("float32", "float64")
    ]


def test_every_isa_has_the_same_bits() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_optimizers; print(*test_optimizers.bits_of_updates())"
    )
    wanted = bits_of_updates()
    for name in isa.available():
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"FASTRNN_ISA": name},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        assert found == wanted, name


@pytest.mark.parametrize("size", [0, 1, 17, 100_003, 1_100_003])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms(dtype: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = np.random.default_rng(size).standard_normal(2 * size).astype(dtype)
    found = set()
    for number in (1, 2, 3):
        use_threads(monkeypatch, number)
        found |= {optimizers.norm(wide[::2]), optimizers.norm(wide[::2].copy())}
    assert len(found) == 1
    np.testing.assert_allclose(found.pop(), np.linalg.norm(wide[::2].astype(np.longdouble)), rtol=1e-13)


class Signs(Optimizer):
    """One step of the rate's size, in the direction of the running sum."""

    name = "signs"
    slots = ("sum",)
    fill = 0.5

    def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
        slots["sum"] += g
        np.sign(slots["sum"], out=spare)
        spare *= self.rate
        w -= spare


@pytest.mark.parametrize("options", [{}, {"clipvalue": 0.5}, {"clipnorm": 0.5}, {"weight_decay": 0.5}], ids=str)
@pytest.mark.parametrize("rows", [False, True], ids=["dense", "rows"])
def test_a_formula_of_ones_own(options: dict[str, float], rows: bool) -> None:
    optimizer, (variable, _) = Signs(0.25, **options), table_and_bias("float32")
    w, total = variable.value.copy(), np.full(TABLE, 0.5, np.float32)
    for given in row_gradients("float32", 3):
        variable.grad = given if rows else given.dense()
        kept, g = given.rows.copy(), given.dense()
        if "clipvalue" in options:
            g = np.clip(g, -0.5, 0.5)
        if "clipnorm" in options:
            g = g * min(1.0, 0.5 / float(np.linalg.norm(g)))
        if "weight_decay" in options:
            w = w - w * np.float32(0.125)
        total = total + g
        w = w - np.sign(total) * np.float32(0.25)
        optimizer.apply([variable])
        np.testing.assert_array_equal(given.rows, kept)
    np.testing.assert_allclose(variable.value, w, rtol=1e-6)
    np.testing.assert_allclose(optimizer.get_state()["0/sum"], total.reshape(-1), rtol=1e-5)


def test_a_formula_on_top_of_another() -> None:
    class Twice(Adam):
        def update(self, w: np.ndarray, g: np.ndarray, spare: np.ndarray, **slots: np.ndarray) -> None:
            np.multiply(g, 2, out=spare)
            super().update(w, spare, np.empty_like(w), **slots)

    variables, others = random_variables("float32"), random_variables("float32")
    ours, theirs = Twice(0.1, clipvalue=0.5), Adam(0.1)
    for step in range(3):
        for variable, other in zip(variables, others, strict=True):
            set_gradients([variable], step)
            assert isinstance(variable.grad, np.ndarray)
            other.grad = np.clip(variable.grad, -0.5, 0.5) * 2
        ours.apply(variables)
        theirs.apply(others)
    for variable, other in zip(variables, others, strict=True):
        assert variable.value.tobytes() == other.value.tobytes()


def test_what_has_no_formula() -> None:
    variables = random_variables()
    set_gradients(variables, 0)
    with pytest.raises(NotImplementedError, match="Optimizer has no formula"):
        Optimizer(0.1).apply(variables)


def test_only_floats_are_trained() -> None:
    variable = Variable(np.arange(3), "n")
    variable.grad = np.ones(3)
    with pytest.raises(TypeError, match="variable 'n' must be float32 or float64, got int64"):
        SGD().apply([variable])


def test_gradients_of_another_dtype() -> None:
    variables, others = random_variables("float32"), random_variables("float32")
    for variable, other, gradient in zip(variables, others, set_gradients(variables, 1), strict=True):
        other.grad = gradient.astype(">f8")
        assert variable.grad is gradient
    Adam().apply(variables)
    Adam().apply(others)
    for variable, other in zip(variables, others, strict=True):
        assert variable.value.tobytes() == other.value.tobytes()


# ---- learning rates


def test_a_schedule_tells_the_rate_of_every_update() -> None:
    optimizer = SGD(ExponentialDecay(0.5, 2, 0.25))
    variable = Variable(np.zeros(1), "w")
    steps = []
    for _ in range(4):
        before, rate = variable.value.copy(), optimizer.learning_rate
        variable.grad = np.ones(1)
        optimizer.apply([variable])
        steps.append((before - variable.value).item())
        assert steps[-1] == pytest.approx(rate, rel=1e-14)
    np.testing.assert_allclose(steps, [0.5, 0.25, 0.125, 0.0625])
    with pytest.raises(TypeError, match="the learning rate of this sgd follows a schedule: it cannot be set"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = ExponentialDecay(1.0, 1, 1.0)
    assert optimizer.learning_rate == 1


def test_a_schedule_is_saved_with_its_optimizer() -> None:
    optimizer = Adam(ExponentialDecay(0.5, 2, 0.25, staircase=True))
    run(optimizer, random_variables(), range(3))
    again = optimizers.get("adam", **json.loads(json.dumps(optimizer.get_config())))
    again.set_state(optimizer.get_state())
    assert again.get_config() == optimizer.get_config()
    assert again.iterations == 3 and again.learning_rate == optimizer.learning_rate == 0.125


def test_a_schedule_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(LearningRateSchedule):
        name = "mine"

        def __call__(self, step: int) -> float:
            return 1.0 - step

    optimizer = SGD(Mine())
    assert optimizer.learning_rate == 1 and "Mine()" in repr(optimizer)
    with pytest.raises(ValueError, match="learning_rate must be of a registered class, got Mine"):
        optimizer.get_config()
    monkeypatch.setitem(SCHEDULES, "mine", Mine)
    assert optimizers.get("sgd", **optimizer.get_config()).learning_rate == 1
    variables = random_variables()
    run(optimizer, variables, range(2))
    set_gradients(variables, 2)
    with pytest.raises(ValueError, match="learning_rate must be a finite number of at least 0, got -1"):
        optimizer.apply(variables)
    assert optimizer.iterations == 2


def test_the_old_name_of_the_learning_rate() -> None:
    assert Adam(lr=1e-4).learning_rate == 1e-4
    assert RMSprop(lr=ExponentialDecay(0.5, 2, 0.25)).learning_rate == 0.5
    assert "lr" not in Adam(lr=1e-4).get_config()


@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_carries_on_to_the_bit(make: Callable[..., Optimizer], dtype: str) -> None:
    optimizer, variables = make(global_clipnorm=1.0), random_variables(dtype)
    run(optimizer, variables, range(3))
    optimizer.learning_rate = 1 / 3
    state = {name: array.copy() for name, array in optimizer.get_state().items()}
    resumed, others = make(global_clipnorm=1.0), [Variable(v.value, v.name) for v in variables]

    wanted = run(optimizer, variables, range(3, 6))
    resumed.set_state(state)
    assert (resumed.iterations, resumed.learning_rate) == (3, 1 / 3)
    for ours, theirs in zip(run(resumed, others, range(3, 6)), wanted, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    before, after = optimizer.get_state(), resumed.get_state()
    assert before.keys() == after.keys()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_a_state_is_a_copy() -> None:
    optimizer, variables = Adam(), random_variables()
    run(optimizer, variables, range(1))
    state = optimizer.get_state()
    state["0/momentum"][...] = 70
    optimizer.set_state(other := optimizer.get_state())
    other["0/momentum"][...] = 80
    assert np.abs(optimizer.get_state()["0/momentum"]).max() < 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iterations": None}, "iterations is missing"),
        ({"1/velocity": None}, "1/velocity is missing or too much"),
        ({"velocity": np.zeros(3)}, ", velocity is missing or too much"),
        ({"0/visited": np.zeros(3, int)}, "'adam': 0/visited is missing or too much"),
        ({"iterations": np.array(-1)}, "iterations must be at least 0"),
        ({"learning_rate": np.array(np.nan)}, "learning_rate must be a finite number"),
        ({"0/momentum": np.zeros((3, 4))}, "0/momentum must be float32 or float64 of one axis"),
        ({"0/momentum": np.zeros(12, int)}, "0/momentum must be float32 or float64 of one axis"),
    ],
)
def test_a_bad_state_changes_nothing(change: dict[str, Any], message: str) -> None:
    optimizer, variables = Adam(), random_variables()
    run(optimizer, variables, range(2))
    before = optimizer.get_state()
    state = {name: value for name, value in (before | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        optimizer.set_state(state)
    after = optimizer.get_state()
    assert before.keys() == after.keys() and all(before[n].tobytes() == after[n].tobytes() for n in before)


def test_slots_belong_to_their_variables() -> None:
    optimizer, variables = Adam(), random_variables()
    run(optimizer, variables, range(1))
    for others in (variables[:-1], variables[::-1], random_variables("float32")):
        kept = [variable.value.copy() for variable in others]
        set_gradients(others, 1)
        with pytest.raises(ValueError, match="the state of this adam belongs to other variables"):
            optimizer.apply(others)
        for variable, before in zip(others, kept, strict=True):
            np.testing.assert_array_equal(variable.value, before)


@each_optimizer
def test_every_update_raises_the_versions(make: Callable[..., Optimizer]) -> None:
    variables = random_variables()
    run(make(), variables, range(2))
    assert [variable.version for variable in variables] == [2] * len(SHAPES)
    assert not any(variable.value.flags.writeable for variable in variables)


def test_gradients_of_any_layout() -> None:
    variables, others = random_variables(), random_variables()
    for variable, other, gradient in zip(variables, others, set_gradients(variables, 1), strict=True):
        other.grad = np.asfortranarray(gradient)[::1]
        assert variable.grad is gradient
    Adam().apply(variables)
    Adam().apply(others)
    for variable, other in zip(variables, others, strict=True):
        assert variable.value.tobytes() == other.value.tobytes()


def test_missing_and_misshapen_gradients_change_nothing() -> None:
    optimizer, variables = Adam(), random_variables()
    set_gradients(variables, 0)
    kept = [variable.value.copy() for variable in variables]
    variables[1].grad = None
    with pytest.raises(RuntimeError, match="variable 'v1' has no gradient"):
        optimizer.apply(variables)
    variables[1].grad = np.zeros((5, 1))
    with pytest.raises(ValueError, match=r"gradient of 'v1' must have shape \(5,\), got \(5, 1\)"):
        optimizer.apply(variables)
    assert optimizer.iterations == 0
    for variable, before in zip(variables, kept, strict=True):
        np.testing.assert_array_equal(variable.value, before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SGD(-1.0), ValueError, "learning_rate must be a finite number of at least 0"),
        (lambda: SGD("fast"), TypeError, "learning_rate must be a number"),
        (lambda: SGD(0.1, 1.0), ValueError, r"momentum must be in \[0, 1\)"),
        (lambda: Adam(beta_1=1.0), ValueError, r"beta_1 must be in \[0, 1\)"),
        (lambda: RMSprop(rho=1.0), ValueError, r"rho must be in \[0, 1\)"),
        (lambda: RMSprop(momentum=-0.1), ValueError, r"momentum must be in \[0, 1\)"),
        (lambda: Adagrad(initial_accumulator_value=-1), ValueError, "initial_accumulator_value must be .* at least 0"),
        (lambda: AdamW(weight_decay=None), TypeError, "weight_decay must be a number"),
        (lambda: SGD(lr=-1.0), ValueError, "learning_rate must be a finite number of at least 0"),
        (lambda: SGD({"class": "exponential"}), TypeError, "learning_rate must be a number"),
        (lambda: SGD({"class": "cosine", "config": {}}), ValueError, "schedule must be .*did you mean 'cosine_decay'"),
        (lambda: Adam(epsilon=-1e-7), ValueError, "epsilon must be a finite number of at least 0"),
        (lambda: Adam(clipnorm=0.0), ValueError, "clipnorm must be above 0"),
        (lambda: Adam(clipnorm=1.0, clipvalue=1.0), ValueError, "only one kind of clipping .* clipvalue and clipnorm"),
        (lambda: Adam(clip_norm=1.0), TypeError, "clip_norm"),
        (lambda: optimizers.get("adma"), ValueError, "optimizer must be one of .*did you mean 'adam'"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@each_optimizer
def test_configurations_come_back(make: Callable[..., Optimizer]) -> None:
    optimizer = make(clipnorm=np.float32(2))
    optimizer.learning_rate = 0.03
    again = optimizers.get(optimizer.name, **optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert optimizers.get(optimizer) is optimizer
    assert "clipnorm=2.0" in repr(optimizer)


def test_names() -> None:
    for name, cls in [("rmsprop", RMSprop), ("RMSprop", RMSprop), ("Adam", Adam), ("adamw", AdamW), ("SGD", SGD)]:
        assert type(optimizers.get(name)) is cls
    assert type(optimizers.get("Adagrad")) is Adagrad
