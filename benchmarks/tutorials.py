"""The tutorials' models trained by fastrnn, Keras and PyTorch: `python -m benchmarks.tutorials`.

Every library trains the same model from the same weights on the same batches in the same order, by the loop that its
users run: `fit` in fastrnn and Keras, a loop over batches in PyTorch. Each lives in a process of its own, which is
stopped (SIGSTOP) while another one is timed; in each round every library trains one short stretch, and the figure is
the median over the rounds. Then fastrnn's `fit` is taken apart: how much of a step is spent in the recurrent layers.

    python -m benchmarks.tutorials --peer-python .peers/bin/python --json results.json --output benchmarks/TUTORIALS.md
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from .peers import FOREIGN, MIN_ROUNDS, PREPARE, START, Worker, WorkerError, foreign_seconds, machine, usable_cores
from .trainers import Described, System

SCHEMA = 1
LIBRARIES = ("fastrnn", "keras", "torch")
NAMES = {"fastrnn": "fastrnn", "keras": "Keras", "torch": "PyTorch"}
SERVE = "benchmarks.trainers.serve"
CELLS = ("SimpleRNN", "LSTM", "GRU")
RECURRENT = "recurrent layers"
AIM = 0.15  # what a step may add to the time in the recurrent layers
TRIAL = 4  # steps
KERAS_NOTE = (
    "Where a batch has a word several times, TensorFlow hands Keras's optimizer a gradient for each place of it, and "
    "Keras 3.15 squares these before it sums them: in models with an embedding its losses part from the others', which "
    "follow the formula. Made to sum first, Keras finds the same losses (`tests/test_across_frameworks.py`).",
    "",
)
STRETCH = 600.0  # seconds before a silent worker is given up


# ------------------------------------------------------------------------------------------------------------- systems


def sentiment(cell: str, words: int = 10_000, maxlen: int = 500, units: int = 32, batch: int = 128) -> System:
    """Film reviews: an embedding, one recurrent layer, a sigmoid."""
    return System(
        f"sentiment {cell}",
        (
            ("Embedding", {"input_dim": words, "output_dim": 32}),
            (cell, {"units": units}),
            ("Dense", {"units": 1, "activation": "sigmoid"}),
        ),
        ("RMSprop", {"learning_rate": 1e-3}),
        ("BinaryCrossentropy", {}),
        batch,
        (maxlen,),
        whole_numbers=True,
        accuracy=True,
    )


def forecast(
    cell: str,
    units: Sequence[int] = (128, 256, 512),
    gated: int = 64,
    window: int = 60,
    batch: int = 64,
    dropout: Sequence[float] = (0.25, 0.25, 0.35),
) -> System:
    """The next day's price: three SimpleRNN layers, thinned out, or two gated ones, or dense layers."""
    layers: list[Described]
    if cell == "MLP":
        layers = [("Dense", {"units": 56, "activation": "relu"}), ("Dense", {"units": 32, "activation": "relu"})]
        layers += [("Flatten", {})]
    elif cell == "SimpleRNN":
        layers = []
        for number, (width, rate) in enumerate(zip(units, dropout, strict=True)):
            layers += [(cell, {"units": width, "activation": "relu", "return_sequences": True})]
            layers += [("Dropout", {"rate": rate, "seed": number})] if rate else []
        layers += [("Flatten", {})]
    else:
        layers = [(cell, {"units": gated, "return_sequences": True}), (cell, {"units": gated})]
    return System(
        f"forecast {cell}",
        (*layers, ("Dense", {"units": 1})),
        ("Adam", {"learning_rate": 1e-3}),
        ("MeanSquaredError", {}),
        batch,
        (window, 1),
    )


def images(cell: str, units: int = 300, size: int = 56, classes: int = 10, batch: int = 32) -> System:
    """Pictures read row by row by four layers, and a softmax."""
    stack = tuple((cell, {"units": units, "return_sequences": place < 3}) for place in range(4))
    return System(
        f"images {cell}",
        (*stack, ("Dense", {"units": classes, "activation": "softmax"})),
        ("Adam", {"learning_rate": 1e-4}),
        ("CategoricalCrossentropy", {}),
        batch,
        (size, size),
        accuracy=True,
    )


