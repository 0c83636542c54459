"""The shapes demo: how data are read and split, what the models see, what a run prints and refuses."""

from __future__ import annotations

import gzip
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastrnn.__main__ import main
from fastrnn.demos import Refusal, shapes
from fastrnn.demos.shapes import BUNDLED, END, PADDING, START, UNKNOWN, Names, Pen, Split, Symbols, Translations, words

SMALL = replace(BUNDLED, embedding=4, units=5, epochs=2, pair_embedding=4, pair_units=5, pair_epochs=2)
OPTIONS = "--units 5 --epochs 2 --pair-units 5 --pair-epochs 2 --batch 32".split()


def folder(path: Path, names: dict[str, str] | None = None, pairs: bytes | None = None) -> Path:
    (path / "names").mkdir(parents=True)
    (path / "eng_fra").mkdir()
    for language, text in (names or {}).items():
        (path / "names" / f"{language}.txt").write_text(text, encoding="utf-8")
    if pairs is not None:
        name = "eng-fra.txt.gz" if pairs[:2] == b"\x1f\x8b" else "eng-fra.txt"
        (path / "eng_fra" / name).write_bytes(pairs)
    return path


# ---------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("I'm not Tom's.", shapes.ENGLISH, "i'm not tom's ."),
        ("Is it 10 o\u2019clock?", shapes.ENGLISH, "is it 10 o'clock ?"),
        ("Arrête-toi aujourd'hui\u202f!", shapes.FRENCH, "arrête toi aujourd'hui !"),
        ("J\u2019ai vu qu'il l'a.", shapes.FRENCH, "j' ai vu qu' il l' a ."),
    ],
)
def test_words(text: str, language: re.Pattern[str], expected: str) -> None:
    assert " ".join(words(text, language)) == expected


def test_symbols_there_and_back() -> None:
    symbols = Symbols.of(["abba", "cab", "d"], least=2)
    assert symbols.known == ["a", "b"]
    assert len(symbols) == 6
    rows = symbols.rows(["ab", "bax"], end=True)
    np.testing.assert_array_equal(rows, [[4, 5, END, PADDING], [5, 4, UNKNOWN, END]])
    assert ["".join(symbols.sequence(row)) for row in rows] == ["ab", "ba?"]


def test_no_left_side_is_on_both_sides_of_the_split() -> None:
    pairs = [(name % 50, name) for name in range(200)] + [(3, 3)]
    split = Split.of(pairs, 1)
    train, test = ({left for left, _ in part} for part in (split.train, split.test))
    assert len(test) == 5
    assert not train & test
    assert sorted(split.train + split.test) == sorted(set(pairs))
    assert Split.of(pairs, 1) == split != Split.of(pairs, 2)


def test_french_agrees_with_who_it_is() -> None:
    pairs = dict(shapes.compose())
    assert len(pairs) == 256
    for english, french in (
        ("she is tired.", "elle est fatiguée."),
        ("we are not old.", "nous ne sommes pas vieux."),
        ("my sisters are serious.", "mes sœurs sont sérieuses."),
        ("the cats are not here.", "les chats ne sont pas ici."),
    ):
        assert pairs[english] == french


def test_folders_are_read(tmp_path: Path) -> None:
    text = "Go away.\tVa-t'en !\tCC-BY\nOne two three four five six.\tNon.\n"
    text += "".join(f"Word {number}.\tMot {number}.\n" for number in range(20))
    data = folder(
        tmp_path, {"Irish": "Ó Néill\n\n Byrne \nByrne\n", "Thai": "Suk\nByrne\n"}, gzip.compress(text.encode())
    )
    names = Names.of_folder(data, 0)
    assert names.languages == ["Irish", "Thai"]
    assert sorted(names.split.train) == [("Byrne", 0), ("Byrne", 1), ("Suk", 1), ("Ó Néill", 0)]
    pairs = Translations.of_folder(data, SMALL)
    both = pairs.split.train + pairs.split.test
    assert len(both) == 21  # without the long one
    assert (("go", "away", "."), ("va", "t'", "en", "!")) in both


@pytest.mark.parametrize("shape", ["next", "first", "always"])
def test_what_writers_read(shape: str) -> None:
    names = Names(["A", "B"], Split([], []), Symbols(["x", "y"]))
    x, y, weight = shapes.lessons(names, [("xy", 1), ("y", 0)], shape)
    np.testing.assert_array_equal(y, [[4, 5, END], [5, END, PADDING]])
    np.testing.assert_array_equal(x[..., 0], [[START, 4, 5], [START, 5, END]])
    labels = {"next": [[0, 0, 0]] * 2, "first": [[7, 0, 0], [6, 0, 0]], "always": [[7] * 3, [6] * 3]}
    np.testing.assert_array_equal(x[..., 1], labels[shape])
    np.testing.assert_allclose(weight, np.array([[1, 1, 1], [1, 1, 0]]) * 6 / 5)


