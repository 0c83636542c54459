"""Weights in bfloat16: against the reference that rounds as they do, and against the float32 kernels' bits.

A rounding hides differences in the last bits or, where a number lies between two bfloat16, magnifies them: a float64
reference that walks by itself would leave the kernels at the first such h. So single steps of single rows, which begin
with the same state, are compared with the reference to float32's tolerance, and whole sequences with single steps, to
the bit. Differences of the loss make no sense through roundings: gradients are compared with the reference's alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import CELLS, Problem, Results, assert_close, assert_same_bits, case_id, infer, pairwise, solve

from fastrnn import functional, models, optimizers, reference
from fastrnn._core import isa
from fastrnn.io import keras_config
from fastrnn.layers import GRU, LSTM, Bidirectional, Dense, Embedding, SimpleRNN
from fastrnn.reference import round_bfloat16

cells = pytest.mark.parametrize(("cell", "activation"), CELLS)
LAYERS: dict[str, Any] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
BF16 = {"compute_dtype": "bfloat16"}


def bits(*words: int) -> np.ndarray:
    return np.array(words, np.uint32).view(np.float32)


# --- rounding ----------------------------------------------------------------------------------------------------


def test_the_reference_rounds_to_nearest_even() -> None:
    given = bits(0x3F800000, 0x3F808000, 0x3F808001, 0x3F818000, 0xBF807FFF, 0x00000001, 0x7F7FFFFF, 0xFF800000)
    wanted = bits(0x3F800000, 0x3F800000, 0x3F810000, 0x3F820000, 0xBF800000, 0x00000000, 0x7F800000, 0xFF800000)
    np.testing.assert_array_equal(round_bfloat16(given).view(np.uint32), wanted.view(np.uint32))
    assert np.isnan(round_bfloat16(bits(0x7F800001, 0xFFFFFFFF, 0x7FC00000))).all()
    halves = np.arange(2**16, dtype=np.uint32) << 16  # every bfloat16 is its own nearest
    kept = round_bfloat16(halves.view(np.float32))
    same = (kept.view(np.uint32) == halves) | np.isnan(halves.view(np.float32))
    assert same.all()
    assert round_bfloat16(np.array([1.0 + 2.0**-9])).dtype == np.float64


def special() -> np.ndarray:
    """Ties, their neighbours, signs, zeros and the largest numbers, and bits at random; the kernels run with denormals
    as zeros."""
    rng = np.random.default_rng(7)
    upper = rng.integers(0, 2**16, 400, dtype=np.uint32) << 16
    words = np.concatenate([upper | low for low in (0x7FFF, 0x8000, 0x8001, 0)] + [rng.integers(0, 2**32, 800)])
    values = words.astype(np.uint32).view(np.float32)
    normal = np.isfinite(values) & (np.abs(values) >= np.finfo(np.float32).tiny)
    return np.concatenate([values[normal], np.array([0, -0.0, 3.4e38, -3.4e38], np.float32)])


@pytest.mark.parametrize("side", ["weights", "inputs"])
def test_the_kernels_round_as_the_reference(side: str) -> None:
    """One factor is 1, so a linear unit gives the other one back."""
    values = special()
    one = np.ones((1, 1), np.float32)
    x, kernel = (one, values[None]) if side == "weights" else (values[:, None], one)
    recurrent_kernel = np.zeros((kernel.shape[1],) * 2, np.float32)
    y, _ = functional.forward("simple_rnn", x[:, None], kernel, recurrent_kernel, activation="linear", **BF16)
    wanted = round_bfloat16(values)
    assert not np.array_equal(wanted, values)
    np.testing.assert_array_equal(y.ravel(), wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, bits(0x7F800001)[0], bits(0xFFFFFFFF)[0]])
@pytest.mark.parametrize("side", ["weights", "inputs"])
def test_nan_and_infinity_stay(side: str, value: float) -> None:
    x, kernel = np.ones((1, 1, 2), np.float32), np.ones((2, 3), np.float32)
    (x if side == "inputs" else kernel)[..., -1] = value
    y, _ = functional.forward("simple_rnn", x, kernel, np.zeros((3, 3), np.float32), activation="linear", **BF16)
    np.testing.assert_array_equal(y[0, 0, -1], np.float32(value))


def rounded(problem: Problem) -> Problem:
    """The same with what meets in its products rounded already."""
    return problem.replace(
        x=round_bfloat16(problem.x),
        kernel=round_bfloat16(problem.kernel),
        recurrent_kernel=round_bfloat16(problem.recurrent_kernel),
        initial_state=tuple(map(round_bfloat16, problem.initial_state or ())),
    )


@pytest.mark.parametrize(
    ("B", "I", "H"), [(1, 1, 1), (1, 5, 33), (3, 31, 17), (9, 300, 48), (29, 7, 301), (64, 130, 129), (12, 0, 8)]
)
@cells
def test_one_step_has_the_bits_of_float32_on_rounded_operands(
    cell: str, activation: str, B: int, I: int, H: int
) -> None:
    problem = rounded(Problem.random(cell, T=1, B=B, I=I, H=H, activation=activation, dtype="float32"))
    names = ("y", "h", "c", "dbias", "dc")  # dG is rounded on its way to the others
    in_float32 = {name: value for name, value in solve(problem).items() if name in names}
    got = solve(problem, **BF16)
    # vdpbf16ps, as AMX, adds two products at a time, with roundings of its own
    compare_with = (
        close if isa.active() in ("avx512_bf16", "amx") else lambda found, wanted, _: assert_same_bits(found, wanted)
    )
    compare_with({name: got[name] for name in in_float32}, in_float32, problem)
    compare_with(infer(problem, **BF16), infer(problem), problem)


# --- the reference -----------------------------------------------------------------------------------------------


SUMS = ("dkernel", "drecurrent_kernel", "dbias")


def gate_gradients(gradients: reference.Gradients) -> tuple[np.ndarray, np.ndarray]:
    """Of one step of one row the gradients by its two products are those of the two biases."""
    assert gradients.bias is not None
    return gradients.bias[0].astype(np.float64), gradients.bias[1].astype(np.float64)


def named(y: np.ndarray, state: Any) -> Results:
    return {"y": y, **dict(zip("hc", state, strict=False))}


def named_back(gradients: reference.Gradients) -> Results:
    dx, dkernel, drecurrent_kernel, dbias, dstate = gradients
    results = {"dx": dx, "dkernel": dkernel, "drecurrent_kernel": drecurrent_kernel, "dbias": dbias}
    return results | dict(zip(["dh", "dc"], dstate, strict=False))


def close(results: Results, wanted: Results, problem: Problem) -> None:
    """Within float32's tolerance of sums whose terms are about 1, though they may cancel."""
    assert_close(
        {name: np.append(value.astype(np.float32), np.float32(1)) for name, value in results.items()},
        {name: np.append(value, 1.0) for name, value in wanted.items()},
        problem,
    )


