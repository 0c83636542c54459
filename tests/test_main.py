"""The command line, and what the README promises of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fastrnn
from fastrnn import __main__ as command_line
from fastrnn import demos
from fastrnn._core import isa, threads

README = Path(__file__).parents[1] / "README.md"


def test_info_names_what_decides_the_speed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["info"]) == 0
    found = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert found["fastrnn"] == fastrnn.__version__
    assert found["NumPy"] == np.__version__
    assert found["ISA"].split()[0] == isa.active()
    assert all(name in found["ISA"] for name in isa.available())
    assert found["OpenMP"].startswith("yes" if threads.openmp() else "no")
    assert found["threads"] == str(threads.default_threads())
    assert found["BLAS"]


def test_as_a_module_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "fastrnn", "info"]
    environment = {**os.environ, "PYTHONPATH": str(Path(fastrnn.__file__).parents[1])}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert result.stdout.startswith("fastrnn ")
    assert result.stderr == ""


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"fastrnn {fastrnn.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["demo"], ["demo", "nothing"], ["nothing"]])
def test_an_unknown_or_missing_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_every_demo_is_listed_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line.main(["demo", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, demo in demos.load().items():
        assert demo.__doc__ is not None
        assert f"{name} {demo.__doc__.partition(chr(10))[0]}" in text


def test_a_refusal_is_one_line_and_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(_: object) -> int:
        raise demos.Refusal("there is no such thing")

    demo = ModuleType("demo", "Does nothing.")
    demo.add_arguments = lambda parser: None  # type: ignore[attr-defined]
    demo.run = run  # type: ignore[attr-defined]
    monkeypatch.setattr(demos, "load", lambda: {"nothing": demo})
    assert command_line.main(["demo", "nothing"]) == 2
    assert capsys.readouterr().err == "fastrnn: error: there is no such thing\n"


def test_ctrl_c_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "info", interrupted)
    assert command_line.main(["info"]) == 130


def test_the_readme_names_the_text_and_its_state() -> None:
    text = README.read_text(encoding="utf-8")
    assert "public domain" in text


def test_the_readmes_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 2
    rng = np.random.default_rng(0)
    names: dict[str, object] = {"x_train": rng.integers(0, 10000, (40, 12)), "y_train": np.arange(40) % 2}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert (tmp_path / "history.png").exists()
    h, y = names["h"], names["y"]
    assert isinstance(h, list)
    assert isinstance(y, np.ndarray)
    assert len(h) == 100
    np.testing.assert_array_equal(np.stack(h, axis=1)[0], y[0])  # "the same bits as above"
