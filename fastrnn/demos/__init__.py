"""The tutorials' systems, each runnable as `python -m fastrnn demo NAME`.

A demo is a module of this package, named in `NAMES`. The first line of its docstring says what it does; it has
`add_arguments(parser)`, which declares its options, and `run(options)`, which returns the exit code.
"""

from __future__ import annotations

import importlib
from types import ModuleType

NAMES = ("char", "sentiment", "forecast", "images", "wave", "shapes", "gan")


class Refusal(Exception):
    """What was asked for cannot be done; the message says why, and is all that the person sees."""


def load() -> dict[str, ModuleType]:
    """The demos' modules by name."""
    return {name: importlib.import_module(f"fastrnn.demos.{name}") for name in NAMES}