def one_by_one(problem: Problem) -> Results:
    """Each row alone, step by step there and back, each step held against the reference; the weights' gradients are
    their float64 sums."""
    T, B, I, H = problem.sizes
    parts, G = reference.CELLS[problem.cell].states, reference.CELLS[problem.cell].gates
    lengths = np.full(B, T) if problem.lengths is None else problem.lengths
    state = problem.initial_state or tuple(np.zeros((B, H), np.float32) for _ in range(parts))
    state, dstate = (tuple(part.copy() for part in parts) for parts in (state, problem.dstate))
    kernel, recurrent = (round_bfloat16(w.astype(np.float64)) for w in (problem.kernel, problem.recurrent_kernel))
    bias = np.zeros((2, G * H), np.float32)
    if problem.bias is not None:
        bias[: np.atleast_2d(problem.bias).shape[0]] = problem.bias
    out: Results = {"y": np.zeros((B, T, H), np.float32), "dx": np.zeros((B, T, I), np.float32)}
    out |= {"dkernel": np.zeros((I, G * H)), "drecurrent_kernel": np.zeros((H, G * H)), "dbias": np.zeros((2, G * H))}
    for b in range(B):
        steps, passes = [t for t in range(T) if t < lengths[b]], []
        for t in steps[::-1] if problem.reverse else steps:
            step = problem.rows([b]).replace(
                x=problem.x[b : b + 1, t : t + 1],
                initial_state=tuple(part[b : b + 1].copy() for part in state),
                lengths=None,
                bias=bias,
            )
            args, kwargs = step.arguments
            y, after, tape = functional.forward_train(*args, **kwargs, **BF16)
            args, kwargs = step.map(np.float64).arguments
            wanted_y, wanted_state, wanted_tape = reference.forward(*args, **kwargs, **BF16)
            close(named(y, after), named(wanted_y, wanted_state), step)
            passes.append((t, step, tape, wanted_tape))
            out["y"][b, t] = y[0, 0]
            for part, new in zip(state, after, strict=True):
                part[b] = new[0]
        for t, step, tape, wanted_tape in reversed(passes):
            dy, dend = problem.dy[b : b + 1, t : t + 1], tuple(part[b : b + 1].copy() for part in dstate)
            got = functional.backward(tape, dy, dend)
            found = reference.backward(wanted_tape, dy.astype(np.float64), tuple(d.astype(np.float64) for d in dend))
            results, wanted = named_back(got), named_back(found)
            # where the two dG were rounded apart, what this one gives is wanted
            ours, theirs = gate_gradients(got), gate_gradients(found)
            apart = [round_bfloat16(mine) - round_bfloat16(other) for mine, other in zip(ours, theirs, strict=True)]
            x, h = (round_bfloat16(a.astype(np.float64)).ravel() for a in (step.x, step.initial_state[0]))
            wanted["dx"] = wanted["dx"] + apart[0] @ kernel.T
            wanted["dh"] = wanted["dh"] + apart[1] @ recurrent.T
            wanted["dkernel"] = wanted["dkernel"] + np.outer(x, apart[0])
            wanted["drecurrent_kernel"] = wanted["drecurrent_kernel"] + np.outer(h, apart[1])
            close(results, wanted, step)
            out["dx"][b, t] = got.x[0, 0]
            for part, new in zip(dstate, got.initial_state, strict=True):
                part[b] = new[0]
            for name in SUMS:
                out[name] += results[name]
    if problem.bias is None:
        del out["dbias"]
    elif problem.bias.ndim == 1:
        out["dbias"] = out["dbias"][0]
    return out | dict(zip("hc", state, strict=False)) | dict(zip(["dh", "dc"], dstate, strict=False))