def char(cell: str, vocabulary: int = 65, units: int = 256, steps: int = 64, batch: int = 64) -> System:
    """The next character, the state being carried from batch to batch."""
    return System(
        f"char {cell}",
        (
            ("Embedding", {"input_dim": vocabulary, "output_dim": 64}),
            (cell, {"units": units, "return_sequences": True, "stateful": True}),
            ("Dense", {"units": vocabulary}),
        ),
        ("Adam", {"learning_rate": 2e-3, "global_clipnorm": 5.0}),
        ("SparseCategoricalCrossentropy", {"from_logits": True}),
        batch,
        (steps,),
        whole_numbers=True,
    )


SYSTEMS: dict[str, tuple[Callable[..., System], tuple[str, ...]]] = {
    "sentiment": (sentiment, CELLS),
    "forecast": (forecast, ("MLP", *CELLS)),
    "images": (images, CELLS),
    "char": (char, ("LSTM",)),
}


# ---------------------------------------------------------------------------------------------------------------- data


class Data:
    """Rows to train on, all of one epoch, and where they come from."""

    def __init__(self, x: np.ndarray, y: np.ndarray, source: str) -> None:
        self.x, self.y, self.source = x, y, source


def data(name: str, folder: Path | None, seed: int = 0) -> Data:
    """The rows of a system, from a folder of data sets, or made up in the same shapes.

    The folder has imdb/aclImdb_v1.tar.gz, btc/btc_daily*.csv, sign_digits/ and tinyshakespeare/input.txt.
    """
    return {"sentiment": _reviews, "forecast": _windows, "images": _pictures, "char": _text}[name](folder, seed)


def _reviews(folder: Path | None, seed: int) -> Data:
    """Four fifths of the 25000 training reviews: the last fifth is for validation."""
    if folder is not None:
        from fastrnn.datasets import imdb
        from fastrnn.preprocessing.sequence import pad_sequences

        (rows, labels), _ = imdb.load_data(folder / "imdb" / "aclImdb_v1.tar.gz", 10_000)
        at = len(rows) * 4 // 5
        return Data(pad_sequences(rows[:at], 500).astype(np.int32), labels[:at].astype(np.float32), "IMDB's reviews")
    rng = np.random.default_rng(seed)
    count, maxlen = 20_000, 500
    x = np.exp(rng.random((count, maxlen)) * np.log(10_000)).astype(np.int32)  # as often as their rank is low
    lengths = np.minimum(rng.lognormal(5.2, 0.6, count), maxlen)
    x[np.arange(maxlen) < (maxlen - lengths)[:, np.newaxis]] = 0
    return Data(x, rng.integers(2, size=count).astype(np.float32), "made-up reviews")


def _windows(folder: Path | None, seed: int) -> Data:
    from fastrnn.demos.forecast import Series, Settings, Windows

    if folder is None:
        series, source = Series.made_up(3378), "made-up prices"
    else:
        series, source = Series.of_file(str(next((folder / "btc").glob("btc_daily*.csv")))), "bitcoin's daily close"
    windows = Windows.of(series.close, Settings())
    return Data(windows.x_train, windows.y_train, source)


def _pictures(folder: Path | None, seed: int) -> Data:
    from fastrnn.demos.images import Pictures
    from fastrnn.utils import to_categorical

    pictures = Pictures.drawn(206) if folder is None else Pictures.of_folder(str(folder / "sign_digits"))[0]
    training, _ = pictures.split(seed)
    y = to_categorical(training.y, 10).astype(np.float32)
    return Data(training.x, y, "drawn figures" if folder is None else "hand signs")


