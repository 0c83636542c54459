"""Outputs, states and all gradients against PyTorch on the CPU."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from helpers import Problem, Results, assert_close, case_id, expect, infer, pairwise, solve

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what another package warns of at its import is not ours
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

CELLS = [("simple_rnn", "tanh"), ("simple_rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]

CASES = pairwise(
    seed=3,
    T=[1, 6, 21],
    B=[1, 4, 17],
    I=[1, 3, 20],
    H=[2, 16, 35],
    bias=[None, 1, 2],
    state=[False, True],
    reverse=[False, True],
    ragged=[False, True],
)


def to_torch(a: np.ndarray, cell: str) -> np.ndarray:
    """(..., G*H) in Keras's order of gates <-> PyTorch's: GRU z r n <-> r z n, the others are the same."""
    if cell != "gru":
        return a
    z, r, n = np.split(a, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


def torch_solve(problem: Problem) -> Results:
    """The problem by a torch module; for the reverse walk by the second direction of a bidirectional one."""
    T, B, I, H = problem.sizes
    cell, directions = problem.cell, 2 if problem.reverse else 1
    kind = {"simple_rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    options = {"nonlinearity": problem.activation} if cell == "simple_rnn" else {}
    module = kind(
        I,
        H,
        bias=problem.bias is not None,
        batch_first=True,
        bidirectional=problem.reverse,
        dtype=getattr(torch, str(problem.x.dtype)),
        **options,
    )
    suffix = "_l0" + "_reverse" * problem.reverse
    parameters = {"weight_ih": problem.kernel, "weight_hh": problem.recurrent_kernel}
    if problem.bias is not None:
        rows = problem.bias if problem.bias.ndim == 2 else [problem.bias, np.zeros_like(problem.bias)]
        parameters |= {"bias_ih": rows[0], "bias_hh": rows[1]}
    with torch.no_grad():
        for name, value in parameters.items():
            getattr(module, name + suffix).copy_(torch.from_numpy(np.ascontiguousarray(to_torch(value, cell).T)))

    x = torch.tensor(problem.x, requires_grad=True)
    sequence = x
    if problem.lengths is not None:
        lengths = torch.from_numpy(problem.lengths)
        sequence = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    zeros = np.zeros((B, H), problem.x.dtype)
    given = problem.initial_state or (zeros,) * len(problem.dstate)
    state = [torch.tensor(np.stack([zeros, s][-directions:]), requires_grad=True) for s in given]
    y, final = module(sequence, tuple(state) if cell == "lstm" else state[0])
    if problem.lengths is not None:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=T)
    y, final = y[..., -H:], [s[-1] for s in (final if cell == "lstm" else (final,))]
    torch.autograd.backward([y, *final], [torch.from_numpy(d) for d in (problem.dy, *problem.dstate)])

    results = {"y": y, **dict(zip("hc", final, strict=False)), "dx": x.grad}
    results |= {name: s.grad[-1] for name, s in zip(["dh", "dc"], state, strict=False)}
    results = {name: value.detach().numpy() for name, value in results.items()}
    d = {name: to_torch(getattr(module, name + suffix).grad.numpy().T, cell) for name in parameters}
    results |= {"dkernel": d["weight_ih"], "drecurrent_kernel": d["weight_hh"]}
    if problem.bias is not None:
        results["dbias"] = d["bias_ih"] if problem.bias.ndim == 1 else np.stack([d["bias_ih"], d["bias_hh"]])
    return results


def problems(cell: str, activation: str, dtype: str, case: dict) -> Problem:
    problem = Problem.random(cell, activation=activation, dtype=dtype, **case)
    if problem.lengths is not None:  # PyTorch packs no empty rows
        problem = problem.replace(lengths=np.maximum(problem.lengths, 1))
    return problem


@pytest.mark.parametrize("case", CASES, ids=case_id)
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_reference(cell: str, activation: str, case: dict) -> None:
    problem = problems(cell, activation, "float64", case)
    assert_close(expect(problem), torch_solve(problem), problem)


@pytest.mark.parametrize("case", CASES, ids=case_id)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_kernels(cell: str, activation: str, dtype: str, case: dict) -> None:
    problem = problems(cell, activation, dtype, case)
    wanted = torch_solve(problem)
    # both sides round: twice the error of one
    assert_close(solve(problem), wanted, problem, slack=2)
    assert_close(infer(problem), wanted, problem, slack=2)