def compare(got: Results, wanted: Results, problem: Problem) -> None:
    """The walk's numbers to the bit; sums over it to float32's tolerance, their order being another one."""
    assert_same_bits({name: value for name, value in got.items() if name not in SUMS}, wanted)
    assert_close({name: value for name, value in got.items() if name in SUMS}, wanted, problem)


# sizes around the vectors and tiles of every ISA, odd and even K, more rows than a tile and fewer
CASES = pairwise(
    seed=2,
    H=[1, 3, 16, 17, 33, 48],
    B=[1, 2, 5, 9, 29],
    I=[0, 1, 2, 5, 31],
    T=[1, 2, 7],
    bias=[None, 1, 2],
    num_threads=[1, 2],
    reverse=[False, True],
    ragged=[False, True],
    state=[False, True],
    time_major=[False, True],
)


@pytest.mark.parametrize("case", CASES, ids=case_id)
@cells
def test_against_the_reference(cell: str, activation: str, case: dict[str, Any]) -> None:
    how = {name: case[name] for name in ("num_threads", "time_major")}
    what = {name: value for name, value in case.items() if name not in how}
    problem = Problem.random(cell, activation=activation, dtype="float32", **what)
    wanted = one_by_one(problem)
    compare(infer(problem, **how, **BF16), wanted, problem)
    compare(solve(problem, **how, **BF16), wanted, problem)