def _text(folder: Path | None, seed: int) -> Data:
    """Pieces of the tracks, one batch after the other."""
    from fastrnn.demos.char import Corpus, read_text, tracks

    corpus = Corpus.of(read_text(None if folder is None else str(folder / "tinyshakespeare" / "input.txt")))
    batch, steps = 64, 64
    inputs, targets = tracks(corpus.training, batch)
    count = inputs.shape[1] // steps
    x, y = (
        each[:, : count * steps].reshape(batch, count, steps).swapaxes(0, 1).reshape(-1, steps).astype(np.int32)
        for each in (inputs, targets)
    )
    return Data(x, y, "the bundled text" if folder is None else "tinyshakespeare")


@contextlib.contextmanager
def stored(system: System, rows: Data, steps: int, seed: int = 0) -> Iterator[str]:
    """A temporary .npz with so many batches of a system, in the order of training, and its first weights."""
    from .trainers.fastrnn import make

    count = steps * system.batch
    laps = -(-count // len(rows.x))
    if system.stateful:
        order = np.tile(np.arange(len(rows.x)), laps)
    else:
        order = np.concatenate([np.random.default_rng([seed, lap]).permutation(len(rows.x)) for lap in range(laps)])
    order = order[:count]
    seeded = tuple((name, {**config, "seed": place}) for place, (name, config) in enumerate(system.layers))
    model = make(replace(system, layers=seeded))
    weights = {f"w{number}": value for number, value in enumerate(model.get_weights())}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "data.npz")
        np.savez(path, x=rows.x[order], y=rows.y[order], **weights)  # type: ignore[arg-type]
        yield path


# ------------------------------------------------------------------------------------------------------------- measure


