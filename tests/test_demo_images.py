"""The images demo: figures drawn, pictures read, the split, the stacks, and what a run prints, leaves and refuses."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from fastrnn.__main__ import main
from fastrnn.demos import images, pictures
from fastrnn.demos.images import FIGURES, Odd, Pictures, Settings
from fastrnn.models import load_checkpoint, load_model
from fastrnn.utils import to_categorical

CELLS = ("rnn", "lstm", "gru")
SMALL = ["--layers", "2", "--units", "6", "--epochs", "1"]
RUN = ["demo", "images", *SMALL]


def save(path: Path, values: np.ndarray, **options: object) -> None:
    """A picture file from an array (rows, columns) or (rows, columns, 3) of bytes."""
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(values.astype(np.uint8)).save(path, **options)


def grey(value: float, rows: int = 70, columns: int = 90) -> np.ndarray:
    return np.full((rows, columns), value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of 5, 10 and 15 pictures; those of a class have one brightness."""
    for label, (name, count) in enumerate([("b", 10), ("a", 5), ("c d", 15)]):
        for index in range(count):
            save(tmp_path / "data" / name / f"{index:02d}.png", grey(60 * (label + 1)))
    return tmp_path / "data"


# ------------------------------------------------------------------------------------------------------------- figures


def test_drawn_figures_are_grey_pictures_of_ten_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)  # which they do without
    drawn = Pictures.drawn(7)
    assert drawn.x.shape == (70, 56, 56)
    assert drawn.x.dtype == np.float32
    assert drawn.x.min() >= 0
    assert drawn.x.max() <= 1
    assert len(drawn.classes) == 10
    np.testing.assert_array_equal(np.bincount(drawn.y), [7] * 10)
    assert drawn.names[8] == f"{drawn.classes[1]} 1"
    np.testing.assert_array_equal(Pictures.drawn(7).x, drawn.x)
    assert not np.array_equal(Pictures.drawn(7, seed=2).x, drawn.x)
    assert not np.array_equal(drawn.x[0], drawn.x[1])


def test_figures_are_what_they_are_called() -> None:
    drawn = Pictures.drawn(30)
    middle = {name: drawn.x[drawn.y == label][:, 26:30, 26:30].mean() for label, name in enumerate(drawn.classes)}
    for full, hollow in (("disc", "ring"), ("square", "frame"), ("plus", "bars")):
        assert middle[full] > 0.6 > 0.3 > middle[hollow], full
    # the share of the square from -1 to 1 that they cover, against one that is counted otherwise
    points = np.random.default_rng(0).uniform(-1, 1, (2, 200_000))
    covered = {name: np.mean(outside(*points) < 0) for name, outside in FIGURES.items()}
    expected = {
        "disc": np.pi * 0.81 / 4, "ring": np.pi * (0.95**2 - 0.65**2) / 4, "square": 0.64, "frame": 0.9**2 - 0.6**2,
        "plus": 2 * 0.2 - 0.04, "bars": 2 * 0.9 * 0.25,
    }  # fmt: skip
    for name, share in expected.items():
        assert covered[name] == pytest.approx(share, abs=0.005), name  # five deviations of a share of 200,000 points
    assert all(0.1 < share < 0.9 for share in covered.values())


# -------------------------------------------------------------------------------------------------------------- folder


def test_a_folder_of_class_folders(folder: Path) -> None:
    (folder / "README").write_text("no class")
    (folder / ".cache").mkdir()
    (folder / "a" / ".DS_Store").write_text("no picture")
    read, skipped = Pictures.of_folder(str(folder))
    assert skipped == {}
    assert read.classes == ["a", "b", "c d"]
    np.testing.assert_array_equal(read.y, [0] * 5 + [1] * 10 + [2] * 15)
    assert read.names[4:6] == ["a/04.png", "b/00.png"]
    assert read.x.dtype == np.float32
    expected = np.repeat(np.float32([120, 60, 180]) / np.float32(255), [5, 10, 15])
    np.testing.assert_array_equal(read.x, np.broadcast_to(expected[:, np.newaxis, np.newaxis], (30, 56, 56)))


