"""Programs in C around the headers of src/, called through ctypes."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"


def build(folder: Path, text: str, *flags: str) -> ctypes.CDLL:
    """The program as a library, built in a folder; skips the test where there is no compiler or no source."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no C compiler ({compiler[0]}) to build the program with")
    if not SOURCE.exists():
        pytest.skip("the kernels' source is not here")
    (folder / "program.c").write_text(text)
    command = [*compiler, "-O2", "-shared", "-fPIC", f"-I{SOURCE}", *flags, "program.c", "-o", "program.so"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return ctypes.CDLL(str(folder / "program.so"))