class Team:
    """A worker for each library that is there."""

    def __init__(self, libraries: Sequence[str], threads: int, pythons: dict[str, str]) -> None:
        self.workers: dict[str, Worker] = {}
        self.versions: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        try:
            for library in libraries:
                try:
                    worker = self.workers[library] = Worker(library, threads, "float32", pythons[library], SERVE)
                    self.versions[library] = worker.ask("hello", START)["version"]
                except WorkerError as error:
                    self.left_out[library] = str(error)
                    if library in self.workers:
                        self.workers.pop(library).close()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End every process."""
        while self.workers:
            self.workers.popitem()[1].close()

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def measure(
    system: System,
    rows: Data,
    team: Team,
    *,
    rounds: int,
    steps: int,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """One system on every library: the entry of the JSON file.

    Before the rounds there is one that is not timed. Rounds in which other programs kept more than FOREIGN cores busy
    do not count if MIN_ROUNDS others do.
    """
    left_out: dict[str, str] = {}
    ready: dict[str, dict[str, Any]] = {}
    with stored(system, rows, (rounds + 1) * steps) as path:
        for library, worker in team.workers.items():
            tell(f"{system.name}: preparing {library}")
            try:
                answer = worker.ask("prepare", PREPARE, system=asdict(system), data=path, trial=min(TRIAL, steps))
                ready[library] = answer | {"rounds": [], "losses": []}
            except WorkerError as error:
                left_out[library] = str(error)
        calm, foreign, begin = [], 0.0, time.monotonic()
        for number in range(rounds + 1):
            tell(f"{system.name}: round {number} of {rounds}")
            workers = [team.workers[library] for library in ready]
            start, before = time.monotonic(), foreign_seconds(workers)
            order = list(ready)
            shift = number % max(1, len(order))
            for library in order[shift:] + order[:shift]:
                try:
                    answer = team.workers[library].ask("stretch", STRETCH, first=number * steps, steps=steps)
                except WorkerError as error:
                    left_out[library] = str(error)
                    del ready[library]
                    continue
                ready[library]["rounds"].append(answer["seconds"])
                ready[library]["losses"].append(answer["loss"])
            others = max(0.0, foreign_seconds(workers) - before)
            foreign += others
            calm.append(number > 0 and others <= FOREIGN * (time.monotonic() - start) + 0.02)
        chosen = [number for number, quiet in enumerate(calm) if quiet]
        if len(chosen) < MIN_ROUNDS:
            chosen = list(range(1, rounds + 1))
        entry: dict[str, Any] = {
            "system": system.name,
            "described": asdict(system),
            "source": rows.source,
            "rows": len(rows.x),
            "batch": system.batch,
            "steps_per_epoch": -(-len(rows.x) // system.batch),
            "stretch": steps,
            "steps": (rounds + 1) * steps,
            "rounds": rounds,
            "calm_rounds": sum(calm),
            "foreign_cores": round(foreign / max(time.monotonic() - begin, 1e-9), 3),
            "left_out": left_out,
            "times": {},
            "parts": {},
        }
        for library, got in ready.items():
            step = statistics.median(got["rounds"][number] for number in chosen)
            entry["times"][library] = {
                "step": step,
                "epoch": step * entry["steps_per_epoch"],
                "rounds": got["rounds"],
                "losses": got["losses"],
                "idiom": got["idiom"],
                "trials_ms": got["trials_ms"],
            }
        if "fastrnn" in ready:
            tell(f"{system.name}: taking fit apart")
            worker = team.workers["fastrnn"]
            found = [
                worker.ask("parts", STRETCH, first=number * steps, steps=steps)["seconds"]
                for number in range(1, rounds + 1)
            ]
            names = list(dict.fromkeys(name for each in found for name in each))
            entry["parts"] = {name: statistics.median(each.get(name, 0.0) for each in found) for name in names}
    for worker in team.workers.values():
        if worker.alive:
            with contextlib.suppress(WorkerError):
                worker.ask("release")
    return entry


def run(
    names: Sequence[str],
    libraries: Sequence[str],
    pythons: dict[str, str],
    *,
    folder: Path | None = None,
    threads: int,
    rounds: int = 7,
    steps: int = 6,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """Measure systems; after each one the content of the JSON file so far.

    A name is a system, for all its cells, or a system and a cell.
    """
    entries = []
    with Team(libraries, threads, pythons) as team:
        loaded: dict[str, Data] = {}
        for system in chosen_systems(names):
            name = system.name.split()[0]
            if name not in loaded:
                tell(f"{name}: loading the data")
                loaded = {name: data(name, folder)}
            entry = measure(system, loaded[name], team, rounds=rounds, steps=steps, tell=tell)
            entries.append(entry)
            tell(one_line(entry) + "\n")
            yield {
                "schema": SCHEMA,
                "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "machine": machine(),
                "threads": threads,
                "libraries": team.versions,
                "left_out": team.left_out,
                "systems": list(entries),
            }


def chosen_systems(names: Sequence[str]) -> list[System]:
    """Systems by their names, all cells of one or "sentiment LSTM".

    Raises
    ------
    ValueError
        There is no such system.
    """
    found = []
    for name in names:
        system, _, cell = name.partition(" ")
        if system not in SYSTEMS or (cell and cell not in SYSTEMS[system][1]):
            known = f"{', '.join(SYSTEMS)}, or one of these with a cell such as 'sentiment LSTM'"
            raise ValueError(f"a system must be one of {known}, got {name!r}")
        build, cells = SYSTEMS[system]
        found += [build(each) for each in cells if cell in ("", each)]
    return found


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`old` with the systems of `new` added or replaced.

    Raises
    ------
    ValueError
        The two were measured on different machines, thread counts or versions of other libraries.
    """
    for key in ("schema", "machine", "threads"):
        if old.get(key) != new[key]:
            raise ValueError(f"--append needs the same {key}: the file has {old.get(key)!r}, this run {new[key]!r}")
    for library in old["libraries"].keys() & new["libraries"].keys():
        was, now = old["libraries"][library], new["libraries"][library]
        if was != now:
            raise ValueError(f"--append needs the same {library}: the file has {was}, this run {now}")
    entries = {entry["system"]: entry for entry in old["systems"] + new["systems"]}
    order = [system.name for system in chosen_systems(list(SYSTEMS))]
    libraries = old["libraries"] | new["libraries"]
    left_out = {name: why for name, why in (old["left_out"] | new["left_out"]).items() if name not in libraries}
    systems = [entries[name] for name in order if name in entries]
    return new | {"libraries": libraries, "left_out": left_out, "systems": systems}


