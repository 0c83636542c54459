"""The loss curve: what is drawn, what is written, and what is said where matplotlib is absent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastrnn import plots

CURVES = {"training": [2.4, 1.9, 1.7], "validation": [2.2, 2.0, 1.95]}


def test_curves_axes_and_names() -> None:
    pytest.importorskip("matplotlib")
    axes = plots.loss_curve(CURVES, xlabel="epoch", ylabel="nats per character").axes[0]
    for line, (name, values) in zip(axes.lines, CURVES.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel() == "nats per character"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(CURVES)
    assert axes.lines[0].get_color() != axes.lines[1].get_color()


def test_the_picture_shows_the_curves_and_replaces_an_older_one(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    path = tmp_path / "loss.png"
    path.write_bytes(b"an older one")
    plots.loss_curve(CURVES, path)
    picture = imread(path)[..., :3]
    assert picture.shape == (600, 960, 3)
    for colour in plots.COLOURS:
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        assert np.isclose(picture, rgb, atol=0.01).all(axis=-1).sum() > 200, colour
    assert os.listdir(tmp_path) == ["loss.png"], "no temporary file may stay behind"


def test_a_failed_write_leaves_the_older_picture_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "loss.nonsense"
    path.write_bytes(b"an older one")
    with pytest.raises(ValueError, match="nonsense"):
        plots.loss_curve(CURVES, path)
    assert path.read_bytes() == b"an older one"
    assert os.listdir(tmp_path) == ["loss.nonsense"]


def test_a_curve_without_values_is_left_out() -> None:
    pytest.importorskip("matplotlib")
    axes = plots.loss_curve({"training": [1.0], "validation": []}).axes[0]
    assert [line.get_label() for line in axes.lines] == ["training"]
    with pytest.raises(ValueError, match="at least one value"):
        plots.loss_curve({"training": []})


def test_a_history_has_a_panel_for_each_figure(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figures = {
        "loss": [0.7, 0.5, 0.4],
        "acc": [0.5, 0.7, 0.8],
        "val_loss": [0.6, 0.55, 0.5],
        "val_acc": [0.6, 0.65, 0.7],
        "learning_rate": [0.1, 0.1],
        "val_alone": [1.0, 2.0, 3.0],
    }
    panels = plots.history(figures, tmp_path / "history.svg", epochs=[4, 5, 6]).axes
    assert [axes.get_ylabel() for axes in panels] == ["loss", "acc", "learning_rate", "val_alone"]
    for axes, name in zip(panels[:2], ("loss", "acc"), strict=True):
        assert [line.get_label() for line in axes.lines] == ["training", "validation"]
        for line, key in zip(axes.lines, (name, f"val_{name}"), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), [5, 6, 7])
            np.testing.assert_array_equal(line.get_ydata(), figures[key])
    np.testing.assert_array_equal(panels[2].lines[0].get_xdata(), [6, 7])
    assert (tmp_path / "history.svg").stat().st_size > 1000
    with pytest.raises(ValueError, match="the history must hold at least one epoch, got none"):
        plots.history({})


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError) as caught:
        plots.loss_curve(CURVES)
    assert str(caught.value) == 'the loss curve needs matplotlib: pip install "fastrnn[plot]"'


def test_no_screen_is_needed_and_pyplot_is_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    script = (
        "import sys; from fastrnn import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"plots.loss_curve({CURVES!r}, {str(tmp_path / 'loss.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    environment["PYTHONPATH"] = str(Path(plots.__file__).parents[1])
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    assert (tmp_path / "loss.png").stat().st_size > 10_000
