"""The command line: `python -m fastrnn info` and `python -m fastrnn demo NAME`."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence

import numpy as np

from fastrnn import demos
from fastrnn._core import isa, threads
from fastrnn._version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process when None.

    Returns
    -------
    int
        The exit code: 0, 2 for a mistake in what was asked for, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="fastrnn", description="Recurrent networks on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastrnn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser("info", help="what this installation runs on")
    command.set_defaults(run=lambda _: info())

    command = commands.add_parser("demo", help="train a small system and watch it work")
    names = command.add_subparsers(metavar="NAME", required=True)
    for name, demo in demos.load().items():
        summary = (demo.__doc__ or "").partition("\n")[0]
        command = names.add_parser(name, help=summary, description=summary)
        demo.add_arguments(command)
        command.set_defaults(run=demo.run)

    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except demos.Refusal as error:
        print(f"fastrnn: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def info() -> int:
    """Print the versions and the parts of the machine that decide how fast the kernels are."""
    for name, value in facts().items():
        print(f"{name:10} {value}")
    return 0


def facts() -> dict[str, str]:
    """What `info` prints: a name, and what was found."""
    openmp = "yes" if threads.openmp() else "no (one thread: the compiler had none when this was built)"
    return {
        "fastrnn": __version__,
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "ISA": f"{isa.active()} (available: {', '.join(isa.available())})",
        "OpenMP": openmp,
        "threads": str(threads.default_threads()),
        "NumPy": np.__version__,
        "BLAS": blas(),
    }


def blas() -> str:
    """Name and version of the BLAS that NumPy was built with."""
    found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


if __name__ == "__main__":
    sys.exit(main())