@pytest.mark.parametrize(
    ("T", "B", "I", "H"),
    [(60, 2, 20, 300), (9, 3, 8, 520), (3, 40, 301, 40), (2, 12, 9, 1040), (3, 70, 130, 129), (61, 45, 5, 19)],
    ids=["one-row", "few-rows-wide", "many-rows", "stretches-of-k", "many-tiles", "sums-of-blocks"],
)
@cells
def test_large(cell: str, activation: str, T: int, B: int, I: int, H: int) -> None:
    """Past the sizes where K is cut into stretches, and rows or units are shared among threads."""
    problem = Problem.random(cell, T=T, B=B, I=I, H=H, activation=activation, dtype="float32", ragged=True)
    some = np.array([0, B - 1])
    wanted = one_by_one(problem.rows(some))
    first = solve(problem, num_threads=1, **BF16)
    compare({n: first[n][some] for n in first if n not in SUMS}, wanted, problem)
    for num_threads in (1, 2):
        assert_same_bits(infer(problem, num_threads=num_threads, **BF16), first)
        assert_same_bits(solve(problem, num_threads=num_threads, **BF16), first)


@pytest.mark.parametrize(("T", "B", "I", "H"), [(0, 3, 2, 5), (4, 0, 2, 5)])
@cells
def test_nothing_to_do(cell: str, activation: str, T: int, B: int, I: int, H: int) -> None:
    problem = Problem.random(cell, T=T, B=B, I=I, H=H, activation=activation, dtype="float32")
    assert_same_bits(solve(problem, **BF16), solve(problem))


@cells
def test_rounds_at_all(cell: str, activation: str) -> None:
    """Every result but those of the state alone differs from float32's, by about a bfloat16's last bit."""
    problem = Problem.random(cell, T=7, B=9, I=5, H=17, activation=activation, dtype="float32")
    one, other = solve(problem), solve(problem, **BF16)
    for name, value in one.items():
        gap = np.abs(value - other[name]).max() / np.abs(value).max()
        assert 1e-5 < gap < 0.1, name


# --- layers ------------------------------------------------------------------------------------------------------


def make(cell: str, units: int = 17, inputs: int = 5, **options: Any) -> Any:
    layer = LAYERS[cell](units, return_sequences=True, return_state=True, seed=1, **BF16, **options)
    layer.build((None, None, inputs))
    rng = np.random.default_rng(2)
    layer.set_weights([w + 0.1 * rng.standard_normal(w.shape).astype(w.dtype) for w in layer.get_weights()])
    return layer


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("B", "units", "levels"), [(1, 17, 1), (7, 17, 2), (1, 300, 1), (20, 9, 3)], ids=["one", "stack", "wide", "many"]
)
@pytest.mark.parametrize("cell", LAYERS)
def test_a_stream_has_the_bits_of_the_sequence(cell: str, B: int, units: int, levels: int) -> None:
    layer = make(cell, units, num_layers=levels)
    x = normal(B, 9, 5)
    y, *state = layer.forward(x)
    stream = layer.stream(B)
    assert_same_bits({"y": np.stack([stream.step(x[:, t]) for t in range(9)], axis=1)}, {"y": y})
    for mine, other in zip(stream.state, state, strict=True):
        assert_same_bits({"state": mine}, {"state": other})


