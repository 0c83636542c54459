"""The four shapes of a recurrent network: 1 to N, N to 1, N to N and N to M, on surnames and translations.

      1 to N  a language -> a surname           N to 1  a surname -> its language
                K o w a l ...                             Polish
                ^ ^ ^ ^ ^                                 ^
                o-o-o-o-o                         o-o-o-o-o
                ^                                 ^ ^ ^ ^ ^
              Polish                              N o w a k

      N to N  the next character                N to M  English -> French
                o w a k .                                 je pars .
                ^ ^ ^ ^ ^                                 ^  ^    ^
                o-o-o-o-o                           o-o-o-o--o----o
                ^ ^ ^ ^ ^                           ^ ^ ^
                N o w a k                           i leave .

In 1 to N the label is read at the first step alone, so that the state has to keep it, or at every step beside the
character that was written last. Both ways read what they have written, as does N to N, which is the same without a
label: what the label is worth is the difference in how well the next character is foretold.

Names and English sentences that are tested were in no training pair. A part of the training pairs is kept for
validation, and every model ends with the weights of the epoch of least validation loss.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.resources
import itertools
import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from fastrnn.callbacks import EarlyStopping
from fastrnn.demos import Refusal, pictures
from fastrnn.demos.common import Bar, Clock, add_run_arguments, given, keep, number, seeds, use_threads
from fastrnn.layers import LSTM, Dense, Dropout, Embedding, Reshape
from fastrnn.layers.recurrent import Stream
from fastrnn.losses import SparseCategoricalCrossentropy
from fastrnn.models import Sequential
from fastrnn.optimizers import Adam
from fastrnn.preprocessing.sequence import pad_sequences
from fastrnn.seq2seq import Seq2Seq, generate

PADDING, START, END, UNKNOWN, FIRST = range(5)  # symbols that stand in no text, and the first one that does

PICTURE = "shapes.png"

# names written for each language, which the classifier is asked about, and how freely
WRITTEN, TEMPERATURE = 20, 0.7

WIDTH = 5  # of the beam that looks for translations

SHOWN = 6  # languages and sentences that are printed

# what runs, in this order: names for the command line, and what they stand for
SHAPES: Mapping[str, str] = {
    "classify": "N to 1: surname -> language",
    "next": "N to N: next character",
    "first": "1 to N: label at the first step",
    "always": "1 to N: label at every step",
    "translate": "N to M: English -> French",
}


@dataclass(frozen=True)
class Settings:
    """What decides, with the data, which weights a run ends with."""

    embedding: int = 32
    units: int = 128
    batch: int = 64
    lr: float = 0.003
    epochs: int = 15
    words: int = 4
    rare: int = 2
    pair_embedding: int = 128
    pair_units: int = 256
    pair_epochs: int = 10
    dropout: float = 0.1
    pair_dropout: float = 0.3
    seed: int = 0


# A few hundred names and pairs: smaller models, and more rounds.
BUNDLED = Settings(
    embedding=16, units=48, batch=16, lr=0.005, epochs=40, words=6, rare=1,
    pair_embedding=32, pair_units=64, pair_epochs=60, pair_dropout=0.1,
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class Symbols:
    """Characters or words as numbers: symbol number i is known[i - FIRST]."""

    known: list[str]

    @classmethod
    def of(cls, sequences: Iterable[Iterable[str]], least: int = 1) -> Self:
        """Those that come at least so often."""
        counts = Counter(itertools.chain.from_iterable(sequences))
        return cls(sorted(symbol for symbol, count in counts.items() if count >= least))

    def __len__(self) -> int:
        return FIRST + len(self.known)

    def rows(self, sequences: Sequence[Sequence[str]], end: bool = False) -> np.ndarray:
        """Their numbers, padded behind, (N, T); with `end` the end symbol closes each."""
        number_of = {symbol: place for place, symbol in enumerate(self.known, FIRST)}
        tail = [END] * end
        return pad_sequences(
            [[*(number_of.get(symbol, UNKNOWN) for symbol in each), *tail] for each in sequences], padding="post"
        )

    def sequence(self, row: np.ndarray) -> list[str]:
        """The symbols of a row, up to its end."""
        ids = itertools.takewhile(lambda each: each not in (PADDING, END), row.tolist())
        return [self.known[each - FIRST] if each >= FIRST else "?" for each in ids]


@dataclass(frozen=True)
class Split:
    """Pairs to train on and pairs to test on; no left side is in both."""

    train: list[tuple[Any, Any]]
    test: list[tuple[Any, Any]]

    @classmethod
    def of(cls, pairs: Iterable[tuple[Any, Any]], seed: int) -> Self:
        """A tenth of the different left sides is held out, with all that belongs to them."""
        sides: dict[Any, list[Any]] = defaultdict(list)
        for left, right in dict.fromkeys(pairs):
            sides[left].append(right)
        lefts = list(sides)
        order = np.random.default_rng(seed).permutation(len(lefts))
        held_out = len(lefts) // 10
        test, train = ([(lefts[i], right) for i in part for right in sides[lefts[i]]] for part in _cut(order, held_out))
        return cls(train, test)


def _cut(order: np.ndarray, place: int) -> tuple[list[int], list[int]]:
    return order[:place].tolist(), order[place:].tolist()


@dataclass(frozen=True)
class Names:
    """Surnames, and the number of their language."""

    languages: list[str]
    split: Split
    symbols: Symbols

    @classmethod
    def of(cls, names: Mapping[str, Sequence[str]], seed: int) -> Self:
        """From the names of each language; a name that two languages have counts in both."""
        split = Split.of(((name, place) for place, each in enumerate(names.values()) for name in each), seed)
        return cls(list(names), split, Symbols.of(name for name, _ in split.train))

    @classmethod
    def of_folder(cls, folder: Path, seed: int) -> Self:
        """Those of names/LANGUAGE.txt, a name on each line."""
        try:
            paths = sorted(path for path in (folder / "names").iterdir() if path.suffix == ".txt")
        except OSError as error:
            raise Refusal(f"cannot read {folder / 'names'}: {error.strerror}") from error
        names = {path.stem: [line.strip() for line in _lines(path) if line.strip()] for path in paths}
        empty = [language for language, each in names.items() if not each]
        if len(names) < 2 or empty:
            found = f"no name in {empty[0]}.txt" if empty else ", ".join(names) or "none"
            raise Refusal(f"{folder / 'names'} must hold files of names, LANGUAGE.txt, two at least, got {found}")
        return cls.of(names, seed)

    @classmethod
    def bundled(cls, seed: int) -> Self:
        """Common surnames of six languages."""
        text = importlib.resources.files("fastrnn.demos").joinpath("data/surnames.txt").read_text("utf-8")
        lines = (line.partition(":") for line in text.splitlines())
        return cls.of({language: names.split() for language, _, names in lines}, seed)


@dataclass(frozen=True)
class Translations:
    """English and French sentences as tuples of words."""

    split: Split
    english: Symbols
    french: Symbols

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], settings: Settings) -> Self | None:
        """The short ones among these pairs of sentences; None if that are fewer than ten."""
        sentences = ((words(english, ENGLISH), words(french, FRENCH)) for english, french in pairs)
        limit = settings.words
        short = [(x, y) for x, y in sentences if 0 < len(x) <= limit and 0 < len(y) <= limit + 2]
        split = Split.of(short, settings.seed)
        if not split.test:
            return None
        english, french = (Symbols.of((pair[side] for pair in split.train), settings.rare) for side in (0, 1))
        return cls(split, english, french)

    @classmethod
    def of_folder(cls, folder: Path, settings: Settings) -> Self:
        """Those of eng_fra/eng-fra.txt or eng-fra.txt.gz: English, tab, French."""
        path = folder / "eng_fra" / "eng-fra.txt"
        if not path.exists():
            path = path.with_name("eng-fra.txt.gz")
        pairs = []
        for line, text in enumerate(_lines(path), 1):
            sides = text.split("\t")
            if len(sides) > 1:
                pairs.append((sides[0], sides[1]))
            elif text:
                raise Refusal(f"{path}, line {line}: must hold English, a tab and French, got {text!r}")
        found = cls.of(pairs, settings)
        if found is None:
            raise Refusal(f"{path} must hold at least ten English sentences of at most {settings.words} words")
        return found

    @classmethod
    def bundled(cls, settings: Settings) -> Self:
        """Who is what, made of a few words; French has to agree with who it is, and "not" stands around the verb."""
        found = cls.of(compose(), settings)
        if found is None:
            raise Refusal(f"--words {settings.words} is too few: the bundled sentences have 4 to 6")
        return found


def _lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text, unpacked if it is compressed by gzip, whatever its name."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise Refusal(f"{path} is not UTF-8 text: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise Refusal(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


# i'm is one word, j'ai are two; a mark is a word
ENGLISH = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[.,;:?!]")
FRENCH = re.compile(r"aujourd'hui|[^\W\d_]+'?|\d+|[.,;:?!]")


def words(text: str, language: re.Pattern[str]) -> tuple[str, ...]:
    """The words of a sentence, in small letters, and its marks."""
    return tuple(language.findall(text.lower().replace("\u2019", "'")))


# English, French, French with "not"; the form of the adjective
WHO = (
    ("i am", "je suis", "je ne suis pas", "m"),
    ("he is", "il est", "il n'est pas", "m"),
    ("she is", "elle est", "elle n'est pas", "f"),
    ("we are", "nous sommes", "nous ne sommes pas", "mp"),
    ("my father is", "mon père est", "mon père n'est pas", "m"),
    ("my mother is", "ma mère est", "ma mère n'est pas", "f"),
    ("my sisters are", "mes sœurs sont", "mes sœurs ne sont pas", "fp"),
    ("the cats are", "les chats sont", "les chats ne sont pas", "mp"),
)
# English, masculine, feminine; those that do not change at all stand as one word
WHAT = (
    "tired fatigué fatiguée", "small petit petite", "tall grand grande", "happy heureux heureuse", "sad triste triste",
    "young jeune jeune", "old vieux vieille", "ready prêt prête", "strong fort forte", "alone seul seule",
    "rich riche riche", "poor pauvre pauvre", "serious sérieux sérieuse", "free libre libre", "here ici",
    "outside dehors",
)  # fmt: skip


def compose() -> list[tuple[str, str]]:
    """Every one of `WHO` with every one of `WHAT`, and without."""
    pairs = []
    for (who, is_, is_not, form), what in itertools.product(WHO, WHAT):
        english, *forms = what.split()
        french = forms["f" in form] if len(forms) > 1 else forms[0]
        if "p" in form and len(forms) > 1 and not french.endswith("x"):
            french += "s"
        pairs += [(f"{who} {english}.", f"{is_} {french}."), (f"{who} not {english}.", f"{is_not} {french}.")]
    return pairs


# -------------------------------------------------------------------------------------------------------------- models


def build_classifier(names: Names, settings: Settings) -> Sequential:
    """Surnames (B, T) in, how likely each language is (B, L) out."""
    first, second, third = seeds(settings.seed, 3)
    model = Sequential(
        [
            Embedding(len(names.symbols), settings.embedding, mask_zero=True, seed=first),
            LSTM(settings.units, dropout=settings.dropout, seed=second),
            Dense(len(names.languages), activation="softmax", seed=third),
        ]
    )
    model.compile(Adam(settings.lr), "sparse_categorical_crossentropy", metrics=["acc"])
    return model


def build_writer(names: Names, settings: Settings) -> Sequential:
    """Pairs of numbers (B, T, 2) in, logits of the next symbol (B, T, V) out.

    A step reads the last symbol and a label: V + the number of a language, or padding for none. Both have their row in
    one table, and the two rows stand side by side.
    """
    first, second, third = seeds(settings.seed, 3)
    model = Sequential(
        [
            Embedding(len(names.symbols) + len(names.languages), settings.embedding, seed=first),
            Reshape((-1, 2 * settings.embedding)),
            LSTM(settings.units, return_sequences=True, dropout=settings.dropout, seed=second),
            Dense(len(names.symbols), seed=third),
        ]
    )
    loss = SparseCategoricalCrossentropy(from_logits=True)
    model.compile(Adam(settings.lr), loss, weighted_metrics=["acc"])
    return model


def lessons(names: Names, pairs: Sequence[tuple[str, int]], shape: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a writer reads, what it is to say, and what that counts.

    Parameters
    ----------
    names : Names
    pairs : sequence of (str, int)
        Surnames and the numbers of their languages.
    shape : {"next", "first", "always"}
        Where the label stands: nowhere, at the first step, at every step.

    Returns
    -------
    x : ndarray of int, (N, T, 2)
    y : ndarray of int, (N, T)
        Each name and its end.
    weight : ndarray, (N, T)
        0 for padding, and 1 in the mean.
    """
    y = names.symbols.rows([name for name, _ in pairs], end=True)
    x = np.zeros((*y.shape, 2), np.int32)
    x[:, 0, 0], x[:, 1:, 0] = START, y[:, :-1]
    label_of = len(names.symbols) + np.array([language for _, language in pairs])
    if shape == "first":
        x[:, 0, 1] = label_of
    elif shape == "always":
        x[:, :, 1] = label_of[:, np.newaxis]
    weight = (y != PADDING).astype(np.float32)
    return x, y, weight / weight.mean()


