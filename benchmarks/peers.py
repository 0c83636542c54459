"""The table of shapes.py on fastrnn and on other libraries: `python -m benchmarks.peers`.

Every library at every thread count lives in a process of its own, so its pools, its environment and, with
`--peer-python`, its interpreter are its own. A process that is not being asked is stopped (SIGSTOP): a pool
that spins after its last call takes nothing from the one that is timed. In each round every process runs one
short burst, one after the other; the figure is the median over the rounds, so slow drift of the machine meets
all alike. Before anything is timed, its outputs and gradients are compared with a float64 referee.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np

from . import options, report, roofline
from .options import LIBRARIES, usable_cores
from .shapes import INFERENCE, TRAINING, Row, random_arrays, select
from .workers.numpy import referee

ROOT = Path(__file__).resolve().parents[1]
START, PREPARE, ANSWER = 180.0, 300.0, 180.0  # seconds before a silent worker is given up
MIN_ROUNDS = 3
FOREIGN = 0.2  # cores


# How the libraries are kept from instructions beyond an instruction set, those that can be. ONNX Runtime and OpenVINO
# ask the processor alone. What came of it shows in the rates of their large products.
LIMITS = {
    "baseline": {"FASTRNN_ISA": "baseline"},
    "avx2": {
        "FASTRNN_ISA": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "OPENBLAS_CORETYPE": "Haswell",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "avx512": {"FASTRNN_ISA": "avx512"},
    "avx512_bf16": {"FASTRNN_ISA": "avx512_bf16"},
    "amx": {"FASTRNN_ISA": "amx"},
}
XLA_LIMITS = {"avx2": " --xla_cpu_max_isa=AVX2"}


def environment(threads: int, isa: str | None = None) -> dict[str, str]:
    """What must be set before a library is loaded for it to keep to `threads` threads, and to an instruction set."""
    n = str(threads)
    return (
        os.environ
        | {
            "OMP_NUM_THREADS": n,
            "MKL_NUM_THREADS": n,
            "OPENBLAS_NUM_THREADS": n,
            "FASTRNN_NUM_THREADS": n,
            "NPROC": n,  # the size of XLA's CPU pool
            "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
            + XLA_LIMITS.get(isa or "", ""),
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "KERAS_BACKEND": "tensorflow",
            "PYTHONWARNINGS": "ignore",
        }
        | LIMITS.get(isa or "", {})
    )


class WorkerError(Exception):
    """The worker answered with an error, fell silent or died."""


class Worker:
    """One library at one thread count in a process of its own, stopped except while it is asked.

    LIBRARY@DTYPE is a library that computes in another dtype than that of the arrays it is given.
    """

    def __init__(
        self,
        library: str,
        threads: int,
        dtype: str,
        python: str,
        module: str = "benchmarks.workers.serve",
        isa: str | None = None,
    ) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        library, _, own = library.partition("@")
        try:
            self.process = subprocess.Popen(
                [python, "-m", module, library, str(threads), own or dtype],
                cwd=ROOT,
                env=environment(threads, isa),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            self._errors.close()
            raise WorkerError(f"cannot start {python}: {error.strerror}") from None
        assert self.process.stdin is not None and self.process.stdout is not None
        self._requests, self._answers = self.process.stdin, self.process.stdout
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether the process still runs (or is stopped)."""
        return self.process.poll() is None

    def _read(self) -> None:
        for line in self._answers:
            self._lines.put(line)
        self._lines.put(None)

    def _signal(self, name: str) -> None:
        number = getattr(signal, name, None)
        if number is None:  # no such signal on this system: let a spinning pool fall asleep
            time.sleep(0.01)
        elif self.alive:
            self.process.send_signal(number)

    def _last_words(self) -> str:
        self.process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"the process ended with {self.process.returncode}" + (f": {lines[-1]}" if lines else "")

    def send(self, op: str, **request: Any) -> None:
        """Wake the process and give it a request."""
        self._signal("SIGCONT")
        try:
            self._requests.write(json.dumps({"op": op} | request) + "\n")
            self._requests.flush()
        except OSError:
            raise WorkerError(self._last_words()) from None

    def receive(self, timeout: float = ANSWER) -> dict[str, Any]:
        """Wait for the answer and stop the process; one that stays silent is ended."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.process.kill()
            raise WorkerError(f"no answer within {timeout:.0f} s") from None
        if line is None:
            raise WorkerError(self._last_words())
        self._signal("SIGSTOP")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def ask(self, op: str, timeout: float = ANSWER, **request: Any) -> dict[str, Any]:
        """One request and its answer."""
        self.send(op, **request)
        return self.receive(timeout)

    def close(self) -> None:
        """End the process."""
        if self.alive:
            self.process.kill()  # works on a stopped process too
        self.process.wait()
        self._reader.join(5.0)
        with contextlib.suppress(OSError):
            self._requests.close()
        self._answers.close()
        self._errors.close()


class Team:
    """All workers; one that dies is started again for the next row."""

    def __init__(
        self,
        libraries: Sequence[str],
        threads: Sequence[int],
        dtype: str,
        pythons: dict[str, str],
        isa: str | None = None,
    ) -> None:
        self.threads, self.dtype, self.pythons, self.isa = threads, dtype, pythons, isa
        self.versions: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.workers: dict[tuple[str, int], Worker] = {}
        try:
            for library in libraries:
                for count in threads:
                    self._start(library, count)
            for (library, _), worker in list(self.workers.items()):
                self._greet(library, worker)
        except BaseException:
            self.close()
            raise

    def _start(self, library: str, count: int) -> None:
        """All start together: loading a large library takes seconds."""
        if library in self.left_out:
            return
        try:
            worker = self.workers[library, count] = Worker(
                library, count, self.dtype, self.pythons[library], isa=self.isa
            )
            worker.send("hello")
        except WorkerError as error:
            self._leave_out(library, error)

    def _greet(self, library: str, worker: Worker) -> None:
        if library not in self.left_out:
            try:
                self.versions[library] = worker.receive(START)["version"]
            except WorkerError as error:
                self._leave_out(library, error)

    def _leave_out(self, library: str, error: WorkerError) -> None:
        self.left_out[library] = str(error)
        for key in [key for key in self.workers if key[0] == library]:
            self.workers.pop(key).close()

    def revive(self) -> None:
        """Start the dead again."""
        for (library, count), worker in list(self.workers.items()):
            if not worker.alive and (library, count) in self.workers:
                worker.close()
                self._start(library, count)
                if library not in self.left_out:
                    self._greet(library, self.workers[library, count])

    def close(self) -> None:
        """End every process."""
        while self.workers:
            self.workers.popitem()[1].close()

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def stored_arrays(row: Row, dtype: str, training: bool) -> Iterator[str]:
    """A temporary .npz with the row's arrays and what must come out of them."""
    arrays = random_arrays(row, dtype)
    expected = {"expected_" + name: value for name, value in referee(row, arrays, training).items()}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "arrays.npz")
        np.savez(path, **arrays, **expected)  # type: ignore[arg-type]
        yield path