@pytest.mark.parametrize("cell", LAYERS)
def test_a_stack_of_both_directions_is_its_directions(cell: str) -> None:
    """Levels and directions of one layer against `functional`, and the way back."""
    layer, x, lengths = make(cell, num_layers=2, bidirectional=True), normal(4, 6, 5), np.array([6, 2, 0, 5])
    count = len(layer.get_weights()) // 4
    weights = [layer.get_weights()[i * count : (i + 1) * count] for i in range(4)]
    below, passes = x, []
    for level in range(2):
        ways = []
        for way in range(2):
            given = (cell, below, *weights[2 * level + way])
            ways.append(functional.forward_train(*given, lengths=lengths, reverse=bool(way), **BF16))
        passes.append(ways)
        below = np.concatenate([way[0] for way in ways], axis=2)
    y, *_ = layer.forward(x, training=True, lengths=lengths)
    assert_same_bits({"y": y}, {"y": below})
    dy = normal(*y.shape)
    dx = layer.backward(dy)
    for ways in reversed(passes):
        halves = [functional.backward(tape, dy[:, :, way * 17 : (way + 1) * 17]) for way, (*_, tape) in enumerate(ways)]
        dy = halves[0].x + halves[1].x
    assert_same_bits({"dx": dx}, {"dx": dy})


@pytest.mark.parametrize("cell", LAYERS)
def test_a_table_is_rounded_as_its_rows_are(cell: str) -> None:
    """Forward to the bit, and the way back but for the table's own products."""
    ids = np.random.default_rng(6).integers(0, 4, (3, 40))
    found = []
    for gather in (True, False):
        embedding = Embedding(4, 5, "normal", seed=7)
        layer = make(cell)
        y, *_ = layer.forward(embedding(ids, training=True, gather=gather), training=True)
        layer.backward(np.ones_like(y))
        found.append({"y": y} | {v.name: v.grad for v in layer.variables})
    assert_same_bits({"y": found[1]["y"]}, {"y": found[0]["y"]})
    for name in ("recurrent_kernel", "bias"):
        want = found[0][name]
        np.testing.assert_allclose(found[1][name], want, rtol=2e-5, atol=2e-5 * np.abs(want).max())


@pytest.mark.parametrize("cell", LAYERS)
def test_the_gate_gradients_of_a_tables_row_are_summed_then_rounded(cell: str) -> None:
    ids = np.repeat(np.array([2, 0, 3]), 40).reshape(3, 40)
    embedding, layer = Embedding(4, 5, "normal", seed=7), make(cell)
    y, *_ = layer.forward(embedding(ids, training=True, gather=False), training=True)
    dtable = layer.backward(np.ones_like(y))
    table, kernel = embedding.get_weights()[0], layer.get_weights()[0]
    # alone, a batch row has for the gradient of its input bias the sum over its steps, unrounded
    sums = np.zeros((4, kernel.shape[1]))
    for row in ids:
        bias = np.zeros((2, kernel.shape[1]), np.float32)
        bias[: np.atleast_2d(layer.get_weights()[2]).shape[0]] = layer.get_weights()[2]
        one, _, tape = functional.forward_train(cell, table[row][None], *layer.get_weights()[:2], bias, **BF16)
        sums[row[0]] = functional.backward(tape, np.ones_like(one)).bias[0]
    rounded_sums, last_bit = round_bfloat16(sums), 2.0**-8 * np.abs(sums)  # sums of another order may round apart
    for got, left, right in [
        (dtable, rounded_sums, round_bfloat16(kernel.astype(np.float64)).T),
        (layer.variables[0].grad, round_bfloat16(table.astype(np.float64)).T, rounded_sums),
    ]:
        gap, rest = np.abs(got - left @ right), 2e-5 * np.abs(left @ right).max()
        bound = last_bit @ np.abs(right) if left is rounded_sums else np.abs(left) @ last_bit
        assert (gap <= bound + rest).all()
        assert (gap <= rest).mean() > 0.8  # few do: of sums that are not rounded all would be off


@pytest.mark.parametrize("cell", LAYERS)
def test_masks_state_and_last_outputs(cell: str) -> None:
    x, mask = normal(3, 7, 5), np.array([[1] * 7, [1, 0, 1, 1, 0, 0, 1], [0] * 7], bool)
    layer = make(cell)
    y, *_ = layer.forward(x, mask=mask)
    short, *_ = layer.forward(x[1:2][:, mask[1]])
    assert_same_bits({"y": y[1:2][:, mask[1]]}, {"y": short})
    carried = make(cell, stateful=True)
    halves = [carried.forward(x[:, :4])[0], carried.forward(x[:, 4:])[0]]
    assert_same_bits({"y": np.concatenate(halves, axis=1)}, {"y": layer.forward(x)[0]})


