"""The parts around `benchmarks/peers.py`: their formulas, their tables, their plumbing; nothing here measures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # the benchmarks are not installed

from benchmarks import all as everything
from benchmarks import bfloat16, breakdown, conditions, curves, memory, options, peers, probe, roofline, tables
from benchmarks.shapes import GATES, Row, random_arrays, select
from fastrnn._core import isa

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def compiler() -> None:
    try:
        probe.load()
    except probe.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CC", "/nonexistent/cc")
    probe.load.cache_clear()
    yield
    probe.load.cache_clear()


def measured(row: Row, which: str, **times: float | dict[str, float]) -> dict[str, Any]:
    return {
        "row": row.name,
        "pass": which,
        "shape": row.as_dict(),
        "flops": row.flops(which),
        "times": {
            library: {n: {"us": us, "rounds_us": [us]} for n, us in (t if isinstance(t, dict) else {"2": t}).items()}
            for library, t in times.items()
        },
        "counted": [0],
        "left_out": {},
        "rounds": 3,
        "calm_rounds": 3,
    }


def results(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"rows": list(rows), "threads": [2], "products": {"2": {"fastrnn": 100.0}}, "left_out": {}}


class TestTables:
    def test_figures(self) -> None:
        assert [tables.figure(v) for v in (1.234, 12.34, 123.4, 1234.5)] == ["1.23", "12.3", "123", "1234"]
        assert (tables.ratio(0.987), tables.ratio(1.5), tables.ratio(None)) == ("**0.99**", "1.50", "")
        assert (tables.percent(0.126), tables.percent(None)) == ("13%", "")

    def test_table(self) -> None:
        lines = tables.table(["row", "us", "n"], [["a", 1.5, 3], ["b", None, 20.0]])
        assert lines == ["| row | us | n |", "|---|--:|--:|", "| a | 1.50 | 3 |", "| b |  | 20.0 |", ""]
        assert tables.table(["row"], []) == []

    def test_paragraph(self) -> None:
        lines = tables.paragraph("word \n  " * 50)
        assert lines[-1] == "" and max(map(len, lines)) <= 100
        assert " ".join(lines).split() == ["word"] * 50


class TestRoofline:
    def test_bound(self) -> None:
        row = Row("r", "lstm", 2, 10, 5, 7)
        assert roofline.bound_us(row, "inference", 4, 2.0, None) == pytest.approx(row.flops() / 2e3)
        read = 10 * 7 * 4 * 7 * 4 / 1e-3 * 1e-3
        assert roofline.bound_us(row, "inference", 4, 2.0, 1e-3) == pytest.approx(read)
        assert roofline.bound_us(row, "training", 4, 2.0, 1e-3) == pytest.approx(2 * read)

    def test_a_stream_reads_its_input_weights_too(self) -> None:
        assert roofline.weight_bytes(Row("s", "gru", 1, 1, 5, 7, train=False), 8) == 12 * 3 * 7 * 8
        stack = Row("r", "gru", 1, 4, 5, 7, layers=2, bidirectional=True)
        assert roofline.weight_bytes(stack, 8) == 2 * 2 * 7 * 3 * 7 * 8

    def test_buffers_lie_in_the_levels_they_stand_for(self) -> None:
        caches = {"L1": 48 << 10, "L2": 2 << 20, "L3": 260 << 20}
        for threads in (1, 2, 8):
            sizes = roofline.buffers(caches, threads)
            assert sizes["L2"] < 2 * threads << 20 < sizes["L3"] < 260 << 20 < sizes["memory"]
        assert roofline.buffers({}, 1)["L2"] > 0

    @pytest.mark.usefixtures("compiler")
    def test_rates(self) -> None:
        found = roofline.Sampler(Row("r", "lstm", 1, 2, 128, 128), "float32", [1, 2], None)
        found.sample()
        for rates in found.medians().values():
            assert rates["gflops"] > 0.1 and rates["read"] > 0.1
        assert probe.fma("no such", 4, 1) == 0
        assert probe.barrier(2, 100) > 0

    @pytest.mark.usefixtures("no_compiler")
    def test_without_a_compiler_the_share_is_left_out(self) -> None:
        assert roofline.sampler(select(["char"])[0], "float32", [1], None) is None
        for part in (roofline, breakdown):
            result = part.run(SimpleNamespace(quick=True, isa=None, threads=[1], rows=None, passes=[]), lambda _: None)
            assert "no C compiler (/nonexistent/cc" in "\n".join(part.markdown(result))


class TestBreakdown:
    def test_split(self) -> None:
        seconds = {"whole": 10.0, "input": 2.0, "steps": 5.0, "recurrent": 0.5, "weights": 1.0, "packing": 0.25}
        parts = breakdown.split(seconds, 0.0, 3.0)
        assert tuple(parts) == breakdown.PARTS
        assert list(parts.values()) == [2.0, 3.5, 2.0, 1.0, 0.25, 1.25]
        assert list(breakdown.split(seconds, 1.0, 2.0).values()) == [3.0, 2.5, 2.0, 1.0, 0.25, 1.25]

    def test_a_product_cannot_take_longer_than_the_steps(self) -> None:
        seconds = {"whole": 5.0, "input": 0.0, "steps": 5.0, "recurrent": 0.0, "weights": 0.0, "packing": 0.0}
        parts = breakdown.split(seconds, 2.0, 8.0)
        assert (parts["input product"], parts["recurrent product"], parts["activations"]) == (1.0, 4.0, 0.0)

    @pytest.mark.usefixtures("compiler")
    @pytest.mark.parametrize("cell", GATES)
    def test_clocks_change_no_bit_and_go_away(self, cell: str) -> None:
        from benchmarks.workers import fastrnn as worker

        row = Row("r", cell, 4, 6, 5, 20)
        arrays = random_arrays(row)

        def gradients() -> list[np.ndarray]:
            layer = worker.build(row, arrays, 2)
            (y, *_), dx = worker.train(layer, arrays["x"], arrays["dy"])()
            return [y, dx, *(variable.grad for variable in layer.variables)]

        expected = gradients()
        with probe.clocks("float32") as clocks:
            clocks.reset()
            found = gradients()
            seconds = clocks.read()
            clocks.reset(products_alone=True)
            gradients()
            assert seconds.pop("joined") == 0
            assert (clocks.read()["joined"] > 0) == (isa.active() != "baseline" or cell == "gru")
            with pytest.raises(probe.Unavailable), probe.clocks("float32"):
                pass
        for one, other in zip(expected, found, strict=True):
            assert np.array_equal(one, other)
        assert all(0 < value < 1 for value in seconds.values())
        clocks.reset()
        gradients()
        assert set(clocks.read().values()) == {0.0}

    @pytest.mark.usefixtures("compiler")
    def test_products_alone(self) -> None:
        with probe.clocks("float32") as clocks:
            call, _ = breakdown.calls(select(["char"])[0], "inference", "float32", 1)
            clocks.reset(products_alone=True)
            call()
            seconds = clocks.read()
        assert seconds["steps"] == 0 < seconds["recurrent"]

    def test_an_instruction_set_that_this_process_does_not_run(self) -> None:
        given = SimpleNamespace(quick=True, isa="none", threads=[1], rows=None, passes=[])
        assert "set FASTRNN_ISA=none" in breakdown.run(given, lambda _: None)["unavailable"]

    def test_tables(self) -> None:
        parts = dict.fromkeys(breakdown.PARTS, 1.0) | {"rest": 5.0}
        entry = {"row": "char", "pass": "inference", "us": {"layer": 10.0, "loop": 7.0}, "parts_us": parts}
        text = "\n".join(breakdown.markdown({"dtype": "float32", "threads": 2, "rows": [entry]}))
        assert "| char | 10.0 | 10% | 10% | 10% | 10% | 10% | 50% |" in text
        assert "| char | inference | 10.0 | 7.00 | 5.00 | 5.00 |" in text


class TestMemory:
    def test_formulas(self) -> None:
        row = Row("r", "lstm", 3, 5, 7, 11)
        points, weights = 15, (7 + 11) * 44
        assert memory.formula(row, "inference", 4) == 4 * (points * 11 + weights)
        assert memory.formula(row, "training", 8) == 8 * (points * (66 + 7) + 4 * weights)
        assert memory.formula(row, "training", 8, calls=3) == 8 * (points * (66 + 7) + 5 * weights)

    def test_table(self) -> None:
        row = select(["imdb"])[0]
        expected = memory.formula(row, "training", 4)
        entry = {
            "row": "imdb",
            "pass": "training",
            "formula": {"first_bytes": expected, "peak_bytes": expected},
            "libraries": {
                "fastrnn": {"first_bytes": expected * 1.05, "peak_bytes": expected * 1.2},
                "torch": {"first_bytes": 2e8, "peak_bytes": 3e8},
            },
        }
        result = {"dtype": "float32", "threads": 2, "calls": 3, "rows": [entry], "left_out": {}}
        text = "\n".join(memory.markdown(result))
        assert "| imdb | training | 57.5 | 60.3 | 5% | 57.5 | 69.0 | **20%** | 300 |" in text

    @pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak from /proc")
    def test_a_worker_sees_its_own_peak(self) -> None:
        given = SimpleNamespace(quick=True, threads=[1], dtype="float32", isa=None, pythons={"fastrnn": sys.executable})
        row = Row("r", "lstm", 32, 200, 16, 64)
        found = memory.measure(row, "inference", "fastrnn", given)
        assert found["first_bytes"] > 0.8 * memory.formula(row, "inference", 4)


class TestBfloat16:
    def test_table(self) -> None:
        row = select(["big"])[0]
        times = {"fastrnn": 100.0, "fastrnn@bfloat16": 80.0, "torch@bfloat16": 60.0}
        found = {which: results(measured(row, which, **times)) for which in ("inference", "training")}
        off = {"row": "mid", "T": 100, "largest": 0.01, "mean": 0.001, "magnitude": 0.1}
        text = "\n".join(bfloat16.markdown(found | {"deviation": off}))
        assert "| big | inference | 100 | 80.0 | 60.0 | 1.25 | **0.75** |" in text
        assert "| big | training | 100 |" in text
        assert "by 1.0e-02 at most" in text

    def test_deviation_is_of_a_bfloat16(self) -> None:
        found = bfloat16.deviation(Row("r", "lstm", 2, 5, 3, 20))
        assert 1e-4 < found["largest"] < 0.02 and found["mean"] < found["largest"]

    def test_a_worker_of_another_dtype(self) -> None:
        row = Row("r", "gru", 2, 3, 5, 7)
        worker = peers.Worker("fastrnn@bfloat16", 1, "float32", sys.executable)
        try:
            with peers.stored_arrays(row, "float32", False) as data:
                answer = worker.ask("prepare", row=row.as_dict(), data=data, **{"pass": "inference"})
            assert answer["idiom"] and not answer["failures"]
        finally:
            worker.close()


class TestConditions:
    def test_rows(self) -> None:
        for condition in conditions.CONDITIONS:
            rows = condition.varied(False)
            assert len({row.name for row in rows}) == len(rows) == len(condition.rows) * (1 + condition.beside)
            assert condition.libraries[0] == "fastrnn"
            (*_, small) = condition.varied(True)
            assert small.T <= 20

    def test_ragged_table(self) -> None:
        (condition,) = (c for c in conditions.CONDITIONS if c.key == "ragged")
        usual, varied = condition.varied(False)[:2]
        found = results(
            measured(usual, "inference", fastrnn=100.0, torch=300.0),
            measured(varied, "inference", fastrnn=55.0, torch=330.0),
        )
        text = "\n".join(conditions.compared(found, condition))
        share = varied.lengths().mean() / varied.T
        assert f"| imdb | inference | 55.0 | 330 PyTorch | 6.00 | {share:.0%} | 55% | PyTorch 110% |" in text
        assert "- inference: geometric mean 6.00, 0 of 1 below 1" in text

    def test_first_calls(self) -> None:
        def first(build: float, call: float) -> dict[str, float]:
            return {"build_us": build, "first_us": call}

        entry = {
            "row": "char",
            "pass": "inference",
            "starts": [
                {"fastrnn": first(1000, 500), "torch": first(4000, 500), "jax": first(8000, 500)},
                {"fastrnn": first(9000, 1000), "torch": first(9000, 1000)},  # a busy moment
                {"fastrnn": first(2000, 500), "torch": first(4000, 1000)},
            ],
        }
        text = "\n".join(conditions.first_calls([entry]))
        assert "| char | inference | 2.00 | 2.00 + 0.50 | 4.00 + 1.00 | 8.00 + 0.50 |" in text

    def test_limits(self) -> None:
        found = peers.environment(2, "avx2")
        assert (found["FASTRNN_ISA"], found["ONEDNN_MAX_CPU_ISA"]) == ("avx2", "AVX2")
        assert found["XLA_FLAGS"].endswith(" --xla_cpu_max_isa=AVX2")
        assert "max_isa" not in peers.environment(2)["XLA_FLAGS"]


def curve_results() -> dict[str, Any]:
    found = {
        axis: results(
            *(
                measured(curves.vary(axis, size), which, fastrnn=10.0 * size, torch=20.0 * size, onnxruntime=5.0)
                for size in (1, 4)
                for which in ("inference", "training")
            )
        )
        for axis in curves.AXES
    }
    times = {"1": 20.0, "2": 10.0}
    entry = measured(curves.BASE, "inference", fastrnn=times, torch={"1": 40.0, "2": 30.0})
    return found | {"threads": results(entry)}


class TestCurves:
    def test_points(self) -> None:
        sizes = [row.H for row in curves.points("H", curves.SIZES)]
        assert sizes[0] == 1 and sizes[-1] >= 1024
        assert all(row.I == row.H and row.T == curves.BASE.T for row in curves.points("H", curves.SIZES))
        assert all(not row.streaming for row in curves.points("T", curves.SIZES))
        assert curves.thread_counts(1) == [1] and curves.thread_counts(6) == [1, 2, 4, 6]

    def test_table(self) -> None:
        text = "\n".join(curves.markdown(curve_results()))
        assert "| inference | 1 | 2 | 4 |" in text
        assert "| T | **0.50** |  | **0.12** |" in text
        assert "| threads | 2.00 | 3.00 |  |" in text

    def test_durations(self) -> None:
        assert [curves.duration(us) for us in (1, 100, 1e4, 2e6)] == ["1 us", "100 us", "10 ms", "2 s"]

    def test_chart(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        curves.chart(curve_results(), str(tmp_path / "c.png"))
        assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")

    def test_chart_without_matplotlib(self, monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        assert options.plot(curves, curve_results(), tmp_path / "c.png") == 1  # type: ignore[arg-type]
        assert "fastrnn[plot]" in capsys.readouterr().err


class TestAll:
    def test_a_page_of_what_is_there(self, tmp_path: Path, capsys: Capture) -> None:
        pytest.importorskip("matplotlib")
        (tmp_path / "curves.json").write_text(json.dumps(curve_results()))
        page = tmp_path / "RESULTS.md"
        options_ = ["--only", "", "--results", str(tmp_path), "--output", str(page)]
        assert everything.main(options_) == 0
        assert page.read_text() == capsys.readouterr().out
        assert "## Scaling" in page.read_text() and "## Memory" not in page.read_text()
        assert (tmp_path / "curves.png").exists()

    def test_a_part_by_itself(self, tmp_path: Path, capsys: Capture) -> None:
        path = tmp_path / "c.json"
        path.write_text(json.dumps(curve_results()))
        assert options.section_main(curves, ["--report", str(path)]) == 0
        assert "## Scaling" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(["--only", "nothere"], "nothere"), (["--json", "x"], "--results"), (["--rows", "x"], "x")],
    )
    def test_bad_arguments(self, arguments: list[str], message: str, capsys: Capture) -> None:
        with pytest.raises(SystemExit):
            everything.main(arguments)
        assert message in capsys.readouterr().err

    def test_every_part_can_be_run_and_told_of(self) -> None:
        for name, part in everything.PARTS.items():
            assert callable(part.run) and callable(part.markdown), name
        assert all(callable(everything.PARTS[name].chart) for name in everything.PICTURES)
