"""The benchmark's table, its arithmetic and its driver; nothing here measures."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the benchmarks are not installed

from benchmarks import peers, report, shapes
from benchmarks.workers import CHECK_STEPS, Task, inverse, reorder, serve
from benchmarks.workers import numpy as numpy_worker

TABLE = """
stream64 lstm 1 1 64 64
stream256 lstm 1 1 256 256
streamgru256 gru 1 1 256 256
char simple_rnn 3 14 17 12
sincos simple_rnn 1 10 1 32
b1 lstm 1 100 64 128
b1_256 lstm 1 100 256 256
image simple_rnn 32 56 56 300
btc128 simple_rnn 64 60 1 128
btc512 simple_rnn 64 60 256 512
imdb lstm 128 500 32 32
imdbgru gru 128 500 32 32
imdbrnn simple_rnn 128 500 32 32
ptbS lstm 20 20 200 200
ptbM lstm 20 35 650 650
mid lstm 32 100 256 256
midgru gru 32 100 256 256
big lstm 64 50 1024 1024
"""
Capture = pytest.CaptureFixture[str]
SMALL = {cell: shapes.Row("small", cell, 3, 5, 4, 6) for cell in shapes.GATES}
ONE_STEP = {cell: shapes.Row("step", cell, 2, 1, 4, 6, train=False) for cell in shapes.GATES}


def entry(row: str, which: str, **times: float | dict[str, float]) -> dict[str, Any]:
    """A measured row: library=us at one thread, or library={threads: us}."""
    return {
        "row": row,
        "pass": which,
        "shape": shapes.select([row])[0].as_dict(),
        "flops": shapes.select([row])[0].flops(which),
        "times": {
            library: {n: {"us": us, "rounds_us": [us]} for n, us in (t if isinstance(t, dict) else {"1": t}).items()}
            for library, t in times.items()
        },
        "counted": [0],
        "left_out": {},
        "machine": {"1": {"gflops": 100.0, "read": 50.0}, "2": {"gflops": 200.0}},
    }


def results(*entries: dict[str, Any]) -> dict[str, Any]:
    """A results file around entries."""
    return {
        "schema": report.SCHEMA,
        "created": "2026-01-01T00:00:00Z",
        "machine": {"cpu": "a cpu", "cores": 2, "system": "Linux x86_64", "python": "3.11.0"},
        "dtype": "float32",
        "isa": None,
        "threads": [1, 2],
        "rounds": 3,
        "runs": 1,
        "libraries": {"fastrnn": "1.0", "jax": "2.0"},
        "left_out": {"torch": "ModuleNotFoundError: No module named 'torch'"},
        "products": {"1": {"numpy": 60.0, "torch": 100.0}, "2": {"numpy": 200.0}},
        "rows": list(entries),
    }


MEASURED = results(
    entry("stream64", "inference", fastrnn=4.0, jax=10.0, onnxruntime={"1": 8.0, "2": 9.0}),
    entry("mid", "inference", fastrnn={"1": 4000.0, "2": 2000.0}, jax={"1": 3000.0, "2": 1000.0}),
    entry("mid", "training", fastrnn=100.0, jax=400.0),
    entry("big", "training", jax=400.0),
)


class TestShapes:
    def test_table(self) -> None:
        lines = [line.split() for line in TABLE.strip().splitlines()]
        assert [[r.name, r.cell, *map(str, (r.B, r.T, r.I, r.H))] for r in shapes.ROWS] == lines

    def test_streaming_rows_do_not_train(self) -> None:
        assert [r.name for r in shapes.ROWS if r.streaming] == ["stream64", "stream256", "streamgru256"]
        assert all(r.train != r.streaming and len(r.passes) == 1 + r.train for r in shapes.ROWS)

    def test_flops(self) -> None:
        row = shapes.Row("r", "lstm", 2, 3, 5, 7)
        assert row.flops() == 2 * 3 * 2 * 4 * 7 * (5 + 7)
        assert row.flops("training") == 3 * row.flops("inference")

    def test_flops_of_a_stack_and_of_ragged_rows(self) -> None:
        row = shapes.Row("r", "gru", 2, 3, 5, 7, layers=2, bidirectional=True)
        assert row.widths == (5, 14)
        assert row.flops() == 2 * 3 * 2 * 2 * 3 * 7 * (5 + 7 + 14 + 7)
        ragged = shapes.Row("r", "lstm", 50, 10, 5, 7, ragged=True)
        assert 1 == ragged.lengths().min() and ragged.lengths().max() == 10
        assert ragged.flops() == 2 * int(ragged.lengths().sum()) * 4 * 7 * (5 + 7)

    def test_one_step_that_trains_is_no_stream(self) -> None:
        assert not shapes.Row("r", "lstm", 2, 1, 5, 7).streaming
        assert shapes.Row("r", "lstm", 2, 1, 5, 7, train=False).streaming

    @pytest.mark.parametrize("cell", shapes.GATES)
    def test_decaying_states_become_denormal_and_stay_so(self, cell: str) -> None:
        """0.6 times the smallest denormal rounds to it, in float32 as the libraries compute."""
        row = shapes.Row("r", cell, 1, 300, 4, 8, decaying=True)
        arrays = shapes.random_arrays(row)
        assert not arrays["x"][:, 30:].any() and not arrays["dy"][:, :-1].any()
        net = numpy_worker.Network(cell, row.B, row.T, arrays)
        h = np.abs(net.forward(np.ascontiguousarray(arrays["x"].swapaxes(0, 1))))
        state = np.abs(net.c[1:]) if cell == "lstm" else h
        assert state[29].max() > 1e-3
        assert 0 < state[-1].max() < np.finfo(np.float32).tiny

    def test_rows_are_frozen(self) -> None:
        with pytest.raises(AttributeError):
            shapes.ROWS[0].B = 2  # type: ignore[misc]

    def test_select_keeps_the_order_of_the_table(self) -> None:
        assert [r.name for r in shapes.select(["mid", "char"])] == ["char", "mid"]
        with pytest.raises(ValueError, match="nothere"):
            shapes.select(["nothere"])

    @pytest.mark.parametrize("cell", shapes.GATES)
    def test_random_arrays(self, cell: str) -> None:
        arrays = shapes.random_arrays(SMALL[cell], "float64")
        G = shapes.GATES[cell]
        assert arrays["kernel"].shape == (4, 6 * G)
        assert arrays["recurrent_kernel"].shape == (6, 6 * G)
        assert arrays["bias"].shape == ((2, 18) if cell == "gru" else (6 * G,))
        assert {a.dtype for a in arrays.values()} == {np.dtype("float64")}
        assert np.array_equal(arrays["x"], shapes.random_arrays(SMALL[cell], "float64")["x"])


class TestReport:
    def test_geomean(self) -> None:
        assert report.geomean([2.0, 8.0]) == pytest.approx(4.0)
        assert math.isnan(report.geomean([]))

    def test_better_thread_count(self) -> None:
        assert report.best(MEASURED["rows"][1], "fastrnn") == ("fastrnn", 2, 2000.0)
        assert report.best(MEASURED["rows"][1], "torch") is None

    def test_best_other_and_ratio(self) -> None:
        assert report.best_other(MEASURED["rows"][0]) == ("onnxruntime", 1, 8.0)
        assert report.ratios(MEASURED, "inference") == {"stream64": 2.0, "mid": 0.5}
        assert report.ratios(MEASURED, "training") == {"mid": 4.0}
        assert report.ratio(entry("mid", "training", fastrnn=1.0)) is None

    def test_share_of_the_roofline(self) -> None:
        stream, mid = MEASURED["rows"][:2]
        assert report.share(MEASURED, stream) == pytest.approx(131072 / 50e3 / 4.0)
        assert report.share(MEASURED, mid) == pytest.approx(mid["flops"] / 200e3 / 2000.0)
        assert report.share(MEASURED, MEASURED["rows"][3]) is None
        assert "| 66% |" in report.markdown(MEASURED)

    def test_the_mean_at_the_roofline(self) -> None:
        bound = MEASURED["rows"][1]["flops"] / 200e3
        found = results(
            entry("mid", "inference", fastrnn={"2": 2 * bound}, jax={"2": 3 * bound}),  # half of the roofline
            entry("big", "inference", fastrnn={"2": 1e9}, jax={"2": 2e9}),  # next to nothing of it
        )
        assert report.attainable(found, "inference", 1.0) == pytest.approx(math.sqrt(3.0 * 2.0))
        assert report.attainable(found, "inference", 0.75) == pytest.approx(math.sqrt(2.25 * 2.0))
        assert report.attainable(found, "inference", 0.4) == pytest.approx(math.sqrt(1.5 * 2.0))
        assert report.attainable(found, "training", 1.0) is None
        assert "if every row were at the roofline: 2.45; at 85% of it: " in report.markdown(found)

    def test_no_share_without_a_probe(self) -> None:
        text = report.markdown(results(entry("mid", "training", fastrnn=1.0, jax=2.0) | {"machine": {}}))
        assert "| ratio | JAX |" in text and "were at the roofline" not in text

    def test_markdown(self) -> None:
        text = report.markdown(MEASURED)
        assert "| stream64 | lstm B1 T1 I64 H64 | 4.00 (1) | 8.00 ONNX Runtime (1) | 2.00 |" in text
        assert "| **0.50** |" in text
        assert "inference: geometric mean 1.00 over 2 rows" in text
        assert "inference, rows below 1: mid 0.50" in text
        assert "training, rows below 1: none" in text
        assert "left out: PyTorch: ModuleNotFoundError" in text

    def test_short(self) -> None:
        lines = report.short(MEASURED).splitlines()
        size = "lstm B32 T100 I256 H256"
        assert f"| mid | {size} | 2000 | 1000 JAX | **0.50** | 100 | 400 JAX | 4.00 |" in lines
        assert lines[-1] == "| geometric mean |  |  |  | 1.00 |  |  | 4.00 |"
        assert len({line.count("|") for line in lines}) == 1

    def test_markdown_without_fastrnn(self) -> None:
        assert "no ratios" in report.markdown(results(entry("mid", "training", jax=1.0)))

    def test_load_refuses_another_schema(self, tmp_path: Path) -> None:
        path = tmp_path / "r.json"
        path.write_text(json.dumps(MEASURED))
        assert report.load(str(path)) == MEASURED
        path.write_text(json.dumps(MEASURED | {"schema": 0}))
        with pytest.raises(ValueError, match="schema"):
            report.load(str(path))

    def test_chart(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        report.chart(MEASURED, str(tmp_path / "r.png"))
        assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
        with pytest.raises(ValueError, match="fastrnn"):
            report.chart(results(), str(tmp_path / "none.png"))

    def test_chart_without_matplotlib(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ImportError, match=r"fastrnn\[plot\]"):
            report.chart(MEASURED, str(tmp_path / "r.png"))


class TestReferee:
    """The float64 NumPy loop that decides whether a library may be timed."""

    @pytest.mark.parametrize("cell", shapes.GATES)
    def test_gradients_by_central_differences(self, cell: str) -> None:
        row, rng = SMALL[cell], np.random.default_rng(1)
        arrays = shapes.random_arrays(row, "float64")
        out = numpy_worker.referee(row, arrays, True)
        for name in ("x", "kernel", "recurrent_kernel", "bias"):
            for _ in range(6):
                at = tuple(rng.integers(n) for n in arrays[name].shape)
                losses = []
                for sign in (1, -1):
                    moved = {k: v.copy() for k, v in arrays.items()}
                    moved[name][at] += sign * 1e-6
                    losses.append(np.sum(numpy_worker.referee(row, moved, False)["y"] * arrays["dy"]))
                assert out["d" + name][at] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5, abs=1e-7)

    def test_lstm_gate_order(self) -> None:
        """i f c o: one step from zero is s(o) tanh(s(i) tanh(c)), the forget gate without effect."""
        row = shapes.Row("r", "lstm", 1, 1, 1, 1)
        arrays = {"x": np.ones((1, 1, 1)), "kernel": np.array([[0.3, 9.0, 0.7, -0.4]]),
                  "recurrent_kernel": np.ones((1, 4)), "bias": np.zeros(4)}  # fmt: skip
        net = numpy_worker.Network("lstm", row.B, row.T, arrays)
        h = net.forward(arrays["x"])[0, 0, 0]
        s = 1 / (1 + np.exp(-np.array([0.3, -0.4])))
        assert h == pytest.approx(s[1] * np.tanh(s[0] * np.tanh(0.7)))

    def test_gru_is_reset_after(self) -> None:
        """n = tanh(xW + r (hR + c)): the recurrent bias of the candidate is under the reset gate."""
        arrays = {"x": np.ones((1, 1, 1)), "kernel": np.array([[0.2, -0.5, 0.6]]),
                  "recurrent_kernel": np.ones((1, 3)),
                  "bias": np.array([[0.0, 0.0, 0.1], [0.0, 0.0, 0.8]])}  # fmt: skip
        h = numpy_worker.Network("gru", 1, 1, arrays).forward(arrays["x"])[0, 0, 0]
        z, r = 1 / (1 + np.exp(-np.array([0.2, -0.5])))
        assert h == pytest.approx((1 - z) * np.tanh(0.7 + r * 0.8))


def check(library: Any, row: shapes.Row, training: bool, dtype: str) -> None:
    """Every idiom of a worker agrees with the referee."""
    arrays = shapes.random_arrays(row, dtype)
    tasks = library.tasks(row, arrays, training)
    assert tasks
    for build in tasks.values():
        task = build()
        assert serve.mismatch(task.result(), numpy_worker.referee(row, arrays, training), dtype) == ""
        task.call()


CASES = [(cell, training) for cell in shapes.GATES for training in (False, True)]


class TestWorkers:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(("cell", "training"), CASES)
    def test_numpy(self, cell: str, training: bool, dtype: str) -> None:
        check(numpy_worker.Library(1, dtype), SMALL[cell], training, dtype)
        check(numpy_worker.Library(1, dtype), ONE_STEP[cell], False, dtype)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(("cell", "training"), CASES)
    def test_fastrnn(self, cell: str, training: bool, dtype: str) -> None:
        from benchmarks.workers import fastrnn as worker

        check(worker.Library(1, dtype), SMALL[cell], training, dtype)
        check(worker.Library(1, dtype), ONE_STEP[cell], False, dtype)

    @pytest.mark.parametrize("cell", shapes.GATES)
    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize(
        "vary", [{"layers": 2, "bidirectional": True}, {"ragged": True}, {"layers": 2, "ragged": True}], ids=str
    )
    def test_fastrnn_under_conditions(self, cell: str, training: bool, vary: dict[str, Any]) -> None:
        from benchmarks.workers import fastrnn as worker

        check(worker.Library(1, "float64"), replace(SMALL[cell], **vary), training, "float64")

    def test_reorder(self) -> None:
        order = (0, 3, 1, 2)
        array = np.arange(24.0).reshape(2, 12)
        assert reorder(array, order)[0].tolist() == [0, 1, 2, 9, 10, 11, 3, 4, 5, 6, 7, 8]
        assert np.array_equal(reorder(reorder(array, order), inverse(order)), array)

    def test_mismatch(self) -> None:
        want = {"y": np.ones((2, 3)), "dx": np.full((2, 3), 5.0)}
        assert serve.mismatch({k: v.astype("f4") for k, v in want.items()}, want, "float32") == ""
        assert "y is off" in serve.mismatch(want | {"y": np.full((2, 3), 1.001)}, want, "float32")
        assert "dx is off by nan" in serve.mismatch(want | {"dx": np.full((2, 3), np.nan)}, want, "float32")
        assert "dx has shape" in serve.mismatch(want | {"dx": np.ones(3)}, want, "float32")
        assert "returned ['y']" in serve.mismatch({"y": want["y"]}, want, "float32")

    def test_streaming_check_sees_the_state(self) -> None:
        assert CHECK_STEPS > 1
        row = ONE_STEP["gru"]
        arrays = shapes.random_arrays(row, "float64")
        first = numpy_worker.Network("gru", row.B, 1, arrays).forward(arrays["x"].swapaxes(0, 1))[0]
        assert not np.allclose(numpy_worker.referee(row, arrays, False)["y"], first)

    def test_server_drops_wrong_idioms_and_keeps_the_fastest(self, tmp_path: Path) -> None:
        row = SMALL["lstm"]
        right = numpy_worker.referee(row, shapes.random_arrays(row), False)
        wrong = right | {"h": right["h"] + 1}

        def idiom(outputs: dict[str, np.ndarray], work: int) -> Callable[[], Task]:
            return lambda: Task(lambda: sum(range(work)), lambda: outputs)

        def broken() -> Task:
            raise RuntimeError("no such operator\nand more")

        builders = {
            "slow": idiom(right, 3000),
            "quick": idiom(right, 10),
            "wrong": idiom(wrong, 1),
            "broken": broken,
        }
        library = SimpleNamespace(version="1", tasks=lambda *_: builders)
        server = serve.Server(library, "float32")
        with peers.stored_arrays(row, "float32", False) as data:
            answer = server.prepare(row.as_dict(), data, **{"pass": "inference"})
        assert answer["idiom"] == "quick"
        assert set(answer["trials_us"]) == {"slow", "quick"}
        assert "h is off" in answer["failures"]["wrong"]
        assert answer["failures"]["broken"] == "RuntimeError: no such operator"
        burst = server.burst(seconds=1e-4, calls=3)
        assert burst["calls"] >= 3 and burst["us"] > 0
        with peers.stored_arrays(row, "float32", False) as data:
            server.prepare(replace(row, pause=0.01).as_dict(), data, **{"pass": "inference"})
        begin = time.perf_counter()
        burst = server.burst(seconds=1e-4, calls=3)
        assert burst["calls"] == 3 and burst["us"] < 1e4 and time.perf_counter() - begin >= 0.03
        server.release()
        with pytest.raises(RuntimeError, match="nothing prepared"):
            server.burst(seconds=1e-4, calls=3)


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """One tiny row on NumPy; a library that does not exist and an interpreter that does not."""
    pythons = dict.fromkeys(("numpy", "absent"), sys.executable) | {"jax": "/nonexistent/python"}
    return peers.run(
        shapes.select(["char"]),
        ["numpy", "absent", "jax"],
        [1],
        pythons,
        passes=["inference"],
        rounds=2,
        burst=1e-3,
    )


class TestDriver:
    def test_missing_libraries_are_named_and_left_out(self, measured: dict[str, Any]) -> None:
        assert set(measured["left_out"]) == {"absent", "jax"}
        assert "No module named" in measured["left_out"]["absent"]
        assert "cannot start /nonexistent/python" in measured["left_out"]["jax"]
        assert list(measured["libraries"]) == ["numpy"]

    def test_schema(self, measured: dict[str, Any]) -> None:
        again = json.loads(json.dumps(measured))
        assert set(again) == set(MEASURED)
        assert again["schema"] == report.SCHEMA
        (row,) = again["rows"]
        assert (row["row"], row["pass"], row["flops"]) == (
            "char",
            "inference",
            shapes.select(["char"])[0].flops(),
        )
        assert shapes.Row(**row["shape"]) == shapes.select(["char"])[0]
        found = row["times"]["numpy"]["1"]
        assert set(found) == {"us", "mean_us", "rounds_us", "means_us", "idiom", "trials_us"}
        assert len(found["rounds_us"]) == row["rounds"] >= row["calm_rounds"] >= 0
        assert min(found["rounds_us"]) <= found["us"] <= max(found["rounds_us"])
        assert again["products"]["1"]["numpy"] > 0
        assert "left out: absent" in report.markdown(again)

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the state of a process from /proc")
    def test_workers_are_stopped_between_requests_and_revived(self) -> None:
        def stopped(worker: peers.Worker) -> None:
            end = time.monotonic() + 1.0  # the signal is delivered a moment later
            while "T" not in Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2]:
                assert time.monotonic() < end

        with peers.Team(["numpy"], [1], "float32", {"numpy": sys.executable}) as team:
            worker = team.workers["numpy", 1]
            stopped(worker)
            with pytest.raises(peers.WorkerError, match="nothing prepared"):
                worker.ask("burst", seconds=0.001, calls=1)
            stopped(worker)
            worker.process.kill()
            worker.process.wait()
            team.revive()
            assert team.workers["numpy", 1] is not worker
            assert team.workers["numpy", 1].ask("release") == {}

    def test_rounds_with_other_programs_at_work_are_run_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two noisy rounds, then calm ones: the figure is the median of the calm ones."""
        times = iter([100.0, 90.0, 1.0, 2.0, 3.0])
        clock = iter([0.0, 50.0, 50.0, 99.0, *[99.0] * 6])
        asked: list[str] = []

        def ask(op: str, *_: object, **request: object) -> dict[str, Any]:
            asked.append(op)
            if op == "burst":
                us = next(times)
                return {"us": us, "mean_us": us, "calls": 3}
            return {"idiom": "only", "us": 1.0, "trials_us": {"only": 1.0}, "failures": {}}

        monkeypatch.setattr(peers, "foreign_seconds", lambda _: next(clock))
        worker = SimpleNamespace(ask=ask, alive=True)
        monkeypatch.setattr(peers.roofline, "sampler", lambda *_: None)
        team: Any = SimpleNamespace(
            dtype="float32", isa=None, threads=[1], workers={("numpy", 1): worker}, revive=lambda: None
        )
        found = peers.measure(shapes.select(["char"])[0], "inference", team, rounds=3, seconds=60.0, burst=0.0)
        assert (found["rounds"], found["calm_rounds"]) == (5, 3)
        assert found["times"]["numpy"]["1"]["us"] == 2.0
        assert asked == ["prepare", *["burst"] * 5, "release"]

    def test_append_replaces_rows_of_the_same_conditions(self) -> None:
        new = results(entry("char", "inference", jax=1.0), entry("mid", "training", fastrnn=50.0, jax=400.0))
        merged = peers.merge(MEASURED, new)
        rows = [(e["row"], e["pass"]) for e in merged["rows"]]
        first = [(name, "inference") for name in ("stream64", "char", "mid")]
        assert rows == [*first, ("mid", "training"), ("big", "training")]
        assert report.ratios(merged, "training") == {"mid": 8.0}
        with pytest.raises(ValueError, match="threads"):
            peers.merge(MEASURED, new | {"threads": [4]})
        with pytest.raises(ValueError, match="jax"):
            peers.merge(MEASURED, new | {"libraries": {"jax": "3.0"}})

    def test_a_busy_moment_that_both_meet_leaves_the_ratio(self) -> None:
        row = entry("mid", "training", fastrnn=20.0, jax=12.0, torch=36.0)
        for library, found in {"fastrnn": [10.0, 20.0, 20.0], "jax": [12.0, 24.0, 12.0], "torch": [30.0] * 3}.items():
            row["times"][library]["1"] |= {"rounds_us": found, "means_us": found}
        row["counted"] = [0, 1, 2]
        assert report.ratio(row) == 1.2  # not 12 / 20
        row["counted"] = [2]
        assert report.ratio(row) == 0.6

    def test_pool_adds_the_rounds_of_rows_of_both(self) -> None:
        def measured(calm: list[bool], rate: float, **rounds: list[float]) -> dict[str, Any]:
            row = entry("mid", "training", **dict.fromkeys(rounds, 0.0))
            for library, found in rounds.items():
                row["times"][library]["1"] |= {"rounds_us": found, "means_us": found}
            row |= {"calm": calm, "foreign_cores": 0.0, "machine": {"1": {"gflops": rate}}}
            peers.settle(row)
            return row

        old = results(measured([True] * 3, 100.0, fastrnn=[1.0, 2.0, 3.0], jax=[9.0] * 3), entry("big", "training"))
        new = results(measured([False, True, True, True], 170.0, fastrnn=[50.0, 4.0, 5.0, 6.0]))
        merged = peers.pool(old, new)
        assert merged["runs"] == 2 and "rounds of up to 2 runs" in report.markdown(merged)
        row, other = merged["rows"]
        assert (row["rounds"], row["calm_rounds"], row["machine"]) == (7, 6, {"1": {"gflops": 140.0}})
        assert row["times"].keys() == {"fastrnn"}  # jax was left out of one of them
        assert row["times"]["fastrnn"]["1"]["us"] == 3.5
        assert row["counted"] == [0, 1, 2, 4, 5, 6]
        assert other["row"] == "big"

    def test_report_from_a_file(self, tmp_path: Path, capsys: Capture) -> None:
        path, page = tmp_path / "r.json", tmp_path / "RESULTS.md"
        path.write_text(json.dumps(MEASURED))
        assert peers.main(["--report", str(path), "--output", str(page)]) == 0
        assert page.read_text() == capsys.readouterr().out == report.markdown(MEASURED)

    def test_a_chart_that_cannot_be_drawn_does_not_cost_the_report(self, tmp_path: Path, capsys: Capture) -> None:
        path = tmp_path / "r.json"
        path.write_text(json.dumps(results(entry("mid", "training", jax=1.0))))
        assert peers.main(["--report", str(path), "--plot", str(tmp_path / "r.png")]) == 1
        printed = capsys.readouterr()
        assert "no ratios" in printed.out
        assert "the chart needs rows" in printed.err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--rows", "nothere"], "nothere"),
            (["--libs", "caffe"], "caffe"),
            (["--threads", "0"], "at least 1"),
            (["--threads", "two"], "two"),
            (["--python", "torch"], "LIB=PATH"),
            (["--append"], "--json"),
            (["--pool"], "--json"),
            (["--passes", "backward"], "backward"),
            (["--dtype", "float16"], "float16"),
            (["--isa", "sse"], "sse"),
        ],
    )
    def test_bad_arguments(self, arguments: list[str], message: str, capsys: Capture) -> None:
        with pytest.raises(SystemExit):
            peers.main(arguments)
        assert message in capsys.readouterr().err