@pytest.mark.parametrize("cell", LAYERS)
def test_weights_are_packed_anew_after_a_change(cell: str) -> None:
    layer, x = make(cell), normal(2, 4, 5)
    before = layer.forward(x)[0]
    layer.set_weights([2 * w for w in layer.get_weights()])
    after = layer.forward(x)[0]
    assert not np.array_equal(before, after)
    y, _ = functional.forward(cell, x, *layer.get_weights(), **BF16)
    assert_same_bits({"y": after}, {"y": y})
    for weight in layer.get_weights():
        assert weight.dtype == np.float32
        assert not np.array_equal(weight, round_bfloat16(weight)) or not weight.any()


def test_config_copies_and_files(tmp_path: Any) -> None:
    """It goes where a configuration goes: copies, wrappers, files."""
    layer = make("lstm")
    assert layer.get_config()["compute_dtype"] == "bfloat16"
    assert LSTM.from_config(layer.get_config()).compute_dtype == "bfloat16"
    assert LSTM(3).get_config()["compute_dtype"] is None
    model = models.Sequential([Bidirectional(GRU(6, return_sequences=True, **BF16)), LSTM(5, **BF16), Dense(2)])
    x = normal(4, 6, 3)
    y = model.predict(x)
    model.save(tmp_path / "model.fastrnn")
    again = models.load_model(tmp_path / "model.fastrnn")
    assert again.layers[1].compute_dtype == "bfloat16"
    np.testing.assert_array_equal(again.predict(x), y)
    plain = models.Sequential([Bidirectional(GRU(6, return_sequences=True)), LSTM(5), Dense(2)])
    plain.build((None, None, 3))
    plain.set_weights(model.get_weights())
    gap = np.abs(plain.predict(x) - y).max()
    assert 0 < gap < 0.02 * np.abs(y).max()


def test_keras_is_not_told() -> None:
    layer = make("gru")
    ((value, _),) = keras_config.described(layer)
    assert "compute_dtype" not in str(value)


def test_a_model_learns() -> None:
    """The sign of the first step, which the last output must remember."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((256, 8, 2)).astype(np.float32)
    target = (x[:, :1, 0] > 0).astype(np.float32)
    model = models.Sequential([LSTM(16, seed=5, **BF16), Dense(1, activation="sigmoid", seed=6)])
    model.compile(optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, target, epochs=40, batch_size=32, shuffle=False, verbose=0)
    assert model.evaluate(x, target, verbose=0)[1] > 0.95


@pytest.mark.parametrize("cell", LAYERS)
def test_errors_name_the_argument_the_rule_and_what_came(cell: str) -> None:
    with pytest.raises(
        ValueError, match="compute_dtype must be None unless the dtype is float32, got 'bfloat16' with "
    ):
        LAYERS[cell](3, dtype="float64", **BF16)
    with pytest.raises(ValueError, match="compute_dtype must be one of bfloat16, got 'float16'"):
        LAYERS[cell](3, compute_dtype="float16")
    with pytest.raises(TypeError, match="compute_dtype must be"):
        LAYERS[cell](3, compute_dtype=16)
    problem = Problem.random(cell, T=2, B=2, I=2, H=2)
    args, kwargs = problem.arguments
    for forward in (functional.forward, functional.forward_train):
        with pytest.raises(ValueError, match="compute_dtype must be None unless the dtype is float32"):
            forward(*args, **kwargs, **BF16)
    with pytest.raises(ValueError, match="compute_dtype must be one of bfloat16"):
        reference.forward(*args, **kwargs, compute_dtype="half")
