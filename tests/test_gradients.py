"""The kernels' gradients by central differences of the kernels' own forward pass, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import CELLS, Problem, central_differences, solve

from fastrnn import functional


def check(problem: Problem) -> None:
    """torch.autograd.gradcheck's defaults, then a hundred times tighter."""
    results = solve(problem)
    for name, numerical in central_differences(problem, functional.forward, epsilon=1e-6):
        np.testing.assert_allclose(results[name], numerical, rtol=1e-3, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(results[name], numerical, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("bias", [None, 1, 2])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_every_parameter_and_input(cell: str, activation: str, bias: int | None, ragged: bool, reverse: bool) -> None:
    check(Problem.random(cell, T=5, B=3, I=2, H=5, activation=activation, bias=bias, ragged=ragged, reverse=reverse))


@pytest.mark.parametrize(
    ("T", "B", "I", "H"),
    [(1, 1, 1, 1), (1, 4, 3, 2), (6, 1, 2, 9), (2, 2, 17, 3), (33, 16, 1, 2)],
    ids=["unit", "T1", "B1", "wide-x", "sums-of-blocks"],
)
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_shapes_at_the_edges(cell: str, activation: str, T: int, B: int, I: int, H: int) -> None:
    check(Problem.random(cell, T=T, B=B, I=I, H=H, activation=activation))


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_loss_of_the_final_state_alone(cell: str, activation: str) -> None:
    check(Problem.random(cell, T=4, B=3, I=2, H=5, activation=activation).replace(dy=None))


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_saturated_gates(cell: str, activation: str) -> None:
    """Pre-activations around 8: small slopes, but right ones."""
    check(Problem.random(cell, T=3, B=2, I=2, H=4, activation=activation).map(lambda a: 3 * a))