class Pen:
    """A writer that reads one symbol at a time, in S streams, as `fastrnn.seq2seq.generate` wants it.

    Parameters
    ----------
    model : Sequential
        As `build_writer` made it.
    labels : ndarray of int, (S,)
        What stands beside the first symbol, and beside the later ones if `always`.
    always : bool
    """

    def __init__(self, model: Sequential, labels: np.ndarray, always: bool) -> None:
        self._labels, self._always = labels, always
        self._layers = [layer.stream(len(labels)) if isinstance(layer, LSTM) else layer for layer in model.layers]

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Read a symbol in every stream, (S,); the logits of the next, (S, V)."""
        x = np.stack([ids, self._labels], axis=-1)[:, np.newaxis]
        for layer in self._layers:
            x = layer.step(x[:, 0])[:, np.newaxis] if isinstance(layer, Stream) else layer(x)
        if not self._always:
            self._labels = np.zeros_like(self._labels)
        logits: np.ndarray = x[:, 0]
        return logits

    def take(self, rows: np.ndarray) -> None:
        """Let stream i go on from where stream rows[i] is."""
        self._labels = self._labels[rows]
        for layer in self._layers:
            if isinstance(layer, Stream):
                layer.state = tuple(part[rows] for part in layer.state)


def write(model: Sequential, names: Names, shape: str, languages: np.ndarray, seed: int) -> list[str]:
    """A new surname for each number of a language, (S,), which "next" does not look at."""
    labels = np.zeros_like(languages) if shape == "next" else len(names.symbols) + languages
    ids, _ = generate(
        Pen(model, labels, shape == "always"),
        np.full(len(labels), START),
        24,
        end=END,
        never=(PADDING, START, UNKNOWN),
        temperature=TEMPERATURE,
        rng=seed,
    )
    return ["".join(names.symbols.sequence(row)) for row in ids]


# ------------------------------------------------------------------------------------------------------------- training


@dataclass(frozen=True)
class Result:
    """How a shape did."""

    counted: str  # what its accuracy is of
    accuracy: float
    chance: float  # of always the commonest answer
    parameters: int
    seconds: float  # median of an epoch, its validation included
    more: str  # other figures


def train(
    model: Sequential | Seq2Seq, x: np.ndarray, y: np.ndarray, weight: Any, settings: Settings, label: str
) -> float:
    """Train a model, leave it with the weights of its best epoch, and return an epoch's seconds."""
    epochs = settings.pair_epochs if isinstance(model, Seq2Seq) else settings.epochs
    best, clock = EarlyStopping("val_loss", patience=epochs, restore_best_weights=True), Clock()
    model.fit(
        x,
        y,
        batch_size=settings.batch,
        epochs=epochs,
        verbose=0,
        validation_split=0.1,
        sample_weight=weight,
        callbacks=[best, clock, Bar(label)],
        seed=settings.seed,
    )
    return clock.median


