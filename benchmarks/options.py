"""The options that all parts of the comparison share, and the command line of a part by itself."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from .shapes import INFERENCE, TRAINING, select

LIBRARIES = ("fastrnn", "torch", "onnxruntime", "openvino", "jax", "tensorflow", "numpy")
OWN = ("fastrnn", "numpy")  # these run under the driver's interpreter unless told otherwise
DTYPES = ("float32", "float64")
ISAS = ("baseline", "avx2", "avx512", "avx512_bf16", "amx")
QUICK = {"rounds": 3, "seconds": 0.3, "burst": 0.002}


def usable_cores() -> int:
    """Cores this process may run on."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def names(text: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """The shared options; `check` completes what was parsed."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{prog}", description=description)
    add = made.add_argument
    add("--rows", type=names, help="rows of the table, comma-separated (all, or those the part chooses)")
    add("--libs", type=names, help=f"of {','.join(LIBRARIES)} (all)")
    add("--passes", type=names, default=[INFERENCE, TRAINING], help="inference,training (both)")
    add("--threads", type=names, help="thread counts, comma-separated (1 and all usable cores)")
    add("--rounds", type=int, help="rounds without other programs at work, at most (15)")
    add("--seconds", type=float, help="for the rounds of one row and pass, of which at least 3 are run (20)")
    add("--burst", type=float, help="seconds of one burst (0.02)")
    add("--dtype", choices=DTYPES, default="float32")
    add("--isa", choices=ISAS, help="the widest instruction set, for fastrnn and for those that can be limited")
    add("--quick", action="store_true", help="few and short rounds on small shapes: does it run?")
    add("--python", action="append", default=[], metavar="LIB=PATH", help="interpreter of one library")
    add("--peer-python", metavar="PATH", help="interpreter of all libraries but fastrnn and numpy")
    add("--json", metavar="FILE", help="write what was measured")
    add("--report", metavar="FILE", help="measure nothing: report from a JSON file")
    add("--output", metavar="FILE", help="write the report there too")
    return made


def check(made: argparse.ArgumentParser, given: argparse.Namespace) -> argparse.Namespace:
    """The options, with what was left open filled in; ends the program where one is wrong."""
    for library in given.libs or ():
        if library not in LIBRARIES:
            made.error(f"--libs must be of {', '.join(LIBRARIES)}, got {library!r}")
    for which in given.passes:
        if which not in (INFERENCE, TRAINING):
            made.error(f"--passes must be of {INFERENCE}, {TRAINING}, got {which!r}")
    try:
        if given.rows is not None:
            given.rows = select(given.rows)
        cores = usable_cores()
        given.threads = [int(n) for n in given.threads or ([cores] if given.quick else sorted({1, cores}))]
    except ValueError as error:
        made.error(str(error))
    for name, value in (QUICK if given.quick else {"rounds": 15, "seconds": 20.0, "burst": 0.02}).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if min(given.threads) < 1 or given.rounds < 1:
        made.error("--threads and --rounds must be at least 1")
    given.pythons = {
        library: given.peer_python if given.peer_python and library not in OWN else sys.executable
        for library in LIBRARIES
    }
    for pair in given.python:
        library, _, path = pair.partition("=")
        if library not in LIBRARIES or not path:
            made.error(f"--python must be LIB=PATH with LIB of {', '.join(LIBRARIES)}, got {pair!r}")
        given.pythons[library] = path
    return given


def libraries(given: argparse.Namespace, chosen: Sequence[str]) -> list[str]:
    """Those a part compares, of those that were asked for."""
    return [library for library in chosen if given.libs is None or library in given.libs]


def teller() -> Callable[[str], None]:
    """Progress on stderr: a text that ends its line stays, another is overwritten by the next one."""
    width = 0

    def tell(text: str) -> None:
        nonlocal width
        lasting = text.endswith("\n")
        if lasting or sys.stderr.isatty():
            line = text.rstrip("\n")
            blank = " " * max(0, width - len(line))
            sys.stderr.write(f"{line}{blank}" + ("\n" if lasting else "\r"))
            sys.stderr.flush()
            width = 0 if lasting else len(line)

    return tell


def save(result: object, path: str | Path) -> None:
    """Write what was measured."""
    Path(path).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def section_main(part: ModuleType, argv: Sequence[str] | None = None) -> int:
    """The command line of a part: a module with `run(options, tell)` and `markdown(result)`, and perhaps
    `chart(result, path)`, which then is asked for by --plot."""
    assert part.__spec__ is not None and part.__doc__ is not None
    made = parser(part.__spec__.name.rpartition(".")[2], part.__doc__.split("\n")[0])
    if hasattr(part, "chart"):
        made.add_argument("--plot", metavar="FILE", help="the picture (PNG)")
    given = check(made, made.parse_args(argv))
    if given.report:
        result = json.loads(Path(given.report).read_text(encoding="utf-8"))
    else:
        result = part.run(given, teller())
    if given.json:
        save(result, given.json)
    text = "\n".join(part.markdown(result))
    if given.output:
        Path(given.output).write_text(text, encoding="utf-8")
    print(text, end="")
    return plot(part, result, getattr(given, "plot", None))


def plot(part: ModuleType, result: object, path: str | Path | None) -> int:
    """Draw a part's picture; one that cannot be drawn is told of, and costs nothing else. The exit status."""
    if path is None:
        return 0
    try:
        part.chart(result, str(path))
    except (ImportError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
