"""A character model: trained on a text, it writes more of it.

The model reads one character at a time and says which may come next. It is trained by truncated back-propagation
through time: the training part of the text is cut into as many parallel tracks as the batch has rows, and every step
takes the next `steps` characters of each track.

      track 0   First Citizen:\\nBefore we pro|ceed any further, hear me s|peak. ...
      track 1   are, were\\nit not that I am sub|ject to this infirmity: but| ...
                step 0                        step 1                      step 2

The layers' state is carried from one step to the next (they are `stateful`), so the model knows what it read before;
gradients end where a step begins. At the end of the tracks the state is reset, and the next epoch begins.

`train` is `fit` with two callbacks: `Course`, which shows how far it is, and the backup that `--resume` goes on from.
`evaluate` and `write` stand on their own, and `tutorial` is the smallest complete case.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.resources
import math
import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from fastrnn import plots
from fastrnn.callbacks import BackupAndRestore, Callback
from fastrnn.demos import Refusal
from fastrnn.demos.common import CELLS, number, use_threads
from fastrnn.layers import Dense, Embedding, SimpleRNN
from fastrnn.losses import SparseCategoricalCrossentropy
from fastrnn.models import Sequential
from fastrnn.optimizers import Adam
from fastrnn.progress import Progress
from fastrnn.seq2seq import Steps, generate

# characters of one track that `evaluate` takes at a time: enough for the time of a call to be in the kernels
STRETCH = 1024

MODEL, CHECKPOINT, CURVE = "model.fastrnn", BackupAndRestore.FILE, "loss.png"


@dataclass(frozen=True)
class Settings:
    """What decides, with the text, which weights a run ends with. A checkpoint holds them."""

    cell: str = "lstm"
    layers: int = 1
    units: int = 256
    embedding: int = 64
    batch: int = 64
    steps: int = 64
    epochs: int = 13
    lr: float = 0.002
    clip: float = 5.0
    dropout: float = 0.0
    seed: int = 0


# The bundled text is a tenth of the usual size: with fewer tracks an epoch still has ninety steps.
BUNDLED = Settings(batch=16, epochs=10)


# ---------------------------------------------------------------------------------------------------------------- text


@dataclass(frozen=True)
class Corpus:
    """A text as numbers, split by position: 90 % for training, 5 % for validation, 5 % for the test."""

    vocabulary: str  # character number i is vocabulary[i]
    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    digest: str  # of the text: a checkpoint goes on only with the text it began with
    path: str | None  # where it came from; None is the bundled text

    @classmethod
    def of(cls, text: str, path: str | None = None) -> Self:
        """Number the characters in the order of their code points."""
        code_points = np.frombuffer(text.encode("utf-32-le"), "<u4")
        known, ids = np.unique(code_points, return_inverse=True)
        training, validation, test = np.split(ids, [len(ids) * 90 // 100, len(ids) * 95 // 100])
        digest = hashlib.sha256(code_points.tobytes()).hexdigest()
        return cls("".join(map(chr, known)), training, validation, test, digest, path)

    @property
    def size(self) -> int:
        """Characters in all."""
        return len(self.training) + len(self.validation) + len(self.test)

    def numbers(self, text: str) -> list[int]:
        """The numbers of a text's characters."""
        unknown = sorted(set(text) - set(self.vocabulary))
        if unknown:
            raise Refusal(f"the training text has no {', '.join(map(repr, unknown))}, so --prime cannot have it")
        return [self.vocabulary.index(character) for character in text]

    def text(self, numbers: Iterable[int]) -> str:
        """The characters of these numbers."""
        return "".join(self.vocabulary[number] for number in numbers)