def commonest(answers: np.ndarray, true: np.ndarray) -> float:
    """How often the commonest of the training's answers is right."""
    return float(np.mean(true == np.bincount(answers).argmax()))


def classify(names: Names, settings: Settings, folder: Path) -> tuple[Result, Sequential, np.ndarray]:
    """N to 1: the result, the model, and how many names of each language were taken for each, (L, L)."""
    (x, y), (x_test, y_test) = (
        (names.symbols.rows([name for name, _ in part]), np.array([language for _, language in part]))
        for part in (names.split.train, names.split.test)
    )
    model = build_classifier(names, settings)
    seconds = train(model, x, y, None, settings, "N to 1")
    said = model.predict(x_test, verbose=0).argmax(axis=1)
    count = len(names.languages)
    matrix = np.bincount(y_test * count + said, minlength=count**2).reshape(count, count)
    present = matrix.sum(axis=1) > 0
    each = float(np.mean(matrix.diagonal()[present] / matrix.sum(axis=1)[present]))
    result = Result(
        "names", float(np.mean(said == y_test)), commonest(y, y_test), model.parameters, seconds,
        f"{each:.1%} in the mean of the languages",
    )  # fmt: skip
    keep(model, folder / "classify.fastrnn", x_test, _state(names))
    return result, model, matrix