def foreign_seconds(workers: Sequence[Worker]) -> float:
    """Processor time that neither this process nor the workers used, so far; 0 where the system does not tell."""
    try:
        with open("/proc/stat") as stat:
            user, nice, system, _, _, irq, softirq, steal = (int(v) for v in stat.readline().split()[1:9])
        ticks = user + nice + system + irq + softirq + steal
        for worker in workers:
            with contextlib.suppress(FileNotFoundError):
                fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
                ticks -= int(fields[11]) + int(fields[12])
        own = os.times()
        return ticks / os.sysconf("SC_CLK_TCK") - own.user - own.system
    except (OSError, ValueError, AttributeError):
        return 0.0


def measure(
    row: Row,
    which: str,
    team: Team,
    *,
    rounds: int,
    seconds: float,
    burst: float,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """One row and pass on every worker: the entry of the JSON file.

    Stops after `rounds` calm ones, or after MIN_ROUNDS once `seconds` have gone into the bursts. A round in which
    other programs kept more than FOREIGN cores busy is run again, for all libraries alike; with fewer than
    MIN_ROUNDS calm ones every round counts, and the report says so.
    """
    entry: dict[str, Any] = {
        "row": row.name,
        "pass": which,
        "flops": row.flops(which),
        "shape": row.as_dict(),
        "times": {},
        "left_out": {},
    }
    team.revive()
    ready: dict[tuple[str, int], dict[str, Any]] = {}
    with stored_arrays(row, team.dtype, which == TRAINING) as data:
        for (library, count), worker in team.workers.items():
            tell(f"{row.name} {which}: preparing {library} x{count}")
            try:
                answer = worker.ask("prepare", PREPARE, row=row.as_dict(), data=data, **{"pass": which})
            except WorkerError as error:
                entry["left_out"][library] = f"x{count}: {error}"
                continue
            for idiom, problem in answer["failures"].items():
                entry["left_out"][f"{library} ({idiom})"] = problem
            if answer["idiom"]:
                ready[library, count] = answer | {"rounds_us": [], "means_us": []}
    machine_too = roofline.sampler(row, team.dtype, team.threads, team.isa)
    order = list(ready)
    workers = [team.workers[key] for key in order]
    calm: list[bool] = []
    foreign, begin = 0.0, time.monotonic()
    while sum(calm) < rounds:
        elapsed = time.monotonic() - begin
        if len(calm) >= MIN_ROUNDS and elapsed > seconds:
            break
        tell(f"{row.name} {which}: round {len(calm) + 1}")
        shift, start, before = len(calm) % max(1, len(order)), time.monotonic(), foreign_seconds(workers)
        for key in order[shift:] + order[:shift]:  # another neighbour goes before in each round
            if key not in ready:
                continue
            slow = ready[key]["us"] > 1e5
            try:
                answer = team.workers[key].ask("burst", seconds=burst, calls=1 if slow else 3)
            except WorkerError as error:
                entry["left_out"][key[0]] = f"x{key[1]}: {error}"
                del ready[key]
                continue
            ready[key]["rounds_us"].append(round(answer["us"], 3))
            ready[key]["means_us"].append(round(answer["mean_us"], 3))
        if machine_too is not None:
            machine_too.sample()
        others = max(0.0, foreign_seconds(workers) - before)
        calm.append(others <= FOREIGN * (time.monotonic() - start) + 0.02)  # the system counts in ticks of 10 ms
        foreign += others
        if not ready:
            break
    entry["calm"] = calm
    entry["foreign_cores"] = round(foreign / max(time.monotonic() - begin, 1e-9), 3)
    for (library, count), got in ready.items():
        names = ("rounds_us", "means_us", "idiom", "trials_us")
        entry["times"].setdefault(library, {})[str(count)] = {name: got[name] for name in names}
    settle(entry)
    entry["machine"] = {} if machine_too is None else machine_too.medians()
    for worker in team.workers.values():
        if worker.alive:
            with contextlib.suppress(WorkerError):
                worker.ask("release")
    return entry


def settle(entry: dict[str, Any]) -> None:
    """The rounds of an entry that count, the calm ones or, where too few were calm, all; and the medians over them."""
    calm = entry["calm"]
    entry["rounds"], entry["calm_rounds"] = len(calm), sum(calm)
    chosen = [number for number, quiet in enumerate(calm) if quiet]
    if len(chosen) < MIN_ROUNDS:
        chosen = list(range(len(calm)))
    entry["counted"] = chosen
    for found in (found for counts in entry["times"].values() for found in counts.values()):
        for figure, rounds in (("us", "rounds_us"), ("mean_us", "means_us")):
            found[figure] = round(statistics.median(found[rounds][number] for number in chosen), 3)


def pool(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`merge`, but rows of both have the rounds of both: one run's noise then spoils a part of a row's rounds.

    A library that was left out of a row in either run is left out of it. Of the machine's rates the means are kept.
    """
    merged = merge(old, new) | {"runs": old["runs"] + new["runs"]}
    before = {(entry["row"], entry["pass"]): entry for entry in old["rows"]}
    after = {(entry["row"], entry["pass"]) for entry in new["rows"]}
    for entry in merged["rows"]:
        key = entry["row"], entry["pass"]
        if key not in before or key not in after:
            continue
        was, times = before[key], entry["times"]
        entry["times"] = {
            library: {count: _joined(was["times"][library][count], counts[count]) for count in counts}
            for library, counts in times.items()
            if library in was["times"] and counts.keys() == was["times"][library].keys()
        }
        entry["left_out"] = was["left_out"] | entry["left_out"]
        entry["calm"] = was["calm"] + entry["calm"]
        share = len(was["calm"]) / len(entry["calm"])
        entry["foreign_cores"] = round(share * was["foreign_cores"] + (1 - share) * entry["foreign_cores"], 3)
        for count, rates in entry["machine"].items():
            for name in rates.keys() & was["machine"].get(count, {}).keys():
                rates[name] = round(share * was["machine"][count][name] + (1 - share) * rates[name], 1)
        settle(entry)
    return merged


def _joined(was: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """A library's rounds in both runs."""
    return now | {name: was[name] + now[name] for name in ("rounds_us", "means_us")}


def products(team: Team, seconds: float) -> dict[str, dict[str, float]]:
    """GFLOP/s of each library in a large product, by thread count."""
    rates: dict[str, dict[str, float]] = {}
    for (library, count), worker in team.workers.items():
        with contextlib.suppress(WorkerError):
            found = worker.ask("product", seconds=seconds)["gflops"]
            if found:
                rates.setdefault(str(count), {})[library] = round(found, 1)
    return rates


def cpu_name() -> str:
    """The processor's name, as the system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`old` with the rows of `new` added or replaced.

    Raises
    ------
    ValueError
        The two were measured on different machines, dtypes, thread counts or versions.
    """
    for key in ("schema", "machine", "dtype", "isa", "threads"):
        if old.get(key) != new[key]:
            came = f"the file has {old.get(key)!r}, this run {new[key]!r}"
            raise ValueError(f"results of the same {key} can be put together: {came}")
    for library in old["libraries"].keys() & new["libraries"].keys():
        was, now = old["libraries"][library], new["libraries"][library]
        if library != "fastrnn" and was != now:
            raise ValueError(f"results of the same {library} can be put together: the file has {was}, this run {now}")
    rows = {(entry["row"], entry["pass"]): entry for entry in old["rows"] + new["rows"]}
    order = [(row.name, which) for row in select() for which in (INFERENCE, TRAINING)]
    return new | {
        "libraries": old["libraries"] | new["libraries"],
        "left_out": {
            k: v for k, v in (old["left_out"] | new["left_out"]).items() if k not in old["libraries"] | new["libraries"]
        },
        "products": old["products"] | new["products"],
        "rows": [rows[key] for key in order if key in rows],
    }


def run(
    rows: Sequence[Row],
    libraries: Sequence[str],
    threads: Sequence[int],
    pythons: dict[str, str],
    *,
    passes: Sequence[str] = (INFERENCE, TRAINING),
    dtype: str = "float32",
    isa: str | None = None,
    rounds: int = 15,
    seconds: float = 20.0,
    burst: float = 0.02,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure rows on libraries; the content of the JSON file."""
    tell("starting " + ", ".join(libraries))
    with Team(libraries, threads, dtype, pythons, isa) as team:
        entries = []
        for row in rows:
            for which in row.passes:
                if which in passes:
                    entry = measure(row, which, team, rounds=rounds, seconds=seconds, burst=burst, tell=tell)
                    entries.append(entry)
                    tell(report.one_line(entry) + "\n")
        return {
            "schema": report.SCHEMA,
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "machine": machine(),
            "dtype": dtype,
            "isa": isa,
            "threads": list(threads),
            "rounds": rounds,
            "runs": 1,
            "libraries": dict(sorted(team.versions.items())),
            "left_out": team.left_out,
            "products": products(team, 15 * burst),
            "rows": entries,
        }


def run_given(rows: Sequence[Row], given: argparse.Namespace, tell: Callable[[str], None], **changes: Any) -> Any:
    """`run` as the options say, but for the changes."""
    settings = {name: getattr(given, name) for name in ("passes", "dtype", "isa", "rounds", "seconds", "burst")}
    libraries = changes.pop("libraries", LIBRARIES)
    threads = changes.pop("threads", given.threads)
    return run(rows, options.libraries(given, libraries), threads, given.pythons, **(settings | changes), tell=tell)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("peers", __doc__.split("\n")[0])
    add = parser.add_argument
    add("--append", action="store_true", help="keep the rows that --json FILE already has")
    add("--pool", action="store_true", help="keep them and, of rows measured again, both runs' rounds")
    add("--short", action="store_true", help="report one line a row only")
    add("--plot", metavar="FILE", help="bar chart of the ratios (PNG)")
    given = options.check(parser, parser.parse_args(argv))
    for name in ("append", "pool"):
        if getattr(given, name) and not given.json:
            parser.error(f"--{name} needs --json FILE")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    given = _arguments(argv)
    if given.report:
        results = report.load(given.report)
    else:
        results = run_given(select() if given.rows is None else given.rows, given, options.teller())
        if (given.append or given.pool) and os.path.exists(given.json):
            results = (pool if given.pool else merge)(report.load(given.json), results)
        if given.json:
            options.save(results, given.json)
    text = report.short(results) if given.short else report.markdown(results)
    if given.output:
        Path(given.output).write_text(text, encoding="utf-8")
    print(text, end="")
    return options.plot(report, results, given.plot)


if __name__ == "__main__":
    sys.exit(main())