def read_text(path: str | None) -> str:
    """A UTF-8 text file, or the bundled text when there is no path."""
    if path is None:
        data = importlib.resources.files("fastrnn.demos").joinpath("data/shakespeare.txt").read_bytes()
    else:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise Refusal(f"cannot read {path}: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(f"{path} is not UTF-8 text: byte 0x{data[error.start]:02x} at position {error.start}") from error
    return text.replace("\r\n", "\n")


def tracks(ids: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a text into parallel tracks; each character's target is the one that follows it.

    Parameters
    ----------
    ids : ndarray of int, (N,)
    batch : int
        B

    Returns
    -------
    inputs, targets : ndarray of int, (B, (N - 1) // B)
    """
    length = (len(ids) - 1) // batch
    return ids[: batch * length].reshape(batch, length), ids[1 : batch * length + 1].reshape(batch, length)


# --------------------------------------------------------------------------------------------------------------- model


def build_model(settings: Settings, vocabulary: int) -> Sequential:
    """Embedding, recurrent layers, and one logit for each character.

    Parameters
    ----------
    settings : Settings
    vocabulary : int
        Number of different characters.

    Returns
    -------
    Sequential
        Built and compiled; numbers of characters (B, T) in, logits (B, T, vocabulary) out.
    """
    # from one seed, one for each layer: two layers with the same seed would draw the same numbers
    rng = np.random.default_rng(settings.seed)
    seeds = [int(seed) for seed in rng.integers(2**32, size=settings.layers + 2)]
    model = Sequential([Embedding(vocabulary, settings.embedding, seed=seeds[0])])
    for seed in seeds[1:-1]:
        recurrent = CELLS[settings.cell]
        model.add(recurrent(settings.units, return_sequences=True, stateful=True, dropout=settings.dropout, seed=seed))
    model.add(Dense(vocabulary, seed=seeds[-1]))
    model.build((None, None))
    # The layer's own beginning, within 0.05, is slow to tell characters apart: on the bundled text the validation loss
    # is 1.71 after six epochs with it, and 1.53 from standard normal embeddings.
    model.layers[0].set_weights([rng.standard_normal((vocabulary, settings.embedding))])
    model.compile(
        Adam(settings.lr, global_clipnorm=settings.clip or None), SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def evaluate(model: Sequential, ids: np.ndarray) -> float:
    """The mean loss over a whole text, read as one track: from an empty state, which is then carried to the end.

    Parameters
    ----------
    model : Sequential
        With stateful layers; their state is reset before and after.
    ids : ndarray of int, (N,)

    Returns
    -------
    float
        Nats per character, over the N - 1 characters that have one before them.
    """
    inputs, targets = tracks(ids, 1)
    model.reset_states()
    total = 0.0
    for start in range(0, inputs.shape[1], STRETCH):
        now = slice(start, start + STRETCH)
        total += model.test_on_batch(inputs[:, now], targets[:, now]) * inputs[:, now].size
    model.reset_states()
    return total / inputs.size


def write(
    model: Sequential,
    prime: Sequence[int],
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """Let a model go on from a text, one character at a time, each read back as the next input.

    Parameters
    ----------
    model : Sequential
        From numbers (B, T) to logits (B, T, V), with no layer that looks ahead.
    prime : sequence of int
        What the model reads first; at least one number.
    length : int
        How many numbers to write.
    temperature, top_k, rng
        As in `fastrnn.seq2seq.choose`.

    Returns
    -------
    list of int
        The numbers written, without the prime.
    """
    if not len(prime):
        raise ValueError("prime must hold at least one number, got none")
    steps = Steps(model.layers)
    for each in prime[:-1]:
        steps([each])
    ids, _ = generate(steps, prime[-1:], length, temperature=temperature, top_k=top_k, rng=rng)
    return [int(each) for each in ids[0]]


# ------------------------------------------------------------------------------------------------------------ training


class Course(Callback):
    """What is seen of a run and left by it: a bar, the validation's loss, a line and `model.fastrnn` for every epoch.

    Parameters
    ----------
    corpus : Corpus
    settings : Settings
    folder : Path
    steps : int
        Of an epoch.
    """

    model: Sequential

    def __init__(self, corpus: Corpus, settings: Settings, folder: Path, steps: int) -> None:
        self.corpus, self.settings, self.folder, self.steps = corpus, settings, folder, steps
        self.size = settings.batch * settings.steps  # characters of a step
        self.step, self.seconds = 0, 0.0  # in the epoch at work, before it was interrupted
        self.bar: Progress | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin without a state; the backup brings one."""
        self.model.reset_states()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the bar."""
        self.began = time.monotonic() - self.seconds
        self.bar = Progress(
            self.steps * self.size,
            label=f"epoch {epoch + 1}/{self.settings.epochs}",
            unit="characters",
            start=self.step * self.size,
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move on."""
        assert self.bar is not None and logs is not None
        self.step = batch + 1
        self.bar.advance(self.size, loss=logs["loss"])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluate, which leaves no state to the next epoch, save the model, and print the line."""
        assert logs is not None
        self.close()
        logs["val_loss"] = evaluate(self.model, self.corpus.validation)
        self.model.save(self.folder / MODEL, {"vocabulary": self.corpus.vocabulary})
        print(
            f"epoch {epoch + 1:2d}  training {logs['loss']:.4f}  {losses(logs['val_loss'])}"
            f"  {time.monotonic() - self.began:.1f} s",
            flush=True,
        )
        self.step, self.seconds = 0, 0.0

    def on_interrupt(self, logs: dict[str, Any] | None = None) -> None:
        """Note the time."""
        self.seconds = time.monotonic() - self.began

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()

    def get_state(self) -> dict[str, Any]:
        """What a resumed run must know before it begins, and where the epoch stands."""
        text = {"digest": self.corpus.digest, "path": self.corpus.path}
        return {"settings": asdict(self.settings), "text": text, "step": self.step, "seconds": self.seconds}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Where the epoch stands."""
        self.step, self.seconds = state["step"], state["seconds"]


def train(model: Sequential, corpus: Corpus, settings: Settings, folder: Path) -> bool:
    """Train until the epochs are done or Ctrl-C is pressed, from the backup in the folder on, if there is one.

    What is left at the end of the tracks, less than a step, is not trained on. The losses are in `model.history`.

    Parameters
    ----------
    model : Sequential
        As `build_model` made it.
    corpus : Corpus
    settings : Settings
    folder : Path
        For `model.fastrnn` and the backup, which are written after every epoch; the latter at Ctrl-C too.

    Returns
    -------
    bool
        True when all epochs are done, False after Ctrl-C.
    """
    inputs, targets = tracks(corpus.training, settings.batch)
    begins = range(0, inputs.shape[1] - settings.steps + 1, settings.steps)
    batches = [(inputs[:, at : at + settings.steps], targets[:, at : at + settings.steps]) for at in begins]
    course = Course(corpus, settings, folder, len(batches))
    callbacks = [course, BackupAndRestore(folder, delete_checkpoint=False)]
    try:
        model.fit(batches, epochs=settings.epochs, verbose=0, callbacks=callbacks, shuffle=False, seed=settings.seed)
    except KeyboardInterrupt:
        return False
    except FloatingPointError as error:
        raise Refusal(f"{str(error).partition(',')[0]}: --lr {settings.lr} is too large") from error
    finally:
        course.close()
    return True


def losses(validation: float, name: str = "validation") -> str:
    """A loss in nats per character, and in bits."""
    return f"{name} {validation:.4f} nats per character, {validation / math.log(2):.4f} bits"


# ------------------------------------------------------------------------------------------------------------ tutorial

SENTENCES = ("hi how are you", "good i am fine", "have a nice day")


def tutorial(seed: int = 0) -> tuple[list[float], str]:
    """Three sentences, a SimpleRNN of 12 units over one-hot characters, 100 steps of Adam on all of them at once.

    Weights begin as PyTorch's do, uniform within 1 / sqrt(units), for this case is known from there: Keras's beginnings
    learn it faster. PyTorch's cell has two biases that are only ever added up; the one here is drawn with the variance
    of their sum.

    Parameters
    ----------
    seed : int

    Returns
    -------
    losses : list of float
        Nats per character at each step, before its update.
    continuation : str
        What the model makes of "good", to the length of a sentence.
    """
    length = max(map(len, SENTENCES))
    sentences = [sentence.ljust(length) for sentence in SENTENCES]
    vocabulary = sorted(set("".join(sentences)))
    one_hot = np.eye(len(vocabulary), dtype=np.float32)
    ids = np.array([[vocabulary.index(character) for character in sentence] for sentence in sentences])
    inputs, targets = one_hot[ids[:, :-1]], ids[:, 1:]

    recurrent, dense = SimpleRNN(12, return_sequences=True), Dense(len(vocabulary))
    model = Sequential([recurrent, dense])
    model.build(inputs.shape)
    rng, limit = np.random.default_rng(seed), 1 / math.sqrt(recurrent.units)
    weights = [rng.uniform(-limit, limit, weight.shape) for weight in model.get_weights()]
    weights[2] *= math.sqrt(2)
    model.set_weights(weights)
    model.compile(Adam(0.01), SparseCategoricalCrossentropy(from_logits=True))
    history = [model.train_on_batch(inputs, targets) for _ in range(100)]

    # the likeliest character after "good", after "good" and that character, and so on
    stream = recurrent.stream()
    written = "good"
    for position in range(length - 1):
        hidden = stream.step(one_hot[vocabulary.index(written[position])])
        if position + 1 == len(written):
            written += vocabulary[int(dense(hidden[np.newaxis]).argmax())]
    return history, written


# -------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastrnn demo char`."""
    whole, positive = number(int, 1), number(float, above=0)
    none_or, share = number(float, 0), number(float, 0, below=1)
    add = parser.add_argument_group("text and model").add_argument
    add("--data", metavar="FILE", help="a text in UTF-8 (the opening of Coriolanus)")
    add("--cell", choices=CELLS, help=f"recurrent cell ({Settings.cell})")
    add("--layers", type=int, choices=(1, 2), help=f"recurrent layers ({Settings.layers})")
    add("--units", type=whole, metavar="N", help=f"hidden units of a layer ({Settings.units})")
    add("--embedding", type=whole, metavar="N", help=f"numbers that stand for a character ({Settings.embedding})")
    add = parser.add_argument_group("training").add_argument
    add("--batch", type=whole, metavar="N", help=f"parallel tracks ({Settings.batch}; bundled text: {BUNDLED.batch})")
    add("--steps", type=whole, metavar="N", help=f"characters of a track in one step ({Settings.steps})")
    add("--epochs", type=whole, metavar="N", help=f"({Settings.epochs}; bundled text: {BUNDLED.epochs})")
    add("--lr", type=positive, metavar="X", help=f"learning rate of Adam ({Settings.lr})")
    add("--clip", type=none_or, metavar="X", help=f"limit of the gradients' global norm; 0: none ({Settings.clip})")
    add("--dropout", type=share, metavar="X", help=f"share of a recurrent layer's inputs dropped ({Settings.dropout})")
    add("--seed", type=number(int, 0), metavar="N", help=f"({Settings.seed})")
    add("--threads", type=whole, metavar="N", help="(FASTRNN_NUM_THREADS, OMP_NUM_THREADS, or the usable cores)")
    add("--out", type=Path, default=Path("fastrnn-char"), metavar="DIR", help="folder to write into (%(default)s)")
    add("--resume", action="store_true", help="go on from the checkpoint in that folder, with its settings")
    add = parser.add_argument_group("passages at the end").add_argument
    add("--prime", metavar="TEXT", help="what they begin with (the text's first line)")
    add("--length", type=number(int, 0), default=400, metavar="N", help="characters of each (%(default)s)")
    add("--temperature", type=positive, default=0.8, metavar="X", help="(%(default)s)")
    add("--top-k", type=whole, default=10, metavar="N", help="likeliest characters to choose from (%(default)s)")
    add = parser.add_argument_group("instead of all that").add_argument
    add("--tutorial", action="store_true", help="three sentences and 12 units; takes --seed")


def run(options: argparse.Namespace) -> int:
    """Train as the options say, print passages, and return the exit code."""
    use_threads(options.threads)
    if options.tutorial:
        return _run_tutorial(options.seed or 0)
    try:
        return _run(options)
    except OSError as error:
        raise Refusal(f"cannot write {error.filename or options.out}: {error.strerror}") from error


def _run_tutorial(seed: int) -> int:
    history, written = tutorial(seed)
    for step in range(10, len(history) + 1, 10):
        print(f"epoch {step:3d}  loss {history[step - 1]:.4f}")
    print(f"'good' goes on: {written!r}")
    return 0


def _run(options: argparse.Namespace) -> int:
    corpus, settings = _resume(options) if options.resume else _begin(options)
    model = build_model(settings, len(corpus.vocabulary))
    opening = corpus.text(corpus.training[:80]).partition("\n")
    prime = corpus.numbers(options.prime or "".join(opening[:2]))
    print(
        f"{corpus.path or 'the bundled text'}: {corpus.size:,} characters, {len(corpus.vocabulary)} different; "
        f"{settings.layers} x {settings.cell} of {settings.units}, {model.parameters:,} parameters"
    )

    done = train(model, corpus, settings, options.out)
    assert model.history is not None
    history = model.history.history
    if history:
        curves = {"training": history["loss"], "validation": history["val_loss"]}
        try:
            plots.loss_curve(curves, options.out / CURVE, ylabel="nats per character")
        except ImportError as error:
            print(f"no picture: {error}")
    if not done:
        print(f"stopped in epoch {len(history.get('loss', [])) + 1} of {settings.epochs}")
        if (options.out / CHECKPOINT).exists():
            print(f"to go on:\n  python -m fastrnn demo char --resume --out {shlex.quote(str(options.out))}")
        return 130

    print(losses(evaluate(model, corpus.test), "test"))
    print(f"written to {options.out}: {', '.join(sorted(os.listdir(options.out)))}")
    rng = np.random.default_rng(settings.seed)
    for name, temperature, top_k in (
        ("greedy", 0.0, None),
        (f"temperature {options.temperature:g}", options.temperature, None),
        (f"temperature {options.temperature:g}, top {options.top_k}", options.temperature, options.top_k),
    ):
        written = write(model, prime, options.length, temperature=temperature, top_k=top_k, rng=rng)
        print(f"\n--- {name}\n{corpus.text(prime)}{corpus.text(written)}")
    return 0


def _begin(options: argparse.Namespace) -> tuple[Corpus, Settings]:
    """A new run; the checkpoint of an earlier one in the same folder is put aside."""
    settings = replace(Settings() if options.data else BUNDLED, **_given(options))
    path = os.path.abspath(options.data) if options.data else None
    corpus = Corpus.of(read_text(path), path)
    needed = max(40, math.ceil((settings.batch * settings.steps + 1) / 0.9))
    if corpus.size < needed:
        raise Refusal(
            f"{path or 'the bundled text'} has {corpus.size} characters, and --batch {settings.batch} with "
            f"--steps {settings.steps} takes at least {needed}"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    earlier = options.out / CHECKPOINT
    if earlier.exists():
        earlier.replace(options.out / f"previous-{CHECKPOINT}")
        print(f"the checkpoint that was in {options.out} is now previous-{CHECKPOINT}")
    return corpus, settings


def _resume(options: argparse.Namespace) -> tuple[Corpus, Settings]:
    """The run of a backup; only its number of epochs may be changed."""
    backup = BackupAndRestore(options.out)
    path = options.out / CHECKPOINT
    try:
        state = backup.remembered()[Course.__name__]
        settings = Settings(**state["settings"])
        digest, source = state["text"]["digest"], state["text"]["path"]
    except FileNotFoundError:
        raise Refusal(f"there is no {path} to resume from") from None
    except ValueError as error:
        raise Refusal(str(error)) from error
    except (KeyError, TypeError) as error:
        raise Refusal(f"{path} is no checkpoint of this demo") from error
    for name, value in _given(options).items():
        if name != "epochs" and value != getattr(settings, name):
            raise Refusal(f"--{name} was {getattr(settings, name)} in the run to resume, got {value}")
    settings = replace(settings, epochs=options.epochs or settings.epochs)
    source = os.path.abspath(options.data) if options.data else source
    corpus = Corpus.of(read_text(source), source)
    if corpus.digest != digest:
        raise Refusal(f"{source or 'the bundled text'} is not the text that the run to resume began with")
    return corpus, settings


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that stand on the command line."""
    values = {each.name: getattr(options, each.name) for each in fields(Settings)}
    return {name: value for name, value in values.items() if value is not None}
