"""Optimizers against PyTorch where it agrees with Keras, and against Keras's formulas where it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastrnn import optimizers
from fastrnn.layers.base import Variable
from fastrnn.optimizers import SGD, Adam, Optimizer

SHAPES = [(3, 4), (5,), (1,), (0, 2)]

each_optimizer = pytest.mark.parametrize(
    "make",
    [
        lambda **clip: SGD(0.1, **clip),
        lambda **clip: SGD(0.1, 0.9, **clip),
        lambda **clip: SGD(0.1, 0.9, nesterov=True, **clip),
        lambda **clip: Adam(0.1, **clip),
    ],
    ids=["sgd", "momentum", "nesterov", "adam"],
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


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SGD(0.1), lambda torch, p: torch.optim.SGD(p, 0.1)),
        (SGD(0.1, 0.9), lambda torch, p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        (SGD(0.1, 0.9, nesterov=True), lambda torch, p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True)),
        # without epsilon, which stands elsewhere there
        (Adam(0.1, epsilon=0.0), lambda torch, p: torch.optim.Adam(p, 0.1, eps=0.0)),
        (Adam(0.1, 0.8, 0.95, 0.0), lambda torch, p: torch.optim.Adam(p, 0.1, (0.8, 0.95), eps=0.0)),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adam-betas"],
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


@each_optimizer
def test_blocks_do_not_show(make: Callable[..., Optimizer], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(make(), random_variables("float32"), range(3))
    monkeypatch.setattr(optimizers, "BLOCK", 4)
    for cut, wanted in zip(run(make(), random_variables("float32"), range(3)), whole, strict=True):
        assert cut.tobytes() == wanted.tobytes()


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
    state["0/momentum"][...] = 7
    optimizer.set_state(other := optimizer.get_state())
    other["0/momentum"][...] = 8
    assert np.abs(optimizer.get_state()["0/momentum"]).max() < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iterations": None}, "iterations is missing"),
        ({"1/velocity": None}, "1/velocity is missing or too much"),
        ({"velocity": np.zeros(3)}, ", velocity is missing or too much"),
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