def test_pixels_are_averaged_and_colours_become_grey(tmp_path: Path, rng: np.random.Generator) -> None:
    values = rng.integers(0, 256, (112, 168))
    save(tmp_path / "grey.png", values)
    blocks = values.reshape(56, 2, 56, 3).mean(axis=(1, 3))
    # rounded to whole numbers after each of the two axes
    np.testing.assert_allclose(images.read_picture(tmp_path / "grey.png").astype(float), blocks, atol=1.01)
    colours = rng.integers(0, 256, (56, 56, 3))
    save(tmp_path / "colours.png", colours)
    luma = colours @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    np.testing.assert_allclose(images.read_picture(tmp_path / "colours.png").astype(float), luma, atol=1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"])
def test_any_mode_of_eight_bits(mode: str, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / ("picture.tif" if mode in ("CMYK", "YCbCr") else "picture.png")
    image.fromarray(grey(255).astype(np.uint8)).convert("RGB").convert(mode).save(path)
    np.testing.assert_array_equal(images.read_picture(path), 255)


def test_a_photograph_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    values = np.zeros((56, 56))
    values[:20] = 255
    notes = image.Exif()
    notes[0x112] = 6  # turn by 90 degrees clockwise to see it upright
    save(tmp_path / "photograph.png", values, exif=notes)
    np.testing.assert_array_equal(images.read_picture(tmp_path / "photograph.png"), np.rot90(values, -1))


def spoil(kind: str, path: Path) -> None:
    """Write a file that is no picture to learn from."""
    image = pytest.importorskip("PIL.Image")
    if kind == "text":
        path.write_text("not a picture at all")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        save(path.with_suffix(".jpg"), np.random.default_rng(0).integers(0, 256, (90, 90)))
        path.with_suffix(".jpg").rename(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "corrupt":
        save(path, np.random.default_rng(0).integers(0, 256, (90, 90)))
        data = bytearray(path.read_bytes())
        data[200:260] = bytes(60)
        path.write_bytes(data)
    elif kind == "several":
        frames = [image.fromarray(grey(value).astype(np.uint8)) for value in (0, 100, 200)]
        frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])
    elif kind == "deep":
        image.fromarray(np.full((60, 60), 30_000, np.uint16)).save(path)
    elif kind == "huge":
        save(path, grey(0, 300, 300))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "is no picture"),
        ("empty", "is no picture"),
        ("folder", "cannot be read: Is a directory"),
        ("truncated", "cannot be read: .*truncated.*"),
        ("corrupt", "cannot be read: .+"),
        ("several", "holds more than one picture"),
        ("deep", r"has more than 8 bits a pixel \(mode I;16\)"),
        ("huge", "cannot be read: .*exceeds limit.*"),
    ],
)
def test_what_is_no_picture_is_named_and_skipped(
    kind: str, reason: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 80_000)
    spoil(kind, folder / "b" / "odd.png")
    with pytest.raises(Odd, match=f"^{reason}$"):
        images.read_picture(folder / "b" / "odd.png")
    read, skipped = Pictures.of_folder(str(folder))
    assert list(skipped) == ["b/odd.png"]
    np.testing.assert_array_equal(np.bincount(read.y), [5, 10, 15])
    assert main([*RUN, "--data", str(folder), "--cell", "rnn", "--out", str(tmp_path / "out")]) == 0
    assert re.search(rf"^skipped: b/odd.png {reason}$", capsys.readouterr().out, re.M)


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line of an error."""
    capsys.readouterr()
    assert main([*RUN, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastrnn: error: ")
    assert error.count("\n") == 1
    return error.removeprefix("fastrnn: error: ").rstrip("\n")


def test_folders_that_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert (
        refused(capsys, "--data", str(folder / "none"), *out)
        == f"cannot read {folder / 'none'}: No such file or directory"
    )
    file = folder / "a" / "00.png"
    assert refused(capsys, "--data", str(file), *out) == f"cannot read {file}: Not a directory"
    assert refused(capsys, "--data", str(folder / "a"), *out) == (
        f"{folder / 'a'} must hold a folder of pictures for each class, at least 2, got 0"
    )
    (folder / "sparse").mkdir()
    save(folder / "sparse" / "one.png", grey(0))
    (folder / "sparse" / "two.png").write_text("")
    assert refused(capsys, "--data", str(folder), *out) == (
        f"{folder / 'sparse'} must have at least 2 pictures, one to learn from and one to test on, "
        "got 1 and 1 unfit files"
    )
    assert not (tmp_path / "out").exists()


def test_without_pillow_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.png").write_text("")
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert refused(capsys, "--data", str(tmp_path)) == 'reading pictures needs Pillow: pip install "fastrnn[images]"'


# --------------------------------------------------------------------------------------------------------------- split


def test_a_fifth_of_every_class_is_for_the_test() -> None:
    y = np.repeat([0, 1, 2, 3], [2, 3, 10, 38])
    x = np.arange(53, dtype=np.float32).reshape(53, 1, 1)
    whole = Pictures(x, y, list("abcd"), [f"picture {index}" for index in range(53)])
    training, test = whole.split(0)
    np.testing.assert_array_equal(np.bincount(test.y), [1, 1, 2, 8])
    np.testing.assert_array_equal(np.bincount(training.y), [1, 2, 8, 30])
    rows = np.concatenate([part.x[:, 0, 0] for part in (training, test)])
    np.testing.assert_array_equal(np.sort(rows), np.arange(53))
    for part in (training, test):
        assert part.classes == list("abcd")
        numbers = part.x[:, 0, 0].astype(int)
        np.testing.assert_array_equal(part.y, y[numbers])
        assert part.names == [f"picture {index}" for index in numbers]
    np.testing.assert_array_equal(whole.split(0)[1].x, test.x)
    assert not np.array_equal(whole.split(1)[1].x, test.x)


# --------------------------------------------------------------------------------------------------------------- model


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("lstm", 4), ("gru", 3)])
def test_the_stack(cell: str, gates: int) -> None:
    model = images.build_model(cell, Settings(), 10)
    assert [type(layer).__name__ for layer in model.layers] == [images.CELLS[cell].__name__] * 4 + ["Dense"]
    assert [layer.return_sequences for layer in model.layers[:-1]] == [True, True, True, False]
    biases = 2 if cell == "gru" else 1
    expected = [56 * 300 + 300 * 300 + 300 * biases, *[2 * 300 * 300 + 300 * biases] * 3]
    assert [layer.parameters for layer in model.layers] == [*(gates * size for size in expected), 3010]
    first, second = model.layers[1].get_weights()[0], model.layers[2].get_weights()[0]
    assert not np.array_equal(first, second)
    again, other = (images.build_model(cell, Settings(seed=seed), 10).layers[1].get_weights()[0] for seed in (0, 1))
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(other, first)
    assert model.predict_on_batch(np.zeros((2, 56, 56))).shape == (2, 10)


@pytest.mark.parametrize("cell", CELLS)
def test_it_learns(cell: str) -> None:
    training, test = Pictures.drawn(40).split(0)
    settings = Settings(layers=2, units=64, batch=16, epochs=25, lr=0.001)
    model = images.build_model(cell, settings, 10)
    result = images.train(model, training, test, settings)
    assert result.training > 0.6
    assert result.accuracy > 0.3  # a guess would be 0.1
    assert result.parameters == model.parameters
    assert result.seconds > 0
    said = model.predict(test.x, verbose=0)
    assert result.accuracy == pytest.approx(np.mean(said.argmax(axis=1) == test.y))
    assert result.loss == pytest.approx(-np.mean(np.log(said[np.arange(len(test.y)), test.y])), rel=1e-4)


def test_the_confusion_counts_what_was_taken_for_what(rng: np.random.Generator) -> None:
    y, taken = rng.integers(0, 4, (2, 100))
    expected = np.zeros((5, 5), int)
    for truth, said in zip(y, taken, strict=True):
        expected[truth, said] += 1
    np.testing.assert_array_equal(images.confusion(y, taken, 5), expected)


def test_the_picture_shows_every_count_and_every_class(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    matrices = {"SimpleRNN": np.array([[8, 2], [0, 10]]), "LSTM": np.array([[7, 3], [4, 6]])}
    figure = pictures.confusions(matrices, ["a $ and a $", "dog"], tmp_path / "confusion.png")
    for axes, (name, matrix) in zip(figure.axes, matrices.items(), strict=True):
        share = np.trace(matrix) / matrix.sum()
        assert axes.get_title() == f"{name}: {share:.1%} right"
        shown = {tuple(text.get_position()): text.get_text() for text in axes.texts}
        assert shown == {(column, row): str(matrix[row, column]) for row, column in np.argwhere(matrix)}
        np.testing.assert_allclose(axes.images[0].get_array(), matrix / matrix.sum(axis=1, keepdims=True))
        assert [label.get_text() for label in axes.get_xticklabels()] == [r"a \$ and a \$", "dog"]
    assert (tmp_path / "confusion.png").stat().st_size > 10_000


# -------------------------------------------------------------------------------------------------------- command line


def test_what_a_run_prints_and_leaves(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "new" / "folder"
    assert main([*RUN, "--data", str(folder), "--seed", "3", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{folder}: 24 pictures to learn from, 6 to test on, 3 classes: a, b, c d\n")
    assert text.count("predicts the same bits for 6 inputs") == 3
    assert sorted(os.listdir(out)) == sorted([*(f"{cell}.fastrnn" for cell in CELLS), images.PICTURE])
    table = re.findall(r"^(SimpleRNN|LSTM|GRU) +([\d,]+) +(\S+) +(\S+) +(\S+) +(\S+)$", text, re.M)
    assert [row[0] for row in table] == ["SimpleRNN", "LSTM", "GRU"]
    _, test = Pictures.of_folder(str(folder))[0].split(3)
    samples = re.findall(
        r"^  (\S.*): SimpleRNN (.*) \((\d+)%\), LSTM (.*) \((\d+)%\), GRU (.*) \((\d+)%\)$", text, re.M
    )
    assert len(samples) == 5
    for index, (cell, row) in enumerate(zip(CELLS, table, strict=True)):
        model, state = load_checkpoint(out / f"{cell}.fastrnn")
        assert state == {"classes": ["a", "b", "c d"]}
        loss, accuracy = model.evaluate(test.x, to_categorical(test.y, 3), verbose=0)
        assert row[1:2] + row[3:5] == (f"{model.parameters:,}", f"{loss:.4f}", f"{accuracy:.4f}")
        for sample in samples:
            said = model.predict(test.x[test.names.index(sample[0])][np.newaxis], verbose=0)[0]
            assert sample[2 * index + 1 : 2 * index + 3] == (["a", "b", "c d"][said.argmax()], f"{said.max():.0%}"[:-1])


def test_the_same_seed_ends_with_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Pictures.drawn(5)
    monkeypatch.setattr(Pictures, "drawn", lambda: few)
    for name, seed in (("one", "1"), ("same", "1"), ("other", "2")):
        assert main([*RUN, "--cell", "gru", "gru", "--seed", seed, "--out", str(tmp_path / name)]) == 0
    one, same, other = ((tmp_path / name / "gru.fastrnn").read_bytes() for name in ("one", "same", "other"))
    assert one == same != other


def test_without_matplotlib_all_but_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = Pictures.drawn(5)
    monkeypatch.setattr(Pictures, "drawn", lambda: few)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main([*RUN, "--cell", "lstm", "--out", str(tmp_path)]) == 0
    assert 'no picture: pictures need matplotlib: pip install "fastrnn[plot]"' in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["lstm.fastrnn"]
    assert load_model(tmp_path / "lstm.fastrnn").input_shape == (None, 56, 56)


def test_a_loss_that_is_no_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = Pictures.drawn(5)
    few.x[3] = np.nan
    monkeypatch.setattr(Pictures, "drawn", lambda: few)
    message = refused(capsys, "--cell", "rnn", "--lr", "0.5", "--out", str(tmp_path / "out"))
    assert message.startswith("--lr 0.5 is too large: the loss is nan in epoch 1")


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = Pictures.drawn(5)
    monkeypatch.setattr(Pictures, "drawn", lambda: few)
    (tmp_path / "file").write_text("")
    message = refused(capsys, "--out", str(tmp_path / "file"))
    assert message == f"cannot write {tmp_path / 'file'}: File exists"