def foretell(names: Names, settings: Settings, shape: str, folder: Path) -> tuple[Result, Sequential]:
    """N to N, and both ways of 1 to N: the result, and the model, which writes."""
    x, y, weight = lessons(names, names.split.train, shape)
    x_test, y_test, weight_test = lessons(names, names.split.test, shape)
    model = build_writer(names, settings)
    seconds = train(model, x, y, weight, settings, SHAPES[shape].partition(":")[0])
    loss, accuracy = model.evaluate(x_test, y_test, sample_weight=weight_test, batch_size=len(x_test), verbose=0)
    chance = commonest(y[y != PADDING], y_test[y_test != PADDING])
    more = f"perplexity {math.exp(loss):.2f}"
    keep(model, folder / f"{shape}.fastrnn", x_test, _state(names))
    return Result("next characters", accuracy, chance, model.parameters, seconds, more), model


def _state(names: Names) -> dict[str, Any]:
    return {"languages": names.languages, "symbols": names.symbols.known}


# --------------------------------------------------------------------------------------------------------- translations


def build_translator(data: Translations, settings: Settings) -> Seq2Seq:
    """English (B, S) in; French, symbol by symbol."""
    draws = seeds(settings.seed, 6)
    size, units, rate = settings.pair_embedding, settings.pair_units, settings.pair_dropout
    model = Seq2Seq(
        encoder=[
            Embedding(len(data.english), size, seed=draws[0]),
            LSTM(units, return_state=True, dropout=rate, seed=draws[1]),
        ],
        decoder=[
            Embedding(len(data.french), size, seed=draws[2]),
            LSTM(units, return_sequences=True, dropout=rate, seed=draws[3]),
            Dropout(rate, seed=draws[4]),
            Dense(len(data.french), seed=draws[5]),
        ],
        start=START,
        end=END,
    )
    model.compile(Adam(settings.lr), SparseCategoricalCrossentropy(from_logits=True), metrics=["acc"])
    return model


