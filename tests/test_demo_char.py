"""The character demo: the text, the loop, its resumption to the bit, what it writes, and what it refuses."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import saving
from fastrnn.__main__ import main
from fastrnn.callbacks import BackupAndRestore
from fastrnn.demos import char
from fastrnn.demos.char import Corpus, Settings
from fastrnn.layers import Dense
from fastrnn.losses import SparseCategoricalCrossentropy
from fastrnn.models import Sequential, load_checkpoint
from fastrnn.seq2seq import choose

SMALL = Settings(units=12, embedding=5, batch=4, steps=8, epochs=3, lr=0.01, seed=3)
# for processes of their own: the same package as here
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fastrnn.__file__).parents[1])}
OPTIONS = ["--units", "12", "--embedding", "5", "--batch", "4", "--steps", "8", "--lr", "0.01", "--length", "30"]


@pytest.fixture
def corpus() -> Corpus:
    """1,200 characters of the bundled text: a thousand to train on, sixty for validation."""
    return Corpus.of(char.read_text(None)[:1200])


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "a text.txt"
    path.write_text(char.read_text(None)[:1200], encoding="utf-8")
    return path


def perplexed(settings: Settings, corpus: Corpus) -> Sequential:
    """A fresh model whose weights are far enough from zero for a mistake in the state to show."""
    model = char.build_model(settings, len(corpus.vocabulary))
    rng = np.random.default_rng(7)
    model.set_weights([rng.standard_normal(weight.shape) * 0.7 for weight in model.get_weights()])
    return model


def whole_loss(model: Sequential, ids: np.ndarray) -> float:
    """The loss over one text in a single call."""
    model.reset_states()
    logits = model.predict_on_batch(ids[np.newaxis, :-1])
    model.reset_states()
    return SparseCategoricalCrossentropy(from_logits=True)(ids[np.newaxis, 1:], logits)


# ---------------------------------------------------------------------------------------------------------------- text


def test_the_text_is_split_by_position_and_comes_back() -> None:
    text = "".join(chr(0x61 + i % 7) for i in range(150)) + "ß\U0001f600" + "x" * 48
    corpus = Corpus.of(text)
    assert [len(part) for part in (corpus.training, corpus.validation, corpus.test)] == [180, 10, 10]
    assert corpus.size == 200
    ids = np.concatenate([corpus.training, corpus.validation, corpus.test])
    assert corpus.text(ids) == text
    assert corpus.numbers(text) == list(ids)
    assert corpus.vocabulary == "".join(sorted(set(text)))


def test_a_digest_belongs_to_one_text() -> None:
    assert Corpus.of("abc" * 20).digest == Corpus.of("abc" * 20).digest
    assert Corpus.of("abc" * 20).digest != Corpus.of("abd" * 20).digest  # the same numbers, other characters


def test_windows_files_read_like_others(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffgrüße\r\nan alle\r\n".encode())
    assert char.read_text(str(path)) == "grüße\nan alle\n"


def test_the_bundled_text() -> None:
    text = char.read_text(None)
    assert 100_000 <= len(text) <= 105_000
    assert text.startswith("First Citizen:\n")
    assert text.isascii()


def test_tracks_are_neighbours_in_the_text() -> None:
    ids = np.arange(100, 151)
    inputs, targets = char.tracks(ids, 4)
    assert inputs.shape == targets.shape == (4, 12)
    np.testing.assert_array_equal(inputs.ravel(), np.arange(100, 148))
    np.testing.assert_array_equal(targets, inputs + 1)


# ------------------------------------------------------------------------------------------------------------ the loop


@pytest.mark.parametrize("cell", list(char.CELLS))
@pytest.mark.parametrize("stretch", [1, 7, 59, 1000])
def test_the_validation_loss_is_that_of_one_reading(
    corpus: Corpus, cell: str, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(char, "STRETCH", stretch)
    model = perplexed(Settings(cell=cell, units=12, embedding=5, layers=2), corpus)
    model.predict_on_batch(corpus.test[np.newaxis])  # leaves a state behind, which must not matter
    # the mean of a few hundred float32 losses
    assert char.evaluate(model, corpus.validation) == pytest.approx(whole_loss(model, corpus.validation), rel=1e-6)


def test_training_carries_the_state_and_resets_it_at_each_epoch(corpus: Corpus, tmp_path: Path) -> None:
    # with steps too small to move a weight, the loss of every epoch is that of reading each track at one go
    settings = Settings(units=12, embedding=5, batch=4, steps=8, epochs=2, lr=1e-30)
    model = perplexed(settings, corpus)
    inputs, targets = char.tracks(corpus.training, 4)
    used = inputs.shape[1] // 8 * 8
    expected = SparseCategoricalCrossentropy(from_logits=True)(
        targets[:, :used], model.predict_on_batch(inputs[:, :used])
    )
    assert char.train(model, corpus, settings, tmp_path)
    assert model.history is not None
    assert model.history.history["loss"] == pytest.approx([expected] * 2, rel=1e-6)
    assert model.history.history["val_loss"] == pytest.approx([whole_loss(model, corpus.validation)] * 2, rel=1e-6)


@pytest.mark.parametrize("cell", list(char.CELLS))
def test_it_learns(cell: str, tmp_path: Path) -> None:
    corpus = Corpus.of("the quick brown fox jumps over the lazy dog. " * 60)
    settings = Settings(cell=cell, units=32, embedding=8, batch=4, steps=16, epochs=12, lr=0.01)
    model = char.build_model(settings, len(corpus.vocabulary))
    char.train(model, corpus, settings, tmp_path)
    assert model.history is not None
    assert model.history.history["loss"][0] > 1
    assert model.history.history["val_loss"][-1] < 0.1
    written = char.write(model, corpus.numbers("the quick "), 35, temperature=0)
    assert corpus.text(written) == "brown fox jumps over the lazy dog. "


def test_clipping_is_by_the_global_norm_and_can_be_left_out() -> None:
    optimizers = [char.build_model(Settings(units=4, clip=clip), 9).optimizer for clip in (5.0, 0.0)]
    assert [optimizer.global_clipnorm for optimizer in optimizers if optimizer is not None] == [5.0, None]


def test_seeds_decide_the_weights() -> None:
    one, same, other = (char.build_model(Settings(units=8, layers=2, seed=seed), 9).get_weights() for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], other[0])
    assert not np.array_equal(one[2], one[5])  # the recurrent kernels of two layers


def test_a_loss_that_is_no_number_ends_the_run(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(SparseCategoricalCrossentropy, "value_and_grad", lambda *_: (math.nan, None))
    message = refused(capsys, "--data", str(text_file), *OPTIONS, "--epochs", "3", "--out", str(tmp_path / "out"))
    assert message == "the loss is nan in epoch 1 of 3: --lr 0.01 is too large"
    assert os.listdir(tmp_path / "out") == []


# -------------------------------------------------------------------------------------------------------- to go on


class Killed(Exception):
    """Stands for whatever ends a process without warning."""


def run_until(step: int, action: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next run's progress bar do something after that many steps."""

    class Bar(char.Progress):
        steps = 0

        def advance(self, amount: float, **figures: float) -> None:
            super().advance(amount, **figures)
            Bar.steps += 1
            if Bar.steps == step:
                action()

    monkeypatch.setattr(char, "Progress", Bar)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A suite that runs in the background of a shell has a SIGINT that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler, "the handler must be given back"


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def killed() -> None:
    raise Killed