@pytest.mark.parametrize("shape", ["next", "first", "always"])
def test_a_pen_says_what_the_model_says(shape: str) -> None:
    names = Names.bundled(0)
    model = shapes.build_writer(names, SMALL)
    x, _, _ = shapes.lessons(names, [("Mulder", 0), ("Tanaka", 3), ("Nowak", 4)], shape)
    expected = model.predict(x, verbose=0)
    pen = Pen(model, x[:, 0, 1], shape == "always")
    for step in range(3):
        np.testing.assert_array_equal(pen(x[:, step, 0]), expected[:, step])
    rows = np.array([2, 2, 0])
    pen.take(rows)
    np.testing.assert_array_equal(pen(x[rows, 3, 0]), expected[rows, 3])
    written = shapes.write(model, names, shape, np.zeros(5, np.int64), 1)
    assert len(written) == 5 and "?" not in "".join(written)
    assert written == shapes.write(model, names, shape, np.zeros(5, np.int64), 1)


def test_the_commonest_answer() -> None:
    assert shapes.commonest(np.array([1, 2, 2, 0]), np.array([2, 2, 1, 0, 2])) == 3 / 5


def test_a_language_is_learned(tmp_path: Path) -> None:
    """With the bundled names the classifier is far above the commonest language; its matrix counts every test name."""
    names = Names.bundled(0)
    result, _, matrix = shapes.classify(names, replace(BUNDLED, epochs=20), tmp_path)
    assert matrix.sum() == len(names.split.test)
    assert result.accuracy == np.trace(matrix) / matrix.sum()
    assert result.accuracy > 0.4 > 2 * result.chance


# -------------------------------------------------------------------------------------------------------- command line


def test_what_a_run_prints_and_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    assert main(["demo", "shapes", *OPTIONS, "--out", str(tmp_path / "new")]) == 0
    text = capsys.readouterr().out
    assert text.startswith("bundled names: 6 languages")
    assert text.count("loaded again, it predicts the same bits for") == 5
    files = [f"{shape}.fastrnn" for shape in shapes.SHAPES]
    assert sorted(os.listdir(tmp_path / "new")) == sorted([*files, "shapes.png"])
    table = text[text.index("on what was held out") :]
    assert re.findall(r"^(\w to \w): .* +[\d.]+%  +[\d.]+%", table, re.M) == "N to 1,N to N,1 to N,1 to N,N to M".split(
        ","
    )
    picture = imread(tmp_path / "new" / "shapes.png")
    assert picture.shape[1] > picture.shape[0] > 600
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50


def test_shapes_can_be_chosen_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "shapes", *OPTIONS, "--shape", "translate", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "no picture: pictures need matplotlib" in text
    assert "names" not in text.partition("\n")[0]
    assert os.listdir(tmp_path) == ["translate.fastrnn"]


def test_what_cannot_be_done_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refusal, match=r"cannot read .*names: No such file or directory"):
        Names.of_folder(tmp_path / "nowhere", 0)
    with pytest.raises(Refusal, match=r"names must hold files of names, LANGUAGE.txt, two at least, got none"):
        Names.of_folder(folder(tmp_path / "none"), 0)
    with pytest.raises(Refusal, match=r"two at least, got no name in B.txt"):
        Names.of_folder(folder(tmp_path / "empty", {"A": "x", "B": " \n"}), 0)
    for name, pairs, message in (
        ("absent", None, r"cannot read .*eng-fra.txt.gz: No such file or directory"),
        ("latin", b"\xe0\tx\n", r"eng-fra.txt is not UTF-8 text"),
        ("tabs", b"a\tb\nno tab\n", r"eng-fra.txt, line 2: must hold English, a tab and French, got 'no tab'"),
        ("few", b"a\tb\n", r"eng-fra.txt must hold at least ten English sentences of at most 6 words"),
        ("cut", gzip.compress(b"a\tb\n" * 99)[:-9], r"cannot read .*eng-fra.txt.gz: "),
    ):
        with pytest.raises(Refusal, match=message):
            Translations.of_folder(folder(tmp_path / name, pairs=pairs), SMALL)
    with pytest.raises(Refusal, match=r"--words 3 is too few"):
        Translations.bundled(replace(SMALL, words=3))
    assert main(["demo", "shapes", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("fastrnn: error: cannot read")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        main(["demo", "shapes", "--shape", "square"])