@dataclass(frozen=True)
class Translated:
    """A held-out sentence, what the model made of it, and what it could have been."""

    english: str
    french: str
    references: list[str]

    @property
    def exact(self) -> bool:
        """Word for word one of the references."""
        return self.french in self.references


def translate(data: Translations, settings: Settings, folder: Path) -> tuple[Result, list[Translated]]:
    """N to M: the result, and the held-out sentences."""
    (x, y), (x_test, y_test) = (
        (data.english.rows([left for left, _ in part]), data.french.rows([right for _, right in part], end=True))
        for part in (data.split.train, data.split.test)
    )
    model = build_translator(data, settings)
    seconds = train(model, x, y, None, settings, "N to M")
    _, accuracy = model.evaluate(x_test, y_test, batch_size=256, verbose=0)
    references: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for left, right in data.split.test:
        references[left].append(" ".join(right))
    sentences = data.english.rows(list(references))
    longest = settings.words + 3
    said, _ = model.generate(sentences, longest)
    beams, _ = model.beam_search(sentences, longest, WIDTH)
    greedy, searched = (
        [
            Translated(" ".join(left), " ".join(data.french.sequence(row)), right)
            for row, (left, right) in zip(rows, references.items(), strict=True)
        ]
        for rows in (said, beams[:, 0])
    )
    keep_translator(model, folder / "translate.fastrnn", x_test, y_test, said, sentences)
    shares = [sum(each.exact for each in found) / len(found) for found in (greedy, searched)]
    more = f"exact: {shares[0]:.1%}, by a beam of {WIDTH} {shares[1]:.1%}"
    chance = commonest(y[y != PADDING], y_test[y_test != PADDING])
    return Result("next words", accuracy, chance, model.parameters, seconds, more), greedy