# 1,080 characters in 4 tracks of 269 are 33 steps an epoch; what is killed goes back to the last epoch's end
@pytest.mark.parametrize(
    ("end", "step"), [(ctrl_c, 1), (ctrl_c, 32), (ctrl_c, 33), (ctrl_c, 40), (ctrl_c, 66), (killed, 34), (killed, 99)]
)
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 1), ("gru", 2), ("rnn", 1)])
def test_a_resumed_run_ends_with_the_same_bits(
    cell: str, layers: int, end: Any, step: int, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], interruptible: None,
) -> None:  # fmt: skip
    options = ["demo", "char", "--data", str(text_file), "--cell", cell, "--layers", str(layers), "--dropout", "0.2"]
    options += [*OPTIONS, "--epochs", "3"]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0
    passages = capsys.readouterr().out.partition("---")[2]

    folder = tmp_path / "halves"
    with monkeypatch.context() as patched:
        run_until(step, end, patched)
        if end is killed:
            with pytest.raises(Killed):
                main([*options, "--out", str(folder)])
        else:
            assert main([*options, "--out", str(folder)]) == 130
            assert f"--resume --out {folder}" in capsys.readouterr().out
    assert main(["demo", "char", "--resume", "--out", str(folder), "--length", "30"]) == 0
    assert capsys.readouterr().out.partition("---")[2] == passages
    # weights, the optimizer's slots, the carried and the random state, position and losses
    for name in (char.MODEL, char.CHECKPOINT):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_more_epochs_go_on_from_a_finished_run(text_file: Path, tmp_path: Path) -> None:
    options = ["demo", "char", "--data", str(text_file), *OPTIONS]
    assert main([*options, "--epochs", "2", "--out", str(tmp_path / "whole")]) == 0
    assert main([*options, "--epochs", "1", "--out", str(tmp_path / "halves")]) == 0
    assert main(["demo", "char", "--resume", "--epochs", "2", "--out", str(tmp_path / "halves"), "--length", "9"]) == 0
    whole, halves = ((tmp_path / name / char.MODEL).read_bytes() for name in ("whole", "halves"))
    assert whole == halves