# -------------------------------------------------------------------------------------------------------------- report


def outside(parts: dict[str, float]) -> float | None:
    """What a step takes outside of the recurrent layers, as a share of what it takes inside; None without them."""
    inside = parts.get(RECURRENT, 0.0)
    return (sum(parts.values()) - inside) / inside if inside else None


def one_line(entry: dict[str, Any]) -> str:
    """A system in short."""
    times = "   ".join(f"{NAMES[name]} {_seconds(got['epoch'])}" for name, got in entry["times"].items())
    share = outside(entry["parts"])
    return f"{entry['system']}   {times} an epoch" + ("" if share is None else f"   outside the kernels {share:.1%}")


def _seconds(value: float) -> str:
    return f"{value:.3g} s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def markdown(results: dict[str, Any]) -> str:
    """The report."""
    there = [name for name in LIBRARIES if name in results["libraries"]]
    on = results["machine"]
    lines = [
        "# The tutorials' models in fastrnn, Keras and PyTorch",
        "",
        f"Measured {results['created'][:10]} on {on['cpu']}, {on['cores']} cores, {results['threads']} threads, "
        f"{on['system']}, Python {on['python']}; float32; "
        + ", ".join(f"{NAMES[name]} {results['libraries'][name]}" for name in there)
        + ".",
        "",
        "All begin with the same weights and train on the same batches in the same order: `fit` in fastrnn and Keras "
        "(with XLA or without, whichever was faster in a short trial), a loop over batches in PyTorch, with Keras's "
        "optimizer formulas. Each library has a process of its own, which is stopped while another one works; the "
        "figures are medians over rounds of short stretches, without the first step of each, times the steps of an "
        "epoch, without validation.",
        "",
    ]
    lines += [f"{NAMES[name]} was left out: {why}." for name, why in results["left_out"].items()]
    rows = []
    for entry in results["systems"]:
        own = entry["times"].get("fastrnn", {}).get("epoch")
        cells = [entry["system"], entry["source"], f"{entry['steps_per_epoch']} x {entry['batch']}"]
        for name in there:
            got = entry["times"].get(name)
            ratio = "" if got is None or own is None or name == "fastrnn" else f" ({got['epoch'] / own:.1f}x)"
            cells.append("failed" if got is None else _seconds(got["epoch"]) + ratio)
        rows.append([*cells, f"{entry['calm_rounds']}/{entry['rounds']}"])
    lines += ["## Time of an epoch", ""]
    lines += _table(["model", "data", "steps x batch", *(NAMES[name] for name in there), "calm rounds"], rows)
    lines += [
        "",
        "Behind a time stands how many times fastrnn's it is. A round is calm if other programs took less than "
        f"{FOREIGN} cores; the others count only where fewer than {MIN_ROUNDS} were calm.",
        "",
        "## Loss after the same number of steps",
        "",
    ]
    rows = []
    for entry in results["systems"]:
        losses = {name: entry["times"][name]["losses"] for name in there if name in entry["times"]}
        cells = [entry["system"], str(entry["steps"])]
        cells += [f"{losses[name][-1]:.5f}" if name in losses else "failed" for name in there]
        own = losses.pop("fastrnn", [])
        apart = [abs(a - b) / abs(a) for each in losses.values() for a, b in zip(own, each, strict=False)]
        drops = any(layer[0] == "Dropout" for layer in entry["described"]["layers"])
        rows.append([*cells, f"{max(apart):.1e}" if apart else "", "its own" if drops else "none"])
    head = ["model", "steps", *(NAMES[name] for name in there), "largest difference", "dropout"]
    lines += _table(head, rows)
    lines += [
        "",
        "The loss is the mean over the last stretch, the difference the largest of any stretch, relative to fastrnn. "
        "Where there is dropout every library draws its own. Rounding that grows from step to step is in these "
        "differences.",
        "",
        *(KERAS_NOTE if "keras" in there else ()),
        "## Where a step of fastrnn's fit goes",
        "",
    ]
    rows = []
    for entry in results["systems"]:
        parts = entry["parts"]
        if not parts:
            continue
        share = outside(parts)
        rest = sorted((name for name in parts if name != RECURRENT), key=lambda name: -parts[name])
        cells = [entry["system"], f"{1e3 * sum(parts.values()):.2f}", f"{1e3 * parts.get(RECURRENT, 0.0):.2f}"]
        cells += ["" if share is None else f"{share:.1%}" + (" (above the aim)" if share > AIM else "")]
        rows.append([*cells, ", ".join(f"{name} {1e3 * parts[name]:.2f}" for name in rest)])
    lines += _table(["model", "ms a step", "in the recurrent layers", "added by the rest", "ms of the rest"], rows)
    lines += [
        "",
        f"With shuffled rows, as `fit` has them by default. The aim is that the rest adds at most {AIM:.0%} to the "
        "recurrent layers' forward and backward passes, which here have their weights packed, and an embedding's rows "
        "read, by themselves.",
    ]
    return "\n".join(lines) + "\n"


