"""The three ways to show progress: tqdm, a redrawn line, lines in a log."""

from __future__ import annotations

import builtins
import io
import sys
from typing import Any

import numpy as np
import pytest

from fastrnn import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test turns on by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def no_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "tqdm":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)


def test_a_log_gets_whole_lines_and_few(clock: list[float]) -> None:
    file = io.StringIO()
    with progress.Progress(1000, label="epoch 1", unit="rows", file=file) as bar:
        for _ in range(100):
            clock[0] += 0.25
            bar.advance(10, loss=1.23456)
    lines = file.getvalue().splitlines()
    assert lines == [
        "epoch 1   40%  loss 1.235  40 rows/s  0:15 left",
        "epoch 1   80%  loss 1.235  40 rows/s  0:05 left",
        "epoch 1  100%  loss 1.235  40 rows/s  0:00 left",
    ]


def test_without_tqdm_a_terminal_gets_one_line_redrawn(clock: list[float], no_tqdm: None) -> None:
    file = Terminal()
    with progress.Progress(100, unit="rows", file=file) as bar:
        clock[0] += 1
        bar.advance(50, loss=1234567.0)
        clock[0] += 1
        bar.advance(50, loss=1.0)
    text = file.getvalue()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    long, short = text.rstrip("\n").split("\r")[1:]
    assert long == " 50%  loss 1.235e+06  50 rows/s  0:01 left"
    assert short.rstrip() == "100%  loss 1  50 rows/s  0:00 left"
    assert len(short) == len(long), "what a longer line left behind must be wiped"


def test_a_terminal_is_not_redrawn_at_every_step(clock: list[float], no_tqdm: None) -> None:
    file = Terminal()
    with progress.Progress(1000, file=file) as bar:
        for _ in range(1000):
            clock[0] += 0.001
            bar.advance(1)
    assert 5 <= file.getvalue().count("\r") <= 12


def test_tqdm_where_it_is_installed() -> None:
    pytest.importorskip("tqdm")
    file = Terminal()
    with progress.Progress(100, label="epoch 1", unit="rows", start=20, file=file) as bar:
        bar.advance(80, loss=0.5)
    text = file.getvalue()
    assert "epoch 1" in text
    assert "loss 0.5" in text
    assert "100/100" in text
    assert "rows/s" in text


def test_figures_are_asked_for_only_when_they_are_drawn(clock: list[float], no_tqdm: None) -> None:
    file, asked = Terminal(), []

    def figures() -> dict[str, float]:
        asked.append(clock[0])
        return {"loss": float(len(asked))}

    with progress.Progress(1000, file=file) as bar:
        for _ in range(1000):
            clock[0] += 0.001
            bar.advance(1, figures)
    assert 9 <= len(asked) <= 11
    assert min(np.diff(asked[:-1])) >= progress.REDRAW_SECONDS
    assert file.getvalue().rstrip().endswith(f"100%  loss {len(asked)}  1k steps/s  0:00 left")


def test_a_bar_that_is_not_left_is_wiped(clock: list[float], no_tqdm: None) -> None:
    file = Terminal()
    with progress.Progress(100, file=file, leave=False) as bar:
        clock[0] += 1
        bar.advance(50)
        bar.advance(50)
    line, blanks, end = file.getvalue().split("\r")[1:]
    assert line.startswith(" 50%") and blanks == " " * len(line) and end == ""
    for kind in (Terminal(), io.StringIO()):
        with progress.Progress(100, file=kind, leave=False) as bar:
            bar.advance(100)
        assert kind.getvalue() == "", "a loop that is done before the first drawing leaves no trace"


def test_tqdm_is_wiped_too() -> None:
    pytest.importorskip("tqdm")
    file = Terminal()
    with progress.Progress(100, file=file, leave=False) as bar:
        bar._due = 0.0
        bar.advance(50, loss=0.5)
        assert "50.0/100" in file.getvalue()
    assert file.getvalue().rstrip(" ").endswith("\r") and "\n" not in file.getvalue()


@pytest.mark.parametrize("with_tqdm", [True, False])
def test_a_total_that_nobody_knows(with_tqdm: bool, clock: list[float], request: pytest.FixtureRequest) -> None:
    file = Terminal()
    if with_tqdm:
        pytest.importorskip("tqdm")
    else:
        request.getfixturevalue("no_tqdm")
    with progress.Progress(None, unit="rows", file=file) as bar:
        clock[0] += 2
        bar.advance(50, loss=0.5)
    text = file.getvalue()
    assert "50" in text and "loss 0.5" in text and "%" not in text
    if not with_tqdm:
        assert text == "\r50 rows  loss 0.5  25 rows/s\n"


def test_units_done_before_the_start_do_not_count_for_the_rate(clock: list[float]) -> None:
    file = io.StringIO()
    with progress.Progress(100, unit="rows", start=90, file=file) as bar:
        clock[0] += 10
        bar.advance(5)
    assert file.getvalue() == " 95%  0.5 rows/s  0:10 left\n"


def test_nothing_done_shows_nothing(no_tqdm: None) -> None:
    for file in (io.StringIO(), Terminal()):
        with progress.Progress(0, file=file):
            pass
        assert file.getvalue() == ""


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Progress(2, label="epoch 1") as bar:
        bar.advance(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("epoch 1  100%")


def test_tqdm_is_imported_only_for_a_terminal(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)  # an import would fail
    with progress.Progress(1, file=io.StringIO()) as bar:
        bar.advance(1)


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (999.0, "999"), (999.9, "1k"), (84123.0, "84.1k"), (2.5e6, "2.5M"), (3e9, "3G")]
)
def test_rates_are_short(value: float, text: str) -> None:
    assert progress._scaled(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(-1.0, "0:00"), (75.2, "1:15"), (3600 * 12 + 61, "12:01:01")])
def test_times_are_short(seconds: float, text: str) -> None:
    assert progress._clock(seconds) == text