def keep_translator(
    model: Seq2Seq, path: Path, x: np.ndarray, y: np.ndarray, said: np.ndarray, sentences: np.ndarray
) -> None:
    """As `keep`, for a model that writes: both say the same of x and y, and write the same for the sentences."""
    model.save(path)
    again = Seq2Seq.load(path)
    same = again(x, y).tobytes() == model(x, y).tobytes()
    if not same or again.generate(sentences, said.shape[1])[0].tobytes() != said.tobytes():
        raise RuntimeError(f"{path} does not write what the model writes that was saved there")
    print(f"{path}: saved; loaded again, it predicts the same bits for {len(x):,} inputs, and writes the same")


# -------------------------------------------------------------------------------------------------------- command line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastrnn demo shapes`."""
    whole = number(int, 1)
    add = parser.add_argument_group("data and models").add_argument
    add("--data", type=Path, metavar="PATH", help="folder with names/ and eng_fra/ (a few hundred names and pairs)")
    add("--shape", choices=SHAPES, nargs="+", default=list(SHAPES), help="what to train (all)")
    for name, what in (
        ("units", "hidden units of the models of names"),
        ("words", "words and marks of an English sentence at most; French: two more"),
        ("pair_units", "hidden units of encoder and decoder"),
    ):
        add(f"--{name.replace('_', '-')}", type=whole, metavar="N", help=f"{what} ({_default(name)})")
    add = parser.add_argument_group("training").add_argument
    for name, what in (
        ("epochs", "rounds over the names"),
        ("pair_epochs", "rounds over the pairs"),
        ("batch", "names or pairs of a step"),
    ):
        add(f"--{name.replace('_', '-')}", type=whole, metavar="N", help=f"{what} ({_default(name)})")
    add_run_arguments(parser, "shapes")


def _default(name: str) -> str:
    usual, bundled = getattr(Settings(), name), getattr(BUNDLED, name)
    return f"{usual}" if usual == bundled else f"{usual}; bundled data: {bundled}"


def run(options: argparse.Namespace) -> int:
    """Train a model of each shape, show what they can do, and return the exit code."""
    use_threads(options.threads)
    settings = given(Settings() if options.data else BUNDLED, options)
    shapes = [shape for shape in SHAPES if shape in options.shape]
    names, pairs = read(options.data, settings, shapes)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        results, matrix = _run(names, pairs, settings, shapes, options.out)
        try:
            pictures.shapes(
                {SHAPES[shape]: (each.accuracy, each.chance) for shape, each in results.items()},
                matrix,
                names.languages if names else [],
                options.out / PICTURE,
            )
            print(
                f"\n{options.out / PICTURE}: what each shape gets right"
                + ", and which languages" * (matrix is not None)
            )
        except ImportError as error:
            print(f"\nno picture: {error}")
    except OSError as error:
        raise Refusal(f"cannot write {error.filename or options.out}: {error.strerror}") from error

    print(f"\n{'on what was held out':31}  {'accuracy of':13}  {'':6}  commonest  seconds an epoch")
    for shape, each in results.items():
        print(
            f"{SHAPES[shape]:31}  {each.counted:13}  {each.accuracy:6.1%}  {each.chance:9.1%}  {each.seconds:16.2f}"
            f"  {each.more}"
        )
    return 0


