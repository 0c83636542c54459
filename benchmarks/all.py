"""Every part of the comparison, and the page that tells of it: `python -m benchmarks.all`.

    python -m benchmarks.all --peer-python .peers/bin/python --results FOLDER --output benchmarks/RESULTS.md

Each part leaves a JSON file in the folder as soon as it is done. `--only` measures some of them; the page is made of
all files that are there, and the pictures ratios.png and curves.png stand beside it. `--quick` only shows that all of
it runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from . import bfloat16, breakdown, conditions, curves, memory, options, peers, report, roofline
from .shapes import select
from .tables import paragraph

QUICK_ROWS = ("stream64", "char")


def _comparison(given: Any, tell: Callable[[str], None]) -> dict[str, Any]:
    """The main table; --rows choose, and the other parts have rows of their own."""
    rows = given.rows or select(QUICK_ROWS if given.quick else None)
    found: dict[str, Any] = peers.run_given(rows, given, tell)
    return found


# what `options.plot` and the loop below ask of a part
COMPARISON = cast(ModuleType, SimpleNamespace(run=_comparison, markdown=report.tables, chart=report.chart))
PARTS: dict[str, ModuleType] = {
    "peers": COMPARISON,
    "conditions": conditions,
    "curves": curves,
    "breakdown": breakdown,
    "memory": memory,
    "bfloat16": bfloat16,
    "roofline": roofline,
}
PICTURES = {"peers": "ratios.png", "curves": "curves.png"}


def page(found: dict[str, Any]) -> str:
    """RESULTS.md: what was measured, in the order of PARTS, and how to measure it again."""
    text = """All of this page is measured by `python -m benchmarks.all --peer-python PYTHON --results FOLDER --output
    benchmarks/RESULTS.md`, where PYTHON has the other libraries, and each part by the command that stands in it."""
    lines = ["# fastrnn against other libraries", "", *paragraph(text)]
    for name, part in PARTS.items():
        if name in found:
            lines += part.markdown(found[name])
    return "\n".join(lines).rstrip("\n") + "\n"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    made = options.parser("all", str(__doc__).split("\n")[0])
    made.add_argument("--results", metavar="FOLDER", help="where the JSON files go, and come from")
    made.add_argument("--only", type=options.names, default=list(PARTS), help=f"of {','.join(PARTS)} (all)")
    given = options.check(made, made.parse_args(argv))
    for name in given.only:
        if name not in PARTS:
            made.error(f"--only must be of {', '.join(PARTS)}, got {name!r}")
    for name in ("json", "report"):
        if getattr(given, name):
            made.error(
                f"--{name} is for one part; here --results FOLDER holds a file for each, --only '' measures none"
            )
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    given = _arguments(argv)
    tell, status = options.teller(), 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(given.results or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in PARTS.items():
            if name in given.only:
                tell(f"--- {name}\n")
                options.save(part.run(given, tell), folder / f"{name}.json")
        files = {name: folder / f"{name}.json" for name in PARTS}
        found = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}
        text = page(found)
        if given.output:
            Path(given.output).write_text(text, encoding="utf-8")
        pictures = Path(given.output).parent if given.output else folder
        for name, picture in PICTURES.items():
            if name in found:
                status |= options.plot(PARTS[name], found[name], pictures / picture)
    print(text, end="")
    return status


if __name__ == "__main__":
    sys.exit(main())