def test_a_second_ctrl_c_does_not_wait(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruptible: None
) -> None:
    def twice() -> None:
        ctrl_c()
        ctrl_c()
        raise AssertionError("it waited")

    run_until(2, twice, monkeypatch)
    assert not char.train(char.build_model(SMALL, len(corpus.vocabulary)), corpus, SMALL, tmp_path)
    assert os.listdir(tmp_path) == []  # the step was not whole


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process")
def test_ctrl_c_in_a_process_of_its_own(text_file: Path, tmp_path: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from fastrnn.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-u", "-c", code, "demo", "char"]
    options = ["--data", str(text_file), *OPTIONS, "--epochs", "100000"]
    folder = tmp_path / "out"
    process = subprocess.Popen(
        [*command, *options, "--out", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (folder / char.CHECKPOINT).exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130, output
    assert "Traceback" not in output
    resume = re.search(r"python -m fastrnn (demo char --resume .*)", output)
    assert resume is not None, output
    epochs = saving.read(folder / char.CHECKPOINT)[0]["position"]["epoch"] + 1
    assert main([*resume[1].split(), "--epochs", str(epochs), "--length", "9"]) == 0


def test_a_new_run_puts_an_earlier_checkpoint_aside(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["demo", "char", "--data", str(text_file), *OPTIONS, "--epochs", "1", "--out", str(tmp_path)]
    assert main(options) == 0
    earlier = (tmp_path / char.CHECKPOINT).read_bytes()
    assert main([*options, "--seed", "1"]) == 0
    assert (tmp_path / f"previous-{char.CHECKPOINT}").read_bytes() == earlier
    assert (tmp_path / char.CHECKPOINT).read_bytes() != earlier
    assert f"is now previous-{char.CHECKPOINT}" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("cell", list(char.CELLS))
def test_greedy_writing_takes_the_likeliest_after_all_that_was_read(corpus: Corpus, cell: str) -> None:
    model = perplexed(Settings(cell=cell, units=12, embedding=5, layers=2), corpus)
    prime = [int(number) for number in corpus.validation[:11]]
    expected = list(prime)
    for _ in range(20):
        model.reset_states()
        expected.append(int(model.predict_on_batch(np.array([expected]))[0, -1].argmax()))
    assert char.write(model, prime, 20, temperature=0) == expected[11:]
    assert char.write(model, prime, 20, top_k=1) == expected[11:]


def test_writing_is_the_same_from_the_same_random_numbers_and_leaves_the_model_alone(corpus: Corpus) -> None:
    model = perplexed(SMALL, corpus)
    model.predict_on_batch(corpus.test[np.newaxis])
    before = model.layers[1].get_state()
    first, second, other = (char.write(model, [0, 1], 50, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second != other
    for name, value in model.layers[1].get_state().items():
        np.testing.assert_array_equal(value, before[name])
    assert char.write(model, [0], 0) == []
    with pytest.raises(ValueError, match="prime"):
        char.write(model, [], 5)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, 3), (0.7, 100)])
def test_numbers_are_drawn_from_the_distribution(temperature: float, top_k: int | None) -> None:
    logits = np.array([0.3, -1.0, 1.2, 0.3, 0.9, -np.inf], np.float32)
    allowed = sorted(range(6), key=lambda i: -logits[i])[:top_k]
    expected = np.zeros(6)
    expected[allowed] = np.exp(logits[allowed] / temperature)
    expected /= expected.sum()
    rng, n = np.random.default_rng(0), 20_000
    counts = Counter(int(choose(logits, temperature, top_k, rng)) for _ in range(n))
    shares = np.array([counts[i] for i in range(6)]) / n
    # five standard deviations of a share
    assert np.all(np.abs(shares - expected) <= 5 * np.sqrt(expected * (1 - expected) / n))


def test_the_bundled_text_teaches_it_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "char", "--units", "96", "--epochs", "3", "--lr", "0.01", "--out", str(tmp_path)]) == 0
    greedy, plain, top = capsys.readouterr().out.split("\n--- ")[1:]
    assert greedy.startswith("greedy\nFirst Citizen:\n")
    known = set(re.findall("[a-z]+", char.read_text(None).lower()))
    for passage in (greedy, plain, top):
        words = re.findall("[a-z]+", passage.partition("\n")[2].lower())
        assert len(words) > 40
        # an alphabet soup with these frequencies has a tenth
        assert np.mean([word in known for word in words]) > 0.5, passage


# -------------------------------------------------------------------------------------------------------- command line


def test_what_a_run_prints_and_leaves(text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "new" / "folder"
    options = ["--epochs", "2", "--prime", "We are", "--top-k", "3", "--temperature", "0.5", "--out", str(folder)]
    assert main(["demo", "char", "--data", str(text_file), *OPTIONS, *options]) == 0
    captured = capsys.readouterr()
    epochs = re.findall(
        r"^epoch +(\d+)  training (\S+)  validation (\S+) nats per character, (\S+) bits  \S+ s$", captured.out, re.M
    )
    assert [number for number, *_ in epochs] == ["1", "2"]
    for _, _, nats, bits in epochs:
        assert float(bits) == pytest.approx(float(nats) / math.log(2), abs=2e-4)
    assert re.search(r"epoch 1/2.*characters/s.*left", captured.err)
    for name in ("greedy", "temperature 0.5", "temperature 0.5, top 3"):
        passage = captured.out.partition(f"--- {name}\n")[2]
        assert passage.startswith("We are")
    assert sorted(os.listdir(folder)) == sorted([char.MODEL, char.CHECKPOINT, char.CURVE])

    backup = BackupAndRestore(folder).remembered()
    assert [f"{loss:.4f}" for loss in backup["History"]["history"]["val_loss"]] == [nats for _, _, nats, _ in epochs]
    model, state = load_checkpoint(folder / char.MODEL)
    kept = saving.read(folder / char.CHECKPOINT)[1]
    for layer in model.layers:
        for variable in layer.variables:
            np.testing.assert_array_equal(variable.value, kept[f"weights/{layer.name}/{variable.name}"])
    assert state["vocabulary"] == Corpus.of(text_file.read_text(encoding="utf-8")).vocabulary


def test_without_matplotlib_the_training_completes(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    folder = str(tmp_path / "out")
    assert main(["demo", "char", "--data", str(text_file), *OPTIONS, "--epochs", "1", "--out", folder]) == 0
    assert 'the loss curve needs matplotlib: pip install "fastrnn[plot]"' in capsys.readouterr().out
    assert sorted(os.listdir(folder)) == sorted([char.MODEL, char.CHECKPOINT])


def test_threads_are_set_before_anything_asks(text_file: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from fastrnn.__main__ import main; code = main(sys.argv[1:])\n"
        "from fastrnn._core.threads import default_threads; sys.exit(code or default_threads() != 3)\n"
    )
    options = ["--data", str(text_file), *OPTIONS, "--epochs", "1", "--threads", "3", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", script, "demo", "char", *options]
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line of an error."""
    capsys.readouterr()
    assert main(["demo", "char", *options]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("fastrnn: error: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("fastrnn: error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read .*text\.txt: No such file"),
        (b"", r"text\.txt has 0 characters, and --batch 64 with --steps 64 takes at least 4553"),
        (b"too short", r"text\.txt has 9 characters"),
        (b"x" * 4552, r"text\.txt has 4552 characters"),
        ("Gr\u00fc\u00dfe".encode("latin-1"), r"text\.txt is not UTF-8 text: byte 0xfc at position 2"),
        ("UTF-16".encode("utf-16"), r"text\.txt is not UTF-8 text: byte 0xff at position 0"),
    ],
)
def test_texts_that_cannot_be_used(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    assert re.search(message, refused(capsys, "--data", str(path), "--out", str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("size", "batch", "steps"), [(40, 1, 1), (74, 13, 5)])
def test_the_shortest_text_that_is_taken(
    size: int, batch: int, steps: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.txt"
    options = ["--data", str(path), "--batch", str(batch), "--steps", str(steps), "--units", "3", "--epochs", "1"]
    options += ["--length", "2", "--out", str(tmp_path / "out")]
    path.write_text(("ab" * size)[: size - 1], encoding="utf-8")
    assert f"takes at least {size}" in refused(capsys, *options)
    path.write_text(("ab" * size)[:size], encoding="utf-8")
    assert main(["demo", "char", *options]) == 0


def test_a_folder_is_no_text_and_a_file_no_folder(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search("cannot read .*: Is a directory", refused(capsys, "--data", str(tmp_path)))
    message = refused(capsys, "--data", str(text_file), *OPTIONS, "--out", str(text_file))
    assert re.fullmatch("cannot write .*: (File exists|Not a directory)", message)


def test_a_prime_outside_the_vocabulary_is_refused_before_training(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "--data", str(text_file), *OPTIONS, "--prime", "Zoë 7", "--out", str(tmp_path / "out"))
    assert message == "the training text has no '7', 'Z', 'ë', so --prime cannot have it"
    assert os.listdir(tmp_path / "out") == []


def test_what_cannot_be_resumed(text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    resume = ["--resume", "--out", str(folder)]
    checkpoint = folder / char.CHECKPOINT
    assert refused(capsys, *resume) == f"there is no {checkpoint} to resume from"
    assert main(["demo", "char", "--data", str(text_file), *OPTIONS, "--epochs", "1", "--out", str(folder)]) == 0
    assert refused(capsys, *resume, "--units", "13") == "--units was 12 in the run to resume, got 13"
    assert main(["demo", "char", *resume, "--units", "12", "--length", "5"]) == 0  # no contradiction

    other = tmp_path / "other.txt"
    other.write_text(char.read_text(None)[1200:2400], encoding="utf-8")
    assert refused(capsys, *resume, "--data", str(other)) == (
        f"{other} is not the text that the run to resume began with"
    )
    text_file.rename(tmp_path / "moved.txt")
    assert re.search("cannot read .*a text.txt", refused(capsys, *resume))
    assert main(["demo", "char", *resume, "--data", str(tmp_path / "moved.txt"), "--length", "5"]) == 0

    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    assert refused(capsys, *resume).startswith(f"cannot load '{checkpoint}': ")
    checkpoint.write_bytes((folder / char.MODEL).read_bytes())
    assert refused(capsys, *resume) == f"cannot load '{checkpoint}': 'callbacks' is missing"
    other_run = Sequential([Dense(1, input_shape=(1,))])
    other_run.compile("sgd", "mse")
    other_run.fit(np.ones((2, 1)), np.ones(2), verbose=0, callbacks=BackupAndRestore(tmp_path, delete_checkpoint=False))
    (tmp_path / char.CHECKPOINT).replace(checkpoint)
    assert refused(capsys, *resume) == f"{checkpoint} is no checkpoint of this demo"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--units", "0", "must be a whole number of at least 1, got '0'"),
        ("--batch", "1.5", "must be a whole number of at least 1, got '1.5'"),
        ("--seed", "-1", "must be a whole number of at least 0, got '-1'"),
        ("--lr", "0", "must be a number above 0, got '0'"),
        ("--lr", "nan", "must be a number above 0, got 'nan'"),
        ("--clip", "inf", "must be a number of at least 0, got 'inf'"),
        ("--dropout", "1", "must be a number of at least 0 and below 1, got '1'"),
        ("--temperature", "-0.5", "must be a number above 0, got '-0.5'"),
        ("--cell", "transformer", "invalid choice"),
        ("--layers", "3", "invalid choice"),
    ],
)
def test_options_out_of_range(option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "char", f"{option}={value}"])
    assert caught.value.code == 2
    assert f"argument {option}: " in (error := capsys.readouterr().err)
    assert message in error


# ------------------------------------------------------------------------------------------------------------ tutorial

# Medians of 30 runs of PyTorch's nn.RNN and nn.Linear at steps 10, 20 ... 100, and the standard deviation of one run,
# from 600 runs of the same case in NumPy.
TUTORIAL_MEDIANS = [2.42, 2.11, 1.71, 1.31, 0.98, 0.70, 0.49, 0.34, 0.25, 0.19]
TUTORIAL_SPREAD = [0.05, 0.09, 0.11, 0.11, 0.10, 0.09, 0.07, 0.06, 0.04, 0.03]


def test_the_tutorial_learns_as_it_does_elsewhere() -> None:
    runs = [char.tutorial(seed) for seed in range(30)]
    losses = np.array([history[9::10] for history, _ in runs])
    # The median of 30 runs has a standard error of 1.25 / sqrt(30) of a run's; the difference of two such medians
    # has sqrt(2) times that, and four of these make the band. Keras's initialisers miss it by 0.13 to 0.35.
    band = 4 * math.sqrt(2) * 1.25 / math.sqrt(30) * np.array(TUTORIAL_SPREAD)
    np.testing.assert_array_less(np.abs(np.median(losses, axis=0) - TUTORIAL_MEDIANS), band)
    # between 0.14 and 0.27 in those 30 runs; 600 had 0.13 to 0.33
    assert losses[:, -1].min() > 0.12
    assert losses[:, -1].max() < 0.34
    # 591 of 600 runs elsewhere; 27 of 30 or fewer would happen once in 500 times
    assert sum(written == "good i am fine " for _, written in runs) >= 27


def test_the_tutorial_prints_every_tenth_loss(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "char", "--tutorial"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines[:-1]] == [f"epoch {step:3d}" for step in range(10, 101, 10)]
    losses = [float(line.split()[-1]) for line in lines[:-1]]
    assert losses == sorted(losses, reverse=True)
    assert lines[-1] == "'good' goes on: 'good i am fine '"
    assert [f"{loss:.4f}" for loss in char.tutorial(0)[0][9::10]] == [f"{loss:.4f}" for loss in losses]