# -------------------------------------------------------------------------------------------------------- command line


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tutorials", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--systems", type=_names, default=list(SYSTEMS), help=f"of {','.join(SYSTEMS)}, or 'sentiment LSTM' (all)")
    add("--libs", type=_names, default=list(LIBRARIES), help=f"of {','.join(LIBRARIES)} (all)")
    add("--data", type=Path, metavar="DIR", help="folder with imdb, btc, sign_digits, tinyshakespeare (made-up data)")
    add("--steps", type=int, default=6, help="of a stretch (6)")
    add("--rounds", type=int, default=7, help="stretches that are timed (7)")
    add("--threads", type=int, default=usable_cores(), help="(all usable cores)")
    add("--python", action="append", default=[], metavar="LIB=PATH", help="interpreter of one library")
    add("--peer-python", metavar="PATH", help="interpreter of Keras and PyTorch")
    add("--json", metavar="FILE", help="write what was measured")
    add("--append", action="store_true", help="keep the systems that --json FILE already has")
    add("--report", metavar="FILE", help="measure nothing: report from a JSON file")
    add("--output", metavar="FILE", help="write the report there too (e.g. benchmarks/TUTORIALS.md)")
    options = parser.parse_args(argv)
    for library in options.libs:
        if library not in LIBRARIES:
            parser.error(f"--libs must be of {', '.join(LIBRARIES)}, got {library!r}")
    try:
        if not chosen_systems(options.systems):
            raise ValueError("must name at least one")
    except ValueError as error:
        parser.error(f"--systems: {error}")
    if options.steps < 2 or options.rounds < 1 or options.threads < 1:
        parser.error("--steps must be at least 2, --rounds and --threads at least 1")
    if options.append and not options.json:
        parser.error("--append needs --json FILE")
    peer = options.peer_python or sys.executable
    options.pythons = {name: sys.executable if name == "fastrnn" else peer for name in LIBRARIES}
    for pair in options.python:
        library, _, path = pair.partition("=")
        if library not in LIBRARIES or not path:
            parser.error(f"--python must be LIB=PATH with LIB of {', '.join(LIBRARIES)}, got {pair!r}")
        options.pythons[library] = path
    return options


def _tell(text: str) -> None:
    if text.endswith("\n") or sys.stderr.isatty():
        sys.stderr.write(text if text.endswith("\n") else f"{text:60}\r")
        sys.stderr.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    options = _arguments(argv)
    if options.report:
        results = json.loads(Path(options.report).read_text(encoding="utf-8"))
    else:
        before = None
        if options.append and os.path.exists(options.json):
            before = json.loads(Path(options.json).read_text(encoding="utf-8"))
        for results in run(
            options.systems,
            options.libs,
            options.pythons,
            folder=options.data,
            threads=options.threads,
            rounds=options.rounds,
            steps=options.steps,
            tell=_tell,
        ):
            if before is not None:
                results = merge(before, results)
            if options.json:
                Path(options.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = markdown(results)
    if options.output:
        Path(options.output).write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