def read(folder: Path | None, settings: Settings, shapes: Sequence[str]) -> tuple[Names | None, Translations | None]:
    """The data that these shapes need."""
    names = pairs = None
    if set(shapes) - {"translate"}:
        names = Names.of_folder(folder, settings.seed) if folder else Names.bundled(settings.seed)
        train, test = names.split.train, names.split.test
        print(
            f"{folder / 'names' if folder else 'bundled names'}: {len(names.languages)} languages, {len(train):,} "
            f"names to train on, {len(test):,} to test on, {len(names.symbols.known)} characters"
        )
    if "translate" in shapes:
        pairs = Translations.of_folder(folder, settings) if folder else Translations.bundled(settings)
        train, test = pairs.split.train, pairs.split.test
        print(
            f"{folder / 'eng_fra' if folder else 'bundled sentences'}: {len(train):,} pairs to train on, {len(test):,} "
            f"to test on, {len(pairs.english.known):,} English words, {len(pairs.french.known):,} French"
        )
    return names, pairs


def _run(
    names: Names | None, pairs: Translations | None, settings: Settings, shapes: Sequence[str], folder: Path
) -> tuple[dict[str, Result], np.ndarray | None]:
    """The result of each shape, and how many names of each language were taken for each."""
    results: dict[str, Result] = {}
    classifier: Sequential | None = None
    matrix: np.ndarray | None = None
    for shape in shapes:
        print(f"\n{SHAPES[shape]}")
        if shape == "translate" and pairs is not None:
            results[shape], translated = translate(pairs, settings, folder)
            for each in translated[:: max(1, len(translated) // SHOWN)][:SHOWN]:
                mark = "" if each.exact else f"    (not: {each.references[0]})"
                print(f"  {each.english}  ->  {each.french}{mark}")
        elif shape == "classify" and names is not None:
            results[shape], classifier, matrix = classify(names, settings, folder)
            chosen = names.split.test[:: max(1, len(names.split.test) // SHOWN)][:SHOWN]
            said = classifier.predict(names.symbols.rows([name for name, _ in chosen]), verbose=0)
            for (name, language), shares in zip(chosen, said, strict=True):
                best = shares.argmax()
                mark = "" if best == language else f"    (is {names.languages[language]})"
                print(f"  {name}  ->  {names.languages[best]} {shares[best]:.0%}{mark}")
        elif names is not None:
            results[shape], writer = foretell(names, settings, shape, folder)
            results[shape] = _show_written(writer, names, shape, classifier, results[shape], settings)
    return results, matrix


def _show_written(
    writer: Sequential, names: Names, shape: str, classifier: Sequential | None, result: Result, settings: Settings
) -> Result:
    """Print some names that the model writes; the result, with what the classifier says of many."""
    if shape == "next":
        print("  " + ", ".join(write(writer, names, shape, np.zeros(8, np.int64), settings.seed)))
        return result
    languages = np.repeat(np.arange(len(names.languages)), WRITTEN)
    written = write(writer, names, shape, languages, settings.seed)
    for place in np.unique(np.linspace(0, len(names.languages) - 1, SHOWN).round().astype(int)):
        print(f"  {names.languages[place]:12} {', '.join(written[place * WRITTEN :][:4])}")
    known = {name for name, _ in names.split.train}
    new = sum(name not in known for name in written) / len(written)
    more = f"{result.more}; {new:.0%} of the names written are new"
    if classifier is not None:
        said = classifier.predict(names.symbols.rows(written), verbose=0).argmax(axis=1)
        more += f", {np.mean(said == languages):.0%} are taken for the language asked for"
    return replace(result, more=more)
